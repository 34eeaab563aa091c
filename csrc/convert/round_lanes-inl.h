/* core/scalar.h's arithmetic in vector form, written once for every instruction set.
 *
 * An ISA's file includes this after defining its lanes of 32 bits and the operations on them:
 *
 *   lanes, mask, LANES            a vector of LANES uint32_t, and one truth value for each
 *   v_set1(u) v_load(p) v_store(p, v)
 *   v_stream(p, v)                a store past the caches, p aligned to a vector
 *   v_stream_end()                after the last one, before another thread looks
 *   v_add v_sub v_and v_or        two vectors; v_andnot (first and not second)
 *   v_slli(v, n) v_srli(v, n)     all lanes by one constant count 1..31
 *   v_sllv(v, n) v_srlv(v, n)     each lane by its own count, unsigned; 0 if that is 32 or more
 *   v_min_u v_min_s v_max_s       unsigned and signed minimum, signed maximum
 *   v_select(m, a, b)             m ? a : b
 *   v_increment(v, m)             v + (m ? 1 : 0)
 *   v_to_float(v)                 the bits of (float)v, v < 2^24
 *   v_add_floats(a, b, zero)      the bits of a sum of floats, rounded to nearest even, or toward
 *                                 zero if that constant is set
 *   v_sub_floats(a, b)            an exact difference
 *   v_mul_floats(a, b)            an exact product
 *   float_enter(zero)             before adding floats: sees to that rounding, and that nothing
 * traps
 *   float_leave(modes)            after it, with what float_enter returned
 *   m_eq m_gt_u m_gt_s            comparisons; m_and m_or m_andnot (first and not second)
 *   m_any(m) m_count(m)           whether, and how many, are true
 *   v_load_pairs(p, low, high)    the lower and upper halves of LANES uint64_t
 *   v_load_biases(p)              LANES int16_t, sign-extended
 *   v_load_codes(p, size)         LANES codes of 1 or 2 bytes
 *   V_LOAD_FLOAT16(p)             LANES float16 as float32, any NaN for a NaN; or it is not defined
 *   v_store_codes(p, size, a, b)  2 * LANES codes
 *   v_stream_codes(p, size, a, b) the same past the caches, p aligned to all of them
 *   wide                          a vector of LANES / 2 uint64_t, for philox-inl.h
 *   w_set1(u) w_add(a, b) w_xor3(a, b, c) w_upper(v), each lane's upper half
 *   w_multiply(a, b)              products of lower halves
 *   w_order()                     the lanes' counters, from 0 on, in the order in which
 *   w_words(c0, c1, c2, c3, a, b) puts all words, the lower halves of the four, in sequence
 *   ISA_NAME(slot)                slot_<isa>
 *
 * The formats are those of cf_lanes_encode and cf_lanes_decode: float32's subnormals need no
 * normalisation then. */
#ifndef CF_CONVERT_ROUND_LANES_INL_H
#define CF_CONVERT_ROUND_LANES_INL_H

#include "cpu/compiler.h"

/* What is the same for all elements, spread over the lanes. */
typedef struct lane_rule {
  lanes mantissa_bits;
  lanes drop; /* mantissa bits of a float32 that a normal result has not */
  /* exponent of the subnormals' last bit at bias 0, in the place of a float32's */
  lanes quantum;
  lanes sign_shift; /* from bit 31 to the code's sign */
  int rounding;
  uint64_t seed;
  int streaming, whitepaper, flush, no_zero, reads_subnormals, is_signed, has_nan, has_special,
      has_infinity, keeps_infinity, no_negative_zero;
  size_t code_size;
  /* constants, here so that they are operands in memory and not made anew in every round */
  lanes one, thirty_two, half, all_but_sign, implicit_one, rebias, normal_place, float32_one;
  lanes float32_fraction, float32_max, float64_fraction, float64_max;
  lanes bias;
  lanes sign_mask, magnitude_mask, max_code, overflow_code, nan_code;
  lanes max_subnormal, smallest_normal, infinity, negative_code, all_of_code;
} lane_rule;

