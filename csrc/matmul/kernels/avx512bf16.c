/* Tiles of matrix products by AVX512-BF16, from bfloat16: two products at a time are added, the
 * second of the two first, in the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_AVX512BF16)
#include <immintrin.h>
#include <string.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512BF16)

#include "matmul/kernels/tile_end_avx512-inl.h"
#include "matmul/kernels/split-inl.h"
#include "matmul/kernels/widen-inl.h"
#include "matmul/kernels/small_bfloat16-inl.h"

enum { MR = 14, NR = 32 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

static void tile_bfloat16(const cf_tile *tile) {
  __m512 sums[MR][2];
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
  for (int pair = 0; pair < tile->pairs; ++pair) {
    const uint16_t *a = tile->a[pair], *b = tile->b[pair];
    for (int64_t k = 0; k < tile->inner; k += CF_KC_UNIT, a += MR * CF_KC_UNIT)
      for (int two = 0; two < CF_KC_UNIT; two += 2, b += 2 * NR) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(b),
                       b1 = (__m512bh)_mm512_load_si512(b + 32);
#pragma GCC unroll 14
        for (int i = 0; i < MR; ++i) {
          int bits;
          memcpy(&bits, a + i * CF_KC_UNIT + two, sizeof bits);
          const __m512bh elements = (__m512bh)_mm512_set1_epi32(bits);
          sums[i][0] = _mm512_dpbf16_ps(sums[i][0], elements, b0);
          sums[i][1] = _mm512_dpbf16_ps(sums[i][1], elements, b1);
        }
      }
  }
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) {
    _mm512_store_ps(tile->sums + NR * i, sums[i][0]);
    _mm512_store_ps(tile->sums + NR * i + 16, sums[i][1]);
  }
}

CF_TARGET_END

const cf_tiles cf_tiles_avx512bf16 =
    CF_BFLOAT16_TILES(1, cf_set_default_float_modes, cf_restore_float_modes);

#else
const cf_tiles cf_tiles_avx512bf16 = {.tile = NULL};
#endif
