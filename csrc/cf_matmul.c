/* Matrix products: blocks, packing, and threads. */
#include "cf_matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cf_lines.h"
#include "cf_threads.h"

enum {
  LINES_AT_A_TIME = 2048,  /* of either operand, that are packed together */
  PANELS_IN_A_GROUP = 4,   /* of a, that stay in cache while all of b pass */
  STAGED_ACROSS = 256,     /* columns, a multiple of every panel's, that are decoded at a time */
  STAGED_INNER = 64,       /* and inner elements, where they have to be copied first */
  STAGED_LINE = 256,       /* inner elements of a line, likewise */
  WORK_PER_THREAD = 1 << 20 /* products that are worth the start of a thread */
};

/* One product of two matrices. */
typedef struct multiplication {
  cf_lines a, b;
  const cf_tiles *tiles;
  int64_t rows, inner, columns;
  char *results;
  int64_t row_step, column_step; /* bytes */
  int swapped; /* the transposed product of the transposed operands */
  int planes_a, planes_b;
  cf_plane_range range_a, range_b;
  int looks_up_a, looks_up_b;
  uint16_t table_a[256], table_b[256];
  float *row_scale, *column_scale; /* or NULL: all 1 */
  int scaled_apart; /* the scales' exponents are beyond what one float holds */
  int threads;
  /* the block at work */
  int64_t row, row_count, column, column_count, k, k_count, k_padded;
  char *panels_a, *panels_b, *sums;
  size_t plane_a, plane_b; /* bytes of one plane of all panels */
  size_t panel_a, panel_b; /* and of a panel */
  int packs_b;
  int unfit[CF_MAX_THREADS];
} multiplication;

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

/* The part of count that a thread takes. */
static void share_of(int64_t count, int threads, int index, int64_t *begin, int64_t *end) {
  *begin = count * index / threads;
  *end = count * (index + 1) / threads;
}

/* Packing */

static int is_bfloat16(const multiplication *m) { return m->tiles->packing == CF_PACKED_BFLOAT16; }

/* At most STAGED_LINE elements of a line of a; returns whether all could be packed. */
static int pack_line(const multiplication *m, int64_t line, int64_t k, const char *from, int64_t count, char *to) {
  float staged[STAGED_LINE];
  uint16_t *planes[CF_PLANES_MAX];
  if (!is_bfloat16(m)) {
    cf_lines_decode(&m->a, CF_ALONG_LINE, line, k, from, count, (float *)(void *)to);
    return 1;
  }
  if (m->looks_up_a) {
    m->tiles->widen(m->table_a, (const uint8_t *)from, (size_t)count, (uint16_t *)(void *)to);
    return 1;
  }
  for (int p = 0; p < m->planes_a; ++p) planes[p] = (uint16_t *)(void *)(to + (size_t)p * m->plane_a);
  cf_lines_decode(&m->a, CF_ALONG_LINE, line, k, from, count, staged);
  return m->tiles->split(staged, (size_t)count, m->planes_a, m->range_a, planes);
}

static int pack_panel_of_a(const multiplication *m, int64_t panel) {
  const size_t element = is_bfloat16(m) ? 2 : 4;
  const int64_t line_step = CF_MATMUL_LINE * (int64_t)element;
  const int64_t first = m->row + panel * m->tiles->rows;
  const int64_t lines = at_most(m->tiles->rows, m->row + m->row_count - first);
  const int contiguous = m->a.of.inner_stride == (int64_t)m->a.of.size;
  char staged[CF_TILE_LINES_MAX * STAGED_LINE * 4];
  char *to = m->panels_a + (size_t)panel * m->panel_a;
  int fit = 1;
  for (int64_t done = 0; done < m->k_count; done += STAGED_LINE) {
    const int64_t k = m->k + done, count = at_most(STAGED_LINE, m->k_count - done);
    const char *from = m->a.of.elements + first * m->a.of.line_stride + k * m->a.of.inner_stride;
    int64_t step = m->a.of.line_stride;
    if (!contiguous) {
      step = STAGED_LINE * (int64_t)m->a.of.size;
      cf_lines_copy(&m->a, CF_ALONG_LINE, first, lines, k, count, staged, step);
      from = staged;
    }
    for (int64_t i = 0; i < lines; ++i)
      fit &= pack_line(m, first + i, k, from + i * step, count, to + i * line_step + (size_t)done * element);
  }
  const size_t rest = (size_t)(m->k_padded - m->k_count) * element;
  for (int p = 0; p < m->planes_a; ++p)
    for (int64_t i = 0; i < m->tiles->rows; ++i) {
      char *line = to + (size_t)p * m->plane_a + i * line_step;
      if (i < lines)
        memset(line + (size_t)m->k_count * element, 0, rest);
      else
        memset(line, 0, (size_t)m->k_padded * element);
    }
  return fit;
}

