/* What the tile kernels of AVX-512 share: tiles of 32 columns. */
#ifndef CF_MATMUL_512_H
#define CF_MATMUL_512_H

/* Row i of a tile: the sums of a part, or added to those before. */
static inline void put_row(const cf_tile *tile, int i, __m512 sum0, __m512 sum1) {
  float *sums = tile->sums + 32 * i;
  if (!tile->first) {
    sum0 = _mm512_add_ps(_mm512_load_ps(sums), sum0);
    sum1 = _mm512_add_ps(_mm512_load_ps(sums + 16), sum1);
  }
  _mm512_store_ps(sums, sum0);
  _mm512_store_ps(sums + 16, sum1);
}

static void end_tile_512(const cf_tile_end *end) {
  for (int j = 0; j < end->columns; j += 16) {
    const int rest = end->columns - j;
    const __mmask16 there = (__mmask16)(rest < 16 ? (1u << rest) - 1 : 0xFFFF);
    __m512 column_scale = _mm512_set1_ps(1);
    if (end->column_scale != NULL) column_scale = _mm512_loadu_ps(end->column_scale + j);
    for (int i = 0; i < end->rows; ++i) {
      float *results = end->results + i * end->step + j;
      __m512 sum = _mm512_load_ps(end->sums + 32 * i + j);
      if (end->adds) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, results), sum);
      if (end->row_scale != NULL) sum = _mm512_mul_ps(sum, _mm512_mul_ps(_mm512_set1_ps(end->row_scale[i]), column_scale));
      sum = _mm512_mask_mov_ps(sum, _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q), _mm512_set1_ps(CF_NAN));
      _mm512_mask_storeu_ps(results, there, sum);
    }
  }
}

#endif
