/* Columns that are rounded one by one, beside the same by conversions of one element. */
#include <math.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum { ROWS = 5, COLUMNS = 37, GAP = 3 };

static const cf_format FORMATS[] = {
    {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 2, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15},
    {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
};

static double number(uint64_t *state) { return ldexp((double)(int32_t)random_bits(state), -29); }

static size_t size_of(const cf_format *format) {
  return format->exponent_bits + format->mantissa_bits + format->is_signed <= 8 ? 1 : 2;
}

/* The value of the code of a target, which becomes the largest finite magnitude beyond it. */
static double rounded(const cf_format *format, int bias, double target, double largest,
                      void *code) {
  double value = target;
  if (fabs(target) > largest) value = copysign(largest, target);
  CHECK(cf_convert(format, bias, CF_FLOAT64, &value, CF_TIES_TO_EVEN, 0, 0, CF_CODES, code, 1, 1,
                   NULL) == CF_OK,
        "encode");
  CHECK(cf_convert(format, bias, CF_CODES, code, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT64, &value, 1, 1,
                   NULL) == CF_OK,
        "decode");
  return value;
}

static double largest_of(const cf_format *format, int bias) {
  double largest = 0;
  for (unsigned i = 0; i < 1u << (8 * size_of(format)); ++i) {
    const uint16_t code_16 = (uint16_t)i;
    const uint8_t code_8 = (uint8_t)i;
    const void *code = size_of(format) == 1 ? (const void *)&code_8 : &code_16;
    double value;
    cf_convert(format, bias, CF_CODES, code, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT64, &value, 1, 1, NULL);
    if (isfinite(value) && value > largest) largest = value;
  }
  return largest;
}

static void compare(const cf_format *format, double scale, int threads) {
  static double weights[ROWS * (COLUMNS + GAP)], factor[COLUMNS * (COLUMNS + GAP)];
  static double errors[ROWS * (COLUMNS + GAP)], expected[ROWS * (COLUMNS + GAP)];
  static unsigned char codes[2 * ROWS * (COLUMNS + GAP)];
  static int16_t biases[ROWS];
  const size_t size = size_of(format);
  uint64_t state = size + (uint64_t)threads;
  for (int i = 0; i < ROWS * (COLUMNS + GAP); ++i) {
    weights[i] = scale * number(&state);
    expected[i] = errors[i] = scale * number(&state) / 8;
  }
  for (int i = 0; i < COLUMNS * (COLUMNS + GAP); ++i)
    factor[i] = i % (COLUMNS + GAP) < i / (COLUMNS + GAP) ? number(&state) / 8 : (double)NAN;
  for (int i = 0; i < ROWS; ++i)
    biases[i] = (int16_t)(format->bias_min == format->bias_max ? format->bias_min : 6 + i % 3);
  memset(codes, 0xA5, sizeof codes);
  const cf_compensation task = {.rows = ROWS,
                                .columns = COLUMNS,
                                .weights = weights,
                                .weights_step = COLUMNS + GAP,
                                .factor = factor,
                                .factor_step = COLUMNS + GAP,
                                .biases = biases,
                                .bias_steps = {1, 0},
                                .errors = errors,
                                .errors_step = COLUMNS + GAP,
                                .codes = codes,
                                .codes_step = COLUMNS + GAP};
  CHECK(cf_round_compensated(format, &task, threads) == CF_OK, "cf_round_compensated");
  for (int row = 0; row < ROWS; ++row) {
    double *of = expected + row * (COLUMNS + GAP);
    const double *from = weights + row * (COLUMNS + GAP);
    const double largest = largest_of(format, biases[row]);
    for (int k = COLUMNS - 1; k >= 0; --k) {
      uint16_t code = 0;
      const double value = rounded(format, biases[row], from[k] + of[k], largest, &code);
      CHECK(memcmp(codes + size * (size_t)(row * (COLUMNS + GAP) + k), &code, size) == 0,
            "code of row %d, column %d", row, k);
      for (int i = 0; i < k; ++i) of[i] += (from[k] - value) * factor[k * (COLUMNS + GAP) + i];
      of[k] = from[k] - value;
    }
    for (size_t i = 0; i < size * GAP; ++i)
      CHECK(codes[size * (size_t)(row * (COLUMNS + GAP) + COLUMNS) + i] == 0xA5, "beyond codes");
  }
  CHECK(memcmp(errors, expected, sizeof errors) == 0, "errors");
}

void test_compensate(void) {
  for (size_t i = 0; i < sizeof FORMATS / sizeof FORMATS[0]; ++i)
    for (int threads = 1; threads <= 3; ++threads) {
      compare(&FORMATS[i], 1, threads);
      compare(&FORMATS[i], 1e5, threads); /* most are beyond the largest */
    }
  const cf_compensation nothing = {.rows = 0}, negative = {.rows = -1};
  const cf_format wrong = {0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(cf_round_compensated(&FORMATS[0], &nothing, 2) == CF_OK, "no rows");
  CHECK(cf_round_compensated(&FORMATS[0], &negative, 2) == CF_BAD_LAYOUT, "negative rows");
  CHECK(cf_round_compensated(&wrong, &nothing, 1) == CF_BAD_FORMAT, "no format");
}
