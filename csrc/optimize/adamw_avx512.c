/* The loops of optimize/adamw_loops.h for AVX-512. */
#include "cpu/target.h"
#include "optimize/adamw_loops.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)

enum { LANES = 16 };
typedef __m512 lanes;
#define ISA_NAME(slot) slot##_avx512

static inline lanes v_set1(float x) { return _mm512_set1_ps(x); }
static inline lanes v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, lanes v) { _mm512_storeu_ps(p, v); }
static inline lanes v_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
static inline lanes v_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
static inline lanes v_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
static inline lanes v_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
static inline lanes v_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
static inline lanes v_sqrt(lanes v) { return _mm512_sqrt_ps(v); }
static inline lanes v_finite_magnitude(lanes v) {
  const lanes magnitude = _mm512_abs_ps(v),
              infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7F800000));
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(magnitude, infinity, _CMP_LT_OQ), magnitude);
}
static inline lanes v_positive_nan(lanes v) {
  return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                            _mm512_castsi512_ps(_mm512_set1_epi32(0x7FC00000)));
}

#include "optimize/adamw_lanes-inl.h"

CF_TARGET_END

const cf_adamw_loops cf_adamw_loops_avx512 = CF_ADAMW_LOOPS;
#else
const cf_adamw_loops cf_adamw_loops_avx512 = {NULL, NULL, NULL};
#endif
