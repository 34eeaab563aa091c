/* What operations on two arrays of codes need to know. */
#include "arithmetic/pairs.h"

#include <string.h>

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static cf_pair_source source_of(const cf_format *format, int bias) {
  const cf_params params = cf_format_params(format);
  const int bits = (int)cf_code_size(format) * 8, up = 23 - params.mantissa_bits;
  cf_pair_source source;
  for (int i = 0; i < CF_MOST_CODES; ++i) {
    const int from = i * bits % 32;
    source.place[i] = (uint32_t)(from + bits < 32 ? up - from : from - up);
  }
  source.magnitude = (uint32_t)params.magnitude_mask << up;
  source.exponent = (uint32_t)(CF_FLOAT32_BIAS - bias) << 23;
  source.max = (uint32_t)params.max_code << up;
  source.infinity = ((uint32_t)params.max_code + 1) << up;
  source.has_infinity = params.has_infinity;
  /* without a leading one it has the exponent of the binade below the normal numbers' */
  source.factor = params.subnormals == CF_SUBNORMALS_FLUSH  ? 0.0f
                  : params.subnormals == CF_SUBNORMALS_IEEE ? 2.0f
                                                            : 1.0f;
  source.addend = 0.0f - ldexpf(source.factor, -bias);
  return source;
}

cf_pair_rule cf_pair_rule_of(int function, const cf_format *const *operands, const int *biases,
                             const cf_format *format, int bias) {
  const cf_params params = cf_format_params(format);
  const int m = params.mantissa_bits, bits = (int)cf_code_size(format) * 8;
  const uint32_t one_code = 1u << m;
  cf_pair_rule rule;
  memset(&rule, 0, sizeof rule);
  rule.function = function;
  rule.code_size = cf_code_size(format);
  for (int i = 0; i < 2; ++i) {
    rule.operands[i] = source_of(operands[i], biases[i]);
    rule.is_watched |= rule.operands[i].max != rule.operands[i].magnitude;
  }
  rule.last_bit = 1u << (23 - m);
  rule.drop = (uint32_t)(23 - m);
  rule.step = ((uint32_t)(bias - CF_FLOAT32_BIAS) << 23) + (rule.last_bit >> 1) - 1;
  rule.smallest_normal = one_code;
  /* the middle between the largest of those below and the smallest normal number, 2^(1 - bias),
   * whose code is the even one */
  int quantum = 1 - bias - m;
  uint32_t below;
  float middle;
  switch (params.subnormals) {
    case CF_SUBNORMALS_WHITEPAPER:
      quantum = -bias - m;
      below = one_code - 1;
      middle = ldexpf((float)(3 * one_code - 1), quantum - 1);
      break;
    case CF_SUBNORMALS_FLUSH:
      below = 0;
      middle = ldexpf((float)(2 * one_code - 1), quantum - 1);
      break;
    default: /* there is no hole */
      below = one_code;
      middle = ldexpf(1, 1 - bias);
      break;
  }
  rule.upper = bits_of(middle) - 1;
  rule.anchor = ldexpf(1, quantum + 23);
  rule.below = bits_of(rule.anchor) + below;
  rule.largest = (uint32_t)params.overflow_code;
  rule.nan_code = (uint32_t)(params.has_nan ? params.nan_code : params.max_code);
  rule.negative_code = (uint32_t)(params.has_nan ? params.nan_code : 0);
  rule.sign_code = (uint32_t)params.sign_mask;
  rule.sign = rule.sign_code << (32 - bits);
  for (int from = 0; from < 32; from += bits) rule.signs |= rule.sign_code << from;
  if (function == CF_SUBTRACT) {
    rule.flip = rule.signs;
    rule.negation = rule.sign_code != 0 ? 0 : 0x80000000u;
    rule.is_watched |= rule.negation != 0;
  }
  return rule;
}
