/* The end of a tile of NR columns, in plain C that compilers turn into vectors: included under
 * an instruction set's target. */
#ifndef CF_MATMUL_KERNELS_TILE_END_INL_H
#define CF_MATMUL_KERNELS_TILE_END_INL_H

static void end_tile(const cf_tile_end *end) {
  for (int i = 0; i < end->rows; ++i) {
    const float *sums = end->sums + NR * i;
    float *results = end->results + i * end->step;
    const float scale = end->row_scale != NULL ? end->row_scale[i] : 1;
    for (int j = 0; j < end->columns; ++j) {
      float sum = end->adds ? results[j] + sums[j] : sums[j];
      if (end->column_scale != NULL) sum *= scale * end->column_scale[j];
      results[j] = sum == sum ? sum : CF_FLOAT32_NAN;
    }
  }
}

#endif
