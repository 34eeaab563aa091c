/* The float64 kernels for NEON. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"

#if defined(CF_NEON)
#include <arm_neon.h>

#define ISA_NAME(slot) slot##_neon
#include "matmul/kernels/add_odd-inl.h"

/* 24 sums, four vectors of b and a number of a in the 32 registers */
enum { ROWS = 6, VECTORS = 4, COLUMNS = 2 * VECTORS };

static void multiply_neon(int64_t inner, const double *a, const double *b, double *c) {
  float64x2_t sums[ROWS][VECTORS];
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) sums[i][j] = vld1q_f64(c + i * COLUMNS + 2 * j);
  for (int64_t k = 0; k < inner; ++k, a += ROWS, b += COLUMNS) {
    float64x2_t bj[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) bj[j] = vld1q_f64(b + 2 * j);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; ++i) {
      const float64x2_t ai = vdupq_n_f64(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; ++j) sums[i][j] = vfmaq_f64(sums[i][j], ai, bj[j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; ++j) vst1q_f64(c + i * COLUMNS + 2 * j, sums[i][j]);
}

const cf_float64_tile cf_float64_tile_neon = {ROWS, COLUMNS, multiply_neon, add_odd_neon};

#else
const cf_float64_tile cf_float64_tile_neon = {.multiply = NULL};
#endif
