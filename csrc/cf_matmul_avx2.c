/* Tiles of matrix products by AVX2 and FMA, in float32: each product is added by one fused operation, in the order of
 * the inner axis. */
#include "cf_matmul.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>

#include "cf_modes.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

enum { ROWS = 6, COLUMNS = 16 };

static void tile_float32_avx2(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  __m256 sums[ROWS][2];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += COLUMNS) {
    const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) {
      const __m256 element = _mm256_set1_ps(a[i * CF_MATMUL_LINE]);
      sums[i][0] = _mm256_fmadd_ps(element, b0, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(element, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      float *to = tile->sums + COLUMNS * i + 8 * half;
      _mm256_store_ps(to, tile->first ? sums[i][half] : _mm256_add_ps(_mm256_load_ps(to), sums[i][half]));
    }
}

#include "cf_matmul_end.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const cf_tiles cf_tiles_avx2 = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_avx2,
    .end = end_tile,
    .enter = cf_default_modes,
    .leave = cf_restore_modes,
};

#else
const cf_tiles cf_tiles_avx2 = {.tile = NULL};
#endif
