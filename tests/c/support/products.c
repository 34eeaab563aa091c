#include "support/products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

enum { GUARD = 64, FILLING = 0xA5 };

static size_t operand_size(operand_kind kind) {
  return kind.type == CF_CODES ? type_size(&kind.test->format, CF_CODES)
                               : type_size(NULL, kind.type);
}

static int64_t stacked(const test_product *p) { return p->shape.stack == 0 ? 1 : p->shape.stack; }

static void set_strides(int64_t *strides, int layout, int64_t rows, int64_t columns, int64_t size) {
  strides[1] = columns * size;
  strides[2] = size;
  strides[0] = rows * columns * size;
  if (layout == COLUMN_MAJOR) {
    strides[1] = size;
    strides[2] = rows * size;
  } else if (layout == REVERSED) {
    strides[1] = -strides[1];
    strides[2] = -size;
  } else if (layout == SPACED) {
    strides[2] = 3 * size;
    strides[1] = (3 * columns + 5) * size;
    strides[0] = rows * strides[1];
  }
}

/* Where the first element is in memory that starts with the lowest. */
static int64_t first_offset(const int64_t *strides, int64_t rows, int64_t columns) {
  int64_t offset = 0;
  if (strides[1] < 0 && rows > 0) offset -= (rows - 1) * strides[1];
  if (strides[2] < 0 && columns > 0) offset -= (columns - 1) * strides[2];
  return offset;
}

static size_t memory_size(const int64_t *strides, int64_t stack, int64_t rows, int64_t columns,
                          int64_t size) {
  int64_t bytes = 16 + (stack + 1) * strides[0];
  for (int i = 1; i < 3; ++i)
    bytes += (i == 1 ? rows : columns) * (strides[i] < 0 ? -strides[i] : strides[i]);
  return (size_t)(bytes + size);
}

static char *element_at(const test_product *p, int which, int64_t stack, int64_t row,
                        int64_t column) {
  const int64_t *strides = p->strides[which];
  const cf_matrix *matrix = which == 0 ? &p->product.a : &p->product.b;
  /* the memory is this test's own, and may be written to */
  return p->elements[which] + ((const char *)matrix->elements - p->elements[which]) +
         stack * strides[0] + row * strides[1] + column * strides[2];
}

static uint64_t random_element(operand_kind kind, int elements, int64_t k, uint64_t *random) {
  const uint64_t bits = random_bits(random);
  if (kind.type == CF_CODES) {
    const cf_format *format = &kind.test->format;
    const unsigned sign = (unsigned)(bits >> 60 & 1) * sign_code(format);
    if (elements == ANY_ELEMENTS) return bits & ((1u << code_bits(format)) - 1);
    if (elements == MAX_ELEMENTS) return max_code(format) | sign;
    if (elements == HILL_ELEMENTS) return k % 4 == 0 ? 1 : max_code(format);
    return bits % (max_code(format) + 1) | sign;
  }
  uint32_t element = (uint32_t)bits;
  if (elements == MAX_ELEMENTS) element = 0x7F7FFFFFu | (element & 0x80000000u);
  if (elements == FINITE_ELEMENTS && (element & 0x7F800000u) == 0x7F800000u) element ^= 0x00800000u;
  if (elements == HILL_ELEMENTS) element = 0x3FC00000u | (element & 0x003FFFFFu);
  if (elements == ORDINARY_ELEMENTS || elements == CANCELLING_ELEMENTS)
    element = (element & 0x807FFFFFu) | (uint32_t)(120 + (bits >> 40) % 12) << 23;
  return kind.type == CF_BFLOAT16 ? element >> 16 : element;
}

