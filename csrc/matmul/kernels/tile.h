/* What a matrix product is made of: panels of packed operands, and the kernel that multiplies two
 * of them.
 *
 * Both operands are lines along the inner axis: a's rows and b's columns.  They are decoded while
 * they are packed into panels of MR or NR lines and at most KC of the inner axis (BLIS's names); a
 * kernel multiplies a panel of a, or a part of it, by one of b into a tile of sums (the structure
 * of BLIS).  Each block of the inner axis is summed from zero, and the blocks' sums are added in
 * order. */
#ifndef CF_MATMUL_KERNELS_TILE_H
#define CF_MATMUL_KERNELS_TILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/format.h"
#include "core/integers.h"
#include "cpu/compiler.h"

/* Elements as packed.  CF_PACKED_BFLOAT16 splits a value into the sum of up to three bfloat16, its
 * planes: a product of values is then the sum of the products of their planes. */
typedef enum cf_packing { CF_PACKED_FLOAT32, CF_PACKED_BFLOAT16 } cf_packing;

enum {
  CF_KC = 1024,           /* KC: inner elements that are packed together */
  CF_FLOAT32_PIECE = 256, /* and of a panel of float32, that stay in the nearest cache */
  CF_KC_UNIT = 32,        /* bfloat16 panels are padded with zeros to a multiple of this */
  /* from line to line of float32: of powers of two, lines would share cache sets */
  CF_KC_STRIDE = CF_KC + 32,
  CF_PLANES_MAX = 3,
  CF_PAIRS_MAX = 6,
  CF_TILE_LINES_MAX = 32, /* of a panel */
  CF_COLUMN_PIECE = 192,  /* columns that are packed at a time: a multiple of every kernel's */
  CF_TILE_ALIGNMENT = 64
};

/* Fetch what a tile of float32, at element k of two panels, will take of them in a while.  Hardware
 * follows the one stream of b, but not as many as a has lines: these by turns. */
static inline void cf_fetch_panels(const float *a, int64_t k, const float *b, int nr) {
  enum { GROUPS_AHEAD = 8, ELEMENTS_AHEAD = 32, IN_LINE = CF_CACHE_LINE / sizeof(float) };
  const uintptr_t at_a = (uintptr_t)a, at_b = (uintptr_t)b;
  /* of the line k % IN_LINE, from the element with k's multiple of IN_LINE */
  const uintptr_t line = (uintptr_t)k % IN_LINE * ((CF_KC_STRIDE - 1) * sizeof *a);
  CF_PREFETCH((const void *)(at_a + line + ELEMENTS_AHEAD * sizeof *a));
  for (int i = 0; i < nr; i += IN_LINE)
    CF_PREFETCH((const void *)(at_b + (uintptr_t)(GROUPS_AHEAD * nr + i) * sizeof *b));
}

/* A tile: sums = (first ? 0 : sums) + sum over pairs of a[p] @ b[p],  MR x NR.
 *
 * float32, one pair: a[0] has the lines of a panel, CF_KC_STRIDE elements from one to the next;
 * b[0] has `inner` groups of one element of each line.
 *
 * bfloat16, always the first: a's panels have
 * groups of CF_KC_UNIT consecutive elements of each line, b's of two.  inner is a multiple of
 * CF_KC_UNIT.  No element is subnormal, nor is any product. Everything is aligned to
 * CF_TILE_ALIGNMENT, but for the lines of a, which are to their elements' pairs. */
typedef struct cf_tile {
  const void *a[CF_PAIRS_MAX], *b[CF_PAIRS_MAX];
  int64_t inner;
  float *sums;
  int pairs, first;
} cf_tile;

typedef void cf_tile_kernel(const cf_tile *tile);

/* The end of a tile: results = (adds ? results : 0) + sums, of its first rows and columns, times
 * row_scale[i] * column_scale[j] if those are not NULL; any NaN is CF_FLOAT32_NAN.  Rows of sums
 * are whole, those of results `step` elements apart. */
typedef struct cf_tile_end {
  const float *sums;
  float *results;
  int64_t step;
  int rows, columns;
  int adds;
  const float *row_scale, *column_scale;
} cf_tile_end;

typedef void cf_tile_end_kernel(const cf_tile_end *end);

/* The magnitudes, as the bits of a float32, that planes take beside 0: from `low` on and below
 * `high`. */
typedef struct cf_plane_range {
  uint32_t low, high;
} cf_plane_range;

/* count float32 as planes of bfloat16: planes[p][i].  Returns whether all were 0 or within the
 * range. */
