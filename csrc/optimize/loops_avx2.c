/* The loops of optimize/loops.h for AVX2 and FMA. */
#include "convert/prepare.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"
#include "optimize/loops.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)

#include "convert/lanes_avx2-inl.h"

typedef __m256 floats;

static inline floats f_set1(float x) { return _mm256_set1_ps(x); }
static inline floats f_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void f_store(float *p, floats v) { _mm256_storeu_ps(p, v); }
static inline floats f_add(floats a, floats b) { return _mm256_add_ps(a, b); }
static inline floats f_sub(floats a, floats b) { return _mm256_sub_ps(a, b); }
static inline floats f_mul(floats a, floats b) { return _mm256_mul_ps(a, b); }
static inline floats f_div(floats a, floats b) { return _mm256_div_ps(a, b); }
static inline floats f_max(floats a, floats b) { return _mm256_max_ps(a, b); }
static inline floats f_fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline floats f_sqrt(floats v) { return _mm256_sqrt_ps(v); }
static inline floats f_finite_magnitude(floats v) {
  const floats magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
  const floats infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000));
  return _mm256_and_ps(_mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ), magnitude);
}
static inline floats f_positive_nan(floats v) {
  return _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FC00000)),
                          _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

static inline floats f_of(lanes v) { return _mm256_castsi256_ps(v); }
static inline lanes f_bits(floats v) { return _mm256_castps_si256(v); }

#define HAS_BITS
#include "optimize/adamw_lanes-inl.h"
#include "optimize/sgd_lanes-inl.h"

CF_TARGET_END

const cf_optimizer_loops cf_optimizer_loops_avx2 = {CF_ADAMW_LOOPS, CF_SGD_LOOPS};
#else
const cf_optimizer_loops cf_optimizer_loops_avx2 = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
#endif
