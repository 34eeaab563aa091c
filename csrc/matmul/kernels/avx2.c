/* Tiles of matrix products by AVX2 and FMA, in float32: each product is added by one fused
 * operation, in the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_X86_64)
#include <immintrin.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX2)

enum { ROWS = 6, COLUMNS = 16 };
_Static_assert(CF_STAGED_ACROSS % COLUMNS == 0, "panels that are packed together are whole");

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
      _mm256_store_ps(
          to, tile->first ? sums[i][half] : _mm256_add_ps(_mm256_load_ps(to), sums[i][half]));
    }
}

#include "matmul/kernels/end-inl.h"

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
#include "matmul/kernels/gemv-inl.h"

CF_TARGET_END

const cf_tiles cf_tiles_avx2 = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_avx2,
    .end = end_tile,
    .dot = dot,
    .update = update,
    .enter = cf_set_default_float_modes,
    .leave = cf_restore_float_modes,
};

#else
const cf_tiles cf_tiles_avx2 = {.tile = NULL};
#endif
