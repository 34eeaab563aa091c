/* A step of SGD beside the same in libm's operations, element by element, and conversions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum { GUARD = 64 };

static const cf_format SHP = {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
static const cf_format E5M2 = {5, 2, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15};

typedef struct setting {
  const cf_format *format;
  int bias, new_bias, has_momentum, rounding, maximizes, is_nesterov;
  float decay, kept, weight;
} setting;

static const setting SETTINGS[] = {
    {&SHP, 20, 22, 1, CF_STOCHASTIC, 0, 0, 0, 0.9f, 1},
    {&SHP, 0, 15, 0, CF_STOCHASTIC, 0, 0, 0.01f, 0.9f, 0.5f},
    {&SHP, 40, 3, 1, CF_TIES_TO_EVEN, 1, 1, 0.1f, 0.7f, 1},
    {&E5M2, 15, 15, 1, CF_TOWARD_POSITIVE, 0, 0, 0.3f, 0.99f, 0.1f},
    {&E5M2, 15, 15, 0, CF_STOCHASTIC, 1, 1, 0, 0.9f, 1},
};
enum { SETTINGS_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };

static float positive_nan(float x) { return x == x ? x : (float)NAN; }

/* Numbers of many magnitudes, with some that are special. */
static float number(uint64_t *state) {
  static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 3e38f, -1e-39f};
  const uint64_t bits = random_bits(state);
  if (bits % 64 == 0) return special[bits / 64 % 8];
  return ldexpf((float)(int32_t)(bits >> 32), (int)(bits / 64 % 40) - 50);
}

static void sgd(const setting *how, size_t count, int threads) {
  uint64_t state = count + 19 * (uint64_t)(how - SETTINGS);
  const size_t bytes = count * (how->format == &SHP ? 2 : 1);
  float *gradient = allocate((count + 1) * sizeof *gradient);
  float *parameter = allocate((count + 1) * sizeof *parameter);
  float *expected = allocate((count + 1) * sizeof *expected);
  float *momentum = allocate((count + 1) * sizeof *momentum), peak = -1, expected_peak = 0;
  unsigned char *codes = allocate(bytes + GUARD), *expected_codes = allocate(bytes + 1);
  const cf_sgd step = {.count = (int64_t)count,
                       .gradient = gradient,
                       .parameter = parameter,
                       .momentum = {how->format, codes, how->bias, how->new_bias, 77},
                       .offset = 4 * count + 3,
                       .has_momentum = how->has_momentum,
                       .rounding = how->rounding,
                       .maximizes = how->maximizes,
                       .is_nesterov = how->is_nesterov,
                       .decay = how->decay,
                       .kept = how->kept,
                       .weight = how->weight,
                       .rate = 0.02f};
  memset(codes, 0xA5, bytes + GUARD);
  for (size_t i = 0; i < bytes; ++i) codes[i] = (unsigned char)random_bits(&state);
  for (size_t i = 0; i < count; ++i) {
    gradient[i] = number(&state);
    expected[i] = parameter[i] = number(&state);
  }
  gradient[count] = parameter[count] = 12345;
  cf_convert(how->format, how->bias, CF_CODES, codes, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT32, momentum,
             count, 1, NULL);
  for (size_t i = 0; i < count; ++i) {
    float g = how->maximizes ? -gradient[i] : gradient[i];
    if (how->decay != 0) g = fmaf(how->decay, expected[i], g);
    const float made = how->has_momentum ? fmaf(how->weight, g, momentum[i] * how->kept) : g;
    const float change = how->is_nesterov ? fmaf(how->kept, made, g) : made;
    expected[i] = positive_nan(fmaf(-step.rate, change, expected[i]));
    momentum[i] = positive_nan(made);
    if (isfinite(made)) expected_peak = fmaxf(expected_peak, fabsf(made));
  }
  CHECK(cf_sgd_peak(&step, &peak, threads) == CF_OK, "peak");
  CHECK(peak == expected_peak, "peak %g, expected %g; setting %d, %zu elements", (double)peak,
        (double)expected_peak, (int)(how - SETTINGS), count);
  CHECK(cf_sgd_update(&step, threads) == CF_OK, "update");
  CHECK(memcmp(parameter, expected, count * sizeof *parameter) == 0,
        "parameters; setting %d, %zu elements, %d threads", (int)(how - SETTINGS), count, threads);
  CHECK(gradient[count] == 12345 && parameter[count] == 12345, "beyond the end of %zu", count);
  cf_convert(how->format, how->new_bias, CF_FLOAT32, momentum, how->rounding, 77, step.offset,
             CF_CODES, expected_codes, count, 1, NULL);
  CHECK(memcmp(codes, expected_codes, bytes) == 0, "codes; setting %d, %zu elements, %d threads",
        (int)(how - SETTINGS), count, threads);
  for (size_t i = 0; i < GUARD; ++i) CHECK(codes[bytes + i] == 0xA5, "byte %zu beyond codes", i);
  free(gradient);
  free(parameter);
  free(expected);
  free(momentum);
  free(codes);
  free(expected_codes);
}

