/* The operands of a matrix product: checks, addresses, and decoding in either direction. */
#include "matmul/operand.h"

#include <string.h>

#include "convert/prepare.h"
#include "core/integers.h"

void cf_widen_bfloat16(const char *from, size_t count, void *to) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t half;
    memcpy(&half, from + i * sizeof half, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy((char *)to + i * sizeof bits, &bits, sizeof bits);
  }
}

static int check_matrix(const cf_matrix *matrix) {
  if (matrix->type == CF_FLOAT32 || matrix->type == CF_BFLOAT16) return CF_OK;
  if (matrix->type != CF_CODES) return CF_BAD_TYPE;
  if (matrix->bias_block[0] < 1 || matrix->bias_block[1] < 1) return CF_BAD_LAYOUT;
  return cf_format_check(matrix->format);
}

int cf_product_check(const cf_product *product, int64_t *stacked) {
  const int status_a = check_matrix(&product->a), status_b = check_matrix(&product->b);
  if (status_a != CF_OK) return status_a;
  if (status_b != CF_OK) return status_b;
  if (product->stack_ndim < 0 || product->stack_ndim > CF_MAX_NDIM - 2) return CF_BAD_LAYOUT;
  if (product->rows < 0 || product->inner < 0 || product->columns < 0) return CF_BAD_LAYOUT;
  *stacked = 1;
  for (int i = 0; i < product->stack_ndim; ++i) {
    if (product->stack_shape[i] < 0) return CF_BAD_LAYOUT;
    *stacked *= product->stack_shape[i];
  }
  return CF_OK;
}

/* How far matrix `index` of the stack is from the first. */
static int64_t offset_of(const cf_product *product, const int64_t *strides, int64_t index) {
  int64_t offset = 0;
  for (int axis = product->stack_ndim - 1; axis >= 0; --axis) {
    offset += index % product->stack_shape[axis] * strides[axis];
    index /= product->stack_shape[axis];
  }
  return offset;
}

const char *cf_matrix_elements(const cf_product *product, const cf_matrix *matrix, int64_t index) {
  return (const char *)matrix->elements + offset_of(product, matrix->strides, index);
}

const char *cf_matrix_biases(const cf_product *product, const cf_matrix *matrix, int64_t index) {
  if (matrix->type != CF_CODES) return NULL;
  return (const char *)matrix->biases + offset_of(product, matrix->bias_strides, index);
}

/* `inner` is the matrix's axis that is the inner one. */
static cf_operand operand_of(const cf_product *product, const cf_matrix *matrix, int64_t index,
                             int inner) {
  const int lines = 1 - inner, ndim = product->stack_ndim;
  cf_operand operand;
  memset(&operand, 0, sizeof operand);
  operand.type = matrix->type;
  operand.elements = cf_matrix_elements(product, matrix, index);
  operand.inner = product->inner;
  operand.line_stride = matrix->strides[ndim + lines];
  operand.inner_stride = matrix->strides[ndim + inner];
  operand.size = matrix->type == CF_FLOAT32 ? sizeof(uint32_t) : sizeof(uint16_t);
  operand.line_block = operand.inner_block = 1;
  if (matrix->type != CF_CODES) return operand;
  operand.rule = cf_rule_of(matrix->format, CF_TIES_TO_EVEN, 0, NULL);
  operand.decode = cf_decode_kernel_of(matrix->format, CF_FLOAT32);
  operand.bias_min = matrix->format->bias_min;
  operand.bias_max = matrix->format->bias_max;
  operand.quantum = cf_format_quantum(matrix->format);
  operand.size = operand.rule.code_size;
  operand.biases = cf_matrix_biases(product, matrix, index);
  operand.line_bias_stride = matrix->bias_strides[ndim + lines];
  operand.inner_bias_stride = matrix->bias_strides[ndim + inner];
  operand.line_block = matrix->bias_block[lines];
  operand.inner_block = matrix->bias_block[inner];
  return operand;
}

cf_operand cf_operand_a(const cf_product *product, int64_t index) {
  cf_operand operand = operand_of(product, &product->a, index, 1);
  operand.lines = product->rows;
  return operand;
}

cf_operand cf_operand_b(const cf_product *product, int64_t index) {
  cf_operand operand = operand_of(product, &product->b, index, 0);
  operand.lines = product->columns;
  return operand;
}

