/* Tiles of matrix products by AVX-512, in float32: each product is added by one fused operation, in
 * the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512)

#include "matmul/kernels/end_avx512-inl.h"

enum { ROWS = 14, COLUMNS = 32 };
_Static_assert(CF_STAGED_ACROSS % COLUMNS == 0, "panels that are packed together are whole");

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

static void tile_float32_avx512(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  __m512 sums[ROWS][2];
#pragma GCC unroll 14
  for (int i = 0; i < ROWS; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += COLUMNS) {
    const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
#pragma GCC unroll 14
    for (int i = 0; i < ROWS; ++i) {
      const __m512 element = _mm512_set1_ps(a[i * CF_MATMUL_LINE]);
      sums[i][0] = _mm512_fmadd_ps(element, b0, sums[i][0]);
      sums[i][1] = _mm512_fmadd_ps(element, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < ROWS; ++i) put_row(tile, i, sums[i][0], sums[i][1]);
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
#include "matmul/kernels/gemv-inl.h"

CF_TARGET_END

const cf_tiles cf_tiles_avx512 = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_avx512,
    .end = end_tile_512,
    .dot = dot,
    .update = update,
    .enter = cf_set_default_float_modes,
    .leave = cf_restore_float_modes,
};

#else
const cf_tiles cf_tiles_avx512 = {.tile = NULL};
#endif