/* One group of inner elements (one of float32, two of bfloat16) of several columns, into as many panels as they fill. */
static void scatter(const multiplication *m, int64_t panel, int64_t group, const void *from, int64_t columns, int p) {
  const size_t bytes = (size_t)m->tiles->columns * 4;
  char *to = m->panels_b + (size_t)p * m->plane_b + (size_t)panel * m->panel_b + (size_t)group * bytes;
  for (int64_t done = 0; done < columns; done += m->tiles->columns, to += m->panel_b) {
    const size_t part = (size_t)at_most(m->tiles->columns, columns - done) * 4;
    memcpy(to, (const char *)from + done * 4, part);
    if (part < bytes) memset(to + part, 0, bytes - part);
  }
}

/* Contiguous columns and consecutive inner elements, `step` bytes apart, as pairs of inner elements. */
static int pack_pairs(const multiplication *m, int64_t k, int64_t count, int64_t column, int64_t columns,
                      const char *from, int64_t step) {
  CF_ALIGNED(64) float values[2][STAGED_ACROSS];
  CF_ALIGNED(64) uint16_t pairs[CF_PLANES_MAX][2 * STAGED_ACROSS];
  uint16_t *const planes[CF_PLANES_MAX] = {pairs[0], pairs[1], pairs[2]};
  const int64_t panel = (column - m->column) / m->tiles->columns;
  int fit = 1;
  for (int64_t i = 0; i < count; i += 2) {
    cf_lines_decode(&m->b, CF_ACROSS_LINES, column, k + i, from + i * step, columns, values[0]);
    if (i + 1 < count)
      cf_lines_decode(&m->b, CF_ACROSS_LINES, column, k + i + 1, from + (i + 1) * step, columns, values[1]);
    else
      memset(values[1], 0, sizeof values[1]);
    fit &= m->tiles->split_pairs(values[0], values[1], (size_t)columns, m->planes_b, m->range_b, planes);
    for (int p = 0; p < m->planes_b; ++p) scatter(m, panel, (k - m->k + i) / 2, pairs[p], columns, p);
  }
  return fit;
}

/* The same of codes that are looked up; what does not fill the registers of that goes the other way. */
static int widen_pairs(const multiplication *m, int64_t k, int64_t count, int64_t column, int64_t columns,
                       const char *from, int64_t step) {
  const size_t group_bytes = (size_t)m->tiles->columns * 4;
  int64_t done = 0;
  for (; done + CF_WIDENED_COLUMNS <= columns; done += CF_WIDENED_COLUMNS) {
    char *to = m->panels_b + (size_t)((column - m->column + done) / m->tiles->columns) * m->panel_b +
               (size_t)((k - m->k) / 2) * group_bytes;
    m->tiles->widen_columns(m->table_b, (const uint8_t *)from + done, step, count / 2, (uint16_t *)(void *)to,
                            (uint16_t *)(void *)(to + m->panel_b));
  }
  int fit = done == columns || pack_pairs(m, k, count, column + done, columns - done, from + done, step);
  if (count % 2 != 0 && done > 0)
    fit &= pack_pairs(m, k + count - 1, 1, column, done, from + (count - 1) * step, step);
  return fit;
}

