/* What other schemes of quantisation make of a matrix: codes and scales that elements share.
 *
 * A matrix is taken in chunks, CF_TILE rows by CF_SCHEME_COLUMNS columns, which whole tiles and
 * blocks fill; a chunk in batches of some of its rows, which stay in the nearest cache while all
 * schemes are at them.  A batch is blocks of CF_SCHEME_LANES elements, each with the numbers of its
 * group, so that all granularities are one.  The order of a sum is that of lanes, batches and
 * chunks.  A stack of matrices is the chunks of one after those of another. */
#include <float.h>
#include <string.h>

#include "convert/operation.h"
#include "core/integers.h"
#include "core/scalar.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "stats/scheme_loops.h"

enum {
  LANES = CF_SCHEME_LANES,
  ROW_BLOCKS = CF_SCHEME_COLUMNS / LANES,
  TILE_BLOCKS = CF_TILE / LANES,
  ROW_TILES = CF_SCHEME_COLUMNS / CF_TILE,
  BATCH_BLOCKS = 64, /* 4 KB of elements, and 8 KB of them in float64 */
  CHUNKS = 64        /* whose sums are kept at a time */
};

/* The work, in elements times schemes, that is worth a thread. */
enum { WORK_PER_THREAD = 1 << 17 };

/* Of the largest values of formats whose scales are powers of two. */
enum { LEAST_EXPONENT = 2, MOST_EXPONENT = 86 };

/* FLT_MIN and 448 are the peers' own numbers. */
static const float E4M3_MAX = 448, LEAST_E4M3 = 0.125f;

static const cf_format e4m3 = {4, 3, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 1, 7, 7};

/* A cf_scheme made ready.  The largest value is that of the format, or half an integer range; and
 * integers are a format of one exponent bit, whose unit is 1 / `ones`. */
typedef struct prepared {
  cf_operation round;
  int16_t bias;
  int scale, granularity;
  int64_t group; /* blocks of LANES in one of CF_EACH_BLOCK */
  float max, ones, low, high;
  int max_exponent;
  int is_short; /* codes are rounded as `rounding` says, and nothing of them is kept but errors */
  cf_scheme_rounding rounding;
} prepared;

typedef struct task {
  const cf_rows *matrix; /* or a stack of them */
  const prepared *schemes;
  cf_operation round_scales; /* to E4M3 */
  int count, threads;
  int64_t first_chunk, chunks;        /* so many of these at a time */
  int64_t matrix_chunks, row_chunks;  /* of a matrix; of one band of CF_TILE rows */
  double (*sums)[CF_MAX_SCHEMES + 1]; /* of each chunk and scheme; the last of the elements */
  float *results;                     /* NULL, or where the only scheme's values go */
} task;

/* Rows are counted from the first of the stack; all of a row is `blocks` blocks of LANES. */
typedef struct chunk {
  int64_t first_row, first_column, rows, columns, blocks;
  float peak;                        /* of the whole matrix */
  float peaks[CF_TILE * ROW_BLOCKS]; /* of each block */
  float tile_peaks[ROW_TILES];
} chunk;

/* What belongs to the elements, and the blocks, of a batch. */
typedef struct batch {
  int64_t row, rows, blocks; /* from the chunk's first; all its blocks */
  CF_ALIGNED(CF_CACHE_LINE) float values[BATCH_BLOCKS * LANES];
  CF_ALIGNED(CF_CACHE_LINE) float codes[BATCH_BLOCKS * LANES];
  CF_ALIGNED(CF_CACHE_LINE) double magnitudes[BATCH_BLOCKS * LANES];
  const prepared *peaks_of; /* NULL, or whose groups `peaks` are of */
  float peaks[BATCH_BLOCKS], scales[BATCH_BLOCKS], factors[BATCH_BLOCKS];
} batch;

static float value_of(const cf_params *params, int bias, uint64_t code) {
  const cf_real real = cf_unpack(params, bias, code);
  float value = (float)real.significand;
  for (int i = 0; i < real.exponent; ++i) value *= 2;
  for (int i = 0; i > real.exponent; --i) value /= 2;
  return value;
}

/* Formats of which the loops' rounding is the operation's: none of whose values, nor what these are
 * added to, is near the ends of float32's range. */
