/* Arithmetic, sums, extremes and comparisons of whole arrays of codes, against one element at a
 * time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/long_sum.h"
#include "support/oracle.h"
#include "support/tests.h"

typedef struct code_array {
  const format_case *of;
  size_t size, count;
  unsigned char *bytes;
  double *values;
} code_array;

static int is_finite(const format_case *of, unsigned code) {
  return number_of_code(&of->format, of->bias, code).kind == FINITE;
}

static double value_of(const format_case *of, unsigned code) {
  const number x = number_of_code(&of->format, of->bias, code);
  const double magnitude = x.kind == FINITE     ? x.magnitude
                           : x.kind == INFINITE ? (double)INFINITY
                                                : (double)NAN;
  return x.sign ? -magnitude : magnitude;
}

/* Random codes, finite ones alone unless any are wanted. */
static code_array array_new(const format_case *of, size_t count, int any, uint64_t *state) {
  code_array a = {of, type_size(&of->format, CF_CODES), count, NULL, NULL};
  const unsigned codes = 1u << code_bits(&of->format);
  a.bytes = allocate(count * a.size);
  a.values = allocate(count * sizeof *a.values);
  for (size_t i = 0; i < count; ++i) {
    unsigned code;
    do code = (unsigned)random_below(state, codes);
    while (!any && !is_finite(of, code));
    if (random_below(state, 16) == 0) code &= sign_code(&of->format); /* a zero, most often */
    if (!any && !is_finite(of, code)) code = 1;
    store_bits(a.bytes + i * a.size, a.size, code);
    a.values[i] = value_of(of, code);
  }
  return a;
}

static void array_free(code_array *a) {
  free(a->bytes);
  free(a->values);
}

static unsigned code_at(const code_array *a, size_t i) {
  return (unsigned)load_bits(a->bytes + i * a->size, a->size);
}

/* Whether the format's values are multiples of its smallest one, of less than 2^34 times it. */
static int has_exact_sums(const format_case *of) {
  if (type_size(&of->format, CF_CODES) != 1) return 0;
  const double largest = grid_value(&of->format, of->bias, max_code(&of->format));
  double least = grid_value(&of->format, of->bias, 1);
  if (of->format.subnormals == CF_SUBNORMALS_NORMAL) least = grid_value(&of->format, of->bias, 0);
  return largest < ldexp(least, 34);
}

/* The order that cfloat_api.h documents, along the last axis. */
static double sum_in_order(const double *values, size_t count) {
  enum { PIECE = 4096, CHUNK = 1 << 20 };
  double total = -0.0;
  for (size_t chunk = 0; chunk < count; chunk += CHUNK) {
    const size_t end = chunk + CHUNK < count ? chunk + CHUNK : count;
    double of_chunk = -0.0;
    for (size_t piece = chunk; piece < end; piece += PIECE) {
      const size_t stop = piece + PIECE < end ? piece + PIECE : end;
      double sums[16];
      for (int k = 0; k < 16; ++k) sums[k] = -0.0;
      for (size_t i = piece; i < stop; ++i) sums[(i - piece) % 16] += values[i];
      for (int half = 8; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
      of_chunk += sums[0];
    }
    total += of_chunk;
  }
  return total;
}

static void sums(const format_case *of, size_t outer, size_t length, size_t inner, int threads,
                 uint64_t *state) {
  code_array a = array_new(of, outer * length * inner, 0, state);
  const size_t count = outer * inner;
  double *found = allocate(count * sizeof *found), *column = allocate(length * sizeof *column);
  float *results = allocate(count * sizeof *results);
  int others = -1, expected_others = 0;
  const int status = cf_sum_codes(&of->format, of->bias, a.bytes, (int64_t)outer, (int64_t)length,
                                  (int64_t)inner, 3, found, results, &others, threads);
  CHECK(status == CF_OK, "%s: status %d", of->name, status);
  size_t wrong = 0;
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < inner; ++i) {
      long_sum exact;
      memset(&exact, 0, sizeof exact);
      double expected = -0.0;
      for (size_t k = 0; k < length; ++k) {
        column[k] = a.values[(o * length + k) * inner + i];
        if (has_exact_sums(of)) long_sum_add(&exact, column[k]);
        expected += column[k];
      }
      if (has_exact_sums(of))
        expected = long_sum_odd(&exact);
      else if (inner == 1)
        expected = sum_in_order(column, length);
      const size_t at = o * inner + i;
      wrong += found[at] != expected;
      const double divided = expected / 3, magnitude = fabs(divided);
      const int is_other = !(magnitude >= ldexp(1, -126) && magnitude < ldexp(1, 127)) &&
                           !(divided == 0 && !signbit(found[at]));
      if (!is_other) wrong += results[at] != (float)divided;
      expected_others |= is_other;
    }
  CHECK(wrong == 0 && others == expected_others, "%s: %zu of %zu x %zu x %zu wrong, others %d",
        of->name, wrong, outer, length, inner, others);
  free(found);
  free(column);
  free(results);
  array_free(&a);
}

