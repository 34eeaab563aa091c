/* Sums, products, quotients and roots of exact numbers, in integers.
 *
 * A result is a cf_real that is rounded to odd: it is exact, or has 62 bits or more of which the
 * last is set because something is missing.  Rounding it to a format of fewer bits by
 * cf_round_pack is then rounding the exact result (Boldo and Melquiond, 2008), stochastically with
 * 32 random bits too.  Infinities, NaNs and signs of zeros are as IEEE 754 says; every NaN is
 * positive. */
#ifndef CF_ARITHMETIC_EXACT_H
#define CF_ARITHMETIC_EXACT_H

#include "core/scalar.h"

/* 128 bits. */
typedef struct cf_uint128 {
  uint64_t high, low;
} cf_uint128;

static inline cf_uint128 cf_multiply_uint64(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & 0xFFFFFFFFu, a_high = a >> 32;
  const uint64_t b_low = b & 0xFFFFFFFFu, b_high = b >> 32;
  const uint64_t low = a_low * b_low;
  const uint64_t middle = a_high * b_low + (low >> 32); /* fits: (2^32 - 1)^2 + 2^32 - 1 */
  const uint64_t other = a_low * b_high + (middle & 0xFFFFFFFFu);
  const cf_uint128 product = {a_high * b_high + (middle >> 32) + (other >> 32),
                              other << 32 | (low & 0xFFFFFFFFu)};
  return product;
}

/* One digit of base 2^32 of a quotient: of `rest` < divisor and the next digit below it.  The
 * divisor has its top bit set. */
static inline uint32_t cf_quotient_digit(uint64_t *rest, uint32_t next, uint64_t divisor) {
  const uint64_t upper = divisor >> 32, lower = divisor & 0xFFFFFFFFu;
  uint64_t digit = *rest / upper, left = *rest % upper;
  while (digit >> 32 != 0 || digit * lower > (left << 32 | next)) {
    --digit;
    left += upper;
    if (left >> 32 != 0) break;
  }
  *rest = (*rest << 32 | next) - digit * divisor; /* modulo 2^64; it is less than the divisor */
  return (uint32_t)digit;
}

/* floor(n / divisor), n.high < divisor, whose top bit is set. */
static inline uint64_t cf_divide_uint128(cf_uint128 n, uint64_t divisor, uint64_t *rest) {
  *rest = n.high;
  const uint64_t upper = cf_quotient_digit(rest, (uint32_t)(n.low >> 32), divisor);
  return upper << 32 | cf_quotient_digit(rest, (uint32_t)n.low, divisor);
}

/* floor(sqrt(n)), 2^126 <= n: Heron's method, each step with twice the bits of the one before, as
 * Python's math.isqrt has it. */
static inline uint64_t cf_sqrt_uint128(cf_uint128 n) {
  const uint64_t upper = n.high;
  uint64_t root = 1 + (upper >> 62);
  root = (root << 1) + (upper >> 59) / root;
  root = (root << 3) + (upper >> 53) / root;
  root = (root << 7) + (upper >> 41) / root;
  root = (root << 15) + (upper >> 17) / root;
  /* n / 2^33 by a root of 32 bits, or of 33 if it is 2^32 */
  const int shift = 63 - cf_log2(root);
  const cf_uint128 scaled = {upper >> 33 << shift | (upper << 31 | n.low >> 33) >> (64 - shift),
                             (upper << 31 | n.low >> 33) << shift};
  uint64_t rest;
  const uint64_t quotient = cf_divide_uint128(scaled, root << shift, &rest);
  uint64_t whole = (root << 31) + quotient;
  if (whole < quotient) whole = ~(uint64_t)0; /* it would be 2^64 */
  for (;;) {                                  /* at most one too large */
    const cf_uint128 square = cf_multiply_uint64(whole, whole);
    if (square.high < n.high || (square.high == n.high && square.low <= n.low)) return whole;
    --whole;
  }
}

