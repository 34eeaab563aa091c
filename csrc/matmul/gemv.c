/* Products of few rows: the other operand is read once, and not packed. */
#include <stdlib.h>
#include <string.h>

#include "cpu/threads.h"
#include "matmul/multiplication.h"

enum { LINE_PIECE = 2048, INNER_PIECE = 1024 }; /* at a time */
_Static_assert(LINE_PIECE % CF_GEMV_CODES == 0, "rows of sums have room for whole vectors");

typedef struct gemv_task {
  const cf_multiplication *m;
  const cf_tiles *codes, *values; /* kernels for codes that are looked up, or NULL; for others */
  const float *x;                 /* a's values, rows x_step apart, in the order of the kernel */
  int64_t x_step;
} gemv_task;

static int is_by_line(const cf_multiplication *m) {
  return m->b.of.inner_stride == (int64_t)m->b.of.size;
}

static void put_results(const cf_multiplication *m, int64_t line, int64_t lines, const float *sums,
                        int64_t sums_step) {
  for (int64_t r = 0; r < m->rows; ++r)
    for (int64_t i = 0; i < lines; ++i) {
      float result = sums[r * sums_step + i];
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
    if (task->codes != NULL) {
      const cf_gemv gemv = {&m->table_b,
                            (const uint8_t *)m->b.of.elements + line * m->b.of.line_stride,
                            by_line ? m->b.of.line_stride : m->b.of.inner_stride,
                            lines,
                            m->inner,
                            task->x,
                            task->x_step,
                            (int)m->rows,
                            sums,
                            LINE_PIECE};
      (by_line ? task->codes->dot_codes : task->codes->update_codes)(&gemv);
    } else {
      (by_line ? dot_lines : update_lines)(task, line, lines, sums);
    }
    put_results(m, line, lines, sums, LINE_PIECE);
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

int cf_matmul_gemv(cf_multiplication *m) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  gemv_task task = {m, NULL, cf_active_tiles(CF_PACKED_FLOAT32), NULL, 0};
  task.x_step = cf_multiple(m->inner, CF_GEMV_CODES);
  /* and a row before it is arranged */
  if ((uint64_t)task.x_step > SIZE_MAX / ((CF_GEMV_ROWS_MAX + 1) * sizeof *task.x))
    return CF_NO_MEMORY;
  float *x = malloc((size_t)((m->rows + 1) * task.x_step) * sizeof *x);
  if (x == NULL) return CF_NO_MEMORY;
  task.x = x;
  if (bfloat16 != NULL && bfloat16->dot_codes != NULL && cf_scaled_table(&m->b, 0, &m->table_b))
    task.codes = bfloat16;
  const int arranges = task.codes != NULL && is_by_line(m);
  float *plain = x + m->rows * task.x_step;
  for (int64_t r = 0; r < m->rows; ++r) {
    float *to = x + r * task.x_step;
    decode_row(m, r, arranges ? plain : to);
    if (arranges) task.codes->arrange_codes(plain, m->inner, to);
  }
  cf_run_threads(m->threads, multiply_lines, &task);
  free(x);
  return CF_OK;
}
