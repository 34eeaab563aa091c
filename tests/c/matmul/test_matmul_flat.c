/* Products from a flat list of arguments: the bits of cf_matmul and cf_matmul_exact, and what is
 * refused. */
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/products.h"
#include "support/tests.h"

static int flat(const test_product *p, int accumulate, int bias_a, int bias_b, int threads) {
  const cf_product *product = &p->product;
  const cf_matrix *a = &product->a, *b = &product->b;
  return cf_matmul_flat(accumulate, product->rows, product->inner, product->columns, a->type,
                        a->format, bias_a, a->elements, a->strides[0], a->strides[1], b->type,
                        b->format, bias_b, b->elements, b->strides[0], b->strides[1],
                        product->results, product->result_strides[0], product->result_strides[1],
                        threads);
}

static int contiguous(const test_product *p, int accumulate, int a_bias, int b_bias, int threads) {
  const cf_product *product = &p->product;
  const cf_matrix *a = &product->a, *b = &product->b;
  const int64_t matrices = product->stack_ndim == 0 ? 1 : product->stack_shape[0];
  return cf_matmul_contiguous(accumulate, matrices, product->rows, product->inner, product->columns,
                              a->type, a->format, a_bias, a->elements, b->type, b->format, b_bias,
                              b->elements, product->results, threads);
}

static int biased(const test_product *p, int accumulate, int threads) {
  const cf_product *product = &p->product;
  const cf_matrix *a = &product->a, *b = &product->b;
  return cf_matmul_biased(accumulate, product->rows, product->inner, product->columns, a->type,
                          a->format, 12345, a->elements, a->strides[0], a->strides[1], a->biases,
                          a->bias_strides[0], a->bias_strides[1], a->bias_block[0],
                          a->bias_block[1], b->type, b->format, 12345, b->elements, b->strides[0],
                          b->strides[1], b->biases, b->bias_strides[0], b->bias_strides[1],
                          b->bias_block[0], b->bias_block[1], product->results,
                          product->result_strides[0], product->result_strides[1], threads);
}

static int bias_of(const cf_matrix *matrix) {
  return matrix->type == CF_CODES ? matrix->biases[0] : 12345; /* which nobody looks at */
}

static void same_bits(operand_kind a, operand_kind b, product_shape shape, int bias_kind,
                      int layout, uint64_t *random) {
  test_product p = product_new(a, b, shape, FINITE_ELEMENTS, bias_kind, bias_kind, layout, random);
  char *expected = allocate(p.results_size);
  for (int accumulate = CF_ACCUMULATE_FLOAT32; accumulate <= CF_ACCUMULATE_EXACT; ++accumulate) {
    const int threads = 1 + (int)random_below(random, 3);
    product_clear(&p);
    int status = (accumulate == CF_ACCUMULATE_EXACT ? cf_matmul_exact : cf_matmul)(&p.product, 1);
    CHECK(status == CF_OK, "status %d", status);
    memcpy(expected, p.results, p.results_size);
    if (shape.stack == 0) {
      product_clear(&p);
      status = biased(&p, accumulate, threads);
      CHECK(status == CF_OK, "status %d", status);
      CHECK(memcmp(p.results, expected, p.results_size) == 0, "biases %d, layout %d, accumulate %d",
            bias_kind, layout, accumulate);
    }
    if (bias_kind > USUAL_BIAS) continue; /* several */
    if (shape.stack == 0) {
      product_clear(&p);
      status = flat(&p, accumulate, bias_of(&p.product.a), bias_of(&p.product.b), threads);
      CHECK(status == CF_OK, "status %d", status);
      CHECK(memcmp(p.results, expected, p.results_size) == 0,
            "%s @ %s, %lld x %lld x %lld, layout %d, accumulate %d", type_name(a.type),
            type_name(b.type), (long long)shape.rows, (long long)shape.inner,
            (long long)shape.columns, layout, accumulate);
    }
    if (layout != ROW_MAJOR) continue;
    product_clear(&p);
    status = contiguous(&p, accumulate, bias_of(&p.product.a), bias_of(&p.product.b), threads);
    CHECK(status == CF_OK, "status %d", status);
    CHECK(memcmp(p.results, expected, p.results_size) == 0,
          "contiguous, %lld of %lld x %lld x %lld"
          ", accumulate %d",
          (long long)shape.stack, (long long)shape.rows, (long long)shape.inner,
          (long long)shape.columns, accumulate);
  }
  free(expected);
  product_free(&p);
}

