/* The end of a tile of COLUMNS columns, in plain C that compilers turn into vectors: included under an instruction set's
 * target. */
#ifndef CF_MATMUL_END_H
#define CF_MATMUL_END_H

static void end_tile(const cf_tile_end *end) {
  for (int i = 0; i < end->rows; ++i) {
    const float *sums = end->sums + COLUMNS * i;
    float *results = end->results + i * end->step;
    const float scale = end->row_scale != NULL ? end->row_scale[i] : 1;
    if (end->adds)
      for (int j = 0; j < end->columns; ++j) results[j] += sums[j];
    else
      for (int j = 0; j < end->columns; ++j) results[j] = sums[j];
    if (end->row_scale != NULL)
      for (int j = 0; j < end->columns; ++j) results[j] *= scale * end->column_scale[j];
  }
}

#endif
