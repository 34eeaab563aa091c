/* Rounding float32 by adding floats: the short way of convert/round_lanes-inl.h for ties to even,
 * and from float32 to float32 for toward zero.
 *
 * Added to 2^(e + 23 - m), a number of exponent e keeps m bits of mantissa: the addition rounds it,
 * and the sum's last bits are its significand.  Below the smallest normal number e stays where it
 * is, and the subnormals come out by themselves.  In the whitepaper's reading they have half the
 * quantum, as one binade of normal numbers more would; then that binade is taken out
 * (docs/spec.md 2.1, "the hole").
 *
 * All of it happens at bias 0: a bias is an exponent, added to the operand and taken from the
 * result as an integer.  A zero is 2^(bias - 127) on the way, which rounds as a zero does. */
#ifndef CF_CONVERT_ADDITION_FLOAT32_INL_H
#define CF_CONVERT_ADDITION_FLOAT32_INL_H

#include "convert/round_lanes-inl.h"

#if defined(__FAST_MATH__)
#error "-ffast-math takes the additions below for ones that can be left out"
#endif

/* What is the same for all elements, spread over the lanes.  Values are the bits of a float32, at
 * bias 0. */
typedef struct add_rule {
  lanes scale;  /* the bias, in the place of a float32's exponent */
  lanes limit;  /* the first value too large, if codes went on */
  lanes lowest; /* the binade of the smallest quantum */
  lanes steps;  /* 23 - m, in the place of a float32's exponent */
  lanes drop, lowest_code;
  /* below `upper` + 1 what lies under the smallest normal number rounds down, from there on up */
  lanes upper, below_hole, below_hole_code, smallest_normal, smallest_normal_code, hole;
  lanes max, normals; /* from the smallest normal number to the largest */
  lanes nan_code, overflow_code, negative_code, nan_value, overflow_value;
  lanes sign_shift, sign_mask;
  lanes all_but_sign, exponent_mask, float32_max, infinity, fraction, one;
  int holed, is_signed, has_nan, keeps_infinity, overflows_to_max, stops;
} add_rule;

/* The bits, as a float32, of the value of a normal number's code at bias 0. */
static inline uint32_t normal_bits(const cf_params *params, uint64_t code) {
  return ((uint32_t)code << (23 - params->mantissa_bits)) + ((uint32_t)CF_FLOAT32_BIAS << 23);
}

/* The bits, as a float32, of twice_units * 2^-(m + 1), twice_units > 0. */
static inline uint32_t subnormal_bits(const cf_params *params, uint32_t twice_units) {
  const int top = cf_log2(twice_units);
  const int exponent = CF_FLOAT32_BIAS + top - params->mantissa_bits - 1;
  return ((uint32_t)exponent << 23) + ((twice_units - (1u << top)) << (23 - top));
}

