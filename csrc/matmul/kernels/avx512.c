/* Tiles of matrix products by AVX-512, in float32: each product is added by one fused operation, in
 * the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/kernels/tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512)

#include "matmul/kernels/tile_end_avx512-inl.h"

enum { MR = 14, NR = 32 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

/* Row i of a tile: the sums of a part, or added to those before. */
static inline void put_row(const cf_tile *tile, int i, __m512 sum0, __m512 sum1) {
  float *sums = tile->sums + 32 * i;
  if (!tile->first) {
    sum0 = _mm512_add_ps(_mm512_load_ps(sums), sum0);
    sum1 = _mm512_add_ps(_mm512_load_ps(sums + 16), sum1);
  }
  _mm512_store_ps(sums, sum0);
  _mm512_store_ps(sums + 16, sum1);
}

static void tile_float32(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  __m512 sums[MR][2];
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += NR) {
    cf_fetch_panels(a, k, b, NR);
    const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
#pragma GCC unroll 14
    for (int i = 0; i < MR; ++i) {
      const __m512 element = _mm512_set1_ps(a[i * CF_KC_STRIDE]);
      sums[i][0] = _mm512_fmadd_ps(element, b0, sums[i][0]);
      sums[i][1] = _mm512_fmadd_ps(element, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) put_row(tile, i, sums[i][0], sums[i][1]);
}

typedef __m512 vector;
enum { VECTOR = 16 };
static inline vector f_zero(void) { return _mm512_setzero_ps(); }
static inline vector f_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void f_store(float *p, vector v) { _mm512_storeu_ps(p, v); }
static inline vector f_set1(float x) { return _mm512_set1_ps(x); }
static inline vector f_add(vector a, vector b) { return _mm512_add_ps(a, b); }
static inline vector f_multiply_add(vector a, vector b, vector c) {
  return _mm512_fmadd_ps(a, b, c);
}
static inline float f_sum(vector v) { return _mm512_reduce_add_ps(v); }

typedef __m512i words;
static inline words words_load(const void *p) {
  words v = _mm512_loadu_si512(p);
  CF_READ_ONCE(v);
  return v;
}
static inline words words_set1(uint32_t x) { return _mm512_set1_epi32((int)x); }
#define words_left(v, bits) _mm512_slli_epi32(v, bits)
static inline words words_right(words v, words bits) { return _mm512_srav_epi32(v, bits); }
static inline words words_and_or(words a, words b, words c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xEA);
}
static inline words words_where_above(words v, words limit, words c) {
  const words magnitude = _mm512_and_si512(v, _mm512_set1_epi32(INT32_MAX));
  return _mm512_mask_mov_epi32(v, _mm512_cmpgt_epi32_mask(magnitude, limit), c);
}
static inline words words_where_equal(words v, words w, words c) {
  return _mm512_mask_mov_epi32(v, _mm512_cmpeq_epi32_mask(v, w), c);
}
static inline vector f_of(words v) { return _mm512_castsi512_ps(v); }
static inline words words_of(vector v) { return _mm512_castps_si512(v); }
static inline words words_and(words a, words b) { return _mm512_and_si512(a, b); }
static inline int words_any_zero(words v) { return _mm512_testn_epi16_mask(v, v) != 0; }
static inline int words_any_above(words v, words limit) {
  return _mm512_cmpgt_epu16_mask(v, limit) != 0;
}
static inline vector f_subtract_at(vector a, vector b, words n, words test) {
  return _mm512_mask_sub_ps(f_of(n), _mm512_testn_epi32_mask(n, test), a, b);
}
/* of 64 codes, or of 32 */
static inline vector f_scales(const float *p, int codes) {
  const __m512i of_64 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                of_32 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(p)), codes == 64 ? of_64 : of_32);
}
static inline vector f_multiply(vector a, vector b) { return _mm512_mul_ps(a, b); }
#define GEMV_FIELDS

