/* Tiles of matrix products by NEON, in float32: each product is added by one fused operation, in
 * the order of the inner axis. */
#include "cpu/target.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/kernels/tile.h"

#if defined(CF_NEON)
#include <arm_neon.h>

#include "cpu/float_modes.h"

enum { MR = 8, NR = 12 };
_Static_assert(CF_COLUMN_PIECE % NR == 0, "panels that are packed together are whole");

static void tile_float32(const cf_tile *tile) {
  const float *a = tile->a[0], *b = tile->b[0];
  float32x4_t sums[MR][3];
  for (int i = 0; i < MR; ++i) sums[i][0] = sums[i][1] = sums[i][2] = vdupq_n_f32(0);
  for (int64_t k = 0; k < tile->inner; ++k, ++a, b += NR) {
    const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4), b2 = vld1q_f32(b + 8);
    for (int i = 0; i < MR; ++i) {
      const float32x4_t element = vdupq_n_f32(a[i * CF_KC_STRIDE]);
      sums[i][0] = vfmaq_f32(sums[i][0], element, b0);
      sums[i][1] = vfmaq_f32(sums[i][1], element, b1);
      sums[i][2] = vfmaq_f32(sums[i][2], element, b2);
    }
  }
  for (int i = 0; i < MR; ++i)
    for (int part = 0; part < 3; ++part) {
      float *to = tile->sums + NR * i + 4 * part;
      vst1q_f32(to, tile->first ? sums[i][part] : vaddq_f32(vld1q_f32(to), sums[i][part]));
    }
}

#include "matmul/kernels/tile_end-inl.h"

typedef float32x4_t vector;
enum { VECTOR = 4 };
static inline vector f_zero(void) { return vdupq_n_f32(0); }
static inline vector f_load(const float *p) { return vld1q_f32(p); }
static inline void f_store(float *p, vector v) { vst1q_f32(p, v); }
static inline vector f_set1(float x) { return vdupq_n_f32(x); }
static inline vector f_add(vector a, vector b) { return vaddq_f32(a, b); }
static inline vector f_multiply_add(vector a, vector b, vector c) { return vfmaq_f32(c, a, b); }
static inline float f_sum(vector v) { return vaddvq_f32(v); }

typedef uint32x4_t words;
static inline words words_load(const void *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
static inline words words_set1(uint32_t x) { return vdupq_n_u32(x); }
#define words_left(v, bits) vshlq_n_u32(v, bits)
static inline words words_right(words v, words bits) {
  return vreinterpretq_u32_s32(
      vshlq_s32(vreinterpretq_s32_u32(v), vnegq_s32(vreinterpretq_s32_u32(bits))));
}
static inline words words_and_or(words a, words b, words c) {
  return vorrq_u32(vandq_u32(a, b), c);
}
static inline words words_where_above(words v, words limit, words c) {
  const words magnitude = vandq_u32(v, vdupq_n_u32(INT32_MAX));
  return vbslq_u32(vcgtq_u32(magnitude, limit), c, v);
}
static inline words words_where_equal(words v, words w, words c) {
  return vbslq_u32(vceqq_u32(v, w), c, v);
}
static inline vector f_of(words v) { return vreinterpretq_f32_u32(v); }
static inline words words_of(vector v) { return vreinterpretq_u32_f32(v); }
static inline words words_and(words a, words b) { return vandq_u32(a, b); }
static inline int words_any_zero(words v) { return vminvq_u16(vreinterpretq_u16_u32(v)) == 0; }
static inline int words_any_above(words v, words limit) {
  return vmaxvq_u16(vcgtq_u16(vreinterpretq_u16_u32(v), vreinterpretq_u16_u32(limit))) != 0;
}
static inline vector f_subtract_at(vector a, vector b, words n, words test) {
  const words normal = vtstq_u32(n, test);
  return vsubq_f32(vbslq_f32(normal, f_of(n), a),
                   f_of(vbicq_u32(vreinterpretq_u32_f32(b), normal)));
}
static inline vector f_scales(const float *p, int codes) {
  (void)codes; /* CF_GEMV_BLOCK at most */
  return f_set1(p[0]);
}
static inline vector f_multiply(vector a, vector b) { return vmulq_f32(a, b); }
#define GEMV_FIELDS
#include "matmul/kernels/gemv-inl.h"

static inline vector f_one_nan(vector v) {
  return vbslq_f32(vceqq_f32(v, v), v, vdupq_n_f32(CF_FLOAT32_NAN));
}
static inline void f_store_some(float *p, vector v, int64_t count) {
  float all[VECTOR];
  vst1q_f32(all, v);
  for (int64_t i = 0; i < count; ++i) p[i] = all[i];
}
#include "matmul/kernels/small-inl.h"

/* Of float64: products of integers, exact; and sums rounded to odd. */

#define ISA_NAME(slot) slot##_neon
#include "matmul/kernels/axpy_to_odd-inl.h"

/* 24 sums, four vectors of b and a number of a in the 32 registers */
enum { MR64 = 6, VECTORS64 = 4, NR64 = 2 * VECTORS64 };
enum { KC64 = 160 }; /* a panel of b stays in the nearest cache */

static void multiply_neon(int64_t inner, const double *a, const double *b, double *c) {
  float64x2_t sums[MR64][VECTORS64];
#pragma GCC unroll 6
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS64; ++j) sums[i][j] = vld1q_f64(c + i * NR64 + 2 * j);
  for (int64_t k = 0; k < inner; ++k, a += MR64, b += NR64) {
    float64x2_t bj[VECTORS64];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS64; ++j) bj[j] = vld1q_f64(b + 2 * j);
#pragma GCC unroll 6
    for (int i = 0; i < MR64; ++i) {
      const float64x2_t ai = vdupq_n_f64(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS64; ++j) sums[i][j] = vfmaq_f64(sums[i][j], ai, bj[j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR64; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS64; ++j) vst1q_f64(c + i * NR64 + 2 * j, sums[i][j]);
}

const cf_tiles cf_tiles_neon = CF_FLOAT32_TILES(end_tile);

const cf_float64_tile cf_float64_tile_neon = {MR64, NR64, KC64, multiply_neon, axpy_to_odd_neon};

#else
const cf_tiles cf_tiles_neon = {.tile = NULL};
const cf_float64_tile cf_float64_tile_neon = {.multiply = NULL};
#endif