static int is_larger(double x, double y) {
  return x > y || (x == 0 && y == 0 && signbit(y) && !signbit(x));
}

static void extremes(const format_case *of, size_t outer, size_t length, size_t inner, int any,
                     int threads, uint64_t *state) {
  code_array a = array_new(of, outer * length * inner, any, state);
  unsigned char *found = allocate(outer * inner * a.size);
  for (int smallest = 0; smallest < 2; ++smallest) {
    int nans = -1, has_nan = 0;
    const int status = cf_largest_codes(&of->format, smallest, a.bytes, (int64_t)outer,
                                        (int64_t)length, (int64_t)inner, found, &nans, threads);
    if (status == CF_BAD_FORMAT) break; /* without a -0 of its own */
    CHECK(status == CF_OK, "%s: status %d", of->name, status);
    size_t wrong = 0;
    for (size_t o = 0; o < outer; ++o)
      for (size_t i = 0; i < inner; ++i) {
        size_t best = o * length * inner + i;
        for (size_t k = 0; k < length; ++k) {
          const size_t at = (o * length + k) * inner + i;
          has_nan |= isnan(a.values[at]) != 0;
          const double x = a.values[at], y = a.values[best];
          if (smallest ? is_larger(y, x) : is_larger(x, y)) best = at;
        }
        const double value =
            value_of(of, (unsigned)load_bits(found + (o * inner + i) * a.size, a.size));
        wrong += value != a.values[best] || !signbit(value) != !signbit(a.values[best]);
      }
    CHECK((nans != 0) == has_nan, "%s: NaN %d", of->name, nans);
    CHECK(has_nan || wrong == 0, "%s: %zu of %zu x %zu x %zu wrong, smallest %d", of->name, wrong,
          outer, length, inner, smallest);
  }
  free(found);
  array_free(&a);
}

static void comparisons(const format_case *of, size_t count, int threads, uint64_t *state) {
  code_array a = array_new(of, count, 1, state), b = array_new(of, count, 1, state);
  for (size_t i = 0; i < count; i += 3) { /* equal ones, and negatives */
    const unsigned code = code_at(&a, i) ^ (i % 2 ? sign_code(&of->format) : 0);
    store_bits(b.bytes + i * b.size, b.size, code);
    b.values[i] = value_of(of, code);
  }
  uint8_t *found = allocate(count);
  for (int comparison = CF_EQUAL; comparison <= CF_LESS_EQUAL; ++comparison) {
    const int status =
        cf_compare_codes(comparison, &of->format, a.bytes, b.bytes, found, count, threads);
    CHECK(status == CF_OK, "%s: status %d", of->name, status);
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      const double x = a.values[i], y = b.values[i];
      const int expected = comparison == CF_EQUAL       ? x == y
                           : comparison == CF_NOT_EQUAL ? x != y
                           : comparison == CF_LESS      ? x < y
                                                        : x <= y;
      wrong += found[i] != expected;
    }
    CHECK(wrong == 0, "%s: %zu of %zu wrong in comparison %d", of->name, wrong, count, comparison);
  }
  CHECK(cf_compare_codes(-1, &of->format, a.bytes, b.bytes, found, 1, 1) == CF_BAD_TYPE, "-1");
  free(found);
  array_free(&a);
  array_free(&b);
}