static void prepare_rounding(prepared *s) {
  enum { LEAST = -90, MOST = 90 };
  const cf_params *params = &s->round.rule.params;
  const int m = params->mantissa_bits, lowest = 1 - s->bias;
  s->is_short = params->subnormals == CF_SUBNORMALS_IEEE && m >= 1 && m <= 10 && lowest >= LEAST &&
                s->max_exponent <= MOST;
  if (!s->is_short) return;
  s->rounding.lowest = (lowest + CF_FLOAT32_BIAS) << 23;
  s->rounding.steps = (23 - m) << 23;
  s->rounding.high = s->high < s->max ? s->high : s->max;
  s->rounding.low = s->low > -s->max ? s->low : -s->max;
}

/* Integers of n bits: magnitudes of n bits in units of 2^(2 - n), whatever the exponent bit. */
static cf_format integer_format(int bits) {
  const cf_format format = {1, bits - 1, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 0, 0};
  return format;
}

static int has_powers(const prepared *s) {
  return s->scale == CF_SCALE_POWER || s->scale == CF_SCALE_E8M0;
}

static int prepare(prepared *s, const cf_scheme *given) {
  const int bits = given->integer_bits;
  cf_format format = given->format;
  int bias = given->bias;
  if (bits != 0 && (bits < 2 || bits > 8)) return CF_BAD_TYPE;
  if (given->scale < CF_SCALE_REAL || given->scale > CF_SCALE_E4M3) return CF_BAD_TYPE;
  if (given->granularity < CF_EACH_TENSOR || given->granularity > CF_EACH_TILE) return CF_BAD_TYPE;
  if (bits != 0 && given->scale != CF_SCALE_REAL) return CF_BAD_TYPE;
  if (given->granularity == CF_EACH_BLOCK &&
      (given->block <= 0 || given->block % LANES != 0 || CF_SCHEME_COLUMNS % given->block != 0))
    return CF_BAD_LAYOUT;
  if (bits != 0) {
    format = integer_format(bits);
    bias = 0;
  }
  if (!format.is_signed || format.subnormals == CF_SUBNORMALS_NORMAL) return CF_BAD_FORMAT;
  format.saturating = 1;
  const int status =
      cf_operation_prepare(&s->round, &format, CF_FLOAT32, CF_TIES_TO_EVEN, 0, NULL, CF_FLOAT32);
  if (status != CF_OK) return status;
  if (bias < format.bias_min || bias > format.bias_max) return CF_BAD_BIAS;
  s->bias = (int16_t)bias;
  s->scale = given->scale;
  s->granularity = given->granularity;
  s->group = given->block / LANES;
  s->ones = 1;
  s->high = FLT_MAX; /* the format saturates by itself */
  s->low = -FLT_MAX;
  s->max = value_of(&s->round.rule.params, bias, s->round.rule.params.max_code);
  if (bits != 0) {
    s->ones = (float)(1 << bits) / 4;
    s->max = (float)((1 << bits) - 1) / 2;
    s->low = -(float)(1 << (bits - 1)) / s->ones;
    s->high = (float)((1 << (bits - 1)) - 1) / s->ones;
  }
  const uint64_t max_code = s->round.rule.params.max_code;
  s->max_exponent = (int)(max_code >> s->round.rule.params.mantissa_bits) - bias;
  /* so that no power of two below is beyond float32's normal numbers, nor its inverse */
  if (has_powers(s) && (s->max_exponent < LEAST_EXPONENT || s->max_exponent > MOST_EXPONENT))
    return CF_BAD_BIAS;
  cf_operation_set_size(&s->round, BATCH_BLOCKS * LANES, 1, 1);
  prepare_rounding(s);
  return CF_OK;
}

static void round_values(const cf_operation *op, int16_t bias, float *values, size_t count) {
  const cf_bias_view view = {&bias, 0, 0};
  cf_operation_run(op, view, (const char *)values, 0, (char *)values, count, NULL);
}

