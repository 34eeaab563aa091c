/* Tiles of matrix products by NEON, in float32: each product is added by one fused operation, in
 * the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/tile.h"

#if defined(CF_NEON)
#include <arm_neon.h>

#include "cpu/float_modes.h"

enum { ROWS = 8, COLUMNS = 12 };
_Static_assert(CF_STAGED_ACROSS % COLUMNS == 0, "panels that are packed together are whole");

static void tile_float32_neon(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  float32x4_t sums[ROWS][3];
  for (int i = 0; i < ROWS; ++i) sums[i][0] = sums[i][1] = sums[i][2] = vdupq_n_f32(0);
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += COLUMNS) {
    const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4), b2 = vld1q_f32(b + 8);
    for (int i = 0; i < ROWS; ++i) {
      const float32x4_t element = vdupq_n_f32(a[i * CF_MATMUL_LINE]);
      sums[i][0] = vfmaq_f32(sums[i][0], element, b0);
      sums[i][1] = vfmaq_f32(sums[i][1], element, b1);
      sums[i][2] = vfmaq_f32(sums[i][2], element, b2);
    }
  }
  for (int i = 0; i < ROWS; ++i)
    for (int part = 0; part < 3; ++part) {
      float *to = tile->sums + COLUMNS * i + 4 * part;
      vst1q_f32(to, tile->first ? sums[i][part] : vaddq_f32(vld1q_f32(to), sums[i][part]));
    }
}

#include "matmul/kernels/end-inl.h"

typedef float32x4_t vector;
enum { VECTOR = 4 };
static inline vector f_zero(void) { return vdupq_n_f32(0); }
static inline vector f_load(const float *p) { return vld1q_f32(p); }
static inline void f_store(float *p, vector v) { vst1q_f32(p, v); }
static inline vector f_set1(float x) { return vdupq_n_f32(x); }
static inline vector f_add(vector a, vector b) { return vaddq_f32(a, b); }
static inline vector f_multiply_add(vector a, vector b, vector c) { return vfmaq_f32(c, a, b); }
static inline float f_sum(vector v) { return vaddvq_f32(v); }
#include "matmul/kernels/gemv-inl.h"

const cf_tiles cf_tiles_neon = {
    .packing = CF_PACKED_FLOAT32,
    .rows = ROWS,
    .columns = COLUMNS,
    .tile = tile_float32_neon,
    .end = end_tile,
    .dot = dot,
    .update = update,
    .enter = cf_set_default_float_modes,
    .leave = cf_restore_float_modes,
};

#else
const cf_tiles cf_tiles_neon = {.tile = NULL};
#endif
