/* Products of few rows: the other operand is read once, and not packed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/threads.h"
#include "matmul/multiplication.h"

enum { LINE_PIECE = 2048, INNER_PIECE = 1024 }; /* at a time */
_Static_assert(LINE_PIECE % CF_GEMV_CODES == 0, "rows of sums have room for whole vectors");

/* The kernels of codes as they are, and what becomes of them. */
typedef struct code_kernels {
  cf_gemv_kernel *dot, *update; /* or NULL: codes become float32 first */
  const cf_bytes *table;
  cf_fields fields;
  float scale; /* of sums */
} code_kernels;

typedef struct gemv_task {
  const cf_multiplication *m;
  const cf_tiles *values;
  code_kernels codes;
  const float *x;                 /* a's values, rows x_step apart, in the order of the kernel */
  int64_t x_step;
} gemv_task;

static int is_by_line(const cf_multiplication *m) {
  return m->b.of.inner_stride == (int64_t)m->b.of.size;
}

static void put_results(const gemv_task *task, int64_t line, int64_t lines, const float *sums,
                        int64_t sums_step) {
  const cf_multiplication *m = task->m;
  for (int64_t r = 0; r < m->rows; ++r)
    for (int64_t i = 0; i < lines; ++i) {
      float result = sums[r * sums_step + i] * task->codes.scale;
      if (m->row_scale != NULL && !m->scaled_apart)
        result *= m->row_scale[r] * m->column_scale[line + i];
      if (isnan(result)) result = CF_FLOAT32_NAN;
      memcpy(cf_result_at(m, r, line + i), &result, sizeof result);
    }
}

/* Lines along which the inner elements are contiguous. */
static void dot_lines(const gemv_task *task, int64_t line, int64_t lines, float *sums) {
  const cf_multiplication *m = task->m;
  CF_ALIGNED(64) float values[INNER_PIECE];
  for (int64_t i = 0; i < lines; ++i) {
    float line_sums[CF_GEMV_ROWS_MAX] = {0};
    const char *from = m->b.of.elements + (line + i) * m->b.of.line_stride;
    for (int64_t k = 0; k < m->inner; k += INNER_PIECE) {
      const int64_t count = cf_at_most(INNER_PIECE, m->inner - k);
      cf_scaled_decode(&m->b, CF_ALONG_LINE, line + i, k, from + k * m->b.of.inner_stride, count,
                       values);
      task->values->dot(task->x + k, task->x_step, (int)m->rows, values, count, line_sums);
    }
    for (int64_t r = 0; r < m->rows; ++r) sums[r * LINE_PIECE + i] = line_sums[r];
  }
}

/* Lines of which elements of the same place are contiguous. */
static void update_lines(const gemv_task *task, int64_t line, int64_t lines, float *sums) {
  const cf_multiplication *m = task->m;
  CF_ALIGNED(64) float values[CF_UPDATES][LINE_PIECE];
  float x[CF_GEMV_ROWS_MAX][CF_UPDATES];
  const int64_t padded = cf_multiple(lines, CF_UPDATE_STEP);
  memset(sums, 0, CF_GEMV_ROWS_MAX * LINE_PIECE * sizeof *sums);
  for (int64_t i = 0; i < CF_UPDATES; ++i)
    memset(values[i] + lines, 0, (size_t)(padded - lines) * sizeof **values);
  for (int64_t k = 0; k < m->inner; k += CF_UPDATES) {
    for (int64_t i = 0; i < CF_UPDATES; ++i) {
      const char *from =
          m->b.of.elements + (k + i) * m->b.of.inner_stride + line * m->b.of.line_stride;
      if (k + i < m->inner)
        cf_scaled_decode(&m->b, CF_ACROSS_LINES, line, k + i, from, lines, values[i]);
      else
        memset(values[i], 0, sizeof values[i]);
      for (int64_t r = 0; r < m->rows; ++r)
        x[r][i] = k + i < m->inner ? task->x[r * task->x_step + k + i] : 0;
    }
    task->values->update(x[0], CF_UPDATES, (int)m->rows, values[0], LINE_PIECE, padded, sums,
                         LINE_PIECE);
  }
}

static void multiply_lines(void *context, int index) {
  const gemv_task *task = context;
  const cf_multiplication *m = task->m;
  const int by_line = is_by_line(m);
  CF_ALIGNED(64) float sums[CF_GEMV_ROWS_MAX * LINE_PIECE];
  int64_t begin, end;
  cf_share_of(m->columns, 1, m->threads, index, &begin, &end);
  const uint64_t state = task->values->enter();
  for (int64_t line = begin; line < end; line += LINE_PIECE) {
    const int64_t lines = cf_at_most(LINE_PIECE, end - line);
    if (task->codes.dot != NULL) {
      const cf_gemv gemv = {task->codes.table,
                            &task->codes.fields,
                            (const uint8_t *)m->b.of.elements + line * m->b.of.line_stride,
                            by_line ? m->b.of.line_stride : m->b.of.inner_stride,
                            lines,
                            m->inner,
                            task->x,
                            task->x_step,
                            (int)m->rows,
                            sums,
                            LINE_PIECE};
      (by_line ? task->codes.dot : task->codes.update)(&gemv);
    } else {
      (by_line ? dot_lines : update_lines)(task, line, lines, sums);
    }
    put_results(task, line, lines, sums, LINE_PIECE);
  }
  task->values->leave(state);
}

