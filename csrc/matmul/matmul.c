/* Matrix products: stacks of them, their scales, and who does what. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "matmul/multiplication.h"

/* Products that are worth a thread; those of few rows take more of the memory's time each. */
enum { WORK_PER_THREAD = 1 << 20, FEW_ROWS_WORK_PER_THREAD = 1 << 18 };

/* Scales that no float holds, one by one. */
static void scale_apart(const cf_multiplication *m) {
  for (int64_t i = 0; i < m->rows; ++i) {
    const int exponent = cf_scaled_exponent(&m->a, i);
    for (int64_t j = 0; j < m->columns; ++j) {
      float result;
      memcpy(&result, cf_result_at(m, i, j), sizeof result);
      result = ldexpf(result, exponent + cf_scaled_exponent(&m->b, j));
      memcpy(cf_result_at(m, i, j), &result, sizeof result);
    }
  }
}

static void zero_results(const cf_multiplication *m) {
  const float zero = 0;
  for (int64_t i = 0; i < m->rows; ++i)
    for (int64_t j = 0; j < m->columns; ++j) memcpy(cf_result_at(m, i, j), &zero, sizeof zero);
}

static int prepare_scales(cf_multiplication *m) {
  const int64_t padded_rows = m->rows + CF_TILE_LINES_MAX,
                padded_columns = m->columns + CF_TILE_LINES_MAX;
  int low_a, high_a, low_b, high_b;
  m->scaled_apart = 0;
  m->row_scale = malloc((size_t)(padded_rows + padded_columns) * sizeof *m->row_scale);
  if (m->row_scale == NULL) return CF_NO_MEMORY;
  m->column_scale = m->row_scale + padded_rows;
  cf_scaled_scales(&m->a, m->row_scale, &low_a, &high_a);
  cf_scaled_scales(&m->b, m->column_scale, &low_b, &high_b);
  if (low_a == 0 && high_a == 0 && low_b == 0 && high_b == 0) {
    free(m->row_scale);
    m->row_scale = NULL;
  } else {
    m->scaled_apart = low_a < -126 || low_b < -126 || high_a > 127 || high_b > 127 ||
                      low_a + low_b < -126 || high_a + high_b > 127;
  }
  return CF_OK;
}

static int multiply_matrices(cf_multiplication *m) {
  const cf_tiles *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  int status;
  if (m->inner == 0) {
    zero_results(m);
    return CF_OK;
  }
  status = prepare_scales(m);
  if (status != CF_OK) return status;
  if (cf_is_gemv(m)) {
    status = cf_matmul_gemv(m);
  } else {
    status = bfloat16 != NULL ? cf_matmul_blocks(m, bfloat16) : 1;
    if (status == 1) {
      const cf_tiles *tiles = cf_active_tiles(CF_PACKED_FLOAT32);
      cf_scaled_use_fields(&m->a, tiles->decode_fields, &m->fields_a);
      cf_scaled_use_fields(&m->b, tiles->decode_fields, &m->fields_b);
      status = cf_matmul_blocks(m, tiles);
    }
  }
  if (status == CF_OK && m->scaled_apart) {
    const uint64_t modes = cf_set_default_float_modes();
    scale_apart(m);
    cf_restore_float_modes(modes);
  }
  free(m->row_scale);
  return status;
}

/* Stacks */

typedef struct stack {
  const cf_product *product;
  cf_scaled a, b; /* of the first matrices */
  int64_t count;
  int swapped, threads, threads_each;
  int status[CF_MAX_THREADS];
} stack;

/* Put a product in the place of the stack's i-th. */
static void go_to(const stack *s, int64_t index, cf_multiplication *m) {
  const cf_product *product = s->product;
  const int ndim = product->stack_ndim;
  m->a = s->a;
  m->b = s->b;
  m->a.of = cf_operand_a(product, index);
  m->b.of = cf_operand_b(product, index);
  if (product->inner > 0 && !(s->a.is_centred && s->b.is_centred)) {
    cf_scaled_keep_biases(&m->a, &m->b.of);
    cf_scaled_keep_biases(&m->b, &m->a.of);
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
    const cf_scaled lines = m->a;
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
  cf_multiplication m;
  int64_t begin, end;
  cf_share_of(s->count, 1, s->threads, index, &begin, &end);
  s->status[index] = CF_OK;
  if (cf_is_small(s->product)) {
    cf_matmul_small(s->product, &s->a, &s->b, begin, end);
    return;
  }
  for (int64_t i = begin; i < end && s->status[index] == CF_OK; ++i) {
    go_to(s, i, &m);
    s->status[index] = multiply_matrices(&m);
  }
}

int cf_matmul(const cf_product *product, int threads) {
  const int ndim = product->stack_ndim;
  stack s;
  s.product = product;
  const int status = cf_product_check(product, &s.count);
  if (status != CF_OK) return status;
  if (s.count == 0 || product->rows == 0 || product->columns == 0) return CF_OK;
  const cf_operand a = cf_operand_a(product, 0), b = cf_operand_b(product, 0);
  s.a = cf_scaled_of(&a, &product->a);
  s.b = cf_scaled_of(&b, &product->b);
  s.swapped = product->columns <= CF_GEMV_ROWS_MAX && product->rows > CF_GEMV_ROWS_MAX;
  /* results that are contiguous along columns */
  if (product->columns > CF_GEMV_ROWS_MAX && product->rows > CF_GEMV_ROWS_MAX)
    s.swapped = product->result_strides[ndim + 1] != sizeof(float) &&
                product->result_strides[ndim] == sizeof(float);
  const double work =
      (double)product->rows * (double)product->columns * (double)(product->inner + 1);
  const int has_few = product->rows <= CF_GEMV_ROWS_MAX || product->columns <= CF_GEMV_ROWS_MAX;
  const double least = has_few ? FEW_ROWS_WORK_PER_THREAD : WORK_PER_THREAD;
  s.threads_each = cf_useful_threads(work, least, threads);
  s.threads = s.threads_each > 1 ? 1 : cf_useful_threads(work * (double)s.count, least, threads);
  if (s.threads > s.count) s.threads = (int)s.count;
  cf_run_threads(s.threads, multiply_share, &s);
  for (int i = 0; i < s.threads; ++i)
    if (s.status[i] != CF_OK) return s.status[i];
  return CF_OK;
}
