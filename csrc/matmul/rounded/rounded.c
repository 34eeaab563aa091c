/* Matrix products as hardware with a narrow accumulator has them: running sums that are rounded to
 * a format.
 *
 * A tile of results is worked on at a time, and for each place of the inner axis all of the tile's
 * sums gain their product and are rounded by the kernels that encode and decode.  A sum of float64
 * that is rounded to odd has 53 bits, and the last one tells whether anything is missing; so
 * rounding it to a format of 16 bits or fewer is rounding the exact sum, stochastically with 32
 * random bits too. */
#include <stdlib.h>
#include <string.h>

#include "convert/prepare.h"
#include "core/integers.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/operand.h"

enum {
  TILE_COLUMNS = CF_RUN_PIECE, /* at most */
  TILE_ROWS = 256,             /* at most */
  TILE_SIZE = 2048,            /* rows times columns, at most: sums stay in the nearest cache */
  LEAST_COLUMNS = 32,          /* in a tile made narrower for more threads to have one */
  KC = 128,                    /* decoded at a time */
  PRODUCTS_PER_THREAD = 1 << 13
};

/* What is the same for all tiles. */
typedef struct rounded {
  const cf_product *product;
  cf_rule rule;
  cf_axpy_to_odd_kernel *axpy_to_odd;
  cf_encode_kernel *encode;
  cf_decode_kernel *decode;
  int16_t bias;
  uint64_t offset, words;
  int64_t every;
  int64_t stacked, tile_rows, tile_columns;
  int64_t tiles;
  int threads;
  int status[CF_MAX_THREADS];
} rounded;

/* What a thread works with. */
typedef struct workspace {
  double sums[TILE_SIZE];
  uint16_t codes[TILE_SIZE];
  float values[TILE_SIZE];
  double a[KC * TILE_ROWS], b[KC * TILE_COLUMNS];
} workspace;

/* Some results. */
typedef struct tile {
  int64_t stack, row, rows, column, columns;
} tile;

/* The values of `count` elements from k on of `lines` lines: to[j * lines + i] is element k + j of
 * line i. */
static void decode_lines(const cf_operand *operand, int64_t line, int64_t lines, int64_t k,
                         int64_t count, double *to) {
  const int by_line = cf_operand_direction(operand) == CF_ALONG_LINE;
  const int64_t runs = by_line ? lines : count, length = by_line ? count : lines;
  const int64_t run_step = by_line ? 1 : lines, step = by_line ? lines : 1;
  for (int64_t i = 0; i < runs; ++i) {
    uint32_t values[CF_RUN_PIECE];
    if (by_line)
      cf_operand_decode(operand, CF_ALONG_LINE, line + i, k, (size_t)length, values);
    else
      cf_operand_decode(operand, CF_ACROSS_LINES, line, k + i, (size_t)length, values);
    for (int64_t j = 0; j < length; ++j) {
      float value;
      memcpy(&value, &values[j], sizeof value);
      to[i * run_step + j * step] = (double)value;
    }
  }
}

/* The tile's sums rounded, for the step-th time. */
static void round_sums(const rounded *r, workspace *workspace, const tile *t, uint64_t step) {
  const cf_product *product = r->product;
  const size_t size = (size_t)(t->rows * t->columns), code_size = r->rule.code_size;
  const uint64_t rows = (uint64_t)product->rows, columns = (uint64_t)product->columns;
  uint64_t position = r->offset + step * r->words +
                      ((uint64_t)t->stack * rows + (uint64_t)t->row) * columns +
                      (uint64_t)t->column;
  if (cf_rounding_mode(r->rule.rounding) != CF_STOCHASTIC || t->columns == product->columns) {
    r->encode(&r->rule, &r->bias, 0, workspace->sums, position, workspace->codes, size, NULL);
  } else {
    for (int64_t i = 0; i < t->rows; ++i, position += columns)
      r->encode(&r->rule, &r->bias, 0, workspace->sums + i * t->columns, position,
                (char *)workspace->codes + (size_t)(i * t->columns) * code_size, (size_t)t->columns,
                NULL);
  }
  r->decode(&r->rule, &r->bias, 0, workspace->codes, workspace->values, size, NULL);
  for (size_t i = 0; i < size; ++i) workspace->sums[i] = (double)workspace->values[i];
}

static void multiply_tile(const rounded *r, workspace *workspace, const tile *t) {
  const cf_product *product = r->product;
  const cf_operand a = cf_operand_a(product, t->stack), b = cf_operand_b(product, t->stack);
  const int64_t *strides = product->result_strides + product->stack_ndim;
  for (int64_t i = 0; i < t->rows * t->columns; ++i) workspace->sums[i] = workspace->values[i] = 0;
  for (int64_t k = 0; k < product->inner; k += KC) {
    const int64_t count = cf_at_most(product->inner - k, KC);
    decode_lines(&a, t->row, t->rows, k, count, workspace->a);
    decode_lines(&b, t->column, t->columns, k, count, workspace->b);
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t i = 0; i < t->rows; ++i)
        r->axpy_to_odd(workspace->sums + i * t->columns, workspace->a[j * t->rows + i],
                       workspace->b + j * t->columns, t->columns);
      const int64_t added = k + j + 1;
      if (added % r->every == 0 || added == product->inner)
        round_sums(r, workspace, t, (uint64_t)((added - 1) / r->every));
    }
  }
  char *result =
      cf_product_results(product, t->stack) + t->row * strides[0] + t->column * strides[1];
  for (int64_t i = 0; i < t->rows; ++i)
    for (int64_t j = 0; j < t->columns; ++j) {
      const float value = workspace->values[i * t->columns + j];
      uint32_t bits = CF_FLOAT32_NAN_BITS;
      if (value == value) memcpy(&bits, &value, sizeof bits);
      memcpy(result + i * strides[0] + j * strides[1], &bits, sizeof bits);
    }
}

