/* Matrix products with an accumulator of a format: every sum, rounding by rounding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/long_sum.h"
#include "support/products.h"
#include "support/tests.h"

static const uint64_t SEED = 0x123456789u, OFFSET = 1001;

/* So many results more than these are taken to be there, each with words of its own. */
enum { MORE_RESULTS = 7 };

static uint64_t result_count(const test_product *p) {
  const int64_t stack = p->shape.stack == 0 ? 1 : p->shape.stack;
  return (uint64_t)(stack * p->shape.rows * p->shape.columns);
}

/* How sums are rounded. */
typedef struct accumulator {
  const format_case *test;
  int bias, rounding;
  int64_t every;
  grid grid;
} accumulator;

static accumulator accumulator_new(const format_case *test, int bias, int rounding, int64_t every) {
  const accumulator made = {test, bias, rounding, every, grid_new(&test->format, bias)};
  return made;
}

/* x + y, rounded to odd. */
static double add(double x, double y) {
  long_sum sum;
  if (!isfinite(x) || !isfinite(y)) return x + y;
  if (x == -y) return x + y; /* the sign of a zero */
  memset(&sum, 0, sizeof sum);
  long_sum_add(&sum, x);
  long_sum_add(&sum, y);
  return long_sum_odd(&sum);
}

static double round_once(const accumulator *acc, double x, uint64_t position) {
  const cf_format *format = &acc->test->format;
  cf_flags ignored = {0, 0, 0, 0};
  uint32_t word;
  unsigned code;
  CHECK(cf_random_words(SEED, position, &word, 1) == CF_OK, "words");
  if (acc->rounding >= ROUNDING_COUNT) { /* what the oracle does not know */
    uint16_t wide = 0;
    uint8_t narrow = 0;
    const int is_wide = type_size(format, CF_CODES) == 2;
    CHECK(cf_convert(format, acc->bias, CF_FLOAT64, &x, acc->rounding, SEED, position, CF_CODES,
                     is_wide ? (void *)&wide : (void *)&narrow, 1, 1, NULL) == CF_OK,
          "convert");
    code = is_wide ? wide : narrow;
  } else {
    number n = {FINITE, signbit(x) != 0, 0, fabs(x)};
    if (isinf(x)) n.kind = INFINITE;
    if (isnan(x)) {
      n.kind = NOT_A_NUMBER;
      n.sign = 0;
    }
    code = encode_number(&acc->grid, n, acc->rounding, word, &ignored);
  }
  const number rounded = number_of_code(format, acc->bias, code);
  if (rounded.kind == NOT_A_NUMBER) return NAN;
  const double magnitude = rounded.kind == INFINITE ? INFINITY : rounded.magnitude;
  return rounded.sign ? -magnitude : magnitude;
}

static float *rounded_results(const test_product *p, const accumulator *acc) {
  const int64_t stack = p->shape.stack == 0 ? 1 : p->shape.stack;
  const uint64_t count = result_count(p);
  const uint32_t nan = 0x7FC00000u;
  float *results = allocate((size_t)count * sizeof *results);
  uint64_t i = 0;
  for (int64_t s = 0; s < stack; ++s)
    for (int64_t row = 0; row < p->shape.rows; ++row)
      for (int64_t column = 0; column < p->shape.columns; ++column, ++i) {
        double sum = 0;
        uint64_t step = 0;
        for (int64_t k = 0; k < p->shape.inner; ++k) {
          sum = add(sum, product_value(p, 0, s, row, k) * product_value(p, 1, s, k, column));
          if ((k + 1) % acc->every == 0 || k + 1 == p->shape.inner)
            sum = round_once(acc, sum, OFFSET + step++ * (count + MORE_RESULTS) + i);
        }
        results[i] = (float)sum;
        if (isnan(sum)) memcpy(&results[i], &nan, sizeof nan);
      }
  return results;
}

