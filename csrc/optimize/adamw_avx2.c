/* The loops of optimize/adamw_loops.h for AVX2 and FMA. */
#include "cpu/target.h"
#include "optimize/adamw_loops.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)

enum { LANES = 8 };
typedef __m256 lanes;
#define ISA_NAME(slot) slot##_avx2

static inline lanes v_set1(float x) { return _mm256_set1_ps(x); }
static inline lanes v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, lanes v) { _mm256_storeu_ps(p, v); }
static inline lanes v_add(lanes a, lanes b) { return _mm256_add_ps(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return _mm256_sub_ps(a, b); }
static inline lanes v_mul(lanes a, lanes b) { return _mm256_mul_ps(a, b); }
static inline lanes v_div(lanes a, lanes b) { return _mm256_div_ps(a, b); }
static inline lanes v_max(lanes a, lanes b) { return _mm256_max_ps(a, b); }
static inline lanes v_fma(lanes a, lanes b, lanes c) { return _mm256_fmadd_ps(a, b, c); }
static inline lanes v_sqrt(lanes v) { return _mm256_sqrt_ps(v); }
static inline lanes v_finite_magnitude(lanes v) {
  const lanes magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
  const lanes infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000));
  return _mm256_and_ps(_mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ), magnitude);
}
static inline lanes v_positive_nan(lanes v) {
  return _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FC00000)),
                          _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}

#include "optimize/adamw_lanes-inl.h"

CF_TARGET_END

const cf_adamw_loops cf_adamw_loops_avx2 = CF_ADAMW_LOOPS;
#else
const cf_adamw_loops cf_adamw_loops_avx2 = {NULL, NULL, NULL};
#endif
