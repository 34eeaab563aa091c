/* The loops of optimize/adamw_loops.h for NEON (Advanced SIMD of 64-bit Arm). */
#include "cpu/target.h"
#include "optimize/adamw_loops.h"

#if defined(CF_NEON)
#include <arm_neon.h>
#include <string.h>

enum { LANES = 4 };
typedef float32x4_t lanes;
#define ISA_NAME(slot) slot##_neon

static inline lanes v_set1(float x) { return vdupq_n_f32(x); }
static inline lanes v_load(const float *p) {
  return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
}
static inline void v_store(float *p, lanes v) { vst1q_u8((uint8_t *)p, vreinterpretq_u8_f32(v)); }
static inline lanes v_add(lanes a, lanes b) { return vaddq_f32(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return vsubq_f32(a, b); }
static inline lanes v_mul(lanes a, lanes b) { return vmulq_f32(a, b); }
static inline lanes v_div(lanes a, lanes b) { return vdivq_f32(a, b); }
static inline lanes v_max(lanes a, lanes b) { return vmaxq_f32(a, b); }
static inline lanes v_fma(lanes a, lanes b, lanes c) { return vfmaq_f32(c, a, b); }
static inline lanes v_sqrt(lanes v) { return vsqrtq_f32(v); }
static inline lanes v_finite_magnitude(lanes v) {
  const lanes magnitude = vabsq_f32(v);
  const uint32x4_t infinity = vdupq_n_u32(0x7F800000u);
  const uint32x4_t finite = vcltq_f32(magnitude, vreinterpretq_f32_u32(infinity));
  return vreinterpretq_f32_u32(vandq_u32(finite, vreinterpretq_u32_f32(magnitude)));
}
static inline lanes v_positive_nan(lanes v) {
  return vbslq_f32(vceqq_f32(v, v), v, vreinterpretq_f32_u32(vdupq_n_u32(0x7FC00000u)));
}

#include "optimize/adamw_lanes-inl.h"

const cf_adamw_loops cf_adamw_loops_neon = CF_ADAMW_LOOPS;
#else
const cf_adamw_loops cf_adamw_loops_neon = {NULL, NULL, NULL};
#endif
