/* The float64 kernels for AVX2 and FMA. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)

#define ISA_NAME(slot) slot##_avx2
#include "matmul/kernels/add_odd-inl.h"

/* 12 sums, and vectors of b and a number of a in what is left of the 16 registers */
enum { ROWS = 4, VECTORS = 3, COLUMNS = 4 * VECTORS };

static void multiply_avx2(int64_t inner, const double *a, const double *b, double *c) {
  __m256d sums[ROWS][VECTORS];
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; ++j) sums[i][j] = _mm256_load_pd(c + i * COLUMNS + 4 * j);
  for (int64_t k = 0; k < inner; ++k, a += ROWS, b += COLUMNS) {
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; ++i) {
      const __m256d ai = _mm256_broadcast_sd(a + i);
      sums[i][0] = _mm256_fmadd_pd(ai, _mm256_load_pd(b), sums[i][0]);
      sums[i][1] = _mm256_fmadd_pd(ai, _mm256_load_pd(b + 4), sums[i][1]);
      sums[i][2] = _mm256_fmadd_pd(ai, _mm256_load_pd(b + 8), sums[i][2]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; ++j) _mm256_store_pd(c + i * COLUMNS + 4 * j, sums[i][j]);
}

CF_TARGET_END

const cf_float64_tile cf_float64_tile_avx2 = {ROWS, COLUMNS, multiply_avx2, add_odd_avx2};

#else
const cf_float64_tile cf_float64_tile_avx2 = {.multiply = NULL};
#endif
