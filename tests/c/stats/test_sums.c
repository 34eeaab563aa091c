/* Exact sums of products: by bins, which are compared with long double, also beyond float64's
 * range. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum {
  COUNT = 1000,
  SUM_BINS = 4400,
  SUMS = 2 * SUM_BINS,
  MANTISSA_BITS = 52,
  LOWER_BITS = 26,
  EXPONENT_BIAS = 1075 /* of the mantissa as an integer */
};

/* The oracle: a product s * 2^e, s of 53 bits, is added to bin e + CF_SUM_ORIGIN by halves. */
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

static void add_products(const double *a, const double *b, size_t count, int64_t *sums) {
  for (size_t i = 0; i < count; ++i) {
    const double product = a[i] * b[i];
    const int field = exponent_field(bits_of(product));
    if (field > 1 && field != 0x7FF) {
      add(product, 0, sums);
    } else if (a[i] != 0 && b[i] != 0) { /* below or above the normal numbers */
      int exponent_a, exponent_b;
      const double mantissas = normalised(a[i], &exponent_a) * normalised(b[i], &exponent_b);
      add(mantissas, exponent_a + exponent_b, sums);
    }
  }
}

/* The product of two numbers as s * 2^e, by the oracle. */
static void one_product(double a, double b, int64_t *s, int *e) {
  int64_t *sums = allocate(SUMS * sizeof *sums);
  memset(sums, 0, SUMS * sizeof *sums);
  *s = *e = 0;
  add_products(&a, &b, 1, sums);
  for (int bin = 0; bin < SUM_BINS; ++bin)
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
  add_products(a, b, COUNT, whole);
  for (int i = COUNT - 1; i >= 0; --i) add_products(b + i, a + i, 1, parts);
  CHECK(memcmp(whole, parts, SUMS * sizeof *whole) == 0, "the order matters");
  free(whole);
  free(parts);
}

/* A sum of cf_exact_errors, from bytes, and of the oracle, from bins, to the same words. */
static void same_sum(const uint8_t *bytes, const int64_t *bins, const char *name) {
  enum { WORDS = CF_SUM_BYTES / 4 };
  int64_t words[WORDS + 4] = {0}, carried = 0;
  for (int bin = 0; bin < SUM_BINS; ++bin)
    for (int half = 0; half < 2; ++half) {
      const int place = bin + (half == 0 ? 26 : 0);
      int64_t value = bins[2 * bin + half];
      /* a bit at a time, which is plain if slow */
      for (int bit = 0; value != 0; ++bit, value /= 2)
        words[(place + bit) / 32] += value % 2 * ((int64_t)1 << (place + bit) % 32);
    }
  for (int i = 0; i < WORDS; ++i) {
    const int64_t word = words[i] + carried;
    const int64_t kept = word & 0xFFFFFFFF;
    const int64_t found = (int64_t)bytes[4 * i] | (int64_t)bytes[4 * i + 1] << 8 |
                          (int64_t)bytes[4 * i + 2] << 16 | (int64_t)bytes[4 * i + 3] << 24;
    carried = (word - kept) / ((int64_t)1 << 32);
    CHECK(found == kept, "%s, word %d: %llx, expected %llx", name, i, (unsigned long long)found,
          (unsigned long long)kept);
  }
}

/* All sums of elements, and which bytes say all. */
static void same_sums(const cf_errors *found, const double *x, const double *q, const double *off,
                      int count) {
  static const char *const names[] = {"signal", "noise", "product", "rounded"};
  int64_t *bins = allocate(SUMS * sizeof *bins);
  for (int sum = 0; sum < CF_ERROR_SUMS; ++sum) {
    memset(bins, 0, SUMS * sizeof *bins);
    for (int i = 0; i < count; ++i) {
      const double a = sum == CF_NOISE ? off[i] : sum == CF_ROUNDED ? q[i] : x[i];
      const double b = sum == CF_NOISE ? off[i] : sum == CF_SIGNAL ? x[i] : q[i];
      if (isfinite(x[i]) && isfinite(a) && isfinite(b)) add_products(&a, &b, 1, bins);
    }
    const uint8_t *bytes = found->sums[sum];
    const int first = found->first[sum], end = found->end[sum];
    const int sign = end > 0 && bytes[end - 1] >= 0x80 ? 0xFF : 0;
    int others = 0;
    for (int i = 0; i < CF_SUM_BYTES; ++i)
      others += i < first ? bytes[i] != 0 : i >= end ? bytes[i] != sign : 0;
    CHECK(others == 0, "%s: %d bytes outside of %d to %d", names[sum], others, first, end);
    same_sum(bytes, bins, names[sum]);
  }
  free(bins);
}