static void fill(test_product *p, int which, int elements, uint64_t *random) {
  const operand_kind kind = p->kinds[which];
  const size_t size = operand_size(kind);
  const int64_t rows = which == 0 ? p->shape.rows : p->shape.inner;
  const int64_t columns = which == 0 ? p->shape.inner : p->shape.columns;
  const int64_t half = p->shape.inner / 2;
  const unsigned sign = kind.type == CF_CODES     ? sign_code(&kind.test->format)
                        : kind.type == CF_FLOAT32 ? 0x80000000u
                                                  : 0x8000u;
  for (int64_t s = 0; s < stacked(p); ++s)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t k = which == 0 ? j : i;
        uint64_t bits = random_element(kind, elements, k, random);
        const int cancels = (elements == CANCELLING_ELEMENTS && random_below(random, 50) != 0) ||
                            (elements == HILL_ELEMENTS && (kind.type != CF_CODES || k % 4 != 0));
        if (cancels && k >= half && k < 2 * half) {
          bits = load_bits(
              which == 0 ? element_at(p, 0, s, i, j - half) : element_at(p, 1, s, i - half, j),
              size);
          if (which == 1) bits ^= sign;
        }
        store_bits(element_at(p, which, s, i, j), size, bits);
      }
}

static void set_biases(test_product *p, int which, int kind, uint64_t *random) {
  const int64_t rows = which == 0 ? p->shape.rows : p->shape.inner;
  const int64_t columns = which == 0 ? p->shape.inner : p->shape.columns;
  const int inner = which == 0 ? 2 : 1;
  cf_matrix *matrix = which == 0 ? &p->product.a : &p->product.b;
  int64_t *strides = p->bias_strides[which];
  const size_t count = (size_t)((rows + 1) * (columns + 1) * stacked(p));
  strides[0] = strides[1] = strides[2] = 0;
  matrix->bias_block[0] = matrix->bias_block[1] = 1;
  p->biases[which] = allocate(count * sizeof(int16_t));
  if (p->kinds[which].type != CF_CODES) return;
  const format_case *test = p->kinds[which].test;
  const int least = test->format.bias_min, greatest = test->format.bias_max;
  for (size_t i = 0; i < count; ++i) {
    int bias = kind == LEAST_BIAS ? least : kind == GREATEST_BIAS ? greatest : test->bias;
    if (kind >= LINE_BIASES)
      bias = least + (int)random_below(random, (uint64_t)(greatest - least + 1));
    p->biases[which][i] = (int16_t)bias;
  }
  const int64_t size = sizeof(int16_t);
  if (kind == LINE_BIASES) {
    strides[3 - inner] = size;
    strides[0] = 7 * size * (stacked(p) > 1 && count > 7 * (size_t)(stacked(p) + rows + columns));
  } else if (kind == INNER_BIASES) {
    strides[inner] = size;
  } else if (kind == BLOCK_BIASES) {
    matrix->bias_block[0] = 3;
    matrix->bias_block[1] = 5;
    strides[1] = (columns + 4) / 5 * size;
    strides[2] = size;
    strides[0] = (rows + 2) / 3 * strides[1];
  }
}

test_product product_new(operand_kind a, operand_kind b, product_shape shape, int elements,
                         int bias_a, int bias_b, int layout, uint64_t *random) {
  /* the pointers of a copy lead to the same strides, so these are memory of their own */
  test_product p;
  memset(&p, 0, sizeof p);
  p.kinds[0] = a;
  p.kinds[1] = b;
  p.shape = shape;
  cf_matrix *const matrices[] = {&p.product.a, &p.product.b};
  for (int which = 0; which < 2; ++which) {
    const int64_t rows = which == 0 ? shape.rows : shape.inner,
                  columns = which == 0 ? shape.inner : shape.columns;
    const int64_t size = (int64_t)operand_size(p.kinds[which]);
    set_strides(p.strides[which], layout, rows, columns, size);
    p.elements[which] = allocate(memory_size(p.strides[which], stacked(&p), rows, columns, size));
    matrices[which]->type = p.kinds[which].type;
    matrices[which]->format = p.kinds[which].type == CF_CODES ? &p.kinds[which].test->format : NULL;
    matrices[which]->elements = p.elements[which] + first_offset(p.strides[which], rows, columns);
    fill(&p, which, elements, random);
    set_biases(&p, which, which == 0 ? bias_a : bias_b, random);
    matrices[which]->biases = p.biases[which];
  }
  set_strides(p.result_strides, layout, shape.rows, shape.columns, sizeof(float));
  p.results_size =
      memory_size(p.result_strides, stacked(&p), shape.rows, shape.columns, sizeof(float)) +
      2 * GUARD;
  p.results = allocate(p.results_size);
  p.product.stack_ndim = shape.stack != 0;
  p.product.rows = shape.rows;
  p.product.inner = shape.inner;
  p.product.columns = shape.columns;
  return p;
}

