/* Matrix products. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"

/* The values of one matrix of a stack, rows x columns, in row-major order. */
static int decode_matrix(const cf_matrix *matrix, const char *elements, const char *biases,
                         const int64_t *strides, const int64_t *bias_strides, int64_t rows, int64_t columns,
                         float *values) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      const char *element = elements + i * strides[0] + j * strides[1];
      float *value = values + i * columns + j;
      int status;
      if (matrix->type == CF_FLOAT32) {
        memcpy(value, element, sizeof *value);
      } else if (matrix->type == CF_BFLOAT16) {
        uint16_t bits;
        memcpy(&bits, element, sizeof bits);
        const uint32_t wide = (uint32_t)bits << 16;
        memcpy(value, &wide, sizeof wide);
      } else {
        const int16_t bias = *(const int16_t *)(const void *)(biases + i / matrix->bias_block[0] * bias_strides[0] +
                                                              j / matrix->bias_block[1] * bias_strides[1]);
        status = cf_convert(matrix->format, bias, CF_CODES, element, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT32, value, 1,
                            1, NULL);
        if (status != CF_OK) return status;
      }
    }
  return CF_OK;
}

int cf_matmul(const cf_product *product, int threads) {
  const int64_t rows = product->rows, inner = product->inner, columns = product->columns;
  const int ndim = product->stack_ndim;
  int64_t count = 1;
  (void)threads;
  for (int axis = 0; axis < ndim; ++axis) count *= product->stack_shape[axis];
  float *a = malloc((size_t)(rows * inner + 1) * sizeof *a), *b = malloc((size_t)(inner * columns + 1) * sizeof *b);
  if (a == NULL || b == NULL) return CF_NO_MEMORY;
  for (int64_t index = 0; index < count; ++index) {
    const char *at_a = product->a.elements, *at_b = product->b.elements;
    const char *bias_a = (const char *)product->a.biases, *bias_b = (const char *)product->b.biases;
    char *result = (char *)product->results;
    int64_t rest = index;
    for (int axis = ndim - 1; axis >= 0; --axis) {
      const int64_t i = rest % product->stack_shape[axis];
      rest /= product->stack_shape[axis];
      at_a += i * product->a.strides[axis];
      at_b += i * product->b.strides[axis];
      if (bias_a != NULL) bias_a += i * product->a.bias_strides[axis];
      if (bias_b != NULL) bias_b += i * product->b.bias_strides[axis];
      result += i * product->result_strides[axis];
    }
    decode_matrix(&product->a, at_a, bias_a, product->a.strides + ndim,
                  bias_a != NULL ? product->a.bias_strides + ndim : NULL, rows, inner, a);
    decode_matrix(&product->b, at_b, bias_b, product->b.strides + ndim,
                  bias_b != NULL ? product->b.bias_strides + ndim : NULL, inner, columns, b);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        float sum = 0;
        for (int64_t k = 0; k < inner; ++k) sum += a[i * inner + k] * b[k * columns + j];
        memcpy(result + i * product->result_strides[ndim] + j * product->result_strides[ndim + 1], &sum, sizeof sum);
      }
  }
  free(a);
  free(b);
  return CF_OK;
}
