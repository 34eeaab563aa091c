/* Tiles of matrix products by AMX, from bfloat16: 32 products at a time are added, the 16 of even
 * place and the 16 of odd place apart and in sequence, then those two sums to each other and to the
 * sum so far. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_AMX)
#include <immintrin.h>
#include <string.h>

#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AMX)

#include "matmul/kernels/tile_end_avx512-inl.h"

enum { MR = 32, NR = 32, TILE_BYTES = 64, TILE_ROWS = 16 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

/* Eight tiles of 16 rows of 64 bytes. */
static uint64_t enter_amx(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_in_a_row[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int i = 0; i < 8; ++i) {
    config.bytes_in_a_row[i] = TILE_BYTES;
    config.rows[i] = TILE_ROWS;
  }
  /* compilers take it that the first 8 bytes are all that is read */
  __asm__ volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
  return cf_set_default_float_modes();
}

static void leave_amx(uint64_t state) {
  _tile_release();
  cf_restore_float_modes(state);
}

static void tile_bfloat16(const cf_tile *tile) {
  const int step_of_a = TILE_BYTES, step_of_b = NR * 4, step = NR * 4;
  float *const upper = tile->sums, *const lower = tile->sums + TILE_ROWS * NR;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int pair = 0; pair < tile->pairs; ++pair) {
    const uint16_t *a = tile->a[pair], *b = tile->b[pair];
    for (int64_t k = 0; k < tile->inner;
         k += CF_KC_UNIT, a += CF_KC_UNIT * MR, b += CF_KC_UNIT * NR) {
      _tile_loadd(4, a, step_of_a);
      _tile_loadd(6, b, step_of_b);
      _tile_loadd(5, a + CF_KC_UNIT * TILE_ROWS, step_of_a);
      _tile_loadd(7, b + 32, step_of_b);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, upper, step);
  _tile_stored(1, upper + 16, step);
  _tile_stored(2, lower, step);
  _tile_stored(3, lower + 16, step);
}

CF_TARGET_END

const cf_tiles cf_tiles_amx = CF_BFLOAT16_TILES(CF_PAIRS_MAX, enter_amx, leave_amx);

#else
const cf_tiles cf_tiles_amx = {.tile = NULL};
#endif