static int pack_panels_of_b(const multiplication *m, int64_t chunk) {
  const int64_t at = chunk * STAGED_ACROSS, first = m->column + at;
  const int64_t columns = at_most(STAGED_ACROSS, m->column_count - at), panel = at / m->tiles->columns;
  const int contiguous = m->b.of.line_stride == (int64_t)m->b.of.size;
  CF_ALIGNED(64) char staged[STAGED_ACROSS * STAGED_INNER * 4];
  int fit = 1;
  for (int64_t done = 0; done < m->k_count; done += STAGED_INNER) {
    const int64_t k = m->k + done, count = at_most(STAGED_INNER, m->k_count - done);
    const char *from = m->b.of.elements + first * m->b.of.line_stride + k * m->b.of.inner_stride;
    int64_t step = m->b.of.inner_stride;
    if (!contiguous) {
      step = STAGED_ACROSS * (int64_t)m->b.of.size;
      cf_lines_copy(&m->b, CF_ACROSS_LINES, first, columns, k, count, staged, step);
      from = staged;
    }
    if (m->looks_up_b) {
      fit &= widen_pairs(m, k, count, first, columns, from, step);
    } else if (is_bfloat16(m)) {
      fit &= pack_pairs(m, k, count, first, columns, from, step);
    } else {
      CF_ALIGNED(64) float values[STAGED_ACROSS];
      for (int64_t i = 0; i < count; ++i) {
        cf_lines_decode(&m->b, CF_ACROSS_LINES, first, k + i, from + i * step, columns, values);
        scatter(m, panel, done + i, values, columns, 0);
      }
    }
  }
  if (is_bfloat16(m)) {
    const uint32_t zeros[STAGED_ACROSS] = {0};
    for (int64_t group = (m->k_count + 1) / 2; group < m->k_padded / 2; ++group)
      for (int p = 0; p < m->planes_b; ++p) scatter(m, panel, group, zeros, columns, p);
  }
  return fit;
}

static void pack(void *context, int index) {
  multiplication *m = context;
  const uint64_t state = m->tiles->enter();
  int64_t begin, end;
  int fit = 1;
  share_of(divide_up(m->row_count, m->tiles->rows), m->threads, index, &begin, &end);
  for (int64_t panel = begin; panel < end && fit; ++panel) fit &= pack_panel_of_a(m, panel);
  if (m->packs_b) {
    share_of(divide_up(m->column_count, STAGED_ACROSS), m->threads, index, &begin, &end);
    for (int64_t chunk = begin; chunk < end && fit; ++chunk) fit &= pack_panels_of_b(m, chunk);
  }
  m->tiles->leave(state);
  m->unfit[index] = !fit;
}

/* Multiplying */

static int64_t part_length(const multiplication *m) { return is_bfloat16(m) ? CF_PART_BFLOAT16 : CF_PART_FLOAT32; }

/* A part of two panels, as a tile takes it.  Planes go from the smallest products to the largest, so that the small ones are
 * not rounded to the large ones' precision more often than need be; in one order whichever operand is a. */
static void set_part(const multiplication *m, cf_tile *tile, int64_t panel_a, int64_t panel_b, int64_t part) {
  const size_t element = is_bfloat16(m) ? 2 : 4;
  const char *a = m->panels_a + (size_t)panel_a * m->panel_a + (size_t)part * element;
  const char *b = m->panels_b + (size_t)panel_b * m->panel_b + (size_t)(part * m->tiles->columns) * element;
  tile->pairs = 0;
  for (int order = m->planes_a + m->planes_b - 2; order >= 0; --order)
    for (int i = 0; i <= order; ++i) {
      const int p = m->swapped ? order - i : i, q = order - p;
      if (p >= m->planes_a || q >= m->planes_b) continue;
      tile->a[tile->pairs] = a + (size_t)p * m->plane_a;
      tile->b[tile->pairs++] = b + (size_t)q * m->plane_b;
    }
  tile->inner = at_most(part_length(m), m->k_padded - part);
  tile->first = part == 0;
}

static char *result_at(const multiplication *m, int64_t row, int64_t column) {
  return m->results + row * m->row_step + column * m->column_step;
}

