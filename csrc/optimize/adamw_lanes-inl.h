/* The loops of optimize/adamw_loops.h, written once for every instruction set, whose file has
 * defined
 *
 *   lanes, LANES                  a vector of LANES float32
 *   v_set1(x) v_load(p) v_store(p, v)
 *   v_add v_sub v_mul v_div v_max two vectors
 *   v_fma(a, b, c)                a * b + c, rounded once
 *   v_sqrt(v)                     rounded to nearest
 *   v_finite_magnitude(v)         |v|; 0 for infinities and NaN
 *   v_positive_nan(v)             v, and for any NaN 0x7FC00000: which of several an operation
 *                                 keeps, and with what sign, depends on the processor
 *   ISA_NAME(slot)                slot_<isa> */
#ifndef CF_OPTIMIZE_ADAMW_LANES_INL_H
#define CF_OPTIMIZE_ADAMW_LANES_INL_H

#include "cpu/compiler.h"

/* Moments of LANES elements, of those before. */
static CF_ALWAYS_INLINE void moments(const cf_adamw_rule *rule, const float *first,
                                     const float *second, lanes gradient, lanes *new_first,
                                     lanes *new_second) {
  const lanes old = v_load(first), base = rule->from_gradient ? gradient : old;
  const lanes decayed =
      v_mul(v_mul(v_load(second), v_set1(rule->before)), v_set1(rule->second_decay));
  *new_first = v_fma(v_set1(rule->first_weight), v_sub(gradient, old), base);
  *new_second = v_fma(v_mul(v_set1(rule->second_weight), gradient), gradient, decayed);
}

static CF_ALWAYS_INLINE void update_lanes(const cf_adamw_rule *rule, float *first, float *second,
                                          const float *gradient, float *parameter) {
  lanes new_first, new_second;
  moments(rule, first, second, v_load(gradient), &new_first, &new_second);
  const lanes root = v_mul(v_sqrt(new_second), v_set1(rule->root_scale));
  const lanes change = v_div(new_first, v_add(root, v_set1(rule->eps)));
  const lanes decayed = v_mul(v_load(parameter), v_set1(rule->decay));
  v_store(parameter, v_positive_nan(v_fma(change, v_set1(-rule->rate), decayed)));
  v_store(first, v_positive_nan(new_first));
  v_store(second, v_positive_nan(v_mul(new_second, v_set1(rule->after))));
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
  lanes found_first = v_set1(0), found_second = v_set1(0), found_gradient = v_set1(0);
  lanes new_first, new_second;
  float stage[3][LANES] = {{0}}, of_lanes[LANES];
  const size_t whole = count / LANES * LANES, rest = count - whole;
  for (size_t i = 0; i < whole; i += LANES) {
    moments(rule, first + i, second + i, v_load(gradient + i), &new_first, &new_second);
    found_first = v_max(found_first, v_finite_magnitude(new_first));
    found_second = v_max(found_second, v_finite_magnitude(new_second));
    found_gradient = v_max(found_gradient, v_finite_magnitude(v_load(gradient + i)));
  }
  if (rest > 0) { /* zeros have moments of 0 */
    memcpy(stage[0], first + whole, rest * sizeof *first);
    memcpy(stage[1], second + whole, rest * sizeof *second);
    memcpy(stage[2], gradient + whole, rest * sizeof *gradient);
    moments(rule, stage[0], stage[1], v_load(stage[2]), &new_first, &new_second);
    found_first = v_max(found_first, v_finite_magnitude(new_first));
    found_second = v_max(found_second, v_finite_magnitude(new_second));
    found_gradient = v_max(found_gradient, v_finite_magnitude(v_load(stage[2])));
  }
  const lanes found[3] = {found_first, found_second, found_gradient};
  for (int k = 0; k < 3; ++k) {
    v_store(of_lanes, found[k]);
    for (int i = 0; i < LANES; ++i)
      if (of_lanes[i] > peaks[k]) peaks[k] = of_lanes[i];
  }
}

static void ISA_NAME(update)(const cf_adamw_rule *rule, float *first, float *second,
                             const float *gradient, float *parameter, size_t count) {
  float stage[4][LANES] = {{0}};
  const size_t whole = count / LANES * LANES, rest = (count - whole) * sizeof *first;
  for (size_t i = 0; i < whole; i += LANES)
    update_lanes(rule, first + i, second + i, gradient + i, parameter + i);
  if (rest == 0) return;
  memcpy(stage[0], first + whole, rest);
  memcpy(stage[1], second + whole, rest);
  memcpy(stage[2], gradient + whole, rest);
  memcpy(stage[3], parameter + whole, rest);
  update_lanes(rule, stage[0], stage[1], stage[2], stage[3]);
  memcpy(first + whole, stage[0], rest);
  memcpy(second + whole, stage[1], rest);
  memcpy(parameter + whole, stage[3], rest);
}

#define CF_ADAMW_LOOPS {ISA_NAME(below), ISA_NAME(peaks), ISA_NAME(update)}

#endif
