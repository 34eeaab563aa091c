/* The loops of stats/error_kernels.h for NEON (Advanced SIMD of 64-bit Arm). */
#include <math.h>

#include "cpu/target.h"
#include "stats/error_kernels.h"

#if defined(CF_NEON)
#include <arm_neon.h>
#include <string.h>

enum { VECTORS = CF_ERROR_LANES / 2 };
typedef struct lanes {
  float64x2_t of[VECTORS];
} lanes;
#define ISA_NAME(slot) slot##_neon
#define FOR_VECTORS for (int i = 0; i < VECTORS; ++i)

static inline lanes v_set1(double x) {
  lanes v;
  FOR_VECTORS v.of[i] = vdupq_n_f64(x);
  return v;
}
static inline lanes v_load(const double *p) {
  lanes v;
  FOR_VECTORS v.of[i] = vreinterpretq_f64_u8(vld1q_u8((const uint8_t *)(p + 2 * i)));
  return v;
}
static inline lanes v_load_float32(const float *p) {
  lanes v;
  FOR_VECTORS v.of[i] = vcvt_f64_f32(vreinterpret_f32_u8(vld1_u8((const uint8_t *)(p + 2 * i))));
  return v;
}
static inline void v_store(double *p, lanes v) { FOR_VECTORS vst1q_f64(p + 2 * i, v.of[i]); }
static inline lanes v_abs(lanes v) {
  FOR_VECTORS v.of[i] = vabsq_f64(v.of[i]);
  return v;
}
static inline lanes v_binade(lanes v) {
  const uint64x2_t mask = vdupq_n_u64((uint64_t)0x7FF << 52);
  FOR_VECTORS v.of[i] = vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(v.of[i]), mask));
  return v;
}

#define DEFINE_OPERATION(name, operation)              \
  static inline lanes name(lanes a, lanes b) {         \
    FOR_VECTORS a.of[i] = operation(a.of[i], b.of[i]); \
    return a;                                          \
  }
DEFINE_OPERATION(v_add, vaddq_f64)
DEFINE_OPERATION(v_sub, vsubq_f64)
DEFINE_OPERATION(v_mul, vmulq_f64)
DEFINE_OPERATION(v_div, vdivq_f64)
DEFINE_OPERATION(v_max, vmaxq_f64)
DEFINE_OPERATION(v_min, vminq_f64)

static inline lanes v_select_less(lanes a, lanes b, lanes x, lanes y) {
  FOR_VECTORS a.of[i] = vbslq_f64(vcltq_f64(a.of[i], b.of[i]), x.of[i], y.of[i]);
  return a;
}
static inline int v_any_less(lanes a, lanes b) {
  uint64x2_t any = vcltq_f64(a.of[0], b.of[0]);
  for (int i = 1; i < VECTORS; ++i) any = vorrq_u64(any, vcltq_f64(a.of[i], b.of[i]));
  return (vgetq_lane_u64(any, 0) | vgetq_lane_u64(any, 1)) != 0;
}

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"
#include "stats/magnitude_loops-inl.h"

const cf_error_kernels cf_error_kernels_neon = CF_ERROR_KERNELS;
#else
const cf_error_kernels cf_error_kernels_neon = {.magnitudes = NULL};
#endif
