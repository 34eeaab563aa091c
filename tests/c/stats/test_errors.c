/* Errors of rounding: against core/scalar.h, value by value, and added up in the order that
 * cfloat_api.h gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/scalar.h"
#include "stats/error_kernels.h"
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
    {2, 1, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, -100, 120},
    {2, 0, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, -100, 120},
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

/* An exponent of the largest values: around those that a format can scale to its own, and nearer 0
 * than most of them. */
static int any_exponent(const cf_format *format, uint64_t *state) {
  const int field = cf_format_max_exponent_field(format);
  const int low = field - format->bias_max - 2, high = field - format->bias_min + 2;
  const int exponent = (int)random_below(state, 60) - 30;
  return exponent < low ? low : exponent > high ? high : exponent;
}

/* Values of groups as most are: of one size, with few bits or all, and here and there a zero, one
 * that is small, or one that is not finite. */
static float usual_value(int exponent, int bits, uint64_t *state) {
  const double x = (double)(random_bits(state) >> 11) * 0x1p-52 - 1;
  const double cut = ldexp(nearbyint(ldexp(x * x * x, bits)), exponent - bits);
  switch (random_below(state, 100)) {
    case 0: return 0;
    case 1: return (float)ldexp(cut, -12);
    case 2: return random_below(state, 20) == 0 ? (float)INFINITY : 1;
    default: return (float)cut;
  }
}

/* The other sums and counts of a bias at which none overflows. */
static void check_stats(const cf_format *format, int bias, const float *values, size_t count,
                        const cf_rounding_stats *found) {
  const cf_params params = cf_format_params(format);
  const int m = params.mantissa_bits;
  const double fraction = (double)(params.max_code & (((uint64_t)1 << m) - 1));
  const double max = ldexp(1 + ldexp(fraction, -m), (int)(params.max_code >> m) - bias);
  double *terms[3], sums[3];
  cf_rounding_stats expected = {0};
  for (int k = 0; k < 3; ++k) terms[k] = allocate(count * sizeof *terms[k]);
  for (size_t i = 0; i < count; ++i) {
    const double x = (double)values[i], q = rounded(format, bias, values[i]);
    const double off = isfinite(x) ? fabs(q - x) : 0;
    terms[0][i] = isfinite(x) ? x * x : 0;
    terms[1][i] = isfinite(x) ? x * q : 0;
    terms[2][i] = isfinite(x) ? q * q : 0;
    if (!isfinite(x)) continue;
    if (off > expected.max_abs) expected.max_abs = off;
    if (x != 0 && off / fabs(x) > expected.max_rel) expected.max_rel = off / fabs(x);
    expected.saturated += fabs(x) > max;
    expected.subnormal += q != 0 && fabs(q) < ldexp(1, 1 - bias);
  }
  for (int k = 0; k < 3; ++k) {
    sums[k] = in_order(terms[k], count);
    free(terms[k]);
  }
  CHECK(found->signal == sums[0] && found->product == sums[1] && found->rounded == sums[2],
        "sums of %zu values, bias %d of %d.%d: %a, %a, %a, and not %a, %a, %a", count, bias,
        format->exponent_bits, m, found->signal, found->product, found->rounded, sums[0], sums[1],
        sums[2]);
  CHECK(found->max_abs == expected.max_abs && found->max_rel == expected.max_rel,
        "%zu values, bias %d of %d.%d: off by %a and %a, and not %a and %a", count, bias,
        format->exponent_bits, m, found->max_abs, found->max_rel, expected.max_abs,
        expected.max_rel);
  CHECK(found->saturated == expected.saturated && found->subnormal == expected.subnormal,
        "%zu values, bias %d of %d.%d: %d saturate and %d are subnormal, and not %d and %d", count,
        bias, format->exponent_bits, m, (int)found->saturated, (int)found->subnormal,
        (int)expected.saturated, (int)expected.subnormal);
}