static inline lane_rule lane_rule_of(const cf_rule *rule, int bias) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits;
  lane_rule r;
  r.mantissa_bits = v_set1((uint32_t)m);
  r.drop = v_set1((uint32_t)(23 - m));
  /* without mantissa bits both readings are the same: nothing lies between 0 and 2^(1-bias) */
  r.whitepaper = params->subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0;
  r.flush = params->subnormals == CF_SUBNORMALS_FLUSH;
  r.no_zero = params->subnormals == CF_SUBNORMALS_NORMAL;
  r.has_nan = params->has_nan;
  r.no_negative_zero = params->no_negative_zero;
  r.reads_subnormals = rule->reads_subnormals;
  r.is_signed = params->sign_mask != 0;
  r.sign_shift = v_set1(r.is_signed ? (uint32_t)(31 - cf_log2(params->sign_mask)) : 0);
  r.quantum = v_set1((uint32_t)((r.whitepaper ? 0 : 1) - m) << 23);
  r.has_special = params->max_code != params->magnitude_mask;
  r.keeps_infinity = params->has_infinity && params->overflow_code != params->max_code;
  r.code_size = rule->code_size;
  r.bias = v_set1((uint32_t)bias);
  r.sign_mask = v_set1((uint32_t)params->sign_mask);
  r.magnitude_mask = v_set1((uint32_t)params->magnitude_mask);
  r.max_code = v_set1((uint32_t)params->max_code);
  r.overflow_code = v_set1((uint32_t)params->overflow_code);
  r.nan_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : params->max_code));
  r.max_subnormal = v_set1((1u << m) - 1);
  /* of those without zeros this is the code after the first binade's */
  r.smallest_normal = v_set1(1u << m);
  r.all_of_code = v_set1((uint32_t)(params->sign_mask | params->magnitude_mask));
  r.has_infinity = params->has_infinity;
  r.infinity = v_set1((uint32_t)params->max_code + 1);
  r.negative_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : 0));
  r.streaming = rule->streaming;
  r.rounding = rule->rounding;
  r.seed = rule->seed;
  r.one = v_set1(1);
  r.thirty_two = v_set1(32);
  r.half = v_set1(0x80000000u);
  r.all_but_sign = v_set1(0x7FFFFFFFu);
  r.implicit_one = v_set1(0x00800000u);
  r.rebias = v_set1(1023 - 127);
  r.normal_place = v_set1(128);
  r.float32_fraction = v_set1(0x007FFFFFu);
  r.float32_max = v_set1(0x7F7FFFFFu);
  r.float64_fraction = v_set1(0x000FFFFFu);
  r.float64_max = v_set1(0x7FEFFFFFu);
  r.float32_one = v_set1(127);
  return r;
}

/* Source elements, taken apart: |x| = (significand + low / 2^32) * 2^(place - 150). */
typedef struct operand {
  lanes sign;        /* in bit 31; the other bits are anything */
  lanes exponent;    /* biased as a float32's; a float32's own subnormals have 0 */
  lanes place;       /* the exponent that the significand is for: 1 for them */
  lanes significand; /* 24 bits */
  lanes low;         /* what a float64 has beyond that */
  lanes magnitude;   /* the upper 32 bits of the element, without the sign */
  lanes rest;        /* the lower 32, if it is a float64 */
  int is_float64;    /* a constant in every loop */
} operand;

static inline operand float32_operand(const lane_rule *r, const void *source) {
  const lanes bits = v_load(source);
  const lanes fraction = v_and(bits, r->float32_fraction);
  operand x;
  x.is_float64 = 0;
  x.magnitude = v_and(bits, r->all_but_sign);
  x.rest = x.low = v_set1(0);
  x.sign = bits;
  x.exponent = v_srli(x.magnitude, 23);
  x.significand = v_or(fraction, r->implicit_one);
  x.place = x.exponent;
  if (r->reads_subnormals) { /* elsewhere 2^-127 rounds as anything smaller does */
    x.place = v_max_s(x.exponent, r->one);
    x.significand = v_select(m_eq(x.exponent, v_set1(0)), fraction, x.significand);
  }
  return x;
}

static inline operand float64_operand(const lane_rule *r, const void *source) {
  lanes low, high;
  v_load_pairs(source, &low, &high);
  const lanes fraction = v_and(high, r->float64_fraction);
  operand x;
  x.is_float64 = 1;
  x.magnitude = v_and(high, r->all_but_sign);
  x.rest = low;
  x.sign = high;
  x.exponent = v_sub(v_srli(x.magnitude, 20), r->rebias);
  x.place = x.exponent; /* float64's subnormals are far below anything */
  x.significand = v_or(v_or(v_slli(fraction, 3), v_srli(low, 29)), r->implicit_one);
  x.low = v_slli(low, 3);
  return x;
}

