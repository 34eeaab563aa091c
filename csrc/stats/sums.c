/* Sums of products of float64 that lose nothing but each product's own rounding. */
#include <string.h>

#include "cfloat.h"
#include "cpu/float_modes.h"

enum {
  MANTISSA_BITS = 52,
  LOWER_BITS = 26,
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

static void add(double product, int exponent, int64_t *sums) {
  const uint64_t bits = bits_of(product), one = 1;
  const int64_t mantissa = (int64_t)((bits & ((one << MANTISSA_BITS) - 1)) | one << MANTISSA_BITS);
  const int64_t sign = -(int64_t)(bits >> 63); /* -1 negates: (n ^ -1) - -1 */
  int64_t *bin =
      sums + 2 * (size_t)(exponent_field(bits) - EXPONENT_BIAS + exponent + CF_SUM_ORIGIN);
  bin[0] += ((mantissa >> LOWER_BITS) ^ sign) - sign;
  bin[1] += ((mantissa & ((1 << LOWER_BITS) - 1)) ^ sign) - sign;
}

int cf_add_products(const double *a, const double *b, size_t count, int64_t *sums) {
  const uint64_t modes = cf_set_default_float_modes();
  for (size_t i = 0; i < count; ++i) {
    const double product = a[i] * b[i];
    const int field = exponent_field(bits_of(product));
    if (field != 0 && field != 0x7FF) {
      add(product, 0, sums);
    } else if (a[i] != 0 && b[i] != 0) { /* below or above the normal numbers */
      int exponent_a, exponent_b;
      const double mantissas = normalised(a[i], &exponent_a) * normalised(b[i], &exponent_b);
      add(mantissas, exponent_a + exponent_b, sums);
    }
  }
  cf_restore_float_modes(modes);
  return CF_OK;
}