static void end_tile(const multiplication *m, int64_t panel_a, int64_t panel_b, const float *sums) {
  const int64_t row = m->row + panel_a * m->tiles->rows, column = m->column + panel_b * m->tiles->columns;
  CF_ALIGNED(64) float copy[CF_TILE_LINES_MAX * CF_TILE_LINES_MAX];
  cf_tile_end end;
  end.sums = sums;
  end.rows = (int)at_most(m->tiles->rows, m->row + m->row_count - row);
  end.columns = (int)at_most(m->tiles->columns, m->column + m->column_count - column);
  end.adds = m->k > 0;
  end.row_scale = end.column_scale = NULL;
  if (m->row_scale != NULL && !m->scaled_apart && m->k + m->k_count == m->inner) {
    end.row_scale = m->row_scale + row;
    end.column_scale = m->column_scale + column;
  }
  end.results = (float *)(void *)result_at(m, row, column);
  end.step = m->row_step / (int64_t)sizeof(float);
  if (m->column_step == sizeof(float)) {
    m->tiles->end(&end);
    return;
  }
  end.results = copy;
  end.step = m->tiles->columns;
  for (int i = 0; end.adds && i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j) memcpy(copy + i * end.step + j, result_at(m, row + i, column + j), sizeof *copy);
  m->tiles->end(&end);
  for (int i = 0; i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j) memcpy(result_at(m, row + i, column + j), copy + i * end.step + j, sizeof *copy);
}

/* A thread takes panels of the operand that has more of them.  A part of one panel of b stays in the nearest cache while
 * a group of panels of a passes, which with its sums stays in the next. */
static void multiply(void *context, int index) {
  const multiplication *m = context;
  const int64_t panels_a = divide_up(m->row_count, m->tiles->rows);
  const int64_t panels_b = divide_up(m->column_count, m->tiles->columns);
  const size_t tile_size = (size_t)m->tiles->rows * (size_t)m->tiles->columns;
  float *sums = (float *)(void *)(m->sums + (size_t)index * PANELS_IN_A_GROUP * tile_size * sizeof(float));
  int64_t begin_a = 0, end_a = panels_a, begin_b = 0, end_b = panels_b;
  cf_tile tile;
  if (panels_a >= panels_b)
    share_of(panels_a, m->threads, index, &begin_a, &end_a);
  else
    share_of(panels_b, m->threads, index, &begin_b, &end_b);
  const uint64_t state = m->tiles->enter();
  for (int64_t i = begin_a; i < end_a; i += PANELS_IN_A_GROUP)
    for (int64_t j = begin_b; j < end_b; ++j) {
      const int64_t count = at_most(PANELS_IN_A_GROUP, end_a - i);
      for (int64_t part = 0; part < m->k_padded; part += part_length(m))
        for (int64_t panel = 0; panel < count; ++panel) {
          tile.sums = sums + (size_t)panel * tile_size;
          set_part(m, &tile, i + panel, j, part);
          m->tiles->tile(&tile);
        }
      for (int64_t panel = 0; panel < count; ++panel) end_tile(m, i + panel, j, sums + (size_t)panel * tile_size);
    }
  m->tiles->leave(state);
}

static void on_threads(multiplication *m, void (*task)(void *context, int index)) {
  if (m->threads == 1)
    task(m, 0);
  else
    cf_run_threads(m->threads, task, m);
}

/* Scales that no float holds, one by one. */
static void scale_apart(const multiplication *m) {
  for (int64_t i = 0; i < m->rows; ++i) {
    const int exponent = cf_lines_exponent(&m->a, i);
    for (int64_t j = 0; j < m->columns; ++j) {
      float result;
      memcpy(&result, result_at(m, i, j), sizeof result);
      result = ldexpf(result, exponent + cf_lines_exponent(&m->b, j));
      memcpy(result_at(m, i, j), &result, sizeof result);
    }
  }
}

static void zero_results(const multiplication *m) {
  const float zero = 0;
  for (int64_t i = 0; i < m->rows; ++i)
    for (int64_t j = 0; j < m->columns; ++j) memcpy(result_at(m, i, j), &zero, sizeof zero);
}

/* The scales of lines, of which there are `padded`, and the range of their exponents. */
static void set_scales(const cf_lines *operand, int64_t lines, int64_t padded, float *scale, int *low, int *high) {
  for (int64_t i = 0; i < padded; ++i) {
    const int exponent = i < lines ? cf_lines_exponent(operand, i) : 0;
    scale[i] = exponent < -126 || exponent > 127 ? 0 : ldexpf(1, exponent);
    if (i >= lines) continue;
    if (i == 0 || exponent < *low) *low = exponent;
    if (i == 0 || exponent > *high) *high = exponent;
  }
}

