/* Schemes of codes and scales: against one element after the other, the same bits everywhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

static const cf_format e4m3 = {4, 3, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 1, 7, 7};
static const cf_format e2m1 = {2, 1, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 1, 1};

static cf_scheme scheme_of(cf_format format, int integer_bits, int scale, int granularity,
                           int block) {
  const cf_scheme scheme = {format, format.bias_min, integer_bits, scale, granularity, block};
  return scheme;
}

static float element(uint64_t *state) {
  const float significand = (float)(int)random_below(state, 2001) - 1000;
  return ldexpf(significand, (int)random_below(state, 20));
}

/* The largest magnitude of some rows and columns. */
static float peak_of(const float *values, int64_t length, int64_t row, int64_t rows, int64_t column,
                     int64_t columns) {
  float peak = 0;
  for (int64_t i = row; i < row + rows; ++i)
    for (int64_t j = column; j < column + columns; ++j)
      if (fabsf(values[i * length + j]) > peak) peak = fabsf(values[i * length + j]);
  return peak;
}

/* E4M3 in blocks of 32 under real scales, INT8 by rows and MXFP4: the rules as they are written. */
static float expected_value(int which, const float *values, int64_t length, int64_t i, int64_t j) {
  const float x = values[i * length + j];
  const int64_t first = j / 32 * 32, count = length - first < 32 ? length - first : 32;
  const float peak = which == 1 ? peak_of(values, length, i, 1, 0, length)
                                : peak_of(values, length, i, 1, first, count);
  float scale = peak / (which == 1 ? 127.5f : 448.0f), value;
  if (which == 2) scale = peak > 0 ? ldexpf(1, ilogbf(peak) - 2) : ldexpf(1, -127);
  if (scale == 0) scale = ldexpf(1, -23);
  value = x / scale;
  if (which == 1) return fminf(fmaxf(nearbyintf(value), -128), 127) * scale;
  cf_convert(which == 0 ? &e4m3 : &e2m1, which == 0 ? 7 : 1, CF_FLOAT32, &value, CF_TIES_TO_EVEN, 0,
             0, CF_FLOAT32, &value, 1, 1, NULL);
  return value * scale;
}

static void compare(int64_t rows, int64_t length, uint64_t *state) {
  const size_t size = (size_t)(rows * length);
  const cf_scheme schemes[3] = {scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_BLOCK, 32),
                                scheme_of(e4m3, 8, CF_SCALE_REAL, CF_EACH_ROW, 0),
                                scheme_of(e2m1, 0, CF_SCALE_E8M0, CF_EACH_BLOCK, 32)};
  /* memory that ends with the elements, so that no sanitizer lets more be read */
  float *values = allocate(size * sizeof *values), *found = allocate(size * sizeof *found);
  float *peaks = allocate((size_t)rows * sizeof *peaks);
  for (size_t i = 0; i < size; ++i) values[i] = element(state);
  cf_rows matrix = {values, rows, length, length * 4, NULL, peaks};
  CHECK(cf_row_peaks(&matrix, peaks, 1) == CF_OK, "%d rows", (int)rows);
  for (int64_t i = 0; i < rows; ++i)
    CHECK(peaks[i] == peak_of(values, length, i, 1, 0, length), "row %d", (int)i);
  for (int which = 0; which < 3; ++which) {
    double sums[3] = {0}, signal = 0, noise = 0;
    CHECK(cf_scheme_values(schemes + which, &matrix, found, 1) == CF_OK, "scheme %d", which);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < length; ++j) {
        const float expected = expected_value(which, values, length, i, j);
        const double error = (double)expected - (double)values[i * length + j];
        noise += error * error;
        CHECK(found[i * length + j] == expected, "scheme %d at %d, %d: %a not %a", which, (int)i,
              (int)j, (double)found[i * length + j], (double)expected);
      }
    }
    CHECK(cf_scheme_errors(schemes, 3, &matrix, 1, sums, &signal, 1) == CF_OK, "scheme %d", which);
    CHECK(fabs(sums[which] - noise) <= 1e-12 * noise, "scheme %d: %a not %a", which, sums[which],
          noise);
  }
  free(values);
  free(found);
  free(peaks);
}

