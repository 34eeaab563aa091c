/* What rounding cost, by sums of products of float64 that lose nothing but each product's own
 * rounding. */
#include <math.h>
#include <string.h>

#include "cfloat.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"

enum {
  MANTISSA_BITS = 52,
  EXPONENT_BIAS = 1075 /* of the mantissa as an integer */
};

static uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static int exponent_field(uint64_t bits) { return (int)(bits >> MANTISSA_BITS & 0x7FF); }

/* A finite number other than zero as one of magnitude 1 to 2 times 2^*exponent. */
static double normalised(double x, int *exponent) {
  const double scale = 18446744073709551616.0; /* 2^64 */
  int scaled = 0;
  if (exponent_field(bits_of(x)) == 0) {
    x *= scale;
    scaled = 64;
  }
  uint64_t bits = bits_of(x);
  *exponent = exponent_field(bits) - 1023 - scaled;
  bits = (bits & ~((uint64_t)0x7FF << MANTISSA_BITS)) | (uint64_t)1023 << MANTISSA_BITS;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* A product that was rounded to 53 bits, whatever its exponent: mantissa * 2^(bin - CF_SUM_ORIGIN),
 * the mantissa of 53 bits; or of 0. */
typedef struct product {
  int64_t mantissa;
  int64_t sign; /* -1 or 0 */
  int bin;
} product;

static product product_of_bits(uint64_t bits, int exponent) {
  const uint64_t one = 1;
  product result;
  result.mantissa = (int64_t)((bits & ((one << MANTISSA_BITS) - 1)) | one << MANTISSA_BITS);
  result.sign = -(int64_t)(bits >> 63);
  result.bin = exponent_field(bits) - EXPONENT_BIAS + exponent + CF_SUM_ORIGIN;
  return result;
}

static product product_of(double a, double b) {
  const uint64_t bits = bits_of(a * b);
  const int field = exponent_field(bits);
  /* one in the first binade of normal numbers may have been rounded up to it from below */
  if (field > 1 && field != 0x7FF) return product_of_bits(bits, 0);
  if (a == 0 || b == 0) return (product){0, 0, CF_SUM_ORIGIN};
  int exponent_a, exponent_b; /* below or above the normal numbers */
  const double mantissas = normalised(a, &exponent_a) * normalised(b, &exponent_b);
  return product_of_bits(bits_of(mantissas), exponent_a + exponent_b);
}

static product square_of(double x) {
  product result = product_of(x, x);
  result.sign = 0; /* which a compiler can't know */
  return result;
}

/* -1 negates: (n ^ -1) - -1 */
static int64_t with_sign(int64_t magnitude, int64_t sign) { return (magnitude ^ sign) - sign; }

/* A sum by words of 32 bits that carry nothing yet, and what is yet to be added to it, on its way
 * in registers: recent products that lie within 64 bins, as an integer of 128 bits in units of
 * 2^(base - CF_SUM_ORIGIN). */
enum { WORD_BITS = 32, SUM_WORDS = CF_SUM_BYTES / 4, RECENT_BINS = 64, RECENT_PRODUCTS = 1024 };
typedef struct exact_sum {
  uint64_t lower, upper;
  int base, count;
  int64_t words[SUM_WORDS];
} exact_sum;

static CF_NOINLINE void add_recent(exact_sum *sum) {
  const int is_negative = (int)(sum->upper >> 63);
  const uint64_t mask = 0xFFFFFFFFu, flip = is_negative ? ~(uint64_t)0 : 0;
  const uint64_t lower = (sum->lower ^ flip) + (is_negative ? 1 : 0);
  const uint64_t upper = (sum->upper ^ flip) + (is_negative && lower == 0 ? 1 : 0);
  const uint64_t parts[4] = {lower & mask, lower >> WORD_BITS, upper & mask, upper >> WORD_BITS};
  int64_t *word = sum->words + sum->base / WORD_BITS;
  for (int i = 0; i < 4; ++i, ++word) {
    const uint64_t part = parts[i] << sum->base % WORD_BITS;
    word[0] += with_sign((int64_t)(part & mask), -is_negative);
    word[1] += with_sign((int64_t)(part >> WORD_BITS), -is_negative);
  }
  sum->lower = sum->upper = 0;
  sum->count = 0;
}

static void add(product p, exact_sum *sum) {
  const uint64_t mantissa = (uint64_t)p.mantissa, flip = (uint64_t)p.sign, one = flip & 1;
  unsigned shift = (unsigned)(p.bin - sum->base);
  if (mantissa == 0) return;
  if (shift >= RECENT_BINS || sum->count == RECENT_PRODUCTS) {
    add_recent(sum);
    sum->base = p.bin < RECENT_BINS / 2 ? 0 : p.bin - RECENT_BINS / 2;
    shift = (unsigned)(p.bin - sum->base);
  }
  ++sum->count;
  const uint64_t lower = (mantissa << shift) ^ flip;
  const uint64_t upper = (mantissa >> 1 >> (RECENT_BINS - 1 - shift)) ^ flip;
  sum->lower += lower;
  sum->upper += upper + (sum->lower < lower);
  sum->lower += one;
  sum->upper += sum->lower < one;
}

/* The words of a sum to which everything was added, one after the other. */
static void carry(exact_sum *sum, uint8_t *bytes) {
  add_recent(sum);
  int64_t carried = 0;
  for (int i = 0; i < SUM_WORDS; ++i) {
    const int64_t word = sum->words[i] + carried;
    const uint32_t kept = (uint32_t)((uint64_t)word & 0xFFFFFFFFu);
    for (int j = 0; j < 4; ++j) bytes[4 * i + j] = (uint8_t)(kept >> 8 * j & 0xFF);
    carried = (word - (int64_t)kept) / ((int64_t)1 << WORD_BITS); /* there is no rest */
  }
}

int cf_exact_errors(const double *x, const double *q, const double *off, size_t count, double max,
                    double smallest_normal, cf_errors *found) {
  const double infinity = (double)INFINITY;
  cf_errors here = {0};
  exact_sum sums[CF_ERROR_SUMS];
  if (count >= (size_t)1 << 31) return CF_BAD_LAYOUT;
  memset(sums, 0, sizeof sums);
  const uint64_t modes = cf_set_default_float_modes();
  for (size_t i = 0; i < count; ++i) {
    const double value = x[i], rounded = q[i], magnitude = fabs(value), size = fabs(rounded);
    const double lost = fabs(off == NULL ? rounded - value : off[i]);
    const double error = lost < infinity ? lost : infinity;
    if (!(magnitude < infinity)) continue;
    ++here.finite;
    here.saturated += magnitude > max;
    here.underflowed += (magnitude > 0) & (size == 0);
    here.subnormal += (size > 0) & (size < smallest_normal);
    if (error > here.max_abs) here.max_abs = error;
    /* a division is slow, and seldom needed: less than this is no larger quotient, rounded or not
     */
    if (magnitude > 0 && error >= here.max_rel * magnitude * (1 - 0x1p-50) &&
        error / magnitude > here.max_rel)
      here.max_rel = error / magnitude;
    add(square_of(value), &sums[CF_SIGNAL]);
    if (error < infinity) {
      add(square_of(error), &sums[CF_NOISE]);
    } else {
      ++here.overflowed;
    }
    if (!(size < infinity)) continue;
    add(product_of(value, rounded), &sums[CF_PRODUCT]);
    add(square_of(rounded), &sums[CF_ROUNDED]);
  }
  cf_restore_float_modes(modes);
  for (int i = 0; i < CF_ERROR_SUMS; ++i) carry(&sums[i], here.sums[i]);
  *found = here;
  return CF_OK;
}
