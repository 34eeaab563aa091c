/* cf_scalar.h's arithmetic in vector form, written once for every instruction set.
 *
 * An ISA's file includes this after defining its lanes of 32 bits and the operations on them:
 *
 *   lanes, mask, LANES            a vector of LANES uint32_t, and one truth value for each
 *   v_set1(u) v_load(p) v_store(p, v)
 *   v_add v_sub v_and v_or        two vectors
 *   v_slli(v, n) v_srli(v, n)     all lanes by one constant count 1..31
 *   v_sllv(v, n) v_srlv(v, n)     each lane by its own count; 0 if the count, unsigned, is 32 or more
 *   v_min_u v_min_s v_max_s       unsigned and signed minimum, signed maximum
 *   v_select(m, a, b)             m ? a : b
 *   v_increment(v, m)             v + (m ? 1 : 0)
 *   v_to_float(v)                 the bits of (float)v, v < 2^24
 *   m_eq m_gt_u m_gt_s            comparisons; m_and m_or m_andnot (first and not second)
 *   m_any(m) m_count(m)           whether, and how many, are true
 *   v_load_pairs(p, low, high)    the lower and upper halves of LANES uint64_t
 *   v_load_biases(p)              LANES int16_t, sign-extended
 *   v_load_codes(p, size)         LANES codes of 1 or 2 bytes
 *   v_store_codes(p, size, a, b)  2 * LANES codes
 *   v_random(stream, a, b)        the next 2 * LANES words; the position is a multiple of 4
 *   stream, stream_at(seed, position)
 *   ISA_NAME(slot)                slot_<isa>
 *
 * Each body works on 2 * LANES elements.  What is left over is padded with zeros, which raise no flag.
 * The formats are those of cf_suits_lanes: float32's denormals need no normalisation then. */
#ifndef CF_LANES_H
#define CF_LANES_H

#include <string.h>

enum { BODY = 2 * LANES };

/* What is the same for all elements, spread over the lanes. */
typedef struct lane_rule {
  lanes mantissa_bits;
  lanes drop;       /* mantissa bits of a float32 that a normal result has not */
  lanes quantum;    /* exponent of the denormals' last bit, at bias 0 */
  lanes sign_shift; /* from bit 31 to the code's sign */
  int rounding;
  int whitepaper, flush, deep, is_signed, has_infinity, keeps_infinity;
  size_t code_size;
  lanes bias;
  lanes sign_mask, magnitude_mask, max_code, overflow_code, nan_code;
  lanes largest_denormal, smallest_normal, infinity, negative_code;
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
  r.deep = rule->deep;
  r.is_signed = params->sign_mask != 0;
  r.sign_shift = v_set1(r.is_signed ? (uint32_t)(31 - cf_log2(params->sign_mask)) : 0);
  r.quantum = v_set1((uint32_t)((r.whitepaper ? 0 : 1) - m));
  r.keeps_infinity = params->has_infinity && params->overflow_code != params->max_code;
  r.code_size = rule->code_size;
  r.bias = v_set1((uint32_t)bias);
  r.sign_mask = v_set1((uint32_t)params->sign_mask);
  r.magnitude_mask = v_set1((uint32_t)params->magnitude_mask);
  r.max_code = v_set1((uint32_t)params->max_code);
  r.overflow_code = v_set1((uint32_t)params->overflow_code);
  r.nan_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : params->max_code));
  r.largest_denormal = v_set1((1u << m) - 1);
  r.smallest_normal = v_set1(1u << m);
  r.has_infinity = params->has_infinity;
  r.infinity = v_set1((uint32_t)params->max_code + 1);
  r.negative_code = v_set1((uint32_t)(params->has_nan ? params->nan_code : 0));
  r.rounding = rule->rounding;
  return r;
}

/* Source elements, taken apart: magnitude = (significand + low / 2^32) * 2^(place - 150). */
typedef struct operand {
  lanes sign;        /* in bit 31; the other bits are anything */
  lanes exponent;    /* biased as a float32's; a float32's own denormals have 0 */
  lanes place;       /* the exponent that the significand is for: 1 for them */
  lanes significand; /* 24 bits */
  lanes low;         /* what a float64 has beyond that */
  mask special;      /* infinite or NaN */
  mask nan, nonzero, denormal;
} operand;

