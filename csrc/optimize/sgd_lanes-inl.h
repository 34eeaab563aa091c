/* The loops of a step of SGD of optimize/loops.h, written once for every instruction set, whose
 * file has defined what optimize/adamw_lanes-inl.h says. */
#ifndef CF_OPTIMIZE_SGD_LANES_INL_H
#define CF_OPTIMIZE_SGD_LANES_INL_H

#include "cpu/compiler.h"

/* The momentum of LANES elements, of that before, and the gradient that goes into it. */
static CF_ALWAYS_INLINE floats new_momentum(const cf_sgd_rule *rule, floats momentum,
                                            const float *gradient, const float *parameter,
                                            floats *decayed) {
  *decayed = f_mul(f_load(gradient), f_set1(rule->sign));
  if (rule->decay != 0) *decayed = f_fma(f_load(parameter), f_set1(rule->decay), *decayed);
  if (!rule->has_momentum) return *decayed;
  return f_fma(*decayed, f_set1(rule->weight), f_mul(momentum, f_set1(rule->kept)));
}

/* The step of LANES elements: their momentum. */
static CF_ALWAYS_INLINE floats sgd_lanes(const cf_sgd_rule *rule, floats momentum,
                                         const float *gradient, float *parameter) {
  floats decayed;
  const floats made = new_momentum(rule, momentum, gradient, parameter, &decayed);
  const floats change = rule->nesterov ? f_fma(made, f_set1(rule->kept), decayed) : made;
  f_store(parameter, f_positive_nan(f_fma(change, f_set1(-rule->rate), f_load(parameter))));
  return f_positive_nan(made);
}

static CF_ALWAYS_INLINE void sgd_stored(const cf_sgd_rule *rule, float *momentum,
                                        const float *gradient, float *parameter) {
  f_store(momentum, sgd_lanes(rule, f_load(momentum), gradient, parameter));
}

static CF_ALWAYS_INLINE float largest_lane(floats found) {
  float of_lanes[LANES], largest = 0;
  f_store(of_lanes, found);
  for (int k = 0; k < LANES; ++k)
    if (of_lanes[k] > largest) largest = of_lanes[k];
  return largest;
}

/* The last elements, less than LANES, with zeros after them. */
static void stage(float to[3][LANES], const float *momentum, const float *gradient,
                  const float *parameter, size_t count) {
  memcpy(to[0], momentum, count * sizeof *momentum);
  memcpy(to[1], gradient, count * sizeof *gradient);
  memcpy(to[2], parameter, count * sizeof *parameter);
}

static float ISA_NAME(sgd_peak)(const cf_sgd_rule *rule, const float *momentum,
                                const float *gradient, const float *parameter, size_t count) {
  floats found = f_set1(0), unused;
  float rest[3][LANES] = {{0}};
  size_t i = 0;
  for (; count - i >= LANES; i += LANES)
    found = f_max(found, f_finite_magnitude(new_momentum(rule, f_load(momentum + i), gradient + i,
                                                         parameter + i, &unused)));
  if (i < count) {
    stage(rest, momentum + i, gradient + i, parameter + i, count - i);
    found = f_max(
        found, f_finite_magnitude(new_momentum(rule, f_load(rest[0]), rest[1], rest[2], &unused)));
  }
  return largest_lane(found);
}

static void ISA_NAME(sgd_update)(const cf_sgd_rule *rule, float *momentum, const float *gradient,
                                 float *parameter, size_t count) {
  float rest[3][LANES] = {{0}};
  size_t i = 0;
  for (; count - i >= LANES; i += LANES)
    sgd_stored(rule, momentum + i, gradient + i, parameter + i);
  if (i == count) return;
  stage(rest, momentum + i, gradient + i, parameter + i, count - i);
  sgd_stored(rule, rest[0], rest[1], rest[2]);
  memcpy(momentum + i, rest[0], (count - i) * sizeof *momentum);
  memcpy(parameter + i, rest[2], (count - i) * sizeof *parameter);
}

#ifdef HAS_BITS
static CF_ALWAYS_INLINE floats decoded(const lane_rule *rule, const char *codes) {
  return f_of(unpack(rule, 0, 1, v_load_codes(codes, 2), rule->bias, NULL));
}

static CF_NOINLINE size_t ISA_NAME(sgd_peak_of_codes)(const cf_sgd_rule *rule,
                                                      const cf_moment_codes *of,
                                                      const float *gradient, const float *parameter,
                                                      size_t count, float *peak) {
  const lane_rule decode = lane_rule_of(of->rule, of->before);
  const size_t whole = count / BODY * BODY;
  floats found[2] = {f_set1(0), f_set1(0)}, unused;
  for (size_t i = 0; i < whole; i += BODY)
    for (size_t k = 0; k < 2; ++k) {
      const size_t at = i + k * LANES;
      const floats made = new_momentum(rule, decoded(&decode, of->codes + 2 * at), gradient + at,
                                       parameter + at, &unused);
      found[k] = f_max(found[k], f_finite_magnitude(made));
    }
  *peak = largest_lane(f_max(found[0], found[1]));
  return whole;
}

/* The step of LANES elements, and their codes. */
static CF_ALWAYS_INLINE lanes sgd_codes(const cf_sgd_rule *rule, const lane_rule *decode,
                                        const round_rule *encode, const char *codes,
                                        const uint32_t *words, const float *gradient,
                                        float *parameter) {
  tally unused;
  const floats made = sgd_lanes(rule, decoded(decode, codes), gradient, parameter);
  return round_lanes(encode, CF_STOCHASTIC, 0, PLAIN_ALL, f_bits(made), 0, v_set1(0), encode->scale,
                     v_load(words), &unused);
}

static CF_NOINLINE size_t ISA_NAME(sgd_fused)(const cf_sgd_rule *rule, const cf_moment_codes *of,
                                              uint64_t position, const float *gradient,
                                              float *parameter, size_t count) {
  const lane_rule decode = lane_rule_of(of->rule, of->before);
  const round_rule encode = round_rule_of(of->rule, of->after);
  const random_keys keys = random_keys_of(of->rule->seed);
  uint32_t drawn[WORDS_PIECE + RANDOM_WORDS];
  const size_t whole = count / BODY * BODY, lead = position % 4;
  for (size_t at = 0; at < whole;) {
    const size_t piece = whole - at < WORDS_PIECE ? whole - at : WORDS_PIECE;
    ISA_NAME(random_words)(&keys, position + at - lead, drawn, piece + lead);
    for (const size_t end = at + piece; at < end; at += BODY) {
      char *const codes = of->codes + 2 * at;
      const uint32_t *const words = drawn + lead + piece - (end - at);
      const lanes low =
          sgd_codes(rule, &decode, &encode, codes, words, gradient + at, parameter + at);
      const lanes high = sgd_codes(rule, &decode, &encode, codes + 2 * LANES, words + LANES,
                                   gradient + at + LANES, parameter + at + LANES);
      v_store_codes(codes, 2, low, high);
    }
  }
  return whole;
}
#define OF_CODES ISA_NAME(sgd_peak_of_codes), ISA_NAME(sgd_fused)
#else
#define OF_CODES NULL, NULL
#endif

#define CF_SGD_LOOPS ISA_NAME(sgd_peak), ISA_NAME(sgd_update), OF_CODES

#endif