int cf_is_gemv(const cf_multiplication *m) {
  return m->rows <= CF_GEMV_ROWS_MAX &&
         (is_by_line(m) || m->b.of.line_stride == (int64_t)m->b.of.size);
}

/* a's row as float32 */
static void decode_row(const cf_multiplication *m, int64_t row, float *to) {
  const size_t step = m->a.of.size;
  char staged[INNER_PIECE * 4];
  for (int64_t k = 0; k < m->inner; k += INNER_PIECE) {
    const int64_t count = cf_at_most(INNER_PIECE, m->inner - k);
    cf_scaled_copy(&m->a, CF_ALONG_LINE, row, 1, k, count, staged, (int64_t)(step * INNER_PIECE));
    cf_scaled_decode(&m->a, CF_ALONG_LINE, row, k, staged, count, to + k);
  }
}

/* Whether a's values, but zeros and special ones, are from 2^low on and below 2^high. */
static int are_within(const float *x, int64_t count, int low, int high) {
  if (low < -126) low = -126;
  if (high > 128) high = 128;
  const uint32_t first = (uint32_t)(low + 127) << 23,
                 count_of_bits = ((uint32_t)(high + 127) << 23) - first;
  uint32_t beyond = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7FFFFFFFu;
    beyond |= (uint32_t)(bits - first >= count_of_bits) & (uint32_t)(bits != 0) &
              (uint32_t)(bits < 0x7F800000u);
  }
  return !beyond;
}

/* The kernels that take b's codes by their fields, if there are any, and no product of such values
 * with a's leaves float32's range, nor a sum of 2^32 of them. */
static int choose_fields(const gemv_task *task, code_kernels *codes) {
  const cf_multiplication *m = task->m;
  if (task->values->dot_fields == NULL || m->b.decodes_biases) return 0;
  if (!cf_scaled_fields(&m->b, &codes->fields)) return 0;
  const int scale = codes->fields.bias - m->b.bias, lowest = m->b.of.quantum - codes->fields.bias;
  if (scale < -126 || scale > 127) return 0;
  for (int64_t r = 0; r < m->rows; ++r)
    if (!are_within(task->x + r * task->x_step, m->inner, -126 - lowest, 127 - 32)) return 0;
  codes->dot = task->values->dot_fields;
  codes->update = task->values->update_fields;
  codes->scale = ldexpf(1, scale);
  return 1;
}

static void choose_kernels(gemv_task *task, cf_multiplication *m) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  task->codes = (code_kernels){.scale = 1};
  if (bfloat16 != NULL && bfloat16->dot_codes != NULL && cf_scaled_table(&m->b, 0, &m->table_b)) {
    task->codes.table = &m->table_b;
    task->codes.dot = bfloat16->dot_codes;
    task->codes.update = bfloat16->update_codes;
  } else {
    choose_fields(task, &task->codes);
  }
}

/* Put a's rows, one after the other, into the order that the kernel for lines has. */
static void arrange(const gemv_task *task, float *x, float *spare) {
  const cf_multiplication *m = task->m;
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  for (int64_t r = 0; r < m->rows; ++r) {
    float *row = x + r * task->x_step;
    memcpy(spare, row, (size_t)m->inner * sizeof *spare);
    if (task->codes.table != NULL)
      bfloat16->arrange_codes(spare, m->inner, row);
    else
      task->values->arrange_fields(task->codes.fields.size, spare, m->inner, row);
  }
}

int cf_matmul_gemv(cf_multiplication *m) {
  gemv_task task = {.m = m, .values = cf_active_tiles(CF_PACKED_FLOAT32)};
  task.x_step = cf_multiple(m->inner, CF_GEMV_CODES);
  if ((uint64_t)task.x_step > SIZE_MAX / ((CF_GEMV_ROWS_MAX + 1) * sizeof *task.x))
    return CF_NO_MEMORY;
  /* and one row to arrange the others */
  float *x = malloc((size_t)((m->rows + 1) * task.x_step) * sizeof *x);
  if (x == NULL) return CF_NO_MEMORY;
  task.x = x;
  for (int64_t r = 0; r < m->rows; ++r) decode_row(m, r, x + r * task.x_step);
  choose_kernels(&task, m);
  if (task.codes.dot != NULL && is_by_line(m)) arrange(&task, x, x + m->rows * task.x_step);
  cf_run_threads(m->threads, multiply_lines, &task);
  free(x);
  return CF_OK;
}
