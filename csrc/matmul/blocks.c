/* Matrix products by panels: blocks of the inner axis and of lines, tile by tile. */
#include <stdlib.h>
#include <string.h>

#include "cpu/compiler.h"
#include "cpu/threads.h"
#include "matmul/multiplication.h"

enum {
  MC = 2048,     /* rows of a that are packed together at most */
  NC_MAX = 2048, /* and columns of b */
  /* about so many of b's panels stay in a thread's second cache while all of a's pass */
  COLUMN_BYTES = 1024 << 10,
  /* that stay there with their sums while those of b pass, if a part of one of b's stays in the
   * first */
  PANELS_OF_A = 4,
  /* so that a thread that comes late or is interrupted does less */
  SHARES_EACH = 4
};

/* The inner elements of a panel that are multiplied at a time.  bfloat16 are multiplied so fast
 * that writing sums in between costs more than reading all of a panel from the second cache. */
static int64_t kc_piece(const cf_multiplication *m) {
  return cf_is_bfloat16(m) ? CF_KC : CF_FLOAT32_PIECE;
}

/* A part of two panels, as a tile takes it.  Planes go from the smallest products to the largest,
 * so that the small ones are not rounded to the large ones' precision more often than need be; in
 * one order whichever operand is a. */
static void set_part(const cf_multiplication *m, cf_tile *tile, const char *panel_a,
                     const char *panel_b, int64_t part) {
  if (!cf_is_bfloat16(m)) {
    panel_a += part * (int64_t)sizeof(float);
    panel_b += part * m->tiles->nr * (int64_t)sizeof(float);
  }
  tile->pairs = 0;
  for (int order = m->planes_a + m->planes_b - 2; order >= 0; --order)
    for (int i = 0; i <= order; ++i) {
      const int p = m->swapped ? order - i : i, q = order - p;
      if (p >= m->planes_a || q >= m->planes_b) continue;
      tile->a[tile->pairs] = panel_a + (size_t)p * m->plane_a;
      tile->b[tile->pairs++] = panel_b + (size_t)q * m->plane_b;
    }
  tile->inner = cf_at_most(kc_piece(m), m->k_padded - part);
  tile->first = part == 0;
}

static void end_tile(const cf_multiplication *m, int64_t panel_a, int64_t panel_b,
                     const float *sums) {
  const int64_t row = m->row + panel_a * m->tiles->mr,
                column = m->columns_now.first + panel_b * m->tiles->nr;
  CF_ALIGNED(64) float copy[CF_TILE_LINES_MAX * CF_TILE_LINES_MAX];
  cf_tile_end end;
  end.sums = sums;
  end.rows = (int)cf_at_most(m->tiles->mr, m->row + m->row_count - row);
  end.columns = (int)cf_at_most(m->tiles->nr, m->columns_now.first + m->columns_now.count - column);
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
  end.step = m->tiles->nr;
  for (int i = 0; end.adds && i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j)
      memcpy(copy + i * end.step + j, cf_result_at(m, row + i, column + j), sizeof *copy);
  m->tiles->end(&end);
  for (int i = 0; i < end.rows; ++i)
    for (int j = 0; j < end.columns; ++j)
      memcpy(cf_result_at(m, row + i, column + j), copy + i * end.step + j, sizeof *copy);
}

/* Results that a tile will be added to or written over, so that they are in cache by then. */
static void fetch_results(const cf_multiplication *m, int64_t panel_a, int64_t panel_b) {
  const int64_t row = m->row + panel_a * m->tiles->mr,
                column = m->columns_now.first + panel_b * m->tiles->nr;
  const int64_t rows = cf_at_most(m->tiles->mr, m->rows - row);
  const int64_t bytes = cf_at_most(m->tiles->nr, m->columns - column) * (int64_t)sizeof(float);
  if (m->column_step != sizeof(float)) return;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < bytes; j += CF_CACHE_LINE)
      CF_PREFETCH_TO_WRITE(cf_result_at(m, row + i, column) + j);
}

/* Panels that are multiplied by each of the other operand's before the next. */
static int64_t group_of(const cf_multiplication *m, int64_t k_padded) {
  return k_padded > kc_piece(m) ? PANELS_OF_A : 1;
}