char *cf_product_results(const cf_product *product, int64_t index) {
  return (char *)product->results + offset_of(product, product->result_strides, index);
}

cf_direction cf_operand_direction(const cf_operand *operand) {
  return operand->lines > 1 &&
                 cf_magnitude(operand->line_stride) < cf_magnitude(operand->inner_stride)
             ? CF_ACROSS_LINES
             : CF_ALONG_LINE;
}

int cf_operand_has_line_biases(const cf_operand *operand) {
  return operand->biases == NULL || operand->inner_bias_stride == 0 ||
         operand->inner_block >= operand->inner;
}

int cf_operand_bias(const cf_operand *operand, int64_t line, int64_t k) {
  int16_t bias;
  memcpy(&bias,
         operand->biases + line / operand->line_block * operand->line_bias_stride +
             k / operand->inner_block * operand->inner_bias_stride,
         sizeof bias);
  return bias;
}

void cf_operand_bias_range(const cf_operand *operand, int64_t line, int *least, int *greatest) {
  const int64_t end = cf_operand_has_line_biases(operand) ? 1 : operand->inner;
  *least = *greatest = cf_operand_bias(operand, line, 0);
  for (int64_t k = operand->inner_block; k < end; k += operand->inner_block) {
    const int bias = cf_operand_bias(operand, line, k);
    if (bias < *least) *least = bias;
    if (bias > *greatest) *greatest = bias;
  }
}

int cf_operand_biases_allowed(const cf_operand *operand) {
  const int64_t step = operand->line_bias_stride == 0 ? operand->lines : operand->line_block;
  if (operand->biases == NULL || operand->inner == 0) return 1;
  for (int64_t line = 0; line < operand->lines; line += step) {
    int least, greatest;
    cf_operand_bias_range(operand, line, &least, &greatest);
    if (least < operand->bias_min || greatest > operand->bias_max) return 0;
  }
  return 1;
}

/* The biases of a run, in `stage` where they are not all the same; returns the step from one to the
 * next. */
static size_t biases_of_run(const cf_operand *operand, cf_direction direction, int64_t line,
                            int64_t k, size_t count, int16_t *stage) {
  const int by_line = direction == CF_ALONG_LINE;
  const int64_t stride = by_line ? operand->inner_bias_stride : operand->line_bias_stride;
  const int64_t block = by_line ? operand->inner_block : operand->line_block;
  int64_t at = by_line ? k : line;
  const int64_t end = at + (int64_t)count;
  stage[0] = (int16_t)cf_operand_bias(operand, line, k);
  if (stride == 0 || at / block == (end - 1) / block) return 0;
  for (size_t i = 0; at < end;) {
    const int16_t bias = (int16_t)cf_operand_bias(operand, by_line ? line : at, by_line ? at : k);
    const int64_t next = (at / block + 1) * block;
    for (; at < end && at < next; ++at) stage[i++] = bias;
  }
  return 1;
}

#define GATHER(type)                               \
  for (size_t i = 0; i < count; ++i) {             \
    memcpy((type *)stage + i, from, sizeof(type)); \
    from += stride;                                \
  }                                                \
  break

void cf_operand_decode(const cf_operand *operand, cf_direction direction, int64_t line, int64_t k,
                       size_t count, uint32_t *values) {
  const int64_t stride = direction == CF_ALONG_LINE ? operand->inner_stride : operand->line_stride;
  const char *from = operand->elements + line * operand->line_stride + k * operand->inner_stride;
  uint32_t gathered[CF_RUN_PIECE];
  if (stride != (int64_t)operand->size) {
    void *stage = operand->type == CF_FLOAT32 ? values : gathered;
    switch (operand->size) {
      case 1: GATHER(uint8_t);
      case 2: GATHER(uint16_t);
      default: GATHER(uint32_t);
    }
    from = stage;
  }
  if (operand->type == CF_CODES) {
    int16_t biases[CF_RUN_PIECE];
    const size_t step = biases_of_run(operand, direction, line, k, count, biases);
    operand->decode(&operand->rule, biases, step, from, values, count, NULL);
  } else if (operand->type == CF_BFLOAT16) {
    cf_widen_bfloat16(from, count, values);
  } else if (from != (const char *)values) {
    memcpy(values, from, count * sizeof *values);
  }
}
