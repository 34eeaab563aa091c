/* Products of few rows: the other operand is read once, and not packed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/threads.h"
#include "matmul/multiplication.h"

enum { SHARES_EACH = 4, LEAST_LINES = 64 }; /* of a thread, and of a share */
/* at a time; and as many lines as have sums that stay in the nearest cache, in the order of memory
 */
enum { LINE_PIECE = 2048, INNER_PIECE = 1024, BLOCK_LINES = 16, SUMS_OF_LINES = 8192 };
enum { SUMS = SUMS_OF_LINES + CF_GEMV_ROWS_MAX * CF_GEMV_CODES };

/* The kernels of codes as they are, and what becomes of them. */
typedef struct code_kernels {
  cf_gemv_kernel *dot, *update; /* or NULL: codes become float32 first */
  const cf_bytes *table;
  cf_fields fields;
  float scale;  /* of sums */
  int by_block; /* sums of blocks are scaled by 2^(block_exponent - bias) each */
  int block_exponent;
} code_kernels;

typedef struct gemv_task {
  const cf_multiplication *m;
  const cf_tiles *values;
  code_kernels codes;
  const float *x; /* a's values, rows x_step apart, in the order of the kernel */
  int64_t x_step;
  int64_t line_piece, sums_step;
  float *scales; /* for BLOCK_LINES lines of each thread, scales_step apart; or NULL */
  int64_t scales_step;
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
    for (int64_t r = 0; r < m->rows; ++r) sums[r * task->sums_step + i] = line_sums[r];
  }
}

/* Lines of which elements of the same place are contiguous. */
static void update_lines(const gemv_task *task, int64_t line, int64_t lines, float *sums) {
  const cf_multiplication *m = task->m;
  CF_ALIGNED(64) float values[CF_UPDATES][LINE_PIECE];
  float x[CF_GEMV_ROWS_MAX][CF_UPDATES];
  const int64_t padded = cf_multiple(lines, CF_UPDATE_STEP);
  memset(sums, 0, SUMS * sizeof *sums);
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
                         task->sums_step);
  }
}

static cf_gemv gemv_of(const gemv_task *task, int64_t line, int64_t lines, float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  cf_gemv gemv;
  memset(&gemv, 0, sizeof gemv);
  gemv.table = task->codes.table;
  gemv.fields = &task->codes.fields;
  gemv.codes = (const uint8_t *)of->elements + line * of->line_stride;
  gemv.step = is_by_line(m) ? of->line_stride : of->inner_stride;
  gemv.lines = lines;
  gemv.inner = m->inner;
  gemv.x = task->x;
  gemv.x_step = task->x_step;
  gemv.rows = (int)m->rows;
  gemv.sums = sums;
  gemv.sums_step = task->sums_step;
  return gemv;
}