/* The bits of all sums, of elements that are the same everywhere. */
static uint64_t digest(int threads, int64_t cut) {
  enum { ROWS = 300, LENGTH = 1100 };
  cf_scheme schemes[8];
  double sums[8] = {0}, signal = 0;
  uint64_t state = 5, digest = 0;
  float *values = allocate(ROWS * LENGTH * sizeof *values), *peaks = allocate(ROWS * sizeof *peaks);
  for (int i = 0; i < ROWS * LENGTH; ++i) values[i] = element(&state);
  for (int i = 0; i < 4; ++i) schemes[i] = scheme_of(e4m3, 0, CF_SCALE_REAL, i, 128);
  schemes[4] = scheme_of(e2m1, 0, CF_SCALE_E4M3, CF_EACH_BLOCK, 16);
  schemes[5] = scheme_of(e2m1, 0, CF_SCALE_E8M0, CF_EACH_BLOCK, 32);
  schemes[6] = scheme_of(e4m3, 0, CF_SCALE_POWER, CF_EACH_TILE, 0);
  schemes[7] = scheme_of(e4m3, 4, CF_SCALE_REAL, CF_EACH_ROW, 0);
  for (int64_t first = 0; first < ROWS; first += cut) {
    const int64_t rows = ROWS - first < cut ? ROWS - first : cut;
    const float peak = peak_of(values, LENGTH, 0, ROWS, 0, LENGTH);
    cf_rows matrix = {values + first * LENGTH, rows, LENGTH, LENGTH * 4, &peak, peaks};
    CHECK(cf_row_peaks(&matrix, peaks, threads) == CF_OK, "from row %d", (int)first);
    CHECK(cf_scheme_errors(schemes, 8, &matrix, 1, sums, &signal, threads) == CF_OK, "from row %d",
          (int)first);
  }
  for (int i = 0; i < 9; ++i) {
    uint64_t bits;
    memcpy(&bits, i < 8 ? sums + i : &signal, sizeof bits);
    digest = (digest ^ bits) * 0x9E3779B97F4A7C15u;
  }
  free(values);
  free(peaks);
  return digest;
}

/* A stack has what each of its matrices has. */
static void stack(int64_t rows, int64_t length) {
  enum { NUMBER = 3, SCHEMES = 6 };
  cf_scheme schemes[SCHEMES];
  double sums[NUMBER][SCHEMES] = {{0}}, signals[NUMBER] = {0};
  float peaks[NUMBER];
  uint64_t state = 9;
  float *values = allocate((size_t)(NUMBER * rows * length) * sizeof *values);
  float *row_peaks = allocate((size_t)(NUMBER * rows) * sizeof *row_peaks);
  for (int64_t i = 0; i < NUMBER * rows * length; ++i)
    values[i] = ldexpf(element(&state), (int)(i / (rows * length)));
  for (int i = 0; i < 4; ++i) schemes[i] = scheme_of(e4m3, 0, CF_SCALE_REAL, i, 128);
  schemes[4] = scheme_of(e2m1, 0, CF_SCALE_E4M3, CF_EACH_BLOCK, 16);
  schemes[5] = scheme_of(e4m3, 8, CF_SCALE_REAL, CF_EACH_TENSOR, 0);
  cf_rows all = {values, NUMBER * rows, length, length * 4, peaks, row_peaks};
  CHECK(cf_row_peaks(&all, row_peaks, 1) == CF_OK, "peaks");
  for (int i = 0; i < NUMBER; ++i)
    peaks[i] = peak_of(values + i * rows * length, length, 0, rows, 0, length);
  all.rows = rows;
  const int status = cf_scheme_errors(schemes, SCHEMES, &all, NUMBER, sums[0], signals, 2);
  CHECK(status == CF_OK, "status %d", status);
  for (int i = 0; i < NUMBER; ++i) {
    double own[SCHEMES] = {0}, signal = 0;
    cf_rows one = {values + i * rows * length, rows, length, length * 4, peaks + i,
                   row_peaks + i * rows};
    CHECK(cf_scheme_errors(schemes, SCHEMES, &one, 1, own, &signal, 1) == CF_OK, "matrix %d", i);
    CHECK(memcmp(own, sums[i], sizeof own) == 0 && signal == signals[i], "matrix %d of %dx%d", i,
          (int)rows, (int)length);
  }
  CHECK(cf_scheme_errors(schemes, 1, &all, -1, sums[0], signals, 1) == CF_BAD_LAYOUT, "number");
  free(values);
  free(row_peaks);
}

