/* Exact matrix products: every result is the exact sum, rounded once, and nothing else is
 * written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/long_sum.h"
#include "support/products.h"
#include "support/tests.h"

static const operand_kind NARROW = {CF_CODES, &TESLA[0]}, WIDE = {CF_CODES, &TESLA[6]};
static const operand_kind FLOAT32 = {CF_FLOAT32, &TESLA[0]}, BFLOAT16 = {CF_BFLOAT16, &TESLA[0]};

static float canonical_nan(void) {
  const uint32_t bits = 0x7FC00000u;
  float nan;
  memcpy(&nan, &bits, sizeof nan);
  return nan;
}

/* The sum of products of finite elements; and of the others, 0 if there are none. */
static double add_exactly(const test_product *p, int64_t stack, int64_t row, int64_t column,
                          long_sum *sum) {
  double special = 0; /* infinite or NaN if a product is */
  memset(sum, 0, sizeof *sum);
  for (int64_t k = 0; k < p->shape.inner; ++k) {
    const double a = product_value(p, 0, stack, row, k), b = product_value(p, 1, stack, k, column);
    if (isfinite(a) && isfinite(b))
      long_sum_add(sum, a * b); /* of 24 bits each: exact */
    else
      special += a * b;
  }
  return special;
}

static float exact_result(const test_product *p, int64_t stack, int64_t row, int64_t column) {
  long_sum sum;
  const double special = add_exactly(p, stack, row, column, &sum);
  if (isnan(special)) return canonical_nan();
  return isinf(special) ? (float)special : long_sum_float32(&sum);
}

/* Results of float64, rounded to odd. */
static void multiply_to_odd(const test_product *p, const char *what) {
  const int64_t stack = p->shape.stack == 0 ? 1 : p->shape.stack;
  const int64_t rows = p->shape.rows, columns = p->shape.columns;
  double *results = allocate((size_t)(stack * rows * columns) * sizeof *results);
  const int64_t strides[] = {8 * rows * columns, 8 * columns, 8};
  cf_product product = p->product;
  size_t wrong = 0;
  product.results = results;
  product.result_strides = strides + (p->shape.stack == 0);
  CHECK(cf_matmul_exact_to_odd(&product, 2) == CF_OK, "%s: to odd", what);
  for (int64_t i = 0; i < stack * rows * columns; ++i) {
    const uint64_t nan = (uint64_t)0x7FF8 << 48;
    long_sum sum;
    double expected = add_exactly(p, i / columns / rows, i / columns % rows, i % columns, &sum);
    if (isnan(expected))
      memcpy(&expected, &nan, sizeof nan);
    else if (!isinf(expected))
      expected = long_sum_odd(&sum);
    wrong += memcmp(&expected, &results[i], sizeof expected) != 0;
  }
  CHECK(wrong == 0, "%s: %zu to odd are wrong", what, wrong);
  free(results);
}

static float *exact_results(const test_product *p) {
  const int64_t stack = p->shape.stack == 0 ? 1 : p->shape.stack;
  float *results = allocate((size_t)(stack * p->shape.rows * p->shape.columns) * sizeof *results);
  size_t i = 0;
  for (int64_t s = 0; s < stack; ++s)
    for (int64_t row = 0; row < p->shape.rows; ++row)
      for (int64_t column = 0; column < p->shape.columns; ++column)
        results[i++] = exact_result(p, s, row, column);
  return results;
}

static void multiply(test_product *p, const char *what) {
  float *expected = exact_results(p);
  for (int threads = 1; threads <= 3; ++threads) {
    product_clear(p);
    const int status = cf_matmul_exact(&p->product, threads);
    CHECK(status == CF_OK, "%s: status %d", what, status);
    product_check(p, expected, what);
  }
  multiply_to_odd(p, what);
  free(expected);
  product_free(p);
}

static product_shape shape_of(int64_t rows, int64_t inner, int64_t columns) {
  const product_shape shape = {0, rows, inner, columns};
  return shape;
}

