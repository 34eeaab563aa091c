/* Biases of groups in any layout: against the search, or all biases, for each group copied out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

static const cf_format FORMAT = {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
enum { NDIM = 3, MOST = 70000, LOW = 0, HIGH = 63, DEFAULT = 7 };

/* The element at a place, of an array of these strides, as float64. */
static double element(int type, const char *values, const int64_t *strides, const int64_t *place) {
  int64_t at = 0;
  for (int i = 0; i < NDIM; ++i) at += strides[i] * place[i];
  if (type == CF_FLOAT32) {
    float x;
    memcpy(&x, values + at, sizeof x);
    return (double)x;
  }
  if (type == CF_INT16) {
    int16_t x;
    memcpy(&x, values + at, sizeof x);
    return (double)x;
  }
  double x;
  memcpy(&x, values + at, sizeof x);
  return x;
}

/* The bias that magnitudes have, by the definition: of all biases, tried one after the other. */
static int bias_of_magnitudes(const double *values, size_t count, int method, double percentile) {
  const double max = 1.875 * 0x1p15; /* at bias 0, of a format without infinities */
  double peak = 0;
  int64_t finite = 0, needed, zeros = 0;
  int best = LOW;
  for (size_t i = 0; i < count; ++i) {
    const double magnitude = fabs(values[i]);
    if (!(magnitude < (double)INFINITY)) continue;
    ++finite;
    zeros += magnitude <= 0;
    peak = magnitude > peak ? magnitude : peak;
  }
  if (peak <= 0) return DEFAULT;
  cf_count_of_percentile(percentile, finite, &needed);
  if (method == CF_CHOOSE_PERCENTILE && zeros >= needed) return DEFAULT;
  for (int bias = LOW; bias <= HIGH; ++bias) {
    int64_t within = 0;
    const double limit = ldexp(max, -bias), binade = ldexp(1, 16 - bias);
    for (size_t i = 0; i < count; ++i) within += fabs(values[i]) <= limit;
    if (method == CF_CHOOSE_PERCENTILE ? within >= needed
        : method == CF_CHOOSE_MAX      ? peak <= limit
                                       : peak < binade)
      best = bias;
  }
  return best;
}

/* An array, in the order of its axes in memory, with gaps between them. */
typedef struct array {
  int type;
  int64_t size, total; /* bytes of an element, and of all */
  int64_t shape[NDIM], strides[NDIM], blocks[NDIM];
} array;

static void set_axis(array *a, int axis, int64_t length, int64_t block, int64_t gap) {
  a->shape[axis] = length;
  a->blocks[axis] = block;
  a->strides[axis] = a->total;
  a->total *= length + gap;
}