static inline mask is_special(const lane_rule *r, operand x) { /* infinite or NaN */
  return m_gt_s(x.magnitude, x.is_float64 ? r->float64_max : r->float32_max);
}

static inline mask is_nonzero(operand x) {
  if (!x.is_float64) return m_gt_s(x.magnitude, v_set1(0));
  return m_gt_u(v_or(x.magnitude, x.rest), v_set1(0));
}

static inline mask is_nan(operand x) {
  if (!x.is_float64) return m_gt_s(x.magnitude, v_set1(0x7F800000u));
  const lanes infinity = v_set1(0x7FF00000u), zero = v_set1(0);
  return m_or(m_gt_s(x.magnitude, infinity),
              m_and(m_eq(x.magnitude, infinity), m_gt_u(x.rest, zero)));
}

static inline mask is_subnormal(operand x) {
  const lanes smallest_normal = v_set1(x.is_float64 ? 0x00100000u : 0x00800000u);
  return m_and(is_nonzero(x), m_gt_s(smallest_normal, x.magnitude));
}

/* Counts of elements, kept out of the loops' way until there is something to count. */
static inline void count_raised(cf_flags *flags, mask invalid, mask denormal, mask overflow,
                                mask underflow) {
  if (!m_any(m_or(m_or(invalid, denormal), m_or(overflow, underflow)))) return;
  flags->invalid += m_count(invalid);
  flags->denormal += m_count(denormal);
  flags->overflow += m_count(overflow);
  flags->underflow += m_count(underflow);
}

/* cf_round_pack: the codes of LANES elements.  rounding and whether to count are constants in the
 * callers' loops; word holds the random words of CF_STOCHASTIC.  A format is plain
 * (cf_rule) or not, a constant too. */