static void check_sums(const cf_format *format, size_t count, int is_usual, uint64_t *state) {
  float *values = allocate(count * sizeof *values);
  double *squares = allocate(count * sizeof *squares);
  double found[MOST_BIASES];
  const int exponent = any_exponent(format, state);
  for (size_t i = 0; i < count; ++i)
    values[i] = is_usual ? usual_value(exponent, 24, state) : any_value(format, state);
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
    if (is_usual && expected.overflowed == 0) check_stats(format, bias, values, count, &stats);
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

/* A large value that is best given up for many that are close to each other; but for some that are
 * not much smaller. */
static void fill_close(float *values, int64_t count, int64_t first, int64_t last, int exponent) {
  for (int64_t i = 0; i < count; ++i)
    values[i] = (float)ldexp(i == first ? 1600 : i > first && i < last ? 1000 : 112, exponent - 10);
}

/* Groups that are searched side by side have what each has by itself. */
static void check_groups(const cf_format *format, int64_t size, uint64_t *state) {
  enum { GROUPS = 37 };
  const int64_t length = GROUPS * size + 2;
  float *values = allocate((size_t)length * sizeof *values);
  int16_t biases[GROUPS + 2], bias, chosen[GROUPS + 2];
  double errors[GROUPS + 2], error;
  const int span = format->bias_max - format->bias_min + 1;
  const int preferred = format->bias_min + (int)random_below(state, (uint64_t)span);
  const int top = any_exponent(format, state);
  const int bits = 3 + (int)random_below(state, 22);
  const int64_t strides[] = {(int64_t)sizeof *values};
  for (int64_t i = 0; i < length; ++i)
    values[i] = usual_value(top - (int)(i / size % 3), bits, state);
  fill_close(values, size, size / 2, size / 2 + 1, top);
  CHECK(cf_least_errors(format, preferred, CF_FLOAT32, values, 1, length, 0, size, 0, biases,
                        errors, 1) == CF_OK,
        "refused");
  CHECK(cf_choose_biases(format, preferred, CF_CHOOSE_MSE, 0, CF_FLOAT32, 0, values, 1, &length,
                         strides, &size, chosen, 1) == CF_OK,
        "refused");
  for (int64_t i = 0; i < GROUPS; ++i) {
    cf_least_errors(format, preferred, CF_FLOAT32, values + i * size, 1, size, 0, size, 0, &bias,
                    &error, 1);
    CHECK(biases[i] == bias && chosen[i] == bias && errors[i] == error,
          "group %d of %d values, %d.%d: bias %d and %d, error %a; by itself %d, %a", (int)i,
          (int)size, format->exponent_bits, format->mantissa_bits, biases[i], chosen[i], errors[i],
          bias, error);
  }
  free(values);
}

/* Of a row the bias is the best of all by exact sums: the values are few and have few bits, so that
 * float64 has their sums. */
static void check_best(const cf_format *format, int64_t length, int kind, uint64_t *state) {
  float *values = allocate((size_t)length * sizeof *values);
  double all[MOST_BIASES], error;
  int16_t bias;
  const uint64_t spread = 1 + random_below(state, 14);
  const int span = format->bias_max - format->bias_min + 1;
  const int preferred = format->bias_min + (int)random_below(state, (uint64_t)span);
  const int top = any_exponent(format, state);
  for (int64_t i = 0; i < length; ++i)
    values[i] =
        (float)ldexp((double)(random_below(state, 32) << random_below(state, spread)), top - 18);
  if (kind == 1) fill_close(values, length, length / 9, length / 9 + length * 22 / 100, top);
  /* many small values, and at the end large ones that weigh more */
  for (int64_t i = 0; kind == 2 && i < length; ++i)
    values[i] = (float)ldexp(i < length / 5 + 200 ? 112 : i < length - 30 ? 512 : 3000, top - 10);
  CHECK(cf_least_errors(format, preferred, CF_FLOAT32, values, 1, length, 0, length, 0, &bias,
                        &error, 1) == CF_OK,
        "refused");
  cf_errors_at_biases(format, CF_FLOAT32, values, (size_t)length, 0, all, 1);
  int best = preferred;
  for (int b = format->bias_min; b <= format->bias_max; ++b) {
    const double at_b = all[b - format->bias_min], at_best = all[best - format->bias_min];
    const int further = abs(b - preferred) - abs(best - preferred);
    if (at_b < at_best || (at_b == at_best && (further < 0 || (further == 0 && b < best))))
      best = b;
  }
  CHECK(bias == best && error == all[best - format->bias_min],
        "%d values, %d.%d: bias %d and %a, and not %d and %a", (int)length, format->exponent_bits,
        format->mantissa_bits, bias, error, best, all[best - format->bias_min]);
  free(values);
}

/* Squares are copied with rows for columns, from and to where nothing is aligned. */
static void check_turn(uint64_t *state) {
  enum { ROW = 4 * CF_TURNED + 7, COLUMN = 4 * CF_TURNED + 3, ROOM = CF_TURNED * ROW };
  const cf_error_kernels *kernels = cf_active_error_kernels();
  char from[ROOM], to[ROOM] = {0}, expected[ROOM] = {0};
  CHECK((kernels->turn != NULL) == (kernels->search_groups != NULL), "one without the other");
  if (kernels->turn == NULL) return;
  for (int i = 0; i < ROOM; ++i) from[i] = (char)random_below(state, 256);
  for (int i = 0; i < CF_TURNED; ++i)
    for (int j = 0; j < CF_TURNED; ++j)
      memcpy(expected + 1 + j * COLUMN + 4 * i, from + 1 + i * ROW + 4 * j, 4);
  kernels->turn(from + 1, ROW, to + 1, COLUMN);
  CHECK(memcmp(to, expected, sizeof to) == 0, "rows are not columns");
}

void test_errors(void) {
  uint64_t state = 17;
  const float one = 1;
  const double wide = 1e300;
  int16_t bias;
  double error;
  check_turn(&state);
  for (int f = 0; f < FORMAT_COUNT; ++f) {
    for (size_t count = 1; count < 100; count += is_brief() ? 33 : 1)
      check_sums(&FORMATS[f], count, count % 2 == 0, &state);
    if (!is_brief())
      check_sums(&FORMATS[f], 4097 + (size_t)random_below(&state, 2000), f % 2, &state);
    check_search(&FORMATS[f], 5, 100, 7, &state);
    check_search(&FORMATS[f], 4, 64, 64, &state);
    check_search(&FORMATS[f], 1, is_brief() ? 500 : 5000, 1000000, &state);
    for (int kind = 1; kind < 3 && !is_brief(); ++kind)
      check_best(&FORMATS[f], 20011, kind, &state);
    for (int64_t size = 1; size < 135; size += is_brief() ? 31 : 3) {
      check_groups(&FORMATS[f], size, &state);
      check_best(&FORMATS[f], 7 * size, (int)(size % 2), &state);
    }
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