static inline add_rule add_rule_of(const cf_rule *rule, int bias, int toward_zero) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits;
  const int whitepaper = params->subnormals == CF_SUBNORMALS_WHITEPAPER;
  const int flush = params->subnormals == CF_SUBNORMALS_FLUSH;
  const uint32_t gap = (1u << m) + 1, smallest_normal = normal_bits(params, (uint64_t)1 << m);
  const uint32_t lowest = whitepaper ? smallest_normal - 0x00800000u : smallest_normal;
  uint32_t upper = smallest_normal;
  add_rule r;
  if (!toward_zero && whitepaper) upper = subnormal_bits(params, 2 * (gap - 2) + gap);
  if (!toward_zero && flush) upper = subnormal_bits(params, 4u * (1u << m) - 2);
  r.scale = v_set1((uint32_t)bias << 23);
  r.limit = v_set1(normal_bits(params, params->max_code + 1));
  r.lowest = v_set1(lowest);
  r.steps = v_set1((uint32_t)(23 - m) << 23);
  r.drop = v_set1((uint32_t)(23 - m));
  r.lowest_code = v_set1(lowest >> (23 - m));
  r.upper = v_set1(upper - 1);
  r.below_hole = v_set1(whitepaper ? subnormal_bits(params, 2 * (gap - 2)) : 0);
  r.below_hole_code = v_set1(whitepaper ? gap - 2 : 0);
  r.smallest_normal = v_set1(smallest_normal);
  r.smallest_normal_code = v_set1(1u << m);
  r.hole = v_set1(whitepaper ? 1u << m : 0);
  r.max = v_set1(normal_bits(params, params->max_code));
  r.normals = v_set1(normal_bits(params, params->max_code) - smallest_normal);
  r.overflow_code = v_set1((uint32_t)params->overflow_code);
  r.overflows_to_max = params->overflow_code == params->max_code;
  r.stops = toward_zero || r.overflows_to_max;
  r.has_nan = params->has_nan;
  r.nan_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : params->max_code));
  r.negative_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : 0));
  r.infinity = v_set1(0x7F800000u);
  r.nan_value = v_set1(CF_FLOAT32_NAN_BITS);
  r.overflow_value = params->has_infinity ? r.infinity : r.nan_value;
  r.keeps_infinity = params->has_infinity && !r.overflows_to_max;
  r.holed = whitepaper || flush;
  r.is_signed = params->sign_mask != 0;
  r.sign_shift = v_set1(r.is_signed ? (uint32_t)(31 - cf_log2(params->sign_mask)) : 0);
  r.sign_mask = v_set1((uint32_t)params->sign_mask);
  r.all_but_sign = v_set1(0x7FFFFFFFu);
  r.exponent_mask = v_set1(0x7F800000u);
  r.float32_max = v_set1(0x7F7FFFFFu);
  r.fraction = v_set1(0x007FFFFFu);
  r.one = v_set1(1);
  return r;
}

/* Count those below the smallest normal number, of magnitudes that round to values, all times
 * 2^bias: underflows, and denormal operands, which are below it at every bias that is taken here.
 */
static CF_ALWAYS_INLINE void count_tiny(const add_rule *r, lanes bits, lanes scaled, lanes value,
                                        tally *tally) {
  const lanes zero = v_set1(0);
  const lanes magnitude = v_and(bits, r->all_but_sign);
  const mask tiny = m_andnot(m_gt_s(r->smallest_normal, scaled), m_eq(magnitude, zero));
  const mask denormal = m_gt_u(r->fraction, v_sub(magnitude, r->one));
  mask underflow = m_andnot(tiny, m_eq(value, scaled));
  if (!r->is_signed) underflow = m_andnot(underflow, m_gt_s(zero, bits)); /* those are invalid */
  tally->underflow = v_increment(tally->underflow, underflow);
  if (m_any(denormal)) tally->flags->denormal += m_count(denormal);
}

/* The value, times 2^bias, of the sum of a magnitude and its anchor. */
static CF_ALWAYS_INLINE lanes rounded_by_addition(const add_rule *r, int toward_zero, lanes scaled,
                                                  lanes sum, lanes anchor) {
  lanes value = v_sub_floats(sum, anchor);
  /* of what became larger, the sum before has one quantum less */
  if (toward_zero)
    value = v_sub_floats(v_select(m_gt_s(value, scaled), v_sub(sum, r->one), sum), anchor);
  if (r->holed)
    value = v_select(m_gt_s(scaled, r->upper), v_max_s(value, r->smallest_normal),
                     v_min_s(value, r->below_hole));
  return value;
}

/* Which of LANES float32 are not among the normal numbers of the format, but zero, special, too
 * small or too large: the others raise no flag. */
static CF_ALWAYS_INLINE mask not_usual(const add_rule *r, lanes bits, lanes scale) {
  const lanes magnitude = v_and(bits, r->all_but_sign);
  const lanes scaled = v_min_u(v_add(magnitude, scale), r->limit);
  mask beyond = m_gt_u(v_sub(scaled, r->smallest_normal), r->normals);
  if (!r->is_signed) beyond = m_or(beyond, m_gt_s(v_set1(0), bits));
  return beyond;
}

/* Of LANES float32, the codes or, if to_values, the values.  usual (none is not_usual), counting,
 * plain (cf_rule), to_values and, of values, toward_zero are constants in the callers' loops; scale
 * is add_rule's, or each element's own. */
