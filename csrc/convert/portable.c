/* Kernels in plain C: loops over core/scalar.h, for every type, on every machine. */
#include <string.h>

#include "convert/kernels.h"
#include "core/scalar.h"

static uint64_t load_code(const cf_rule *rule, const void *codes, size_t i) {
  uint16_t code;
  if (rule->code_size == 1) return ((const uint8_t *)codes)[i];
  memcpy(&code, (const char *)codes + i * sizeof code, sizeof code);
  return code;
}

static void store_code(const cf_rule *rule, void *codes, size_t i, uint64_t code) {
  const uint16_t stored = (uint16_t)code;
  if (rule->code_size == 1)
    ((uint8_t *)codes)[i] = (uint8_t)code;
  else
    memcpy((char *)codes + i * sizeof stored, &stored, sizeof stored);
}

/* X(type, C type of its bits, the cf_real of `bits`) */
#define FOR_EACH_SOURCE(X)                                                      \
  X(float64, uint64_t, cf_unpack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, bits))    \
  X(float32, uint32_t, cf_unpack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, bits))    \
  X(float16, uint16_t, cf_unpack(&CF_FLOAT16_PARAMS, CF_FLOAT16_BIAS, bits))    \
  X(bfloat16, uint16_t, cf_unpack(&CF_BFLOAT16_PARAMS, CF_BFLOAT16_BIAS, bits)) \
  X(int64, int64_t, cf_real_from_int64(bits))                                   \
  X(int32, int32_t, cf_real_from_int64(bits))                                   \
  X(int16, int16_t, cf_real_from_int64(bits))                                   \
  X(int8, int8_t, cf_real_from_int64(bits))                                     \
  X(uint64, uint64_t, cf_real_from_uint64(bits))                                \
  X(uint32, uint32_t, cf_real_from_uint64(bits))                                \
  X(uint16, uint16_t, cf_real_from_uint64(bits))                                \
  X(uint8, uint8_t, cf_real_from_uint64(bits))

#define DEFINE_ENCODE(type, bits_t, real)                                                          \
  static void encode_##type##_portable(const cf_rule *rule, const int16_t *bias, size_t bias_step, \
                                       const void *source, uint64_t position, void *codes,         \
                                       size_t count, cf_flags *flags) {                            \
    const int stochastic = cf_rounding_mode(rule->rounding) == CF_STOCHASTIC;                      \
    const uint32_t *words = rule->words;                                                           \
    cf_stream stream = cf_stream_at(rule->seed, position);                                         \
    cf_flags counted = {0, 0, 0, 0};                                                               \
    for (size_t i = 0; i < count; ++i) {                                                           \
      const uint32_t word = !stochastic     ? 0                                                    \
                            : words != NULL ? words[position + i]                                  \
                                            : cf_stream_next(&stream);                             \
      unsigned raised = 0;                                                                         \
      bits_t bits;                                                                                 \
      memcpy(&bits, (const char *)source + i * sizeof bits, sizeof bits);                          \
      store_code(                                                                                  \
          rule, codes, i,                                                                          \
          cf_round_pack(&rule->params, bias[i * bias_step], real, rule->rounding, word, &raised)); \
      cf_count(&counted, raised);                                                                  \
    }                                                                                              \
    cf_add_flags(flags, &counted);                                                                 \
  }
FOR_EACH_SOURCE(DEFINE_ENCODE)

/* X(type, C type of its bits, its parameters, its bias) */
#define FOR_EACH_VALUE_TYPE(X)                              \
  X(float64, uint64_t, &CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS) \
  X(float32, uint32_t, &CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS) \
  X(float16, uint16_t, &CF_FLOAT16_PARAMS, CF_FLOAT16_BIAS) \
  X(bfloat16, uint16_t, &CF_BFLOAT16_PARAMS, CF_BFLOAT16_BIAS)

/* An 8-bit format at one bias is a table, worth filling once there are more elements than
 * entries. */
