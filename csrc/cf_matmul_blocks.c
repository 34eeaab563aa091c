/* Matrix products by panels: blocks of the inner axis and of lines, tile by tile. */
#include <stdlib.h>
#include <string.h>

#include "cf_multiplication.h"
#include "cf_threads.h"

enum {
  LINES_AT_A_TIME = 2048, /* of either operand, that are packed together */
  PANELS_IN_A_GROUP = 4   /* of a, that stay in cache while all of b pass */
};

static int64_t part_length(const cf_multiplication *m) { return cf_is_bfloat16(m) ? CF_PART_BFLOAT16 : CF_PART_FLOAT32; }

/* A part of two panels, as a tile takes it.  Planes go from the smallest products to the largest, so that the small ones are
 * not rounded to the large ones' precision more often than need be; in one order whichever operand is a. */
static void set_part(const cf_multiplication *m, cf_tile *tile, int64_t panel_a, int64_t panel_b, int64_t part) {
  const size_t element = cf_is_bfloat16(m) ? 2 : 4;
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
  tile->inner = cf_at_most(part_length(m), m->k_padded - part);
  tile->first = part == 0;
}

static void end_tile(const cf_multiplication *m, int64_t panel_a, int64_t panel_b, const float *sums) {
  const int64_t row = m->row + panel_a * m->tiles->rows, column = m->column + panel_b * m->tiles->columns;
  CF_ALIGNED(64) float copy[CF_TILE_LINES_MAX * CF_TILE_LINES_MAX];
  cf_tile_end end;
  end.sums = sums;
  end.rows = (int)cf_at_most(m->tiles->rows, m->row + m->row_count - row);
  end.columns = (int)cf_at_most(m->tiles->columns, m->column + m->column_count - column);
  end.adds = m->k > 0;
  end.row_scale = end.column_scale = NULL;
  if (m->row_scale != NULL && !m->scaled_apart && m->k + m->k_count == m->inner) {
    end.row_scale = m->row_scale + row;
    end.column_scale = m->column_scale + column;
  }
  end.results = (float *)(void *)cf_result_at(m, row, column);
  end.step = m->row_step / (int64_t)sizeof(float);
  if (m->column_step == sizeof(float)) {
    m->tiles->end(&end);
    return;
  }
  end.results = copy;
  end.step = m->tiles->columns;
  for (int i = 0; end.adds && i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j) memcpy(copy + i * end.step + j, cf_result_at(m, row + i, column + j), sizeof *copy);
  m->tiles->end(&end);
  for (int i = 0; i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j) memcpy(cf_result_at(m, row + i, column + j), copy + i * end.step + j, sizeof *copy);
}

/* A thread takes panels of the operand that has more of them.  A part of one panel of b stays in the nearest cache while
 * a group of panels of a passes, which with its sums stays in the next. */
static void multiply(void *context, int index) {
  const cf_multiplication *m = context;
  const int64_t panels_a = cf_divide_up(m->row_count, m->tiles->rows);
  const int64_t panels_b = cf_divide_up(m->column_count, m->tiles->columns);
  const size_t tile_size = (size_t)m->tiles->rows * (size_t)m->tiles->columns;
  float *sums = (float *)(void *)(m->sums + (size_t)index * PANELS_IN_A_GROUP * tile_size * sizeof(float));
  int64_t begin_a = 0, end_a = panels_a, begin_b = 0, end_b = panels_b;
  cf_tile tile;
  if (panels_a >= panels_b)
    cf_share_of(panels_a, m->threads, index, &begin_a, &end_a);
  else
    cf_share_of(panels_b, m->threads, index, &begin_b, &end_b);
  const uint64_t state = m->tiles->enter();
  for (int64_t i = begin_a; i < end_a; i += PANELS_IN_A_GROUP)
    for (int64_t j = begin_b; j < end_b; ++j) {
      const int64_t count = cf_at_most(PANELS_IN_A_GROUP, end_a - i);
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

static int choose_planes(cf_multiplication *m, const cf_tiles *tiles) {
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
    m->looks_up_a = cf_lines_table(&m->a, pairs > 1, &m->table_a);
    m->looks_up_b = tiles->columns * 2 == CF_WIDENED_COLUMNS && cf_lines_table(&m->b, pairs > 1, &m->table_b);
  }
  return pairs <= tiles->pairs_max;
}

/* 1 if an element turned out not to be for planes. */
static int multiply_blocks(cf_multiplication *m) {
  for (m->column = 0; m->column < m->columns; m->column += LINES_AT_A_TIME) {
    m->column_count = cf_at_most(LINES_AT_A_TIME, m->columns - m->column);
    for (m->k = 0; m->k < m->inner; m->k += CF_MATMUL_BLOCK) {
      m->k_count = cf_at_most(CF_MATMUL_BLOCK, m->inner - m->k);
      m->k_padded = cf_is_bfloat16(m) ? cf_round_up(m->k_count, CF_MATMUL_STEP) : m->k_count;
      m->packs_b = 1;
      for (m->row = 0; m->row < m->rows; m->row += LINES_AT_A_TIME) {
        m->row_count = cf_at_most(LINES_AT_A_TIME, m->rows - m->row);
        cf_run_threads(m->threads, cf_matmul_pack, m);
        for (int i = 0; i < m->threads; ++i)
          if (m->unfit[i]) return 1;
        cf_run_threads(m->threads, multiply, m);
        m->packs_b = 0;
      }
    }
  }
  return 0;
}

int cf_matmul_blocks(cf_multiplication *m, const cf_tiles *tiles) {
  if (!choose_planes(m, tiles)) return 1;
  const int64_t inner = cf_round_up(cf_at_most(CF_MATMUL_BLOCK, m->inner), cf_is_bfloat16(m) ? CF_MATMUL_STEP : 1);
  const size_t element = cf_is_bfloat16(m) ? 2 : 4;
  const int64_t panels_a = cf_divide_up(cf_at_most(LINES_AT_A_TIME, m->rows), tiles->rows);
  const int64_t panels_b = cf_divide_up(cf_at_most(LINES_AT_A_TIME, m->columns), tiles->columns);
  m->panel_a = (size_t)tiles->rows * CF_MATMUL_LINE * element;
  m->panel_b = (size_t)cf_round_up((int64_t)((size_t)(tiles->columns * inner) * element), CF_TILE_ALIGNMENT);
  m->plane_a = (size_t)cf_round_up((int64_t)((size_t)panels_a * m->panel_a), CF_TILE_ALIGNMENT);
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
