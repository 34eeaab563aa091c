/* Exact sums of products: against long double, and beyond float64's range. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum { COUNT = 1000, SUMS = 2 * CF_SUM_BINS };

/* The product of two numbers as s * 2^e, by the library. */
static void one_product(double a, double b, int64_t *s, int *e) {
  int64_t *sums = allocate(SUMS * sizeof *sums);
  memset(sums, 0, SUMS * sizeof *sums);
  *s = *e = 0;
  CHECK(cf_add_products(&a, &b, 1, sums) == CF_OK, "status");
  for (int bin = 0; bin < CF_SUM_BINS; ++bin)
    if (sums[2 * bin] != 0 || sums[2 * bin + 1] != 0) {
      CHECK(*s == 0, "%a * %a is in two bins", a, b);
      *s = sums[2 * bin] * (1 << 26) + sums[2 * bin + 1];
      *e = bin - CF_SUM_ORIGIN;
    }
  free(sums);
}

/* Numbers of any exponent, the product of whose mantissas is known. */
static void any_exponents(uint64_t *state) {
  for (int i = 0; i < 20 * COUNT; ++i) {
    const double a = 1 + (double)(random_bits(state) >> 12) / 4503599627370496.0;
    const double b = -1 - (double)(random_bits(state) >> 12) / 4503599627370496.0;
    int64_t s, expected;
    int e, expected_e;
    const int shift_a = (int)random_below(state, 2046) - 1022,
              shift_b = (int)random_below(state, 2046) - 1022;
    one_product(ldexp(a, shift_a), ldexp(b, shift_b), &s, &e);
    expected = (int64_t)ldexp(frexp(a * b, &expected_e), 53);
    expected_e += shift_a + shift_b - 53;
    CHECK(s == expected && e == expected_e, "%a * %a * 2^%d: %lld * 2^%d", a, b, shift_a + shift_b,
          (long long)s, e);
  }
}

static void extremes(void) {
  const double least = ldexp(1, -1074), most = 1.7976931348623157e308;
  int64_t s;
  int e;
  one_product(least, -least, &s, &e);
  CHECK(s == -((int64_t)1 << 52) && e == -2148 - 52, "%lld * 2^%d", (long long)s, e);
  one_product(most, most, &s, &e);
  CHECK(s == ((int64_t)1 << 53) - 2 && e == 2 * 1024 - 53, "%lld * 2^%d", (long long)s, e);
  one_product(0, most, &s, &e);
  CHECK(s == 0, "%lld", (long long)s);
}

/* In any order and any parts, the same integers. */
static void orders(uint64_t *state) {
  double a[COUNT], b[COUNT];
  int64_t *whole = allocate(SUMS * sizeof *whole), *parts = allocate(SUMS * sizeof *parts);
  /* they are added to what is there */
  for (int i = 0; i < SUMS; ++i) whole[i] = parts[i] = i % 5;
  for (int i = 0; i < COUNT; ++i) {
    a[i] = ldexp((double)random_bits(state), (int)random_below(state, 1000) - 700);
    b[i] = ldexp(-(double)random_bits(state), (int)random_below(state, 1000) - 700);
  }
  cf_add_products(a, b, COUNT, whole);
  for (int i = COUNT - 1; i >= 0; --i) cf_add_products(b + i, a + i, 1, parts);
  CHECK(memcmp(whole, parts, SUMS * sizeof *whole) == 0, "the order matters");
  free(whole);
  free(parts);
}

void test_sums(void) {
  uint64_t state = 4;
  any_exponents(&state);
  extremes();
  orders(&state);
}