static void multiply(test_product *p, accumulator acc, const char *what) {
  float *expected = rounded_results(p, &acc);
  for (int threads = 1; threads <= 3; ++threads) {
    char name[120];
    product_clear(p);
    const int status =
        cf_matmul_rounded(&p->product, &acc.test->format, acc.bias, acc.rounding, SEED, OFFSET,
                          result_count(p) + MORE_RESULTS, acc.every, threads);
    CHECK(status == CF_OK, "%s: status %d", what, status);
    snprintf(name, sizeof name, "%s, to %s, bias %d, %s, every %d", what, acc.test->name, acc.bias,
             acc.rounding < ROUNDING_COUNT ? rounding_name(acc.rounding) : "stochastic otherwise",
             (int)acc.every);
    product_check(p, expected, name);
  }
  free(expected);
  grid_free(&acc.grid);
  product_free(p);
}

static const format_case *case_of(int i) {
  return i < TESLA_COUNT ? &TESLA[i] : &OTHERS[i - TESLA_COUNT];
}

/* Every accumulator in every mode, of products of all kinds. */
static void every_accumulator(void) {
  static const int kinds[] = {FINITE_ELEMENTS, CANCELLING_ELEMENTS, ANY_ELEMENTS,
                              ORDINARY_ELEMENTS};
  static const int64_t everys[] = {1, 1, 2, 3, 1000};
  const int count = TESLA_COUNT + OTHERS_COUNT;
  uint64_t random = 1;
  int turn = 0;
  for (int i = 0; i < count; ++i)
    for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding)
      for (int again = 0; again < 4; ++again, ++turn) {
        const format_case *test = case_of(i);
        const int type_a = turn % 5 == 0 ? CF_FLOAT32 : turn % 7 == 0 ? CF_BFLOAT16 : CF_CODES;
        const operand_kind a = {type_a, case_of(turn % count)};
        const operand_kind b = {turn % 11 == 0 ? CF_FLOAT32 : CF_CODES, case_of(turn / 3 % count)};
        const product_shape shape = {turn % 6 == 0 ? 2 : 0, 1 + turn % 4, 1 + turn % 23,
                                     1 + turn % 37};
        const int range = test->format.bias_max - test->format.bias_min;
        int bias = test->bias;
        if (is_brief() && turn % 5 != 0) continue;
        if (again > 1)
          bias = test->format.bias_min + (int)random_below(&random, (uint64_t)range + 1);
        test_product p = product_new(
            a, b, shape, kinds[turn % 4], again == 0 ? USUAL_BIAS : turn % BIAS_KINDS,
            again == 0 ? USUAL_BIAS : turn / 5 % BIAS_KINDS, turn % LAYOUT_KINDS, &random);
        multiply(&p, accumulator_new(test, bias, rounding, everys[turn / 2 % 5]), "accumulators");
      }
}

/* Sums of much the same size as the format's values, which cross its whole range. */
static void usual_sums(void) {
  static const operand_kind narrow = {CF_CODES, &TESLA[0]}, wide = {CF_FLOAT32, &TESLA[0]};
  uint64_t random = 2;
  for (int i = 0; i < TESLA_COUNT; ++i)
    for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding) {
      if (is_brief() && (i + rounding) % 3 != 0) continue;
      test_product p = product_new(narrow, wide, (product_shape){0, 7, 20, 9}, ORDINARY_ELEMENTS,
                                   USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, &random);
      multiply(&p, accumulator_new(&TESLA[i], TESLA[i].bias, rounding, 1), "usual sums");
    }
}