/* Up to one more than the largest tile. */
static void every_edge(void) {
  static const int64_t inners[] = {1, 2, 5};
  uint64_t random = 1;
  for (int64_t rows = 1; rows <= 9; ++rows)
    for (int64_t columns = 1; columns <= 25; ++columns) {
      const int64_t inner = inners[(rows + columns) % 3];
      test_product p = product_new(NARROW, NARROW, shape_of(rows, inner, columns), FINITE_ELEMENTS,
                                   USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, &random);
      multiply(&p, "edges");
      if ((rows + columns) % 4 != 0) continue;
      p = product_new(WIDE, FLOAT32, shape_of(rows, inner, columns), FINITE_ELEMENTS, LINE_BIASES,
                      USUAL_BIAS, COLUMN_MAJOR, &random);
      multiply(&p, "edges, several digits");
    }
}

/* All pairings of the formats, of those that others bring, and of values; with biases and layouts
 * of all kinds. */
static void every_pairing(void) {
  static const int kinds[] = {ANY_ELEMENTS, FINITE_ELEMENTS, CANCELLING_ELEMENTS, MAX_ELEMENTS};
  operand_kind operands[TESLA_COUNT + OTHERS_COUNT + 2];
  const int count = TESLA_COUNT + OTHERS_COUNT + 2;
  uint64_t random = 2;
  int turn = 0;
  for (int i = 0; i < count; ++i) {
    operands[i].type = CF_CODES;
    operands[i].test = i < TESLA_COUNT ? &TESLA[i] : &OTHERS[(i - TESLA_COUNT) % OTHERS_COUNT];
  }
  operands[count - 2] = FLOAT32;
  operands[count - 1] = BFLOAT16;
  for (int i = 0; i < count; ++i)
    for (int j = 0; j < count; ++j, ++turn) {
      const int64_t inner = 1 + turn % 37;
      if (is_brief() && turn % 7 != 0) continue;
      test_product p = product_new(
          operands[i], operands[j], shape_of(1 + turn % 5, inner, 1 + turn % 11), kinds[turn % 4],
          turn % BIAS_KINDS, turn / 3 % BIAS_KINDS, turn / 2 % LAYOUT_KINDS, &random);
      multiply(&p, "pairings");
    }
}

/* Every pair of the ways in which biases go with elements, where signs cancel. */
static void every_bias(void) {
  static const operand_kind operands[] = {
      {CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[3]}, {CF_CODES, &TESLA[7]}, {CF_CODES, &TESLA[11]}};
  uint64_t random = 3;
  for (int a = 0; a < BIAS_KINDS; ++a)
    for (int b = 0; b < BIAS_KINDS; ++b)
      for (int pair = 0; pair < 16; ++pair) {
        if (is_brief() && (a + b + pair) % 5 != 0) continue;
        test_product p = product_new(operands[pair / 4], operands[pair % 4], shape_of(5, 26, 7),
                                     CANCELLING_ELEMENTS, a, b, (a + pair) % LAYOUT_KINDS, &random);
        multiply(&p, "biases");
      }
}

/* More than one block of the inner axis, more than one panel packed at a time, and enough for sums
 * to be carried. */
