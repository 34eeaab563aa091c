/* Products of few rows: the other operand is read once, and no more than a panel of it is decoded
 * at a time. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/compiler.h"
#include "cpu/threads.h"
#include "matmul/multiplication.h"

enum { SHARES_EACH = 4, LEAST_LINES = 64 }; /* of a thread, and of a share */
/* at a time; and as many lines as have sums that stay in the nearest cache, in the order of memory
 */
enum { LINE_PIECE = 2048, INNER_PIECE = 1024, BLOCK_LINES = 16, SUMS_OF_LINES = 8192 };
/* and as many places of lines whose scales are computed together */
enum { SCALED_PLACES = 256 };
/* As many rows' sums are held in registers, some at a time, in no more time than a panel takes; and
 * as many where a panel would give other sums. */
enum { ROWS_WORTH = 6, OTHER_ROWS_WORTH = 8 };
/* Rows of a are so much longer than a multiple of a page: else their elements would share sets of
 * the nearest cache. */
enum { ROW_UNIT = 1024, ROW_SHIFT = 128 };
/* Blocks of so many places have sums whose scaling costs less than that of the places. */
enum { SUMS_WORTH = 64 };
enum { SUMS = SUMS_OF_LINES + CF_GEMV_ROWS_MAX * CF_GEMV_CODES };

/* Where biases within lines come in, if they do: sums of blocks are scaled, or a's elements before
 * they are multiplied. */
typedef enum scaling { SCALES_NOTHING, SCALES_SUMS, SCALES_PLACES } scaling;

/* The kernels of codes as they are, and what becomes of them. */
typedef struct code_kernels {
  cf_gemv_kernel *dot, *update; /* or NULL: codes become float32 first */
  cf_decode_panel_kernel *decode_panel;
  cf_first_rows_kernel *update_first; /* or NULL */
  const cf_bytes *table;
  cf_fields fields;
  float scale; /* of sums */
  scaling scaling;
  int block_exponent; /* scales of blocks are 2^(block_exponent - bias) */
} code_kernels;

typedef struct gemv_task {
  const cf_multiplication *m;
  const cf_tiles *values;
  code_kernels codes;
  const float *x; /* a's values, rows x_step apart, in the order of the kernel */
  int64_t x_step;
  int64_t line_piece, sums_step;
  /* of each thread, `each` or NULL: scales, scales_step apart, of BLOCK_LINES lines or of
   * SCALED_PLACES places; or of all places, with a's elements times them */
  float *scales;
  int64_t scales_step, each;
} gemv_task;

static int is_by_line(const cf_multiplication *m) {
  return m->b.of.inner_stride == (int64_t)m->b.of.size;
}