/* cf_fields in bytes */
typedef struct byte_words {
  __m512i upper, upper_shift, upper_mask, exponents, lower, subnormal_lower, subnormal_upper;
} byte_words;
static inline __m512i table_of_16(const uint8_t *bytes) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)bytes));
}
static inline byte_words byte_words_of(const cf_fields *fields) {
  const byte_words of = {_mm512_set1_epi8((char)fields->upper),
                         _mm512_set1_epi16((short)fields->upper_shift),
                         _mm512_set1_epi8((char)(0x7F >> fields->upper_shift)),
                         _mm512_set1_epi8((char)fields->byte_exponents),
                         table_of_16(fields->lower),
                         table_of_16(fields->subnormal_lower),
                         table_of_16(fields->subnormal_upper)};
  return of;
}
/* The bfloat16 of codes, all of their lower bytes and all of their upper ones. */
static inline void halves_of_bytes(const byte_words *of, words codes, __m512i *lower,
                                   __m512i *upper) {
  const __m512i sign = _mm512_set1_epi8(-128), magnitudes = _mm512_andnot_si512(sign, codes);
  const __mmask64 subnormal = _mm512_testn_epi8_mask(codes, of->exponents);
  __m512i low = _mm512_shuffle_epi8(of->lower, magnitudes),
          up = _mm512_srlv_epi16(codes, of->upper_shift);
  up = _mm512_ternarylogic_epi64(up, of->upper_mask, of->upper, 0xEA); /* (a & b) | c */
  up = _mm512_mask_shuffle_epi8(up, subnormal, of->subnormal_upper, magnitudes);
  low = _mm512_mask_shuffle_epi8(low, subnormal, of->subnormal_lower, magnitudes);
  *lower = low;
  *upper = _mm512_ternarylogic_epi64(up, codes, sign, 0xF8); /* a | (b & c) */
}
/* Of 64 codes, those of place 4 * i + q in vector q: four at a time while they are bytes. */
static inline void values_of_bytes(const byte_words *of, words codes, vector *values) {
  const __m512i low_bytes = _mm512_set1_epi16(0xFF), upper_half = _mm512_set1_epi32(-65536);
  __m512i lower, upper;
  halves_of_bytes(of, codes, &lower, &upper);
  /* where low_bytes is set the second, else the third */
  const __m512i even =
      _mm512_ternarylogic_epi64(low_bytes, lower, _mm512_slli_epi16(upper, 8), 0xCA);
  const __m512i odd =
      _mm512_ternarylogic_epi64(low_bytes, _mm512_srli_epi16(lower, 8), upper, 0xCA);
  values[0] = _mm512_castsi512_ps(_mm512_slli_epi32(even, 16));
  values[1] = _mm512_castsi512_ps(_mm512_slli_epi32(odd, 16));
  values[2] = _mm512_castsi512_ps(_mm512_and_si512(even, upper_half));
  values[3] = _mm512_castsi512_ps(_mm512_and_si512(odd, upper_half));
}
#define GEMV_BYTES
#define GEMV_MANY_REGISTERS
#include "matmul/kernels/gemv-inl.h"

/* Unpacking is within quarters of a vector: so each has a word of each of the results. */
static inline void bytes_in_order(const byte_words *of, words codes, vector *values) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                zero = _mm512_setzero_si512();
  __m512i lower, upper;
  halves_of_bytes(of, _mm512_permutexvar_epi32(order, codes), &lower, &upper);
  const __m512i low = _mm512_unpacklo_epi8(lower, upper), high = _mm512_unpackhi_epi8(lower, upper);
  values[0] = f_of(_mm512_unpacklo_epi16(zero, low));
  values[1] = f_of(_mm512_unpackhi_epi16(zero, low));
  values[2] = f_of(_mm512_unpacklo_epi16(zero, high));
  values[3] = f_of(_mm512_unpackhi_epi16(zero, high));
}
static inline void halves_in_order(words codes, words *to) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), zero = _mm512_setzero_si512();
  codes = _mm512_permutexvar_epi64(order, codes);
  to[0] = _mm512_unpacklo_epi16(zero, codes);
  to[1] = _mm512_unpackhi_epi16(zero, codes);
}
#include "matmul/kernels/decode_fields-inl.h"

static inline vector f_one_nan(vector v) {
  return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                            _mm512_set1_ps(CF_FLOAT32_NAN));
}
static inline void f_store_some(float *p, vector v, int64_t count) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), v);
}
#define SMALL_MANY_REGISTERS
#include "matmul/kernels/small-inl.h"

/* Of float64: products of integers, exact; and sums rounded to odd. */

