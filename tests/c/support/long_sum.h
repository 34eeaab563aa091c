/* Exact sums of doubles, bit by bit, and what they round to. */
#ifndef SUPPORT_LONG_SUM_H
#define SUPPORT_LONG_SUM_H

#include <stdint.h>

/* Digits of 32 bits, little end first; the last bit of the first counts 2^-640. */
enum { LONG_SUM_DIGITS = 48, LONG_SUM_LOWEST = -640 };

typedef struct long_sum {
  int64_t digits[LONG_SUM_DIGITS];
} long_sum;

/* Finite, and of no bit below 2^-640 nor above 2^600; fewer than 2^30 of them. */
void long_sum_add(long_sum *sum, double x);

/* The nearest float32, ties to even. */
float long_sum_float32(const long_sum *sum);

/* Rounded to 53 bits and to odd: the double of the greatest magnitude that does not exceed the
 * sum's, but with its last bit set if it is not the sum. */
double long_sum_odd(const long_sum *sum);

#endif