static void errors(uint64_t *state) {
  static double x[COUNT], q[COUNT], off[COUNT];
  static cf_errors found;
  int finite = 0, saturated = 0, underflowed = 0, subnormal = 0, overflowed = 0;
  double max_abs = 0, max_rel = 0;
  for (int i = 0; i < COUNT; ++i) {
    const double spread = ldexp((double)random_bits(state), (int)random_below(state, 1800) - 900);
    x[i] = random_below(state, 2) == 0 ? spread : -spread;
    q[i] = i % 7 == 0 ? 0 : x[i] * (1 + (double)random_below(state, 9) / 128);
    if (i % 50 == 1) x[i] = i % 100 == 1 ? (double)NAN : -(double)INFINITY;
    if (i % 50 == 2) q[i] = i % 100 == 2 ? (double)NAN : (double)INFINITY;
    if (i % 50 == 3) x[i] = q[i] = 0;
    off[i] = q[i] - x[i];
  }
  CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, off, COUNT, 1e250, 1e-250, &found) == CF_OK,
        "status");
  for (int i = 0; i < COUNT; ++i) {
    if (!isfinite(x[i])) continue;
    const double error = isfinite(off[i]) ? fabs(off[i]) : (double)INFINITY;
    ++finite;
    saturated += fabs(x[i]) > 1e250;
    underflowed += x[i] != 0 && q[i] == 0;
    subnormal += q[i] != 0 && fabs(q[i]) < 1e-250;
    overflowed += isinf(error) ? 1 : 0;
    max_abs = fmax(max_abs, error);
    if (x[i] != 0) max_rel = fmax(max_rel, error / fabs(x[i]));
  }
  CHECK(found.finite == (uint64_t)finite && found.saturated == (uint64_t)saturated &&
            found.underflowed == (uint64_t)underflowed && found.subnormal == (uint64_t)subnormal &&
            found.overflowed == (uint64_t)overflowed,
        "counts");
  CHECK(finite < COUNT && saturated > 0 && underflowed > 0 && subnormal > 0 && overflowed > 0,
        "elements of every kind");
  CHECK(found.max_abs == max_abs && found.max_rel == max_rel, "%a, %a", found.max_abs,
        found.max_rel);
  same_sums(&found, x, q, off, COUNT);
  static cf_errors same;
  CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, COUNT, 1e250, 1e-250, &same) == CF_OK,
        "status");
  CHECK(memcmp(&same, &found, sizeof same) == 0, "their own differences");
  CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, off, 0, 1, 1, &found) == CF_OK &&
            found.finite == 0,
        "none");
  CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, off, (size_t)1 << 31, 1, 1, &found) ==
            CF_BAD_LAYOUT,
        "too many");
  CHECK(cf_exact_errors(CF_FLOAT16, x, CF_FLOAT64, q, off, 1, 1, 1, &found) == CF_BAD_TYPE &&
            cf_exact_errors(CF_FLOAT64, x, CF_INT64, q, off, 1, 1, 1, &found) == CF_BAD_TYPE,
        "types");
}

/* Any number of elements of exponents near each other or not, so that sums are of two to six levels
 * or one by one; near the ends of float64's range or not; and as float32. */
