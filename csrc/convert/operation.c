/* Conversions of contiguous elements. */
#include "convert/operation.h"

#include <string.h>

#include "convert/prepare.h"
#include "cpu/compiler.h"
#include "cpu/detect.h"
#include "cpu/float_modes.h"

static void choose_kernels(cf_operation *op, const cf_format *format, int source_type,
                           int destination_type) {
  const cf_kernels *isa = cf_active_kernels();
  const int encodes = source_type != CF_CODES, decodes = destination_type != CF_CODES;
  const int is_16_bits = source_type == CF_FLOAT16 || source_type == CF_BFLOAT16;
  const int lanes_encode = cf_lanes_take(format, &op->rule, source_type);
  const int lanes_decode = cf_lanes_decode(format);
  op->encode = NULL;
  op->decode = NULL;
  op->destination_type = destination_type;
  op->stream_end = isa->stream_end;
  if (source_type == CF_FLOAT32 && destination_type == CF_FLOAT32 && isa->round_float32 != NULL &&
      lanes_encode && lanes_decode) {
    op->encode = isa->round_float32;
    op->takes_blocks = 1;
    op->tabulates = 0;
    return;
  }
  if (encodes) op->encode = cf_encode_kernel_of(format, &op->rule, source_type);
  op->takes_blocks = encodes && !decodes && op->encode != cf_kernels_portable.encode[source_type] &&
                     (source_type == CF_FLOAT32 || (is_16_bits && cf_adds_16_bits(&op->rule)));
  if (decodes) op->decode = cf_decode_kernel_of(format, destination_type);
  /* one float64 after the other is looked up no faster than vectors decode */
  const int decodes_fast =
      destination_type == CF_FLOAT32 ||
      (destination_type == CF_FLOAT64 && op->decode != cf_kernels_portable.decode[CF_FLOAT64]);
  op->tabulates = !encodes && !decodes_fast && op->rule.code_size == 1;
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
  op->source_size = cf_element_size(source_type, format);
  op->destination_size = cf_element_size(destination_type, format);
  choose_kernels(op, format, source_type, destination_type);
  return CF_OK;
}

/* So many elements are not expected to be in the nearer caches. */
enum { LARGE_COUNT = 1 << 18 };

#if defined(CF_TESTED)
int cf_fetching = -1;
#endif

static int fetches_results(void) {
#if defined(CF_TESTED)
  if (cf_fetching >= 0) return cf_fetching;
#endif
  return cf_cpu_is_slow_streaming();
}

void cf_operation_set_size(cf_operation *op, size_t count, int stages_source,
                           int stages_destination) {
  op->rule.large = !stages_source && count >= LARGE_COUNT;
  op->rule.streaming = !stages_destination && count >= CF_STREAMED_BYTES / op->destination_size;
  op->rule.fetching = op->rule.streaming && fetches_results();
}

void cf_operation_finish(const cf_operation *op) {
  if (op->rule.streaming && op->stream_end != NULL) op->stream_end();
}

/* Elements between two kernels: a kernel's preparations are of some hundred elements' cost. */
enum { KERNEL_PIECE = 4 * CF_PIECE };

/* Of fewer codes a table costs more than it saves. */
enum { TABULATED_COUNT = 2048 };

/* Decode codes of one bias by a table of its results. */
static void look_up(const cf_operation *op, const int16_t *bias, const char *codes, char *values,
                    size_t count) {
  const size_t size = op->destination_size;
  const int log2_size = cf_log2(size);
  const uint8_t *from = (const uint8_t *)codes;
  uint8_t all[CF_CODES8];
  uint64_t table[CF_CODES8];
  for (int code = 0; code < CF_CODES8; ++code) all[code] = (uint8_t)code;
  op->decode(&op->rule, bias, 0, all, table, CF_CODES8, NULL);
  cf_map_kernel *portable = cf_kernels_portable.map_codes[log2_size];
  cf_map_kernel *map = cf_active_kernels()->map_codes[log2_size];
  if (op->rule.streaming) {
    const size_t beyond = (uintptr_t)values % CF_STREAM_ALIGNMENT;
    size_t lead = beyond == 0 ? 0 : (CF_STREAM_ALIGNMENT - beyond) / size;
    if (lead > count) lead = count;
    portable(table, from, values, lead, 0);
    from += lead;
    values += lead * size;
    count -= lead;
  }
  (map != NULL ? map : portable)(table, from, values, count, op->rule.streaming);
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
  if (op->tabulates && bias_step == 0 && flags == NULL && count >= TABULATED_COUNT &&
      source != destination && (uintptr_t)destination % op->destination_size == 0) {
    look_up(op, bias, source, destination, count);
    return;
  }
  if (op->encode == NULL) {
    op->decode(&op->rule, bias, bias_step, source, destination, count, flags);
    return;
  }
  while (count > 0) {
    uint16_t codes[KERNEL_PIECE];
    const size_t piece = count < KERNEL_PIECE ? count : KERNEL_PIECE;
    op->encode(&op->rule, bias, bias_step, source, position, codes, piece, flags);
    op->decode(&op->rule, bias, bias_step, codes, destination, piece, NULL);
    bias += piece * bias_step;
    source += piece * op->source_size;
    destination += piece * op->destination_size;
    position += piece;
    count -= piece;
  }
}
