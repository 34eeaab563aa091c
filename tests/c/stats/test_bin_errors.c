/* Errors of what a histogram has counted: against the same values one after the other, by
 * core/scalar.h; and added up in lanes, the bins of a lane in order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/scalar.h"
#include "support/check.h"
#include "support/rounded.h"
#include "support/tests.h"

/* Of fewer mantissa bits than a bin's values have in common. */
static const cf_format FORMATS[] = {
    {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 2, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_FLUSH, 1, -20, 63},
    {5, 6, 0, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 0, 63},
    {5, 2, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15},
    {4, 3, 0, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 1, 0, 20},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof FORMATS[0], MOST_BIASES = 84 };
enum { COMMON = 16, MOST_VALUES = 4 }; /* upper bits that a bin's values have in common */

typedef struct bins {
  size_t count;
  float *inside, *values; /* MOST_VALUES of these a bin, of which counts[i] are there */
  double *edges, *counts, *sums;
} bins;

static float of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Exponents from 2^-67 to 2^60, and now and then those of subnormals and zeros. */
static bins any_bins(size_t count, uint64_t *state) {
  const bins b = {count,
                  allocate(count * sizeof(float)),
                  allocate(count * MOST_VALUES * sizeof(float)),
                  allocate(count * sizeof(double)),
                  allocate(count * sizeof(double)),
                  allocate(count * sizeof(double))};
  for (size_t i = 0; i < count; ++i) {
    const uint64_t exponent = random_below(state, 9) == 0 ? 0 : 60 + random_below(state, 128);
    const uint32_t sign = (uint32_t)random_below(state, 2) << 31;
    const uint32_t mantissa = (uint32_t)random_below(state, 128) << COMMON;
    const uint32_t edge = sign | (uint32_t)exponent << 23 | mantissa;
    b.edges[i] = (double)of_bits(edge);
    b.counts[i] = (double)(1 + random_below(state, MOST_VALUES));
    b.sums[i] = 0;
    for (int j = 0; j < (int)b.counts[i]; ++j) {
      const uint32_t lower =
          random_below(state, 3) == 0 ? 0 : (uint32_t)random_below(state, 1u << COMMON);
      const float x = of_bits(edge | lower);
      b.values[i * MOST_VALUES + (size_t)j] = x;
      b.sums[i] += fabs((double)x - b.edges[i]);
    }
    b.inside[i] = of_bits(b.sums[i] > 0 ? edge | 1 : edge);
  }
  return b;
}

static void free_bins(bins *b) {
  free(b->inside);
  free(b->values);
  free(b->edges);
  free(b->counts);
  free(b->sums);
}

/* What the errors of the values come to, less the squares of their distances from the edges. */
static double by_values(const bins *b, const cf_format *format, int bias, double *size) {
  double error = 0;
  *size = 0;
  for (size_t i = 0; i < b->count; ++i) {
    for (size_t j = 0; j < (size_t)b->counts[i]; ++j) {
      const float x = b->values[i * MOST_VALUES + j];
      const double q = rounded(format, bias, x), off = q - (double)x;
      const double above = (double)x - b->edges[i];
      error += off * off - above * above;
      *size += q * q + (double)x * (double)x;
    }
  }
  return error;
}

static double in_order(const bins *b, const cf_format *format, int bias) {
  double lanes[8] = {0}, error = 0;
  for (size_t i = 0; i < b->count; ++i) {
    const double q = rounded(format, bias, b->inside[i]);
    const double off = fabs(b->edges[i]) - copysign(1.0, b->edges[i]) * q;
    lanes[i % 8] += (b->counts[i] * off + 2.0 * b->sums[i]) * off;
  }
  for (int lane = 0; lane < 8; ++lane) error += lanes[lane];
  return error;
}

static void check_bins(const cf_format *format, size_t count, int threads, uint64_t *state) {
  const int biases = format->bias_max - format->bias_min + 1;
  bins b = any_bins(count, state);
  double found[MOST_BIASES + 1];
  for (int i = 0; i <= biases; ++i) found[i] = 7;
  CHECK(cf_errors_of_bins(format, b.inside, b.edges, b.counts, b.sums, count, found, threads) ==
            CF_OK,
        "refused");
  CHECK(found[biases] == 7, "more than %d biases", biases);
  for (int i = 0; i < biases; ++i) {
    double size;
    const int bias = format->bias_min + i;
    const double expected = in_order(&b, format, bias), error = by_values(&b, format, bias, &size);
    CHECK(found[i] == expected || (isnan(found[i]) && isnan(expected)),
          "%zu bins, bias %d of %d.%d: %a, and not %a", count, bias, format->exponent_bits,
          format->mantissa_bits, found[i], expected);
    CHECK(isfinite(error) ? fabs(found[i] - error) <= 1e-12 * size : !isfinite(found[i]),
          "%zu bins, bias %d of %d.%d: %a, and the values' are %a", count, bias,
          format->exponent_bits, format->mantissa_bits, found[i], error);
  }
  free_bins(&b);
}

void test_bin_errors(void) {
  uint64_t state = 23;
  cf_format none = FORMATS[0];
  double untouched = 7;
  for (int f = 0; f < FORMAT_COUNT; ++f) {
    for (size_t count = 0; count < 40; count += is_brief() ? 13 : 1)
      check_bins(&FORMATS[f], count, 1, &state);
    check_bins(&FORMATS[f], is_thinned() ? 1100 : 5003, 3, &state);
  }
  none.exponent_bits = 0;
  CHECK(cf_errors_of_bins(&none, NULL, NULL, NULL, NULL, 0, &untouched, 1) == CF_BAD_FORMAT &&
            untouched == 7,
        "no format");
}
