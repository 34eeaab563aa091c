/* The loops of exact sums of stats/error_kernels.h, written once, after error_lanes-inl.h.
 *
 * A sum is of levels.  The first is a float64 that begins at 1.5 * 2^e and stays within
 * 2^e .. 2^(e + 1), so that it is a multiple of 2^(e - 52): a product that is added to it is cut
 * there, and what was cut off, which a subtraction of what was added gives without an error, goes
 * to the next level, whose unit is 2^47 times as fine.  The last takes all that is left.  At the
 * end the patterns of bits tell, as integers, by how many units each level has moved. */
#ifndef CF_STATS_EXACT_LANES_INL_H
#define CF_STATS_EXACT_LANES_INL_H

static inline lanes load_elements(const void *first, size_t i, int is_float64) {
  return is_float64 ? v_load((const double *)first + i) : v_load_float32((const float *)first + i);
}

/* The last lanes, from element i on, with NaN for what is not there. */
static inline lanes load_last_elements(const void *first, size_t i, size_t count, int is_float64) {
  double last[CF_ERROR_LANES];
  float last_float32[CF_ERROR_LANES];
  for (size_t j = 0; j < CF_ERROR_LANES; ++j) {
    last[j] = (double)NAN;
    last_float32[j] = NAN;
  }
  if (is_float64)
    memcpy(last, (const double *)first + i, (count - i) * sizeof *last);
  else
    memcpy(last_float32, (const float *)first + i, (count - i) * sizeof *last_float32);
  return is_float64 ? v_load(last) : v_load_float32(last_float32);
}

/* What is found while elements are staged. */
typedef struct staging {
  lanes finite, overflowed, saturated, underflowed, subnormal, max_abs, max_rel;
  lanes peak[CF_STAGED_ARRAYS], least[CF_STAGED_ARRAYS];
} staging;

static inline void stage_lanes(lanes x, lanes q, lanes difference, lanes max, lanes normal,
                               staging *s, cf_staged *staged, size_t i) {
  const lanes zero = v_set1(0), one = v_set1(1), infinity = v_set1((double)INFINITY);
  const lanes tiny = v_set1(0x1p-1074), huge = v_set1(0x1.fffffffffffffp1023);
  const lanes lost = v_abs(difference), before = v_abs(x), after = v_abs(q);
  const lanes counts = v_select_less(before, infinity, one, zero);
  lanes error = v_select_less(lost, infinity, lost, infinity);
  error = v_select_less(before, infinity, error, zero);
  x = v_select_less(before, infinity, x, zero);
  q = v_select_less(after, infinity, q, zero);
  q = v_select_less(before, infinity, q, zero);
  const lanes magnitude = v_abs(x);
  const lanes off = v_select_less(error, infinity, error, zero);
  s->finite = v_add(s->finite, counts);
  s->overflowed = v_add(s->overflowed, v_select_less(error, infinity, zero, one));
  s->saturated = v_add(s->saturated, v_select_less(max, before, counts, zero));
  const lanes is_zero = v_select_less(after, tiny, one, zero);
  s->underflowed = v_add(s->underflowed, v_select_less(zero, magnitude, is_zero, zero));
  const lanes is_small = v_select_less(after, normal, counts, zero);
  s->subnormal = v_add(s->subnormal, v_select_less(zero, after, is_small, zero));
  s->max_abs = v_max(error, s->max_abs);
  /* a division is slow, and seldom needed: what is not above this is no larger quotient, rounded or
   * not; of zeros there is no error */
  const lanes relative = v_select_less(zero, magnitude, error, v_set1(-1));
  lanes needed = v_mul(v_mul(s->max_rel, magnitude), v_set1(1 - 0x1p-50));
  needed = v_min(v_sub(needed, tiny), huge);
  if (v_any_less(needed, relative))
    s->max_rel = v_max(v_div(relative, v_select_less(zero, magnitude, magnitude, one)), s->max_rel);
  const lanes of[CF_STAGED_ARRAYS] = {x, q, off};
  for (int j = 0; j < CF_STAGED_ARRAYS; ++j) {
    const lanes size = v_abs(of[j]);
    s->peak[j] = v_max(size, s->peak[j]);
    s->least[j] = v_min(v_select_less(zero, size, size, infinity), s->least[j]);
    v_store(staged->of[j] + i, of[j]);
  }
}

static void ISA_NAME(stage)(const cf_before_after *elements, cf_staged *staged, cf_errors *found) {
  const lanes zero = v_set1(0), infinity = v_set1((double)INFINITY);
  const lanes max = v_set1(elements->max), normal = v_set1(elements->smallest_normal);
  const int x_is_float64 = elements->x_is_float64, q_is_float64 = elements->q_is_float64;
  const size_t count = elements->count;
  const double *off = elements->off;
  staging s = {zero,
               zero,
               zero,
               zero,
               zero,
               zero,
               v_set1(found->max_rel),
               {zero, zero, zero},
               {infinity, infinity, infinity}};
  size_t i = 0;
  for (; i + CF_ERROR_LANES <= count; i += CF_ERROR_LANES) {
    const lanes x = load_elements(elements->x, i, x_is_float64);
    const lanes q = load_elements(elements->q, i, q_is_float64);
    stage_lanes(x, q, off == NULL ? v_sub(q, x) : v_load(off + i), max, normal, &s, staged, i);
  }
  if (i < count) {
    const lanes x = load_last_elements(elements->x, i, count, x_is_float64);
    const lanes q = load_last_elements(elements->q, i, count, q_is_float64);
    stage_lanes(x, q, off == NULL ? v_sub(q, x) : load_last_elements(off, i, count, 1), max, normal,
                &s, staged, i);
    i += CF_ERROR_LANES;
  }
  for (; i % CF_EXACT_SUMS != 0; i += CF_ERROR_LANES)
    for (int j = 0; j < CF_STAGED_ARRAYS; ++j) v_store(staged->of[j] + i, zero);
  staged->count = i;
  for (int j = 0; j < CF_STAGED_ARRAYS; ++j) {
    staged->peak[j] = largest(s.peak[j]);
    staged->least[j] = -largest(v_sub(zero, s.least[j]));
  }
  found->max_abs = larger(largest(s.max_abs), found->max_abs);
  found->max_rel = largest(s.max_rel);
  found->finite += (uint64_t)add_up(s.finite);
  found->overflowed += (uint64_t)add_up(s.overflowed);
  found->saturated += (uint64_t)add_up(s.saturated);
  found->underflowed += (uint64_t)add_up(s.underflowed);
  found->subnormal += (uint64_t)add_up(s.subnormal);
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