static int prepare_scales(multiplication *m) {
  const int64_t padded_rows = m->rows + CF_TILE_LINES_MAX, padded_columns = m->columns + CF_TILE_LINES_MAX;
  int low_a = 0, high_a = 0, low_b = 0, high_b = 0;
  m->scaled_apart = 0;
  m->row_scale = malloc((size_t)(padded_rows + padded_columns) * sizeof *m->row_scale);
  if (m->row_scale == NULL) return CF_NO_MEMORY;
  m->column_scale = m->row_scale + padded_rows;
  set_scales(&m->a, m->rows, padded_rows, m->row_scale, &low_a, &high_a);
  set_scales(&m->b, m->columns, padded_columns, m->column_scale, &low_b, &high_b);
  if (low_a == 0 && high_a == 0 && low_b == 0 && high_b == 0) {
    free(m->row_scale);
    m->row_scale = NULL;
  } else {
    m->scaled_apart = low_a < -126 || low_b < -126 || high_a > 127 || high_b > 127 || low_a + low_b < -126 ||
                      high_a + high_b > 127;
  }
  return CF_OK;
}

/* What values of an operand are in no plane subnormal, nor in any product of planes; and finite, if there are several
 * products: the other operand's may be 0. */
static cf_plane_range range_of(const cf_lines *operand, int planes, const cf_lines *other, int other_planes) {
  const int lowest = other->near_1 ? other->lowest : -63; /* of two that may be anywhere, each takes half the range */
  int exponent = (planes > 1 ? 8 * planes : 0) - 126 - lowest;
  cf_plane_range range;
  if (operand->near_1 || exponent < -126) exponent = -126; /* which all codes' are above, or subnormal */
  if (exponent > 126) exponent = 126;
  range.low = (uint32_t)(exponent + 127) << 23;
  range.high = planes * other_planes > 1 ? 0x7F800000u : 0x80000000u;
  return range;
}

static int is_finite_table(const uint16_t *table) {
  int finite = 1;
  for (int code = 0; code < 256; ++code) finite &= (table[code] & 0x7F80) != 0x7F80;
  return finite;
}

static int looks_up(const cf_lines *operand, int pairs, uint16_t *table) {
  return cf_lines_table(operand, table) && (pairs == 1 || is_finite_table(table));
}

static int choose_planes(multiplication *m, const cf_tiles *tiles) {
  m->tiles = tiles;
  m->planes_a = m->planes_b = 1;
  m->looks_up_a = m->looks_up_b = 0;
  if (tiles->packing == CF_PACKED_FLOAT32) return 1;
  m->planes_a = (m->a.significant + 7) / 8;
  m->planes_b = (m->b.significant + 7) / 8;
  m->range_a = range_of(&m->a, m->planes_a, &m->b, m->planes_b);
  m->range_b = range_of(&m->b, m->planes_b, &m->a, m->planes_a);
  const int pairs = m->planes_a * m->planes_b;
  if (tiles->widen != NULL) {
    m->looks_up_a = looks_up(&m->a, pairs, m->table_a);
    m->looks_up_b = tiles->columns * 2 == CF_WIDENED_COLUMNS && looks_up(&m->b, pairs, m->table_b);
  }
  return pairs <= tiles->pairs_max;
}

/* 1 if an element turned out not to be for planes. */
static int multiply_blocks(multiplication *m) {
  for (m->column = 0; m->column < m->columns; m->column += LINES_AT_A_TIME) {
    m->column_count = at_most(LINES_AT_A_TIME, m->columns - m->column);
    for (m->k = 0; m->k < m->inner; m->k += CF_MATMUL_BLOCK) {
      m->k_count = at_most(CF_MATMUL_BLOCK, m->inner - m->k);
      m->k_padded = is_bfloat16(m) ? round_up(m->k_count, CF_MATMUL_STEP) : m->k_count;
      m->packs_b = 1;
      for (m->row = 0; m->row < m->rows; m->row += LINES_AT_A_TIME) {
        m->row_count = at_most(LINES_AT_A_TIME, m->rows - m->row);
        on_threads(m, pack);
        for (int i = 0; i < m->threads; ++i)
          if (m->unfit[i]) return 1;
        on_threads(m, multiply);
        m->packs_b = 0;
      }
    }
  }
  if (m->scaled_apart) scale_apart(m);
  return 0;
}