static void multiply_share(void *context, int index) {
  rounded *r = context;
  const cf_product *product = r->product;
  const int64_t across = cf_divide_up(product->columns, r->tile_columns),
                down = cf_divide_up(product->rows, r->tile_rows);
  int64_t begin, end;
  cf_share_of(r->tiles, 1, r->threads, index, &begin, &end);
  workspace *workspace = malloc(sizeof *workspace);
  r->status[index] = workspace == NULL ? CF_NO_MEMORY : CF_OK;
  if (workspace == NULL) return;
  const uint64_t modes = cf_set_default_float_modes();
  for (int64_t i = begin; i < end; ++i) {
    tile t;
    t.stack = i / across / down;
    t.row = i / across % down * r->tile_rows;
    t.column = i % across * r->tile_columns;
    t.rows = cf_at_most(product->rows - t.row, r->tile_rows);
    t.columns = cf_at_most(product->columns - t.column, r->tile_columns);
    multiply_tile(r, workspace, &t);
  }
  cf_restore_float_modes(modes);
  free(workspace);
}

/* Cut the results into tiles, so many that each thread has one if that can be. */
static void plan_tiles(rounded *r, int threads) {
  const int64_t rows = r->product->rows, columns = r->product->columns;
  const double products =
      (double)r->stacked * (double)rows * (double)columns * (double)r->product->inner;
  threads = cf_useful_threads(products, PRODUCTS_PER_THREAD, threads);
  r->tile_columns = cf_at_most(columns, TILE_COLUMNS);
  if (r->stacked * rows < threads && columns > LEAST_COLUMNS) {
    const int64_t narrow = cf_divide_up(columns, cf_divide_up(threads, r->stacked * rows));
    if (narrow < r->tile_columns) r->tile_columns = narrow < LEAST_COLUMNS ? LEAST_COLUMNS : narrow;
  }
  const int64_t across = r->stacked * cf_divide_up(columns, r->tile_columns);
  r->tile_rows = cf_at_most(cf_at_most(TILE_SIZE / r->tile_columns, TILE_ROWS),
                            cf_divide_up(rows, cf_divide_up(threads, across)));
  r->tiles = across * cf_divide_up(rows, r->tile_rows);
  r->threads = (int)cf_at_most(threads, r->tiles);
}

static int multiply_all(const cf_product *product, const cf_format *accumulator, int bias,
                        int rounding, uint64_t seed, uint64_t offset, uint64_t words, int64_t every,
                        int threads) {
  rounded r;
  int status = cf_product_check(product, &r.stacked);
  if (status == CF_OK) status = cf_format_check(accumulator);
  if (status != CF_OK) return status;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  if (bias < accumulator->bias_min || bias > accumulator->bias_max) return CF_BAD_BIAS;
  if (every < 1) return CF_BAD_LAYOUT;
  if (r.stacked == 0 || product->rows == 0 || product->columns == 0) return CF_OK;
  for (int64_t i = 0; i < r.stacked; ++i) {
    const cf_operand a = cf_operand_a(product, i), b = cf_operand_b(product, i);
    if (!cf_operand_biases_allowed(&a) || !cf_operand_biases_allowed(&b)) return CF_BAD_BIAS;
  }
  r.product = product;
  r.rule = cf_rule_of(accumulator, rounding, seed, NULL);
  r.axpy_to_odd = cf_active_float64_tile()->axpy_to_odd;
  r.encode = cf_encode_kernel_of(accumulator, &r.rule, CF_FLOAT64);
  r.decode = cf_decode_kernel_of(accumulator, CF_FLOAT32);
  r.bias = (int16_t)bias;
  r.offset = offset;
  r.words = words;
  r.every = every;
  plan_tiles(&r, threads);
  cf_run_threads(r.threads, multiply_share, &r);
  for (int i = 0; i < r.threads; ++i)
    if (r.status[i] != CF_OK) return r.status[i];
  return CF_OK;
}

int cf_matmul_rounded(const cf_product *product, const cf_format *accumulator, int bias,
                      int rounding, uint64_t seed, uint64_t offset, uint64_t words, int64_t every,
                      int threads) {
  /* threads have modes of their own, but here is arithmetic too */
  const uint64_t modes = cf_set_default_float_modes();
  const int status =
      multiply_all(product, accumulator, bias, rounding, seed, offset, words, every, threads);
  cf_restore_float_modes(modes);
  return status;
}
