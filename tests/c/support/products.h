/* Matrix products to test: operands of any type, biases and layout, and results among guards. */
#ifndef SUPPORT_PRODUCTS_H
#define SUPPORT_PRODUCTS_H

#include "support/oracle.h"

/* Which elements of an operand share a bias. */
typedef enum bias_kind {
  LEAST_BIAS,    /* all, the format's least */
  GREATEST_BIAS, /* all, its greatest */
  USUAL_BIAS,    /* all */
  LINE_BIASES,   /* those of a line: a's rows, b's columns */
  INNER_BIASES,  /* those of one place of the inner axis */
  BLOCK_BIASES,  /* blocks of 3 rows by 5 columns */
  BIAS_KINDS
} bias_kind;

typedef enum elements_kind {
  ANY_ELEMENTS,      /* any bits at all */
  FINITE_ELEMENTS,   /* any bits of finite values */
  ORDINARY_ELEMENTS, /* float32 and bfloat16 of a few binades; of codes as FINITE_ELEMENTS */
  /* the second half of the inner axis is the first, with b's signs changed here and there */
  CANCELLING_ELEMENTS,
  /* great ones, or one in four the least: sums rise far, and fall to what is left of the least */
  HILL_ELEMENTS,
  MAX_ELEMENTS /* all the greatest finite value, of random signs */
} elements_kind;

typedef enum layout_kind {
  ROW_MAJOR,
  COLUMN_MAJOR,
  REVERSED, /* both axes backwards */
  SPACED,   /* two elements between neighbours, and a few more between rows */
  LAYOUT_KINDS
} layout_kind;

/* An operand's type, and its format if it is CF_CODES. */
typedef struct operand_kind {
  int type;
  const format_case *test;
} operand_kind;

typedef struct product_shape {
  int64_t stack, rows, inner, columns; /* stack of 0: no axis for it */
} product_shape;

/* A product, and all that its pointers point to. */
typedef struct test_product {
  cf_product product;
  operand_kind kinds[2];
  product_shape shape;
  char *elements[2];
  int16_t *biases[2];
  int64_t strides[2][3], bias_strides[2][3], result_strides[3], stack_shape[1];
  char *results; /* memory of the results and what is around them */
  size_t results_size;
} test_product;

/* elements, biases and layout are of these kinds. */
test_product product_new(operand_kind a, operand_kind b, product_shape shape, int elements,
                         int bias_a, int bias_b, int layout, uint64_t *random);
void product_free(test_product *p);

/* The element of operand 0 or 1. */
number product_element(const test_product *p, int which, int64_t stack, int64_t row,
                       int64_t column);

/* Its value; infinities and NaNs too. */
double product_value(const test_product *p, int which, int64_t stack, int64_t row, int64_t column);

/* Before a call: fill the memory of the results. After it: whether the results are these, in
 * row-major order, and nothing else was written; else report. */
void product_clear(test_product *p);
void product_check(const test_product *p, const float *expected, const char *what);

#endif
