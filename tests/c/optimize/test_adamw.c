/* A step of AdamW beside the same in libm's operations, element by element, and conversions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum { GUARD = 64 };

static const cf_format SHP = {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
static const cf_format UHP = {6, 10, 0, CF_NONFINITE_IEEE, CF_SUBNORMALS_FLUSH, 0, 31, 31};
static const cf_format E5M2 = {5, 2, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15};
/* beyond what vectors take */
static const cf_format WIDE = {8, 7, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127};

typedef struct setting {
  const cf_format *formats[2];
  int biases[2], new_biases[2], scale, new_scale, has_moments, rounding;
  float first_weight;
  int close; /* all of some magnitudes, so that many elements come near the peaks */
} setting;

static const setting SETTINGS[] = {
    {{&SHP, &UHP}, {20, 31}, {22, 31}, 12, -3, 1, CF_STOCHASTIC, 0.1f, 0},
    {{&SHP, &UHP}, {0, 0}, {15, 31}, 0, 20, 0, CF_STOCHASTIC, 0.1f, 0},
    {{&E5M2, &SHP}, {15, 63}, {15, 0}, 126, -126, 1, CF_TIES_TO_EVEN, 0.7f, 0},
    {{&WIDE, &E5M2}, {127, 15}, {127, 15}, 1, 1, 1, CF_TOWARD_POSITIVE, 0.5f, 0},
    {{&SHP, &UHP}, {20, 31}, {22, 31}, 12, -3, 1, CF_TO_ODD, 1.0f, 0},
    {{&SHP, &UHP}, {20, 31}, {22, 31}, 20, 18, 1, CF_STOCHASTIC, 0.1f, 1},
    {{&E5M2, &UHP}, {15, 31}, {15, 31}, 22, 0, 1, CF_TIES_TO_EVEN, 0.9f, 1},
};
enum { SETTINGS_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };

static size_t size_of(const cf_format *format) {
  return format->exponent_bits + format->mantissa_bits + format->is_signed <= 8 ? 1 : 2;
}

static float positive_nan(float x) { return x == x ? x : (float)NAN; }

static float finite_magnitude(float x) { return isfinite(x) ? fabsf(x) : 0; }

/* Numbers of many magnitudes, with some that are special. */
static float number(uint64_t *state) {
  static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, 3e38f, -1e-39f};
  const uint64_t bits = random_bits(state);
  if (bits % 64 == 0) return special[bits / 64 % 8];
  return ldexpf((float)(int32_t)(bits >> 32), (int)(bits / 64 % 40) - 50);
}

/* Sums of some: most are far below the largest, and none is special. */
static float close_number(uint64_t *state) {
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += ldexpf((float)(int32_t)(random_bits(state) >> 32), -31);
  return sum;
}

