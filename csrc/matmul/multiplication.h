/* One product of two matrices, while it is done: what the parts of cf_matmul share. */
#ifndef CF_MATMUL_MULTIPLICATION_H
#define CF_MATMUL_MULTIPLICATION_H

#include "core/integers.h"
#include "cpu/threads.h"
#include "matmul/kernels/tile.h"
#include "matmul/scaled_operand.h"

/* Columns of b that are packed together. */
typedef struct cf_columns {
  int64_t first, count;
  char *panels;
} cf_columns;

typedef struct cf_multiplication {
  cf_scaled a, b;
  const cf_tiles *tiles;
  int64_t rows, inner, columns;
  char *results;
  int64_t row_step, column_step; /* bytes */
  int swapped;                   /* the transposed product of the transposed operands */
  int planes_a, planes_b;
  cf_plane_range range_a, range_b;
  int maps_a, maps_b;
  cf_bytes table_a, table_b;
  cf_fields fields_a, fields_b;
  int packs_late;                  /* panels of a, one at a time, whenever they are multiplied */
  float *row_scale, *column_scale; /* or NULL: all 1 */
  int scaled_apart;                /* the scales' exponents are beyond what one float holds */
  int threads, shares;             /* which are several for each thread */
  /* the block at work */
  int64_t row, row_count, k, k_count, k_padded;
  cf_columns columns_now, columns_next;
  char *panels_a, *sums;   /* of a: all, or one a thread */
  size_t plane_a, plane_b; /* bytes of one plane of all panels */
  size_t panel_a, panel_b; /* and of a panel */
  int beyond_planes[CF_MAX_THREADS];
} cf_multiplication;

static inline int cf_is_bfloat16(const cf_multiplication *m) {
  return m->tiles->packing == CF_PACKED_BFLOAT16;
}

static inline char *cf_result_at(const cf_multiplication *m, int64_t row, int64_t column) {
  return m->results + row * m->row_step + column * m->column_step;
}

/* Pack one panel of the block's rows; returns whether all its elements are for the planes. */
int cf_matmul_pack_panel(const cf_multiplication *m, int64_t panel, char *to);
/* Pack a share of all of them, or of columns; m->beyond_planes[thread] is set if an element is not
 * for the planes. CF_COLUMN_PIECE columns are packed at a time. */
void cf_matmul_pack_rows(cf_multiplication *m, int share, int thread);
void cf_matmul_pack_columns(cf_multiplication *m, const cf_columns *columns, int share, int thread);

/* The product by way of panels for these tiles: CF_OK, CF_NO_MEMORY, or 1 if elements or formats
 * are not for them, and nothing of use was written. */
int cf_matmul_blocks(cf_multiplication *m, const cf_tiles *tiles);

/* Products of CF_GEMV_ROWS_MAX rows or fewer, whose other operand is read where it is, and whether
 * this is one. */
enum { CF_GEMV_ROWS_MAX = 16 };
int cf_is_gemv(const cf_multiplication *m);
int cf_matmul_gemv(cf_multiplication *m);

/* Products begin to end - 1 of a stack whose matrices are small, and whether they are. */
int cf_is_small(const cf_product *product);
void cf_matmul_small(const cf_product *product, const cf_scaled *a, const cf_scaled *b,
                     int64_t begin, int64_t end);

#endif
