/* The loops of stats/error_kernels.h for AVX-512. */
#include <math.h>

#include "cpu/target.h"
#include "stats/error_kernels.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)

typedef __m512d lanes;
#define ISA_NAME(slot) slot##_avx512

static inline lanes v_set1(double x) { return _mm512_set1_pd(x); }
static inline lanes v_load(const double *p) { return _mm512_loadu_pd(p); }
static inline lanes v_load_float32(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
static inline void v_store(double *p, lanes v) { _mm512_storeu_pd(p, v); }
static inline lanes v_abs(lanes v) { return _mm512_abs_pd(v); }
static inline lanes v_binade(lanes v) {
  return _mm512_and_pd(v, _mm512_castsi512_pd(_mm512_set1_epi64((int64_t)0x7FF << 52)));
}
static inline lanes v_add(lanes a, lanes b) { return _mm512_add_pd(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return _mm512_sub_pd(a, b); }
static inline lanes v_mul(lanes a, lanes b) { return _mm512_mul_pd(a, b); }
static inline lanes v_div(lanes a, lanes b) { return _mm512_div_pd(a, b); }
static inline lanes v_max(lanes a, lanes b) { return _mm512_max_pd(a, b); }
static inline lanes v_min(lanes a, lanes b) { return _mm512_min_pd(a, b); }
static inline lanes v_select_less(lanes a, lanes b, lanes x, lanes y) {
  return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline int v_any_less(lanes a, lanes b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ) != 0; }

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"

CF_TARGET_END

const cf_error_kernels cf_error_kernels_avx512 = CF_ERROR_KERNELS;
#else
const cf_error_kernels cf_error_kernels_avx512 = {.magnitudes = NULL};
#endif