static CF_ALWAYS_INLINE lanes round_pack(const lane_rule *r, int rounding, int counting, int plain,
                                         operand x, lanes bias, lanes word, cf_flags *flags) {
  const int no_zero = !plain && r->no_zero, no_negative_zero = !plain && r->no_negative_zero;
  const lanes zero = v_set1(0);
  const mask none = m_gt_s(zero, zero);
  const int nearest =
      rounding == CF_TIES_TO_EVEN || rounding == CF_TIES_TO_AWAY || rounding == CF_TIES_TO_ZERO;
  /* whether anything is lost decides, and not how much */
  const int directed =
      rounding == CF_TOWARD_POSITIVE || rounding == CF_TOWARD_NEGATIVE || rounding == CF_TO_ODD;
  /* steps above the smallest normal number's exponent; below it, the quantum stays */
  const lanes first_normal = v_sub(r->normal_place, bias);
  const lanes steps = v_sub(x.place, first_normal);
  const lanes below = v_min_s(steps, zero);
  const mask tiny = m_gt_s(first_normal, x.exponent);
  lanes shift = v_sub(r->drop, below);
  /* the whitepaper's subnormals have half the quantum; as has the lowest binade where there is no
   * zero, but for its implicit bit */
  if (r->whitepaper || no_zero) shift = v_select(tiny, v_sub(shift, r->one), shift);

  const lanes left = v_sub(r->thirty_two, shift);
  const lanes kept = v_srlv(x.significand, shift);
  lanes fraction = v_sllv(x.significand, left), sticky = zero;
  /* further down nothing reaches one half */
  if (!nearest) fraction = v_or(fraction, v_srlv(x.significand, v_sub(shift, r->thirty_two)));
  if (x.is_float64) {
    fraction = v_or(fraction, v_srlv(x.low, shift));
    sticky = v_sllv(x.low, left);
  }
  lanes code = v_add(kept, v_sllv(v_sub(steps, below), r->mantissa_bits));
  mask too_small = none;
  if (no_zero) {
    code = v_select(tiny, v_sub(code, r->smallest_normal), code);
    too_small = m_gt_s(zero, code);
    code = v_max_s(code, zero);
  }
  mask inexact = none;
  if (counting || directed) {
    const lanes lost = x.is_float64 ? v_or(fraction, sticky) : fraction;
    inexact = m_or(m_gt_u(lost, zero), m_and(is_nonzero(x), m_eq(kept, zero)));
  }

  mask up = none;
  switch (rounding) {
    case CF_TIES_TO_EVEN: {
      const lanes last_bit = v_and(code, r->one);
      const lanes beyond = x.is_float64 ? v_or(fraction, v_min_u(sticky, r->one)) : fraction;
      up = m_gt_u(beyond, v_sub(r->half, last_bit));
      break;
    }
    case CF_TIES_TO_AWAY: up = m_gt_s(zero, fraction); break;
    case CF_TIES_TO_ZERO:
      up = m_gt_u(x.is_float64 ? v_or(fraction, v_min_u(sticky, r->one)) : fraction, r->half);
      break;
    case CF_TO_ODD: up = m_andnot(inexact, m_eq(v_and(code, r->one), r->one)); break;
    case CF_TOWARD_POSITIVE: up = m_andnot(inexact, m_gt_s(zero, x.sign)); break;
    case CF_TOWARD_NEGATIVE: up = m_and(inexact, m_gt_s(zero, x.sign)); break;
    case CF_STOCHASTIC: up = m_gt_u(fraction, v_add(fraction, word)); break;
    default: break;
  }

  if (r->whitepaper) {
    const mask hole = m_and(tiny, m_gt_s(v_add(kept, r->one), r->max_subnormal));
    if (m_any(hole)) {
      /* the neighbours are gap = 2^m + 1 quanta apart, and x is over + fraction above the lower */
      const lanes over = v_sub(kept, r->max_subnormal);
      const lanes half_gap = v_srli(r->smallest_normal, 1);
      mask hole_up = none;
      inexact = m_or(inexact, m_and(hole, m_gt_s(over, zero)));
      switch (rounding) {
        case CF_TIES_TO_EVEN:
        case CF_TIES_TO_AWAY: /* a tie is at half_gap + 1/2; the upper code is even */
          hole_up =
              m_or(m_gt_s(over, half_gap), m_and(m_eq(over, half_gap), m_gt_s(zero, fraction)));
          break;
        case CF_TIES_TO_ZERO: {
          const lanes beyond = x.is_float64 ? v_or(fraction, v_min_u(sticky, r->one)) : fraction;
          hole_up =
              m_or(m_gt_s(over, half_gap), m_and(m_eq(over, half_gap), m_gt_u(beyond, r->half)));
          break;
        }
        case CF_TOWARD_POSITIVE: hole_up = m_andnot(inexact, m_gt_s(zero, x.sign)); break;
        case CF_TOWARD_NEGATIVE: hole_up = m_and(inexact, m_gt_s(zero, x.sign)); break;
        case CF_STOCHASTIC: {
          /* (over + fraction) + gap * word / 2^32 >= gap, the product in two words */
          const lanes product = v_add(v_sllv(word, r->mantissa_bits), word);
          const lanes total = v_add(product, fraction);
          lanes high = v_srlv(word, v_sub(r->thirty_two, r->mantissa_bits));
          high = v_increment(v_add(high, over), m_gt_u(word, product));
          high = v_increment(high, m_gt_u(fraction, total));
          hole_up = m_gt_s(high, r->smallest_normal);
          break;
        }
        default: break; /* to odd is down, as toward zero: so is the largest subnormal */
      }
      code = v_select(hole, r->max_subnormal, code);
      up = m_or(m_and(hole, hole_up), m_andnot(up, hole));
    }
  }
  if (no_zero) up = m_andnot(up, too_small);
  if (rounding != CF_TOWARD_ZERO) code = v_increment(code, up);

  mask underflow = none, overflow = none, invalid = none;
  if (counting) underflow = no_zero ? too_small : m_and(tiny, inexact);
  if (r->flush) {
    const mask subnormal = m_gt_s(r->smallest_normal, code);
    if (counting) underflow = m_or(underflow, m_and(m_and(tiny, subnormal), is_nonzero(x)));
    code = v_select(subnormal, zero, code);
  }
  if (counting) overflow = m_gt_s(code, r->max_code);
  if (nearest) {
    code = v_min_s(code, r->overflow_code);
  } else if (rounding == CF_TOWARD_POSITIVE) {
    code = v_min_s(code, v_select(m_gt_s(zero, x.sign), r->max_code, r->overflow_code));
  } else if (rounding == CF_TOWARD_NEGATIVE) {
    code = v_min_s(code, v_select(m_gt_s(zero, x.sign), r->overflow_code, r->max_code));
  } else {
    code = v_min_s(code, r->max_code);
  }
  const mask special = is_special(r, x);
  lanes sign = x.sign;
  if (m_any(special)) {
    invalid = is_nan(x);
    if (!r->has_nan) sign = v_select(invalid, zero, sign);
    code = v_select(invalid, r->nan_code, v_select(special, r->overflow_code, code));
    overflow = m_andnot(overflow, r->keeps_infinity ? special : invalid);
  }
  if (no_zero && r->has_nan) {
    const mask is_zero = m_andnot(too_small, is_nonzero(x));
    if (m_any(is_zero)) {
      code = v_select(is_zero, r->nan_code, code);
      sign = v_select(is_zero, zero, sign);
      invalid = m_or(invalid, is_zero);
      underflow = m_andnot(underflow, is_zero);
    }
  }
  if (r->is_signed) {
    const lanes signs = v_and(v_srlv(sign, r->sign_shift), r->sign_mask);
    if (no_negative_zero)
      code = v_select(m_gt_s(code, zero), v_or(code, signs), zero);
    else
      code = v_or(code, signs);
  } else {
    const mask negative = m_andnot(m_and(m_gt_s(zero, x.sign), is_nonzero(x)), is_nan(x));
    if (m_any(negative)) {
      code = v_select(negative, r->negative_code, code);
      invalid = m_or(invalid, negative);
      overflow = m_andnot(overflow, negative);
      underflow = m_andnot(underflow, negative);
    }
  }
  if (counting) count_raised(flags, invalid, is_subnormal(x), overflow, underflow);
  return code;
}