static inline operand float32_operand(const void *source, int deep) {
  const lanes bits = v_load(source);
  const lanes magnitude = v_and(bits, v_set1(0x7FFFFFFFu));
  const lanes fraction = v_and(bits, v_set1(0x007FFFFFu));
  operand x;
  x.sign = bits;
  x.exponent = v_srli(magnitude, 23);
  x.significand = v_or(fraction, v_set1(0x00800000u));
  x.low = v_set1(0);
  x.special = m_gt_s(magnitude, v_set1(0x7F7FFFFFu));
  x.nan = m_gt_s(magnitude, v_set1(0x7F800000u));
  x.nonzero = m_gt_s(magnitude, v_set1(0));
  x.denormal = m_andnot(x.nonzero, m_gt_s(magnitude, v_set1(0x007FFFFFu)));
  x.place = x.exponent;
  if (deep) { /* elsewhere 2^-127 rounds as anything smaller does */
    x.place = v_max_s(x.exponent, v_set1(1));
    x.significand = v_select(m_eq(x.exponent, v_set1(0)), fraction, x.significand);
  }
  return x;
}

static inline operand float64_operand(const void *source, int deep) {
  lanes low, high;
  v_load_pairs(source, &low, &high);
  const lanes magnitude = v_and(high, v_set1(0x7FFFFFFFu));
  const lanes exponent = v_srli(magnitude, 20);
  const lanes fraction = v_and(high, v_set1(0x000FFFFFu));
  const mask top = m_eq(exponent, v_set1(2047));
  operand x;
  (void)deep; /* a float64 denormal is far below anything */
  x.sign = high;
  x.exponent = x.place = v_sub(exponent, v_set1(1023 - 127));
  x.significand = v_or(v_or(v_slli(fraction, 3), v_srli(low, 29)), v_set1(0x00800000u));
  x.low = v_slli(low, 3);
  x.special = top;
  x.nan = m_andnot(top, m_eq(v_or(fraction, low), v_set1(0)));
  x.nonzero = m_andnot(m_eq(low, low), m_eq(v_or(magnitude, low), v_set1(0)));
  x.denormal = m_and(x.nonzero, m_eq(exponent, v_set1(0)));
  return x;
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

/* cf_round_pack: the codes of LANES elements.  rounding and whether to count are constants in the callers'
 * loops; word holds the random words of CF_STOCHASTIC. */
static inline lanes round_pack(const lane_rule *r, int rounding, int counting, operand x, lanes bias,
                               lanes word, cf_flags *flags) {
  const lanes zero = v_set1(0);
  const int nearest = rounding == CF_TIES_TO_EVEN || rounding == CF_TIES_TO_AWAY;
  /* steps above the smallest normal number's exponent; below it, the quantum stays */
  const lanes first_normal = v_sub(v_set1(128), bias);
  const lanes steps = v_sub(x.place, first_normal);
  const lanes below = v_min_s(steps, zero);
  lanes shift = v_sub(r->drop, below);
  const mask tiny = m_gt_s(first_normal, x.exponent);
  /* the whitepaper's denormals have half the quantum */
  if (r->whitepaper) shift = v_select(tiny, v_sub(shift, v_set1(1)), shift);

  const lanes left = v_sub(v_set1(32), shift);
  const lanes kept = v_srlv(x.significand, shift);
  lanes fraction = v_sllv(x.significand, left);
  /* further down nothing reaches one half */
  if (!nearest) fraction = v_or(fraction, v_srlv(x.significand, v_sub(shift, v_set1(32))));
  fraction = v_or(fraction, v_srlv(x.low, shift));
  const lanes sticky = v_sllv(x.low, left);
  lanes code = v_add(kept, v_sllv(v_sub(steps, below), r->mantissa_bits));
  mask inexact = m_or(m_andnot(x.nonzero, m_eq(v_or(fraction, sticky), zero)),
                      m_and(x.nonzero, m_eq(kept, zero)));

  mask up;
  switch (rounding) {
    case CF_TIES_TO_EVEN: {
      const lanes odd = v_and(code, v_set1(1));
      const lanes beyond = v_or(fraction, v_min_u(sticky, v_set1(1)));
      up = m_gt_u(beyond, v_sub(v_set1(0x80000000u), odd));
      break;
    }
    case CF_TIES_TO_AWAY: up = m_gt_s(zero, fraction); break;
    case CF_TOWARD_POSITIVE: up = m_andnot(inexact, m_gt_s(zero, x.sign)); break;
    case CF_TOWARD_NEGATIVE: up = m_and(inexact, m_gt_s(zero, x.sign)); break;
    case CF_STOCHASTIC: up = m_gt_u(fraction, v_add(fraction, word)); break;
    default: up = m_gt_s(zero, zero); break;
  }

  if (r->whitepaper) {
    const mask hole = m_and(tiny, m_gt_s(v_add(kept, v_set1(1)), r->largest_denormal));
    if (m_any(hole)) {
      /* the neighbours are gap = 2^m + 1 quanta apart, and x is over + fraction above the lower */
      const lanes over = v_sub(kept, r->largest_denormal);
      const lanes half = v_srli(r->smallest_normal, 1);
      const mask beyond = m_gt_s(over, zero);
      mask hole_up;
      inexact = m_or(inexact, m_and(hole, beyond));
      switch (rounding) {
        case CF_TIES_TO_EVEN:
        case CF_TIES_TO_AWAY: /* a tie is at half + 1/2; the upper code is even */
          hole_up = m_or(m_gt_s(over, half), m_and(m_eq(over, half), m_gt_s(zero, fraction)));
          break;
        case CF_TOWARD_POSITIVE: hole_up = m_andnot(inexact, m_gt_s(zero, x.sign)); break;
        case CF_TOWARD_NEGATIVE: hole_up = m_and(inexact, m_gt_s(zero, x.sign)); break;
        case CF_STOCHASTIC: {
          /* (over + fraction) + gap * word / 2^32 >= gap, the product in two words */
          const lanes product = v_add(v_sllv(word, r->mantissa_bits), word);
          const lanes total = v_add(product, fraction);
          lanes high = v_add(v_srlv(word, v_sub(v_set1(32), r->mantissa_bits)), over);
          high = v_increment(high, m_gt_u(word, product));
          high = v_increment(high, m_gt_u(fraction, total));
          hole_up = m_gt_s(high, r->smallest_normal);
          break;
        }
        default: hole_up = m_gt_s(zero, zero); break;
      }
      code = v_select(hole, r->largest_denormal, code);
      up = m_or(m_and(hole, hole_up), m_andnot(up, hole));
    }
  }
  code = v_increment(code, up);

  mask underflow = m_and(tiny, inexact);
  if (r->flush) {
    const mask denormal = m_gt_u(r->smallest_normal, code);
    underflow = m_and(tiny, m_or(inexact, m_and(denormal, x.nonzero)));
    code = v_select(denormal, zero, code);
  }
  mask overflow = m_gt_s(code, r->max_code);
  switch (rounding) {
    case CF_TIES_TO_EVEN:
    case CF_TIES_TO_AWAY: code = v_min_s(code, r->overflow_code); break;
    case CF_TOWARD_POSITIVE:
      code = v_min_s(code, v_select(m_gt_s(zero, x.sign), r->max_code, r->overflow_code));
      break;
    case CF_TOWARD_NEGATIVE:
      code = v_min_s(code, v_select(m_gt_s(zero, x.sign), r->overflow_code, r->max_code));
      break;
    default: code = v_min_s(code, r->max_code); break;
  }
  mask invalid = m_gt_s(zero, zero);
  if (m_any(x.special)) {
    code = v_select(x.special, r->overflow_code, code);
    code = v_select(x.nan, r->nan_code, code);
    invalid = x.nan;
    overflow = m_andnot(overflow, r->keeps_infinity ? x.special : x.nan);
  }
  if (r->is_signed) {
    code = v_or(code, v_and(v_srlv(x.sign, r->sign_shift), r->sign_mask));
  } else {
    const mask negative = m_andnot(m_and(m_gt_s(zero, x.sign), x.nonzero), x.nan);
    if (m_any(negative)) {
      code = v_select(negative, r->negative_code, code);
      invalid = m_or(invalid, negative);
      overflow = m_andnot(overflow, negative);
      underflow = m_andnot(underflow, negative);
    }
  }
  if (counting) count_raised(flags, invalid, x.denormal, overflow, underflow);
  return code;
}

/* cf_unpack, as float32: the values of LANES codes.  flags may be NULL. */
static inline lanes unpack(const lane_rule *r, lanes code, lanes bias, cf_flags *flags) {
  const lanes zero = v_set1(0);
  const lanes magnitude = v_and(code, r->magnitude_mask);
  const mask small = m_gt_s(r->smallest_normal, magnitude);
  const mask nonzero = m_gt_s(magnitude, zero);
  /* exponents are added as integers: no floating-point mode has a say in it */
  const lanes exponent = v_slli(v_sub(v_set1(127), bias), 23);
  lanes value = v_add(v_sllv(magnitude, r->drop), exponent);
  lanes denormal = zero;
  if (!r->flush) {
    denormal = v_add(v_to_float(magnitude), v_slli(v_sub(r->quantum, bias), 23));
  }
  value = v_select(small, v_select(nonzero, denormal, zero), value);
  const mask special = m_gt_s(magnitude, r->max_code);
  mask nan = m_gt_s(zero, zero);
  if (m_any(special)) {
    /* infinity is the first code beyond the largest finite one */
    nan = r->has_infinity ? m_gt_s(magnitude, r->infinity) : special;
    value = v_select(special, v_set1(0x7F800000u), value);
    value = v_select(nan, v_set1(0x7FC00000u), value);
  }
  if (r->is_signed) {
    const lanes sign = v_and(v_sllv(code, r->sign_shift), v_set1(0x80000000u));
    value = v_or(value, sign);
  }
  if (flags != NULL)
    count_raised(flags, nan, m_and(small, nonzero), m_gt_s(zero, zero), m_gt_s(zero, zero));
  return value;
}

/* The biases of the LANES elements from i on. */
static inline lanes biases_at(const lane_rule *r, const int16_t *bias, size_t bias_step, size_t i) {
  return bias_step == 0 ? r->bias : v_load_biases(bias + i);
}

/* The loop of a slot: whole bodies of elements, and zero-padded copies of what is left over and, for the
 * random words, of what precedes a multiple of four.  A negative rounding stands for the rule's own. */
#define DEFINE_ENCODE_LOOP(name, operand_of, source_size, fixed_rounding, counting, is_round_to)     \
  static inline void ISA_NAME(name##_body)(                                                          \
      const lane_rule *r, const int16_t *bias, size_t bias_step, const char *source,                 \
      random_stream *words, char *destination, cf_flags *flags) {                                    \
    const int rounding = (fixed_rounding) < 0 ? r->rounding : (fixed_rounding);                      \
    lanes word[2] = {v_set1(0), v_set1(0)};                                                          \
    if (rounding == CF_STOCHASTIC) v_random(words, &word[0], &word[1]);                              \
    const lanes bias0 = biases_at(r, bias, bias_step, 0);                                            \
    const lanes bias1 = biases_at(r, bias, bias_step, LANES);                                        \
    const operand x0 = operand_of(source, r->deep);                                                  \
    const operand x1 = operand_of(source + LANES * (source_size), r->deep);                          \
    const lanes code0 = round_pack(r, rounding, counting, x0, bias0, word[0], flags);                \
    const lanes code1 = round_pack(r, rounding, counting, x1, bias1, word[1], flags);                \
    if (is_round_to) {                                                                               \
      v_store(destination, unpack(r, code0, bias0, NULL));                                           \
      v_store(destination + LANES * 4, unpack(r, code1, bias1, NULL));                               \
    } else {                                                                                         \
      v_store_codes(destination, r->code_size, code0, code1);                                        \
    }                                                                                                \
  }                                                                                                  \
  static void ISA_NAME(name##_loop)(const cf_rule *rule, const int16_t *bias, size_t bias_step,      \
                                    const char *source, uint64_t position, char *destination,        \
                                    size_t count, cf_flags *flags) {                                 \
    const lane_rule r = lane_rule_of(rule, *bias);                                                   \
    const size_t size = (is_round_to) ? 4 : r.code_size;                                             \
    size_t lead = position % 4;                                                                      \
    random_stream words = random_stream_at(rule->seed, position - lead);                             \
    while (count > 0) {                                                                              \
      size_t part = BODY;                                                                            \
      if (lead == 0 && count >= BODY) {                                                              \
        ISA_NAME(name##_body)(&r, bias, bias_step, source, &words, destination, flags);              \
      } else {                                                                                       \
        char source_stage[BODY * (source_size)] = {0}, destination_stage[BODY * 4];                  \
        int16_t bias_stage[BODY] = {0};                                                              \
        part = count < BODY - lead ? count : BODY - lead;                                            \
        memcpy(source_stage + lead * (source_size), source, part * (source_size));                   \
        if (bias_step != 0) memcpy(bias_stage + lead, bias, part * sizeof *bias);                    \
        ISA_NAME(name##_body)(&r, bias_stage, bias_step, source_stage, &words, destination_stage,    \
                              flags);                                                                \
        memcpy(destination, destination_stage + lead * size, part * size);                           \
        lead = 0;                                                                                    \
      }                                                                                              \
      source += part * (source_size);                                                                \
      destination += part * size;                                                                    \
      bias += part * bias_step;                                                                      \
      count -= part;                                                                                 \
    }                                                                                                \
  }

/* A slot: the modes that matter most have loops of their own, and each has one that counts. */
#define DEFINE_ENCODE(name, operand_of, source_size, is_round_to)                                      \
  DEFINE_ENCODE_MODE(name##_even, operand_of, source_size, CF_TIES_TO_EVEN, is_round_to)               \
  DEFINE_ENCODE_MODE(name##_zero, operand_of, source_size, CF_TOWARD_ZERO, is_round_to)                \
  DEFINE_ENCODE_MODE(name##_stochastic, operand_of, source_size, CF_STOCHASTIC, is_round_to)           \
  DEFINE_ENCODE_MODE(name##_other, operand_of, source_size, -1, is_round_to)                           \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,               \
                             const void *source, uint64_t position, void *destination, size_t count,   \
                             cf_flags *flags) {                                                        \
    switch (rule->rounding) {                                                                          \
      case CF_TIES_TO_EVEN:                                                                            \
        ISA_NAME(name##_even)(rule, bias, bias_step, source, 0, destination, count, flags);            \
        break;                                                                                         \
      case CF_TOWARD_ZERO:                                                                             \
        ISA_NAME(name##_zero)(rule, bias, bias_step, source, 0, destination, count, flags);            \
        break;                                                                                         \
      case CF_STOCHASTIC:                                                                              \
        ISA_NAME(name##_stochastic)(rule, bias, bias_step, source, position, destination, count,       \
                                    flags);                                                            \
        break;                                                                                         \
      default: ISA_NAME(name##_other)(rule, bias, bias_step, source, 0, destination, count, flags);    \
    }                                                                                                  \
  }

#define DEFINE_ENCODE_MODE(name, operand_of, source_size, rounding, is_round_to)                       \
  DEFINE_ENCODE_LOOP(name##_counting, operand_of, source_size, rounding, 1, is_round_to)               \
  DEFINE_ENCODE_LOOP(name##_silent, operand_of, source_size, rounding, 0, is_round_to)                 \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,               \
                             const char *source, uint64_t position, char *destination, size_t count,   \
                             cf_flags *flags) {                                                        \
    if (flags != NULL)                                                                                 \
      ISA_NAME(name##_counting_loop)                                                                   \
      (rule, bias, bias_step, source, position, destination, count, flags);                            \
    else                                                                                               \
      ISA_NAME(name##_silent_loop)                                                                     \
      (rule, bias, bias_step, source, position, destination, count, NULL);                             \
  }

DEFINE_ENCODE(encode_float32, float32_operand, 4, 0)
DEFINE_ENCODE(encode_float64, float64_operand, 8, 0)
DEFINE_ENCODE(round_float32, float32_operand, 4, 1)

static inline void ISA_NAME(decode_float32_body)(const lane_rule *r, const int16_t *bias,
                                                 size_t bias_step, const char *codes, char *values,
                                                 cf_flags *flags) {
  const lanes code0 = v_load_codes(codes, r->code_size);
  const lanes code1 = v_load_codes(codes + LANES * r->code_size, r->code_size);
  v_store(values, unpack(r, code0, biases_at(r, bias, bias_step, 0), flags));
  v_store(values + LANES * 4, unpack(r, code1, biases_at(r, bias, bias_step, LANES), flags));
}

static void ISA_NAME(decode_float32)(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                                     const void *codes, void *values, size_t count, cf_flags *flags) {
  const lane_rule r = lane_rule_of(rule, *bias);
  const char *source = codes;
  char *destination = values;
  for (; count >= BODY; count -= BODY) {
    ISA_NAME(decode_float32_body)(&r, bias, bias_step, source, destination, flags);
    source += BODY * r.code_size;
    destination += BODY * 4;
    bias += BODY * bias_step;
  }
  if (count > 0) {
    char source_stage[BODY * 2] = {0}, destination_stage[BODY * 4];
    int16_t bias_stage[BODY] = {0};
    memcpy(source_stage, source, count * r.code_size);
    if (bias_step != 0) memcpy(bias_stage, bias, count * sizeof *bias);
    ISA_NAME(decode_float32_body)(&r, bias_stage, bias_step, source_stage, destination_stage, flags);
    memcpy(destination, destination_stage, count * 4);
  }
}

/* Slots that are left out here are the portable ones. */
#define CF_LANE_KERNELS(isa)                                                                     \
  {                                                                                              \
    .name = (isa),                                                                               \
    .encode = {[CF_FLOAT64] = ISA_NAME(encode_float64), [CF_FLOAT32] = ISA_NAME(encode_float32)}, \
    .decode = {[CF_FLOAT32] = ISA_NAME(decode_float32)},                                         \
    .round_float32 = ISA_NAME(round_float32),                                                    \
  }

#endif