/* A share is panels of the operand that has more of them. */
static void multiply(const cf_multiplication *m, int share, int thread) {
  const int64_t panels_a = cf_divide_up(m->row_count, m->tiles->mr);
  const int64_t panels_b = cf_divide_up(m->columns_now.count, m->tiles->nr);
  const size_t tile_size = (size_t)m->tiles->mr * (size_t)m->tiles->nr;
  const int64_t group = group_of(m, m->k_padded);
  float *sums =
      (float *)(void *)(m->sums + (size_t)thread * PANELS_OF_A * tile_size * sizeof(float));
  char *late = m->panels_a + (size_t)thread * m->panel_a;
  int64_t begin_a = 0, end_a = panels_a, begin_b = 0, end_b = panels_b;
  cf_tile tile;
  if (panels_a >= panels_b)
    cf_share_of(panels_a, 1, m->shares, share, &begin_a, &end_a);
  else
    cf_share_of(panels_b, 1, m->shares, share, &begin_b, &end_b);
  for (int64_t i = begin_a; i < end_a; i += group) {
    const char *const panel_a = m->packs_late ? late : m->panels_a + (size_t)i * m->panel_a;
    const int64_t count = cf_at_most(group, end_a - i);
    if (m->packs_late) cf_matmul_pack_panel(m, i, late);
    for (int64_t j = begin_b; j < end_b; ++j) {
      const char *const panel_b = m->columns_now.panels + (size_t)j * m->panel_b;
      for (int64_t part = 0; part < m->k_padded; part += kc_piece(m))
        for (int64_t panel = 0; panel < count; ++panel) {
          tile.sums = sums + (size_t)panel * tile_size;
          set_part(m, &tile, panel_a + (size_t)panel * m->panel_a, panel_b, part);
          if (part + kc_piece(m) >= m->k_padded) fetch_results(m, i + panel, j);
          m->tiles->tile(&tile);
        }
      for (int64_t panel = 0; panel < count; ++panel)
        end_tile(m, i + panel, j, sums + (size_t)panel * tile_size);
    }
  }
}

/* Tasks for cf_run_shares */
static void start(void *context, int share, int thread) {
  cf_multiplication *m = context;
  const uint64_t state = m->tiles->enter();
  if (!m->packs_late) cf_matmul_pack_rows(m, share, thread);
  cf_matmul_pack_columns(m, &m->columns_now, share, thread);
  m->tiles->leave(state);
}

static void go_on(void *context, int share, int thread) {
  cf_multiplication *m = context;
  const uint64_t state = m->tiles->enter();
  multiply(m, share, thread);
  cf_matmul_pack_columns(m, &m->columns_next, share, thread);
  m->tiles->leave(state);
}

/* What values of an operand are in no plane subnormal, nor in any product of planes; and finite, if
 * there are several products: the other operand's may be 0. */
static cf_plane_range range_of(const cf_scaled *operand, int planes, const cf_scaled *other,
                               int other_planes) {
  /* of two that may be anywhere, each takes half the range */
  const int lowest = other->is_centred ? other->lowest : -63;
  int exponent = (planes > 1 ? 8 * planes : 0) - 126 - lowest;
  cf_plane_range range;
  /* which all codes' are above, or subnormal */
  if (operand->is_centred || exponent < -126) exponent = -126;
  if (exponent > 126) exponent = 126;
  range.low = (uint32_t)(exponent + 127) << 23;
  range.high = planes * other_planes > 1 ? 0x7F800000u : 0x80000000u;
  return range;
}

static int choose_planes(cf_multiplication *m, const cf_tiles *tiles) {
  m->tiles = tiles;
  m->planes_a = m->planes_b = 1;
  m->maps_a = m->maps_b = m->packs_late = 0;
  if (tiles->packing == CF_PACKED_FLOAT32) return 1;
  m->planes_a = (m->a.significant + 7) / 8;
  m->planes_b = (m->b.significant + 7) / 8;
  m->range_a = range_of(&m->a, m->planes_a, &m->b, m->planes_b);
  m->range_b = range_of(&m->b, m->planes_b, &m->a, m->planes_a);
  const int pairs = m->planes_a * m->planes_b;
  if (tiles->widen != NULL) {
    m->maps_a = cf_scaled_table(&m->a, pairs > 1, &m->table_a);
    m->maps_b =
        tiles->nr * 2 == CF_WIDENED_COLUMNS && cf_scaled_table(&m->b, pairs > 1, &m->table_b);
  }
  /* so fast that packing again costs less than keeping */
  m->packs_late = m->maps_a && m->a.of.inner_stride == 1;
  return pairs <= tiles->pairs_max;
}