static void long_ones(void) {
  static const struct {
    operand_kind a, b;
    int64_t rows, inner, columns;
    int elements;
    int biases;
  } products[] = {
      {{CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[0]}, 1, 200008, 1, HILL_ELEMENTS, USUAL_BIAS},
      {{CF_FLOAT32, &TESLA[0]}, {CF_FLOAT32, &TESLA[0]}, 1, 500000, 1, HILL_ELEMENTS, USUAL_BIAS},
      {{CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[0]}, 3, 479, 5, CANCELLING_ELEMENTS, USUAL_BIAS},
      {{CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[0]}, 2, 40001, 3, MAX_ELEMENTS, LEAST_BIAS},
      {{CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[0]}, 1, 100000, 1, FINITE_ELEMENTS, GREATEST_BIAS},
      {{CF_CODES, &TESLA[3]}, {CF_CODES, &TESLA[0]}, 2, 5001, 3, CANCELLING_ELEMENTS, BLOCK_BIASES},
      {{CF_CODES, &TESLA[6]}, {CF_CODES, &TESLA[6]}, 3, 2500, 3, MAX_ELEMENTS, LINE_BIASES},
      {{CF_CODES, &TESLA[6]}, {CF_CODES, &TESLA[6]}, 3, 2500, 3, CANCELLING_ELEMENTS, USUAL_BIAS},
      {{CF_CODES, &TESLA[9]}, {CF_CODES, &TESLA[9]}, 2, 1001, 2, FINITE_ELEMENTS, USUAL_BIAS},
      {{CF_FLOAT32, &TESLA[0]}, {CF_FLOAT32, &TESLA[0]}, 2, 700, 2, FINITE_ELEMENTS, USUAL_BIAS},
      {{CF_FLOAT32, &TESLA[0]}, {CF_FLOAT32, &TESLA[0]}, 2, 1700, 2, MAX_ELEMENTS, USUAL_BIAS},
      {{CF_FLOAT32, &TESLA[0]},
       {CF_CODES, &TESLA[3]},
       3,
       1234,
       2,
       CANCELLING_ELEMENTS,
       INNER_BIASES},
      {{CF_CODES, &TESLA[0]},
       {CF_BFLOAT16, &TESLA[0]},
       130,
       161,
       70,
       CANCELLING_ELEMENTS,
       LINE_BIASES},
      {{CF_CODES, &TESLA[6]}, {CF_CODES, &TESLA[3]}, 110, 170, 30, ANY_ELEMENTS, INNER_BIASES},
  };
  uint64_t random = 4;
  for (size_t i = 0; i < sizeof products / sizeof *products; ++i)
    for (int layout = 0; layout < LAYOUT_KINDS; layout += is_brief() ? 3 : 1) {
      if ((layout > 0 || is_brief()) && products[i].inner > 10000) continue;
      test_product p = product_new(
          products[i].a, products[i].b,
          shape_of(products[i].rows, products[i].inner, products[i].columns), products[i].elements,
          products[i].biases, products[i].biases, layout, &random);
      multiply(&p, "long");
    }
}

/* More sums than are held at a time; here they are exact in float64. */
static void wide_ones(void) {
  uint64_t random = 5;
  const product_shape shape = {0, is_brief() ? 300 : 1201, 2, 1100};
  test_product p = product_new(NARROW, NARROW, shape, FINITE_ELEMENTS, USUAL_BIAS, LINE_BIASES,
                               ROW_MAJOR, &random);
  float *expected = allocate((size_t)(shape.rows * shape.columns) * sizeof *expected);
  for (int64_t i = 0; i < shape.rows; ++i)
    for (int64_t j = 0; j < shape.columns; ++j)
      expected[i * shape.columns + j] =
          (float)(product_value(&p, 0, 0, i, 0) * product_value(&p, 1, 0, 0, j) +
                  product_value(&p, 0, 0, i, 1) * product_value(&p, 1, 0, 1, j)) +
          0.0f;
  for (int threads = 1; threads <= 3; threads += 2) {
    product_clear(&p);
    CHECK(cf_matmul_exact(&p.product, threads) == CF_OK, "wide");
    product_check(&p, expected, "wide");
  }
  free(expected);
  product_free(&p);
  p = product_new(FLOAT32, FLOAT32, shape_of(250, 3, is_brief() ? 20 : 410), FINITE_ELEMENTS,
                  USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, &random);
  multiply(&p, "wide, many digits");
  p = product_new(WIDE, WIDE, shape_of(3, 5, 700), ANY_ELEMENTS, USUAL_BIAS, USUAL_BIAS, ROW_MAJOR,
                  &random);
  multiply(&p, "wide, runs across lines");
}

