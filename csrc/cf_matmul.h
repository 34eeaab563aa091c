/* What a matrix product is made of: panels of packed operands, and the kernel that multiplies two of them.
 *
 * Both operands are lines along the inner axis: a's rows and b's columns.  They are decoded once, while they are packed
 * into panels of so many lines and at most CF_MATMUL_BLOCK of the inner axis; a kernel multiplies a panel of a by one of b into
 * a tile of the result (the structure of BLIS).  Each block of the inner axis is summed from zero, and the
 * blocks' sums are added in order. */
#ifndef CF_MATMUL_H
#define CF_MATMUL_H

#include <stddef.h>

#include "cfloat.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define CF_ALIGNED(n) __declspec(align(n))
#else
#define CF_ALIGNED(n) _Alignas(n)
#endif

/* Elements as packed.  CF_PACKED_BFLOAT16 splits a value into the sum of up to three bfloat16, its planes: a product of
 * values is then the sum of the products of their planes. */
typedef enum cf_packing { CF_PACKED_FLOAT32, CF_PACKED_BFLOAT16 } cf_packing;

enum {
  CF_MATMUL_BLOCK_FLOAT32 = 256,   /* inner elements of a panel of float32 */
  CF_MATMUL_BLOCK_BFLOAT16 = 1024, /* and of bfloat16 */
  CF_MATMUL_STEP = 32,             /* bfloat16 panels are padded with zeros to a multiple of this */
  /* elements from one line of a panel to the next; of powers of two, lines would share cache sets */
  CF_LINE_FLOAT32 = CF_MATMUL_BLOCK_FLOAT32 + 32,
  CF_LINE_BFLOAT16 = CF_MATMUL_BLOCK_BFLOAT16 + 32,
  CF_PLANES_MAX = 3,
  CF_PAIRS_MAX = 6,
  CF_TILE_LINES_MAX = 64, /* lines of a panel */
  CF_TILE_ALIGNMENT = 64
};

/* A tile: c = (first ? 0 : c) + sum over pairs of a[p] @ b[p], times row_scale[i] * column_scale[j] if those are not
 * NULL.  The sum is complete before c is added.
 *
 * float32, one pair: a[0] has the lines of a panel, CF_LINE_FLOAT32 elements from one to the next; b[0] has `inner` groups of
 * one element of each line.
 * bfloat16: a's lines are CF_LINE_BFLOAT16 elements apart; b's panels have inner / 2 groups of two consecutive elements of each line.  inner is a multiple
 * of CF_MATMUL_STEP.  No element is subnormal, nor is any product.
 * Panels are aligned to CF_TILE_ALIGNMENT; c is not, and its rows are c_step elements apart. */
typedef struct cf_tile {
  const void *a[CF_PAIRS_MAX], *b[CF_PAIRS_MAX];
  int64_t inner;
  float *c;
  int64_t c_step;
  const float *row_scale, *column_scale;
  int pairs, first;
} cf_tile;

typedef void cf_tile_kernel(const cf_tile *tile);

/* count float32 as planes of bfloat16: planes[p][i].  Returns whether all were 0 or of magnitude `low` (bits of a float32)
 * and more, and finite where there are two planes or more. */
typedef int cf_split_kernel(const float *values, size_t count, int planes, uint32_t low, uint16_t *const *to);
/* The same for two lines, whose elements alternate: planes[p][2 * i] and planes[p][2 * i + 1]. */
typedef int cf_split_pairs_kernel(const float *even, const float *odd, size_t count, int planes, uint32_t low,
                                  uint16_t *const *to);

/* Decode codes of 8 bits to bfloat16 by a table of 256; of a signed format, whose upper half is the lower with the
 * sign set. */
typedef void cf_widen_kernel(const uint16_t *table, const uint8_t *codes, size_t count, uint16_t *to);
typedef void cf_widen_pairs_kernel(const uint16_t *table, const uint8_t *even, const uint8_t *odd, size_t count,
                                   uint16_t *to);

/* The kernels of an instruction set for one packing.  Panels of a have `rows` lines and those of b `columns`; enter is called
 * before kernels, on the same thread, and leave, with what it returned, after them: floating-point modes are the
 * default ones in between. */
typedef struct cf_tiles {
  cf_packing packing;
  int rows, columns;
  int pairs_max; /* of bfloat16: so many products of planes are faster than one of float32 */
  cf_tile_kernel *tile;
  cf_split_kernel *split; /* these of bfloat16 only */
  cf_split_pairs_kernel *split_pairs;
  cf_widen_kernel *widen;
  cf_widen_pairs_kernel *widen_pairs;
  uint64_t (*enter)(void);
  void (*leave)(uint64_t state);
} cf_tiles;

extern const cf_tiles cf_tiles_portable, cf_tiles_neon, cf_tiles_avx2, cf_tiles_avx512, cf_tiles_avx512bf16,
    cf_tiles_amx;

/* Those in use: of float32, and of bfloat16 or NULL. */
const cf_tiles *cf_active_tiles(cf_packing packing);

#endif