/* significand * 2^exponent, a significand of 192 bits, the last word the lowest, below 2^191. */
typedef struct cf_wide {
  uint64_t words[3];
  int exponent;
  int sign;
} cf_wide;

/* The words, `shift` bits further down, and the last bit set if any was lost. */
static inline void cf_wide_shift_down(uint64_t words[3], int shift) {
  uint64_t lost = 0;
  for (; shift >= 64; shift -= 64) {
    lost |= words[2];
    words[2] = words[1];
    words[1] = words[0];
    words[0] = 0;
    if ((words[0] | words[1] | words[2]) == 0) shift = 0;
  }
  if (shift > 0) {
    lost |= words[2] << (64 - shift);
    words[2] = words[2] >> shift | words[1] << (64 - shift);
    words[1] = words[1] >> shift | words[0] << (64 - shift);
    words[0] >>= shift;
  }
  words[2] |= lost != 0;
}

/* Their upper 64 bits from the first that is set on, and the last bit set if there is more below.
 * Not of 0. */
static inline cf_real cf_real_from_wide(const cf_wide *wide) {
  uint64_t first = wide->words[0], second = wide->words[1], third = wide->words[2];
  int exponent = wide->exponent + 128;
  while (first == 0) {
    first = second;
    second = third;
    third = 0;
    exponent -= 64;
  }
  const int shift = 63 - cf_log2(first);
  if (shift > 0) {
    first = first << shift | second >> (64 - shift);
    second <<= shift;
  }
  const cf_real real = {first | ((second | third) != 0), exponent - shift, wide->sign,
                        CF_KIND_FINITE, 0};
  return real;
}

/* The sum of two numbers that are not 0, of which each has 128 bits in the upper words and its
 * highest bit, 190, set.  zero_sign is the sign of an exact 0. */
static inline cf_real cf_add_wide(cf_wide a, cf_wide b, int zero_sign) {
  if (a.exponent < b.exponent) {
    const cf_wide greater = b;
    b = a;
    a = greater;
  }
  /* Up to 63 bits nothing is lost; beyond, all but one of a's bits stay. */
  cf_wide_shift_down(b.words, a.exponent - b.exponent);
  if (a.sign == b.sign) {
    const uint64_t third = a.words[2] + b.words[2];
    const uint64_t second = a.words[1] + b.words[1], carried = second + (third < b.words[2]);
    a.words[0] += b.words[0] + (second < b.words[1]) + (carried < second);
    a.words[1] = carried;
    a.words[2] = third;
    return cf_real_from_wide(&a);
  }
  const uint64_t third = a.words[2] - b.words[2];
  const uint64_t second = a.words[1] - b.words[1], left = second - (a.words[2] < b.words[2]);
  const uint64_t borrowed = (uint64_t)(a.words[1] < b.words[1]) + (second < left);
  a.words[0] -= b.words[0] + borrowed;
  a.words[1] = left;
  a.words[2] = third;
  if (a.words[0] >> 63 != 0) { /* b was the greater one */
    a.sign = b.sign;
    a.words[2] = 0 - a.words[2];
    a.words[1] = ~a.words[1] + (a.words[2] == 0);
    a.words[0] = ~a.words[0] + (a.words[1] == 0 && a.words[2] == 0);
  }
  if ((a.words[0] | a.words[1] | a.words[2]) == 0) {
    const cf_real zero = {0, 0, zero_sign, CF_KIND_FINITE, 0};
    return zero;
  }
  return cf_real_from_wide(&a);
}

/* The same number with its highest bit, 63, set; not of 0. */
static inline cf_real cf_normalized(cf_real x) {
  const int shift = 63 - cf_log2(x.significand);
  x.significand <<= shift;
  x.exponent -= shift;
  return x;
}

static inline int cf_is_zero(cf_real x) { return x.kind == CF_KIND_FINITE && x.significand == 0; }

