/* The loops of arithmetic/loops.h, for the instruction set that the including file has turned on;
 * it has defined ISA_NAME. */
#ifndef CF_ARITHMETIC_LOOPS_INL_H
#define CF_ARITHMETIC_LOOPS_INL_H

#include <math.h>
#include <string.h>

#include "arithmetic/loops.h"
#include "cpu/target.h"

static inline uint32_t ISA_NAME(bits)(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* A number of which `rest`, whose sign alone counts, was lost by rounding to nearest. */
static inline float ISA_NAME(to_odd)(float nearest, float rest) {
  const uint32_t rounded = ISA_NAME(bits)(nearest), left = ISA_NAME(bits)(rest);
  /* of an infinity and a NaN NaN is lost, which counts as nothing */
  const uint32_t inexact = (uint32_t)((left & 0x7FFFFFFFu) - 1 < 0x7F800000u);
  /* toward zero first: a step down where what is left has the other sign */
  const uint32_t odd = (rounded - (inexact & (rounded ^ left) >> 31)) | inexact;
  float result;
  memcpy(&result, &odd, sizeof result);
  return result;
}

static void ISA_NAME(add)(const float *a, const float *b, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) results[i] = a[i] + b[i];
}

static void ISA_NAME(multiply)(const float *a, const float *b, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) results[i] = a[i] * b[i];
}

static void ISA_NAME(divide)(const float *a, const float *b, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) results[i] = a[i] / b[i];
}

static void ISA_NAME(root)(const float *a, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) results[i] = sqrtf(a[i]);
}

/* Knuth's sum: the rest is a float32. */
static void ISA_NAME(add_to_odd)(const float *a, const float *b, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float x = a[i], y = b[i], sum = x + y, from_y = sum - x;
    const float rest = (x - (sum - from_y)) + (y - from_y);
    results[i] = ISA_NAME(to_odd)(sum, rest);
  }
}

/* Dekker's square, of a root split into halves of 12 bits. */
static void ISA_NAME(root_to_odd)(const float *a, float *results, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float x = a[i], root = sqrtf(x), scaled = 4097.0f * root;
    const float high = scaled - (scaled - root), low = root - high, square = root * root;
    const float lost = ((high * high - square) + 2.0f * high * low) + low * low;
    results[i] = ISA_NAME(to_odd)(root, (x - square) - lost);
  }
}

static int ISA_NAME(has_nonfinite)(const float *values, size_t count) {
  uint32_t found = 0;
  for (size_t i = 0; i < count; ++i)
    found |= (uint32_t)((ISA_NAME(bits)(values[i]) & 0x7F800000u) == 0x7F800000u);
  return found != 0;
}

static void ISA_NAME(add_to_lanes)(const float *values, size_t count, double *sums) {
  double lanes[CF_SUM_LANES];
  memcpy(lanes, sums, sizeof lanes);
  for (size_t i = 0; i < count; i += CF_SUM_LANES)
    for (size_t j = 0; j < CF_SUM_LANES; ++j) lanes[j] += (double)values[i + j];
  memcpy(sums, lanes, sizeof lanes);
}

static void ISA_NAME(add_groups_to_lanes)(const float *values, size_t count, size_t group,
                                          double *sums) {
  double lanes[CF_SUM_LANES];
  memcpy(lanes, sums, sizeof lanes);
  while (count > 0) {
    const size_t part = count < group * CF_SUM_LANES ? count : group * CF_SUM_LANES;
    float narrow[CF_SUM_LANES];
    memcpy(narrow, values, sizeof narrow);
    for (size_t i = CF_SUM_LANES; i < part; i += CF_SUM_LANES)
      for (size_t j = 0; j < CF_SUM_LANES; ++j) narrow[j] += values[i + j];
    for (size_t j = 0; j < CF_SUM_LANES; ++j) lanes[j] += (double)narrow[j];
    values += part;
    count -= part;
  }
  memcpy(sums, lanes, sizeof lanes);
}

static void ISA_NAME(add_to_sums)(const float *values, size_t count, double *sums) {
  for (size_t i = 0; i < count; ++i) sums[i] += (double)values[i];
}

#define DEFINE_EXTREMES(bits, code_t, signed_t)                                         \
  static cf_extreme_codes ISA_NAME(extremes##bits)(const code_t *codes, size_t count) { \
    code_t least = codes[0], most = codes[0];                                           \
    signed_t least_signed = (signed_t)codes[0], most_signed = (signed_t)codes[0];       \
    for (size_t i = 0; i < count; ++i) {                                                \
      const code_t code = codes[i];                                                     \
      const signed_t as_signed = (signed_t)code;                                        \
      least = code < least ? code : least;                                              \
      most = code > most ? code : most;                                                 \
      least_signed = as_signed < least_signed ? as_signed : least_signed;               \
      most_signed = as_signed > most_signed ? as_signed : most_signed;                  \
    }                                                                                   \
    const cf_extreme_codes found = {least_signed, most_signed, least, most};            \
    return found;                                                                       \
  }
DEFINE_EXTREMES(8, uint8_t, int8_t)
DEFINE_EXTREMES(16, uint16_t, int16_t)

