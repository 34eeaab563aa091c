/* The loops of optimize/loops.h, written once for every instruction set, whose file has
 * defined
 *
 *   floats, LANES                  a vector of LANES float32
 *   f_set1(x) f_load(p) f_store(p, v)
 *   f_add f_sub f_mul f_div f_max two vectors
 *   f_fma(a, b, c)                a * b + c, rounded once
 *   f_sqrt(v)                     rounded to nearest
 *   f_finite_magnitude(v)         |v|; 0 for infinities and NaN
 *   f_positive_nan(v)             v, and for any NaN 0x7FC00000: which of several an operation
 *                                 keeps, and with what sign, depends on the processor
 *   ISA_NAME(slot)                slot_<isa>
 *
 * and, where it has those of convert/round_lanes-inl.h, HAS_BITS and
 *
 *   f_of(bits) f_bits(v)          a vector of bits as one of float32, and the other way */
#ifndef CF_OPTIMIZE_ADAMW_LANES_INL_H
#define CF_OPTIMIZE_ADAMW_LANES_INL_H

#include "cpu/compiler.h"

/* Moments of LANES elements, of those before. */
static CF_ALWAYS_INLINE void moments(const cf_adamw_rule *rule, floats first, floats second,
                                     floats gradient, floats *new_first, floats *new_second) {
  const floats base = rule->from_gradient ? gradient : first;
  const floats decayed = f_mul(f_mul(second, f_set1(rule->before)), f_set1(rule->second_decay));
  *new_first = f_fma(f_set1(rule->first_weight), f_sub(gradient, first), base);
  *new_second = f_fma(f_mul(f_set1(rule->second_weight), gradient), gradient, decayed);
}

/* The step of LANES elements: first and second become what is stored. */
static CF_ALWAYS_INLINE void update_lanes(const cf_adamw_rule *rule, floats *first, floats *second,
                                          const float *gradient, float *parameter) {
  floats new_first, new_second;
  moments(rule, *first, *second, f_load(gradient), &new_first, &new_second);
  const floats root = f_mul(f_sqrt(new_second), f_set1(rule->root_scale));
  const floats change = f_div(new_first, f_add(root, f_set1(rule->eps)));
  const floats decayed = f_mul(f_load(parameter), f_set1(rule->decay));
  f_store(parameter, f_positive_nan(f_fma(change, f_set1(-rule->rate), decayed)));
  *first = f_positive_nan(new_first);
  *second = f_positive_nan(f_mul(new_second, f_set1(rule->after)));
}

static CF_ALWAYS_INLINE void update_stored(const cf_adamw_rule *rule, float *first, float *second,
                                           const float *gradient, float *parameter) {
  floats of_first = f_load(first), of_second = f_load(second);
  update_lanes(rule, &of_first, &of_second, gradient, parameter);
  f_store(first, of_first);
  f_store(second, of_second);
}

/* The largest of a block, in plain C. */
static CF_ALWAYS_INLINE int32_t largest_code(const char *codes, int size, uint16_t mask) {
  if (size == 1) {
    const uint8_t mask_8 = (uint8_t)mask;
    uint8_t bytes[CF_ADAMW_BLOCK], largest = 0;
    memcpy(bytes, codes, sizeof bytes);
    for (int i = 0; i < CF_ADAMW_BLOCK; ++i) {
      const uint8_t code = bytes[i] & mask_8;
      largest = code > largest ? code : largest;
    }
    return largest;
  }
  uint16_t words[CF_ADAMW_BLOCK], largest = 0;
  memcpy(words, codes, sizeof words);
  for (int i = 0; i < CF_ADAMW_BLOCK; ++i) {
    const uint16_t code = words[i] & mask;
    largest = code > largest ? code : largest;
  }
  return largest;
}

