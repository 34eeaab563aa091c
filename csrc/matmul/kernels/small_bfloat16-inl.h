/* The same of bfloat16, two elements of the inner axis at a time: included by
 * avx512bf16.c, under its target. */
#ifndef CF_MATMUL_KERNELS_SMALL_BFLOAT16_INL_H
#define CF_MATMUL_KERNELS_SMALL_BFLOAT16_INL_H

static CF_ALWAYS_INLINE void small_rows(const cf_small *small, int64_t row, int64_t column,
                                        int rows) {
  const uint16_t *a = (const uint16_t *)small->a + row * small->inner,
                 *b = (const uint16_t *)small->b + column;
  const int64_t left = small->columns - column;
  const __mmask16 there = (__mmask16)(left < 16 ? (1u << left) - 1 : 0xFFFF);
  __m512 sums[CF_SMALL_ROWS];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) sums[i] = _mm512_setzero_ps();
  for (int64_t k = 0; k < small->inner; k += 2, b += 2 * small->columns) {
    const __m512i even =
                      _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)b)),
                  odd = _mm512_cvtepu16_epi32(
                      _mm256_loadu_si256((const __m256i *)(const void *)(b + small->columns)));
    const __m512bh pairs = (__m512bh)_mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      int bits;
      memcpy(&bits, a + i * small->inner + k, sizeof bits);
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)_mm512_set1_epi32(bits), pairs);
    }
  }
  const __m512 column_scale = small->row_scale != NULL
                                  ? _mm512_loadu_ps(small->column_scale + column)
                                  : _mm512_setzero_ps();
  float *to = small->results + row * small->step + column;
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i, to += small->step) {
    if (row + i >= small->rows) break;
    if (small->row_scale != NULL)
      sums[i] = _mm512_mul_ps(
          sums[i], _mm512_mul_ps(_mm512_set1_ps(small->row_scale[row + i]), column_scale));
    const __mmask16 nan = _mm512_cmp_ps_mask(sums[i], sums[i], _CMP_UNORD_Q);
    sums[i] = _mm512_mask_mov_ps(sums[i], nan, _mm512_set1_ps(CF_FLOAT32_NAN));
    if (left >= 16)
      _mm512_storeu_ps(to, sums[i]);
    else
      _mm512_mask_storeu_ps(to, there, sums[i]);
  }
}

void cf_multiply_small_avx512bf16(const cf_small *small) {
  for (int64_t column = 0; column < small->columns; column += 16) {
    int64_t row = 0;
    for (; row + CF_SMALL_ROWS / 2 < small->rows; row += CF_SMALL_ROWS)
      small_rows(small, row, column, CF_SMALL_ROWS);
    if (row < small->rows) small_rows(small, row, column, CF_SMALL_ROWS / 2);
  }
}

#endif
