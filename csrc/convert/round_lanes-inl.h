/* core/scalar.h's arithmetic in vector form, written once for every instruction set.
 *
 * An ISA's file includes this after defining its lanes of 32 bits and the operations on them:
 *
 *   lanes, mask, LANES            a vector of LANES uint32_t, and one truth value for each
 *   v_set1(u) v_load(p) v_store(p, v)
 *   v_stream(p, v)                a store past the caches, p aligned to a vector
 *   v_stream_end()                after the last one, before another thread looks
 *   v_add v_sub v_and v_or        two vectors; v_andnot (first and not second)
 *   v_slli(v, n) v_srli(v, n)     all lanes by one constant count 1..31; v_srai with the sign
 *   v_sllv(v, n) v_srlv(v, n)     each lane by its own count, unsigned; 0 if that is 32 or more
 *   v_min_u v_max_u               unsigned minimum and maximum; signed v_min_s, v_max_s
 *   v_select(m, a, b)             m ? a : b
 *   v_increment(v, m)             v + (m ? 1 : 0)
 *   v_to_float(v)                 the bits of (float)v, v < 2^24
 *   v_add_floats(a, b)            the bits of a sum of floats, rounded to nearest even
 *   v_sub_floats(a, b)            an exact difference
 *   v_mul_floats(a, b)            a product that is exact, or rounded in the modes there are
 *   v_div_floats(a, b)            a quotient, rounded in the modes there are
 *   v_xor(a, b)
 *   v_fma_where(m, v, f, a)       the bits of v * f + a, rounded once, if m, else v
 *   float_enter()                 before adding floats: sees to that rounding, and that nothing
 *                                 traps
 *   float_leave(modes)            after it, with what float_enter returned
 *   m_eq m_gt_u m_gt_s            comparisons; m_and m_or m_andnot (first and not second)
 *   m_has(v, bit)                 whether that bit is set
 *   m_any(m) m_count(m)           whether, and how many, are true
 *   v_load_pairs(p, low, high)    the lower and upper halves of LANES uint64_t
 *   v_load_biases(p)              LANES int16_t, sign-extended
 *   v_load_codes(p, size)         LANES codes of 1 or 2 bytes
 *   V_LOAD_FLOAT16(p)             LANES float16 as float32, any NaN for a NaN; or it is not defined
 *   V_TO_FLOAT16(v)               the way back, to nearest; or it is not defined
 *   v_store_codes(p, size, a, b)  2 * LANES codes
 *   v_stream_codes(p, size, a, b) the same past the caches, p aligned to all of them
 *   v_store_doubles(p, v, streaming) LANES float32 as float64, in the default modes
 *   wide                          a vector of LANES / 2 uint64_t, for philox-inl.h
 *   w_set1(u) w_add(a, b) w_xor3(a, b, c) w_upper(v), each lane's upper half
 *   w_multiply(a, b)              products of lower halves
 *   w_xor(a, b)
 *   w_swap_xor(p, a, b)           p's halves exchanged, and in the lower ones a and b added by xor
 *   w_order()                     the lanes' counters, from 0 on, in the order in which
 *   w_words(low, high, a, b)      puts pairs of words, of the two by turns, in sequence
 *   ISA_NAME(slot)                slot_<isa>
 *
 * The formats are those of cf_lanes_encode and cf_lanes_decode: float32's subnormals need no
 * normalisation then. */
#ifndef CF_CONVERT_ROUND_LANES_INL_H
#define CF_CONVERT_ROUND_LANES_INL_H

#include "cpu/compiler.h"

/* What is the same for all codes to be decoded, spread over the lanes. */
typedef struct lane_rule {
  lanes drop; /* mantissa bits of a float32 that a value has not */
  /* exponent of the subnormals' last bit at bias 0, in the place of a float32's */
  lanes quantum;
  lanes sign_shift; /* from bit 31 to the code's sign */
  int streaming, fetching, flush, no_zero, is_signed, has_special, has_infinity, no_negative_zero;
  size_t code_size;
  lanes bias;
  lanes sign_mask, magnitude_mask, max_code, smallest_normal, infinity, all_of_code;
  lanes implicit_one, float32_one;
} lane_rule;

