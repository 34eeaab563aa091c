/* The loops of optimize/loops.h for AVX-512. */
#include "convert/prepare.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"
#include "optimize/loops.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)

#include "convert/lanes_avx512-inl.h"

typedef __m512 floats;

static inline floats f_set1(float x) { return _mm512_set1_ps(x); }
static inline floats f_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void f_store(float *p, floats v) { _mm512_storeu_ps(p, v); }
static inline floats f_add(floats a, floats b) { return _mm512_add_ps(a, b); }
static inline floats f_sub(floats a, floats b) { return _mm512_sub_ps(a, b); }
static inline floats f_mul(floats a, floats b) { return _mm512_mul_ps(a, b); }
static inline floats f_div(floats a, floats b) { return _mm512_div_ps(a, b); }
static inline floats f_max(floats a, floats b) { return _mm512_max_ps(a, b); }
static inline floats f_fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline floats f_sqrt(floats v) { return _mm512_sqrt_ps(v); }
static inline floats f_finite_magnitude(floats v) {
  const floats magnitude = _mm512_abs_ps(v),
               infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7F800000));
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(magnitude, infinity, _CMP_LT_OQ), magnitude);
}
static inline floats f_positive_nan(floats v) {
  return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                            _mm512_castsi512_ps(_mm512_set1_epi32(0x7FC00000)));
}

static inline floats f_of(lanes v) { return _mm512_castsi512_ps(v); }
static inline lanes f_bits(floats v) { return _mm512_castps_si512(v); }

#define HAS_BITS
#include "optimize/adamw_lanes-inl.h"
#include "optimize/sgd_lanes-inl.h"

CF_TARGET_END

const cf_optimizer_loops cf_optimizer_loops_avx512 = {CF_ADAMW_LOOPS, CF_SGD_LOOPS};
#else
const cf_optimizer_loops cf_optimizer_loops_avx512 = {NULL, NULL, NULL, NULL,
                                                      NULL, NULL, NULL, NULL};
#endif
