/* Packing of both operands of a matrix product into panels. */
#include <string.h>

#include "matmul/multiplication.h"

enum {
  INNER_PIECE = 64, /* inner elements of columns that have to be copied first, at a time */
  LINE_PIECE = 256  /* and of a line */
};

/* At most LINE_PIECE elements of a line of a as bfloat16, padded with zeros, into its place in as
 * many groups of all lines; returns whether all could be packed. */
static int split_line(const cf_multiplication *m, int64_t line, int64_t k, const char *from,
                      int64_t count, char *to) {
  const int64_t padded = cf_multiple(count, CF_KC_UNIT);
  float values[LINE_PIECE];
  uint16_t staged[CF_PLANES_MAX][LINE_PIECE];
  uint16_t *const planes[CF_PLANES_MAX] = {staged[0], staged[1], staged[2]};
  cf_scaled_decode(&m->a, CF_ALONG_LINE, line, k, from, count, values);
  const int fit = m->tiles->split(values, (size_t)count, m->planes_a, m->range_a, planes);
  for (int p = 0; p < m->planes_a; ++p) {
    memset(staged[p] + count, 0, (size_t)(padded - count) * 2);
    for (int64_t i = 0; i < padded; i += CF_KC_UNIT)
      memcpy(to + (size_t)p * m->plane_a + i * m->tiles->mr * 2, staged[p] + i, CF_KC_UNIT * 2);
  }
  return fit;
}

/* So much of a line of a panel, `done` elements from the beginning of the block. */
static int pack_line(const cf_multiplication *m, int64_t line, int64_t done, const char *from,
                     int64_t count, char *to, int64_t line_of_panel) {
  const int64_t rows = m->tiles->mr, k = m->k + done;
  if (!cf_is_bfloat16(m)) {
    float *place = (float *)(void *)to + line_of_panel * CF_KC_STRIDE + done;
    cf_scaled_decode(&m->a, CF_ALONG_LINE, line, k, from, count, place);
    return 1;
  }
  to += (done * rows + line_of_panel * CF_KC_UNIT) * 2;
  if (!m->maps_a) return split_line(m, line, k, from, count, to);
  m->tiles->widen(&m->table_a, (const uint8_t *)from, count, (uint16_t *)(void *)to,
                  rows * CF_KC_UNIT);
  return 1;
}

int cf_matmul_pack_panel(const cf_multiplication *m, int64_t panel, char *to) {
  const int64_t first = m->row + panel * m->tiles->mr;
  const int64_t lines = cf_at_most(m->tiles->mr, m->row + m->row_count - first);
  const int contiguous = m->a.of.inner_stride == (int64_t)m->a.of.size;
  const int64_t piece = contiguous && m->maps_a ? CF_KC : LINE_PIECE;
  char staged[CF_TILE_LINES_MAX * LINE_PIECE * 4];
  int fit = 1;
  if (lines < m->tiles->mr)
    for (int p = 0; p < m->planes_a; ++p) memset(to + (size_t)p * m->plane_a, 0, m->panel_a);
  for (int64_t done = 0; done < m->k_count; done += piece) {
    const int64_t k = m->k + done, count = cf_at_most(piece, m->k_count - done);
    const char *from = m->a.of.elements + first * m->a.of.line_stride + k * m->a.of.inner_stride;
    int64_t step = m->a.of.line_stride;
    if (!contiguous) {
      step = LINE_PIECE * (int64_t)m->a.of.size;
      cf_scaled_copy(&m->a, CF_ALONG_LINE, first, lines, k, count, staged, step);
      from = staged;
    }
    for (int64_t i = 0; i < lines; ++i, from += step)
      fit &= pack_line(m, first + i, done, from, count, to, i);
  }
  return fit;
}

/* One group of inner elements (one of float32, two of bfloat16) of several columns, into as many
 * panels as they fill. */
