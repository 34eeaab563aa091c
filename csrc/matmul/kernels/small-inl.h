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

/* As many rows, fours, times one vector of columns, or two, as there are registers for. */
#ifdef SMALL_MANY_REGISTERS
enum { SMALL_ROWS = 16, SMALL_ROWS_OF_TWO = 8, SMALL_ROWS_LEAST = 4 };
#else
enum { SMALL_ROWS = 8, SMALL_ROWS_OF_TWO = 4, SMALL_ROWS_LEAST = 4 };
#endif

/* Sums to results; `whole` where all rows and columns are there. */
static CF_ALWAYS_INLINE void small_end(const cf_small *small, int64_t row, int64_t column, int rows,
                                       int vectors, int whole, vector sums[][2]) {
  const int64_t left = small->columns - column;
  const float *row_scale = small->row_scale != NULL ? small->row_scale + row : NULL;
  float *to = small->results + row * small->step + column;
  vector column_scale[2];
#pragma GCC unroll 2
  for (int j = 0; j < vectors; ++j)
    column_scale[j] =
        row_scale != NULL ? f_load(small->column_scale + column + j * VECTOR) : f_zero();
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i, to += small->step) {
    if (!whole && row + i >= small->rows) break;
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) {
      vector sum = sums[i][j];
      if (row_scale != NULL)
        sum = f_multiply(sum, f_multiply(f_set1(row_scale[i]), column_scale[j]));
      if (whole || j < vectors - 1 || left >= vectors * VECTOR)
        f_store(to + j * VECTOR, f_one_nan(sum));
      else
        f_store_some(to + j * VECTOR, f_one_nan(sum), left - j * VECTOR);
    }
  }
}

/* Some rows times vectors of columns, of which the last may be a part. */
static CF_ALWAYS_INLINE void small_rows(const cf_small *small, int64_t row, int64_t column,
                                        int rows, int vectors) {
  const int64_t inner = small->inner;
  const float *a = (const float *)small->a + row * inner, *b = (const float *)small->b + column;
  vector sums[SMALL_ROWS][2];
  /* each fourth row, and places in the rows that follow it: more would not have registers */
  const float *fourth[SMALL_ROWS / 4];
  int64_t at[4];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) sums[i][j] = f_zero();
#pragma GCC unroll 4
  for (int i = 0; i < rows / 4; ++i) fourth[i] = a + 4 * i * inner;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) at[i] = i * inner;
  for (; at[0] < inner; b += small->columns) {
    vector of_b[2];
#pragma GCC unroll 2
    for (int j = 0; j < vectors; ++j) of_b[j] = f_load(b + j * VECTOR);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const vector of_a = f_set1(fourth[i / 4][at[i % 4]]);
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) sums[i][j] = f_multiply_add(of_a, of_b[j], sums[i][j]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) ++at[i];
  }
  if (row + rows <= small->rows && column + vectors * VECTOR <= small->columns)
    small_end(small, row, column, rows, vectors, 1, sums);
  else
    small_end(small, row, column, rows, vectors, 0, sums);
}

static void multiply_small(const cf_small *small) {
  int64_t column = 0, row;
  for (; column + VECTOR < small->columns; column += 2 * VECTOR) {
    for (row = 0; row + SMALL_ROWS_OF_TWO - SMALL_ROWS_LEAST < small->rows;
         row += SMALL_ROWS_OF_TWO)
      small_rows(small, row, column, SMALL_ROWS_OF_TWO, 2);
#ifdef SMALL_MANY_REGISTERS
    if (row < small->rows) small_rows(small, row, column, SMALL_ROWS_LEAST, 2);
#endif
  }
  if (column >= small->columns) return;
  row = 0;
#ifdef SMALL_MANY_REGISTERS
  for (; row + SMALL_ROWS - SMALL_ROWS_LEAST < small->rows; row += SMALL_ROWS)
    small_rows(small, row, column, SMALL_ROWS, 1);
#endif
  for (; row + CF_SMALL_ROWS - SMALL_ROWS_LEAST < small->rows; row += CF_SMALL_ROWS)
    small_rows(small, row, column, CF_SMALL_ROWS, 1);
  if (row < small->rows) small_rows(small, row, column, SMALL_ROWS_LEAST, 1);
}

#endif
