/* The exported elementwise operations: argument checks, and the walk over any layout in pieces that
 * fit in cache. */
#include <string.h>

#include "cf_kernels.h"
#include "cf_philox.h"

/* encode, decode, or both in a row; the kernel that is not needed is NULL. */
typedef struct operation {
  cf_rule rule;
  int bias_min, bias_max;
  cf_encode_kernel *encode;
  cf_decode_kernel *decode;
  size_t source_size, destination_size; /* bytes of an element */
  cf_flags *flags;
} operation;

static size_t element_size(int type, size_t code_size) {
  switch (type) {
    case CF_CODES: return code_size;
    case CF_FLOAT64:
    case CF_INT64:
    case CF_UINT64: return 8;
    case CF_FLOAT32:
    case CF_INT32:
    case CF_UINT32: return 4;
    case CF_INT8:
    case CF_UINT8: return 1;
    default: return 2;
  }
}

static int prepare(operation *op, const cf_format *format, int source_type, int rounding,
                   uint64_t seed, int destination_type, cf_flags *flags) {
  const cf_kernels *kernels = cf_active_kernels();
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (rounding < CF_TIES_TO_EVEN || rounding > CF_STOCHASTIC) return CF_BAD_ROUNDING;
  if (source_type < 0 || source_type > CF_CODES) return CF_BAD_TYPE;
  if (destination_type != CF_CODES &&
      (destination_type < 0 || destination_type >= CF_VALUE_TYPE_COUNT))
    return CF_BAD_TYPE;
  if (source_type == CF_CODES && destination_type == CF_CODES) return CF_BAD_TYPE;
  op->rule.params = cf_format_params(format);
  op->rule.code_size = cf_code_size(format);
  op->rule.rounding = rounding;
  op->rule.seed = seed;
  op->bias_min = format->bias_min;
  op->bias_max = format->bias_max;
  op->encode = source_type == CF_CODES ? NULL : kernels->encode[source_type];
  op->decode = destination_type == CF_CODES ? NULL : kernels->decode[destination_type];
  op->source_size = element_size(source_type, op->rule.code_size);
  op->destination_size = element_size(destination_type, op->rule.code_size);
  op->flags = flags;
  return CF_OK;
}

/* The smaller of a length and CF_PIECE. */
static size_t piece_of(size_t length) { return length < CF_PIECE ? length : CF_PIECE; }

static void run(const operation *op, const int16_t *bias, size_t bias_step, const char *source,
                uint64_t position, char *destination, size_t count) {
  if (op->decode == NULL) {
    op->encode(&op->rule, bias, bias_step, source, position, destination, count, op->flags);
    return;
  }
  if (op->encode == NULL) {
    op->decode(&op->rule, bias, bias_step, source, destination, count, op->flags);
    return;
  }
  while (count > 0) {
    uint16_t codes[CF_PIECE];
    const size_t piece = piece_of(count);
    op->encode(&op->rule, bias, bias_step, source, position, codes, piece, op->flags);
    op->decode(&op->rule, bias, bias_step, codes, destination, piece, NULL);
    bias += piece * bias_step;
    source += piece * op->source_size;
    destination += piece * op->destination_size;
    position += piece;
    count -= piece;
  }
}

/* One axis of a walk: its length, and each operand's step along it in bytes. */
typedef struct axis {
  int64_t length;
  int64_t source, bias, destination;
} axis;

/* The layout's axes without those of length 1, neighbours that are one run in memory for all three
 * operands joined; returns how many are left.  Row-major order stays. */
static int joined_axes(const cf_layout *layout, axis *axes) {
  int count = 0;
  for (int i = 0; i < layout->ndim; ++i) {
    const axis inner = {layout->shape[i], layout->source_strides[i], layout->bias_strides[i],
                        layout->destination_strides[i]};
    if (inner.length == 1) continue;
    if (count > 0) {
      axis *outer = &axes[count - 1];
      if (outer->source == inner.source * inner.length &&
          outer->bias == inner.bias * inner.length &&
          outer->destination == inner.destination * inner.length) {
        const int64_t length = outer->length * inner.length;
        *outer = inner;
        outer->length = length;
        continue;
      }
    }
    axes[count++] = inner;
  }
  return count;
}

static void gather(char *to, const char *from, int64_t stride, size_t size, size_t count,
                   int swapped) {
  for (size_t i = 0; i < count; ++i, from += stride, to += size) {
    if (swapped) {
      for (size_t byte = 0; byte < size; ++byte) to[byte] = from[size - 1 - byte];
    } else {
      memcpy(to, from, size);
    }
  }
}

static void scatter(char *to, int64_t stride, const char *from, size_t size, size_t count) {
  for (size_t i = 0; i < count; ++i, from += size, to += stride) memcpy(to, from, size);
}