typedef int cf_split_kernel(const float *values, size_t count, int planes, cf_plane_range range,
                            uint16_t *const *to);
/* The same for two lines, whose elements alternate: planes[p][2 * i] and planes[p][2 * i + 1]. */
typedef int cf_split_pairs_kernel(const float *even, const float *odd, size_t count, int planes,
                                  cf_plane_range range, uint16_t *const *to);

/* The bfloat16 of codes of 8 bits, by bytes: of 128, the others being the same with the sign
 * set. */
typedef struct cf_bytes {
  uint8_t lower[128], upper[128];
} cf_bytes;

/* Decode count codes by a table, in groups of CF_KC_UNIT that are `step` elements apart; the
 * last is filled with zeros. */
typedef void cf_widen_kernel(const cf_bytes *table, const uint8_t *codes, int64_t count,
                             uint16_t *to, int64_t step);
/* The same for CF_WIDENED_COLUMNS columns and 2 * groups rows of codes, `step` bytes apart, into
 * two neighbouring panels of half as many columns. */
enum { CF_WIDENED_COLUMNS = 64 };
typedef void cf_widen_columns_kernel(const cf_bytes *table, const uint8_t *codes, int64_t step,
                                     int64_t groups, uint16_t *to0, uint16_t *to1);

/* Few rows times a matrix that is read once and not packed.
 *
 * sums[r] += x[r] . values, of count elements; x's rows are x_step elements apart */
typedef void cf_dot_kernel(const float *x, int64_t x_step, int rows, const float *values,
                           int64_t count, float *sums);
/* sums[r][i] += x[r][0] * values[0][i] + ... + x[r][3] * values[3][i], in sequence; count is a
 * multiple of CF_UPDATE_STEP, so that all are computed alike, wherever a thread's share ends */
enum { CF_UPDATES = 4, CF_UPDATE_STEP = 16 };
typedef void cf_update_kernel(const float *x, int64_t x_step, int rows, const float *values,
                              int64_t values_step, int64_t count, float *sums, int64_t sums_step);
/* How a code becomes a float32 by shifts and masks, from the uppermost bits of a word: n is
 * word >> right & mask | offset; where n & test is 0 it is subnormal, and the value is
 * (n & kept | set) - (n & sign | one); where it is above the limit without its sign, it is not
 * finite, but n & special_kept | special; and where it is `equal`, it is `instead`. */
typedef struct cf_fields {
  int size;  /* bytes of a code */
  int plain; /* all are finite, and of subnormal ones all of n is kept, and nothing set */
  int bias;  /* that of the values which the kernels take codes for */
  /* what decode_fields multiplies them by: 1, or any power of two that leaves them normal */
  float scale;
  uint32_t right, mask, offset, test, kept, set, sign, one;
  uint32_t limit, special_kept, special, equal, instead;
  /* of codes of 2 bytes themselves: the bits of which one is set in all that are not subnormal,
   * those of magnitudes, and the greatest magnitude that is finite */
  uint32_t exponents, magnitudes, greatest;
  /* Codes of a byte, of which all are finite, as bfloat16, byte by byte: its lower one by the
   * code's lower four bits, the upper one `upper`, beside what is left of the code without its sign
   * after a shift by upper_shift; and of subnormal ones, in which no bit of byte_exponents is set,
   * both by tables of their own.  Not if in_bytes is 0. */
  int in_bytes;
  uint8_t upper, upper_shift, byte_exponents;
  uint8_t lower[16], subnormal_lower[16], subnormal_upper[16];
} cf_fields;

/* The same of codes by a table, of many lines at once: sums[r][line] = x[r] . line.  Lines are
 * contiguous and `step` bytes apart, and x is arranged, or places along the inner axis are, and x
 * is as it is.  Rows of sums have room for a multiple of CF_GEMV_CODES lines. */
typedef struct cf_gemv {
  const cf_bytes *table;   /* or */
  const cf_fields *fields; /* of codes that are not looked up */
  const uint8_t *codes;
  int64_t step, lines, inner;
  const float *x;
  int64_t x_step;
  int rows;
  float *sums;
  int64_t sums_step;
  /* NULL, or of CF_GEMV_BLOCK neighbouring elements each, of every line, which the sums of those
   * are multiplied by; or of such lines, of every place, which x is multiplied by: `scales_step`
   * from one line, or place, to the next; CF_GEMV_SCALES can be read wherever there is one */
  const float *scales;
  int64_t scales_step;
  int64_t after; /* lines that follow in memory, and will be next */
  int64_t ahead; /* bytes from codes that become a panel to those that will be next */
  int64_t panel_step;
} cf_gemv;
/* a group's four scales, and those of the places that fill up a panel, less the first */
enum { CF_GEMV_BLOCK = 16, CF_GEMV_SCALES = 7 };
typedef void cf_gemv_kernel(const cf_gemv *gemv);
/* How many neighbouring lines from `line` on go together, where `bytes` of codes are a vector: no
 * load of those that follow should need two cache lines. */