/* Enough products for several threads, by rows and by columns. */
static void shared_ones(void) {
  uint64_t random = 6;
  test_product p = product_new(NARROW, NARROW, shape_of(161, 150, is_brief() ? 1 : 90),
                               CANCELLING_ELEMENTS, LINE_BIASES, LINE_BIASES, ROW_MAJOR, &random);
  multiply(&p, "shared");
  p = product_new(FLOAT32, FLOAT32, shape_of(3, 90, 100), FINITE_ELEMENTS, USUAL_BIAS, USUAL_BIAS,
                  REVERSED, &random);
  multiply(&p, "shared");
}

static void stacks(void) {
  static const product_shape shapes[] = {
      {1, 3, 4, 5}, {4, 3, 7, 2}, {3, 1, 1, 1}, {3, 2, 0, 2}, {400, 12, 40, 20}};
  uint64_t random = 7;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
    for (int layout = 0; layout < LAYOUT_KINDS; ++layout) {
      if (shapes[i].stack > 100 && (layout > 0 || is_brief())) continue;
      test_product p = product_new(NARROW, WIDE, shapes[i], FINITE_ELEMENTS, LINE_BIASES,
                                   BLOCK_BIASES, layout, &random);
      multiply(&p, "stacks");
    }
}

/* One matrix of a against each of b's stack. */
static void broadcast(void) {
  const product_shape shape = {3, 4, 9, 5};
  uint64_t random = 8;
  test_product p = product_new(NARROW, NARROW, shape, FINITE_ELEMENTS, USUAL_BIAS, USUAL_BIAS,
                               ROW_MAJOR, &random);
  p.strides[0][0] = 0;
  multiply(&p, "broadcast");
  p = product_new(FLOAT32, NARROW, shape_of(4, 9, 5), FINITE_ELEMENTS, USUAL_BIAS, USUAL_BIAS,
                  ROW_MAJOR, &random);
  p.strides[0][1] = p.strides[1][2] = 0;
  multiply(&p, "one row and one column");
}

static void empty_ones(void) {
  static const product_shape shapes[] = {
      {0, 0, 3, 4}, {0, 3, 0, 4}, {0, 3, 4, 0}, {0, 0, 0, 0}, {2, 2, 0, 3}};
  uint64_t random = 9;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
    test_product p = product_new(NARROW, FLOAT32, shapes[i], FINITE_ELEMENTS, INNER_BIASES,
                                 USUAL_BIAS, SPACED, &random);
    multiply(&p, "empty");
  }
}

/* float32's own range: overflow, ties, subnormals, and zeros that are +0. */
static void ends_of_range(void) {
  static const struct {
    float a[3], b[3];
    float expected;
  } rows[] = {
      {{0x1p100f, 0, 0}, {0x1p28f, 1, 1}, INFINITY},
      {{0x1p100f, 0x1p100f, 0}, {0x1p28f, -0x1.8p3f, 1}, 0x1.fffffep127f},
      /* a tie, and 2^128 is the even one */
      {{0x1.fffffep127f, 0x1p103f, 0}, {1, 1, 1}, INFINITY},
      {{0x1.fffffep127f, 0x1p103f, -0x1p-149f}, {1, 1, 0x1p-149f}, 0x1.fffffep127f},
      {{-0x1.8p127f, -0x1.8p127f, 0}, {1, 1, 1}, -INFINITY},
      {{0x1.8p127f, 0x1.8p127f, -0x1.8p127f}, {1, 1, 1}, 0x1.8p127f},
      {{0x1p-75f, 0, 0}, {0x1p-75f, 1, 1}, 0}, /* half of the least, a tie */
      {{0x1p-75f, 0x1p-149f, 0}, {0x1p-75f, 0x1p-149f, 1}, 0x1p-149f},
      /* 3.5 of the least, a tie */
      {{0x1.8p-75f, 0x1p-74f, 0}, {0x1p-74f, 0x1p-74f, 1}, 0x1p-147f},
      {{0x1p-126f, 0x1p-149f, 0}, {1, -1, 1}, 0x1.fffffcp-127f},
      {{-0.0f, -0.0f, -0.0f}, {1, 1, 1}, 0},
      {{-1, 1, -0.0f}, {1, 1, 1}, 0},
      {{1, 0x1p-24f, 0}, {1, 1, 1}, 1},
      {{1, 0x1p-24f, 0x1p-149f}, {1, 1, 0x1p-149f}, 0x1.000002p0f},
      {{-1, -0x1.8p-23f, 0}, {1, 1, 1}, -0x1.000004p0f},
  };
  uint64_t random = 10;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    test_product p = product_new(FLOAT32, FLOAT32, shape_of(1, 3, 1), FINITE_ELEMENTS, USUAL_BIAS,
                                 USUAL_BIAS, ROW_MAJOR, &random);
    memcpy(p.elements[0], rows[i].a, sizeof rows[i].a);
    memcpy(p.elements[1], rows[i].b, sizeof rows[i].b);
    const float expected = exact_result(&p, 0, 0, 0);
    CHECK(memcmp(&expected, &rows[i].expected, sizeof expected) == 0, "the oracle, row %zu: %a", i,
          (double)expected);
    multiply(&p, "ends of the range");
  }
}