static int multiply_by(multiplication *m, const cf_tiles *tiles) {
  if (!choose_planes(m, tiles)) return 1;
  const int64_t inner = round_up(at_most(CF_MATMUL_BLOCK, m->inner), is_bfloat16(m) ? CF_MATMUL_STEP : 1);
  const size_t element = is_bfloat16(m) ? 2 : 4;
  const int64_t panels_a = divide_up(at_most(LINES_AT_A_TIME, m->rows), tiles->rows);
  const int64_t panels_b = divide_up(at_most(LINES_AT_A_TIME, m->columns), tiles->columns);
  m->panel_a = (size_t)tiles->rows * CF_MATMUL_LINE * element;
  m->panel_b = (size_t)round_up((int64_t)((size_t)(tiles->columns * inner) * element), CF_TILE_ALIGNMENT);
  m->plane_a = (size_t)round_up((int64_t)((size_t)panels_a * m->panel_a), CF_TILE_ALIGNMENT);
  m->plane_b = (size_t)panels_b * m->panel_b;
  const size_t sums = (size_t)m->threads * PANELS_IN_A_GROUP * (size_t)(tiles->rows * tiles->columns) * sizeof(float);
  const size_t all_a = m->plane_a * (size_t)m->planes_a, all_b = m->plane_b * (size_t)m->planes_b;
  char *memory = malloc(all_a + all_b + sums + CF_TILE_ALIGNMENT);
  if (memory == NULL) return CF_NO_MEMORY;
  m->panels_a = memory + (CF_TILE_ALIGNMENT - (uintptr_t)memory % CF_TILE_ALIGNMENT);
  m->panels_b = m->panels_a + all_a;
  m->sums = m->panels_b + all_b;
  const int unfit = multiply_blocks(m);
  free(memory);
  return unfit;
}

/* Few rows: the other operand is read once, and not packed. */

enum { SKINNY_ROWS = 4, SKINNY_LINES = 2048, SKINNY_INNER = 1024 };

typedef struct skinny_task {
  const multiplication *m;
  const cf_tiles *codes, *values; /* kernels for codes that are looked up, or NULL; for others */
  const float *x;                 /* a's values */
} skinny_task;

static void put_skinny(const multiplication *m, int64_t line, int64_t lines, const float *sums, int64_t sums_step) {
  for (int64_t r = 0; r < m->rows; ++r)
    for (int64_t i = 0; i < lines; ++i) {
      float result = sums[r * sums_step + i];
      if (m->row_scale != NULL && !m->scaled_apart) result *= m->row_scale[r] * m->column_scale[line + i];
      if (isnan(result)) result = CF_NAN;
      memcpy(result_at(m, r, line + i), &result, sizeof result);
    }
}

/* Lines along which the inner elements are contiguous. */
static void dot_lines(const skinny_task *task, int64_t line, int64_t lines, float *sums) {
  const multiplication *m = task->m;
  CF_ALIGNED(64) float values[SKINNY_INNER];
  for (int64_t i = 0; i < lines; ++i) {
    float line_sums[SKINNY_ROWS] = {0};
    const char *from = m->b.of.elements + (line + i) * m->b.of.line_stride;
    for (int64_t k = 0; k < m->inner; k += SKINNY_INNER) {
      const int64_t count = at_most(SKINNY_INNER, m->inner - k);
      cf_lines_decode(&m->b, CF_ALONG_LINE, line + i, k, from + k * m->b.of.inner_stride, count, values);
      task->values->dot(task->x + k, m->inner, (int)m->rows, values, count, line_sums);
    }
    for (int64_t r = 0; r < m->rows; ++r) sums[r * SKINNY_LINES + i] = line_sums[r];
  }
}