/* The scale of a block, whose bias this is. */
static float block_scale(const gemv_task *task, const char *bias) {
  int16_t own;
  memcpy(&own, bias, sizeof own);
  const uint32_t bits = (uint32_t)(127 + task->codes.block_exponent - own) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

/* Blocks along lines: the kernel scales them. */
static void dot_blocks(const gemv_task *task, int thread, int64_t line, int64_t lines,
                       float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  float *scales = task->scales + thread * BLOCK_LINES * task->scales_step;
  for (int64_t i = 0; i < lines; i += BLOCK_LINES) {
    const int64_t some = cf_at_most(BLOCK_LINES, lines - i);
    for (int64_t j = 0; j < some; ++j) {
      float *to = scales + j * task->scales_step;
      const char *bias = of->biases + (line + i + j) / of->line_block * of->line_bias_stride;
      for (int64_t k = 0; k < m->inner; bias += of->inner_bias_stride) {
        const float scale = block_scale(task, bias);
        const int64_t end = of->inner_block > m->inner - k ? m->inner : k + of->inner_block;
        for (; k < end; k += CF_GEMV_BLOCK) *to++ = scale;
      }
      *to = 0;
    }
    cf_gemv gemv = gemv_of(task, line + i, some, sums + i);
    gemv.scales = scales;
    gemv.scales_step = task->scales_step;
    task->codes.dot(&gemv);
  }
}

/* Places of a block at a time, of which all lines have sums, that are scaled and added. */
static void update_blocks(const gemv_task *task, int64_t line, int64_t lines, float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  CF_ALIGNED(64) float part[SUMS];
  float scales[LINE_PIECE];
  for (int64_t r = 0; r < m->rows; ++r)
    memset(sums + r * task->sums_step, 0, (size_t)lines * sizeof *sums);
  for (int64_t k = 0; k < m->inner;) {
    const int64_t count =
        of->inner_bias_stride == 0 ? m->inner : cf_at_most(of->inner_block, m->inner - k);
    cf_gemv gemv = gemv_of(task, line, lines, part);
    gemv.codes += k * gemv.step;
    gemv.x += k;
    gemv.inner = count;
    task->codes.update(&gemv);
    const char *bias = of->biases + k / of->inner_block * of->inner_bias_stride +
                       line / of->line_block * of->line_bias_stride;
    int64_t left = of->line_block - line % of->line_block; /* of the first block */
    for (int64_t i = 0; i < lines; bias += of->line_bias_stride, left = of->line_block) {
      const float scale = block_scale(task, bias);
      const int64_t end = left > lines - i ? lines : i + left;
      for (; i < end; ++i) scales[i] = scale;
    }
    for (int64_t r = 0; r < m->rows; ++r)
      for (int64_t i = 0; i < lines; ++i)
        sums[r * task->sums_step + i] += part[r * task->sums_step + i] * scales[i];
    k += count;
  }
}

static void multiply_lines(void *context, int share, int thread) {
  const gemv_task *task = context;
  const cf_multiplication *m = task->m;
  const int by_line = is_by_line(m);
  CF_ALIGNED(64) float sums[SUMS];
  int64_t begin, end;
  cf_share_of(m->columns, 1, m->shares, share, &begin, &end);
  const uint64_t state = task->values->enter();
  for (int64_t line = begin; line < end; line += task->line_piece) {
    const int64_t lines = cf_at_most(task->line_piece, end - line);
    if (task->codes.dot == NULL) {
      (by_line ? dot_lines : update_lines)(task, line, lines, sums);
    } else if (!task->codes.by_block) {
      const cf_gemv gemv = gemv_of(task, line, lines, sums);
      (by_line ? task->codes.dot : task->codes.update)(&gemv);
    } else if (by_line) {
      dot_blocks(task, thread, line, lines, sums);
    } else {
      update_blocks(task, line, lines, sums);
    }
    put_results(task, line, lines, sums, task->sums_step);
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

/* Multiply a's elements by the scales of b's places, which are alike in all lines: whether all
 * products are exact. */
static int scale_places(const gemv_task *task, float *x) {
  const cf_multiplication *m = task->m;
  int exact = 1;
  const cf_operand *of = &m->b.of;
  for (int64_t k = 0; k < m->inner; ++k) {
    const float scale = block_scale(task, of->biases + k / of->inner_block * of->inner_bias_stride);
    for (int64_t r = 0; r < m->rows; ++r) {
      float *element = x + r * task->x_step + k;
      const float product = *element * scale;
      if (*element != 0 && isfinite(*element)) exact &= product != 0 && isfinite(product);
      *element = product;
    }
  }
  return exact;
}

/* The kernels for b's codes, if there are any that decode all with one bias, whatever theirs, and
 * no product of such values with a's leaves float32's range, nor a sum of 2^32 of them.  Otherwise
 * 0, and a's elements may be changed. */
static int choose_kernels(gemv_task *task, cf_multiplication *m, float *x) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  const cf_operand *of = &m->b.of;
  code_kernels *codes = &task->codes;
  *codes = (code_kernels){.scale = 1};
  const int looks_up = bfloat16 != NULL && bfloat16->dot_codes != NULL;
  if (looks_up && cf_scaled_table(&m->b, 0, &m->table_b)) {
    codes->table = &m->table_b;
    codes->dot = bfloat16->dot_codes;
    codes->update = bfloat16->update_codes;
    return 1;
  }
  if (task->values->dot_fields == NULL || !cf_scaled_fields(&m->b, &codes->fields)) return 0;
  const int bias = codes->fields.bias, lowest = of->quantum - bias;
  int own = 0; /* whether values are decoded as they are */
  if (m->b.decodes_biases) {
    const int along_inner = of->inner_bias_stride != 0 && of->inner_block < of->inner,
              along_lines = of->line_bias_stride != 0 && of->line_block < of->lines;
    const int64_t least = is_by_line(m) ? CF_GEMV_BLOCK : CF_UPDATES;
    codes->block_exponent = bias + m->b.shift;
    if (codes->block_exponent - of->bias_min > 127 || codes->block_exponent - of->bias_max < -126)
      return 0;
    codes->by_block = along_lines;
    own = codes->block_exponent == of->bias_min && of->bias_min == of->bias_max;
    if (along_lines && along_inner &&
        (of->inner_block < least || (is_by_line(m) && of->inner_block % least != 0)))
      return 0;
    if (!along_lines && !scale_places(task, x)) return 0;
  } else {
    const int exponent = of->type == CF_BFLOAT16 ? 0 : bias - m->b.bias;
    if (exponent < -126 || exponent > 127) return 0;
    own = exponent == 0;
    codes->scale = ldexpf(1, exponent);
  }
  for (int64_t r = 0; r < m->rows && !own; ++r)
    if (!are_within(x + r * task->x_step, m->inner, -126 - lowest, 127 - 32)) return 0;
  codes->dot = task->values->dot_fields;
  codes->update = task->values->update_fields;
  if (looks_up) {
    cf_scaled scaled = m->b;
    scaled.decodes_biases = 0;
    scaled.bias = bias;
    scaled.lowest = lowest;
    if (cf_scaled_table(&scaled, 0, &m->table_b)) {
      codes->table = &m->table_b;
      codes->dot = bfloat16->dot_codes;
      codes->update = bfloat16->update_codes;
    }
  }
  return 1;
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

static void decode_rows(const gemv_task *task, float *x) {
  for (int64_t r = 0; r < task->m->rows; ++r) decode_row(task->m, r, x + r * task->x_step);
}

int cf_matmul_gemv(cf_multiplication *m) {
  gemv_task task = {.m = m, .values = cf_active_tiles(CF_PACKED_FLOAT32)};
  task.x_step = cf_multiple(m->inner, CF_GEMV_CODES);
  task.scales_step = m->inner / CF_GEMV_BLOCK + 2;
  const uint64_t most = (CF_GEMV_ROWS_MAX + 1 + CF_MAX_THREADS) * (uint64_t)sizeof *task.x;
  if ((uint64_t)task.x_step > SIZE_MAX / most) return CF_NO_MEMORY;
  /* and one row to arrange the others */
  float *x = malloc((size_t)((m->rows + 1) * task.x_step) * sizeof *x);
  if (x == NULL) return CF_NO_MEMORY;
  task.x = x;
  decode_rows(&task, x);
  if (!choose_kernels(&task, m, x)) {
    task.codes = (code_kernels){.scale = 1};
    decode_rows(&task, x);
  }
  task.line_piece = SUMS_OF_LINES / m->rows / CF_GEMV_CODES * CF_GEMV_CODES;
  if (task.line_piece > LINE_PIECE && (task.codes.dot == NULL || task.codes.by_block))
    task.line_piece = LINE_PIECE;
  task.sums_step = task.line_piece + CF_GEMV_CODES;
  if (task.codes.by_block && is_by_line(m)) {
    const size_t count = (size_t)(m->threads * BLOCK_LINES * task.scales_step);
    task.scales = malloc(count * sizeof *task.scales);
    if (task.scales == NULL) {
      free(x);
      return CF_NO_MEMORY;
    }
  }
  if (task.codes.dot != NULL && is_by_line(m)) arrange(&task, x, x + m->rows * task.x_step);
  /* where lines are contiguous, as many shares as are no work to begin */
  const int64_t each =
      is_by_line(m) ? cf_at_most(SHARES_EACH, m->columns / LEAST_LINES / m->threads) : 1;
  m->shares = m->threads * (each < 1 ? 1 : (int)each);
  cf_run_shares(m->threads, m->shares / m->threads, multiply_lines, &task);
  free(task.scales);
  free(x);
  return CF_OK;
}