static void spreads(uint64_t *state) {
  enum { MOST = 1100 };
  static const int WIDTHS[] = {0, 1, 8, 17, 20, 30, 41, 45, 60, 65, 90, 112, 115, 130, 500};
  static const int CENTRES[] = {0, 0, -100, 90, -500, -511, 511, -700, 600, -1000, 900};
  static double x[MOST], q[MOST], off[MOST];
  static float x_float32[MOST], q_float32[MOST];
  static cf_errors found;
  const int trials = is_thinned() ? 60 : 300;
  for (int trial = 0; trial < trials; ++trial) {
    const int width = WIDTHS[random_below(state, sizeof WIDTHS / sizeof *WIDTHS)];
    const int centre = CENTRES[random_below(state, sizeof CENTRES / sizeof *CENTRES)];
    const int count = (int)random_below(state, trial % 2 == 0 ? 40 : MOST);
    const int bits = 1 + (int)random_below(state, 63), alike = random_below(state, 3) == 0;
    for (int i = 0; i < count; ++i) {
      const int exponent = centre + (int)random_below(state, 2 * (uint64_t)width + 1) - width;
      const double mantissa =
          alike ? 1 - ldexp(1, -53) : (double)(random_bits(state) >> bits) * ldexp(1, bits - 64);
      x[i] = ldexp(random_below(state, 2) == 0 ? mantissa : -mantissa, exponent);
      q[i] = x[i] * (1 + ((double)random_below(state, 17) - 8) / 128);
      if (random_below(state, 100) == 0) q[i] = x[random_below(state, (uint64_t)i + 1)];
      if (random_below(state, 300) == 0) x[i] = (double)INFINITY;
      if (random_below(state, 300) == 0) q[i] = (double)NAN;
      x_float32[i] = fabs(x[i]) < 1e38 ? (float)x[i] : 1;
      q_float32[i] = fabs(q[i]) < 1e38 ? (float)q[i] : -1;
    }
    for (int i = 0; i < count; ++i) off[i] = q[i] - x[i];
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, (size_t)count, 1, 1, &found) == CF_OK,
          "status");
    same_sums(&found, x, q, off, count);
    CHECK(cf_exact_errors(CF_FLOAT32, x_float32, CF_FLOAT64, q, NULL, (size_t)count, 1, 1,
                          &found) == CF_OK,
          "status");
    for (int i = 0; i < count; ++i) {
      x[i] = (double)x_float32[i];
      off[i] = q[i] - x[i];
    }
    same_sums(&found, x, q, off, count);
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT32, q_float32, NULL, (size_t)count, 1, 1,
                          &found) == CF_OK,
          "status");
    for (int i = 0; i < count; ++i) {
      q[i] = (double)q_float32[i];
      off[i] = q[i] - x[i];
    }
    same_sums(&found, x, q, off, count);
  }
}

/* Sums that change their sign again and again, whose upper words are all ones and all zeros. */
static void signs(void) {
  double x[8], q[8], off[8];
  static cf_errors found;
  for (int i = 0; i < 8; ++i) {
    x[i] = ldexp(1, 100 * i - 400);
    q[i] = i % 2 == 0 ? -x[i] : x[i];
    off[i] = q[i] - x[i];
  }
  for (int first = 0; first < 8; ++first) {
    const size_t count = (size_t)(8 - first);
    CHECK(cf_exact_errors(CF_FLOAT64, x + first, CF_FLOAT64, q + first, NULL, count, 1, 1,
                          &found) == CF_OK,
          "status");
    same_sums(&found, x + first, q + first, off + first, 8 - first);
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, count, 1, 1, &found) == CF_OK,
          "status");
    same_sums(&found, x, q, off, 8 - first);
  }
}

/* Products of subnormal numbers, which are far smaller than others of their exponent field. */
static void subnormal_factors(void) {
  double x[2], q[2], off[2];
  static cf_errors found;
  for (int exponent = -1074; exponent < -1010; ++exponent) {
    x[0] = ldexp(1, -960);
    x[1] = ldexp(1, exponent);
    q[0] = q[1] = ldexp(2 - ldexp(1, -52), 600);
    off[0] = off[1] = q[0];
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, 2, 1, 1, &found) == CF_OK, "status");
    same_sums(&found, x, q, off, 2);
  }
}