/* The peak of each block's group. */
static void find_group_peaks(const task *t, const prepared *s, const chunk *c, batch *b) {
  const prepared *last = b->peaks_of;
  b->peaks_of = s;
  if (last != NULL && last->granularity == s->granularity && last->group == s->group) return;
  const float *row_peaks = t->matrix->row_peaks;
  float *to = b->peaks;
  for (int64_t row = b->row; row < b->row + b->rows; ++row, to += c->blocks) {
    const float *from = c->peaks + row * c->blocks;
    if (s->granularity == CF_EACH_BLOCK) {
      for (int64_t first = 0; first < c->blocks; first += s->group) {
        const int64_t end = cf_at_most(first + s->group, c->blocks);
        float peak = 0;
        for (int64_t i = first; i < end; ++i) peak = from[i] > peak ? from[i] : peak;
        for (int64_t i = first; i < end; ++i) to[i] = peak;
      }
    } else if (s->granularity == CF_EACH_TILE) {
      for (int64_t i = 0; i < c->blocks; ++i) to[i] = c->tile_peaks[i / TILE_BLOCKS];
    } else {
      const float peak = s->granularity == CF_EACH_ROW ? row_peaks[c->first_row + row] : c->peak;
      for (int64_t i = 0; i < c->blocks; ++i) to[i] = peak;
    }
  }
}

/* From peaks, `scales`, which values are divided by, and codes' values multiplied. */
static void find_e4m3_scales(const task *t, const prepared *s, const chunk *c, batch *b) {
  const float peak = c->peak > FLT_MIN ? c->peak : FLT_MIN;
  float whole = E4M3_MAX * s->max * (1 / peak);
  if (whole > FLT_MAX) whole = 1;
  for (int64_t i = 0; i < b->blocks; ++i) b->scales[i] = whole * (b->peaks[i] / s->max);
  round_values(&t->round_scales, (int16_t)e4m3.bias_min, b->scales, (size_t)b->blocks);
  for (int64_t i = 0; i < b->blocks; ++i)
    b->scales[i] = (b->scales[i] > 0 ? b->scales[i] : LEAST_E4M3) / whole;
}

/* `scales`, which codes' values are multiplied by, and where they are powers of two their inverses,
 * `factors`. */
static void find_scales(const task *t, const cf_scheme_loops *loops, const prepared *s,
                        const chunk *c, batch *b) {
  const size_t blocks = (size_t)b->blocks;
  find_group_peaks(t, s, c, b);
  switch (s->scale) {
    case CF_SCALE_REAL: loops->find_real(b->peaks, blocks, s->max, s->ones, b->scales); break;
    case CF_SCALE_POWER: loops->find_powers(b->peaks, blocks, s->max, b->scales, b->factors); break;
    case CF_SCALE_E8M0:
      loops->find_e8m0(b->peaks, blocks, s->max_exponent, b->scales, b->factors);
      break;
    default: find_e4m3_scales(t, s, c, b); break;
  }
}

/* From `values` and scales, `codes`: the values of codes, without their scales. */
static void quantise(const cf_scheme_loops *loops, const prepared *s, batch *b) {
  const size_t blocks = (size_t)b->blocks;
  if (has_powers(s))
    loops->multiply(b->values, b->factors, b->codes, blocks);
  else
    loops->divide(b->values, b->scales, s->low, s->high, b->codes, blocks);
  round_values(&s->round, s->bias, b->codes, blocks * LANES);
}

static void add_errors(const cf_scheme_loops *loops, const prepared *s, batch *b, double *sums) {
  const size_t blocks = (size_t)b->blocks;
  if (!s->is_short) {
    quantise(loops, s, b);
    loops->add_errors(b->values, b->codes, b->scales, blocks, sums);
  } else if (has_powers(s)) {
    loops->add_multiplied(b->values, b->magnitudes, b->factors, b->scales, &s->rounding, blocks,
                          sums);
  } else {
    loops->add_divided(b->values, b->magnitudes, b->scales, &s->rounding, blocks, sums);
  }
}

static const char *element(const cf_rows *matrix, int64_t row, int64_t column) {
  return (const char *)matrix->values + row * matrix->row_stride + column * 4;
}

static void write_results(const task *t, const cf_scheme_loops *loops, const chunk *c, batch *b) {
  const int64_t length = t->matrix->length;
  loops->multiply(b->codes, b->scales, b->values, (size_t)b->blocks);
  for (int64_t row = 0; row < b->rows; ++row)
    memcpy(t->results + (c->first_row + b->row + row) * length + c->first_column,
           b->values + row * c->blocks * LANES, (size_t)c->columns * sizeof(float));
}

