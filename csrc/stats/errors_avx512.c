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

#define CF_FLOATS 16
typedef __m512 floats;
typedef __m512i bits;
static inline floats f_set1(float x) { return _mm512_set1_ps(x); }
static inline floats f_load(const float *p) { return _mm512_loadu_ps(p); }
static inline floats f_masked(floats v, int32_t of) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(of)));
}
static inline floats f_abs(floats v) { return f_masked(v, INT32_MAX); }
static inline floats f_binade(floats v) { return f_masked(v, 0x7F800000); }
/* The ones before numbers above 0. */
static inline floats f_before(floats v) {
  return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(1)));
}
static inline floats f_add(floats a, floats b) { return _mm512_add_ps(a, b); }
static inline floats f_sub(floats a, floats b) { return _mm512_sub_ps(a, b); }
static inline floats f_mul(floats a, floats b) { return _mm512_mul_ps(a, b); }
static inline floats f_max(floats a, floats b) { return _mm512_max_ps(a, b); }
static inline floats f_min(floats a, floats b) { return _mm512_min_ps(a, b); }
static inline floats f_select_less(floats a, floats b, floats x, floats y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline unsigned f_less(floats a, floats b) {
  return (unsigned)_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline lanes v_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_pd(a, b, c); }
/* The first eight, or those after them. */
static inline lanes f_part(floats v, int part) {
  return part == 0 ? _mm512_cvtps_pd(_mm512_castps512_ps256(v))
                   : _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}
/* In order; squares of 24 bits are float64, so that one rounding is all there is. */
static inline lanes v_add_squares(lanes sum, floats off) {
  const lanes low = _mm512_cvtps_pd(_mm512_castps512_ps256(off));
  const lanes high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(off, 1));
  return _mm512_fmadd_pd(high, high, _mm512_fmadd_pd(low, low, sum));
}
/* The same of lanes that are apart, each to a sum of its own. */
static inline void v_add_squares_apart(lanes *low, lanes *high, floats off) {
  const lanes of_low = _mm512_cvtps_pd(_mm512_castps512_ps256(off));
  const lanes of_high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(off, 1));
  *low = _mm512_fmadd_pd(of_low, of_low, *low);
  *high = _mm512_fmadd_pd(of_high, of_high, *high);
}
/* Store such sums; rounded to float32 they are given. */
static inline floats store_apart(double *to, lanes low, lanes high) {
  v_store(to, low);
  v_store(to + CF_ERROR_LANES, high);
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
static inline void f_store(float *to, floats v) { _mm512_storeu_ps(to, v); }
static inline floats f_choose(unsigned mask, floats a, floats b) {
  return _mm512_mask_blend_ps((__mmask16)mask, b, a);
}
/* 2^v of integers; and the integers that normal numbers' exponents are. */
static inline floats f_power_of_two(floats v) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127)), 23));
}
static inline floats f_exponent(floats v) {
  return _mm512_cvtepi32_ps(
      _mm512_sub_epi32(_mm512_srli_epi32(_mm512_castps_si512(v), 23), _mm512_set1_epi32(127)));
}
static inline floats b_as_floats(__m512i v) { return _mm512_castsi512_ps(v); }
static inline bits b_set1(int32_t x) { return _mm512_set1_epi32(x); }
static inline bits b_magnitude(floats v) { return _mm512_castps_si512(f_abs(v)); }
static inline bits b_sub(bits a, bits b) { return _mm512_sub_epi32(a, b); }
static inline bits b_larger(bits a, bits b) { return _mm512_max_epu32(a, b); }
static inline bits b_smaller(bits a, bits b) { return _mm512_min_epu32(a, b); }
static inline int32_t b_largest(bits v) { return (int32_t)_mm512_reduce_max_epu32(v); }
static inline int32_t b_smallest(bits v) { return (int32_t)_mm512_reduce_min_epu32(v); }
/* Which are above 0 and below `least`, or at least `from` and below infinity. */
static inline unsigned b_outside(bits v, bits least, bits from, bits infinity) {
  const bits one = b_set1(1);
  return (unsigned)_mm512_cmplt_epu32_mask(b_sub(v, one), b_sub(least, one)) |
         (unsigned)_mm512_cmplt_epu32_mask(b_sub(v, from), b_sub(infinity, from));
}
/* Without a branch, which could not be foreseen: what is beyond the chosen ones is overwritten. */
static inline size_t store_chosen(float *to, floats v, unsigned chosen) {
  _mm512_storeu_ps(to, _mm512_maskz_compress_ps((__mmask16)chosen, v));
  return (unsigned)_mm_popcnt_u32(chosen);
}

/* Transpose sixteen vectors: `a` is used up. */
static inline void turn_floats(floats *a, floats *to) {
  floats b[16];
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  /* a[4i + j]: value 4k + j of groups 4i to 4i + 3, in quarter k */
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d p = _mm512_castps_pd(b[i + j]), q = _mm512_castps_pd(b[i + j + 2]);
      a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, q));
      a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, q));
    }
  }
  for (int j = 0; j < 4; ++j) {
    const floats even = _mm512_shuffle_f32x4(a[j], a[j + 4], 0x88);
    const floats odd = _mm512_shuffle_f32x4(a[j], a[j + 4], 0xDD);
    const floats even_after = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0x88);
    const floats odd_after = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0xDD);
    to[j] = _mm512_shuffle_f32x4(even, even_after, 0x88);
    to[j + 8] = _mm512_shuffle_f32x4(even, even_after, 0xDD);
    to[j + 4] = _mm512_shuffle_f32x4(odd, odd_after, 0x88);
    to[j + 12] = _mm512_shuffle_f32x4(odd, odd_after, 0xDD);
  }
}

/* Sixteen values of each group, of which value i of all is to[i], from value `at` on; zeros for
 * what is not there. */
static inline void load_turned(const cf_groups *groups, size_t at, floats *to) {
  const size_t left = groups->size - at;
  const __mmask16 there = (__mmask16)(left >= 16 ? 0xFFFFu : (1u << left) - 1);
  floats a[16];
  for (int i = 0; i < 16; ++i)
    a[i] = i < groups->count
               ? _mm512_maskz_loadu_ps(there, groups->first + (size_t)i * groups->pitch + at)
               : f_set1(0);
  turn_floats(a, to);
}

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"
#include "stats/magnitude_loops-inl.h"
#include "stats/group_lanes-inl.h"

CF_TARGET_END

const cf_error_kernels cf_error_kernels_avx512 = CF_ERROR_KERNELS;
#else
const cf_error_kernels cf_error_kernels_avx512 = {.magnitudes = NULL};
#endif
