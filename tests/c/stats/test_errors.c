/* Errors of rounding: against core/scalar.h, value by value, and added up in the order that
 * cfloat_api.h gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/scalar.h"
#include "support/check.h"
#include "support/rounded.h"
#include "support/tests.h"

static const cf_format FORMATS[] = {
    {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 2, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {6, 10, 0, CF_NONFINITE_IEEE, CF_SUBNORMALS_FLUSH, 0, 31, 31},
    {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 0, 63},
    {4, 3, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 0, 7, 7},
    {5, 2, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15},
    {8, 7, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127},
    {5, 10, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15},
    {2, 1, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_FLUSH, 1, -100, 120},
    {3, 0, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_WHITEPAPER, 0, -30, 130},
    {4, 3, 0, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, -20, 100},
    {1, 13, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, -100, 130},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof FORMATS[0], MOST_BIASES = 300 };

/* Values in and around a format's range: few bits of mantissa, as ties and values of the grid have,
 * or all; and now and then what is left out. */
static float any_value(const cf_format *format, uint64_t *state) {
  const int top = cf_format_max_exponent_field(format) + 3;
  const int exponent =
      (int)random_below(state, (uint64_t)top + 40) - 20 - format->bias_min -
      (int)random_below(state, (uint64_t)(format->bias_max - format->bias_min) + 1);
  const uint64_t bits = 1 + random_below(state, 24);
  const double mantissa = (double)(random_bits(state) >> (64 - bits));
  const double x = ldexp(mantissa, exponent - (int)bits + 1);
  switch (random_below(state, 40)) {
    case 0: return 0;
    case 1: return (float)INFINITY;
    case 2: return (float)NAN;
    case 3: return (float)ldexp(1, -149);
    default: break;
  }
  if (x > 3e38) return 1;
  return (float)(random_bits(state) & 1 ? -x : x);
}