static void find_chunk_peaks(const task *t, const cf_scheme_loops *loops, chunk *c) {
  memset(c->tile_peaks, 0, sizeof c->tile_peaks);
  for (int64_t row = 0; row < c->rows; ++row) {
    float *peaks = c->peaks + row * c->blocks;
    loops->find_peaks(element(t->matrix, c->first_row + row, c->first_column), (size_t)c->columns,
                      peaks);
    for (int64_t i = 0; i < c->blocks; ++i) {
      float *tile = c->tile_peaks + i / TILE_BLOCKS;
      *tile = peaks[i] > *tile ? peaks[i] : *tile;
    }
  }
}

/* Add the lanes of a sum to the whole, in pairs. */
static void add_lanes(double *lanes, double *sum) {
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  *sum += lanes[0];
}

/* The squares of the elements are the errors of what makes everything zero. */
static void add_squares(const cf_scheme_loops *loops, batch *b, double *sums) {
  memset(b->scales, 0, sizeof b->scales);
  loops->add_errors(b->values, b->values, b->scales, (size_t)b->blocks, sums);
}

/* All schemes of one chunk. */
static void take_chunk(const task *t, int64_t index, double *sums) {
  const cf_scheme_loops *loops = cf_active_scheme_loops();
  const cf_rows *matrix = t->matrix;
  double lanes[CF_MAX_SCHEMES + 1][LANES] = {{0}};
  chunk c;
  batch b;
  const int64_t which = index / t->matrix_chunks;
  const int64_t own_row = index % t->matrix_chunks / t->row_chunks * CF_TILE;
  c.first_row = which * matrix->rows + own_row;
  c.first_column = index % t->row_chunks * CF_SCHEME_COLUMNS;
  c.rows = cf_at_most(matrix->rows - own_row, CF_TILE);
  c.peak = matrix->peaks == NULL ? 0 : matrix->peaks[which];
  c.columns = cf_at_most(matrix->length - c.first_column, CF_SCHEME_COLUMNS);
  c.blocks = cf_divide_up(c.columns, LANES);
  find_chunk_peaks(t, loops, &c);
  for (b.row = 0; b.row < c.rows; b.row += b.rows) {
    b.rows = cf_at_most(BATCH_BLOCKS / c.blocks, c.rows - b.row);
    b.blocks = b.rows * c.blocks;
    b.peaks_of = NULL;
    for (int64_t row = 0; row < b.rows; ++row)
      loops->stage(element(matrix, c.first_row + b.row + row, c.first_column), (size_t)c.columns,
                   b.values + row * c.blocks * LANES);
    if (t->results == NULL) {
      loops->widen(b.values, (size_t)b.blocks, b.magnitudes);
      add_squares(loops, &b, lanes[t->count]);
    }
    for (int i = 0; i < t->count; ++i) {
      const prepared *s = t->schemes + i;
      find_scales(t, loops, s, &c, &b);
      if (t->results == NULL) {
        add_errors(loops, s, &b, lanes[i]);
      } else {
        quantise(loops, s, &b);
        write_results(t, loops, &c, &b);
      }
    }
  }
  for (int i = 0; i <= t->count; ++i) {
    sums[i] = 0;
    add_lanes(lanes[i], sums + i);
  }
}

static void take_share(void *context, int index) {
  const task *t = context;
  const uint64_t modes = cf_set_default_float_modes();
  int64_t begin, end;
  cf_share_of(t->chunks, 1, t->threads, index, &begin, &end);
  for (int64_t i = begin; i < end; ++i) take_chunk(t, t->first_chunk + i, t->sums[i]);
  cf_restore_float_modes(modes);
}

static int check_rows(const cf_rows *matrix) {
  return matrix->rows < 0 || matrix->length < 0 ? CF_BAD_LAYOUT : CF_OK;
}

