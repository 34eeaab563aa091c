/* The loops of exact sums of stats/error_kernels.h, written once, after error_lanes-inl.h.
 *
 * A sum is of levels.  The first is a float64 that begins at 1.5 * 2^e and stays within
 * 2^e .. 2^(e + 1), so that it is a multiple of 2^(e - 52): a product that is added to it is cut
 * there, and what was cut off, which a subtraction of what was added gives without an error, goes
 * to the next level, whose unit is 2^47 times as fine.  The last takes all that is left.  At the
 * end the patterns of bits tell, as integers, by how many units each level has moved. */
#ifndef CF_STATS_EXACT_LANES_INL_H
#define CF_STATS_EXACT_LANES_INL_H

/* The lanes from element i on, with NaN for what is not there. */
static inline lanes load_elements(const void *first, size_t i, size_t count, int is_float64) {
  const size_t left = count - i;
  if (is_float64) {
    const char *from = (const char *)first + i * sizeof(double);
    double last[CF_ERROR_LANES];
    if (left >= CF_ERROR_LANES) return v_load((const double *)(const void *)from);
    v_store(last, v_set1((double)NAN));
    memcpy(last, from, left * sizeof *last);
    return v_load(last);
  }
  const char *from = (const char *)first + i * sizeof(float);
  float last[CF_ERROR_LANES];
  if (left >= CF_ERROR_LANES) return v_load_float32((const float *)(const void *)from);
  for (size_t j = 0; j < CF_ERROR_LANES; ++j) last[j] = NAN;
  memcpy(last, from, left * sizeof *last);
  return v_load_float32(last);
}

static inline lanes least_above_zero(lanes magnitude, lanes least) {
  return v_min(v_select_less(v_set1(0), magnitude, magnitude, v_set1((double)INFINITY)), least);
}

static void ISA_NAME(stage)(const cf_before_after *elements, cf_staged *staged, cf_errors *found) {
  const lanes zero = v_set1(0), one = v_set1(1), infinity = v_set1((double)INFINITY);
  const lanes tiny = v_set1(0x1p-1074), huge = v_set1(0x1.fffffffffffffp1023),
              slack = v_set1(1 - 0x1p-50);
  const lanes max = v_set1(elements->max), normal = v_set1(elements->smallest_normal);
  const size_t count = elements->count;
  lanes finite = zero, overflowed = zero, saturated = zero, underflowed = zero, subnormal = zero;
  lanes max_abs = zero, max_rel = v_set1(found->max_rel);
  lanes peak_x = zero, peak_q = zero, peak_off = zero;
  lanes least_x = infinity, least_q = infinity, least_off = infinity;
  size_t i = 0;
  for (; i < count; i += CF_ERROR_LANES) {
    lanes x = load_elements(elements->x, i, count, elements->x_is_float64);
    lanes q = load_elements(elements->q, i, count, elements->q_is_float64);
    const lanes lost =
        v_abs(elements->off == NULL ? v_sub(q, x) : load_elements(elements->off, i, count, 1));
    const lanes before = v_abs(x), after = v_abs(q);
    const lanes counts = v_select_less(before, infinity, one, zero);
    lanes error = v_select_less(lost, infinity, lost, infinity);
    error = v_select_less(before, infinity, error, zero);
    x = v_select_less(before, infinity, x, zero);
    q = v_select_less(after, infinity, q, zero);
    q = v_select_less(before, infinity, q, zero);
    const lanes magnitude = v_abs(x), size = v_abs(q);
    const lanes off = v_select_less(error, infinity, error, zero);
    finite = v_add(finite, counts);
    overflowed = v_add(overflowed, v_select_less(error, infinity, zero, one));
    saturated = v_add(saturated, v_select_less(max, before, counts, zero));
    const lanes is_zero = v_select_less(after, tiny, one, zero);
    underflowed = v_add(underflowed, v_select_less(zero, magnitude, is_zero, zero));
    const lanes is_small = v_select_less(after, normal, counts, zero);
    subnormal = v_add(subnormal, v_select_less(zero, after, is_small, zero));
    max_abs = v_max(error, max_abs);
    /* a division is slow, and seldom needed: what is not above this is no larger quotient, rounded
     * or not; of zeros there is no error */
    const lanes relative = v_select_less(zero, magnitude, error, v_set1(-1));
    lanes needed = v_sub(v_mul(v_mul(max_rel, magnitude), slack), tiny);
    needed = v_min(needed, huge);
    if (v_any_less(needed, relative))
      max_rel = v_max(v_div(relative, v_select_less(zero, magnitude, magnitude, one)), max_rel);
    peak_x = v_max(magnitude, peak_x);
    peak_q = v_max(size, peak_q);
    peak_off = v_max(off, peak_off);
    least_x = least_above_zero(magnitude, least_x);
    least_q = least_above_zero(size, least_q);
    least_off = least_above_zero(off, least_off);
    v_store(staged->of[CF_STAGED_X] + i, x);
    v_store(staged->of[CF_STAGED_Q] + i, q);
    v_store(staged->of[CF_STAGED_OFF] + i, off);
  }
  for (; i % CF_EXACT_SUMS != 0; i += CF_ERROR_LANES)
    for (int j = 0; j < CF_STAGED_ARRAYS; ++j) v_store(staged->of[j] + i, zero);
  staged->count = i;
  const lanes peaks[] = {peak_x, peak_q, peak_off}, leasts[] = {least_x, least_q, least_off};
  for (int j = 0; j < CF_STAGED_ARRAYS; ++j) {
    staged->peak[j] = largest(peaks[j]);
    staged->least[j] = -largest(v_sub(zero, leasts[j]));
  }
  found->max_abs = larger(largest(max_abs), found->max_abs);
  found->max_rel = largest(max_rel);
  found->finite += (uint64_t)add_up(finite);
  found->overflowed += (uint64_t)add_up(overflowed);
  found->saturated += (uint64_t)add_up(saturated);
  found->underflowed += (uint64_t)add_up(underflowed);
  found->subnormal += (uint64_t)add_up(subnormal);
}