static void scatter(const cf_multiplication *m, char *panels, int64_t panel, int64_t group,
                    const void *from, int64_t columns, int p) {
  const size_t bytes = (size_t)m->tiles->nr * 4;
  char *to = panels + (size_t)p * m->plane_b + (size_t)panel * m->panel_b + (size_t)group * bytes;
  for (int64_t done = 0; done < columns; done += m->tiles->nr, to += m->panel_b) {
    const size_t part = (size_t)cf_at_most(m->tiles->nr, columns - done) * 4;
    memcpy(to, (const char *)from + done * 4, part);
    if (part < bytes) memset(to + part, 0, bytes - part);
  }
}

/* Contiguous columns and consecutive inner elements, `step` bytes apart, as pairs of inner
 * elements. */
static int pack_pairs(const cf_multiplication *m, const cf_columns *to, int64_t k, int64_t count,
                      int64_t column, int64_t columns, const char *from, int64_t step) {
  CF_ALIGNED(64) float values[2][CF_COLUMN_PIECE];
  CF_ALIGNED(64) uint16_t pairs[CF_PLANES_MAX][2 * CF_COLUMN_PIECE];
  uint16_t *const planes[CF_PLANES_MAX] = {pairs[0], pairs[1], pairs[2]};
  const int64_t panel = (column - to->first) / m->tiles->nr;
  int fit = 1;
  for (int64_t i = 0; i < count; i += 2) {
    cf_scaled_decode(&m->b, CF_ACROSS_LINES, column, k + i, from + i * step, columns, values[0]);
    if (i + 1 < count)
      cf_scaled_decode(&m->b, CF_ACROSS_LINES, column, k + i + 1, from + (i + 1) * step, columns,
                       values[1]);
    else
      memset(values[1], 0, sizeof values[1]);
    fit &= m->tiles->split_pairs(values[0], values[1], (size_t)columns, m->planes_b, m->range_b,
                                 planes);
    for (int p = 0; p < m->planes_b; ++p)
      scatter(m, to->panels, panel, (k - m->k + i) / 2, pairs[p], columns, p);
  }
  return fit;
}

/* The same of codes that are looked up; what does not fill the registers of that goes the other
 * way. */
static int widen_pairs(const cf_multiplication *m, const cf_columns *to, int64_t k, int64_t count,
                       int64_t column, int64_t columns, const char *from, int64_t step) {
  const size_t group_bytes = (size_t)m->tiles->nr * 4;
  int64_t done = 0;
  for (; done + CF_WIDENED_COLUMNS <= columns; done += CF_WIDENED_COLUMNS) {
    char *panel = to->panels + (size_t)((column - to->first + done) / m->tiles->nr) * m->panel_b +
                  (size_t)((k - m->k) / 2) * group_bytes;
    m->tiles->widen_columns(&m->table_b, (const uint8_t *)from + done, step, count / 2,
                            (uint16_t *)(void *)panel, (uint16_t *)(void *)(panel + m->panel_b));
  }
  int fit = done == columns ||
            pack_pairs(m, to, k, count, column + done, columns - done, from + done, step);
  if (count % 2 != 0 && done > 0)
    fit &= pack_pairs(m, to, k + count - 1, 1, column, done, from + (count - 1) * step, step);
  return fit;
}

/* A panel's part of count <= INNER_PIECE inner elements by fields: its codes in its own order
 * first. */
static void pack_part_by_fields(const cf_multiplication *m, int64_t column, int64_t columns,
                                int64_t k, int64_t count, float *to) {
  const int64_t nr = m->tiles->nr, size = (int64_t)m->b.of.size, all = count * nr;
  CF_ALIGNED(64) char codes[INNER_PIECE * CF_TILE_LINES_MAX * 2];
  CF_ALIGNED(64) float last[2 * CF_TILE_LINES_MAX];
  if (columns < nr) memset(codes, 0, (size_t)(all * size));
  cf_scaled_copy(&m->b, CF_ACROSS_LINES, column, columns, k, count, codes, nr * size);
  /* what is written beyond the end may be another panel's */
  const int64_t most = all / (2 * CF_TILE_LINES_MAX) * (2 * CF_TILE_LINES_MAX);
  cf_scaled_decode(&m->b, CF_ACROSS_LINES, column, k, codes, most, to);
  if (most == all) return;
  cf_scaled_decode(&m->b, CF_ACROSS_LINES, column, k, codes + most * size, all - most, last);
  memcpy(to + most, last, (size_t)(all - most) * sizeof *to);
}

