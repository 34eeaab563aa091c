/* What the tile kernels of AVX-512 share: the end of a tile. */
#ifndef CF_MATMUL_512_H
#define CF_MATMUL_512_H

/* Row i of a tile of 32 columns, of which the sums are complete. */
static inline void finish_row(const cf_tile *tile, int i, __m512 sum0, __m512 sum1) {
  float *c = tile->c + i * tile->c_step;
  if (!tile->first) {
    sum0 = _mm512_add_ps(_mm512_loadu_ps(c), sum0);
    sum1 = _mm512_add_ps(_mm512_loadu_ps(c + 16), sum1);
  }
  if (tile->row_scale != NULL) {
    const __m512 scale = _mm512_set1_ps(tile->row_scale[i]);
    sum0 = _mm512_mul_ps(sum0, _mm512_mul_ps(scale, _mm512_loadu_ps(tile->column_scale)));
    sum1 = _mm512_mul_ps(sum1, _mm512_mul_ps(scale, _mm512_loadu_ps(tile->column_scale + 16)));
  }
  _mm512_storeu_ps(c, sum0);
  _mm512_storeu_ps(c + 16, sum1);
}

#endif
