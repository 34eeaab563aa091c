/* A product of two matrices from a flat list of arguments: its description for those that take
 * stacks. */
#include <stddef.h>

#include "cfloat.h"
#include "core/format.h"

/* Parts of a description that are alike for all flat products. */
static const int64_t NO_STRIDES[2] = {0, 0};

/* What the description of an operand points to. */
typedef struct flat_matrix {
  int64_t strides[2];
  int16_t bias;
} flat_matrix;

static int describe(cf_matrix *matrix, flat_matrix *flat, int32_t type, const cf_format *format,
                    int bias, const void *elements, int64_t row_stride, int64_t column_stride) {
  const int has_bias = type == CF_CODES;
  if (has_bias && (bias < format->bias_min || bias > format->bias_max)) return CF_BAD_BIAS;
  flat->strides[0] = row_stride;
  flat->strides[1] = column_stride;
  flat->bias = (int16_t)bias;
  matrix->type = type;
  matrix->format = format;
  matrix->elements = elements;
  matrix->strides = flat->strides;
  matrix->biases = has_bias ? &flat->bias : NULL;
  matrix->bias_strides = NO_STRIDES;
  matrix->bias_block[0] = matrix->bias_block[1] = INT64_MAX; /* one for all */
  return CF_OK;
}

int cf_matmul_flat(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns, int32_t a_type,
                   const cf_format *a_format, int a_bias, const void *a, int64_t a_row_stride,
                   int64_t a_column_stride, int32_t b_type, const cf_format *b_format, int b_bias,
                   const void *b, int64_t b_row_stride, int64_t b_column_stride, void *results,
                   int64_t result_row_stride, int64_t result_column_stride, int threads) {
  const int64_t result_strides[2] = {result_row_stride, result_column_stride};
  flat_matrix flat_a, flat_b;
  cf_product product;
  if (accumulate != CF_ACCUMULATE_FLOAT32 && accumulate != CF_ACCUMULATE_EXACT) return CF_BAD_TYPE;
  int status =
      describe(&product.a, &flat_a, a_type, a_format, a_bias, a, a_row_stride, a_column_stride);
  if (status != CF_OK) return status;
  status =
      describe(&product.b, &flat_b, b_type, b_format, b_bias, b, b_row_stride, b_column_stride);
  if (status != CF_OK) return status;
  product.results = results;
  product.result_strides = result_strides;
  product.stack_ndim = 0;
  product.stack_shape = NULL;
  product.rows = rows;
  product.inner = inner;
  product.columns = columns;
  return (accumulate == CF_ACCUMULATE_EXACT ? cf_matmul_exact : cf_matmul)(&product, threads);
}

int cf_matmul_contiguous(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns,
                         int32_t a_type, const cf_format *a_format, int a_bias, const void *a,
                         int32_t b_type, const cf_format *b_format, int b_bias, const void *b,
                         void *results, int threads) {
  const int64_t a_size = (int64_t)cf_element_size(a_type, a_format);
  const int64_t b_size = (int64_t)cf_element_size(b_type, b_format);
  const int64_t result_size = sizeof(float);
  return cf_matmul_flat(accumulate, rows, inner, columns, a_type, a_format, a_bias, a,
                        inner * a_size, a_size, b_type, b_format, b_bias, b, columns * b_size,
                        b_size, results, columns * result_size, result_size, threads);
}
