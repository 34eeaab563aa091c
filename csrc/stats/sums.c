/* What rounding cost, by sums of products of float64 that lose nothing but each product's own
 * rounding. */
#include <math.h>
#include <string.h>

#include "cfloat.h"
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

/* -1 negates: (n ^ -1) - -1 */
static int64_t with_sign(int64_t magnitude, int64_t sign) { return (magnitude ^ sign) - sign; }

/* A sum by words of 32 bits that carry nothing yet: 2^31 products fit. */
enum { WORD_BITS = 32, SUM_WORDS = CF_SUM_BYTES / 4 };
typedef int64_t loose_sum[SUM_WORDS];

static void add(product p, int64_t *sum) {
  const uint64_t mask = 0xFFFFFFFFu, mantissa = (uint64_t)p.mantissa;
  const int shift = p.bin % WORD_BITS;
  const uint64_t lower = (mantissa & mask) << shift, upper = (mantissa >> WORD_BITS) << shift;
  int64_t *word = sum + p.bin / WORD_BITS;
  word[0] += with_sign((int64_t)(lower & mask), p.sign);
  word[1] += with_sign((int64_t)((lower >> WORD_BITS) + (upper & mask)), p.sign);
  word[2] += with_sign((int64_t)(upper >> WORD_BITS), p.sign);
}

static void carry(const int64_t *sum, uint8_t *bytes) {
  int64_t carried = 0;
  for (int i = 0; i < SUM_WORDS; ++i) {
    const int64_t word = sum[i] + carried;
    const uint32_t kept = (uint32_t)((uint64_t)word & 0xFFFFFFFFu);
    for (int j = 0; j < 4; ++j) bytes[4 * i + j] = (uint8_t)(kept >> 8 * j & 0xFF);
    carried = (word - (int64_t)kept) / ((int64_t)1 << WORD_BITS); /* there is no rest */
  }
}

int cf_exact_errors(const double *x, const double *q, const double *off, size_t count, double max,
                    double smallest_normal, cf_errors *found) {
  const double infinity = (double)INFINITY;
  cf_errors here = {0};
  loose_sum sums[CF_ERROR_SUMS];
  if (count >= (size_t)1 << 31) return CF_BAD_LAYOUT;
  memset(sums, 0, sizeof sums);
  const uint64_t modes = cf_set_default_float_modes();
  for (size_t i = 0; i < count; ++i) {
    const double value = x[i], rounded = q[i], magnitude = fabs(value), size = fabs(rounded);
    const double error = fabs(off[i]) < infinity ? fabs(off[i]) : infinity;
    if (!(magnitude < infinity)) continue;
    ++here.finite;
    here.saturated += magnitude > max;
    here.underflowed += (magnitude > 0) & (size == 0);
    here.subnormal += (size > 0) & (size < smallest_normal);
    if (error > here.max_abs) here.max_abs = error;
    if (magnitude > 0 && error / magnitude > here.max_rel) here.max_rel = error / magnitude;
    add(product_of(value, value), sums[CF_SIGNAL]);
    if (error < infinity) {
      add(product_of(error, error), sums[CF_NOISE]);
    } else {
      ++here.overflowed;
    }
    if (!(size < infinity)) continue;
    add(product_of(value, rounded), sums[CF_PRODUCT]);
    add(product_of(rounded, rounded), sums[CF_ROUNDED]);
  }
  cf_restore_float_modes(modes);
  for (int i = 0; i < CF_ERROR_SUMS; ++i) carry(sums[i], here.sums[i]);
  *found = here;
  return CF_OK;
}
