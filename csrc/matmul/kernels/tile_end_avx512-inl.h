/* What the tile kernels of AVX-512 share: tiles of 32 columns. */
#ifndef CF_MATMUL_KERNELS_END_AVX512_INL_H
#define CF_MATMUL_KERNELS_END_AVX512_INL_H

static inline __m512 end_vector(const cf_tile_end *end, __mmask16 there, __m512 sum,
                                const float *results, __m512 scale) {
  if (end->adds) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, results), sum);
  if (end->row_scale != NULL) sum = _mm512_mul_ps(sum, scale);
  return _mm512_mask_mov_ps(sum, _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q),
                            _mm512_set1_ps(CF_FLOAT32_NAN));
}

static void end_tile_avx512(const cf_tile_end *end) {
  const uint32_t there = end->columns < 32 ? ((uint32_t)1 << end->columns) - 1 : UINT32_MAX;
  const __mmask16 there0 = (__mmask16)there, there1 = (__mmask16)(there >> 16);
  __m512 column_scale0 = _mm512_set1_ps(1), column_scale1 = column_scale0;
  if (end->column_scale != NULL) {
    column_scale0 = _mm512_loadu_ps(end->column_scale);
    column_scale1 = _mm512_loadu_ps(end->column_scale + 16);
  }
  for (int i = 0; i < end->rows; ++i) {
    const __m512 row_scale = _mm512_set1_ps(end->row_scale != NULL ? end->row_scale[i] : 1);
    const float *sums = end->sums + 32 * i;
    float *results = end->results + i * end->step;
    const __m512 sum0 = end_vector(end, there0, _mm512_load_ps(sums), results,
                                   _mm512_mul_ps(row_scale, column_scale0));
    const __m512 sum1 = end_vector(end, there1, _mm512_load_ps(sums + 16), results + 16,
                                   _mm512_mul_ps(row_scale, column_scale1));
    _mm512_mask_storeu_ps(results, there0, sum0);
    _mm512_mask_storeu_ps(results + 16, there1, sum1);
  }
}

#endif
