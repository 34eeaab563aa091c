/* The float64 kernels for AVX-512. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)

/* 24 sums, three vectors of b and a number of a in the 32 registers */
enum { ROWS = 8, VECTORS = 3, COLUMNS = 8 * VECTORS };

static void multiply_avx512(int64_t inner, const double *a, const double *b, double *c) {
  __m512d sums[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; ++j) {
      /* added to in the end */
      _mm_prefetch((const char *)(c + i * COLUMNS + 8 * j), _MM_HINT_T0);
      sums[i][j] = _mm512_setzero_pd();
    }
  for (int64_t k = 0; k < inner; ++k, a += ROWS, b += COLUMNS) {
    const __m512d b0 = _mm512_load_pd(b), b1 = _mm512_load_pd(b + 8), b2 = _mm512_load_pd(b + 16);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; ++i) {
      const __m512d ai = _mm512_set1_pd(a[i]);
      sums[i][0] = _mm512_fmadd_pd(ai, b0, sums[i][0]);
      sums[i][1] = _mm512_fmadd_pd(ai, b1, sums[i][1]);
      sums[i][2] = _mm512_fmadd_pd(ai, b2, sums[i][2]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; ++j) {
      double *sum = c + i * COLUMNS + 8 * j;
      _mm512_store_pd(sum, _mm512_add_pd(_mm512_load_pd(sum), sums[i][j]));
    }
}

/* As in matmul/kernels/add_odd-inl.h. */
static void add_odd_avx512(double *sums, double a, const double *b, int64_t count) {
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

const cf_float64_tile cf_float64_tile_avx512 = {ROWS, COLUMNS, multiply_avx512, add_odd_avx512};

#else
const cf_float64_tile cf_float64_tile_avx512 = {.multiply = NULL};
#endif
