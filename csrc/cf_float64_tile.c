/* The choice of the float64 kernels, and those in plain C. */
#include "cf_float64_tile.h"

#include <string.h>

#include "cf_kernels.h"

#define ISA_NAME(slot) slot##_portable
#include "cf_add_odd.h"

enum { ROWS = 4, COLUMNS = 4 };

static void multiply_portable(int64_t inner, const double *a, const double *b, double *c) {
  double sums[ROWS][COLUMNS];
  memcpy(sums, c, sizeof sums);
  for (int64_t k = 0; k < inner; ++k, a += ROWS, b += COLUMNS)
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < COLUMNS; ++j) sums[i][j] += a[i] * b[j];
  memcpy(c, sums, sizeof sums);
}

const cf_float64_tile cf_float64_tile_portable = {"portable", ROWS, COLUMNS, multiply_portable, add_odd_portable};

const cf_float64_tile *cf_active_float64_tile(void) {
  static const cf_float64_tile *const tiles[] = {&cf_float64_tile_neon, &cf_float64_tile_avx2,
                                                 &cf_float64_tile_avx512};
  const char *active = cf_active_kernels()->name;
  for (size_t i = 0; i < sizeof tiles / sizeof *tiles; ++i)
    if (tiles[i]->multiply != NULL && strncmp(active, tiles[i]->isa, strlen(tiles[i]->isa)) == 0)
      return tiles[i];
  return &cf_float64_tile_portable;
}
