/* Tiles of matrix products in plain C, in float32: products are rounded and then added, in the
 * order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"
#include "cpu/float_modes.h"

enum { ROWS = 4, COLUMNS = 8 };
_Static_assert(CF_STAGED_ACROSS % COLUMNS == 0, "panels that are packed together are whole");

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

#include "matmul/kernels/end-inl.h"

typedef float vector;
enum { VECTOR = 1 };
static inline vector f_zero(void) { return 0; }
static inline vector f_load(const float *p) { return *p; }
static inline void f_store(float *p, vector v) { *p = v; }
static inline vector f_set1(float x) { return x; }
static inline vector f_add(vector a, vector b) { return a + b; }
static inline vector f_multiply_add(vector a, vector b, vector c) { return a * b + c; }
static inline float f_sum(vector v) { return v; }
#include "matmul/kernels/gemv-inl.h"

const cf_tiles cf_tiles_portable = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_portable,
    .end = end_tile,
    .dot = dot,
    .update = update,
    .enter = cf_set_default_float_modes,
    .leave = cf_restore_float_modes,
};