/* A normal one. */
static inline double power_of_two(int exponent) {
  return cf_bits_to_double((uint64_t)(exponent + CF_FLOAT64_BIAS) << 52);
}

static inline lanes add_to_level(lanes *level, lanes product) {
  const lanes before = *level;
  *level = v_add(before, product);
  return v_sub(product, v_sub(*level, before));
}

static CF_ALWAYS_INLINE void products_in_levels(const double *a, const double *b, size_t count,
                                                int exponent, int64_t *sums, int levels) {
  lanes even[CF_EXACT_LEVELS], odd[CF_EXACT_LEVELS];
  for (int k = 0; k < levels; ++k)
    even[k] = odd[k] = v_set1(1.5 * power_of_two(exponent - k * CF_EXACT_STEP));
  for (size_t i = 0; i < count; i += CF_EXACT_SUMS) {
    lanes p = v_mul(v_load(a + i), v_load(b + i));
    lanes r = v_mul(v_load(a + i + CF_ERROR_LANES), v_load(b + i + CF_ERROR_LANES));
    for (int k = 0; k < levels - 1; ++k) {
      p = add_to_level(&even[k], p);
      r = add_to_level(&odd[k], r);
    }
    even[levels - 1] = v_add(even[levels - 1], p);
    odd[levels - 1] = v_add(odd[levels - 1], r);
  }
  for (int k = 0; k < levels; ++k) {
    const double begin = 1.5 * power_of_two(exponent - k * CF_EXACT_STEP);
    double of[CF_EXACT_SUMS];
    v_store(of, even[k]);
    v_store(of + CF_ERROR_LANES, odd[k]);
    int64_t sum = 0;
    for (int j = 0; j < CF_EXACT_SUMS; ++j)
      sum += (int64_t)cf_double_to_bits(of[j]) - (int64_t)cf_double_to_bits(begin);
    sums[k] = sum;
  }
}

static void ISA_NAME(add_products)(const double *a, const double *b, size_t count, int exponent,
                                   int levels, int64_t *sums) {
  if (levels == 2)
    products_in_levels(a, b, count, exponent, sums, 2);
  else if (levels == 3)
    products_in_levels(a, b, count, exponent, sums, 3);
  else if (levels == 4)
    products_in_levels(a, b, count, exponent, sums, 4);
  else
    products_in_levels(a, b, count, exponent, sums, CF_EXACT_LEVELS);
}

#endif