#define DEFINE_DECODE(type, bits_t, type_params, type_bias)                                        \
  static bits_t code_to_##type(const cf_rule *rule, int bias, uint64_t code, unsigned *raised) {   \
    const cf_real real = cf_unpack(&rule->params, bias, code);                                     \
    return (bits_t)cf_round_pack(type_params, type_bias, real, CF_TIES_TO_EVEN, 0, raised);        \
  }                                                                                                \
  static void decode_##type##_portable(const cf_rule *rule, const int16_t *bias, size_t bias_step, \
                                       const void *codes, void *values, size_t count,              \
                                       cf_flags *flags) {                                          \
    const int tabulate = rule->code_size == 1 && bias_step == 0 && count > 256;                    \
    bits_t table[256];                                                                             \
    unsigned table_raised[256];                                                                    \
    cf_flags counted = {0, 0, 0, 0};                                                               \
    for (unsigned code = 0; tabulate && code < 256; ++code) {                                      \
      table_raised[code] = 0;                                                                      \
      table[code] = code_to_##type(rule, *bias, code, &table_raised[code]);                        \
    }                                                                                              \
    for (size_t i = 0; i < count; ++i) {                                                           \
      const uint64_t code = load_code(rule, codes, i);                                             \
      unsigned raised = 0;                                                                         \
      bits_t bits;                                                                                 \
      if (tabulate) {                                                                              \
        bits = table[code];                                                                        \
        raised = table_raised[code];                                                               \
      } else {                                                                                     \
        bits = code_to_##type(rule, bias[i * bias_step], code, &raised);                           \
      }                                                                                            \
      memcpy((char *)values + i * sizeof bits, &bits, sizeof bits);                                \
      cf_count(&counted, raised);                                                                  \
    }                                                                                              \
    cf_add_flags(flags, &counted);                                                                 \
  }
FOR_EACH_VALUE_TYPE(DEFINE_DECODE)

/* Whether codes are the upper halves of their values as float32, as bfloat16's are: other kernels
 * leave its subnormals, which are float32's, to these. */
static int are_upper_halves(const cf_params *params) {
  return params->mantissa_bits == 7 && params->subnormals == CF_SUBNORMALS_IEEE &&
         params->sign_mask == 0x8000 && params->max_code == 0x7F7F && params->has_infinity &&
         !params->no_negative_zero;
}

static void decode_float32(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                           const void *codes, void *values, size_t count, cf_flags *flags) {
  if (flags != NULL || bias_step != 0 || *bias != CF_BFLOAT16_BIAS ||
      !are_upper_halves(&rule->params)) {
    decode_float32_portable(rule, bias, bias_step, codes, values, count, flags);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    uint16_t code;
    memcpy(&code, (const char *)codes + i * sizeof code, sizeof code);
    const uint32_t upper = (uint32_t)code << 16;
    const uint32_t nan = (upper & 0x80000000u) | CF_FLOAT32_NAN_BITS;
    const uint32_t bits = (upper & 0x7FFFFFFFu) > 0x7F800000u ? nan : upper;
    memcpy((char *)values + i * sizeof bits, &bits, sizeof bits);
  }
}

/* Eight codes are read at a time: a store may change any byte, as far as the compiler knows. */
#define DEFINE_MAP(bits)                                                                    \
  static void map_##bits##_portable(const void *table, const uint8_t *codes, void *results, \
                                    size_t count, int streaming) {                          \
    const uint##bits##_t *from = table;                                                     \
    uint##bits##_t *to = results;                                                           \
    size_t i = 0;                                                                           \
    (void)streaming;                                                                        \
    for (; i + 8 <= count; i += 8) {                                                        \
      uint8_t eight[8];                                                                     \
      memcpy(eight, codes + i, sizeof eight);                                               \
      for (int j = 0; j < 8; ++j) to[i + (size_t)j] = from[eight[j]];                       \
    }                                                                                       \
    for (; i < count; ++i) to[i] = from[codes[i]];                                          \
  }
DEFINE_MAP(8)
DEFINE_MAP(16)
DEFINE_MAP(32)
DEFINE_MAP(64)

#define ENCODE_SLOT(type, bits_t, real) encode_##type##_portable,

/* Slots in the order of enum cf_type. */
const cf_kernels cf_kernels_portable = {
    {FOR_EACH_SOURCE(ENCODE_SLOT)},
    {decode_float64_portable, decode_float32, decode_float16_portable, decode_bfloat16_portable},
    NULL,
    {map_8_portable, map_16_portable, map_32_portable, map_64_portable},
    NULL,
    NULL};
