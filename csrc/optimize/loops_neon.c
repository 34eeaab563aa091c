/* The loops of optimize/loops.h for NEON (Advanced SIMD of 64-bit Arm). */
#include "convert/prepare.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"
#include "optimize/loops.h"

#if defined(CF_NEON)
#include <arm_neon.h>
#include <string.h>

#include "convert/lanes_neon-inl.h"

typedef float32x4_t floats;

static inline floats f_set1(float x) { return vdupq_n_f32(x); }
static inline floats f_load(const float *p) {
  return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
}
static inline void f_store(float *p, floats v) { vst1q_u8((uint8_t *)p, vreinterpretq_u8_f32(v)); }
static inline floats f_add(floats a, floats b) { return vaddq_f32(a, b); }
static inline floats f_sub(floats a, floats b) { return vsubq_f32(a, b); }
static inline floats f_mul(floats a, floats b) { return vmulq_f32(a, b); }
static inline floats f_div(floats a, floats b) { return vdivq_f32(a, b); }
static inline floats f_max(floats a, floats b) { return vmaxq_f32(a, b); }
static inline floats f_fma(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }
static inline floats f_sqrt(floats v) { return vsqrtq_f32(v); }
static inline floats f_finite_magnitude(floats v) {
  const floats magnitude = vabsq_f32(v);
  const uint32x4_t infinity = vdupq_n_u32(0x7F800000u);
  const uint32x4_t finite = vcltq_f32(magnitude, vreinterpretq_f32_u32(infinity));
  return vreinterpretq_f32_u32(vandq_u32(finite, vreinterpretq_u32_f32(magnitude)));
}
static inline floats f_positive_nan(floats v) {
  return vbslq_f32(vceqq_f32(v, v), v, vreinterpretq_f32_u32(vdupq_n_u32(0x7FC00000u)));
}

static inline floats f_of(lanes v) { return vreinterpretq_f32_u32(v); }
static inline lanes f_bits(floats v) { return vreinterpretq_u32_f32(v); }

#define HAS_BITS
#include "optimize/adamw_lanes-inl.h"
#include "optimize/sgd_lanes-inl.h"

const cf_optimizer_loops cf_optimizer_loops_neon = {CF_ADAMW_LOOPS, CF_SGD_LOOPS};
#else
const cf_optimizer_loops cf_optimizer_loops_neon = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
#endif