static inline cf_real cf_nan_real(void) {
  const cf_real nan = {0, 0, 0, CF_KIND_NAN, 0};
  return nan;
}

static inline cf_real cf_invalid(unsigned *signals) {
  *signals |= CF_SIGNAL_INVALID;
  return cf_nan_real();
}

static inline cf_real cf_infinite_or_zero(int kind, int sign) {
  const cf_real real = {0, 0, sign, kind, 0};
  return real;
}

/* a * b + c, or without c if that is NULL.  zero_sign: that of x - x. */
static inline cf_real cf_multiply_add(cf_real a, cf_real b, const cf_real *c, int zero_sign,
                                      unsigned *signals) {
  const int sign = a.sign ^ b.sign;
  const int infinite = a.kind == CF_KIND_INFINITE || b.kind == CF_KIND_INFINITE;
  if (a.kind == CF_KIND_NAN || b.kind == CF_KIND_NAN) return cf_nan_real();
  if (infinite && (cf_is_zero(a) || cf_is_zero(b))) return cf_invalid(signals);
  if (c != NULL && c->kind == CF_KIND_NAN) return cf_nan_real();
  if (infinite) {
    if (c != NULL && c->kind == CF_KIND_INFINITE && c->sign != sign) return cf_invalid(signals);
    return cf_infinite_or_zero(CF_KIND_INFINITE, sign);
  }
  if (c != NULL && c->kind == CF_KIND_INFINITE) return *c;
  if (a.significand == 0 || b.significand == 0) {
    if (c == NULL) return cf_infinite_or_zero(CF_KIND_FINITE, sign);
    cf_real sum = *c;
    sum.subnormal = 0;
    if (c->significand == 0 && c->sign != sign) sum.sign = zero_sign;
    return sum;
  }
  a = cf_normalized(a);
  b = cf_normalized(b);
  const cf_uint128 product = cf_multiply_uint64(a.significand, b.significand);
  if (c == NULL || c->significand == 0) {
    const cf_real real = {product.high | (product.low != 0), a.exponent + b.exponent + 64, sign,
                          CF_KIND_FINITE, 0};
    return real;
  }
  /* 2^126 <= product < 2^128 */
  cf_wide x = {{product.high, product.low, 0}, a.exponent + b.exponent - 64, sign};
  if (product.high >> 63 != 0) {
    cf_wide_shift_down(x.words, 1); /* into a word of zeros */
    ++x.exponent;
  }
  const cf_real addend = cf_normalized(*c);
  const cf_wide y = {
      {addend.significand >> 1, addend.significand << 63, 0}, addend.exponent - 127, addend.sign};
  return cf_add_wide(x, y, zero_sign);
}

/* a + b of two numbers that are not 0, as cf_add_wide in 128 bits: an operand has 64.  Without a
 * branch on signs, which would be mispredicted every other time. */
static inline cf_real cf_add_finite(cf_real a, cf_real b, int zero_sign) {
  a = cf_normalized(a);
  b = cf_normalized(b);
  if (a.exponent < b.exponent) {
    const cf_real greater = b;
    b = a;
    a = greater;
  }
  const int shift = a.exponent - b.exponent;
  cf_uint128 x = {a.significand >> 2, a.significand << 62};
  cf_uint128 y = {b.significand >> 2, b.significand << 62};
  if (shift >= 64) {
    y.low = shift >= 126 ? 1 : y.high >> (shift - 64) | 1; /* the 1 is far below what decides */
    y.high = 0;
  } else if (shift > 0) {
    const uint64_t lost = y.low << (64 - shift);
    y.low = y.low >> shift | y.high << (64 - shift) | (lost != 0);
    y.high >>= shift;
  }
  const uint64_t opposite = 0 - (uint64_t)(a.sign ^ b.sign);
  y.low = (y.low ^ opposite) + (opposite & 1);
  y.high = (y.high ^ opposite) + (uint64_t)(y.low == 0 && opposite != 0);
  x.low += y.low;
  x.high += y.high + (x.low < y.low);
  const uint64_t negative = 0 - (x.high >> 63); /* b was the greater one */
  x.low = (x.low ^ negative) + (negative & 1);
  x.high = (x.high ^ negative) + (uint64_t)(x.low == 0 && negative != 0);
  cf_real sum = {0, 0, zero_sign, CF_KIND_FINITE, 0};
  if ((x.high | x.low) == 0) return sum;
  sum.sign = a.sign ^ (int)(negative & 1);
  sum.exponent = a.exponent + 2;
  if (x.high == 0) {
    x.high = x.low;
    x.low = 0;
    sum.exponent -= 64;
  }
  const int up = 63 - cf_log2(x.high);
  sum.exponent -= up;
  sum.significand = x.high << up | (up > 0 ? x.low >> (64 - up) : 0) | (x.low << up != 0);
  return sum;
}