/* Lines of which elements of the same place are contiguous. */
static void update_lines(const skinny_task *task, int64_t line, int64_t lines, float *sums) {
  const multiplication *m = task->m;
  CF_ALIGNED(64) float values[CF_UPDATES][SKINNY_LINES];
  float x[SKINNY_ROWS][CF_UPDATES];
  const int64_t padded = round_up(lines, CF_UPDATE_STEP);
  memset(sums, 0, SKINNY_ROWS * SKINNY_LINES * sizeof *sums);
  for (int64_t i = 0; i < CF_UPDATES; ++i) memset(values[i] + lines, 0, (size_t)(padded - lines) * sizeof **values);
  for (int64_t k = 0; k < m->inner; k += CF_UPDATES) {
    for (int64_t i = 0; i < CF_UPDATES; ++i) {
      const char *from = m->b.of.elements + (k + i) * m->b.of.inner_stride + line * m->b.of.line_stride;
      if (k + i < m->inner)
        cf_lines_decode(&m->b, CF_ACROSS_LINES, line, k + i, from, lines, values[i]);
      else
        memset(values[i], 0, sizeof values[i]);
      for (int64_t r = 0; r < m->rows; ++r) x[r][i] = k + i < m->inner ? task->x[r * m->inner + k + i] : 0;
    }
    task->values->update(x[0], CF_UPDATES, (int)m->rows, values[0], SKINNY_LINES, padded, sums, SKINNY_LINES);
  }
}

static void multiply_few_rows(void *context, int index) {
  const skinny_task *task = context;
  const multiplication *m = task->m;
  const int along = m->b.of.inner_stride == (int64_t)m->b.of.size;
  CF_ALIGNED(64) float sums[SKINNY_ROWS * SKINNY_LINES];
  int64_t begin, end;
  share_of(m->columns, m->threads, index, &begin, &end);
  const uint64_t state = task->values->enter();
  for (int64_t line = begin; line < end; line += SKINNY_LINES) {
    const int64_t lines = at_most(SKINNY_LINES, end - line);
    if (task->codes != NULL) {
      const cf_skinny skinny = {m->table_b, (const uint8_t *)m->b.of.elements + line * m->b.of.line_stride,
                                along ? m->b.of.line_stride : m->b.of.inner_stride, lines, m->inner, task->x, m->inner,
                                (int)m->rows, sums, SKINNY_LINES};
      (along ? task->codes->dot_codes : task->codes->update_codes)(&skinny);
    } else {
      (along ? dot_lines : update_lines)(task, line, lines, sums);
    }
    put_skinny(m, line, lines, sums, SKINNY_LINES);
  }
  task->values->leave(state);
}

static int is_skinny(const multiplication *m) {
  return m->rows <= SKINNY_ROWS &&
         (m->b.of.inner_stride == (int64_t)m->b.of.size || m->b.of.line_stride == (int64_t)m->b.of.size);
}

static int multiply_skinny(multiplication *m) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  skinny_task task = {m, NULL, cf_active_tiles(CF_PACKED_FLOAT32), NULL};
  if ((uint64_t)m->inner > SIZE_MAX / (SKINNY_ROWS * sizeof *task.x)) return CF_NO_MEMORY;
  float *x = malloc((size_t)(m->rows * m->inner) * sizeof *x);
  if (x == NULL) return CF_NO_MEMORY;
  for (int64_t r = 0; r < m->rows; ++r) {
    const size_t step = m->a.of.size;
    char staged[STAGED_LINE * 4];
    for (int64_t k = 0; k < m->inner; k += STAGED_LINE) {
      const int64_t count = at_most(STAGED_LINE, m->inner - k);
      cf_lines_copy(&m->a, CF_ALONG_LINE, r, 1, k, count, staged, (int64_t)(step * STAGED_LINE));
      cf_lines_decode(&m->a, CF_ALONG_LINE, r, k, staged, count, x + r * m->inner + k);
    }
  }
  task.x = x;
  if (bfloat16 != NULL && bfloat16->dot_codes != NULL && cf_lines_table(&m->b, m->table_b)) task.codes = bfloat16;
  if (m->threads == 1)
    multiply_few_rows(&task, 0);
  else
    cf_run_threads(m->threads, multiply_few_rows, &task);
  free(x);
  if (m->scaled_apart) scale_apart(m);
  return CF_OK;
}