static int is_beyond_planes(const cf_multiplication *m) {
  int beyond_planes = 0;
  for (int i = 0; i < m->threads; ++i) beyond_planes |= m->beyond_planes[i];
  return beyond_planes;
}

/* How many columns are packed together. */
static int64_t choose_nc(const cf_multiplication *m, int64_t inner) {
  const int64_t piece = inner * CF_COLUMN_PIECE * m->planes_b * (cf_is_bfloat16(m) ? 2 : 4);
  return cf_at_most(NC_MAX, cf_divide_up(COLUMN_BYTES, piece) * CF_COLUMN_PIECE);
}

/* While threads multiply columns, they pack the next when they are done, and so they wait for each
 * other but once.  1 if an element turned out not to be for planes. */
static int multiply_blocks(cf_multiplication *m, int64_t nc) {
  char *const panels[2] = {m->columns_now.panels, m->columns_next.panels};
  memset(m->beyond_planes, 0, sizeof m->beyond_planes);
  for (m->k = 0; m->k < m->inner; m->k += CF_KC) {
    m->k_count = cf_at_most(CF_KC, m->inner - m->k);
    m->k_padded = cf_is_bfloat16(m) ? cf_multiple(m->k_count, CF_KC_UNIT) : m->k_count;
    for (m->row = 0; m->row < m->rows; m->row += MC) {
      m->row_count = cf_at_most(MC, m->rows - m->row);
      m->columns_now = (cf_columns){0, cf_at_most(nc, m->columns), panels[0]};
      cf_run_shares(m->threads, m->shares / m->threads, start, m);
      for (int i = 1; m->columns_now.count > 0 && !is_beyond_planes(m); i = !i) {
        const int64_t next = m->columns_now.first + m->columns_now.count;
        m->columns_next = (cf_columns){next, cf_at_most(nc, m->columns - next), panels[i]};
        cf_run_shares(m->threads, m->shares / m->threads, go_on, m);
        m->columns_now = m->columns_next;
      }
      if (is_beyond_planes(m)) return 1;
    }
  }
  return 0;
}

int cf_matmul_blocks(cf_multiplication *m, const cf_tiles *tiles) {
  if (!choose_planes(m, tiles)) return 1;
  const int64_t inner =
      cf_multiple(cf_at_most(CF_KC, m->inner), cf_is_bfloat16(m) ? CF_KC_UNIT : 1);
  const size_t element = cf_is_bfloat16(m) ? 2 : 4;
  const int64_t nc = choose_nc(m, inner);
  const int64_t panels_a =
      m->packs_late ? m->threads : cf_divide_up(cf_at_most(MC, m->rows), tiles->mr);
  const int64_t panels_b = cf_divide_up(cf_at_most(nc, m->columns), tiles->nr);
  const int64_t lines = m->rows > m->columns ? m->rows / tiles->mr : m->columns / tiles->nr;
  const int64_t each = cf_at_most(SHARES_EACH, lines / group_of(m, inner) / m->threads);
  m->shares = m->threads == 1 || each < 1 ? m->threads : m->threads * (int)each;
  m->panel_a = (size_t)tiles->mr * element * (cf_is_bfloat16(m) ? (size_t)inner : CF_KC_STRIDE);
  m->panel_b =
      (size_t)cf_multiple((int64_t)((size_t)(tiles->nr * inner) * element), CF_TILE_ALIGNMENT);
  m->plane_a = (size_t)cf_multiple((int64_t)((size_t)panels_a * m->panel_a), CF_TILE_ALIGNMENT);
  m->plane_b = (size_t)panels_b * m->panel_b;
  const size_t sums =
      (size_t)m->threads * PANELS_OF_A * (size_t)(tiles->mr * tiles->nr) * sizeof(float);
  const size_t all_a = m->plane_a * (size_t)m->planes_a, all_b = m->plane_b * (size_t)m->planes_b;
  const int alone = m->threads == 1; /* which then packs the next columns where the last were */
  char *memory = malloc(all_a + (alone ? 1 : 2) * all_b + sums + CF_TILE_ALIGNMENT);
  if (memory == NULL) return CF_NO_MEMORY;
  m->panels_a = memory + (CF_TILE_ALIGNMENT - (uintptr_t)memory % CF_TILE_ALIGNMENT);
  m->columns_now.panels = m->panels_a + all_a;
  m->columns_next.panels = m->columns_now.panels + (alone ? 0 : all_b);
  m->sums = m->columns_next.panels + all_b;
  const int beyond_planes = multiply_blocks(m, nc);
  free(memory);
  return beyond_planes;
}