static void specials(void) {
  static const float values[] = {INFINITY,  -INFINITY,      NAN, 0, -0.0f, 1, -2,
                                 0x1p-149f, 0x1.fffffep127f};
  const int count = sizeof values / sizeof *values;
  uint64_t random = 11;
  for (int turn = 0; turn < 300; ++turn) {
    const int64_t inner = 1 + turn % 4;
    test_product p = product_new(FLOAT32, turn % 2 ? FLOAT32 : (operand_kind){CF_CODES, &OTHERS[4]},
                                 shape_of(4, inner, 3), ANY_ELEMENTS, USUAL_BIAS, USUAL_BIAS,
                                 ROW_MAJOR, &random);
    for (int which = 0; which < 1 + turn % 2; ++which)
      for (int64_t i = 0; i < inner * (which == 0 ? 4 : 3); ++i)
        memcpy(p.elements[which] + i * 4, &values[random_below(&random, (uint64_t)count)], 4);
    multiply(&p, "infinities and NaNs");
  }
}

static void wrong_arguments(void) {
  uint64_t random = 12;
  const product_shape shape = {2, 2, 3, 2};
  for (int wrong = 0; wrong < 12; ++wrong) {
    test_product p = product_new(NARROW, NARROW, shape, FINITE_ELEMENTS, USUAL_BIAS, USUAL_BIAS,
                                 ROW_MAJOR, &random);
    cf_format format = TESLA[0].format;
    int expected = CF_BAD_LAYOUT;
    product_clear(&p);
    switch (wrong) {
      case 0:
        p.product.a.type = CF_FLOAT64;
        expected = CF_BAD_TYPE;
        break;
      case 1:
        p.product.b.type = -1;
        expected = CF_BAD_TYPE;
        break;
      case 2:
        format.exponent_bits = 0;
        p.product.b.format = &format;
        expected = CF_BAD_FORMAT;
        break;
      case 3: p.product.stack_ndim = -1; break;
      case 4: p.product.stack_ndim = CF_MAX_NDIM - 1; break;
      case 5: p.stack_shape[0] = -1; break;
      case 6: p.product.rows = -1; break;
      case 7: p.product.inner = -1; break;
      case 8: p.product.columns = -1; break;
      case 9: p.product.a.bias_block[1] = 0; break;
      case 10:
        p.biases[0][0] = 64;
        expected = CF_BAD_BIAS;
        break;
      default:
        p.biases[1][0] = -1;
        expected = CF_BAD_BIAS;
        break;
    }
    const int status = cf_matmul_exact(&p.product, 2);
    CHECK(status == expected, "wrong argument %d: status %d, expected %d", wrong, status, expected);
    product_free(&p);
  }
}

void test_matmul_exact(void) {
  every_edge();
  every_pairing();
  every_bias();
  long_ones();
  wide_ones();
  shared_ones();
  stacks();
  broadcast();
  empty_ones();
  ends_of_range();
  specials();
  wrong_arguments();
}