/* The largest relative error, wherever it is, and of numbers of any size: it is seldom divided. */
static void relative_errors(uint64_t *state) {
  enum { MOST = 100 };
  double x[MOST], q[MOST];
  static cf_errors found;
  for (int trial = 0; trial < 400; ++trial) {
    const int count = 1 + (int)random_below(state, MOST);
    const int exponent = trial % 4 == 0 ? -1074 : (int)random_below(state, 2000) - 1050;
    double expected = 0;
    for (int i = 0; i < count; ++i) {
      x[i] = ldexp((double)random_below(state, trial % 8 == 0 ? 4 : 1000), exponent);
      q[i] = ldexp((double)random_below(state, trial % 8 == 0 ? 4 : 1000), exponent);
      if (trial % 3 == 0) q[i] = x[i] + ldexp((double)random_below(state, 9), exponent);
      if (trial % 5 == 0 && random_below(state, 50) == 0) q[i] = (double)INFINITY;
      if (x[i] > 0) expected = fmax(expected, fabs(q[i] - x[i]) / x[i]);
    }
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, (size_t)count, 1, 1, &found) == CF_OK,
          "status");
    CHECK(found.max_rel == expected, "%a, expected %a", found.max_rel, expected);
  }
}

/* Many products far above the first, of one sign, and negative ones whose lower half is zero: those
 * that a register of 128 bits might not hold, or carry wrongly. */
static void many_alike(void) {
  enum { MANY = 5000 };
  static double x[MANY], q[MANY];
  static cf_errors found;
  int64_t *bins = allocate(SUMS * sizeof *bins);
  for (int kind = 0; kind < 2; ++kind) {
    for (int i = 0; i < MANY; ++i) {
      x[i] = kind == 0 && i > 0 ? 46340.9 : 1; /* whose square is near 2^31 */
      q[i] = -x[i];
    }
    CHECK(cf_exact_errors(CF_FLOAT64, x, CF_FLOAT64, q, NULL, MANY, 1, 1, &found) == CF_OK,
          "status");
    memset(bins, 0, SUMS * sizeof *bins);
    add_products(x, x, MANY, bins);
    same_sum(found.sums[CF_SIGNAL], bins, "many squares");
    same_sum(found.sums[CF_ROUNDED], bins, "many squares of the rounded");
    memset(bins, 0, SUMS * sizeof *bins);
    add_products(x, q, MANY, bins);
    same_sum(found.sums[CF_PRODUCT], bins, "many products");
  }
  free(bins);
}

/* Products a little below the smallest normal number have 53 bits like any others, although float64
 * rounds them up to it. */
static void below_normal_numbers(void) {
  const double below_one = 1 - ldexp(1, -53);
  for (int exponent = -1000; exponent <= -22; exponent += 163)
    for (int sign = -1; sign <= 1; sign += 2) {
      const double x = ldexp(below_one, exponent), q = sign * ldexp(1, -1022 - exponent), off = 0;
      const int lowest = CF_SUM_ORIGIN - 1022 - 53, highest = lowest + 53;
      cf_errors found;
      CHECK(cf_exact_errors(CF_FLOAT64, &x, CF_FLOAT64, &q, &off, 1, 1e308, 0, &found) == CF_OK,
            "%a", x);
      for (int i = 0; i < 8 * CF_SUM_BYTES; ++i) {
        /* 53 ones; the negative number's are those that no carry from below reaches */
        const int in_positive = lowest <= i && i < highest,
                  in_negative = i == lowest || i >= highest;
        const int bit = found.sums[CF_PRODUCT][i / 8] >> i % 8 & 1;
        CHECK(bit == (sign > 0 ? in_positive : in_negative), "%a * %a: bit %d is %d", x, q, i, bit);
      }
    }
}

void test_sums(void) {
  below_normal_numbers();
  uint64_t state = 4;
  any_exponents(&state);
  extremes();
  orders(&state);
  errors(&state);
  spreads(&state);
  signs();
  subnormal_factors();
  relative_errors(&state);
  many_alike();
}