/* Errors are those of the values, whichever way is taken: of formats that are rounded on the way,
 * and of those that are not. */
static void errors_of_values(void) {
  enum { ROWS = 3, LENGTH = 100 };
  cf_format formats[8];
  const int subnormals[] = {CF_SUBNORMALS_IEEE, CF_SUBNORMALS_WHITEPAPER, CF_SUBNORMALS_FLUSH};
  for (int i = 0; i < 3; ++i)
    formats[i] = (cf_format){4, 3, 1, CF_NONFINITE_IEEE, subnormals[i], 1, 7, 7};
  formats[3] = (cf_format){4, 0, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 7, 7};
  formats[4] = (cf_format){5, 10, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 1, 15, 15};
  formats[5] = (cf_format){4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 90, 90};
  formats[6] = (cf_format){4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 100, 100};
  formats[7] = (cf_format){4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, -72, -72};
  float values[ROWS * LENGTH], found[ROWS * LENGTH], peaks[ROWS];
  uint64_t state = 13;
  for (int i = 0; i < ROWS * LENGTH; ++i) values[i] = element(&state) * (i % 7 == 0 ? 1e-6f : 1);
  const float peak = peak_of(values, LENGTH, 0, ROWS, 0, LENGTH);
  cf_rows matrix = {values, ROWS, LENGTH, LENGTH * 4, &peak, peaks};
  CHECK(cf_row_peaks(&matrix, peaks, 1) == CF_OK, "peaks");
  for (int which = 0; which < 8 * 4 * 4; ++which) {
    const int scale = which / 8 % 4, granularity = which / 32;
    double sum = 0, signal = 0, noise = 0;
    const cf_scheme scheme = scheme_of(formats[which % 8], 0, scale, granularity, 32);
    const int status = cf_scheme_values(&scheme, &matrix, found, 1);
    if (status == CF_BAD_BIAS && (scale == CF_SCALE_POWER || scale == CF_SCALE_E8M0)) continue;
    CHECK(status == CF_OK, "scheme %d: %d", which, status);
    CHECK(cf_scheme_errors(&scheme, 1, &matrix, 1, &sum, &signal, 1) == CF_OK, "scheme %d", which);
    for (int i = 0; i < ROWS * LENGTH; ++i) {
      const double error = (double)found[i] - (double)values[i];
      noise += error * error;
    }
    CHECK(fabs(sum - noise) <= 1e-12 * noise, "scheme %d: %a not %a", which, sum, noise);
  }
}

