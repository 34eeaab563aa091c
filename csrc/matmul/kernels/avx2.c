/* Tiles of matrix products by AVX2 and FMA, in float32: each product is added by one fused
 * operation, in the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/kernels/tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX2)

enum { MR = 6, NR = 16 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

static void tile_float32(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  __m256 sums[MR][2];
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += NR) {
    const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
    for (int i = 0; i < MR; ++i) {
      const __m256 element = _mm256_set1_ps(a[i * CF_KC_STRIDE]);
      sums[i][0] = _mm256_fmadd_ps(element, b0, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(element, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      float *to = tile->sums + NR * i + 8 * half;
      _mm256_store_ps(
          to, tile->first ? sums[i][half] : _mm256_add_ps(_mm256_load_ps(to), sums[i][half]));
    }
}

#include "matmul/kernels/tile_end-inl.h"

typedef __m256 vector;
enum { VECTOR = 8 };
static inline vector f_zero(void) { return _mm256_setzero_ps(); }
static inline vector f_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void f_store(float *p, vector v) { _mm256_storeu_ps(p, v); }
static inline vector f_set1(float x) { return _mm256_set1_ps(x); }
static inline vector f_add(vector a, vector b) { return _mm256_add_ps(a, b); }
static inline vector f_multiply_add(vector a, vector b, vector c) {
  return _mm256_fmadd_ps(a, b, c);
}
static inline float f_sum(vector v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps(sum, sum, 1)));
}

typedef __m256i words;
static inline words words_load(const void *p) {
  words v = _mm256_loadu_si256(p);
  CF_READ_ONCE(v);
  return v;
}
static inline words words_set1(uint32_t x) { return _mm256_set1_epi32((int)x); }
#define words_left(v, bits) _mm256_slli_epi32(v, bits)
static inline words words_right(words v, words bits) { return _mm256_srav_epi32(v, bits); }
static inline words words_and_or(words a, words b, words c) {
  return _mm256_or_si256(_mm256_and_si256(a, b), c);
}
static inline words words_where_above(words v, words limit, words c) {
  const words magnitude = _mm256_and_si256(v, _mm256_set1_epi32(INT32_MAX));
  return _mm256_blendv_epi8(v, c, _mm256_cmpgt_epi32(magnitude, limit));
}
static inline words words_where_equal(words v, words w, words c) {
  return _mm256_blendv_epi8(v, c, _mm256_cmpeq_epi32(v, w));
}
static inline vector f_of(words v) { return _mm256_castsi256_ps(v); }
static inline words words_of(vector v) { return _mm256_castps_si256(v); }
static inline words words_and(words a, words b) { return _mm256_and_si256(a, b); }
static inline int words_any_zero(words v) {
  return _mm256_movemask_epi8(_mm256_cmpeq_epi16(v, _mm256_setzero_si256())) != 0;
}
static inline int words_any_above(words v, words limit) {
  return _mm256_movemask_epi8(_mm256_cmpeq_epi16(_mm256_max_epu16(v, limit), limit)) != -1;
}
static inline vector f_subtract_at(vector a, vector b, words n, words test) {
  const vector there = f_of(_mm256_cmpeq_epi32(_mm256_and_si256(n, test), _mm256_setzero_si256()));
  return _mm256_sub_ps(_mm256_blendv_ps(f_of(n), a, there), _mm256_and_ps(there, b));
}
static inline vector f_scales(const float *p, int codes) {
  return codes == 32 ? _mm256_blend_ps(f_set1(p[0]), f_set1(p[1]), 0xF0) : f_set1(p[0]);
}
static inline vector f_multiply(vector a, vector b) { return _mm256_mul_ps(a, b); }
#define GEMV_FIELDS
#include "matmul/kernels/gemv-inl.h"

/* cf_fields in bytes */
typedef struct byte_words {
  __m256i upper, upper_mask, exponents, lower, subnormal_lower, subnormal_upper;
  __m128i upper_shift;
} byte_words;
static inline __m256i table_of_16(const uint8_t *bytes) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)bytes));
}
static inline byte_words byte_words_of(const cf_fields *fields) {
  const byte_words of = {_mm256_set1_epi8((char)fields->upper),
                         _mm256_set1_epi8((char)(0x7F >> fields->upper_shift)),
                         _mm256_set1_epi8((char)fields->byte_exponents),
                         table_of_16(fields->lower),
                         table_of_16(fields->subnormal_lower),
                         table_of_16(fields->subnormal_upper),
                         _mm_cvtsi32_si128(fields->upper_shift)};
  return of;
}
/* Unpacking is within halves of a vector: so each has a word of each of the results. */
static inline void bytes_in_order(const byte_words *of, words codes, vector *values) {
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7), sign = _mm256_set1_epi8(-128),
                zero = _mm256_setzero_si256();
  codes = _mm256_permutevar8x32_epi32(codes, order);
  const __m256i magnitudes = _mm256_andnot_si256(sign, codes),
                subnormal = _mm256_cmpeq_epi8(_mm256_and_si256(codes, of->exponents), zero);
  __m256i upper = words_and_or(_mm256_srl_epi16(codes, of->upper_shift), of->upper_mask, of->upper);
  upper =
      _mm256_blendv_epi8(upper, _mm256_shuffle_epi8(of->subnormal_upper, magnitudes), subnormal);
  upper = _mm256_or_si256(upper, _mm256_and_si256(codes, sign));
  const __m256i lower =
      _mm256_blendv_epi8(_mm256_shuffle_epi8(of->lower, magnitudes),
                         _mm256_shuffle_epi8(of->subnormal_lower, magnitudes), subnormal);
  const __m256i low = _mm256_unpacklo_epi8(lower, upper), high = _mm256_unpackhi_epi8(lower, upper);
  values[0] = f_of(_mm256_unpacklo_epi16(zero, low));
  values[1] = f_of(_mm256_unpackhi_epi16(zero, low));
  values[2] = f_of(_mm256_unpacklo_epi16(zero, high));
  values[3] = f_of(_mm256_unpackhi_epi16(zero, high));
}
static inline void halves_in_order(words codes, words *to) {
  const __m256i zero = _mm256_setzero_si256();
  codes = _mm256_permute4x64_epi64(codes, 0xD8); /* 0, 2, 1, 3 */
  to[0] = _mm256_unpacklo_epi16(zero, codes);
  to[1] = _mm256_unpackhi_epi16(zero, codes);
}
#include "matmul/kernels/decode_fields-inl.h"