static int multiply_matrices(multiplication *m) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  int status;
  if (m->inner == 0) {
    zero_results(m);
    return CF_OK;
  }
  status = prepare_scales(m);
  if (status != CF_OK) return status;
  if (is_skinny(m)) {
    status = multiply_skinny(m);
  } else {
    status = bfloat16 != NULL ? multiply_by(m, bfloat16) : 1;
    if (status == 1) status = multiply_by(m, cf_active_tiles(CF_PACKED_FLOAT32));
  }
  free(m->row_scale);
  return status;
}

/* Stacks */

typedef struct stack {
  const cf_product *product;
  cf_lines a, b; /* of the first matrices */
  int64_t count;
  int swapped, threads, threads_each;
  int status[CF_MAX_THREADS];
} stack;

/* Put a product in the place of the stack's i-th. */
static void go_to(const stack *s, int64_t index, multiplication *m) {
  const cf_product *product = s->product;
  const int ndim = product->stack_ndim;
  m->a = s->a;
  m->b = s->b;
  m->a.of = cf_operand_a(product, index);
  m->b.of = cf_operand_b(product, index);
  if (product->inner > 0 && !(s->a.near_1 && s->b.near_1)) {
    cf_lines_keep_biases(&m->a, &m->b.of);
    cf_lines_keep_biases(&m->b, &m->a.of);
  }
  m->results = cf_product_results(product, index);
  m->rows = product->rows;
  m->columns = product->columns;
  m->inner = product->inner;
  m->row_step = product->result_strides[ndim];
  m->column_step = product->result_strides[ndim + 1];
  m->threads = s->threads_each;
  m->swapped = s->swapped;
  if (m->swapped) {
    const cf_lines lines = m->a;
    m->a = m->b;
    m->b = lines;
    m->rows = product->columns;
    m->columns = product->rows;
    m->row_step = product->result_strides[ndim + 1];
    m->column_step = product->result_strides[ndim];
  }
}

static void multiply_share(void *context, int index) {
  stack *s = context;
  multiplication m;
  int64_t begin, end;
  share_of(s->count, s->threads, index, &begin, &end);
  s->status[index] = CF_OK;
  for (int64_t i = begin; i < end && s->status[index] == CF_OK; ++i) {
    go_to(s, i, &m);
    s->status[index] = multiply_matrices(&m);
  }
}

/* As many threads as the work is worth. */
static int useful_threads(double work, int threads) {
  const double useful = work / WORK_PER_THREAD;
  if (threads > CF_MAX_THREADS) threads = CF_MAX_THREADS;
  if (useful < threads) threads = (int)useful;
  return threads < 1 ? 1 : threads;
}

int cf_matmul(const cf_product *product, int threads) {
  const int ndim = product->stack_ndim;
  stack s;
  s.product = product;
  const int status = cf_product_check(product, &s.count);
  if (status != CF_OK) return status;
  if (s.count == 0 || product->rows == 0 || product->columns == 0) return CF_OK;
  const cf_operand a = cf_operand_a(product, 0), b = cf_operand_b(product, 0);
  s.a = cf_lines_of(&a, &product->a);
  s.b = cf_lines_of(&b, &product->b);
  s.swapped = product->columns <= SKINNY_ROWS && product->rows > SKINNY_ROWS;
  if (product->columns > SKINNY_ROWS && product->rows > SKINNY_ROWS) /* results that are contiguous along columns */
    s.swapped = product->result_strides[ndim + 1] != sizeof(float) && product->result_strides[ndim] == sizeof(float);
  const double work = (double)product->rows * (double)product->columns * (double)(product->inner + 1);
  s.threads_each = useful_threads(work, threads);
  s.threads = s.threads_each > 1 ? 1 : useful_threads(work * (double)s.count, threads);
  if (s.threads > s.count) s.threads = (int)s.count;
  if (s.threads == 1)
    multiply_share(&s, 0);
  else
    cf_run_threads(s.threads, multiply_share, &s);
  for (int i = 0; i < s.threads; ++i)
    if (s.status[i] != CF_OK) return s.status[i];
  return CF_OK;
}