static void refuse(void) {
  const cf_format fixed = {5, 10, 0, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 15, 15};
  const float value = 1;
  double sums[1] = {7}, signal = 7;
  cf_rows matrix = {&value, 1, 1, 4, &value, &value};
  struct {
    cf_scheme scheme;
    int status;
  } cases[] = {
      {scheme_of(e4m3, 1, CF_SCALE_REAL, CF_EACH_ROW, 0), CF_BAD_TYPE},
      {scheme_of(e4m3, 9, CF_SCALE_REAL, CF_EACH_ROW, 0), CF_BAD_TYPE},
      {scheme_of(e4m3, 8, CF_SCALE_POWER, CF_EACH_ROW, 0), CF_BAD_TYPE},
      {scheme_of(e4m3, 0, CF_SCALE_E4M3 + 1, CF_EACH_ROW, 0), CF_BAD_TYPE},
      {scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_TILE + 1, 0), CF_BAD_TYPE},
      {scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_BLOCK, 0), CF_BAD_LAYOUT},
      {scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_BLOCK, 24), CF_BAD_LAYOUT},
      {scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_BLOCK, 2048), CF_BAD_LAYOUT},
      {scheme_of(fixed, 0, CF_SCALE_REAL, CF_EACH_ROW, 0), CF_BAD_FORMAT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    const int status = cf_scheme_errors(&cases[i].scheme, 1, &matrix, 1, sums, &signal, 1);
    CHECK(status == cases[i].status, "case %zu: %d", i, status);
  }
  cf_scheme good = scheme_of(e4m3, 0, CF_SCALE_REAL, CF_EACH_ROW, 0);
  good.bias = 8;
  CHECK(cf_scheme_errors(&good, 1, &matrix, 1, sums, &signal, 1) == CF_BAD_BIAS, "a bias");
  good.bias = 7;
  /* largest values whose scales, or the inverse of these, float32 does not have */
  const cf_format wide = {7, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 0, 147};
  for (int scale = CF_SCALE_POWER; scale <= CF_SCALE_E8M0; ++scale) {
    cf_scheme power = scheme_of(wide, 0, scale, CF_EACH_ROW, 0);
    for (power.bias = 0; power.bias <= 147; ++power.bias) {
      const int is_in_range = 127 - power.bias >= 2 && 127 - power.bias < 87;
      const float ends[] = {ldexpf(1, -149), 1e-12f, 1, ldexpf(1.5f, 127)};
      for (int i = 0; i < 4; ++i) {
        float found = -1;
        cf_rows one = {&ends[i], 1, 1, 4, &ends[i], &ends[i]};
        const int status = cf_scheme_values(&power, &one, &found, 1);
        CHECK(status == (is_in_range ? CF_OK : CF_BAD_BIAS), "bias %d: %d", power.bias, status);
        if (is_in_range && ends[i] >= 1e-12f)
          CHECK(fabsf(found - ends[i]) <= ends[i] / 8, "bias %d: %a is %a", power.bias,
                (double)ends[i], (double)found);
        if (is_in_range && ends[i] < 1e-12f)
          CHECK(found >= 0 && found <= 1e-12f, "bias %d: %a", power.bias, (double)found);
      }
    }
  }
  CHECK(cf_scheme_errors(&good, CF_MAX_SCHEMES + 1, &matrix, 1, sums, &signal, 1) == CF_BAD_TYPE,
        "too many");
  matrix.rows = -1;
  CHECK(cf_scheme_errors(&good, 1, &matrix, 1, sums, &signal, 1) == CF_BAD_LAYOUT, "rows");
  CHECK(sums[0] == 7 && signal == 7, "something was added: %a, %a", sums[0], signal);
  matrix.rows = 0;
  CHECK(cf_scheme_errors(&good, 1, &matrix, 1, sums, &signal, 1) == CF_OK && sums[0] == 7, "none");
}

void test_schemes(void) {
  const uint64_t known = UINT64_C(0xFD39D4D7A63E1530);
  uint64_t state = 3;
  const int64_t shapes[][2] = {{1, 1}, {3, 31}, {5, 48}, {129, 3}, {2, 1057}, {131, 20}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
    compare(shapes[i][0], shapes[i][1], &state);
  CHECK(digest(1, 300) == known, "sums have the digest %#llx", (unsigned long long)digest(1, 300));
  if (!is_thinned()) CHECK(digest(3, 128) == known, "%#llx", (unsigned long long)digest(3, 128));
  stack(1, 384);
  stack(150, 1100);
  errors_of_values();
  refuse();
}