static CF_ALWAYS_INLINE lanes round_by_addition(const add_rule *r, int toward_zero, int usual,
                                                int counting, int plain, int to_values, lanes bits,
                                                lanes scale, tally *tally) {
  const lanes zero = v_set1(0);
  const mask none = m_gt_s(zero, zero);
  const lanes magnitude = v_and(bits, r->all_but_sign);
  const lanes scaled = v_min_u(v_add(magnitude, scale), r->limit);
  const lanes binade = v_max_s(v_and(scaled, r->exponent_mask), r->lowest);
  const lanes anchor = v_add(binade, r->steps);
  const lanes sum = v_add_floats(scaled, anchor);
  lanes value = zero, code = zero;
  if (to_values) value = rounded_by_addition(r, toward_zero, scaled, sum, anchor);
  if (!to_values) code = v_sub(v_add(v_sub(sum, anchor), v_srlv(binade, r->drop)), r->lowest_code);
  if (r->holed && !to_values)
    code =
        v_select(m_gt_s(scaled, r->upper), v_max_s(v_sub(code, r->hole), r->smallest_normal_code),
                 v_min_s(code, r->below_hole_code));

  lanes rounded = value;
  if (!to_values) {
    code = v_min_s(code, r->overflow_code);
  } else {
    const mask beyond = m_gt_s(value, r->max);
    if (r->stops) value = v_min_s(value, r->max);
    value = v_select(m_gt_s(value, zero), v_sub(value, scale), zero);
    if (!r->stops) value = v_select(beyond, r->overflow_value, value);
  }

  /* where there is something to count, or special, which is beyond all values: in few vectors */
  const mask special = m_gt_s(magnitude, r->float32_max);
  mask overflow = none, invalid = none;
  lanes signs = bits;
  if (counting && m_any(m_gt_u(v_sub(scaled, r->smallest_normal), r->normals))) {
    if (!to_values) rounded = rounded_by_addition(r, toward_zero, scaled, sum, anchor);
    count_tiny(r, bits, scaled, rounded, tally);
    overflow = m_gt_s(rounded, r->max);
  }
  if (!usual && m_any(counting ? overflow : special)) {
    invalid = m_gt_s(magnitude, r->infinity);
    if (!r->has_nan) signs = v_select(invalid, zero, signs);
    if (to_values) {
      const lanes max = v_sub(r->max, scale);
      value = v_select(special, r->overflows_to_max ? max : r->overflow_value, value);
      value = v_select(invalid, r->has_nan ? r->nan_value : max, value);
    } else {
      code = v_select(invalid, r->nan_code, v_select(special, r->overflow_code, code));
    }
    overflow = m_andnot(overflow, r->keeps_infinity ? special : invalid);
    if (counting && r->is_signed) count_raised(tally->flags, invalid, none, overflow);
  }
  lanes result = to_values ? value : code;
  if (r->is_signed) {
    const lanes sign = to_values ? v_andnot(signs, r->all_but_sign)
                                 : v_and(v_srlv(signs, r->sign_shift), r->sign_mask);
    const lanes unsigned_result = result;
    result = v_or(result, sign);
    if (!plain) { /* there is no -0, nor a NaN with a sign */
      mask bare = m_eq(unsigned_result, zero);
      if (to_values) bare = m_or(bare, m_gt_s(unsigned_result, r->infinity));
      result = v_select(bare, unsigned_result, result);
    }
  } else {
    const mask negative = m_andnot(m_andnot(m_gt_s(zero, bits), m_eq(magnitude, zero)),
                                   m_gt_s(magnitude, r->infinity));
    if (!usual && m_any(negative)) {
      const lanes negative_value = r->has_nan ? r->nan_value : zero;
      result = v_select(negative, to_values ? negative_value : r->negative_code, result);
      invalid = m_or(invalid, negative);
      overflow = m_andnot(overflow, negative);
    }
    if (counting) count_raised(tally->flags, invalid, none, overflow);
  }
  return result;
}

#endif