/* INNER_PIECE inner elements or fewer, from `done` of the block on, of the piece-th
 * CF_COLUMN_PIECE columns. */
static int pack_piece_of_b(const cf_multiplication *m, const cf_columns *to, int64_t piece,
                           int64_t done) {
  const int64_t at = piece * CF_COLUMN_PIECE, first = to->first + at;
  const int64_t columns = cf_at_most(CF_COLUMN_PIECE, to->count - at), panel = at / m->tiles->nr;
  const int64_t k = m->k + done, count = cf_at_most(INNER_PIECE, m->k_count - done);
  const int contiguous = m->b.of.line_stride == (int64_t)m->b.of.size;
  CF_ALIGNED(64) char staged[CF_COLUMN_PIECE * INNER_PIECE * 4];
  const char *from = m->b.of.elements + first * m->b.of.line_stride + k * m->b.of.inner_stride;
  int64_t step = m->b.of.inner_stride;
  int fit = 1;
  if (m->b.fields != NULL) { /* which are of float32 */
    const int64_t nr = m->tiles->nr;
    for (int64_t j = 0; j < columns; j += nr)
      pack_part_by_fields(
          m, first + j, cf_at_most(nr, columns - j), k, count,
          (float *)(void *)(to->panels + (size_t)(panel + j / nr) * m->panel_b) + done * nr);
    return 1;
  }
  if (!contiguous) {
    step = CF_COLUMN_PIECE * (int64_t)m->b.of.size;
    cf_scaled_copy(&m->b, CF_ACROSS_LINES, first, columns, k, count, staged, step);
    from = staged;
  }
  if (m->maps_b) {
    fit = widen_pairs(m, to, k, count, first, columns, from, step);
  } else if (cf_is_bfloat16(m)) {
    fit = pack_pairs(m, to, k, count, first, columns, from, step);
  } else {
    CF_ALIGNED(64) float values[CF_COLUMN_PIECE];
    for (int64_t i = 0; i < count; ++i) {
      cf_scaled_decode(&m->b, CF_ACROSS_LINES, first, k + i, from + i * step, columns, values);
      scatter(m, to->panels, panel, done + i, values, columns, 0);
    }
  }
  if (cf_is_bfloat16(m) && done + count == m->k_count) {
    const uint32_t zeros[CF_COLUMN_PIECE] = {0};
    for (int64_t group = (m->k_count + 1) / 2; group < m->k_padded / 2; ++group)
      for (int p = 0; p < m->planes_b; ++p) scatter(m, to->panels, panel, group, zeros, columns, p);
  }
  return fit;
}

void cf_matmul_pack_rows(cf_multiplication *m, int share, int thread) {
  int64_t begin, end;
  int fit = 1;
  cf_share_of(cf_divide_up(m->row_count, m->tiles->mr), 1, m->shares, share, &begin, &end);
  for (int64_t panel = begin; panel < end && fit; ++panel)
    fit &= cf_matmul_pack_panel(m, panel, m->panels_a + (size_t)panel * m->panel_a);
  m->beyond_planes[thread] |= !fit;
}

void cf_matmul_pack_columns(cf_multiplication *m, const cf_columns *columns, int share,
                            int thread) {
  const int64_t pieces = cf_divide_up(m->k_count, INNER_PIECE);
  int64_t begin, end;
  int fit = 1;
  cf_share_of(cf_divide_up(columns->count, CF_COLUMN_PIECE) * pieces, 1, m->shares, share, &begin,
              &end);
  for (int64_t i = begin; i < end && fit; ++i)
    fit &= pack_piece_of_b(m, columns, i / pieces, i % pieces * INNER_PIECE);
  m->beyond_planes[thread] |= !fit;
}
