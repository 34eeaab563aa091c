/* The arithmetic: the one definition that every faster path is checked against, bit for bit.
 *
 * An operand of whatever type becomes a cf_real, which is exact; cf_round_pack is the only place
 * where anything is rounded.  float32 and float64 are formats here like any other, so encoding and
 * decoding are both one thing: a conversion between two formats.  No state, integers only. */
#ifndef CF_CORE_SCALAR_H
#define CF_CORE_SCALAR_H

#include "core/format.h"
#include "core/philox.h"

enum cf_kind { CF_KIND_FINITE, CF_KIND_INFINITE, CF_KIND_NAN };

/* One bit a flag, as one operation raises them. */
enum cf_raised { CF_INVALID = 1, CF_DENORMAL = 2, CF_OVERFLOW = 4, CF_UNDERFLOW = 8 };

/* (-1)^sign * significand * 2^exponent, if finite. */
typedef struct cf_real {
  uint64_t significand;
  int exponent;
  int sign;
  int kind;      /* enum cf_kind */
  int subnormal; /* stored as a subnormal of its own format */
} cf_real;

/* floor(log2(n)), n > 0. */
static inline int cf_log2(uint64_t n) {
#if defined(__GNUC__) || defined(__clang__)
  return 63 - __builtin_clzll(n);
#else
  int log2 = 0;
  for (int step = 32; step > 0; step /= 2) {
    if (n >> step) {
      n >>= step;
      log2 += step;
    }
  }
  return log2;
#endif
}

static inline cf_real cf_real_from_uint64(uint64_t n) {
  const cf_real real = {n, 0, 0, CF_KIND_FINITE, 0};
  return real;
}

static inline cf_real cf_real_from_int64(int64_t n) {
  const cf_real real = {n < 0 ? 0 - (uint64_t)n : (uint64_t)n, 0, n < 0, CF_KIND_FINITE, 0};
  return real;
}

/* The exact value of a code (docs/spec.md 1.3 to 1.8).  Bits above the sign are ignored. */
static inline cf_real cf_unpack(const cf_params *format, int bias, uint64_t code) {
  const int m = format->mantissa_bits;
  const uint64_t fraction_mask = ((uint64_t)1 << m) - 1;
  const uint64_t magnitude = code & format->magnitude_mask;
  const uint64_t fraction = magnitude & fraction_mask;
  const int exponent_field = (int)(magnitude >> m);
  cf_real real = {fraction, 0, (code & format->sign_mask) != 0, CF_KIND_FINITE, 0};
  if (magnitude > format->max_code) {
    const int is_infinity = format->has_infinity && magnitude == format->max_code + 1;
    real.kind = is_infinity ? CF_KIND_INFINITE : CF_KIND_NAN;
  } else if (format->no_negative_zero && real.sign && magnitude == 0) {
    real.sign = 0; /* there is no other NaN */
    real.kind = CF_KIND_NAN;
  } else if (exponent_field >= cf_first_normal_field(format->subnormals)) {
    real.significand |= (uint64_t)1 << m;
    real.exponent = exponent_field - bias - m;
  } else {
    real.subnormal = fraction != 0;
    real.exponent = (format->subnormals == CF_SUBNORMALS_WHITEPAPER ? 0 : 1) - bias - m;
    if (format->subnormals == CF_SUBNORMALS_FLUSH) real.significand = 0;
  }
  return real;
}

/* The parts of a rounding argument (cfloat_api.h). */
static inline int cf_rounding_mode(int rounding) { return rounding & 0xF; }
static inline int cf_rounding_variant(int rounding) { return rounding >> 4 & 0xF; }
static inline int cf_rounding_bits(int rounding) { return rounding >> 8 == 0 ? 32 : rounding >> 8; }

/* cf_round_up for CF_STOCHASTIC, with the upper bits of a random word. */
static inline int cf_stochastic_up(int rounding, uint64_t fraction, int sticky, uint32_t word) {
  const int bits = cf_rounding_bits(rounding);
  const uint64_t random = word >> (32 - bits);
  const uint64_t one = (uint64_t)1 << bits, half = (uint64_t)1 << 63;
  const uint64_t kept = fraction >> (64 - bits), rest = fraction << bits;
  switch (cf_rounding_variant(rounding)) {
    case CF_STOCHASTIC_B: return (fraction >> (63 - bits)) + 2 * random + 1 >= 2 * one;
    case CF_STOCHASTIC_C: {
      const int up = (rest > half) | ((rest == half) & (sticky | (int)(kept & 1)));
      return kept + (uint64_t)up + random >= one;
    }
    default: return kept + random >= one;
  }
}

/* Whether a magnitude that lies `fraction` * 2^-64 (and a little more, if sticky) of the way
 * between two neighbouring codes goes to the upper one; last_bit is the lower code's. */
static inline int cf_round_up(int rounding, int sign, int last_bit, uint64_t fraction, int sticky,
                              uint32_t word) {
  /* bitwise operators, because a branch on the data would be mispredicted every other time */
  const uint64_t half = (uint64_t)1 << 63;
  const int inexact = (fraction != 0) | sticky;
  switch (cf_rounding_mode(rounding)) {
    case CF_TIES_TO_EVEN: return (fraction > half) | ((fraction == half) & (sticky | last_bit));
    case CF_TIES_TO_AWAY: return fraction >= half;
    case CF_TIES_TO_ZERO: return (fraction > half) | ((fraction == half) & sticky);
    case CF_TOWARD_POSITIVE: return (sign == 0) & inexact;
    case CF_TOWARD_NEGATIVE: return sign & inexact;
    case CF_TO_ODD: return inexact & ~last_bit & 1;
    case CF_STOCHASTIC: return cf_stochastic_up(rounding, fraction, sticky, word);
    default: return 0; /* CF_TOWARD_ZERO */
  }
}

