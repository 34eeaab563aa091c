/* The least squared errors of slices, blocks and counts, and errors at all biases: what calls of
 * the search (stats/search.h) take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "stats/search.h"

enum { ELEMENTS_PER_THREAD = 1 << 13 };

typedef struct task {
  cf_search search;
  int scale;
  const char *values;
  int64_t blocks, count, length, row_stride, block; /* `blocks` of a row, `count` in all */
  int16_t *biases;
  double *errors;
  int threads; /* of groups; search.threads in one */
} task;

static void search_share(void *context, int index) {
  const task *t = context;
  const uint64_t modes = cf_set_default_float_modes();
  const int64_t size = t->search.source_type == CF_FLOAT64 ? 8 : 4;
  int64_t begin, end;
  cf_share_of(t->count, 1, t->threads, index, &begin, &end);
  const char *row = t->values + begin / t->blocks * t->row_stride;
  int64_t first = begin % t->blocks * t->block;
  for (int64_t i = begin; i < end; ++i) {
    double error;
    int scale;
    const int64_t whole = cf_at_most((t->length - first) / t->block, end - i);
    if (whole > 1 && t->search.source_type == CF_FLOAT32) {
      cf_search_rows(&t->search, row + first * size, t->block * size, whole, (size_t)t->block,
                     t->biases + i, 1, t->errors + i);
      i += whole - 1;
      first += whole * t->block;
      if (first >= t->length) {
        first = 0;
        row += t->row_stride;
      }
      continue;
    }
    t->biases[i] =
        (int16_t)cf_search_group(&t->search, row + first * size,
                                 (size_t)cf_at_most(t->block, t->length - first), &error, &scale);
    t->errors[i] = scale == t->scale ? error : ldexp(error, 2 * (scale - t->scale));
    first += t->block;
    if (first >= t->length) {
      first = 0;
      row += t->row_stride;
    }
  }
  cf_restore_float_modes(modes);
}

static int check(const cf_format *format, int source_type) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  return source_type == CF_FLOAT32 || source_type == CF_FLOAT64 ? CF_OK : CF_BAD_TYPE;
}

int cf_least_errors(const cf_format *format, int default_bias, int source_type, const void *values,
                    int64_t rows, int64_t length, int64_t row_stride, int64_t block, int scale,
                    int16_t *biases, double *errors, int threads) {
  const int status = check(format, source_type);
  task t;
  if (status != CF_OK) return status;
  if (default_bias < format->bias_min || default_bias > format->bias_max) return CF_BAD_BIAS;
  if (rows < 0 || length < 0 || block < 1) return CF_BAD_LAYOUT;
  t.blocks = cf_divide_up(length, block);
  t.count = rows * t.blocks;
  if (t.count == 0) return CF_OK;
  t.search = cf_search_of(format, default_bias, source_type);
  t.scale = source_type == CF_FLOAT64 ? scale : 0;
  t.values = values;
  t.length = length;
  t.row_stride = row_stride;
  t.block = block;
  t.biases = biases;
  t.errors = errors;
  t.threads = cf_useful_threads((double)rows * (double)length, ELEMENTS_PER_THREAD, threads);
  if (t.threads > t.count) {
    t.search.threads = t.threads / (int)t.count;
    t.threads = (int)t.count;
  }
  cf_run_threads(t.threads, search_share, &t);
  return CF_OK;
}

/* The bits, as a float32, of those of a type of 16 bits. */
static uint32_t float32_bits(int source_type, uint64_t bits) {
  const int is_float16 = source_type == CF_FLOAT16;
  unsigned raised = 0;
  const cf_real real = is_float16 ? cf_unpack(&CF_FLOAT16_PARAMS, CF_FLOAT16_BIAS, bits)
                                  : cf_unpack(&CF_BFLOAT16_PARAMS, CF_BFLOAT16_BIAS, bits);
  return (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, real, CF_TIES_TO_EVEN, 0,
                                 &raised);
}

int cf_count_16_bits(const void *values, size_t count, uint64_t *counts) {
  const char *from = values;
  uint64_t four;
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    memcpy(&four, from + 2 * i, sizeof four);
    for (int shift = 0; shift < 64; shift += 16) ++counts[four >> shift & 0xFFFFu];
  }
  for (; i < count; ++i) {
    uint16_t bits;
    memcpy(&bits, from + 2 * i, sizeof bits);
    ++counts[bits];
  }
  return CF_OK;
}

int cf_least_error_of_counts(const cf_format *format, int default_bias, int source_type,
                             const uint64_t *counts, int16_t *bias) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (source_type != CF_FLOAT16 && source_type != CF_BFLOAT16) return CF_BAD_TYPE;
  if (default_bias < format->bias_min || default_bias > format->bias_max) return CF_BAD_BIAS;
  float *values = malloc(CF_CODES16 * sizeof *values);
  double *weights = malloc(CF_CODES16 * sizeof *weights);
  int result = CF_NO_MEMORY;
  if (values != NULL && weights != NULL) {
    cf_search s = cf_search_of(format, default_bias, CF_FLOAT32);
    const uint64_t modes = cf_set_default_float_modes();
    size_t length = 0;
    double error;
    int scale;
    s.weights = weights;
    for (uint64_t code = 0; code < CF_CODES16; ++code) {
      if (counts[code] == 0) continue;
      const uint32_t bits = float32_bits(source_type, code);
      memcpy(values + length, &bits, sizeof bits);
      weights[length++] = (double)counts[code];
    }
    *bias = (int16_t)cf_search_group(&s, values, length, &error, &scale);
    cf_restore_float_modes(modes);
    result = CF_OK;
  }
  free(values);
  free(weights);
  return result;
}

int cf_errors_at_biases(const cf_format *format, int source_type, const void *values, size_t count,
                        int scale, double *errors, int threads) {
  const int status = check(format, source_type);
  const uint64_t modes = cf_set_default_float_modes();
  if (status == CF_OK) {
    cf_search s = cf_search_of(format, format->bias_min, source_type);
    s.threads = cf_useful_threads((double)count, ELEMENTS_PER_THREAD, threads);
    const int own = cf_search_errors(&s, values, count, errors);
    const int unit = 2 * (source_type == CF_FLOAT64 ? own - scale : 0);
    for (int i = 0; unit != 0 && i <= format->bias_max - format->bias_min; ++i)
      errors[i] = ldexp(errors[i], unit);
  }
  cf_restore_float_modes(modes);
  return status;
}