static CF_ALWAYS_INLINE int32_t largest_magnitude(const float *values) {
  int32_t bits[CF_ADAMW_BLOCK], largest = 0;
  memcpy(bits, values, sizeof bits);
  for (int i = 0; i < CF_ADAMW_BLOCK; ++i) {
    const int32_t magnitude = bits[i] & 0x7FFFFFFF;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

static size_t ISA_NAME(below)(const cf_adamw_bounds *bounds, const char *const *codes,
                              const float *gradient, size_t count) {
  size_t at = 0;
  for (; count - at >= CF_ADAMW_BLOCK; at += CF_ADAMW_BLOCK) {
    if (largest_magnitude(gradient + at) > bounds->gradient) break;
    int beyond = 0;
    for (int k = 0; k < 2; ++k)
      beyond |= largest_code(codes[k] + at * (size_t)bounds->size[k], bounds->size[k],
                             bounds->mask[k]) > bounds->of[k];
    if (beyond) break;
  }
  return at;
}

static void ISA_NAME(peaks)(const cf_adamw_rule *rule, const float *first, const float *second,
                            const float *gradient, size_t count, float *peaks) {
  floats found_first = f_set1(0), found_second = f_set1(0), found_gradient = f_set1(0);
  floats new_first, new_second;
  float stage[3][LANES] = {{0}}, of_lanes[LANES];
  const size_t whole = count / LANES * LANES, rest = count - whole;
  for (size_t i = 0; i < whole; i += LANES) {
    moments(rule, f_load(first + i), f_load(second + i), f_load(gradient + i), &new_first,
            &new_second);
    found_first = f_max(found_first, f_finite_magnitude(new_first));
    found_second = f_max(found_second, f_finite_magnitude(new_second));
    found_gradient = f_max(found_gradient, f_finite_magnitude(f_load(gradient + i)));
  }
  if (rest > 0) { /* zeros have moments of 0 */
    memcpy(stage[0], first + whole, rest * sizeof *first);
    memcpy(stage[1], second + whole, rest * sizeof *second);
    memcpy(stage[2], gradient + whole, rest * sizeof *gradient);
    moments(rule, f_load(stage[0]), f_load(stage[1]), f_load(stage[2]), &new_first, &new_second);
    found_first = f_max(found_first, f_finite_magnitude(new_first));
    found_second = f_max(found_second, f_finite_magnitude(new_second));
    found_gradient = f_max(found_gradient, f_finite_magnitude(f_load(stage[2])));
  }
  const floats found[3] = {found_first, found_second, found_gradient};
  for (int k = 0; k < 3; ++k) {
    f_store(of_lanes, found[k]);
    for (int i = 0; i < LANES; ++i)
      if (of_lanes[i] > peaks[k]) peaks[k] = of_lanes[i];
  }
}

static void ISA_NAME(update)(const cf_adamw_rule *rule, float *first, float *second,
                             const float *gradient, float *parameter, size_t count) {
  float stage[4][LANES] = {{0}};
  const size_t whole = count / LANES * LANES, rest = (count - whole) * sizeof *first;
  for (size_t i = 0; i < whole; i += LANES)
    update_stored(rule, first + i, second + i, gradient + i, parameter + i);
  if (rest == 0) return;
  memcpy(stage[0], first + whole, rest);
  memcpy(stage[1], second + whole, rest);
  memcpy(stage[2], gradient + whole, rest);
  memcpy(stage[3], parameter + whole, rest);
  update_stored(rule, stage[0], stage[1], stage[2], stage[3]);
  memcpy(first + whole, stage[0], rest);
  memcpy(second + whole, stage[1], rest);
  memcpy(parameter + whole, stage[3], rest);
}

#ifdef HAS_BITS
#include "convert/round_lanes-inl.h"
#include "convert/philox-inl.h"

/* What is the same for all elements, as lanes. */
typedef struct in_lanes {
  lane_rule decode[2];
  round_rule encode[2];
  random_keys keys[2];
} in_lanes;

/* Random words are drawn for so many elements at a time. */
enum { WORDS_PIECE = 512, BODY = 2 * LANES };

/* The step of LANES elements, and their codes. */
static CF_ALWAYS_INLINE void step_lanes(const cf_adamw_rule *rule, const in_lanes *l,
                                        const char *first, const char *second,
                                        const uint32_t *first_words, const uint32_t *second_words,
                                        const float *gradient, float *parameter, lanes *new_first,
                                        lanes *new_second) {
  const lane_rule *decode = l->decode;
  const round_rule *encode = l->encode;
  const lanes none = v_set1(0);
  floats of_first = f_of(unpack(&decode[0], 0, 1, v_load_codes(first, 2), decode[0].bias, NULL));
  floats of_second = f_of(unpack(&decode[1], 0, 1, v_load_codes(second, 2), decode[1].bias, NULL));
  tally unused;
  update_lanes(rule, &of_first, &of_second, gradient, parameter);
  *new_first = round_lanes(&encode[0], CF_STOCHASTIC, 0, PLAIN_ALL, f_bits(of_first), 0, none,
                           encode[0].scale, v_load(first_words), &unused);
  *new_second = round_lanes(&encode[1], CF_STOCHASTIC, 0, PLAIN_WORDS, f_bits(of_second), 0, none,
                            encode[1].scale, v_load(second_words), &unused);
}

static CF_NOINLINE size_t ISA_NAME(fused)(const cf_adamw_rule *rule, const cf_moment_codes *of,
                                          uint64_t position, const float *gradient,
                                          float *parameter, size_t count) {
  in_lanes l;
  uint32_t drawn[2][WORDS_PIECE + RANDOM_WORDS];
  const size_t whole = count / BODY * BODY, lead = position % 4;
  for (int k = 0; k < 2; ++k) {
    l.decode[k] = lane_rule_of(of[k].rule, of[k].before);
    l.encode[k] = round_rule_of(of[k].rule, of[k].after);
    l.keys[k] = random_keys_of(of[k].rule->seed);
  }
  for (size_t at = 0; at < whole;) {
    const size_t piece = whole - at < WORDS_PIECE ? whole - at : WORDS_PIECE;
    for (int k = 0; k < 2; ++k)
      ISA_NAME(random_words)(&l.keys[k], position + at - lead, drawn[k], piece + lead);
    for (size_t i = 0; i < piece; i += BODY) {
      char *const first = of[0].codes + 2 * (at + i), *const second = of[1].codes + 2 * (at + i);
      const uint32_t *const words[2] = {drawn[0] + lead + i, drawn[1] + lead + i};
      lanes made[2][2];
      step_lanes(rule, &l, first, second, words[0], words[1], gradient + at + i, parameter + at + i,
                 &made[0][0], &made[1][0]);
      step_lanes(rule, &l, first + 2 * LANES, second + 2 * LANES, words[0] + LANES,
                 words[1] + LANES, gradient + at + i + LANES, parameter + at + i + LANES,
                 &made[0][1], &made[1][1]);
      v_store_codes(first, 2, made[0][0], made[0][1]);
      v_store_codes(second, 2, made[1][0], made[1][1]);
    }
    at += piece;
  }
  return whole;
}
#define FUSED ISA_NAME(fused)
#else
#define FUSED NULL
#endif

#define CF_ADAMW_LOOPS ISA_NAME(below), ISA_NAME(peaks), ISA_NAME(update), FUSED

#endif