/* Several tiles, blocks of the inner axis and threads. */
static void large_ones(void) {
  static const operand_kind narrow = {CF_CODES, &TESLA[0]}, wide = {CF_CODES, &TESLA[6]};
  static const product_shape shapes[] = {{0, 3, 60, 700},   {0, 700, 60, 3}, {3, 20, 30, 80},
                                         {0, 1, 1000, 200}, {0, 9, 3, 257},  {0, 2, 129, 2},
                                         {0, 300, 5, 1}};
  uint64_t random = 3;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
    for (int rounding = 0; rounding <= CF_STOCHASTIC; rounding += CF_STOCHASTIC) {
      if (is_brief() && i != 4 && i != 5) continue;
      test_product p = product_new(narrow, i % 2 ? wide : narrow, shapes[i], FINITE_ELEMENTS,
                                   LINE_BIASES, BLOCK_BIASES, (int)i % LAYOUT_KINDS, &random);
      multiply(&p, accumulator_new(&TESLA[7], 15, rounding, 1 + (int64_t)i % 3), "large");
    }
}

/* Other ways of rounding stochastically. */
static void few_random_bits(void) {
  static const operand_kind narrow = {CF_CODES, &TESLA[1]};
  uint64_t random = 4;
  for (int variant = CF_STOCHASTIC_A; variant <= CF_STOCHASTIC_C; ++variant)
    for (int bits = 1; bits <= 32; bits += 5) {
      test_product p = product_new(narrow, narrow, (product_shape){0, 3, 12, 20}, FINITE_ELEMENTS,
                                   USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, &random);
      multiply(&p, accumulator_new(&TESLA[3], 12, CF_STOCHASTIC + 16 * variant + 256 * bits, 1),
               "random bits");
    }
}

static void empty_ones(void) {
  static const operand_kind narrow = {CF_CODES, &TESLA[0]};
  static const product_shape shapes[] = {{0, 0, 3, 4}, {0, 3, 0, 4}, {0, 3, 4, 0}, {2, 2, 0, 3}};
  uint64_t random = 5;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
    test_product p = product_new(narrow, narrow, shapes[i], FINITE_ELEMENTS, INNER_BIASES,
                                 USUAL_BIAS, SPACED, &random);
    multiply(&p, accumulator_new(&TESLA[0], 7, CF_TIES_TO_EVEN, 1), "empty");
  }
}

static void wrong_arguments(void) {
  static const operand_kind narrow = {CF_CODES, &TESLA[0]};
  uint64_t random = 6;
  for (int wrong = 0; wrong < 8; ++wrong) {
    test_product p = product_new(narrow, narrow, (product_shape){2, 2, 3, 2}, FINITE_ELEMENTS,
                                 USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, &random);
    cf_format format = TESLA[6].format;
    int bias = 15, rounding = CF_STOCHASTIC, expected = CF_BAD_LAYOUT;
    int64_t every = 1;
    product_clear(&p);
    switch (wrong) {
      case 0:
        p.product.a.type = CF_INT8;
        expected = CF_BAD_TYPE;
        break;
      case 1: p.product.rows = -1; break;
      case 2:
        p.biases[1][0] = 64;
        expected = CF_BAD_BIAS;
        break;
      case 3:
        format.mantissa_bits = 16;
        expected = CF_BAD_FORMAT;
        break;
      case 4:
        bias = 64;
        expected = CF_BAD_BIAS;
        break;
      case 5:
        bias = -1;
        expected = CF_BAD_BIAS;
        break;
      case 6:
        rounding = CF_TIES_TO_ZERO + 1;
        expected = CF_BAD_ROUNDING;
        break;
      default: every = 0; break;
    }
    const int status =
        cf_matmul_rounded(&p.product, &format, bias, rounding, SEED, OFFSET, 9, every, 2);
    CHECK(status == expected, "wrong argument %d: status %d, expected %d", wrong, status, expected);
    for (size_t i = 0; i < p.results_size; ++i) CHECK((unsigned char)p.results[i] == 0xA5, "wrote");
    product_free(&p);
  }
}

void test_matmul_rounded(void) {
  every_accumulator();
  usual_sums();
  large_ones();
  few_random_bits();
  empty_ones();
  wrong_arguments();
}