static void refused(void) {
  uint16_t code = 0;
  float gradient = 1, parameter = 2, peak;
  const cf_sgd good = {.count = 1,
                       .gradient = &gradient,
                       .parameter = &parameter,
                       .momentum = {&SHP, &code, 15, 15, 0},
                       .has_momentum = 1,
                       .weight = 1};
  cf_format none = SHP;
  none.exponent_bits = 30;
  cf_sgd bad = good;
  bad.momentum.format = &none;
  CHECK(cf_sgd_update(&bad, 1) == CF_BAD_FORMAT, "format");
  CHECK(cf_sgd_peak(&bad, &peak, 1) == CF_BAD_FORMAT, "format");
  bad = good;
  bad.momentum.bias = 64;
  CHECK(cf_sgd_peak(&bad, &peak, 1) == CF_BAD_BIAS, "bias");
  bad.has_momentum = 0;
  CHECK(cf_sgd_peak(&bad, &peak, 1) == CF_OK, "which is of nothing");
  bad = good;
  bad.momentum.new_bias = -1;
  CHECK(cf_sgd_update(&bad, 1) == CF_BAD_BIAS, "new bias");
  CHECK(cf_sgd_peak(&bad, &peak, 1) == CF_OK, "which the peak takes no notice of");
  bad = good;
  bad.rounding = 99;
  CHECK(cf_sgd_update(&bad, 1) == CF_BAD_ROUNDING, "rounding");
  bad = good;
  bad.count = -1;
  CHECK(cf_sgd_update(&bad, 1) == CF_BAD_LAYOUT, "count");
  CHECK(parameter == 2 && code == 0, "nothing was written");
}

void test_sgd(void) {
  static const size_t counts[] = {0, 1, 3, 15, 16, 17, 100, 2047, 2048, 2049, 5000};
  for (int i = 0; i < SETTINGS_COUNT; ++i) {
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; ++k) sgd(&SETTINGS[i], counts[k], 2);
    sgd(&SETTINGS[i], 200001, 3);
  }
  for (int direction = CF_MODE_NEAREST; direction <= CF_MODE_TOWARD_ZERO; ++direction) {
    float gradient[40], parameter[2][40];
    uint16_t codes[2][40];
    uint64_t state = 5, before;
    for (int i = 0; i < 40; ++i) {
      gradient[i] = number(&state);
      parameter[0][i] = parameter[1][i] = number(&state);
      codes[0][i] = codes[1][i] = (uint16_t)random_bits(&state);
    }
    for (int k = 0; k < 2; ++k) {
      const cf_sgd step = {.count = 40,
                           .gradient = gradient,
                           .parameter = parameter[k],
                           .momentum = {&SHP, codes[k], 20, 20, 1},
                           .has_momentum = 1,
                           .rounding = CF_STOCHASTIC,
                           .decay = 0.1f,
                           .kept = 0.9f,
                           .weight = 0.3f,
                           .rate = 0.01f};
      CHECK(cf_float_modes_enter(&before) == CF_OK, "modes");
      if (k == 1) cf_float_modes_set(direction, 1);
      CHECK(cf_sgd_update(&step, 1) == CF_OK, "in mode %d", direction);
      cf_float_modes_leave(before);
    }
    CHECK(memcmp(parameter[0], parameter[1], sizeof parameter[0]) == 0, "mode %d", direction);
    CHECK(memcmp(codes[0], codes[1], sizeof codes[0]) == 0, "mode %d", direction);
  }
  refused();
}
