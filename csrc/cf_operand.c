/* Operands of matrix products. */
#include "cf_operand.h"

#include <string.h>

#include "cf_transpose.h"

/* Powers of two within which the values of an operand are, whatever their biases, so that no product of two leaves
 * float32's range. */
enum { HALF_RANGE = 58 };

static int field_max(const cf_format *format) {
  const int all_ones = (1 << format->exponent_bits) - 1;
  return format->nonfinite == CF_NONFINITE_IEEE ? all_ones - 1 : all_ones;
}

static void choose_bias(cf_operand *operand, const cf_format *format, int differ) {
  const int bottom = cf_format_quantum(format), top = field_max(format) + 1; /* exponents at bias 0 */
  const int lowest = bottom - format->bias_max, highest = top - format->bias_min;
  operand->along = 0;
  operand->bias = operand->shift = 0;
  if (!differ && (top - bottom) / 2 <= HALF_RANGE) {
    operand->bias = (top + bottom) / 2;
    operand->lowest = bottom - operand->bias;
    return;
  }
  operand->along = 1;
  if ((highest - lowest) / 2 <= HALF_RANGE) operand->shift = -(highest + lowest) / 2;
  operand->lowest = lowest + operand->shift;
}

void cf_operand_describe(cf_operand *operand, const cf_matrix *matrix, int stack_ndim, int line_axis, int64_t inner) {
  const int inner_axis = 1 - line_axis;
  memset(operand, 0, sizeof *operand);
  operand->type = matrix->type;
  operand->elements = matrix->elements;
  operand->line_step = matrix->strides[stack_ndim + line_axis];
  operand->inner_step = matrix->strides[stack_ndim + inner_axis];
  if (matrix->type != CF_CODES) {
    operand->size = matrix->type == CF_FLOAT32 ? 4 : 2;
    operand->lowest = -149;
    operand->significant = matrix->type == CF_FLOAT32 ? 24 : 8;
    return;
  }
  operand->biases = (const char *)matrix->biases;
  operand->bias_line_step = matrix->bias_strides[stack_ndim + line_axis];
  operand->bias_inner_step = matrix->bias_strides[stack_ndim + inner_axis];
  operand->bias_line_block = matrix->bias_block[line_axis];
  operand->bias_inner_block = matrix->bias_block[inner_axis];
  operand->rule.params = cf_format_params(matrix->format);
  operand->rule.code_size = operand->size = cf_code_size(matrix->format);
  operand->significant = matrix->format->mantissa_bits + 1;
  choose_bias(operand, matrix->format, operand->bias_inner_step != 0 && inner > operand->bias_inner_block);
  operand->decode = operand->lowest >= -126 ? cf_active_kernels()->decode[CF_FLOAT32] : NULL;
  if (operand->decode == NULL) operand->decode = cf_kernels_portable.decode[CF_FLOAT32];
}

static int16_t bias_at(const cf_operand *operand, int64_t line, int64_t inner) {
  int16_t bias;
  memcpy(&bias,
         operand->biases + line / operand->bias_line_block * operand->bias_line_step +
             inner / operand->bias_inner_block * operand->bias_inner_step,
         sizeof bias);
  return bias;
}

int cf_operand_exponent(const cf_operand *operand, int64_t line) {
  if (operand->type != CF_CODES) return 0;
  return operand->along ? -operand->shift : operand->bias - bias_at(operand, line, 0);
}

int cf_operand_table(const cf_operand *operand, uint16_t *table) {
  const int16_t bias = (int16_t)operand->bias;
  uint8_t codes[256];
  uint32_t values[256];
  if (operand->type != CF_CODES || operand->size != 1 || operand->along || operand->significant > 8) return 0;
  if (operand->rule.params.sign_mask != 0x80) return 0;
  for (int code = 0; code < 256; ++code) codes[code] = (uint8_t)code;
  operand->decode(&operand->rule, &bias, 0, codes, values, 256, NULL);
  for (int code = 0; code < 256; ++code) table[code] = (uint16_t)(values[code] >> 16);
  int is_symmetric = table[0] == 0;
  for (int code = 0; code < 128; ++code) is_symmetric &= table[code + 128] == (table[code] | 0x8000);
  return is_symmetric;
}

/* Elements whose biases are gathered at a time. */
enum { GATHERED = 256 };