/* The schemes of all chunks, some at a time. */
static void take_all(task *t, int64_t number, double *sums, double *signals, int threads) {
  double chunk_sums[CHUNKS][CF_MAX_SCHEMES + 1];
  const cf_rows *matrix = t->matrix;
  t->row_chunks = cf_divide_up(matrix->length, CF_SCHEME_COLUMNS);
  t->matrix_chunks = cf_divide_up(matrix->rows, CF_TILE) * t->row_chunks;
  const int64_t all = number * t->matrix_chunks;
  t->sums = chunk_sums;
  for (t->first_chunk = 0; t->first_chunk < all; t->first_chunk += t->chunks) {
    t->chunks = cf_at_most(all - t->first_chunk, CHUNKS);
    const int64_t rows = cf_at_most(matrix->rows, CF_TILE);
    const int64_t columns = cf_at_most(matrix->length, CF_SCHEME_COLUMNS);
    const double work = (double)t->chunks * (double)(rows * columns) * t->count;
    t->threads = cf_useful_threads(work, WORK_PER_THREAD, threads);
    t->threads = (int)cf_at_most(t->threads, t->chunks);
    cf_run_threads(t->threads, take_share, t);
    for (int64_t i = 0; t->results == NULL && i < t->chunks; ++i) {
      const int64_t which = (t->first_chunk + i) / t->matrix_chunks;
      for (int j = 0; j < t->count; ++j) sums[which * t->count + j] += chunk_sums[i][j];
      signals[which] += chunk_sums[i][t->count];
    }
  }
}

static int run_in_modes(const cf_scheme *given, int count, const cf_rows *matrix, int64_t number,
                        double *sums, double *signals, float *results, int threads) {
  prepared schemes[CF_MAX_SCHEMES];
  task t;
  if (count < 0 || count > CF_MAX_SCHEMES) return CF_BAD_TYPE;
  int status = number < 0 ? CF_BAD_LAYOUT : check_rows(matrix);
  for (int i = 0; status == CF_OK && i < count; ++i) status = prepare(schemes + i, given + i);
  if (status == CF_OK)
    status = cf_operation_prepare(&t.round_scales, &e4m3, CF_FLOAT32, CF_TIES_TO_EVEN, 0, NULL,
                                  CF_FLOAT32);
  if (status != CF_OK || matrix->rows == 0 || matrix->length == 0) return status;
  cf_operation_set_size(&t.round_scales, BATCH_BLOCKS, 1, 1);
  t.matrix = matrix;
  t.schemes = schemes;
  t.count = count;
  t.results = results;
  take_all(&t, number, sums, signals, threads);
  return CF_OK;
}

static int run(const cf_scheme *given, int count, const cf_rows *matrix, int64_t number,
               double *sums, double *signals, float *results, int threads) {
  const uint64_t modes = cf_set_default_float_modes();
  const int status = run_in_modes(given, count, matrix, number, sums, signals, results, threads);
  cf_restore_float_modes(modes);
  return status;
}

int cf_scheme_errors(const cf_scheme *schemes, int count, const cf_rows *matrix, int64_t number,
                     double *sums, double *signals, int threads) {
  return run(schemes, count, matrix, number, sums, signals, NULL, threads);
}

int cf_scheme_values(const cf_scheme *scheme, const cf_rows *matrix, float *results, int threads) {
  return run(scheme, 1, matrix, 1, NULL, NULL, results, threads);
}

typedef struct peak_task {
  const cf_rows *matrix;
  float *peaks;
  int threads;
} peak_task;

static void find_peaks_of_share(void *context, int index) {
  const peak_task *t = context;
  const cf_scheme_loops *loops = cf_active_scheme_loops();
  const uint64_t modes = cf_set_default_float_modes();
  int64_t begin, end;
  cf_share_of(t->matrix->rows, 1, t->threads, index, &begin, &end);
  for (int64_t row = begin; row < end; ++row) {
    float peak = 0;
    for (int64_t first = 0; first < t->matrix->length; first += CF_SCHEME_COLUMNS) {
      float peaks[ROW_BLOCKS];
      const int64_t count = cf_at_most(t->matrix->length - first, CF_SCHEME_COLUMNS);
      loops->find_peaks(element(t->matrix, row, first), (size_t)count, peaks);
      for (int64_t i = 0; i < cf_divide_up(count, LANES); ++i)
        peak = peaks[i] > peak ? peaks[i] : peak;
    }
    t->peaks[row] = peak;
  }
  cf_restore_float_modes(modes);
}

int cf_row_peaks(const cf_rows *matrix, float *peaks, int threads) {
  peak_task t = {matrix, peaks, 1};
  const int status = check_rows(matrix);
  if (status != CF_OK || matrix->rows == 0) return status;
  const double work = (double)matrix->rows * (double)matrix->length;
  t.threads = cf_useful_threads(work, WORK_PER_THREAD, threads);
  t.threads = (int)cf_at_most(t.threads, matrix->rows);
  cf_run_threads(t.threads, find_peaks_of_share, &t);
  return CF_OK;
}
