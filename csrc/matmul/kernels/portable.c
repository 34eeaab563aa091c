/* Tiles of matrix products in plain C, in float32: products are rounded and then added, in the
 * order of the inner axis. */
#include <string.h>

#include "cpu/float_modes.h"
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/kernels/tile.h"

enum { MR = 4, NR = 8 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

static void tile_float32(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  float sums[MR][NR] = {{0}};
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += NR)
    for (int i = 0; i < MR; ++i)
      for (int j = 0; j < NR; ++j) sums[i][j] += a[i * CF_KC_STRIDE] * b[j];
  for (int i = 0; i < MR; ++i)
    for (int j = 0; j < NR; ++j) {
      float *to = tile->sums + NR * i + j;
      *to = tile->first ? sums[i][j] : *to + sums[i][j];
    }
}

#include "matmul/kernels/tile_end-inl.h"

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

static inline vector f_multiply(vector a, vector b) { return a * b; }
static inline vector f_one_nan(vector v) { return v == v ? v : CF_FLOAT32_NAN; }
static inline void f_store_some(float *p, vector v, int64_t count) {
  (void)p, (void)v, (void)count; /* a vector has one */
}
#include "matmul/kernels/small-inl.h"

/* Of float64: products of integers, exact; and sums rounded to odd. */

#define ISA_NAME(slot) slot##_portable
#include "matmul/kernels/axpy_to_odd-inl.h"

enum { MR64 = 4, NR64 = 4, KC64 = 160 };

static void multiply_portable(int64_t inner, const double *a, const double *b, double *c) {
  double sums[MR64][NR64];
  memcpy(sums, c, sizeof sums);
  for (int64_t k = 0; k < inner; ++k, a += MR64, b += NR64)
    for (int i = 0; i < MR64; ++i)
      for (int j = 0; j < NR64; ++j) sums[i][j] += a[i] * b[j];
  memcpy(c, sums, sizeof sums);
}

const cf_tiles cf_tiles_portable = CF_FLOAT32_TILES(end_tile);

const cf_float64_tile cf_float64_tile_portable = {MR64, NR64, KC64, multiply_portable,
                                                  axpy_to_odd_portable};