static double in_order(const double *squares, size_t count) {
  double total = 0;
  for (size_t first = 0; first < count; first += 4096) {
    double s[8] = {0};
    for (size_t i = first; i < count && i < first + 4096; ++i) s[(i - first) % 8] += squares[i];
    total += ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
  return total;
}

static void check_sums(const cf_format *format, size_t count, uint64_t *state) {
  float *values = allocate(count * sizeof *values);
  double *squares = allocate(count * sizeof *squares);
  double found[MOST_BIASES];
  for (size_t i = 0; i < count; ++i) values[i] = any_value(format, state);
  CHECK(cf_errors_at_biases(format, CF_FLOAT32, values, count, 0, found, 2) == CF_OK, "refused");
  for (int bias = format->bias_min; bias <= format->bias_max; ++bias) {
    cf_rounding_stats stats = {0}, expected = {0};
    for (size_t i = 0; i < count; ++i) {
      const double x = (double)values[i], q = rounded(format, bias, values[i]);
      squares[i] = 0;
      if (!isfinite(values[i])) continue;
      squares[i] = (q - x) * (q - x);
      ++expected.finite;
      if (!isfinite(q)) {
        ++expected.overflowed;
        squares[i] = (double)INFINITY;
      }
      if (x != 0 && q == 0) ++expected.underflowed;
    }
    const double sum = in_order(squares, count);
    CHECK(sum == found[bias - format->bias_min], "%zu values, bias %d of %d.%d: %a, and not %a",
          count, bias, format->exponent_bits, format->mantissa_bits, found[bias - format->bias_min],
          sum);
    CHECK(cf_rounding_errors(format, bias, values, count, &stats) == CF_OK, "refused");
    CHECK(stats.finite == expected.finite && stats.overflowed == expected.overflowed &&
              stats.underflowed == expected.underflowed,
          "counts of %zu values, bias %d of %d.%d", count, bias, format->exponent_bits,
          format->mantissa_bits);
    if (expected.overflowed == 0)
      CHECK(stats.noise == sum, "noise of %zu values, bias %d of %d.%d: %a, and not %a", count,
            bias, format->exponent_bits, format->mantissa_bits, stats.noise, sum);
  }
  free(values);
  free(squares);
}

static void check_search(const cf_format *format, int64_t rows, int64_t length, int64_t block,
                         uint64_t *state) {
  const int64_t blocks = (length + block - 1) / block, stride = length + 3;
  float *values = allocate((size_t)(rows * stride) * sizeof *values);
  int16_t *biases = allocate((size_t)(rows * blocks) * sizeof *biases);
  double *errors = allocate((size_t)(rows * blocks) * sizeof *errors), all[MOST_BIASES];
  for (int64_t i = 0; i < rows * stride; ++i) values[i] = any_value(format, state);
  const int preferred =
      format->bias_min +
      (int)random_below(state, (uint64_t)(format->bias_max - format->bias_min) + 1);
  CHECK(cf_least_errors(format, preferred, CF_FLOAT32, values, rows, length,
                        stride * (int64_t)sizeof *values, block, 0, biases, errors, 3) == CF_OK,
        "refused");
  for (int64_t i = 0; i < rows * blocks; ++i) {
    const int64_t first = i % blocks * block, left = length - first;
    double least = (double)INFINITY;
    cf_errors_at_biases(format, CF_FLOAT32, values + i / blocks * stride + first,
                        (size_t)(left < block ? left : block), 0, all, 1);
    for (int bias = format->bias_min; bias <= format->bias_max; ++bias)
      if (all[bias - format->bias_min] < least) least = all[bias - format->bias_min];
    CHECK(errors[i] == all[biases[i] - format->bias_min], "group %d: %a, and not %a", (int)i,
          errors[i], all[biases[i] - format->bias_min]);
    /* what is less by roundings alone may not be less */
    CHECK(errors[i] <= least * (1 + ldexp(1, -40)), "group %d: %a at bias %d, and %a", (int)i,
          errors[i], biases[i], least);
    /* a nearer one of fewer errors there is not */
    for (int bias = format->bias_min; bias <= format->bias_max; ++bias)
      CHECK(!(all[bias - format->bias_min] == least && errors[i] == least &&
              abs(bias - preferred) < abs(biases[i] - preferred) && least == 0),
            "group %d: bias %d, and %d is nearer %d", (int)i, biases[i], bias, preferred);
  }
  free(values);
  free(biases);
  free(errors);
}

void test_errors(void) {
  uint64_t state = 17;
  const float one = 1;
  const double wide = 1e300;
  int16_t bias;
  double error;
  for (int f = 0; f < FORMAT_COUNT; ++f) {
    for (size_t count = 1; count < 100; count += is_brief() ? 33 : 1)
      check_sums(&FORMATS[f], count, &state);
    if (!is_brief()) check_sums(&FORMATS[f], 4097 + (size_t)random_below(&state, 5000), &state);
    check_search(&FORMATS[f], 5, 100, 7, &state);
    check_search(&FORMATS[f], 4, 64, 64, &state);
    check_search(&FORMATS[f], 1, is_brief() ? 500 : 5000, 1000000, &state);
  }
  CHECK(cf_least_errors(&FORMATS[0], 64, CF_FLOAT32, &one, 1, 1, 4, 1, 0, &bias, &error, 1) ==
            CF_BAD_BIAS,
        "a default beyond the range");
  CHECK(cf_least_errors(&FORMATS[0], 7, CF_FLOAT16, &one, 1, 1, 4, 1, 0, &bias, &error, 1) ==
            CF_BAD_TYPE,
        "a type that is not read");
  CHECK(cf_least_errors(&FORMATS[0], 7, CF_FLOAT32, &one, 1, 1, 4, 0, 0, &bias, &error, 1) ==
            CF_BAD_LAYOUT,
        "blocks of nothing");
  CHECK(cf_least_errors(&FORMATS[0], 7, CF_FLOAT64, &wide, 1, 1, 8, 1, 997, &bias, &error, 1) ==
                CF_OK &&
            bias == 0 && fabs(error - ldexp(1e300, -997) * ldexp(1e300, -997)) < 1e-3 * error,
        "1e300: bias %d, error %a", bias, error);
}