/* Whether a status comes back, and nothing was written. */
static void refused(test_product *p, int accumulate, int bias_a, int bias_b, int expected) {
  char *before = allocate(p->results_size);
  product_clear(p);
  memcpy(before, p->results, p->results_size);
  const int status = flat(p, accumulate, bias_a, bias_b, 1);
  CHECK(status == expected, "status %d, expected %d", status, expected);
  const int other = contiguous(p, accumulate, bias_a, bias_b, 1);
  CHECK(other == expected, "contiguous: status %d, expected %d", other, expected);
  CHECK(memcmp(p->results, before, p->results_size) == 0, "wrote results, status %d", status);
  free(before);
}

static void arguments(uint64_t *random) {
  const operand_kind codes = {CF_CODES, &TESLA[0]};
  const product_shape shape = {0, 3, 4, 5};
  test_product p =
      product_new(codes, codes, shape, FINITE_ELEMENTS, USUAL_BIAS, USUAL_BIAS, ROW_MAJOR, random);
  const int bias = TESLA[0].bias, low = TESLA[0].format.bias_min, high = TESLA[0].format.bias_max;
  cf_format wrong = TESLA[0].format;
  wrong.mantissa_bits = 16;
  for (int accumulate = CF_ACCUMULATE_FLOAT32; accumulate <= CF_ACCUMULATE_EXACT; ++accumulate) {
    refused(&p, accumulate, low - 1, bias, CF_BAD_BIAS);
    refused(&p, accumulate, bias, high + 1, CF_BAD_BIAS);
    refused(&p, accumulate, bias + 65536, bias, CF_BAD_BIAS); /* the same in 16 bits */
    p.product.b.type = CF_FLOAT64;
    refused(&p, accumulate, bias, bias, CF_BAD_TYPE);
    p.product.b.type = CF_CODES;
    p.product.a.format = &wrong;
    refused(&p, accumulate, bias, bias, CF_BAD_FORMAT);
    p.product.a.format = &TESLA[0].format;
    p.product.rows = -1;
    refused(&p, accumulate, bias, bias, CF_BAD_LAYOUT);
    p.product.rows = shape.rows;
    CHECK(cf_matmul_contiguous(accumulate, -1, 3, 4, 5, CF_CODES, p.product.a.format, bias,
                               p.product.a.elements, CF_CODES, p.product.b.format, bias,
                               p.product.b.elements, p.product.results, 1) == CF_BAD_LAYOUT,
          "a stack of -1 matrices");
    CHECK(cf_matmul_contiguous(accumulate, 0, 3, 4, 5, CF_CODES, p.product.a.format, bias,
                               p.product.a.elements, CF_CODES, p.product.b.format, bias,
                               p.product.b.elements, p.product.results, 1) == CF_OK,
          "a stack of no matrices");
  }
  p.product.a.bias_block[0] = 0;
  CHECK(biased(&p, CF_ACCUMULATE_FLOAT32, 1) == CF_BAD_LAYOUT, "a block has a row");
  p.product.a.bias_block[0] = 1;
  refused(&p, CF_ACCUMULATE_EXACT + 1, bias, bias, CF_BAD_TYPE);
  refused(&p, -1, bias, bias, CF_BAD_TYPE);
  product_free(&p);
}

/* Of one bias one kind for each shape and layout; of several, one pair of operands in four, by
 * turns. Where products are to be fewer, a third of all these. */
static int is_tried(int shape, int pair, int layout, int bias_kind) {
  const int turn = shape + pair + layout + bias_kind;
  const int is_one = bias_kind <= USUAL_BIAS;
  if (is_one ? bias_kind != LEAST_BIAS + (shape + layout) % 3 : turn % 4 != 0) return 0;
  return !is_brief() || turn % 3 == 0;
}

void test_matmul_flat(void) {
  static const product_shape shapes[] = {
      {0, 1, 1, 1}, {0, 4, 4, 4},     {0, 1, 64, 33}, {0, 33, 65, 2}, {0, 19, 40, 37}, {0, 3, 0, 5},
      {0, 0, 4, 4}, {0, 70, 90, 110}, {7, 5, 16, 9},  {2, 3, 0, 5},   {3, 40, 90, 60}};
  const operand_kind kinds[] = {
      {CF_CODES, &TESLA[0]}, {CF_CODES, &TESLA[6]}, {CF_FLOAT32, NULL}, {CF_BFLOAT16, NULL}};
  const int count = (int)(sizeof kinds / sizeof kinds[0]);
  uint64_t random = 14;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; ++i)
    for (int a = 0; a < count; ++a)
      for (int b = 0; b < count; ++b)
        for (int layout = 0; layout < LAYOUT_KINDS; ++layout)
          for (int bias_kind = LEAST_BIAS; bias_kind < BIAS_KINDS; ++bias_kind)
            if (is_tried((int)i, a + b, layout, bias_kind))
              same_bits(kinds[a], kinds[b], shapes[i], bias_kind, layout, &random);
  arguments(&random);
}