static inline int64_t cf_gemv_lines_together(const cf_gemv *gemv, int64_t line, int size,
                                             int bytes) {
  const uintptr_t address = (uintptr_t)(gemv->codes + line * size);
  const int shift = size - 1; /* of 1 or 2: to divide takes as long as many codes */
  int64_t most =
      (gemv->step % bytes == 0 ? bytes - (int64_t)(address % (uintptr_t)bytes) : (int64_t)bytes) >>
      shift;
  if (gemv->scales != NULL && most % CF_GEMV_BLOCK != 0) most = bytes >> shift;
  return most < gemv->lines - line ? most : gemv->lines - line;
}
/* x in the order in which the kernels have the elements of lines of codes of 1 or 2 bytes; zeros
 * fill it up to a multiple of CF_GEMV_CODES. */
enum { CF_GEMV_CODES = 64 };
typedef void cf_arrange_kernel(int size, const float *x, int64_t count, float *to);

/* to[i * each + j] = 2^(exponent - biases[i]) for count biases, which need no alignment, and j
 * below each: powers that are normal numbers. */
typedef void cf_scales_kernel(const char *biases, int64_t count, int exponent, int64_t each,
                              float *to);

/* More rows: codes are decoded once for all of them, into a panel that stays in the nearest cache.
 * Some lines, or places, of codes from `codes` on, `count` of each, times scales if there are any:
 * those of CF_GEMV_BLOCK neighbouring ones, scales_step from one line to the next.  They are put
 * panel_step apart, which is CF_LINE_STEP or CF_PLACE_STEP, in the order of arrange, filled up to a
 * multiple of CF_GEMV_CODES. */
enum {
  CF_PANEL_ROWS = 4,
  CF_PANEL_LINES = 4,
  CF_PANEL_INNER = 512,               /* of each line */
  CF_LINE_STEP = CF_PANEL_INNER + 16, /* of a power of two, lines would share cache sets */
  CF_PANEL_PLACES = 32,
  CF_PLACE_STEP = CF_GEMV_CODES + 16
};
typedef void cf_decode_panel_kernel(const cf_gemv *gemv, const uint8_t *codes, int64_t lines,
                                    int64_t count, const float *scales, float *panel);
/* Rows, a multiple of CF_PANEL_ROWS, times a panel: of CF_PANEL_LINES lines, `count` elements of
 * each, into sums[row][line] of CF_GEMV_CODES / 4 lanes, which are added up to results[row][line]
 * if those are not NULL; or of `count` places of CF_GEMV_CODES lines, into sums[row] of these.
 * Sums are from zero if `first`. */
typedef struct cf_panel {
  const float *x, *panel;
  int64_t x_step, count;
  int rows, first;
  float *sums;
  int64_t sums_step; /* of places */
  float *results;    /* of lines, of which there may be fewer, and of rows */
  int64_t results_step;
  int result_rows, result_lines;
} cf_panel;
typedef void cf_panel_kernel(const cf_panel *panel);
/* The same of places, of CF_PANEL_ROWS rows, whatever it says of them, while the codes, `count` of
 * each place, become that panel. */
typedef void cf_first_rows_kernel(const cf_gemv *gemv, const uint8_t *codes, int64_t count,
                                  const float *scales, float *panel, const cf_panel *p);

/* Values of `count` codes at the fields' bias, times their scale, in their order; up to a vector of
 * bytes more is written.  Codes of a byte only if they are in_bytes. */
typedef void cf_decode_fields_kernel(const cf_fields *fields, const uint8_t *codes, int64_t count,
                                     float *to);

/* Small matrices, decoded and not packed: rows of elements, one after the other, float32 or
 * bfloat16, of which inner is even.  results = a @ b, in the order of the inner axis, rows `step`
 * elements apart, times the scales of rows and columns if there are any; every NaN is
 * CF_FLOAT32_NAN.  What a kernel reads beyond the last rows of a, CF_SMALL_ROWS - 1 at most, and
 * beyond b and the scales, CF_TILE_LINES_MAX elements, is there. */
