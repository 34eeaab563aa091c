/* The float64 kernels in plain C. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"

#include <string.h>

#define ISA_NAME(slot) slot##_portable
#include "matmul/kernels/add_odd-inl.h"

enum { ROWS = 4, COLUMNS = 4 };

static void multiply_portable(int64_t inner, const double *a, const double *b, double *c) {
  double sums[ROWS][COLUMNS];
  memcpy(sums, c, sizeof sums);
  for (int64_t k = 0; k < inner; ++k, a += ROWS, b += COLUMNS)
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < COLUMNS; ++j) sums[i][j] += a[i] * b[j];
  memcpy(c, sums, sizeof sums);
}

const cf_float64_tile cf_float64_tile_portable = {ROWS, COLUMNS, multiply_portable,
                                                  add_odd_portable};
