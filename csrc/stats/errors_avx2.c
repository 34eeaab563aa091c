/* The loops of stats/error_kernels.h for AVX2. */
#include <math.h>

#include "cpu/target.h"
#include "stats/error_kernels.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)

typedef struct lanes {
  __m256d low, high;
} lanes;
#define ISA_NAME(slot) slot##_avx2

static inline lanes both(__m256d low, __m256d high) {
  const lanes v = {low, high};
  return v;
}
static inline lanes v_set1(double x) { return both(_mm256_set1_pd(x), _mm256_set1_pd(x)); }
static inline lanes v_load(const double *p) {
  return both(_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4));
}
static inline lanes v_load_float32(const float *p) {
  return both(_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4)));
}
static inline void v_store(double *p, lanes v) {
  _mm256_storeu_pd(p, v.low);
  _mm256_storeu_pd(p + 4, v.high);
}
static inline lanes v_masked(lanes v, int64_t bits) {
  const __m256d mask = _mm256_castsi256_pd(_mm256_set1_epi64x(bits));
  return both(_mm256_and_pd(v.low, mask), _mm256_and_pd(v.high, mask));
}
static inline lanes v_abs(lanes v) { return v_masked(v, INT64_MAX); }
static inline lanes v_binade(lanes v) { return v_masked(v, (int64_t)0x7FF << 52); }

#define DEFINE_OPERATION(name, operation)                            \
  static inline lanes name(lanes a, lanes b) {                       \
    return both(operation(a.low, b.low), operation(a.high, b.high)); \
  }
DEFINE_OPERATION(v_add, _mm256_add_pd)
DEFINE_OPERATION(v_sub, _mm256_sub_pd)
DEFINE_OPERATION(v_mul, _mm256_mul_pd)
DEFINE_OPERATION(v_div, _mm256_div_pd)
DEFINE_OPERATION(v_max, _mm256_max_pd)
DEFINE_OPERATION(v_min, _mm256_min_pd)

static inline lanes v_select_less(lanes a, lanes b, lanes x, lanes y) {
  return both(_mm256_blendv_pd(y.low, x.low, _mm256_cmp_pd(a.low, b.low, _CMP_LT_OQ)),
              _mm256_blendv_pd(y.high, x.high, _mm256_cmp_pd(a.high, b.high, _CMP_LT_OQ)));
}
static inline int v_any_less(lanes a, lanes b) {
  return _mm256_movemask_pd(_mm256_or_pd(_mm256_cmp_pd(a.low, b.low, _CMP_LT_OQ),
                                         _mm256_cmp_pd(a.high, b.high, _CMP_LT_OQ))) != 0;
}

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"

CF_TARGET_END

const cf_error_kernels cf_error_kernels_avx2 = CF_ERROR_KERNELS;
#else
const cf_error_kernels cf_error_kernels_avx2 = {.magnitudes = NULL};
#endif