static inline lane_rule lane_rule_of(const cf_rule *rule, int bias) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits;
  /* without mantissa bits both readings are the same: nothing lies between 0 and 2^(1-bias) */
  const int whitepaper = params->subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0;
  lane_rule r;
  r.drop = v_set1((uint32_t)(23 - m));
  r.flush = params->subnormals == CF_SUBNORMALS_FLUSH;
  r.no_zero = params->subnormals == CF_SUBNORMALS_NORMAL;
  r.no_negative_zero = params->no_negative_zero;
  r.is_signed = params->sign_mask != 0;
  r.sign_shift = v_set1(r.is_signed ? (uint32_t)(31 - cf_log2(params->sign_mask)) : 0);
  r.quantum = v_set1((uint32_t)((whitepaper ? 0 : 1) - m) << 23);
  r.has_special = params->max_code != params->magnitude_mask;
  r.code_size = rule->code_size;
  r.bias = v_set1((uint32_t)bias);
  r.sign_mask = v_set1((uint32_t)params->sign_mask);
  r.magnitude_mask = v_set1((uint32_t)params->magnitude_mask);
  r.max_code = v_set1((uint32_t)params->max_code);
  r.smallest_normal = v_set1(1u << m);
  r.all_of_code = v_set1((uint32_t)(params->sign_mask | params->magnitude_mask));
  r.has_infinity = params->has_infinity;
  r.infinity = v_set1((uint32_t)params->max_code + 1);
  r.streaming = rule->streaming;
  r.fetching = rule->fetching;
  r.implicit_one = v_set1(0x00800000u);
  r.float32_one = v_set1(127);
  return r;
}

/* What is the same for all float32 to be encoded.  Magnitudes have a place: their bits, less those
 * of half the smallest number that the lowest binade of the format's quantum has.  So a place of
 * 2^23 and more, without its last bits, is a code but for a constant, whatever the bias; below it
 * is subnormal, and the exponent tells how much.  In the whitepaper's reading the lowest binade
 * is the one below the smallest normal number, and is taken out again (docs/spec.md 2.1, "the
 * hole"): from codes, or by random words, which decide otherwise in it, from places to begin with.
 */
typedef struct round_rule {
  int rounding; /* the mode */
  int reads_subnormals, whitepaper, flush, no_zero, is_signed, has_nan, keeps_infinity,
      no_negative_zero;
  lanes scale, origin;  /* to a place: at the one bias; at bias 0 */
  lanes drop, one_more; /* bits that a code has not; those at place 0, which are one more */
  lanes offset;         /* from what remains of a place to a code */
  lanes normal;         /* the place of the smallest normal number */
  lanes below_hole_binade, hole, upper, upper_if_negative, hole_length;
  lanes smallest_normal, max_subnormal;
  lanes most, most_if_negative, max_code, overflow_code, nan_code, negative_code;
  lanes sign_shift, sign_mask;
  /* of random words: bits that count, a half step, whether one that is odd loses a tie, the bit
   * that tells, and what is added to a product for a half step beyond 32 bits */
  int breaks_ties, has_half;
  lanes kept, half, odd_shift, half_gap, mantissa_bits;
  /* constants, here so that they are operands in memory and not made anew in every round */
  lanes all_but_sign, fraction, implicit_one, one, thirty_one, thirty_two, float32_max;
} round_rule;

