/* Conversions of contiguous elements. */
#include "convert/operation.h"

#include <string.h>

#include "convert/prepare.h"

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

/* Whether bfloat16 is to be had from float32, which decoding is faster to: rounding that raises no
 * flag, as all values are normal numbers of either and none is too large. */
static int is_narrowed(const cf_format *format, int destination_type) {
  return destination_type == CF_BFLOAT16 &&
         (1 << format->exponent_bits) - 1 - format->bias_min < CF_BFLOAT16_BIAS &&
         cf_format_quantum(format) - format->bias_max >= -126 &&
         cf_decode_kernel_of(format, CF_FLOAT32) != cf_kernels_portable.decode[CF_FLOAT32];
}

static void choose_kernels(cf_operation *op, const cf_format *format, int source_type,
                           int destination_type) {
  const cf_kernels *isa = cf_active_kernels();
  const int encodes = source_type != CF_CODES, decodes = destination_type != CF_CODES;
  const int is_16_bits = source_type == CF_FLOAT16 || source_type == CF_BFLOAT16;
  const int lanes_encode = cf_lanes_take(format, &op->rule);
  const int lanes_decode = cf_lanes_decode(format);
  op->encode = NULL;
  op->decode = NULL;
  op->narrows = 0;
  op->stream_end = isa->stream_end;
  if (source_type == CF_FLOAT32 && destination_type == CF_FLOAT32 && isa->round_float32 != NULL &&
      lanes_encode && lanes_decode) {
    op->encode = isa->round_float32;
    op->takes_blocks = cf_goes_by_addition(&op->rule);
    return;
  }
  if (encodes) op->encode = cf_encode_kernel_of(format, &op->rule, source_type);
  op->takes_blocks = encodes && !decodes && (source_type == CF_FLOAT32 || is_16_bits) &&
                     op->encode != cf_kernels_portable.encode[source_type] &&
                     (is_16_bits ? cf_adds_16_bits(&op->rule) : cf_goes_by_addition(&op->rule));
  op->narrows = is_narrowed(format, destination_type);
  if (decodes)
    op->decode = cf_decode_kernel_of(format, op->narrows ? CF_FLOAT32 : destination_type);
}

int cf_operation_prepare(cf_operation *op, const cf_format *format, int source_type, int rounding,
                         uint64_t seed, const uint32_t *words, int destination_type) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  if (source_type < 0 || source_type > CF_CODES) return CF_BAD_TYPE;
  if (destination_type != CF_CODES &&
      (destination_type < 0 || destination_type >= CF_VALUE_TYPE_COUNT))
    return CF_BAD_TYPE;
  if (source_type == CF_CODES && destination_type == CF_CODES) return CF_BAD_TYPE;
  op->rule = cf_rule_of(format, rounding, seed, words);
  op->bias_min = format->bias_min;
  op->bias_max = format->bias_max;
  op->source_size = element_size(source_type, op->rule.code_size);
  op->destination_size = element_size(destination_type, op->rule.code_size);
  choose_kernels(op, format, source_type, destination_type);
  return CF_OK;
}

/* So many elements are not expected to be in the nearer caches. */
enum { LARGE_COUNT = 1 << 18 };

void cf_operation_set_size(cf_operation *op, size_t count, int stages_source,
                           int stages_destination) {
  op->rule.large = !stages_source && count >= LARGE_COUNT;
  op->rule.streaming =
      !stages_destination && !op->narrows && count >= CF_STREAMED_BYTES / op->destination_size;
}

void cf_operation_finish(const cf_operation *op) {
  if (op->rule.streaming && op->stream_end != NULL) op->stream_end();
}

/* Elements between two kernels: a kernel's preparations are of some hundred elements' cost. */
enum { KERNEL_PIECE = 4 * CF_PIECE };

/* bfloat16 of float32 that is_narrowed: to nearest, ties to even.  NaN has a lower half of
 * zeros. */
static void narrow(const uint32_t *from, uint16_t *to, size_t count) {
  for (size_t i = 0; i < count; ++i)
    to[i] = (uint16_t)((from[i] + 0x7FFFu + (from[i] >> 16 & 1)) >> 16);
}

/* As op->decode, but for its type. */
static void decode_piece(const cf_operation *op, const int16_t *bias, size_t bias_step,
                         const void *codes, void *values, size_t count, cf_flags *flags) {
  if (!op->narrows) {
    op->decode(&op->rule, bias, bias_step, codes, values, count, flags);
    return;
  }
  uint32_t wide[KERNEL_PIECE];
  uint16_t halves[KERNEL_PIECE]; /* values need not be aligned */
  op->decode(&op->rule, bias, bias_step, codes, wide, count, flags);
  narrow(wide, halves, count);
  memcpy(values, halves, count * sizeof *halves);
}

void cf_operation_run(const cf_operation *op, cf_bias_view bias_of, const char *source,
                      uint64_t position, char *destination, size_t count, cf_flags *flags) {
  const int16_t *bias = bias_of.first;
  const size_t bias_step = bias_of.step;
  if (bias_of.block != 0) {
    cf_rule rule = op->rule;
    rule.block = bias_of.block;
    op->encode(&rule, bias, 0, source, position, destination, count, flags);
    return;
  }
  if (op->decode == NULL) {
    op->encode(&op->rule, bias, bias_step, source, position, destination, count, flags);
    return;
  }
  if (op->encode == NULL && !op->narrows) {
    op->decode(&op->rule, bias, bias_step, source, destination, count, flags);
    return;
  }
  while (count > 0) {
    uint16_t codes[KERNEL_PIECE];
    const size_t piece = count < KERNEL_PIECE ? count : KERNEL_PIECE;
    if (op->encode == NULL) {
      decode_piece(op, bias, bias_step, source, destination, piece, flags);
    } else {
      op->encode(&op->rule, bias, bias_step, source, position, codes, piece, flags);
      decode_piece(op, bias, bias_step, codes, destination, piece, NULL);
    }
    bias += piece * bias_step;
    source += piece * op->source_size;
    destination += piece * op->destination_size;
    position += piece;
    count -= piece;
  }
}