static void adamw(const setting *how, size_t count, int threads) {
  uint64_t state = count + 17 * (uint64_t)(how - SETTINGS);
  float *gradient = allocate((count + 1) * sizeof *gradient);
  float *parameter = allocate((count + 1) * sizeof *parameter);
  float *expected = allocate((count + 1) * sizeof *expected);
  float *moments[2], peaks[2] = {-1, -1}, expected_peaks[2] = {0, 0};
  unsigned char *codes[2], *expected_codes[2];
  cf_adamw step = {.count = (int64_t)count,
                   .gradient = gradient,
                   .parameter = parameter,
                   .offset = 4 * count + 3,
                   .has_moments = how->has_moments,
                   .scale = how->scale,
                   .new_scale = how->new_scale,
                   .rounding = how->rounding,
                   .first_weight = how->first_weight,
                   .second_decay = 0.99f,
                   .second_weight = 0.01f,
                   .decay = 0.999f,
                   .rate = 0.02f,
                   .root_scale = 1.7f,
                   .eps = 1e-8f};
  for (size_t i = 0; i < count; ++i) {
    gradient[i] = how->close ? close_number(&state) : number(&state);
    expected[i] = parameter[i] = number(&state);
  }
  gradient[count] = parameter[count] = 12345;
  for (int k = 0; k < 2; ++k) {
    const cf_format *format = how->formats[k];
    const size_t size = size_of(format);
    moments[k] = allocate(count * sizeof *moments[k]);
    codes[k] = allocate(count * size + GUARD);
    expected_codes[k] = allocate(count * size);
    memset(codes[k], 0xA5, count * size + GUARD);
    memset(moments[k], 0, count * sizeof *moments[k]);
    for (size_t i = 0; how->has_moments && i < count * size; ++i)
      codes[k][i] = (unsigned char)random_bits(&state);
    if (how->close) {
      for (size_t i = 0; i < count; ++i) {
        const float close = close_number(&state);
        moments[k][i] = k == 0 ? close / 2 : ldexpf(close * close, how->scale);
      }
      cf_convert(format, how->biases[k], CF_FLOAT32, moments[k], CF_TIES_TO_EVEN, 0, 0, CF_CODES,
                 codes[k], count, 1, NULL);
    }
    if (how->has_moments)
      cf_convert(format, how->biases[k], CF_CODES, codes[k], CF_TIES_TO_EVEN, 0, 0, CF_FLOAT32,
                 moments[k], count, 1, NULL);
    const cf_moment moment = {format, codes[k], how->biases[k], how->new_biases[k],
                              77 + (uint64_t)k};
    step.moments[k] = moment;
  }
  for (size_t i = 0; i < count; ++i) {
    const float g = gradient[i], w = how->first_weight, old = moments[0][i];
    const float first = w < 0.5f ? fmaf(w, g - old, old) : fmaf(w - 1, g - old, g);
    const float decayed = moments[1][i] * ldexpf(1, -how->scale) * step.second_decay;
    const float second = fmaf(step.second_weight * g, g, decayed);
    const float change = first / (sqrtf(second) * step.root_scale + step.eps);
    expected[i] = positive_nan(fmaf(change, -step.rate, expected[i] * step.decay));
    expected_peaks[0] = fmaxf(expected_peaks[0], finite_magnitude(first));
    expected_peaks[1] = fmaxf(expected_peaks[1], finite_magnitude(second));
    moments[0][i] = positive_nan(first);
    moments[1][i] = positive_nan(second * ldexpf(1, how->new_scale));
  }
  CHECK(cf_adamw_peaks(&step, peaks, threads) == CF_OK, "peaks");
  CHECK(memcmp(peaks, expected_peaks, sizeof peaks) == 0, "peaks %g %g, expected %g %g; %zu",
        (double)peaks[0], (double)peaks[1], (double)expected_peaks[0], (double)expected_peaks[1],
        count);
  CHECK(cf_adamw_update(&step, threads) == CF_OK, "update");
  CHECK(memcmp(parameter, expected, count * sizeof *parameter) == 0,
        "parameters; setting %d, %zu elements, %d threads", (int)(how - SETTINGS), count, threads);
  CHECK(gradient[count] == 12345 && parameter[count] == 12345, "beyond the end of %zu", count);
  for (int k = 0; k < 2; ++k) {
    const size_t bytes = count * size_of(how->formats[k]);
    cf_convert(how->formats[k], how->new_biases[k], CF_FLOAT32, moments[k], how->rounding,
               77 + (uint64_t)k, step.offset, CF_CODES, expected_codes[k], count, 1, NULL);
    CHECK(memcmp(codes[k], expected_codes[k], bytes) == 0,
          "codes of moment %d; setting %d, %zu elements, %d threads", k, (int)(how - SETTINGS),
          count, threads);
    for (size_t i = 0; i < GUARD; ++i)
      CHECK(codes[k][bytes + i] == 0xA5, "byte %zu beyond moment %d", i, k);
    free(moments[k]);
    free(codes[k]);
    free(expected_codes[k]);
  }
  free(gradient);
  free(parameter);
  free(expected);
}

