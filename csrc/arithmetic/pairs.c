/* Operations on two arrays of codes in registers: which ones, and what they need to know. */
#include "arithmetic/pairs.h"

#include "arithmetic/loops.h"
#include "arithmetic/work.h"
#include "convert/prepare.h"
#include "cpu/float_modes.h"

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

/* Whether a format's codes are such as arithmetic/pairs.h has for operands. */
static int is_plain_operand(const cf_work *work, const cf_work_operand *x, size_t size) {
  return x->at.type == CF_CODES && x->at.stride == (int64_t)size &&
         x->params.sign_mask + x->params.magnitude_mask == (size == 1 ? 0xFF : 0xFFFF) &&
         x->format->is_signed == work->format->is_signed &&
         x->format->subnormals != CF_SUBNORMALS_NORMAL && !x->params.no_negative_zero &&
         cf_lanes_decode(x->format);
}

/* Whether the operand's finite values are results too. */
static int is_result(const cf_work *work, const cf_work_operand *x) {
  const cf_format *own = x->format, *format = work->format;
  return x->bias == work->bias && own->exponent_bits == format->exponent_bits &&
         own->mantissa_bits == format->mantissa_bits && own->subnormals == format->subnormals &&
         own->nonfinite == format->nonfinite;
}

/* Whether work that cf_takes_lanes is for the loops of arithmetic/pairs.h.
 *
 * These do not round sums to odd.  Where the larger addend is itself a result, of 11 bits or fewer,
 * what is lost by rounding a sum to 24 bits lies beyond all decisions: something is only lost if
 * the other addend is below 2^-12 of it, and the sum then rounds to the larger one
 * (Figueroa, 1995, for formats without an end). */
int cf_takes_pairs(const cf_work *work) {
  if (work->count < CF_LEAST_PAIRS || !work->in_lanes || work->counts_flags ||
      work->result_type != CF_CODES || cf_operand_count(work->function) != 2 ||
      cf_active_arithmetic_loops()->pairs == NULL)
    return 0;
  const size_t size = cf_code_size(work->format);
  const cf_work_operand *a = &work->operands[0], *b = &work->operands[1];
  if (!is_plain_operand(work, a, size) || !is_plain_operand(work, b, size)) return 0;
  const cf_rule rule = cf_rule_of(work->format, work->rounding, 0, NULL);
  if (!cf_adds_16_bits(&rule) ||
      rule.params.sign_mask + rule.params.magnitude_mask != (size == 1 ? 0xFF : 0xFFFF))
    return 0;
  const int adds = work->function == CF_ADD || work->function == CF_SUBTRACT;
  return !adds || (work->format->mantissa_bits <= 10 && is_result(work, a) && is_result(work, b));
}

void cf_compute_pairs(const cf_work *work, int64_t begin, int64_t end, char *results,
                      unsigned *signals) {
  const cf_work_operand *a = &work->operands[0], *b = &work->operands[1];
  const cf_format *const formats[2] = {a->format, b->format};
  const int biases[2] = {a->bias, b->bias};
  const char *const from_a = (const char *)a->at.elements + begin * a->at.stride;
  const char *const from_b = (const char *)b->at.elements + begin * b->at.stride;
  cf_pair_rule rule = cf_pair_rule_of(work->function, formats, biases, work->format, work->bias);
  rule.streaming = (size_t)work->count >= CF_STREAMED_BYTES / rule.code_size && results != from_a &&
                   results != from_b;
  const uint64_t modes = cf_set_default_float_modes();
  cf_active_arithmetic_loops()->pairs(&rule, from_a, from_b, results, (size_t)(end - begin),
                                      signals);
  cf_restore_float_modes(modes);
}