void product_free(test_product *p) {
  for (int which = 0; which < 2; ++which) {
    free(p->elements[which]);
    free(p->biases[which]);
  }
  free(p->results);
}

number product_element(const test_product *p, int which, int64_t stack, int64_t row,
                       int64_t column) {
  const operand_kind kind = p->kinds[which];
  const cf_matrix *matrix = which == 0 ? &p->product.a : &p->product.b;
  const uint64_t bits = load_bits(element_at(p, which, stack, row, column), operand_size(kind));
  const int64_t *strides = p->bias_strides[which];
  if (kind.type != CF_CODES) return number_of_bits(kind.type, bits);
  const int64_t offset = stack * strides[0] + row / matrix->bias_block[0] * strides[1] +
                         column / matrix->bias_block[1] * strides[2];
  return number_of_code(&kind.test->format, p->biases[which][offset / (int64_t)sizeof(int16_t)],
                        (unsigned)bits);
}

double product_value(const test_product *p, int which, int64_t stack, int64_t row, int64_t column) {
  const number x = product_element(p, which, stack, row, column);
  if (x.kind == NOT_A_NUMBER) return NAN;
  const double magnitude = x.kind == INFINITE ? INFINITY : x.magnitude;
  return x.sign ? -magnitude : magnitude;
}

static size_t result_offset(const test_product *p, int64_t stack, int64_t row, int64_t column) {
  const int64_t *strides = p->result_strides;
  return (size_t)(GUARD + first_offset(strides, p->shape.rows, p->shape.columns) +
                  stack * strides[0] + row * strides[1] + column * strides[2]);
}

/* A test_product may have been copied since it was made: pointers to its own arrays are set
 * here. */
void product_clear(test_product *p) {
  const int skipped = p->shape.stack == 0;
  memset(p->results, FILLING, p->results_size);
  p->product.a.strides = p->strides[0] + skipped;
  p->product.b.strides = p->strides[1] + skipped;
  p->product.a.bias_strides = p->bias_strides[0] + skipped;
  p->product.b.bias_strides = p->bias_strides[1] + skipped;
  p->product.result_strides = p->result_strides + skipped;
  p->stack_shape[0] = p->shape.stack;
  p->product.stack_shape = p->stack_shape;
  p->product.results = (float *)(void *)(p->results + result_offset(p, 0, 0, 0));
}

void product_check(const test_product *p, const float *expected, const char *what) {
  char *memory = allocate(p->results_size);
  memset(memory, FILLING, p->results_size);
  size_t i = 0;
  for (int64_t s = 0; s < stacked(p); ++s)
    for (int64_t row = 0; row < p->shape.rows; ++row)
      for (int64_t column = 0; column < p->shape.columns; ++column, ++i) {
        const char *got = p->results + result_offset(p, s, row, column);
        memcpy(memory + result_offset(p, s, row, column), expected + i, sizeof *expected);
        CHECK(memcmp(got, expected + i, sizeof *expected) == 0,
              "%s: %s %s @ %s %s, %lld: %lld x %lld x %lld: element %lld, %lld, %lld is %08llx, "
              "expected %08llx",
              what, type_name(p->kinds[0].type), p->kinds[0].test->name,
              type_name(p->kinds[1].type), p->kinds[1].test->name, (long long)p->shape.stack,
              (long long)p->shape.rows, (long long)p->shape.inner, (long long)p->shape.columns,
              (long long)s, (long long)row, (long long)column, bits_at(got, 4, 0),
              bits_at(expected, 4, i));
      }
  CHECK(memcmp(p->results, memory, p->results_size) == 0, "%s: wrote beyond results", what);
  free(memory);
}