/* A format's codes and another's, or a number, into the first: as exact results, rounded to odd,
 * are encoded. */
static void functions(const format_case *of, const format_case *other, size_t count, int rounding,
                      int threads, uint64_t *state) {
  code_array a = array_new(of, count, 1, state), b = array_new(other, count, 1, state),
             c = array_new(of, count, 1, state);
  unsigned char *found = allocate(count * a.size), *expected = allocate(count * a.size);
  double *exact = allocate(count * sizeof *exact);
  for (int function = CF_ADD; function <= CF_FMA; ++function)
    for (int by_number = 0; by_number < 2; ++by_number) {
      const double number = 1.375;
      const uint64_t seed = 7, offset = 11;
      const cf_elements operands[3] = {
          {a.values, 8, CF_FLOAT64},
          {by_number ? &number : b.values, by_number ? 0 : 8, CF_FLOAT64},
          {c.values, 8, CF_FLOAT64},
      };
      uint32_t expected_signals = 0, signals = 0;
      int status = cf_arithmetic(function, operands, CF_FLOAT64, rounding, seed, offset, exact,
                                 count, 1, NULL, &expected_signals);
      CHECK(status == CF_OK, "%s: status %d", of->name, status);
      status = cf_convert(&of->format, of->bias, CF_FLOAT64, exact, rounding, seed, offset,
                          CF_CODES, expected, count, 1, NULL);
      CHECK(status == CF_OK, "%s: status %d", of->name, status);
      status = cf_arithmetic_codes(
          function, &of->format, of->bias, a.bytes, count, 0, by_number ? NULL : &other->format,
          other->bias, b.bytes, count, number, &of->format, of->bias, c.bytes, count, 0,
          &of->format, of->bias, rounding, seed, offset, found, count, threads, NULL, &signals);
      CHECK(status == CF_OK, "%s: status %d", of->name, status);
      const size_t wrong = first_difference(found, expected, a.size, count);
      CHECK(wrong == count, "%s, %s: function %d %s, %s: %g, %g, %g are %llx, not %llx", of->name,
            by_number ? "number" : other->name, function, by_number ? "of a number" : "of codes",
            rounding_name(rounding), a.values[wrong], b.values[wrong], c.values[wrong],
            bits_at(found, a.size, wrong), bits_at(expected, a.size, wrong));
      CHECK(signals == expected_signals, "%s: function %d signals %u, not %u", of->name, function,
            (unsigned)signals, (unsigned)expected_signals);
    }
  free(found);
  free(expected);
  free(exact);
  array_free(&a);
  array_free(&b);
  array_free(&c);
}

static void of_format(const format_case *of, const format_case *other, uint64_t *state) {
  const size_t long_row = is_thinned() ? 5000 : 300000;
  sums(of, 1, 1, 1, 1, state);
  sums(of, 1, 4099, 1, 1, state);
  sums(of, 1, long_row, 1, 3, state);
  sums(of, 3, 77, 1, 2, state);
  sums(of, 2, 33, 67, 1, state);
  for (int any = 0; any < 2; ++any) {
    extremes(of, 1, 3, 1, any, 1, state);
    extremes(of, 1, long_row, 1, any, 3, state);
    extremes(of, 5, 130, 1, any, 2, state);
    extremes(of, 2, 9, 70, any, 1, state);
  }
  comparisons(of, 1, 1, state);
  comparisons(of, long_row + 13, 2, state);
  for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding)
    functions(of, other, 700, rounding, 1, state);
  functions(of, other, is_thinned() ? 5000 : 300000, CF_TIES_TO_EVEN, 2, state);
}

void test_code_loops(void) {
  uint64_t state = 18;
  for (int i = 0; i < TESLA_COUNT; ++i) of_format(&TESLA[i], &TESLA[(i + 5) % TESLA_COUNT], &state);
  for (int i = 0; i < OTHERS_COUNT; ++i)
    of_format(&OTHERS[i], &OTHERS[(i + 4) % OTHERS_COUNT], &state);
}