static inline round_rule round_rule_of(const cf_rule *rule, int bias) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits, mode = cf_rounding_mode(rule->rounding);
  const int variant = cf_rounding_variant(rule->rounding), bits = cf_rounding_bits(rule->rounding);
  const int is_random = mode == CF_STOCHASTIC;
  const uint32_t one = 0x00800000u, max_subnormal = (1u << m) - 1;
  round_rule r;
  r.rounding = mode;
  r.reads_subnormals = rule->reads_subnormals;
  r.whitepaper = params->subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0;
  r.flush = params->subnormals == CF_SUBNORMALS_FLUSH;
  r.no_zero = params->subnormals == CF_SUBNORMALS_NORMAL;
  r.is_signed = params->sign_mask != 0;
  r.has_nan = params->has_nan;
  r.keeps_infinity = params->has_infinity && params->overflow_code != params->max_code;
  r.no_negative_zero = params->no_negative_zero;
  /* the lowest binade has the smallest normal number or, of those without zero, the code 0 */
  const int takes_out = r.whitepaper && is_random; /* a binade, from places */
  const int lowest = (r.whitepaper && !takes_out) || r.no_zero ? 126 : 127;
  const uint32_t binade = takes_out ? one : 0;
  r.origin = v_set1(0u - ((uint32_t)lowest << 23));
  r.scale = v_set1(((uint32_t)bias - (uint32_t)lowest) << 23);
  r.drop = v_set1((uint32_t)(23 - m));
  r.one_more = v_set1((uint32_t)((takes_out ? 23 : 24) - m));
  const uint32_t offset = (r.whitepaper && !takes_out) || r.no_zero ? 1u << m : 0;
  r.offset = v_set1(offset);
  r.normal = v_set1(r.whitepaper && !takes_out ? 2 * one : one);
  r.below_hole_binade = v_set1(one - 1 - binade);
  const uint32_t hole = one - (1u << (24 - m)); /* the largest subnormal's place */
  r.hole = v_set1(hole - binade);
  r.hole_length = v_set1(2 * one - hole);
  /* in the hole, what is beyond this is rounded up: the upper code is even */
  uint32_t upper = 2 * one - 1, upper_if_negative = upper;
  const uint32_t middle = one + one / 2 - (1u << (22 - m));
  if (mode == CF_TIES_TO_EVEN || mode == CF_TIES_TO_AWAY) upper = upper_if_negative = middle - 1;
  if (mode == CF_TIES_TO_ZERO) upper = upper_if_negative = middle;
  if (mode == CF_TOWARD_POSITIVE) upper = hole;
  if (mode == CF_TOWARD_NEGATIVE) upper_if_negative = hole;
  r.upper = v_set1(upper);
  r.upper_if_negative = v_set1(upper_if_negative);
  r.smallest_normal = v_set1(1u << m);
  r.max_subnormal = v_set1(max_subnormal);
  r.max_code = v_set1((uint32_t)params->max_code);
  r.overflow_code = v_set1((uint32_t)params->overflow_code);
  r.most = cf_stops_at_max(mode, 0) ? r.max_code : r.overflow_code;
  r.most_if_negative = cf_stops_at_max(mode, 1) ? r.max_code : r.overflow_code;
  r.nan_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : params->max_code));
  r.negative_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : 0));
  r.sign_shift = v_set1(r.is_signed ? (uint32_t)(31 - cf_log2(params->sign_mask)) : 0);
  r.sign_mask = v_set1((uint32_t)params->sign_mask);
  /* B is A with half a step more; C is B but for ties, which are its odd words' loss */
  const int halves = is_random && variant != CF_STOCHASTIC_A;
  r.kept = v_set1(0xFFFFFFFFu << (32 - bits));
  r.half = v_set1(halves && bits < 32 ? 1u << (31 - bits) : 0);
  r.has_half = halves && bits == 32;
  r.breaks_ties = is_random && variant == CF_STOCHASTIC_C;
  r.odd_shift = v_set1((uint32_t)(32 - bits));
  r.half_gap = v_set1(r.has_half ? (1u << m) / 2 : 0);
  r.mantissa_bits = v_set1((uint32_t)m);
  r.all_but_sign = v_set1(0x7FFFFFFFu);
  r.fraction = v_set1(one - 1);
  r.implicit_one = v_set1(one);
  r.one = v_set1(1);
  r.thirty_one = v_set1(31);
  r.thirty_two = v_set1(32);
  r.float32_max = v_set1(0x7F7FFFFFu);
  return r;
}

/* What is counted in lanes, and what is seldom there at once. */
typedef struct tally {
  lanes underflow;
  cf_flags *flags;
} tally;

