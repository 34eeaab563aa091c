/* Loops over pieces of float32, for an instruction set: operations on values of narrow formats, and
 * reductions.
 *
 * They are plain C, each step an IEEE operation in the default floating-point modes or of integers,
 * so that all instruction sets give the same bits; what differs is the instructions that compilers
 * make of them.  Nothing may overlap, but that results may be an operand. */
#ifndef CF_ARITHMETIC_LOOPS_H
#define CF_ARITHMETIC_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "arithmetic/pairs.h"

/* Sums have so many partial ones: element i is added to number i % CF_SUM_LANES. */
enum { CF_SUM_LANES = 16 };

typedef void cf_binary_loop(const float *a, const float *b, float *results, size_t count);
typedef void cf_unary_loop(const float *a, float *results, size_t count);

/* The key of a code is k = code << shift, of as many bits as it is stored in, with the bits `low`
 * turned where its first bit is set, and then the bits `turned`, as a signed integer. */
typedef struct cf_key_rule {
  int shift, low, turned, mask;
} cf_key_rule;

/* The keys of codes that are compared: those whose magnitude, code & magnitude, is below `least`
 * are zeros, those with the bit `sign` negative, and those above `top`, and `nan`, are NaN, whose
 * keys are nan_a and nan_b.  Of two zeros neither is less if has_zero is 1. */
typedef struct cf_compare_rule {
  int sign, magnitude, least, top, nan, has_zero, nan_a, nan_b, if_equal, if_less, turned;
} cf_compare_rule;

typedef void cf_compare8_loop(const uint8_t *a, const uint8_t *b, const cf_compare_rule *rule,
                              uint8_t *results, size_t count);
typedef void cf_compare16_loop(const uint16_t *a, const uint16_t *b, const cf_compare_rule *rule,
                               uint8_t *results, size_t count);

/* Values of 8-bit codes as integers: of exponent field e and mantissa m, the sum over p of
 * (e < 16 ? multipliers[p][0][e] : multipliers[p][1][e - 16]) * 2^(8 * p) times m | hidden[...],
 * both below 32, with the sign that is the first bit. */
typedef struct cf_integer_rule {
  int mantissa_bits, planes;
  uint8_t hidden[2][16], multipliers[4][2][16];
  /* Of 16-bit codes with 5 and 10 bits after the sign: the sum over p of wide_multipliers[p][e] *
   * 2^(CF_WIDE_PLANE * p) times m, and 2^10 more where e is not 0. */
  int16_t wide_multipliers[3][32];
} cf_integer_rule;
enum { CF_WIDE_PLANE = 15 };

/* The smallest and largest codes, as signed and unsigned integers. */
typedef struct cf_extreme_codes {
  int min_signed, max_signed, min_unsigned, max_unsigned;
} cf_extreme_codes;

typedef struct cf_arithmetic_loops {
  /* Rounded to nearest, as IEEE 754 has it. */
  cf_binary_loop *add, *multiply, *divide;
  cf_unary_loop *root;
  /* Rounded to odd in 24 bits: of a sum whose addends, and of a root whose operand, are so far from
   * the ends of float32's exponents that no step is subnormal or too large. */
  cf_binary_loop *add_to_odd;
  cf_unary_loop *root_to_odd;
  /* Whether any is an infinity or NaN. */
  int (*has_nonfinite)(const float *values, size_t count);
  /* sums[i % CF_SUM_LANES] += values[i]; count is a multiple of CF_SUM_LANES */
  void (*add_to_lanes)(const float *values, size_t count, double *sums);
  /* The same where sums of `group` values of a lane are exact in float32, and had there. */
  void (*add_groups_to_lanes)(const float *values, size_t count, size_t group, double *sums);
  /* sums[i] += values[i] */
  void (*add_to_sums)(const float *values, size_t count, double *sums);
  /* Of codes, one or more. */
  cf_extreme_codes (*extremes8)(const uint8_t *codes, size_t count);
  cf_extreme_codes (*extremes16)(const uint16_t *codes, size_t count);
  /* The largest of `least` and the keys of codes; *magnitude becomes the largest of it and code &
   * mask. */
  int (*largest_key8)(const uint8_t *codes, size_t count, cf_key_rule rule, int least,
                      int *magnitude);
  int (*largest_key16)(const uint16_t *codes, size_t count, cf_key_rule rule, int least,
                       int *magnitude);
  /* keys[i] = the larger of it and the key of codes[i] */
  void (*larger_keys8)(const uint8_t *codes, size_t count, cf_key_rule rule, int8_t *keys,
                       int *magnitude);
  void (*larger_keys16)(const uint16_t *codes, size_t count, cf_key_rule rule, int16_t *keys,
                        int *magnitude);
  /* results[i] = (the key of a[i] is that of b[i], if if_equal, or less, if if_less) ^ turned */
  cf_compare8_loop *compare8;
  cf_compare16_loop *compare16;
  /* The sum of those integers, of at most 2^20 codes; *magnitude as above, of code & 127.  NULL if
   * there is nothing faster than adding floats. */
  int64_t (*sum_integers)(const uint8_t *codes, size_t count, const cf_integer_rule *rule,
                          int *magnitude);
  /* The same of those 16-bit codes, magnitudes being code & 0x7FFF; NULL likewise. */
  int64_t (*sum_wide_integers)(const uint16_t *codes, size_t count, const cf_integer_rule *rule,
                               int *magnitude);
  cf_pair_loop *pairs; /* NULL if there is none */
} cf_arithmetic_loops;

/* An instruction set that is not of the target architecture has none. */
extern const cf_arithmetic_loops cf_arithmetic_loops_portable, cf_arithmetic_loops_avx2,
    cf_arithmetic_loops_avx512;

/* The sums of AVX2, which memory is no faster than. */
int64_t cf_sum_integers_avx2(const uint8_t *codes, size_t count, const cf_integer_rule *rule,
                             int *magnitude);

/* Those in use. */
const cf_arithmetic_loops *cf_active_arithmetic_loops(void);

#endif
