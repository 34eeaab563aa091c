/* Tiles of matrix products in plain C, in float32: products are rounded and then added, in the order of the inner
 * axis. */
#include "cf_matmul.h"
#include "cf_modes.h"

enum { ROWS = 4, COLUMNS = 8 };

static void tile_float32_portable(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  float sums[ROWS][COLUMNS] = {{0}};
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += COLUMNS)
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < COLUMNS; ++j) sums[i][j] += a[i * CF_MATMUL_LINE] * b[j];
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < COLUMNS; ++j) {
      float *to = tile->sums + COLUMNS * i + j;
      *to = tile->first ? sums[i][j] : *to + sums[i][j];
    }
}

#include "cf_matmul_end.h"

const cf_tiles cf_tiles_portable = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_portable,
    .end = end_tile,
    .enter = cf_default_modes,
    .leave = cf_restore_modes,
};
