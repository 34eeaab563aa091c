/* Tiles of matrix products by AVX512-BF16, from bfloat16: two products at a time are added, the
 * second of the two first, in the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_AVX512BF16)
#include <immintrin.h>
#include <string.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512BF16)

#include "matmul/kernels/end_avx512-inl.h"
#include "matmul/kernels/split-inl.h"
#include "matmul/kernels/widen-inl.h"

enum { ROWS = 14, COLUMNS = 32 };
_Static_assert(CF_STAGED_ACROSS % COLUMNS == 0, "panels that are packed together are whole");

static void tile_bfloat16_avx512bf16(const cf_tile *tile) {
  __m512 sums[ROWS][2];
#pragma GCC unroll 14
  for (int i = 0; i < ROWS; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  for (int pair = 0; pair < tile->pairs; ++pair) {
    const uint16_t *a = tile->a[pair], *b = tile->b[pair];
    for (int64_t k = 0; k < tile->inner; k += CF_MATMUL_STEP, a += ROWS * CF_MATMUL_STEP)
      for (int two = 0; two < CF_MATMUL_STEP; two += 2, b += 2 * COLUMNS) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(b),
                       b1 = (__m512bh)_mm512_load_si512(b + 32);
#pragma GCC unroll 14
        for (int i = 0; i < ROWS; ++i) {
          int bits;
          memcpy(&bits, a + i * CF_MATMUL_STEP + two, sizeof bits);
          const __m512bh elements = (__m512bh)_mm512_set1_epi32(bits);
          sums[i][0] = _mm512_dpbf16_ps(sums[i][0], elements, b0);
          sums[i][1] = _mm512_dpbf16_ps(sums[i][1], elements, b1);
        }
      }
  }
#pragma GCC unroll 14
  for (int i = 0; i < ROWS; ++i) {
    _mm512_store_ps(tile->sums + COLUMNS * i, sums[i][0]);
    _mm512_store_ps(tile->sums + COLUMNS * i + 16, sums[i][1]);
  }
}

CF_TARGET_END

const cf_tiles cf_tiles_avx512bf16 = {
    .packing = CF_PACKED_BFLOAT16,
    .rows = ROWS,
    .columns = COLUMNS,
    .pairs_max = 1,
    .tile = tile_bfloat16_avx512bf16,
    .split = split,
    .split_pairs = split_pairs,
    .widen = widen,
    .widen_columns = widen_columns,
    .dot_codes = dot_codes,
    .update_codes = update_codes,
    .end = end_tile_512,
    .enter = cf_set_default_float_modes,
    .leave = cf_restore_float_modes,
};

#else
const cf_tiles cf_tiles_avx512bf16 = {.tile = NULL};
#endif