enum { CF_SMALL_ROWS = 8 };
typedef struct cf_small {
  const void *a, *b;
  int64_t rows, inner, columns;
  float *results;
  int64_t step;
  const float *row_scale, *column_scale; /* or NULL */
} cf_small;
typedef void cf_small_kernel(const cf_small *small);

/* The kernels of an instruction set for one packing.  Panels of a have MR lines and those of b NR;
 * enter is called before kernels, on the same thread, and leave, with what it returned, after them:
 * floating-point modes are the default ones in between. */
typedef struct cf_tiles {
  cf_packing packing;
  int mr, nr;
  int pairs_max; /* of bfloat16: so many products of planes are faster than one of float32 */
  cf_tile_kernel *tile;
  cf_tile_end_kernel *end;
  cf_small_kernel *multiply_small;
  cf_split_kernel *split; /* these of bfloat16 only */
  cf_split_pairs_kernel *split_pairs;
  cf_widen_kernel *widen;
  cf_widen_columns_kernel *widen_columns;
  cf_gemv_kernel *dot_codes, *update_codes;
  cf_decode_panel_kernel *decode_panel_codes;
  cf_dot_kernel *dot; /* these of float32 only */
  cf_update_kernel *update;
  cf_gemv_kernel *dot_fields, *update_fields; /* or NULL */
  cf_arrange_kernel *arrange;                 /* for dot_fields and dot_codes */
  cf_scales_kernel *scales_of_biases;
  cf_decode_panel_kernel *decode_panel_fields;
  cf_panel_kernel *dot_panel, *update_panel;
  cf_first_rows_kernel *update_first_fields; /* or NULL */
  cf_decode_fields_kernel *decode_fields;
  uint64_t (*enter)(void);
  void (*leave)(uint64_t state);
} cf_tiles;

/* The table of a file that has MR, NR, tile_float32 and an end of tiles, and includes
 * gemv-inl.h and small-inl.h, and decode_fields-inl.h or not. */
#define CF_FLOAT32_TILES(end_of_tile)                                     \
  {.packing = CF_PACKED_FLOAT32,                                          \
   .mr = MR,                                                              \
   .nr = NR,                                                              \
   .tile = tile_float32,                                                  \
   .end = end_of_tile,                                                    \
   .dot = dot,                                                            \
   .update = update,                                                      \
   .multiply_small = multiply_small,                                      \
   CF_GEMV_OF_FIELDS CF_DECODE_FIELDS.enter = cf_set_default_float_modes, \
   .leave = cf_restore_float_modes}
/* And of one that has MR, NR, tile_bfloat16 and tile_end_avx512-inl.h.  What needs no tile is there
 * once for all of them: avx512bf16.c includes it, from split-inl.h, widen-inl.h and
 * small_bfloat16-inl.h. */
cf_small_kernel cf_multiply_small_avx512bf16;
cf_split_kernel cf_split_avx512bf16;
cf_split_pairs_kernel cf_split_pairs_avx512bf16;
cf_widen_kernel cf_widen_avx512bf16;
cf_widen_columns_kernel cf_widen_columns_avx512bf16;
cf_gemv_kernel cf_dot_codes_avx512bf16, cf_update_codes_avx512bf16;
cf_decode_panel_kernel cf_decode_panel_codes_avx512bf16;
#define CF_BFLOAT16_TILES(most_pairs, enter_modes, leave_modes) \
  {.packing = CF_PACKED_BFLOAT16,                               \
   .mr = MR,                                                    \
   .nr = NR,                                                    \
   .pairs_max = most_pairs,                                     \
   .tile = tile_bfloat16,                                       \
   .end = end_tile_avx512,                                      \
   .multiply_small = cf_multiply_small_avx512bf16,              \
   .split = cf_split_avx512bf16,                                \
   .split_pairs = cf_split_pairs_avx512bf16,                    \
   .widen = cf_widen_avx512bf16,                                \
   .widen_columns = cf_widen_columns_avx512bf16,                \
   .dot_codes = cf_dot_codes_avx512bf16,                        \
   .update_codes = cf_update_codes_avx512bf16,                  \
   .decode_panel_codes = cf_decode_panel_codes_avx512bf16,      \
   .enter = enter_modes,                                        \
   .leave = leave_modes}

extern const cf_tiles cf_tiles_portable, cf_tiles_neon, cf_tiles_avx2, cf_tiles_avx512,
    cf_tiles_avx512bf16, cf_tiles_amx;

/* Those in use: of float32, and of bfloat16 or NULL. */
const cf_tiles *cf_active_tiles(cf_packing packing);

#endif