/* Sums, which are scaled where they are. */
static void put_results(const gemv_task *task, int64_t line, int64_t lines, float *sums,
                        int64_t sums_step) {
  const cf_multiplication *m = task->m;
  for (int64_t r = 0; r < m->rows; ++r, sums += sums_step) {
    const int scales = m->row_scale != NULL && !m->scaled_apart;
    for (int64_t i = 0; i < lines; ++i) sums[i] *= task->codes.scale;
    for (int64_t i = 0; scales && i < lines; ++i)
      sums[i] *= m->row_scale[r] * m->column_scale[line + i];
    for (int64_t i = 0; i < lines; ++i) sums[i] = sums[i] == sums[i] ? sums[i] : CF_FLOAT32_NAN;
    if (m->column_step == sizeof *sums) {
      memcpy(cf_result_at(m, r, line), sums, (size_t)lines * sizeof *sums);
      continue;
    }
    for (int64_t i = 0; i < lines; ++i)
      memcpy(cf_result_at(m, r, line + i), sums + i, sizeof *sums);
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

/* Put a row of a into the order that the kernel for lines has. */
static void arrange_row(const gemv_task *task, const float *row, float *to) {
  const int64_t inner = task->m->inner;
  task->values->arrange((int)task->m->b.of.size, row, inner, to);
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
  gemv.after = of->lines - line - lines;
  gemv.inner = m->inner;
  gemv.x = task->x;
  gemv.x_step = task->x_step;
  gemv.rows = (int)m->rows;
  gemv.sums = sums;
  gemv.sums_step = task->sums_step;
  return gemv;
}

/* 2^exponent, of a normal number */
static inline float power_of_two(int exponent) {
  const uint32_t bits = (uint32_t)(127 + exponent) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

static inline float scale_of(const char *bias, int exponent) {
  int16_t own;
  memcpy(&own, bias, sizeof own);
  return power_of_two(exponent - own);
}

/* The scales of `count` places of an axis from `first` on, of which `block` neighbouring ones share
 * a bias, `stride` bytes from the next. */
static void fill_scales(const gemv_task *task, const char *biases, int64_t stride, int64_t block,
                        int64_t first, int64_t count, float *restrict to) {
  const int exponent = task->codes.block_exponent, size = sizeof(int16_t);
  int64_t left = block, done = 0;
  if (first > 0) {
    left -= first % block;
    biases += first / block * stride;
  }
  if (stride == size && left == block && count >= block) { /* in vectors */
    const int64_t whole = block == 1 ? count : block == 2 ? count / 2 : count / block;
    task->values->scales_of_biases(biases, whole, exponent, block, to);
    biases += whole * stride;
    done = whole * block;
  }
  for (int64_t i = done; i < count; biases += stride, left = block) {
    const float scale = scale_of(biases, exponent);
    const int64_t end = left > count - i ? count : i + left;
    for (; i < end; ++i) to[i] = scale;
  }
}

/* Where the biases of a line, or of a place of all lines, begin. */
static const char *biases_of_line(const cf_operand *of, int64_t line) {
  const int64_t block = of->line_block == 1 ? line : line / of->line_block; /* which takes long */
  return of->biases + block * of->line_bias_stride;
}
static const char *biases_of_place(const cf_operand *of, int64_t k) {
  const int64_t block = of->inner_block == 1 ? k : k / of->inner_block;
  return of->biases + block * of->inner_bias_stride;
}

/* Whether codes are decoded into panels: for so many rows that decoding them again for each few
 * would take longer, or if it is there that values of several rows get their scales, which then
 * have all their bits.  Kernels that look codes up scale the sums of several rows themselves. */
static int takes_panels(const gemv_task *task, const cf_gemv *gemv) {
  const int scales_values = gemv->scales != NULL && task->codes.table == NULL;
  const int are_others = gemv->scales != NULL || task->codes.table != NULL;
  return gemv->rows > (are_others ? OTHER_ROWS_WORTH : ROWS_WORTH) ||
         (gemv->rows > 1 && scales_values && task->m->b.is_centred);
}

/* The product of lines, by panels. */
static void dot_panels(const gemv_task *task, cf_gemv *gemv) {
  const int size = (int)task->m->b.of.size;
  CF_ALIGNED(64) float panel[CF_PANEL_LINES * CF_LINE_STEP] = {0};
  CF_ALIGNED(64) float sums[CF_GEMV_ROWS_MAX * CF_PANEL_LINES * (CF_GEMV_CODES / 4)];
  gemv->ahead = CF_PANEL_INNER * size;
  gemv->panel_step = CF_LINE_STEP;
  for (int64_t line = 0; line < gemv->lines; line += CF_PANEL_LINES) {
    const int64_t lines = cf_at_most(CF_PANEL_LINES, gemv->lines - line);
    for (int64_t k = 0; k < gemv->inner; k += CF_PANEL_INNER) {
      const int64_t count = cf_at_most(CF_PANEL_INNER, gemv->inner - k);
      const float *scales = gemv->scales;
      if (scales != NULL) scales += line * gemv->scales_step + k / CF_GEMV_BLOCK;
      task->codes.decode_panel(gemv, gemv->codes + line * gemv->step + k * size, lines, count,
                               scales, panel);
      const cf_panel p = {
          .x = gemv->x + k,
          .panel = panel,
          .x_step = gemv->x_step,
          .count = cf_multiple(count, CF_GEMV_CODES),
          .rows = (int)cf_multiple(gemv->rows, CF_PANEL_ROWS),
          .first = k == 0,
          .sums = sums,
          .results = k + count == gemv->inner ? gemv->sums + line : NULL,
          .results_step = gemv->sums_step,
          .result_rows = gemv->rows,
          .result_lines = (int)lines,
      };
      task->values->dot_panel(&p);
    }
  }
}

/* And of places. */
static void update_panels(const gemv_task *task, cf_gemv *gemv) {
  const int size = (int)task->m->b.of.size;
  CF_ALIGNED(64) float panel[CF_PANEL_PLACES * CF_PLACE_STEP];
  float places[CF_GEMV_CODES], order[CF_GEMV_CODES];
  gemv->panel_step = CF_PLACE_STEP;
  for (int64_t k = 0; k < gemv->inner; k += CF_PANEL_PLACES) {
    const int64_t count = cf_at_most(CF_PANEL_PLACES, gemv->inner - k);
    for (int64_t line = 0; line < gemv->lines; line += CF_GEMV_CODES) {
      const float *scales = gemv->scales;
      if (scales != NULL) scales += k * gemv->scales_step + line / CF_GEMV_BLOCK;
      const uint8_t *codes = gemv->codes + k * gemv->step + line * size;
      const int64_t lines = cf_at_most(CF_GEMV_CODES, gemv->lines - line);
      cf_panel p = {
          .x = gemv->x + k,
          .panel = panel,
          .x_step = gemv->x_step,
          .count = count,
          .rows = (int)cf_multiple(gemv->rows, CF_PANEL_ROWS),
          .first = k == 0,
          .sums = gemv->sums + line,
          .sums_step = gemv->sums_step,
      };
      /* the next lines at these places, or the first at the next */
      gemv->ahead = line + CF_GEMV_CODES < gemv->lines ? CF_GEMV_CODES * size
                                                       : CF_PANEL_PLACES * gemv->step - line * size;
      if (task->codes.update_first != NULL) {
        task->codes.update_first(gemv, codes, lines, scales, panel, &p);
        p.x += CF_PANEL_ROWS * p.x_step;
        p.rows -= CF_PANEL_ROWS;
        p.sums += CF_PANEL_ROWS * p.sums_step;
      } else {
        task->codes.decode_panel(gemv, codes, count, lines, scales, panel);
      }
      task->values->update_panel(&p);
    }
  }
  for (int i = 0; i < CF_GEMV_CODES; ++i) places[i] = (float)i;
  task->values->arrange(size, places, CF_GEMV_CODES, order);
  for (int r = 0; r < gemv->rows; ++r)
    for (int64_t line = 0; line < gemv->lines; line += CF_GEMV_CODES) {
      float *sums = gemv->sums + r * gemv->sums_step + line;
      memcpy(places, sums, sizeof places);
      for (int i = 0; i < CF_GEMV_CODES; ++i) sums[(int)order[i]] = places[i];
    }
}

/* The product that is described, by whichever kernels are for it. */
static void run_kernels(const gemv_task *task, cf_gemv *gemv) {
  const int by_line = is_by_line(task->m);
  if (takes_panels(task, gemv)) {
    (by_line ? dot_panels : update_panels)(task, gemv);
    return;
  }
  const int one_by_one = gemv->scales != NULL && task->codes.table == NULL;
  const int rows = gemv->rows, at_once = one_by_one ? 1 : rows;
  gemv->rows = at_once;
  for (int row = 0; row < rows; row += at_once) {
    (by_line ? task->codes.dot : task->codes.update)(gemv);
    gemv->x += gemv->x_step;
    gemv->sums += gemv->sums_step;
  }
}

/* Blocks along lines: the kernel scales them. */
static void dot_blocks(const gemv_task *task, int thread, int64_t line, int64_t lines,
                       float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  float *scales = task->scales + thread * task->each;
  const int64_t count = cf_divide_up(m->inner, CF_GEMV_BLOCK);
  const int differ = of->inner_bias_stride != 0 && of->inner_block < m->inner;
  const int64_t block = differ ? of->inner_block / CF_GEMV_BLOCK : INT64_MAX; /* or one bias */
  for (int64_t i = 0; i < lines; i += BLOCK_LINES) {
    const int64_t some = cf_at_most(BLOCK_LINES, lines - i);
    for (int64_t j = 0; j < some; ++j) {
      float *to = scales + j * task->scales_step;
      fill_scales(task, biases_of_line(of, line + i + j), of->inner_bias_stride, block, 0, count,
                  to);
      memset(to + count, 0, (CF_GEMV_SCALES - 1) * sizeof *to);
    }
    cf_gemv gemv = gemv_of(task, line + i, some, sums + i);
    gemv.scales = scales;
    gemv.scales_step = task->scales_step;
    run_kernels(task, &gemv);
  }
}

/* Lines that share biases at a time, which a's elements are multiplied by. */
static void dot_places(const gemv_task *task, int thread, int64_t line, int64_t lines,
                       float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  const int64_t rows = cf_multiple(m->rows, CF_PANEL_ROWS);
  float *scales = task->scales + thread * task->each, *x = scales + task->x_step,
        *row = x + rows * task->x_step;
  memset(x + m->rows * task->x_step, 0, (size_t)((rows - m->rows) * task->x_step) * sizeof *x);
  int64_t left = of->line_block - line % of->line_block;
  for (int64_t i = 0, some; i < lines; i += some, left = of->line_block) {
    some = cf_at_most(left, lines - i);
    fill_scales(task, biases_of_line(of, line + i), of->inner_bias_stride, of->inner_block, 0,
                m->inner, scales);
    for (int64_t r = 0; r < m->rows; ++r) {
      const float *from = task->x + r * task->x_step;
      for (int64_t k = 0; k < m->inner; ++k) row[k] = from[k] * scales[k];
      arrange_row(task, row, x + r * task->x_step);
    }
    cf_gemv gemv = gemv_of(task, line + i, some, sums + i);
    gemv.x = x;
    run_kernels(task, &gemv);
  }
}

/* Places of which a's elements are multiplied by scales for so many lines each. */
static void update_places(const gemv_task *task, int thread, int64_t line, int64_t lines,
                          float *sums) {
  const cf_multiplication *m = task->m;
  const cf_operand *of = &m->b.of;
  CF_ALIGNED(64) float part[SUMS];
  float *scales = task->scales + thread * task->each;
  const int64_t count = cf_divide_up(lines, CF_GEMV_BLOCK);
  for (int64_t k = 0; k < m->inner; k += SCALED_PLACES) {
    cf_gemv gemv = gemv_of(task, line, lines, k == 0 ? sums : part);
    gemv.codes += k * gemv.step;
    gemv.x += k;
    gemv.inner = cf_at_most(SCALED_PLACES, m->inner - k);
    gemv.scales = scales;
    gemv.scales_step = task->scales_step;
    for (int64_t i = 0; i < gemv.inner; ++i) {
      float *to = scales + i * task->scales_step;
      fill_scales(task, biases_of_place(of, k + i), of->line_bias_stride,
                  of->line_block / CF_GEMV_BLOCK, line / CF_GEMV_BLOCK, count, to);
      memset(to + count, 0, (CF_GEMV_SCALES - 1) * sizeof *to);
    }
    run_kernels(task, &gemv);
    for (int64_t r = 0; r < m->rows && k > 0; ++r)
      for (int64_t i = 0; i < lines; ++i)
        sums[r * task->sums_step + i] += part[r * task->sums_step + i];
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
    run_kernels(task, &gemv);
    fill_scales(task, biases_of_place(of, k), of->line_bias_stride, of->line_block, line, lines,
                scales);
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
  cf_share_of(m->columns, task->codes.scaling == SCALES_PLACES ? CF_GEMV_CODES : 1, m->shares,
              share, &begin, &end);
  const uint64_t state = task->values->enter();
  for (int64_t line = begin; line < end; line += task->line_piece) {
    const int64_t lines = cf_at_most(task->line_piece, end - line);
    if (task->codes.dot == NULL) {
      (by_line ? dot_lines : update_lines)(task, line, lines, sums);
    } else if (task->codes.scaling == SCALES_NOTHING) {
      cf_gemv gemv = gemv_of(task, line, lines, sums);
      run_kernels(task, &gemv);
    } else if (task->codes.scaling == SCALES_PLACES) {
      (by_line ? dot_places : update_places)(task, thread, line, lines, sums);
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
  if (low >= high) return 0; /* as where a format's biases range over more than float32 */
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
  float scales[INNER_PIECE];
  for (int64_t k = 0; k < m->inner; k += INNER_PIECE) {
    const int64_t count = cf_at_most(INNER_PIECE, m->inner - k);
    fill_scales(task, of->biases, of->inner_bias_stride, of->inner_block, k, count, scales);
    for (int64_t r = 0; r < m->rows; ++r) {
      float *row = x + r * task->x_step + k;
      for (int64_t i = 0; i < count; ++i) {
        const float element = fabsf(row[i]);
        row[i] *= scales[i];
        const float product = fabsf(row[i]);
        const int is_number = (element > 0) & (element <= FLT_MAX);
        exact &= (is_number ^ 1) | ((product > 0) & (product <= FLT_MAX));
      }
    }
  }
  return exact;
}

/* What is scaled where biases differ in lines and from line to line: of blocks of a multiple of
 * what the kernels take, whatever costs less.  SCALES_NOTHING if neither can be. */
static scaling scaling_of(const cf_multiplication *m, int along_inner) {
  const cf_operand *of = &m->b.of;
  if (is_by_line(m)) {
    if (!along_inner || of->inner_block % CF_GEMV_BLOCK == 0) return SCALES_SUMS;
    /* rows are scaled and laid out anew for the lines of each block */
    return of->line_block >= 4 * m->rows ? SCALES_PLACES : SCALES_NOTHING;
  }
  if (!along_inner || of->inner_block >= SUMS_WORTH) return SCALES_SUMS;
  if (of->line_block % CF_GEMV_BLOCK == 0) return SCALES_PLACES;
  return of->inner_block >= CF_UPDATES ? SCALES_SUMS : SCALES_NOTHING;
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
    codes->decode_panel = bfloat16->decode_panel_codes;
    return 1;
  }
  if (task->values->dot_fields == NULL || !cf_scaled_fields(&m->b, &codes->fields)) return 0;
  const int bias = codes->fields.bias, lowest = of->quantum - bias;
  int low = -126 - (lowest < 0 ? lowest : 0), high = 127 - 32; /* of a's elements */
  int own = 0; /* whether values are decoded as they are */
  if (m->b.decodes_biases) {
    const int along_inner = of->inner_bias_stride != 0 && of->inner_block < of->inner,
              along_lines = of->line_bias_stride != 0 && of->line_block < of->lines;
    codes->block_exponent = bias + m->b.shift;
    if (codes->block_exponent - of->bias_min > 127 || codes->block_exponent - of->bias_max < -126)
      return 0;
    own = codes->block_exponent == of->bias_min && of->bias_min == of->bias_max;
    if (along_lines) {
      codes->scaling = scaling_of(m, along_inner);
      if (codes->scaling == SCALES_NOTHING) return 0;
    } else if (!scale_places(task, x)) {
      return 0;
    }
    if (codes->scaling == SCALES_PLACES) { /* of all biases that a format has */
      low += of->bias_max - codes->block_exponent;
      high += of->bias_min - codes->block_exponent;
      own = 0;
    }
  } else {
    const int exponent = of->type == CF_BFLOAT16 ? 0 : bias - m->b.bias;
    if (exponent < -126 || exponent > 127) return 0;
    own = exponent == 0;
    codes->scale = ldexpf(1, exponent);
  }
  for (int64_t r = 0; r < m->rows && !own; ++r)
    if (!are_within(x + r * task->x_step, m->inner, low, high)) return 0;
  codes->dot = task->values->dot_fields;
  codes->update = task->values->update_fields;
  codes->decode_panel = task->values->decode_panel_fields;
  codes->update_first = task->values->update_first_fields;
  if (looks_up) {
    cf_scaled scaled = m->b;
    scaled.decodes_biases = 0;
    scaled.bias = bias;
    scaled.lowest = lowest;
    if (cf_scaled_table(&scaled, 0, &m->table_b)) {
      codes->table = &m->table_b;
      codes->dot = bfloat16->dot_codes;
      codes->update = bfloat16->update_codes;
      codes->decode_panel = bfloat16->decode_panel_codes;
      codes->update_first = NULL;
    }
  }
  return 1;
}

/* Put a's rows, one after the other, into the order that the kernel for lines has. */
static void arrange(const gemv_task *task, float *x, float *spare) {
  for (int64_t r = 0; r < task->m->rows; ++r) {
    float *row = x + r * task->x_step;
    memcpy(spare, row, (size_t)task->m->inner * sizeof *spare);
    arrange_row(task, spare, row);
  }
}

static void decode_rows(const gemv_task *task, float *x) {
  for (int64_t r = 0; r < task->m->rows; ++r) decode_row(task->m, r, x + r * task->x_step);
}

/* What each thread needs for scales. */
static void set_scales_step(gemv_task *task) {
  const int by_line = is_by_line(task->m);
  const int64_t rows = cf_multiple(task->m->rows, CF_PANEL_ROWS);
  const int64_t along = by_line ? task->m->inner : task->line_piece;
  task->scales_step = cf_divide_up(along, CF_GEMV_BLOCK) + CF_GEMV_SCALES;
  task->each = 0;
  if (task->codes.scaling == SCALES_PLACES)
    task->each = by_line ? (rows + 2) * task->x_step : SCALED_PLACES * task->scales_step;
  else if (task->codes.scaling == SCALES_SUMS && by_line)
    task->each = BLOCK_LINES * task->scales_step;
}

int cf_matmul_gemv(cf_multiplication *m) {
  gemv_task task = {.m = m, .values = cf_active_tiles(CF_PACKED_FLOAT32)};
  task.x_step = cf_multiple(m->inner, ROW_UNIT) + ROW_SHIFT;
  const uint64_t most =
      (CF_GEMV_ROWS_MAX + 1) * (1 + CF_MAX_THREADS) * 2 * (uint64_t)sizeof *task.x;
  if ((uint64_t)task.x_step > SIZE_MAX / most) return CF_NO_MEMORY;
  /* and one row to arrange the others */
  const int64_t rows = cf_multiple(m->rows, CF_PANEL_ROWS);
  void *const memory = malloc((size_t)((rows + 1) * task.x_step) * sizeof *task.x + CF_CACHE_LINE);
  if (memory == NULL) return CF_NO_MEMORY;
  float *x = (float *)(void *)((char *)memory + CF_CACHE_LINE - (uintptr_t)memory % CF_CACHE_LINE);
  if (m->rows > 1) /* panels have whole groups of rows */
    memset(x + m->rows * task.x_step, 0, (size_t)((rows - m->rows) * task.x_step) * sizeof *x);
  task.x = x;
  decode_rows(&task, x);
  if (!choose_kernels(&task, m, x)) {
    task.codes = (code_kernels){.scale = 1};
    decode_rows(&task, x);
  }
  task.line_piece =
      SUMS_OF_LINES / (m->rows > CF_PANEL_ROWS ? rows : m->rows) / CF_GEMV_CODES * CF_GEMV_CODES;
  if (task.line_piece > LINE_PIECE &&
      (task.codes.dot == NULL || task.codes.scaling != SCALES_NOTHING))
    task.line_piece = LINE_PIECE;
  task.sums_step = task.line_piece + CF_GEMV_CODES;
  set_scales_step(&task);
  if (task.each > 0) {
    task.scales = malloc((size_t)(m->threads * task.each) * sizeof *task.scales);
    if (task.scales == NULL) {
      free(memory);
      return CF_NO_MEMORY;
    }
  }
  if (task.codes.dot != NULL && is_by_line(m) && task.codes.scaling != SCALES_PLACES)
    arrange(&task, x, x + rows * task.x_step);
  /* where lines are contiguous, as many shares as are no work to begin */
  const int64_t each =
      is_by_line(m) ? cf_at_most(SHARES_EACH, m->columns / LEAST_LINES / m->threads) : 1;
  m->shares = m->threads * (each < 1 ? 1 : (int)each);
  cf_run_shares(m->threads, m->shares / m->threads, multiply_lines, &task);
  free(task.scales);
  free(memory);
  return CF_OK;
}