/* a + b */
static inline cf_real cf_add(cf_real a, cf_real b, int zero_sign, unsigned *signals) {
  if (a.kind == CF_KIND_FINITE && b.kind == CF_KIND_FINITE && a.significand != 0 &&
      b.significand != 0)
    return cf_add_finite(a, b, zero_sign);
  const cf_real one = {1, 0, 0, CF_KIND_FINITE, 0};
  return cf_multiply_add(a, one, &b, zero_sign, signals);
}

/* a / b.  A number other than 0 divided by 0 is an infinity. */
static inline cf_real cf_divide(cf_real a, cf_real b, unsigned *signals) {
  const int sign = a.sign ^ b.sign;
  if (a.kind == CF_KIND_NAN || b.kind == CF_KIND_NAN) return cf_nan_real();
  if (a.kind == CF_KIND_INFINITE) {
    if (b.kind == CF_KIND_INFINITE) return cf_invalid(signals);
    return cf_infinite_or_zero(CF_KIND_INFINITE, sign);
  }
  if (b.kind == CF_KIND_INFINITE) return cf_infinite_or_zero(CF_KIND_FINITE, sign);
  if (b.significand == 0) {
    if (a.significand == 0) return cf_invalid(signals);
    *signals |= CF_SIGNAL_DIVIDE_BY_ZERO;
    return cf_infinite_or_zero(CF_KIND_INFINITE, sign);
  }
  if (a.significand == 0) return cf_infinite_or_zero(CF_KIND_FINITE, sign);
  a = cf_normalized(a);
  b = cf_normalized(b);
  const int halved = a.significand >= b.significand;
  const cf_uint128 dividend = {a.significand >> halved, halved ? a.significand << 63 : 0};
  uint64_t rest;
  const uint64_t quotient = cf_divide_uint128(dividend, b.significand, &rest);
  const cf_real real = {quotient | (rest != 0), a.exponent - b.exponent - 64 + halved, sign,
                        CF_KIND_FINITE, 0};
  return real;
}

static inline cf_real cf_sqrt(cf_real a, unsigned *signals) {
  if (a.kind == CF_KIND_NAN) return cf_nan_real();
  if (cf_is_zero(a)) return cf_infinite_or_zero(CF_KIND_FINITE, a.sign);
  if (a.sign) return cf_invalid(signals);
  if (a.kind == CF_KIND_INFINITE) return a;
  a = cf_normalized(a);
  /* a = radicand * 2^exponent, the exponent even */
  const int odd = a.exponent & 1;
  const cf_uint128 radicand = {odd ? a.significand >> 1 : a.significand,
                               odd ? a.significand << 63 : 0};
  const uint64_t root = cf_sqrt_uint128(radicand);
  const cf_uint128 square = cf_multiply_uint64(root, root);
  const int inexact = square.high != radicand.high || square.low != radicand.low;
  const cf_real real = {root | (uint64_t)inexact, (a.exponent - 64 + odd) / 2, 0, CF_KIND_FINITE,
                        0};
  return real;
}

#endif
