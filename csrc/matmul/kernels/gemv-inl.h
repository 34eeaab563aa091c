/* Few rows times a matrix of float32, in vectors: included by an instruction set's file, which
 * defines
 *
 *   vector, VECTOR                 floats, and how many
 *   f_zero() f_load(p) f_store(p, v) f_set1(x) f_add(a, b)
 *   f_multiply_add(a, b, c)        a * b + c
 *   f_sum(v)                       of all */
#ifndef CF_MATMUL_KERNELS_GEMV_INL_H
#define CF_MATMUL_KERNELS_GEMV_INL_H

static void dot(const float *x, int64_t x_step, int rows, const float *values, int64_t count,
                float *sums) {
  for (int r = 0; r < rows; ++r, x += x_step) {
    vector sum0 = f_zero(), sum1 = f_zero(), sum2 = f_zero(), sum3 = f_zero();
    int64_t i = 0;
    for (; i + 4 * VECTOR <= count; i += 4 * VECTOR) {
      sum0 = f_multiply_add(f_load(x + i), f_load(values + i), sum0);
      sum1 = f_multiply_add(f_load(x + i + VECTOR), f_load(values + i + VECTOR), sum1);
      sum2 = f_multiply_add(f_load(x + i + 2 * VECTOR), f_load(values + i + 2 * VECTOR), sum2);
      sum3 = f_multiply_add(f_load(x + i + 3 * VECTOR), f_load(values + i + 3 * VECTOR), sum3);
    }
    float rest = 0;
    for (; i < count; ++i) rest += x[i] * values[i];
    sums[r] += f_sum(f_add(f_add(sum0, sum1), f_add(sum2, sum3))) + rest;
  }
}

static void update(const float *x, int64_t x_step, int rows, const float *values,
                   int64_t values_step, int64_t count, float *sums, int64_t sums_step) {
  const float *v0 = values, *v1 = v0 + values_step, *v2 = v1 + values_step, *v3 = v2 + values_step;
  for (int r = 0; r < rows; ++r, x += x_step, sums += sums_step) {
    const vector x0 = f_set1(x[0]), x1 = f_set1(x[1]), x2 = f_set1(x[2]), x3 = f_set1(x[3]);
    for (int64_t i = 0; i < count; i += VECTOR) {
      vector sum = f_multiply_add(x0, f_load(v0 + i), f_load(sums + i));
      sum = f_multiply_add(x1, f_load(v1 + i), sum);
      sum = f_multiply_add(x2, f_load(v2 + i), sum);
      f_store(sums + i, f_multiply_add(x3, f_load(v3 + i), sum));
    }
  }
}

#endif
