/* Biases of groups in any layout: against the search of each group by itself, copied out. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

static const cf_format FORMAT = {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
enum { NDIM = 3, MOST = 20000 };

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

static int largest_bias(const double *values, size_t count, int method, double percentile) {
  int16_t bias;
  const int64_t shape = (int64_t)count, stride = sizeof *values;
  CHECK(cf_choose_biases(&FORMAT, 7, method, percentile, CF_FLOAT64, 0, values, 1, &shape, &stride,
                         &shape, &bias, 1) == CF_OK,
        "refused");
  return bias;
}

static void compare(int type, int64_t size, int method, uint64_t *state) {
  int64_t shape[NDIM], strides[NDIM], blocks[NDIM], counts[NDIM], order[NDIM] = {0, 1, 2};
  int64_t total = size, groups = 1;
  for (int i = NDIM - 1; i > 0; --i) {
    const int64_t j = (int64_t)random_below(state, (uint64_t)i + 1), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  for (int i = 0; i < NDIM; ++i) {
    const int64_t axis = order[i], gap = (int64_t)random_below(state, 2);
    shape[axis] = 1 + (int64_t)random_below(state, 26);
    blocks[axis] = 1 + (int64_t)random_below(state, 30);
    counts[axis] = (shape[axis] + blocks[axis] - 1) / blocks[axis];
    strides[axis] = total;
    total *= shape[axis] + gap;
    groups *= counts[axis];
  }
  char *values = allocate((size_t)total);
  int16_t *biases = allocate((size_t)groups * sizeof *biases);
  double *own = allocate(MOST * sizeof *own);
  for (int64_t i = 0; i < total / size; ++i) {
    const double x = (double)(int64_t)random_bits(state) / (double)(1 + random_below(state, 99999));
    const float narrow = (float)x;
    const int16_t whole = (int16_t)random_bits(state);
    memcpy(values + i * size,
           type == CF_FLOAT32 ? (const void *)&narrow
           : type == CF_INT16 ? (const void *)&whole
                              : (const void *)&x,
           (size_t)size);
  }
  CHECK(cf_choose_biases(&FORMAT, 7, method, 80, type, 0, values, NDIM, shape, strides, blocks,
                         biases, 3) == CF_OK,
        "refused");
  for (int64_t group = 0; group < groups; ++group) {
    int64_t index[NDIM], place[NDIM];
    size_t count = 0;
    int expected;
    index[2] = group % counts[2];
    index[1] = group / counts[2] % counts[1];
    index[0] = group / counts[2] / counts[1];
    for (place[0] = 0; place[0] < shape[0]; ++place[0])
      for (place[1] = 0; place[1] < shape[1]; ++place[1])
        for (place[2] = 0; place[2] < shape[2]; ++place[2]) {
          int is_own = 1;
          for (int i = 0; i < NDIM; ++i) is_own &= place[i] / blocks[i] == index[i];
          if (is_own) own[count++] = element(type, values, strides, place);
        }
    if (method == CF_CHOOSE_MSE) {
      int16_t bias;
      double error;
      cf_least_errors(&FORMAT, 7, CF_FLOAT64, own, 1, (int64_t)count, 0, (int64_t)count, 0, &bias,
                      &error, 1);
      expected = bias;
    } else {
      expected = largest_bias(own, count, method, 80);
    }
    CHECK(biases[group] == expected, "group %d of %d: bias %d, and not %d", (int)group, (int)groups,
          biases[group], expected);
  }
  free(values);
  free(biases);
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
  for (int trial = 0; trial < (is_brief() ? 4 : 40); ++trial)
    for (int i = 0; i < 3; ++i)
      for (int method = CF_CHOOSE_MSE; method <= CF_CHOOSE_PERCENTILE; ++method)
        compare(types[i], sizes[i], method, &state);
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