static inline vector f_one_nan(vector v) {
  return _mm256_blendv_ps(v, _mm256_set1_ps(CF_FLOAT32_NAN), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
static inline void f_store_some(float *p, vector v, int64_t count) {
  float all[VECTOR];
  _mm256_storeu_ps(all, v);
  for (int64_t i = 0; i < count; ++i) p[i] = all[i];
}
#include "matmul/kernels/small-inl.h"

/* Of float64: products of integers, exact; and sums rounded to odd. */

#define ISA_NAME(slot) slot##_avx2
#include "matmul/kernels/axpy_to_odd-inl.h"

/* 12 sums, and vectors of b and a number of a in what is left of the 16 registers */
enum { MR64 = 4, VECTORS64 = 3, NR64 = 4 * VECTORS64 };
enum { KC64 = 160 }; /* a panel of b stays in the nearest cache */

static void multiply_avx2(int64_t inner, const double *a, const double *b, double *c) {
  __m256d sums[MR64][VECTORS64];
#pragma GCC unroll 4
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS64; ++j) sums[i][j] = _mm256_load_pd(c + i * NR64 + 4 * j);
  for (int64_t k = 0; k < inner; ++k, a += MR64, b += NR64) {
#pragma GCC unroll 4
    for (int i = 0; i < MR64; ++i) {
      const __m256d ai = _mm256_broadcast_sd(a + i);
      sums[i][0] = _mm256_fmadd_pd(ai, _mm256_load_pd(b), sums[i][0]);
      sums[i][1] = _mm256_fmadd_pd(ai, _mm256_load_pd(b + 4), sums[i][1]);
      sums[i][2] = _mm256_fmadd_pd(ai, _mm256_load_pd(b + 8), sums[i][2]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS64; ++j) _mm256_store_pd(c + i * NR64 + 4 * j, sums[i][j]);
}

CF_TARGET_END

const cf_tiles cf_tiles_avx2 = CF_FLOAT32_TILES(end_tile);

const cf_float64_tile cf_float64_tile_avx2 = {MR64, NR64, KC64, multiply_avx2, axpy_to_odd_avx2};

#else
const cf_tiles cf_tiles_avx2 = {.tile = NULL};
const cf_float64_tile cf_float64_tile_avx2 = {.multiply = NULL};
#endif
