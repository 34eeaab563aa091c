/* Products of small matrices of float32 that are not packed: included by an instruction set's file,
 * which defines what gemv-inl.h asks for, f_multiply among it, and
 *
 *   f_one_nan(v)                   every NaN is CF_FLOAT32_NAN
 *   f_store_some(p, v, n)          the first n of a vector, fewer than it has */
#ifndef CF_MATMUL_KERNELS_SMALL_INL_H
#define CF_MATMUL_KERNELS_SMALL_INL_H

#ifndef CF_DECODE_FIELDS
#define CF_DECODE_FIELDS
#endif

/* As many rows times one vector of columns, or two, as there are registers for. */
#ifdef SMALL_MANY_REGISTERS
enum { SMALL_ROWS = 2 * CF_SMALL_ROWS, SMALL_ROWS_OF_TWO = CF_SMALL_ROWS };
#else
enum { SMALL_ROWS = CF_SMALL_ROWS, SMALL_ROWS_OF_TWO = CF_SMALL_ROWS / 2 };
#endif

/* Some rows times vectors of columns, of which the last may be a part. */
static CF_ALWAYS_INLINE void small_rows(const cf_small *small, int64_t row, int64_t column,
                                        int rows, int vectors) {
  const float *a = (const float *)small->a + row * small->inner,
              *b = (const float *)small->b + column;
  vector sums[SMALL_ROWS][2];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) sums[i][j] = f_zero();
  for (int64_t k = 0; k < small->inner; ++k, b += small->columns) {
    vector of_b[2];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) of_b[j] = f_load(b + j * VECTOR);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const vector of_a = f_set1(a[i * small->inner + k]);
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) sums[i][j] = f_multiply_add(of_a, of_b[j], sums[i][j]);
    }
  }
  const int64_t left = small->columns - column - (vectors - 1) * VECTOR;
  float *to = small->results + row * small->step + column;
  const float *row_scale = small->row_scale != NULL ? small->row_scale + row : NULL;
  vector column_scale[2];
#pragma GCC unroll 2
  for (int j = 0; j < vectors; ++j)
    column_scale[j] =
        row_scale != NULL ? f_load(small->column_scale + column + j * VECTOR) : f_zero();
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, to += small->step) {
    if (row + i >= small->rows) break;
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) {
      vector sum = sums[i][j];
      if (row_scale != NULL)
        sum = f_multiply(sum, f_multiply(f_set1(row_scale[i]), column_scale[j]));
      if (j < vectors - 1 || left >= VECTOR)
        f_store(to + j * VECTOR, f_one_nan(sum));
      else
        f_store_some(to + j * VECTOR, f_one_nan(sum), left);
    }
  }
}

static void multiply_small(const cf_small *small) {
  int64_t column = 0;
  for (; column + VECTOR < small->columns; column += 2 * VECTOR) {
    int64_t row = 0;
    for (; row + SMALL_ROWS_OF_TWO / 2 < small->rows; row += SMALL_ROWS_OF_TWO)
      small_rows(small, row, column, SMALL_ROWS_OF_TWO, 2);
    if (row < small->rows) small_rows(small, row, column, SMALL_ROWS_OF_TWO / 2, 2);
  }
  if (column < small->columns) {
    int64_t row = 0;
#ifdef SMALL_MANY_REGISTERS
    for (; row + SMALL_ROWS - CF_SMALL_ROWS / 2 < small->rows; row += SMALL_ROWS)
      small_rows(small, row, column, SMALL_ROWS, 1);
#endif
    for (; row + CF_SMALL_ROWS / 2 < small->rows; row += CF_SMALL_ROWS)
      small_rows(small, row, column, CF_SMALL_ROWS, 1);
    if (row < small->rows) small_rows(small, row, column, CF_SMALL_ROWS / 2, 1);
  }
}

#endif