static array any_array(int type, int64_t size, uint64_t *state) {
  array a = {type, size, size, {0}, {0}, {0}};
  int order[NDIM] = {0, 1, 2};
  for (int i = NDIM - 1; i > 0; --i) {
    const int j = (int)random_below(state, (uint64_t)i + 1), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  for (int i = 0; i < NDIM; ++i)
    set_axis(&a, order[i], 1 + (int64_t)random_below(state, 26),
             1 + (int64_t)random_below(state, 30), (int64_t)random_below(state, 2));
  return a;
}

/* Groups that lie among each other, in so many lines: as many as are counted in parts, or others.
 */
static array interleaved_array(int type, int64_t size, uint64_t *state) {
  const int has_many_lines = random_below(state, 4) == 0;
  const int64_t inner = random_below(state, 2) ? 1 : 1 + (int64_t)random_below(state, 9);
  const int64_t groups = has_many_lines           ? 64 / inner
                         : random_below(state, 2) ? 2 + (int64_t)random_below(state, 6)
                                                  : 2 + (int64_t)random_below(state, 120);
  const int64_t most = (has_many_lines ? MOST : MOST / 4) / (inner * groups);
  const int64_t lines = has_many_lines ? most : 1 + (int64_t)random_below(state, 900);
  const int64_t block = random_below(state, 2) ? lines : 1 + (int64_t)random_below(state, 70);
  array a = {type, size, size, {0}, {0}, {0}};
  set_axis(&a, 2, inner, inner, 0);
  set_axis(&a, 1, groups, 1, 0);
  set_axis(&a, 0, lines < most ? lines : most, has_many_lines ? lines : block,
           (int64_t)random_below(state, 2));
  return a;
}

/* The same, of lines along two axes, which are one in memory or not. */
static array array_of_planes(int type, int64_t size, uint64_t *state) {
  array a = {type, size, size, {0}, {0}, {0}};
  const int64_t rows = 2 + (int64_t)random_below(state, 20);
  set_axis(&a, 2, 2 + (int64_t)random_below(state, 80), 1, (int64_t)random_below(state, 2));
  set_axis(&a, 1, rows, rows, (int64_t)random_below(state, 2));
  set_axis(&a, 0, 2 + (int64_t)random_below(state, 20), 20, (int64_t)random_below(state, 2));
  return a;
}

static void fill(const array *a, char *values, int has_special, uint64_t *state) {
  const double scale = ldexp(1, -50 - (int)random_below(state, 40));
  for (int64_t i = 0; i < a->total / a->size; ++i) {
    const uint64_t kind = has_special ? random_below(state, 16) : 9;
    const double x = kind == 0   ? (double)INFINITY
                     : kind == 1 ? (double)NAN
                     : kind == 2 ? 0
                                 : (double)(int64_t)random_bits(state) * scale /
                                       (double)(1 + random_below(state, 99999));
    const float narrow = (float)x;
    const int16_t whole = (int16_t)((int16_t)random_bits(state) >> random_below(state, 16));
    memcpy(values + i * a->size,
           a->type == CF_FLOAT32 ? (const void *)&narrow
           : a->type == CF_INT16 ? (const void *)&whole
                                 : (const void *)&x,
           (size_t)a->size);
  }
}

static void compare(const array *a, int method, int swapped, uint64_t *state) {
  const double percentiles[] = {80, 99.9, 50, 3, 100};
  const double percentile = percentiles[random_below(state, 5)];
  int64_t counts[NDIM], groups = 1;
  for (int i = 0; i < NDIM; ++i) {
    counts[i] = (a->shape[i] + a->blocks[i] - 1) / a->blocks[i];
    groups *= counts[i];
  }
  char *values = allocate((size_t)a->total), *stored = allocate((size_t)a->total);
  int16_t *biases = allocate((size_t)groups * sizeof *biases);
  double *own = allocate(MOST * sizeof *own);
  fill(a, values, method != CF_CHOOSE_MSE, state);
  for (int64_t i = 0; i < a->total; ++i)
    stored[i] = values[swapped ? i / a->size * a->size + a->size - 1 - i % a->size : i];
  CHECK(cf_choose_biases(&FORMAT, DEFAULT, method, percentile, a->type, swapped, stored, NDIM,
                         a->shape, a->strides, a->blocks, biases, 3) == CF_OK,
        "refused");
  for (int64_t group = 0; group < groups; ++group) {
    int64_t index[NDIM], place[NDIM];
    size_t count = 0;
    int expected;
    index[2] = group % counts[2];
    index[1] = group / counts[2] % counts[1];
    index[0] = group / counts[2] / counts[1];
    for (place[0] = index[0] * a->blocks[0];
         place[0] < a->shape[0] && place[0] / a->blocks[0] == index[0]; ++place[0])
      for (place[1] = index[1] * a->blocks[1];
           place[1] < a->shape[1] && place[1] / a->blocks[1] == index[1]; ++place[1])
        for (place[2] = index[2] * a->blocks[2];
             place[2] < a->shape[2] && place[2] / a->blocks[2] == index[2]; ++place[2])
          own[count++] = element(a->type, values, a->strides, place);
    if (method == CF_CHOOSE_MSE) {
      int16_t bias;
      double error;
      cf_least_errors(&FORMAT, DEFAULT, CF_FLOAT64, own, 1, (int64_t)count, 0, (int64_t)count, 0,
                      &bias, &error, 1);
      expected = bias;
    } else {
      expected = bias_of_magnitudes(own, count, method, percentile);
    }
    CHECK(biases[group] == expected, "method %d, %g, group %d of %d: bias %d, and not %d", method,
          percentile, (int)group, (int)groups, biases[group], expected);
  }
  free(values);
  free(stored);
  free(biases);
  free(own);
}

/* One group that several threads share. */
static void test_one_group(uint64_t *state) {
  const int64_t count = 1 << 20, stride = sizeof(float);
  const array a = {CF_FLOAT32, stride, count * stride, {0}, {0}, {0}};
  char *values = allocate((size_t)a.total);
  double *own = allocate((size_t)count * sizeof *own);
  fill(&a, values, 1, state);
  for (int64_t i = 0; i < count; ++i) {
    float x;
    memcpy(&x, values + i * stride, sizeof x);
    own[i] = (double)x;
  }
  for (int method = CF_CHOOSE_MAX; method <= CF_CHOOSE_PERCENTILE; ++method) {
    const int expected = bias_of_magnitudes(own, (size_t)count, method, 70);
    for (int threads = 1; threads <= 3; ++threads) {
      int16_t bias = -1;
      CHECK(cf_choose_biases(&FORMAT, DEFAULT, method, 70, CF_FLOAT32, 0, values, 1, &count,
                             &stride, &count, &bias, threads) == CF_OK &&
                bias == expected,
            "method %d, %d threads: bias %d, and not %d", method, threads, bias, expected);
    }
  }
  free(values);
  free(own);
}

/* A percentage is the decimal number that was written, whichever way its double lies. */
static void test_counts_of_percentiles(void) {
  const struct {
    double percentile;
    int64_t count, needed;
  } cases[] = {{99.9, 1000, 999},  {99.9, 1001, 1000},   {99.9, 17000, 16983},
               {66.7, 3000, 2001}, {99.99, 10000, 9999}, {50, 3, 2},
               {100, 7, 7},        {1e-9, 5, 1},         {100, 1LL << 40, 1LL << 40},
               {99.9, 1, 1},       {99.9, 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    int64_t needed = -1;
    CHECK(cf_count_of_percentile(cases[i].percentile, cases[i].count, &needed) == CF_OK &&
              needed == cases[i].needed,
          "%g of %lld: %lld", cases[i].percentile, (long long)cases[i].count, (long long)needed);
  }
}

void test_choose_biases(void) {
  const int types[] = {CF_FLOAT32, CF_FLOAT64, CF_INT16};
  const int64_t sizes[] = {4, 8, 2};
  const int64_t one = 1, none = 0;
  uint64_t state = 5;
  int16_t bias = 99;
  test_counts_of_percentiles();
  for (int trial = 0; trial < (is_brief() ? 4 : 16); ++trial)
    for (int i = 0; i < 3; ++i)
      for (int method = CF_CHOOSE_MSE; method <= CF_CHOOSE_PERCENTILE; ++method)
        for (int swapped = 0; swapped < 2; ++swapped) {
          const array any = any_array(types[i], sizes[i], &state);
          const array interleaved = interleaved_array(types[i], sizes[i], &state);
          compare(&any, method, swapped, &state);
          const array planes = array_of_planes(types[i], sizes[i], &state);
          compare(&interleaved, method, swapped, &state);
          compare(&planes, method, swapped, &state);
        }
  test_one_group(&state);
  CHECK(cf_choose_biases(&FORMAT, 64, CF_CHOOSE_MSE, 1, CF_FLOAT32, 0, "", 1, &one, &one, &one,
                         &bias, 1) == CF_BAD_BIAS &&
            cf_choose_biases(&FORMAT, 7, CF_CHOOSE_MSE, 1, CF_CODES, 0, "", 1, &one, &one, &one,
                             &bias, 1) == CF_BAD_TYPE &&
            cf_choose_biases(&FORMAT, 7, 4, 1, CF_FLOAT32, 0, "", 1, &one, &one, &one, &bias, 1) ==
                CF_BAD_TYPE &&
            cf_choose_biases(&FORMAT, 7, CF_CHOOSE_MSE, 1, CF_FLOAT32, 0, "", 1, &one, &one, &none,
                             &bias, 1) == CF_BAD_LAYOUT &&
            cf_choose_biases(&FORMAT, 7, CF_CHOOSE_MSE, 1, CF_FLOAT32, 0, "", 1, &none, &one, &one,
                             &bias, 1) == CF_OK &&
            bias == 99,
        "what is refused, and what has no elements");
}
