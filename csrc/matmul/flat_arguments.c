/* Products of matrices from a flat list of arguments: their description for those that take one. */
#include <stddef.h>

#include "cfloat.h"
#include "core/format.h"

/* What the description of an operand points to: strides of a stack, of rows and of columns. */
enum { STACK, ROWS, COLUMNS };
typedef struct flat_matrix {
  int64_t strides[3], bias_strides[3];
  int16_t bias;
} flat_matrix;

static int describe(cf_matrix *matrix, flat_matrix *flat, int32_t type, const cf_format *format,
                    int bias, const int16_t *biases, const void *elements, int64_t row_stride,
                    int64_t column_stride) {
  const int has_bias = type == CF_CODES;
  if (has_bias && biases == NULL && (bias < format->bias_min || bias > format->bias_max))
    return CF_BAD_BIAS;
  flat->strides[STACK] = 0;
  flat->strides[ROWS] = row_stride;
  flat->strides[COLUMNS] = column_stride;
  flat->bias = (int16_t)bias;
  flat->bias_strides[STACK] = flat->bias_strides[ROWS] = flat->bias_strides[COLUMNS] = 0;
  matrix->type = type;
  matrix->format = format;
  matrix->elements = elements;
  matrix->strides = flat->strides + ROWS;
  matrix->biases = has_bias ? &flat->bias : NULL;
  matrix->bias_strides = flat->bias_strides + ROWS;
  matrix->bias_block[0] = matrix->bias_block[1] = INT64_MAX; /* one for all */
  return CF_OK;
}

/* Biases of codes that have several. */
static void add_biases(cf_matrix *matrix, flat_matrix *flat, const int16_t *biases,
                       int64_t row_stride, int64_t column_stride, int64_t block_rows,
                       int64_t block_columns) {
  if (biases == NULL || matrix->type != CF_CODES) return;
  flat->bias_strides[ROWS] = row_stride;
  flat->bias_strides[COLUMNS] = column_stride;
  matrix->biases = biases;
  matrix->bias_block[0] = block_rows;
  matrix->bias_block[1] = block_columns;
}

static int multiply(int32_t accumulate, cf_product *product, int64_t rows, int64_t inner,
                    int64_t columns, void *results, const int64_t *result_strides, int threads) {
  product->results = results;
  product->result_strides = result_strides;
  product->rows = rows;
  product->inner = inner;
  product->columns = columns;
  return (accumulate == CF_ACCUMULATE_EXACT ? cf_matmul_exact : cf_matmul)(product, threads);
}

int cf_matmul_flat(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns, int32_t a_type,
                   const cf_format *a_format, int a_bias, const void *a, int64_t a_row_stride,
                   int64_t a_column_stride, int32_t b_type, const cf_format *b_format, int b_bias,
                   const void *b, int64_t b_row_stride, int64_t b_column_stride, void *results,
                   int64_t result_row_stride, int64_t result_column_stride, int threads) {
  return cf_matmul_biased(accumulate, rows, inner, columns, a_type, a_format, a_bias, a,
                          a_row_stride, a_column_stride, NULL, 0, 0, 1, 1, b_type, b_format, b_bias,
                          b, b_row_stride, b_column_stride, NULL, 0, 0, 1, 1, results,
                          result_row_stride, result_column_stride, threads);
}

int cf_matmul_biased(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns,
                     int32_t a_type, const cf_format *a_format, int a_bias, const void *a,
                     int64_t a_row_stride, int64_t a_column_stride, const int16_t *a_biases,
                     int64_t a_bias_row_stride, int64_t a_bias_column_stride, int64_t a_block_rows,
                     int64_t a_block_columns, int32_t b_type, const cf_format *b_format, int b_bias,
                     const void *b, int64_t b_row_stride, int64_t b_column_stride,
                     const int16_t *b_biases, int64_t b_bias_row_stride,
                     int64_t b_bias_column_stride, int64_t b_block_rows, int64_t b_block_columns,
                     void *results, int64_t result_row_stride, int64_t result_column_stride,
                     int threads) {
  flat_matrix flat_a, flat_b;
  cf_product product;
  if (accumulate != CF_ACCUMULATE_FLOAT32 && accumulate != CF_ACCUMULATE_EXACT) return CF_BAD_TYPE;
  int status = describe(&product.a, &flat_a, a_type, a_format, a_bias, a_biases, a, a_row_stride,
                        a_column_stride);
  if (status != CF_OK) return status;
  status = describe(&product.b, &flat_b, b_type, b_format, b_bias, b_biases, b, b_row_stride,
                    b_column_stride);
  if (status != CF_OK) return status;
  add_biases(&product.a, &flat_a, a_biases, a_bias_row_stride, a_bias_column_stride, a_block_rows,
             a_block_columns);
  add_biases(&product.b, &flat_b, b_biases, b_bias_row_stride, b_bias_column_stride, b_block_rows,
             b_block_columns);
  const int64_t result_strides[] = {result_row_stride, result_column_stride};
  product.stack_ndim = 0;
  product.stack_shape = NULL;
  return multiply(accumulate, &product, rows, inner, columns, results, result_strides, threads);
}

int cf_matmul_contiguous(int32_t accumulate, int64_t matrices, int64_t rows, int64_t inner,
                         int64_t columns, int32_t a_type, const cf_format *a_format, int a_bias,
                         const void *a, int32_t b_type, const cf_format *b_format, int b_bias,
                         const void *b, void *results, int threads) {
  const int64_t a_size = (int64_t)cf_element_size(a_type, a_format);
  const int64_t b_size = (int64_t)cf_element_size(b_type, b_format);
  const int64_t result_size = sizeof(float);
  flat_matrix flat_a, flat_b;
  cf_product product;
  if (accumulate != CF_ACCUMULATE_FLOAT32 && accumulate != CF_ACCUMULATE_EXACT) return CF_BAD_TYPE;
  int status =
      describe(&product.a, &flat_a, a_type, a_format, a_bias, NULL, a, inner * a_size, a_size);
  if (status != CF_OK) return status;
  status =
      describe(&product.b, &flat_b, b_type, b_format, b_bias, NULL, b, columns * b_size, b_size);
  if (status != CF_OK) return status;
  const int64_t result_strides[] = {rows * columns * result_size, columns * result_size,
                                    result_size};
  product.stack_ndim = 0;
  product.stack_shape = NULL;
  if (matrices == 1)
    return multiply(accumulate, &product, rows, inner, columns, results, result_strides + ROWS,
                    threads);
  flat_a.strides[STACK] = rows * inner * a_size;
  flat_b.strides[STACK] = inner * columns * b_size;
  product.a.strides = flat_a.strides;
  product.b.strides = flat_b.strides;
  product.a.bias_strides = flat_a.bias_strides;
  product.b.bias_strides = flat_b.bias_strides;
  product.stack_ndim = 1;
  product.stack_shape = &matrices;
  return multiply(accumulate, &product, rows, inner, columns, results, result_strides, threads);
}
