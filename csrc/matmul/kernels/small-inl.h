/* Products of small matrices of float32 that are not packed: included by an instruction set's file,
 * which defines what gemv-inl.h asks for, f_multiply among it, and
 *
 *   f_one_nan(v)                   every NaN is CF_FLOAT32_NAN
 *   f_store_some(p, v, n)          the first n of a vector, fewer than it has */
#ifndef CF_MATMUL_KERNELS_SMALL_INL_H
#define CF_MATMUL_KERNELS_SMALL_INL_H

/* Some rows times a vector of columns, or what is left of one. */
static CF_ALWAYS_INLINE void small_rows(const cf_small *small, int64_t row, int64_t column,
                                        int rows) {
  const float *a = (const float *)small->a + row * small->inner,
              *b = (const float *)small->b + column;
  const int64_t left = small->columns - column;
  vector sums[CF_SMALL_ROWS];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) sums[i] = f_zero();
  for (int64_t k = 0; k < small->inner; ++k, b += small->columns) {
    const vector of_b = f_load(b);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i)
      sums[i] = f_multiply_add(f_set1(a[i * small->inner + k]), of_b, sums[i]);
  }
  const vector column_scale =
      small->row_scale != NULL ? f_load(small->column_scale + column) : f_zero();
  float *to = small->results + row * small->step + column;
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i, to += small->step) {
    if (row + i >= small->rows) break;
    if (small->row_scale != NULL)
      sums[i] = f_multiply(sums[i], f_multiply(f_set1(small->row_scale[row + i]), column_scale));
    if (left >= VECTOR)
      f_store(to, f_one_nan(sums[i]));
    else
      f_store_some(to, f_one_nan(sums[i]), left);
  }
}

static void multiply_small(const cf_small *small) {
  for (int64_t column = 0; column < small->columns; column += VECTOR) {
    int64_t row = 0;
    for (; row + CF_SMALL_ROWS / 2 < small->rows; row += CF_SMALL_ROWS)
      small_rows(small, row, column, CF_SMALL_ROWS);
    if (row < small->rows) small_rows(small, row, column, CF_SMALL_ROWS / 2);
  }
}

#endif