/* One row: the kernels see contiguous elements, staged here where the operand's are not. */
static int run_row(const operation *op, const axis *row, int swapped, const char *source,
                   const char *biases, char *destination, uint64_t position) {
  const int stage_source = swapped || row->source != (int64_t)op->source_size;
  const int stage_destination = row->destination != (int64_t)op->destination_size;
  size_t left = (size_t)row->length;
  while (left > 0) {
    char source_stage[CF_PIECE * sizeof(uint64_t)];
    char destination_stage[CF_PIECE * sizeof(uint64_t)];
    int16_t bias_stage[CF_PIECE];
    const size_t piece = piece_of(left);
    const size_t bias_step = row->bias == 0 ? 0 : 1;
    const size_t bias_count = bias_step == 0 ? 1 : piece;
    gather((char *)bias_stage, biases, row->bias, sizeof(int16_t), bias_count, 0);
    for (size_t i = 0; i < bias_count; ++i)
      if (bias_stage[i] < op->bias_min || bias_stage[i] > op->bias_max) return CF_BAD_BIAS;
    if (stage_source) gather(source_stage, source, row->source, op->source_size, piece, swapped);
    run(op, bias_stage, bias_step, stage_source ? source_stage : source, position,
        stage_destination ? destination_stage : destination, piece);
    if (stage_destination)
      scatter(destination, row->destination, destination_stage, op->destination_size, piece);
    source += row->source * (int64_t)piece;
    biases += row->bias * (int64_t)piece;
    destination += row->destination * (int64_t)piece;
    position += piece;
    left -= piece;
  }
  return CF_OK;
}

static int walk(const operation *op, const int16_t *biases, const void *source, uint64_t position,
                void *destination, const cf_layout *layout) {
  axis axes[CF_MAX_NDIM + 1];
  int64_t index[CF_MAX_NDIM + 1] = {0};
  if (layout->ndim < 0 || layout->ndim > CF_MAX_NDIM) return CF_BAD_LAYOUT;
  int empty = 0;
  for (int i = 0; i < layout->ndim; ++i) {
    if (layout->shape[i] < 0) return CF_BAD_LAYOUT;
    empty |= layout->shape[i] == 0;
  }
  if (empty) return CF_OK;
  int count = joined_axes(layout, axes);
  if (count == 0) {
    const axis one = {1, (int64_t)op->source_size, 0, (int64_t)op->destination_size};
    axes[count++] = one;
  }
  const axis *row = &axes[count - 1];
  const char *row_source = source, *row_bias = (const char *)biases;
  char *row_destination = destination;
  for (;;) {
    const int status = run_row(op, row, layout->source_swapped != 0, row_source, row_bias,
                               row_destination, position);
    if (status != CF_OK) return status;
    position += (uint64_t)row->length;
    /* the next row: count up the outer indices like an odometer */
    int i = count - 2;
    for (; i >= 0; --i) {
      row_source += axes[i].source;
      row_bias += axes[i].bias;
      row_destination += axes[i].destination;
      if (++index[i] < axes[i].length) break;
      index[i] = 0;
      row_source -= axes[i].source * axes[i].length;
      row_bias -= axes[i].bias * axes[i].length;
      row_destination -= axes[i].destination * axes[i].length;
    }
    if (i < 0) return CF_OK;
  }
}

int cf_convert(const cf_format *format, int bias, int source_type, const void *source, int rounding,
               uint64_t seed, uint64_t offset, int destination_type, void *destination, size_t count,
               cf_flags *flags) {
  operation op;
  const int16_t one_bias = (int16_t)bias;
  const int status = prepare(&op, format, source_type, rounding, seed, destination_type, flags);
  if (status != CF_OK) return status;
  if (bias < op.bias_min || bias > op.bias_max) return CF_BAD_BIAS;
  run(&op, &one_bias, 0, source, offset, destination, count);
  return CF_OK;
}

int cf_convert_strided(const cf_format *format, const int16_t *biases, int source_type,
                       const void *source, int rounding, uint64_t seed, uint64_t offset,
                       int destination_type, void *destination, const cf_layout *layout,
                       cf_flags *flags) {
  operation op;
  const int status = prepare(&op, format, source_type, rounding, seed, destination_type, flags);
  return status != CF_OK ? status : walk(&op, biases, source, offset, destination, layout);
}

int cf_philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
  cf_philox_block(counter, key, words);
  return CF_OK;
}

int cf_random_words(uint64_t seed, uint64_t offset, uint32_t *words, size_t count) {
  cf_stream stream = cf_stream_at(seed, offset);
  for (size_t i = 0; i < count; ++i) words[i] = cf_stream_next(&stream);
  return CF_OK;
}