/* Counts of elements, kept out of the loops' way until there is something to count. */
static inline void count_raised(cf_flags *flags, mask invalid, mask denormal, mask overflow) {
  if (!m_any(m_or(m_or(invalid, denormal), overflow))) return;
  flags->invalid += m_count(invalid);
  flags->denormal += m_count(denormal);
  flags->overflow += m_count(overflow);
}

static inline void tally_end(tally *tally) {
  uint32_t counts[LANES];
  v_store(counts, tally->underflow);
  for (int i = 0; i < LANES; ++i) tally->flags->underflow += counts[i];
  tally->underflow = v_set1(0);
}

/* cf_stochastic_up where 32 bits of a fraction are not enough: of x less than 2^-8 quanta, by
 * `shift`, 32 and more. */
static inline mask tiny_goes_up(const round_rule *r, int plain, lanes significand, lanes shift,
                                lanes word, mask odd) {
  const lanes down = v_sub(shift, r->thirty_two);
  lanes fraction = v_srlv(significand, down);
  const mask sticky = m_gt_u(significand, v_sllv(fraction, down));
  if (!plain && r->has_half) {
    const lanes next = v_srlv(significand, v_sub(down, r->one)); /* one bit more; 0 if none is */
    mask goes_up = m_gt_s(v_and(next, r->one), v_set1(0));
    if (r->breaks_ties) {
      const mask beyond = m_gt_u(significand, v_sllv(next, v_sub(down, r->one)));
      goes_up = m_and(goes_up, m_or(beyond, m_gt_s(v_and(fraction, r->one), v_set1(0))));
    }
    fraction = v_increment(fraction, goes_up);
  } else if (!plain && r->breaks_ties) {
    word = v_select(m_andnot(odd, sticky), v_sub(word, r->one), word);
  }
  return m_gt_u(word, v_add(word, fraction));
}

/* The same in the hole, whose neighbours are gap = 2^m + 1 quanta apart: x is over + fraction
 * above the lower. */
static inline mask hole_goes_up(const round_rule *r, int plain, lanes over, lanes fraction,
                                lanes word, mask odd) {
  /* (over + fraction) + gap * word / 2^32 >= gap, the product in two words */
  const lanes product = v_add(v_sllv(word, r->mantissa_bits), word);
  lanes total = v_add(product, fraction);
  lanes high = v_srlv(word, v_sub(r->thirty_two, r->mantissa_bits));
  high = v_increment(v_add(high, over), m_gt_u(word, product));
  high = v_increment(high, m_gt_u(fraction, total));
  if (!plain && r->has_half) {
    const lanes before = total;
    total = v_add(total, r->half_gap);
    high = v_increment(high, m_gt_u(before, total));
  } else if (!plain && r->breaks_ties) { /* one less where the word is odd */
    const mask borrows = m_and(odd, m_eq(total, v_set1(0)));
    high = v_select(borrows, v_sub(high, r->one), high);
  }
  return m_gt_s(high, r->smallest_normal);
}

/* What round_lanes need not look after. */
enum round_lanes_plain {
  PLAIN_NOTHING,
  PLAIN_ALL,  /* formats are signed and have subnormals and both zeros, and words are as here: */
  PLAIN_WORDS /* 32 bits as they are; formats have zeros, but may be unsigned or flush subnormals */
};

/* cf_round_pack: the codes of LANES float32.  rounding, counting and plain (of the enumeration
 * above) are constants in the callers' loops; a negative rounding stands for the rule's
 * own, if not by random words.  scale is round_rule's, or each element's own.  word holds the
 * random words; low, what elements have beyond float32's precision, is for them alone, as other
 * modes can have it in the last bit. */
