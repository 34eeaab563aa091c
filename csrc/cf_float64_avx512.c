/* The float64 tile for AVX-512. */
#include "cf_float64_tile.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif

/* 24 sums, three vectors of b and a number of a in the 32 registers */
enum { ROWS = 8, VECTORS = 3, COLUMNS = 8 * VECTORS };

static void multiply_avx512(int64_t inner, const double *a, const double *b, double *c) {
  __m512d sums[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; ++j) {
      _mm_prefetch((const char *)(c + i * COLUMNS + 8 * j), _MM_HINT_T0); /* added to in the end */
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

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const cf_float64_tile cf_float64_tile_avx512 = {ROWS, COLUMNS, multiply_avx512};

#else
const cf_float64_tile cf_float64_tile_avx512 = {.multiply = NULL};
#endif
