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

#define CF_FLOATS 8
typedef __m256 floats;
typedef __m256i bits;
static inline floats f_set1(float x) { return _mm256_set1_ps(x); }
static inline floats f_load(const float *p) { return _mm256_loadu_ps(p); }
static inline floats f_masked(floats v, int32_t of) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(of)));
}
static inline floats f_abs(floats v) { return f_masked(v, INT32_MAX); }
static inline floats f_binade(floats v) { return f_masked(v, 0x7F800000); }
/* The ones before numbers above 0. */
static inline floats f_before(floats v) {
  return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(1)));
}
static inline floats f_add(floats a, floats b) { return _mm256_add_ps(a, b); }
static inline floats f_sub(floats a, floats b) { return _mm256_sub_ps(a, b); }
static inline floats f_mul(floats a, floats b) { return _mm256_mul_ps(a, b); }
static inline floats f_max(floats a, floats b) { return _mm256_max_ps(a, b); }
static inline floats f_min(floats a, floats b) { return _mm256_min_ps(a, b); }
static inline floats f_select_less(floats a, floats b, floats x, floats y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline unsigned f_less(floats a, floats b) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline lanes v_fma(lanes a, lanes b, lanes c) {
  return both(_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high));
}
/* All of them: there are no more than eight. */
static inline lanes f_part(floats v, int part) {
  (void)part;
  return both(_mm256_cvtps_pd(_mm256_castps256_ps128(v)),
              _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
}
/* Squares of 24 bits are float64, so that one rounding is all there is. */
static inline lanes v_add_squares(lanes sum, floats off) {
  const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(off));
  const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(off, 1));
  return both(_mm256_fmadd_pd(low, low, sum.low), _mm256_fmadd_pd(high, high, sum.high));
}
/* The same of lanes that are apart, each to a sum of its own: of eight there is but one half. */
static inline void v_add_squares_apart(lanes *low, lanes *high, floats off) {
  (void)high;
  *low = v_add_squares(*low, off);
}
/* Store such sums; rounded to float32 they are given. */
static inline floats store_apart(double *to, lanes low, lanes high) {
  (void)high;
  v_store(to, low);
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low.low)),
                              _mm256_cvtpd_ps(low.high), 1);
}
static inline void f_store(float *to, floats v) { _mm256_storeu_ps(to, v); }
static inline floats f_choose(unsigned mask, floats a, floats b) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i of = _mm256_and_si256(_mm256_set1_epi32((int32_t)(mask & 255)), lane);
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(of, lane)));
}
/* 2^v of integers; and the integers that normal numbers' exponents are. */
static inline floats f_power_of_two(floats v) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127)), 23));
}
static inline floats f_exponent(floats v) {
  return _mm256_cvtepi32_ps(
      _mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(v), 23), _mm256_set1_epi32(127)));
}
static inline floats b_as_floats(__m256i v) { return _mm256_castsi256_ps(v); }
static inline bits b_set1(int32_t x) { return _mm256_set1_epi32(x); }
static inline bits b_magnitude(floats v) { return _mm256_castps_si256(f_abs(v)); }
static inline bits b_sub(bits a, bits b) { return _mm256_sub_epi32(a, b); }
static inline bits b_larger(bits a, bits b) { return _mm256_max_epu32(a, b); }
static inline bits b_smaller(bits a, bits b) { return _mm256_min_epu32(a, b); }
static inline int32_t b_largest(bits v) {
  __m128i of = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  of = _mm_max_epu32(of, _mm_shuffle_epi32(of, 0x4E));
  of = _mm_max_epu32(of, _mm_shuffle_epi32(of, 0xB1));
  return _mm_cvtsi128_si32(of);
}
static inline int32_t b_smallest(bits v) {
  __m128i of = _mm_min_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  of = _mm_min_epu32(of, _mm_shuffle_epi32(of, 0x4E));
  of = _mm_min_epu32(of, _mm_shuffle_epi32(of, 0xB1));
  return _mm_cvtsi128_si32(of);
}
/* Which are above 0 and below `least`, or at least `from` and below infinity. */
static inline unsigned b_outside(bits v, bits least, bits from, bits infinity) {
  const bits below =
      _mm256_and_si256(_mm256_cmpgt_epi32(least, v), _mm256_cmpgt_epi32(v, _mm256_setzero_si256()));
  const bits above =
      _mm256_andnot_si256(_mm256_cmpgt_epi32(from, v), _mm256_cmpgt_epi32(infinity, v));
  return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(below, above)));
}
static inline size_t store_chosen(float *to, floats v, unsigned chosen) {
  float of[CF_FLOATS];
  size_t count = 0;
  if (chosen == 0) return 0;
  _mm256_storeu_ps(of, v);
  for (; chosen != 0; chosen &= chosen - 1)
    to[count++] = of[_mm_popcnt_u32(~chosen & (chosen - 1))];
  return count;
}

/* Transpose eight vectors: `a` is used up. */
static inline void turn_floats(floats *a, floats *to) {
  floats b[8];
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  /* a[4i + j]: value 4k + j of groups 4i to 4i + 3, in half k */
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m256d p = _mm256_castps_pd(b[i + j]), q = _mm256_castps_pd(b[i + j + 2]);
      a[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(p, q));
      a[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(p, q));
    }
  }
  for (int j = 0; j < 4; ++j) {
    to[j] = _mm256_permute2f128_ps(a[j], a[j + 4], 0x20);
    to[j + 4] = _mm256_permute2f128_ps(a[j], a[j + 4], 0x31);
  }
}

/* Eight values of each group, of which value i of all is to[i], from value `at` on; zeros for what
 * is not there. */
static inline void load_turned(const cf_groups *groups, size_t at, floats *to) {
  floats a[8];
  for (int i = 0; i < 8; ++i) {
    const float *from = groups->first + (size_t)i * groups->pitch + at;
    float last[8] = {0};
    if (i >= groups->count) {
      from = last;
    } else if (groups->size - at < 8) {
      memcpy(last, from, (groups->size - at) * sizeof *last);
      from = last;
    }
    a[i] = _mm256_loadu_ps(from);
  }
  turn_floats(a, to);
}

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"
#include "stats/magnitude_loops-inl.h"
#include "stats/group_lanes-inl.h"

CF_TARGET_END

const cf_error_kernels cf_error_kernels_avx2 = CF_ERROR_KERNELS;
#else
const cf_error_kernels cf_error_kernels_avx2 = {.magnitudes = NULL};
#endif
