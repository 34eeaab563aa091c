#include "support/long_sum.h"

#include <math.h>

void long_sum_add(long_sum *sum, double x) {
  int exponent;
  const double fraction = frexp(fabs(x), &exponent);
  uint64_t integer = (uint64_t)ldexp(fraction, 53);
  int place = exponent - 53 - LONG_SUM_LOWEST;
  while (integer != 0) {
    const int room = 32 - place % 32;
    const int64_t part = (int64_t)(integer % ((uint64_t)1 << room)) << place % 32;
    sum->digits[place / 32] += x < 0 ? -part : part;
    integer >>= room;
    place += room;
  }
}

/* The same with each digit in 0..2^32 - 1; returns whether it is the negative of the sum. */
static int normalised(const long_sum *sum, long_sum *to) {
  for (int sign = 1; sign >= -1; sign -= 2) {
    int64_t carry = 0;
    for (int i = 0; i < LONG_SUM_DIGITS; ++i) {
      const int64_t all = sign * sum->digits[i] + carry,
                    digit = (int64_t)((uint64_t)all & 0xFFFFFFFFu);
      to->digits[i] = digit;
      carry = (all - digit) / ((int64_t)1 << 32);
    }
    if (carry == 0) return sign < 0;
  }
  return 0;
}

static int bit(const long_sum *normal, int place) {
  if (place < 0) return 0;
  return (int)(normal->digits[place / 32] >> place % 32 & 1);
}

static int any_below(const long_sum *normal, int place) {
  for (int i = 0; i < place / 32; ++i)
    if (normal->digits[i] != 0) return 1;
  for (int i = place - place % 32; i < place; ++i)
    if (bit(normal, i)) return 1;
  return 0;
}

/* The place of the first bit; -1 if there is none. */
static int first_bit(const long_sum *normal) {
  int place = 32 * LONG_SUM_DIGITS - 1;
  while (place > 32 && normal->digits[place / 32] == 0) place -= 32;
  while (place >= 0 && !bit(normal, place)) --place;
  return place;
}

float long_sum_float32(const long_sum *sum) {
  long_sum normal;
  const int negative = normalised(sum, &normal), first = first_bit(&normal);
  const int lowest = -149 - LONG_SUM_LOWEST;
  const int quantum = first - 23 > lowest ? first - 23 : lowest;
  double kept = 0;
  if (first < 0) return 0;
  for (int place = first; place >= quantum; --place) kept = 2 * kept + bit(&normal, place);
  if (bit(&normal, quantum - 1) && (any_below(&normal, quantum - 1) || bit(&normal, quantum)))
    kept += 1;
  const double value = ldexp(kept, quantum + LONG_SUM_LOWEST);
  const float result = value >= ldexp(1, 128) ? INFINITY : (float)value;
  return negative ? -result : result;
}

double long_sum_odd(const long_sum *sum) {
  long_sum normal;
  const int negative = normalised(sum, &normal), first = first_bit(&normal);
  uint64_t kept = 0;
  if (first < 0) return 0;
  for (int place = first; place > first - 53; --place)
    kept = 2 * kept + (uint64_t)bit(&normal, place);
  if (first >= 53 && any_below(&normal, first - 52)) kept |= 1;
  const double result = ldexp((double)kept, first - 52 + LONG_SUM_LOWEST);
  return negative ? -result : result;
}