#define DEFINE_KEYS(bits, code_t, key_t)                                                       \
  static inline key_t ISA_NAME(key##bits)(code_t code, cf_key_rule rule) {                     \
    const key_t placed = (key_t)(code_t)(code << rule.shift);                                  \
    return (key_t)(placed ^ ((placed >> (bits - 1)) & (key_t)rule.low) ^ (key_t)rule.turned);  \
  }                                                                                            \
  static int ISA_NAME(largest_key##bits)(const code_t *codes, size_t count, cf_key_rule rule,  \
                                         int least, int *magnitude) {                          \
    key_t largest = (key_t)least;                                                              \
    code_t most = (code_t) * magnitude;                                                        \
    for (size_t i = 0; i < count; ++i) {                                                       \
      const key_t key = ISA_NAME(key##bits)(codes[i], rule);                                   \
      const code_t own = (code_t)(codes[i] & rule.mask);                                       \
      largest = key > largest ? key : largest;                                                 \
      most = own > most ? own : most;                                                          \
    }                                                                                          \
    *magnitude = most;                                                                         \
    return largest;                                                                            \
  }                                                                                            \
  static void ISA_NAME(larger_keys##bits)(const code_t *codes, size_t count, cf_key_rule rule, \
                                          key_t *keys, int *magnitude) {                       \
    code_t most = (code_t) * magnitude;                                                        \
    for (size_t i = 0; i < count; ++i) {                                                       \
      const key_t key = ISA_NAME(key##bits)(codes[i], rule);                                   \
      const code_t own = (code_t)(codes[i] & rule.mask);                                       \
      keys[i] = key > keys[i] ? key : keys[i];                                                 \
      most = own > most ? own : most;                                                          \
    }                                                                                          \
    *magnitude = most;                                                                         \
  }
DEFINE_KEYS(8, uint8_t, int8_t)
DEFINE_KEYS(16, uint16_t, int16_t)

#define DEFINE_COMPARISONS(bits, code_t, key_t)                                                    \
  static inline key_t ISA_NAME(comparable##bits)(code_t code, const cf_compare_rule *rule,         \
                                                 int nan) {                                        \
    const key_t whole = (key_t)code, masked = (key_t)(whole & (key_t)rule->magnitude);             \
    const key_t magnitude = masked < (key_t)rule->least ? 0 : masked;                              \
    const key_t negative = (key_t)(-(key_t)((whole & (key_t)rule->sign) != 0));                    \
    const key_t key = (key_t)((magnitude ^ negative) + (negative & (key_t)rule->has_zero));        \
    const int is_nan = (masked > (key_t)rule->top) | (whole == (key_t)rule->nan);                  \
    return is_nan ? (key_t)nan : key;                                                              \
  }                                                                                                \
  static void ISA_NAME(compare##bits)(const code_t *a, const code_t *b,                            \
                                      const cf_compare_rule *given, uint8_t *results,              \
                                      size_t count) {                                              \
    const cf_compare_rule rule = *given;                                                           \
    for (size_t i = 0; i < count; ++i) {                                                           \
      const key_t x = ISA_NAME(comparable##bits)(a[i], &rule, rule.nan_a);                         \
      const key_t y = ISA_NAME(comparable##bits)(b[i], &rule, rule.nan_b);                         \
      results[i] =                                                                                 \
          (uint8_t)(((x == y) & rule.if_equal) | ((x < y) & rule.if_less)) ^ (uint8_t)rule.turned; \
    }                                                                                              \
  }
DEFINE_COMPARISONS(8, uint8_t, int16_t)
DEFINE_COMPARISONS(16, uint16_t, int32_t)

/* An instruction set that has no way to sum integers of its own. */
#ifndef SUM_INTEGERS
#define SUM_INTEGERS NULL
#endif
#ifndef SUM_WIDE_INTEGERS
#define SUM_WIDE_INTEGERS NULL
#endif
#ifndef PAIRS
#define PAIRS NULL
#endif

#define ARITHMETIC_LOOPS                                    \
  {                                                         \
      .add = ISA_NAME(add),                                 \
      .multiply = ISA_NAME(multiply),                       \
      .divide = ISA_NAME(divide),                           \
      .root = ISA_NAME(root),                               \
      .add_to_odd = ISA_NAME(add_to_odd),                   \
      .root_to_odd = ISA_NAME(root_to_odd),                 \
      .has_nonfinite = ISA_NAME(has_nonfinite),             \
      .add_to_lanes = ISA_NAME(add_to_lanes),               \
      .add_groups_to_lanes = ISA_NAME(add_groups_to_lanes), \
      .add_to_sums = ISA_NAME(add_to_sums),                 \
      .extremes8 = ISA_NAME(extremes8),                     \
      .extremes16 = ISA_NAME(extremes16),                   \
      .largest_key8 = ISA_NAME(largest_key8),               \
      .largest_key16 = ISA_NAME(largest_key16),             \
      .larger_keys8 = ISA_NAME(larger_keys8),               \
      .larger_keys16 = ISA_NAME(larger_keys16),             \
      .compare8 = ISA_NAME(compare8),                       \
      .compare16 = ISA_NAME(compare16),                     \
      .sum_integers = SUM_INTEGERS,                         \
      .sum_wide_integers = SUM_WIDE_INTEGERS,               \
      .pairs = PAIRS,                                       \
  }

#endif