/* cf_unpack, as float32: the values of LANES codes. */
static CF_ALWAYS_INLINE lanes unpack(const lane_rule *r, int counting, int plain, lanes code,
                                     lanes bias, cf_flags *flags) {
  const int no_zero = !plain && r->no_zero, no_negative_zero = !plain && r->no_negative_zero;
  const lanes zero = v_set1(0);
  const lanes magnitude = v_and(code, r->magnitude_mask);
  mask small = m_gt_s(r->smallest_normal, magnitude);
  const lanes exponent = v_slli(v_sub(r->float32_one, bias), 23);
  lanes value = v_add(v_sllv(magnitude, r->drop), exponent);
  lanes subnormal = zero;
  if (no_zero) { /* 2^-127 and more, below 2^-126 */
    const mask is_subnormal = m_gt_s(r->implicit_one, value);
    value = v_select(is_subnormal, v_srli(v_or(value, r->implicit_one), 1), value);
    small = m_gt_s(zero, zero);
  } else if (!r->flush) /* exact, and normal or zero, so that no floating-point mode has a say in it
                         */
    subnormal = v_mul_floats(v_to_float(magnitude), v_add(exponent, r->quantum));
  if (!no_zero) value = v_select(small, subnormal, value);
  const mask special = m_gt_s(magnitude, r->max_code);
  mask nan = m_gt_s(zero, zero);
  if (r->has_special && m_any(special)) {
    /* infinity is the first code beyond the largest finite one */
    nan = r->has_infinity ? m_gt_s(magnitude, r->infinity) : special;
    value = v_select(special, v_set1(0x7F800000u), value);
    value = v_select(nan, v_set1(CF_FLOAT32_NAN_BITS), value);
  }
  if (r->is_signed) {
    const lanes sign = v_and(v_sllv(code, r->sign_shift), v_set1(0x80000000u));
    value = v_or(value, sign);
  }
  if (no_negative_zero) {
    const mask is_only_nan = m_eq(v_and(code, r->all_of_code), r->sign_mask);
    value = v_select(is_only_nan, v_set1(CF_FLOAT32_NAN_BITS), value);
    nan = m_or(nan, is_only_nan);
  }
  if (counting)
    count_raised(flags, nan, m_and(small, m_gt_s(magnitude, zero)), m_gt_s(zero, zero),
                 m_gt_s(zero, zero));
  return value;
}

#endif