/* 24 sums, three vectors of b and a number of a in the 32 registers */
enum { MR64 = 8, VECTORS64 = 3, NR64 = 8 * VECTORS64 };
/* a panel of b comes from the second cache, ahead of its use */
enum { KC64 = 256 };

static void multiply_avx512(int64_t inner, const double *a, const double *b, double *c) {
  __m512d sums[MR64][VECTORS64];
#pragma GCC unroll 8
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS64; ++j) {
      /* added to in the end */
      _mm_prefetch((const char *)(c + i * NR64 + 8 * j), _MM_HINT_T0);
      sums[i][j] = _mm512_setzero_pd();
    }
  for (int64_t k = 0; k < inner; ++k, a += MR64, b += NR64) {
    CF_PREFETCH((const void *)((uintptr_t)a + 16 * MR64 * sizeof *a));
#pragma GCC unroll 3
    for (uintptr_t j = 0; j < VECTORS64; ++j)
      CF_PREFETCH((const void *)((uintptr_t)b + (8 * NR64 + 8 * j) * sizeof *b));
    const __m512d b0 = _mm512_load_pd(b), b1 = _mm512_load_pd(b + 8), b2 = _mm512_load_pd(b + 16);
#pragma GCC unroll 8
    for (int i = 0; i < MR64; ++i) {
      const __m512d ai = _mm512_set1_pd(a[i]);
      sums[i][0] = _mm512_fmadd_pd(ai, b0, sums[i][0]);
      sums[i][1] = _mm512_fmadd_pd(ai, b1, sums[i][1]);
      sums[i][2] = _mm512_fmadd_pd(ai, b2, sums[i][2]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS64; ++j) {
      double *sum = c + i * NR64 + 8 * j;
      _mm512_store_pd(sum, _mm512_add_pd(_mm512_load_pd(sum), sums[i][j]));
    }
}

/* As in matmul/kernels/axpy_to_odd-inl.h. */
static void axpy_to_odd_avx512(double *sums, double a, const double *b, int64_t count) {
  const __m512d as = _mm512_set1_pd(a), zero = _mm512_setzero_pd();
  const __m512i one = _mm512_set1_epi64(1), two = _mm512_set1_epi64(2);
  const __m512i nan = _mm512_set1_epi64((long long)CF_FLOAT64_NAN_BITS);
  for (int64_t j = 0; j < count; j += 8) {
    const __mmask8 some = (__mmask8)(count - j < 8 ? (1u << (count - j)) - 1 : 0xFF);
    const __m512d before = _mm512_maskz_loadu_pd(some, sums + j);
    const __m512d product = _mm512_mul_pd(as, _mm512_maskz_loadu_pd(some, b + j));
    const __m512d sum = _mm512_add_pd(before, product);
    const __m512d added = _mm512_sub_pd(sum, before);
    const __m512d error = _mm512_add_pd(_mm512_sub_pd(before, _mm512_sub_pd(sum, added)),
                                        _mm512_sub_pd(product, added));
    __m512i bits = _mm512_castpd_si512(sum);
    /* not of infinite sums: it is NaN */
    const __mmask8 has_error = _mm512_cmp_pd_mask(error, zero, _CMP_NEQ_OQ);
    const __mmask8 changed = (__mmask8)(has_error & _mm512_testn_epi64_mask(bits, one));
    const __mmask8 toward_zero =
        _mm512_movepi64_mask(_mm512_xor_si512(bits, _mm512_castpd_si512(error)));
    bits = _mm512_mask_add_epi64(bits, changed, bits, one);
    bits = _mm512_mask_sub_epi64(bits, (__mmask8)(changed & toward_zero), bits, two);
    bits = _mm512_mask_mov_epi64(bits, _mm512_cmp_pd_mask(sum, sum, _CMP_UNORD_Q), nan);
    _mm512_mask_storeu_pd(sums + j, some, _mm512_castsi512_pd(bits));
  }
}

CF_TARGET_END

const cf_tiles cf_tiles_avx512 = CF_FLOAT32_TILES(end_tile_avx512);

const cf_float64_tile cf_float64_tile_avx512 = {MR64, NR64, KC64, multiply_avx512,
                                                axpy_to_odd_avx512};

#else
const cf_tiles cf_tiles_avx512 = {.tile = NULL};
const cf_float64_tile cf_float64_tile_avx512 = {.multiply = NULL};
#endif