static CF_ALWAYS_INLINE lanes round_lanes(const round_rule *r, int rounding, int counting,
                                          int plain, lanes bits, int has_low, lanes low,
                                          lanes scale, lanes word, tally *tally) {
  const int is_random = rounding == CF_STOCHASTIC;
  const int mode = rounding < 0 ? r->rounding : rounding;
  const int directed = mode == CF_TOWARD_POSITIVE || mode == CF_TOWARD_NEGATIVE;
  /* zero must be told from what is tiny; elsewhere 2^-127 rounds as anything smaller does */
  const int exact = directed || mode == CF_TO_ODD || r->reads_subnormals;
  const int flush = plain != PLAIN_ALL && r->flush, no_zero = !plain && r->no_zero;
  const int is_signed = plain == PLAIN_ALL || r->is_signed;
  const lanes zero = v_set1(0);
  const lanes magnitude = v_and(bits, r->all_but_sign);
  const mask is_zero = m_eq(v_or(magnitude, low), zero);
  lanes significand = v_or(v_and(bits, r->fraction), r->implicit_one);
  lanes place = v_add(magnitude, scale), exponents = place;
  if (exact) {
    const mask small = m_gt_s(r->implicit_one, magnitude);
    const lanes twice = v_add(magnitude, magnitude);
    significand = v_select(small, twice, significand);
    if (has_low) {
      significand = v_select(small, v_or(twice, v_srli(low, 31)), significand);
      low = v_select(small, v_add(low, low), low);
    }
    if (r->reads_subnormals) { /* as if they were normal in one binade more */
      const lanes normalised = v_select(small, v_sub(twice, r->implicit_one), magnitude);
      exponents = v_add(v_max_s(normalised, zero), scale);
      place = v_add(normalised, scale);
    }
  }
  const lanes kept = v_max_s(place, significand);
  lanes shift = v_max_s(r->drop, v_sub(r->one_more, v_srai(exponents, 23)));
  lanes code;
  mask odd = m_gt_s(zero, zero);
  if (is_random) {
    lanes step = word;
    if (!plain) {
      word = v_and(word, r->kept);
      if (r->breaks_ties) odd = m_gt_s(v_and(v_srlv(word, r->odd_shift), r->one), zero);
      step = word = v_or(word, r->half);
      if (r->breaks_ties && !r->has_half) step = v_select(odd, v_sub(word, r->one), word);
    }
    lanes sum = v_add(kept, v_srlv(step, v_sub(r->thirty_two, shift)));
    if (has_low) {
      const lanes carried = v_sllv(word, shift);
      const lanes beyond = v_sllv(v_srlv(low, shift), shift);
      sum = v_increment(sum, m_gt_u(beyond, v_add(beyond, carried)));
    }
    code = v_srlv(sum, shift);
    const mask tiny = m_and(m_gt_s(shift, r->thirty_one), m_gt_s(magnitude, zero));
    if (m_any(tiny))
      code = v_increment(code, m_and(tiny, tiny_goes_up(r, plain, significand, shift, word, odd)));
  } else {
    switch (mode) {
      case CF_TOWARD_ZERO: code = v_srlv(kept, shift); break;
      case CF_TIES_TO_AWAY:
        code = v_srli(v_add(v_srlv(kept, v_sub(shift, r->one)), r->one), 1);
        break;
      default: { /* by how much less than a step, or half of one, makes it a whole one */
        shift = v_min_s(shift, r->thirty_one); /* still far below one half */
        const lanes rest = v_sub(v_sllv(r->one, shift), r->one);
        const lanes negative = v_srai(bits, 31);
        const lanes last_bit = v_and(v_sub(v_srlv(kept, shift), r->offset), r->one);
        lanes step;
        switch (mode) {
          case CF_TIES_TO_EVEN: step = v_add(v_srli(rest, 1), last_bit); break;
          case CF_TIES_TO_ZERO: step = v_srli(rest, 1); break;
          case CF_TOWARD_POSITIVE: step = v_andnot(rest, negative); break;
          case CF_TOWARD_NEGATIVE: step = v_and(rest, negative); break;
          default: step = v_andnot(rest, v_sub(zero, last_bit)); break; /* CF_TO_ODD */
        }
        code = v_srlv(v_add(kept, step), shift);
      }
    }
  }

  mask too_small = m_gt_s(zero, zero);
  if (r->whitepaper) {
    if (is_random) {
      const mask hole = m_gt_u(r->hole_length, v_sub(place, r->hole));
      if (m_any(hole)) {
        const lanes left = v_sub(r->thirty_two, shift);
        const lanes over = v_sub(v_srlv(significand, shift), r->max_subnormal);
        lanes fraction = v_sllv(significand, left);
        if (has_low) fraction = v_or(fraction, v_srlv(low, shift));
        const mask goes_up = m_and(hole, hole_goes_up(r, plain, over, fraction, word, odd));
        code = v_increment(v_select(hole, r->max_subnormal, code), goes_up);
      }
    } else {
      lanes limit = r->upper;
      if (directed) limit = v_select(m_gt_s(zero, bits), r->upper_if_negative, r->upper);
      const lanes normal_code = v_sub(code, r->offset);
      code = v_select(m_gt_s(place, limit), v_max_s(normal_code, r->smallest_normal),
                      v_min_s(code, r->max_subnormal));
    }
  } else if (no_zero) {
    too_small = m_gt_s(r->normal, place);
    code = v_select(too_small, zero, v_sub(code, r->offset));
  } else if (flush) {
    code = v_select(m_gt_s(r->smallest_normal, code), zero, code);
  }

  mask overflow = m_gt_s(zero, zero), underflow = overflow, invalid = overflow;
  if (counting) {
    const lanes exact = v_sllv(v_srlv(kept, shift), shift);
    mask inexact = m_gt_u(kept, exact);
    if (has_low) inexact = m_or(inexact, m_gt_u(low, zero));
    if (r->whitepaper) inexact = m_or(inexact, m_gt_s(place, r->below_hole_binade));
    if (flush) inexact = m_or(inexact, m_eq(code, zero));
    underflow = no_zero ? too_small : m_and(inexact, m_gt_s(r->normal, place));
    underflow = m_andnot(underflow, is_zero);
  }
  const mask special = m_gt_s(magnitude, r->float32_max);
  lanes sign = bits, most = r->most;
  if (counting) { /* what is special is beyond all values, as far as places reach */
    overflow = m_gt_s(code, r->max_code);
    if (!plain) overflow = m_or(overflow, special);
  }
  if (directed) most = v_select(m_gt_s(zero, bits), r->most_if_negative, r->most);
  code = v_min_s(code, most);
  if (m_any(counting ? overflow : special)) {
    invalid = m_gt_s(magnitude, v_set1(0x7F800000u));
    if (!r->has_nan) sign = v_select(invalid, zero, sign);
    code = v_select(invalid, r->nan_code, v_select(special, r->overflow_code, code));
    overflow = m_andnot(overflow, r->keeps_infinity ? special : invalid);
    if (no_zero) underflow = m_andnot(underflow, special);
  }
  if (no_zero) {
    if (r->has_nan) {
      code = v_select(is_zero, r->nan_code, code);
      sign = v_select(is_zero, zero, sign);
      invalid = m_or(invalid, is_zero);
    } else {
      underflow = m_or(underflow, is_zero);
    }
  }
  if (is_signed) {
    const lanes signs = v_and(v_srlv(sign, r->sign_shift), r->sign_mask);
    if (!plain && r->no_negative_zero)
      code = v_select(m_gt_s(code, zero), v_or(code, signs), zero);
    else
      code = v_or(code, signs);
  } else {
    const mask negative = m_andnot(m_andnot(m_gt_s(zero, bits), is_zero), invalid);
    if (m_any(negative)) {
      code = v_select(negative, r->negative_code, code);
      invalid = m_or(invalid, negative);
      overflow = m_andnot(overflow, negative);
      underflow = m_andnot(underflow, negative);
    }
  }
  if (counting) {
    tally->underflow = v_increment(tally->underflow, underflow);
    const mask denormal = m_gt_u(r->fraction, v_sub(magnitude, r->one));
    count_raised(tally->flags, invalid, denormal, overflow);
  }
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
  if (counting) count_raised(flags, nan, m_and(small, m_gt_s(magnitude, zero)), m_gt_s(zero, zero));
  return value;
}

#endif