static void refused(void) {
  uint16_t first = 0, second = 0;
  float gradient = 1, parameter = 2, peaks[2];
  const cf_adamw good = {.count = 1,
                         .gradient = &gradient,
                         .parameter = &parameter,
                         .moments = {{&SHP, &first, 15, 15, 0}, {&UHP, &second, 31, 31, 0}},
                         .has_moments = 1,
                         .first_weight = 0.1f};
  cf_format none = SHP;
  none.exponent_bits = 30;
  cf_adamw bad = good;
  bad.moments[1].format = &none;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_FORMAT, "format");
  CHECK(cf_adamw_peaks(&bad, peaks, 1) == CF_BAD_FORMAT, "format");
  bad = good;
  bad.moments[0].bias = 64;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_BIAS, "bias");
  bad = good;
  bad.moments[1].new_bias = 30;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_BIAS, "new bias");
  CHECK(cf_adamw_peaks(&bad, peaks, 1) == CF_OK, "which peaks take no notice of");
  bad = good;
  bad.scale = CF_ADAMW_MAX_SCALE + 1;
  CHECK(cf_adamw_peaks(&bad, peaks, 1) == CF_BAD_BIAS, "scale");
  bad = good;
  bad.new_scale = -CF_ADAMW_MAX_SCALE - 1;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_BIAS, "new scale");
  bad = good;
  bad.rounding = 99;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_ROUNDING, "rounding");
  bad = good;
  bad.count = -1;
  CHECK(cf_adamw_update(&bad, 1) == CF_BAD_LAYOUT, "count");
  CHECK(parameter == 2 && first == 0 && second == 0, "nothing was written");
}

void test_adamw(void) {
  static const size_t counts[] = {0, 1, 3, 15, 16, 17, 100, 2047, 2048, 2049, 5000};
  for (int i = 0; i < SETTINGS_COUNT; ++i) {
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; ++k) adamw(&SETTINGS[i], counts[k], 2);
    adamw(&SETTINGS[i], 200001, 3);
  }
  for (int direction = CF_MODE_NEAREST; direction <= CF_MODE_TOWARD_ZERO; ++direction) {
    /* what the test computes itself is in default modes: what is compared are two calls */
    float gradient[40], parameter[2][40];
    uint16_t first[2][40], second[2][40];
    uint64_t state = 5, before;
    for (int i = 0; i < 40; ++i) {
      gradient[i] = number(&state);
      parameter[0][i] = parameter[1][i] = number(&state);
      first[0][i] = first[1][i] = (uint16_t)random_bits(&state);
      second[0][i] = second[1][i] = (uint16_t)random_bits(&state);
    }
    for (int k = 0; k < 2; ++k) {
      const cf_adamw step = {.count = 40,
                             .gradient = gradient,
                             .parameter = parameter[k],
                             .moments = {{&SHP, first[k], 20, 20, 1}, {&UHP, second[k], 31, 31, 2}},
                             .has_moments = 1,
                             .rounding = CF_STOCHASTIC,
                             .first_weight = 0.1f,
                             .second_decay = 0.9f,
                             .second_weight = 0.1f,
                             .decay = 0.99f,
                             .rate = 0.01f,
                             .root_scale = 1.1f,
                             .eps = 1e-8f};
      CHECK(cf_float_modes_enter(&before) == CF_OK, "modes");
      if (k == 1) cf_float_modes_set(direction, 1);
      CHECK(cf_adamw_update(&step, 1) == CF_OK, "in mode %d", direction);
      cf_float_modes_leave(before);
    }
    CHECK(memcmp(parameter[0], parameter[1], sizeof parameter[0]) == 0, "mode %d", direction);
    CHECK(memcmp(first[0], first[1], sizeof first[0]) == 0, "mode %d", direction);
    CHECK(memcmp(second[0], second[1], sizeof second[0]) == 0, "mode %d", direction);
  }
  refused();
}