/* Decode elements whose place along one axis changes: `line_moves` says which. */
static void decode_run(const cf_operand *operand, int64_t line, int64_t inner, int line_moves, const char *from,
                       int64_t count, float *to) {
  if (operand->type == CF_FLOAT32) {
    memcpy(to, from, (size_t)count * sizeof *to);
    return;
  }
  if (operand->type == CF_BFLOAT16) {
    for (int64_t i = 0; i < count; ++i) {
      uint16_t half;
      memcpy(&half, from + 2 * i, sizeof half);
      const uint32_t bits = (uint32_t)half << 16;
      memcpy(to + i, &bits, sizeof bits);
    }
    return;
  }
  const int64_t block = line_moves ? operand->bias_line_block : operand->bias_inner_block;
  const int64_t step = line_moves ? operand->bias_line_step : operand->bias_inner_step;
  const int64_t place = line_moves ? line : inner;
  int16_t biases[GATHERED];
  if (!operand->along || step == 0 || place / block == (place + count - 1) / block) {
    biases[0] = (int16_t)(operand->along ? bias_at(operand, line, inner) - operand->shift : operand->bias);
    operand->decode(&operand->rule, biases, 0, from, to, (size_t)count, NULL);
    return;
  }
  for (int64_t done = 0; done < count; done += GATHERED) {
    const int64_t part = count - done < GATHERED ? count - done : GATHERED;
    for (int64_t i = 0; i < part; ++i) {
      const int64_t at = done + i;
      biases[i] = (int16_t)((line_moves ? bias_at(operand, line + at, inner) : bias_at(operand, line, inner + at)) -
                            operand->shift);
    }
    operand->decode(&operand->rule, biases, 1, from + (size_t)done * operand->size, to + done, (size_t)part, NULL);
  }
}

void cf_operand_decode_line(const cf_operand *operand, int64_t line, int64_t inner, const char *from, int64_t count,
                            float *to) {
  decode_run(operand, line, inner, 0, from, count, to);
}

void cf_operand_decode_across(const cf_operand *operand, int64_t inner, int64_t line, const char *from,
                              int64_t count, float *to) {
  decode_run(operand, line, inner, 1, from, count, to);
}

#define COPY(type, i0, i1, j0, j1)                                                               \
  for (int64_t i = i0; i < (i1); ++i)                                                            \
    for (int64_t j = j0; j < (j1); ++j)                                                          \
  memcpy(to + i * to_step + j * (int64_t)sizeof(type), from + i * row_step + j * column_step, sizeof(type))

#if CF_CAN_TRANSPOSE
/* Where columns are contiguous, squares; what is left at the edges, one by one. */
#define TRANSPOSE(type, size)                                                                          \
  const int64_t side = 16 / size, whole_rows = rows - rows % side, whole_columns = columns - columns % side; \
  for (int64_t i = 0; i < whole_rows; i += side)                                                       \
    for (int64_t j = 0; j < whole_columns; j += side)                                                  \
      cf_transpose_##size(from + i * row_step + j * column_step, column_step, to + i * to_step + j * size, to_step); \
  COPY(type, 0, whole_rows, whole_columns, columns);                                                   \
  COPY(type, whole_rows, rows, 0, columns)
#else
#define TRANSPOSE(type, size) COPY(type, 0, rows, 0, columns)
#endif

/* Copy rows x columns elements of any strides into contiguous rows. */
#define DEFINE_COPY_ROWS(type, size)                                                               \
  static void copy_rows_##size(const char *from, int64_t row_step, int64_t column_step, int64_t rows, \
                               int64_t columns, char *to, int64_t to_step) {                       \
    if (row_step == size) {                                                                        \
      TRANSPOSE(type, size);                                                                       \
    } else {                                                                                       \
      COPY(type, 0, rows, 0, columns);                                                             \
    }                                                                                              \
  }
DEFINE_COPY_ROWS(uint8_t, 1)
DEFINE_COPY_ROWS(uint16_t, 2)
DEFINE_COPY_ROWS(uint32_t, 4)

static void copy_rows(size_t size, const char *from, int64_t row_step, int64_t column_step, int64_t rows,
                      int64_t columns, char *to, int64_t to_step) {
  if (column_step == (int64_t)size)
    for (int64_t i = 0; i < rows; ++i) memcpy(to + i * to_step, from + i * row_step, (size_t)columns * size);
  else
    (size == 1   ? copy_rows_1
     : size == 2 ? copy_rows_2
                 : copy_rows_4)(from, row_step, column_step, rows, columns, to, to_step);
}

void cf_operand_copy_lines(const cf_operand *operand, int64_t line, int64_t lines, int64_t inner, int64_t count,
                           char *to, int64_t to_step) {
  copy_rows(operand->size, operand->elements + line * operand->line_step + inner * operand->inner_step,
            operand->line_step, operand->inner_step, lines, count, to, to_step);
}

void cf_operand_copy_across(const cf_operand *operand, int64_t inner, int64_t count, int64_t line, int64_t lines,
                            char *to, int64_t to_step) {
  copy_rows(operand->size, operand->elements + line * operand->line_step + inner * operand->inner_step,
            operand->inner_step, operand->line_step, count, lines, to, to_step);
}