/* Whether a magnitude beyond the largest finite value stops there although the format does not
 * saturate.  Stochastic rounding stops too: to infinity no distance can be weighed; and rounding to
 * odd, of which infinity, a code like any other, would be the even one or a false odd one. */
static inline int cf_stops_at_max(int rounding, int sign) {
  switch (cf_rounding_mode(rounding)) {
    case CF_TOWARD_ZERO:
    case CF_TO_ODD:
    case CF_STOCHASTIC: return 1;
    case CF_TOWARD_POSITIVE: return sign;
    case CF_TOWARD_NEGATIVE: return !sign;
    default: return 0;
  }
}

/* The code of a real number in a format: docs/spec.md 3, its one rounding and its exceptions.  word
 * is the random word of CF_STOCHASTIC; raised gains cf_raised bits. */
static inline uint64_t cf_round_pack(const cf_params *format, int bias, cf_real x, int rounding,
                                     uint32_t word, unsigned *raised) {
  const int m = format->mantissa_bits;
  const uint64_t sign_code = (0 - (uint64_t)x.sign) & format->sign_mask;
  if (x.subnormal) *raised |= CF_DENORMAL;
  if (x.kind == CF_KIND_NAN) {
    *raised |= CF_INVALID;
    return format->has_nan ? sign_code | format->nan_code : format->max_code;
  }
  if (format->sign_mask == 0 && x.sign && (x.kind == CF_KIND_INFINITE || x.significand != 0)) {
    *raised |= CF_INVALID;
    return format->has_nan ? format->nan_code : 0;
  }
  if (x.kind == CF_KIND_INFINITE) {
    const int kept = format->has_infinity && format->overflow_code != format->max_code;
    if (!kept) *raised |= CF_OVERFLOW;
    return sign_code | format->overflow_code;
  }
  if (x.significand == 0) {
    if (format->subnormals != CF_SUBNORMALS_NORMAL) return format->no_negative_zero ? 0 : sign_code;
    *raised |= format->has_nan ? CF_INVALID : CF_UNDERFLOW;
    return format->has_nan ? format->nan_code : sign_code;
  }

  /* the quantum: the distance, as a power of two, of codes around x */
  const int exponent = x.exponent + cf_log2(x.significand);
  const int tiny = exponent < cf_first_normal_field(format->subnormals) - bias;
  if (tiny && format->subnormals == CF_SUBNORMALS_NORMAL) {
    *raised |= CF_UNDERFLOW;
    return sign_code; /* there is nothing below the smallest normal number */
  }
  const int in_whitepaper_subnormals = tiny && format->subnormals == CF_SUBNORMALS_WHITEPAPER;
  const int quantum = (in_whitepaper_subnormals ? -bias : tiny ? 1 - bias : exponent) - m;

  /* x / 2^quantum = kept + (fraction + sticky's little) / 2^64 */
  const int shift = quantum - x.exponent;
  uint64_t kept = 0, fraction = 0;
  int sticky = 0;
  if (shift <= 0) {
    kept = x.significand << -shift;
  } else if (shift < 64) {
    kept = x.significand >> shift;
    fraction = x.significand << (64 - shift);
  } else if (shift == 64) {
    fraction = x.significand;
  } else if (shift < 128) {
    fraction = x.significand >> (shift - 64);
    sticky = x.significand << (128 - shift) != 0;
  } else {
    sticky = 1;
  }

  /* the lower neighbour's code; a carry out of the mantissa steps the exponent by itself */
  uint64_t code = tiny ? kept : kept + ((uint64_t)(exponent + bias - 1) << m);
  const uint64_t max_subnormal = ((uint64_t)1 << m) - 1;
  if (in_whitepaper_subnormals && kept >= max_subnormal) {
    /* in the hole (docs/spec.md 2.6): neighbours are 2^m + 1 quanta apart */
    const uint64_t gap = ((uint64_t)1 << m) + 1;
    const uint64_t high = (kept - max_subnormal) << 32 | fraction >> 32;
    const uint64_t low = high % gap << 32 | (fraction & 0xFFFFFFFFu);
    code = max_subnormal;
    fraction = high / gap << 32 | low / gap;
    sticky |= low % gap != 0;
  }
  int inexact = (fraction != 0) | sticky;
  code += (uint64_t)cf_round_up(rounding, x.sign, (int)(code & 1), fraction, sticky, word);

  if (format->subnormals == CF_SUBNORMALS_FLUSH && code <= max_subnormal) {
    inexact = 1; /* x is not zero */
    code = 0;
  }
  if (tiny && inexact) *raised |= CF_UNDERFLOW;
  if (code > format->max_code) {
    *raised |= CF_OVERFLOW;
    code = cf_stops_at_max(rounding, x.sign) ? format->max_code : format->overflow_code;
  }
  return format->no_negative_zero && code == 0 ? 0 : sign_code | code;
}

/* Counts of a part to those of the whole, which may be NULL. */
static inline void cf_add_flags(cf_flags *flags, const cf_flags *part) {
  if (flags == NULL) return;
  flags->invalid += part->invalid;
  flags->denormal += part->denormal;
  flags->overflow += part->overflow;
  flags->underflow += part->underflow;
}

static inline void cf_count(cf_flags *flags, unsigned raised) {
  flags->invalid += (raised & CF_INVALID) != 0;
  flags->denormal += (raised & CF_DENORMAL) != 0;
  flags->overflow += (raised & CF_OVERFLOW) != 0;
  flags->underflow += (raised & CF_UNDERFLOW) != 0;
}

#endif
