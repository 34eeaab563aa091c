/* What follows from the arguments of a conversion: whether they are legal, its rule, and its
 * kernels. */
#ifndef CF_CONVERT_PREPARE_H
#define CF_CONVERT_PREPARE_H

#include "convert/kernels.h"
#include "core/scalar.h"

static inline int cf_is_rounding(int rounding) {
  const int mode = cf_rounding_mode(rounding);
  if (rounding < 0 || mode > CF_TIES_TO_ZERO) return 0;
  if (mode != CF_STOCHASTIC) return rounding == mode;
  return cf_rounding_variant(rounding) <= CF_STOCHASTIC_C && cf_rounding_bits(rounding) <= 32;
}

/* That of a format that passed cf_format_check; of few elements, and each or all of them with a
 * bias. */
static inline cf_rule cf_rule_of(const cf_format *format, int rounding, uint64_t seed,
                                 const uint32_t *words) {
  cf_rule rule;
  rule.params = cf_format_params(format);
  rule.code_size = cf_code_size(format);
  rule.rounding = rounding;
  rule.block = 0;
  rule.reads_subnormals = cf_reads_subnormals(format);
  rule.by_addition = cf_lanes_add(format);
  rule.plain = format->subnormals != CF_SUBNORMALS_NORMAL && !rule.params.no_negative_zero;
  rule.special_overflows =
      128 + format->bias_min > (int)(rule.params.max_code >> format->mantissa_bits);
  rule.upper_half = cf_is_upper_half(format);
  rule.large = rule.streaming = rule.fetching = 0;
  rule.seed = seed;
  rule.words = words;
  return rule;
}

/* Whether other kernels than the portable ones take a rule for encoding a type.  Of one with more
 * bits than float32 they know 32 more, which decide in P3109's variant A, and B if those are
 * enough for its half step. */
static inline int cf_lanes_take(const cf_format *format, const cf_rule *rule, int type) {
  const int variant = cf_rounding_variant(rule->rounding), bits = cf_rounding_bits(rule->rounding);
  const int is_long = type == CF_FLOAT64 || type == CF_INT64 || type == CF_UINT64 ||
                      type == CF_INT32 || type == CF_UINT32;
  const int decides =
      variant == CF_STOCHASTIC_A || (variant == CF_STOCHASTIC_B && bits < 32) || !is_long;
  return decides && cf_lanes_encode(format);
}

static inline cf_encode_kernel *cf_encode_kernel_of(const cf_format *format, const cf_rule *rule,
                                                    int type) {
  const int in_lanes = cf_lanes_take(format, rule, type);
  cf_encode_kernel *kernel = in_lanes ? cf_active_kernels()->encode[type] : NULL;
  return kernel != NULL ? kernel : cf_kernels_portable.encode[type];
}

/* bfloat16 is had from float32 by rounding where none is too large, nor inexact below its normal
 * numbers, as some of a format without zeros could be. */
static inline cf_decode_kernel *cf_decode_kernel_of(const cf_format *format, int type) {
  const int fits =
      type != CF_BFLOAT16 ||
      ((1 << format->exponent_bits) - 1 - format->bias_min < CF_BFLOAT16_BIAS &&
       (cf_format_quantum(format) - format->bias_max >= -126 || format->mantissa_bits <= 6));
  const int in_lanes = (cf_lanes_decode(format) && fits) || cf_is_upper_half(format);
  cf_decode_kernel *kernel = in_lanes ? cf_active_kernels()->decode[type] : NULL;
  return kernel != NULL ? kernel : cf_kernels_portable.decode[type];
}

#endif
