/* The loops of stats/error_kernels.h, written once.  The including file has defined `lanes`, eight
 * float64, what can be done with them, and ISA_NAME.  It may have defined `floats`, CF_FLOATS
 * float32, too, and `bits`, as many int32. */
#ifndef CF_STATS_ERROR_LANES_INL_H
#define CF_STATS_ERROR_LANES_INL_H

#if defined(__FAST_MATH__)
#error "-ffast-math takes the additions below for ones that can be left out"
#endif

static inline double add_up(lanes v) {
  double sum[CF_ERROR_LANES];
  v_store(sum, v);
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

static inline double larger(double a, double b) { return a > b ? a : b; }

static inline double largest(lanes v) {
  double of[CF_ERROR_LANES];
  v_store(of, v);
  return larger(larger(larger(of[0], of[4]), larger(of[2], of[6])),
                larger(larger(of[1], of[5]), larger(of[3], of[7])));
}

/* The lanes from value i on, with zeros for what is not there. */
static inline lanes load_values(const cf_values *values, size_t i, int is_float64) {
  const size_t left = values->count - i;
  if (is_float64) {
    const double *from = (const double *)values->first + i;
    double last[CF_ERROR_LANES] = {0};
    if (left < CF_ERROR_LANES) {
      memcpy(last, from, left * sizeof *last);
      from = last;
    }
    return v_mul(v_load(from), v_set1(values->scale));
  }
  const float *from = (const float *)values->first + i;
  float last[CF_ERROR_LANES] = {0};
  if (left < CF_ERROR_LANES) {
    memcpy(last, from, left * sizeof *last);
    from = last;
  }
  return v_load_float32(from);
}

static inline lanes load_weights(const cf_values *values, size_t i) {
  const size_t left = values->count - i;
  double last[CF_ERROR_LANES] = {0};
  if (left >= CF_ERROR_LANES) return v_load(values->weights + i);
  memcpy(last, values->weights + i, left * sizeof *last);
  return v_load(last);
}

static inline lanes round_lanes(const cf_grid *g, lanes magnitude, int holed) {
  const lanes binade = v_max(v_binade(magnitude), v_set1(g->lowest));
  const lanes anchor = v_mul(binade, v_set1(g->steps));
  lanes value = v_sub(v_add(magnitude, anchor), anchor);
  if (holed)
    value = v_select_less(v_set1(g->edge), magnitude, v_max(value, v_set1(g->above)),
                          v_min(value, v_set1(g->below)));
  return v_min(value, v_set1(g->max));
}

static inline lanes finite_or_zero(lanes x) {
  return v_select_less(v_abs(x), v_set1((double)INFINITY), x, v_set1(0));
}

/* Those of a piece that has nothing to be left out, if has_all; else of any.  Gives whether the
 * piece was such. */
static inline int magnitudes_of(const cf_values *values, cf_magnitudes *found, int is_float64,
                                int has_all) {
  const lanes zero = v_set1(0), infinity = v_set1((double)INFINITY);
  lanes peak = zero, least = infinity, nonfinite = zero, lowest = zero;
  for (size_t i = 0; i < values->count; i += CF_ERROR_LANES) {
    const lanes x = load_values(values, i, is_float64);
    lanes magnitude = v_abs(x);
    if (has_all) {
      nonfinite = v_add(nonfinite, v_mul(x, zero)); /* NaN, or zero */
    } else {
      magnitude = v_select_less(magnitude, infinity, magnitude, zero);
    }
    if (values->negative_is_zero) {
      lowest = v_min(v_select_less(v_abs(x), infinity, x, zero), lowest);
      magnitude = v_select_less(x, zero, zero, magnitude);
    }
    peak = v_max(magnitude, peak);
    least = v_min(v_select_less(zero, magnitude, magnitude, infinity), least);
  }
  if (has_all && !(add_up(nonfinite) <= 0)) return 0;
  found->peak = larger(largest(peak), found->peak);
  found->least = -larger(largest(v_sub(zero, least)), -found->least);
  found->has_nonfinite |= !has_all;
  if (values->negative_is_zero) found->has_negative |= largest(v_sub(zero, lowest)) > 0;
  return 1;
}

#ifdef CF_FLOATS
/* Of float32 that are finite and have no sign that matters: what takes half the registers. */

/* From value i on, with zeros for what is not there. */
static inline floats load_floats(const cf_values *values, size_t i) {
  const float *from = (const float *)values->first + i;
  const size_t left = values->count - i;
  float last[CF_FLOATS] = {0};
  if (left < CF_FLOATS) {
    memcpy(last, from, left * sizeof *last);
    from = last;
  }
  return f_load(from);
}

/* A grid in all lanes. */
typedef struct float_grid {
  floats lowest, steps, max, below_edge, above, below;
} float_grid;

static inline float_grid float_grid_of(const cf_grid *g) {
  /* the edge itself is a float32, unlike the float64 next to it */
  const float_grid of = {f_set1((float)g->lowest), f_set1((float)(g->steps * 0x1p-29)),
                         f_set1((float)g->max),    f_before(f_set1((float)g->edge)),
                         f_set1((float)g->above),  f_set1((float)g->below)};
  return of;
}

/* Of magnitudes within the range. */
static inline floats round_floats(const float_grid *g, floats magnitude, int holed) {
  const floats anchor = f_mul(f_max(f_binade(magnitude), g->lowest), g->steps);
  floats value = f_sub(f_add(magnitude, anchor), anchor);
  if (holed)
    value = f_select_less(g->below_edge, magnitude, f_max(value, g->above), f_min(value, g->below));
  return value;
}

static inline double narrow_errors_of(const cf_grid *grid, const cf_values *values, int holed) {
  const float_grid g = float_grid_of(grid);
  lanes sum = v_set1(0);
  for (size_t i = 0; i < values->count; i += CF_FLOATS) {
    const floats magnitude = f_abs(load_floats(values, i));
    const floats value = round_floats(&g, f_min(magnitude, g.max), holed);
    sum = v_add_squares(sum, f_sub(value, magnitude));
  }
  return add_up(sum);
}

static double ISA_NAME(narrow_errors)(const cf_grid *grid, const cf_values *values) {
  return grid->holed ? narrow_errors_of(grid, values, 1) : narrow_errors_of(grid, values, 0);
}

/* Products of these numbers are float64, so that one rounding is all there is. */
static inline void narrow_sums_of(const cf_grid *grid, const cf_values *values,
                                  cf_error_sums *found, int holed) {
  const float_grid g = float_grid_of(grid);
  const lanes one = v_set1(1), none = v_set1(0);
  const floats zero = f_set1(0);
  lanes signal = none, noise = none, product = none, rounded = none;
  floats max_abs = zero;
  double max_rel = 0;
  unsigned saturated = 0, underflowed = 0, subnormal = 0;
  for (size_t i = 0; i < values->count; i += CF_FLOATS) {
    const floats magnitude = f_abs(load_floats(values, i));
    const floats value = round_floats(&g, f_min(magnitude, g.max), holed);
    const floats off = f_abs(f_sub(value, magnitude));
    const lanes bound = v_set1(max_rel);
    int exceeds = 0;
    for (int part = 0; part < CF_FLOATS / CF_ERROR_LANES; ++part) {
      const lanes x = f_part(magnitude, part), q = f_part(value, part), e = f_part(off, part);
      signal = v_fma(x, x, signal);
      noise = v_fma(e, e, noise);
      product = v_fma(x, q, product);
      rounded = v_fma(q, q, rounded);
      /* a larger quotient of numbers of 24 bits is larger by more than roundings, and is not
       * overlooked */
      exceeds |= v_any_less(v_mul(bound, x), e);
    }
    if (exceeds) {
      for (int part = 0; part < CF_FLOATS / CF_ERROR_LANES; ++part) {
        const lanes x = f_part(magnitude, part);
        const lanes quotients = v_div(f_part(off, part), v_select_less(none, x, x, one));
        max_rel = larger(largest(quotients), max_rel);
      }
    }
    max_abs = f_max(off, max_abs);
    const unsigned is_zero = ~f_less(zero, value);
    saturated += (unsigned)_mm_popcnt_u32(f_less(g.max, magnitude));
    underflowed += (unsigned)_mm_popcnt_u32(f_less(zero, magnitude) & is_zero);
    subnormal += (unsigned)_mm_popcnt_u32(f_less(value, g.above) & ~is_zero);
  }
  found->saturated = saturated;
  found->underflowed = underflowed;
  found->subnormal = subnormal;
  found->signal = add_up(signal);
  found->noise = add_up(noise);
  found->product = add_up(product);
  found->rounded = add_up(rounded);
  for (int part = 0; part < CF_FLOATS / CF_ERROR_LANES; ++part)
    found->max_abs = larger(largest(f_part(max_abs, part)), found->max_abs);
  found->max_rel = larger(max_rel, found->max_rel);
}

static void ISA_NAME(narrow_sums)(const cf_grid *grid, const cf_values *values,
                                  cf_error_sums *found) {
  if (grid->holed)
    narrow_sums_of(grid, values, found, 1);
  else
    narrow_sums_of(grid, values, found, 0);
}

static inline size_t first_loss(const float_grid *grid, const float_grid *other,
                                const cf_values *values, int holed) {
  for (size_t i = 0; i < values->count; i += CF_FLOATS) {
    const floats magnitude = f_abs(load_floats(values, i));
    const floats off = f_abs(f_sub(round_floats(grid, magnitude, holed), magnitude));
    const floats other_off = f_abs(f_sub(round_floats(other, magnitude, 0), magnitude));
    const unsigned losing = f_less(other_off, off);
    if (losing != 0) return i + (size_t)_mm_popcnt_u32(~losing & (losing - 1));
  }
  return values->count;
}

static size_t ISA_NAME(narrow_loss)(const cf_grid *grid, const cf_grid *other,
                                    const cf_values *values) {
  const float_grid g = float_grid_of(grid), o = float_grid_of(other);
  return grid->holed ? first_loss(&g, &o, values, 1) : first_loss(&g, &o, values, 0);
}

static inline float float_of_bits(int32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Magnitudes as integers, which have their order.  Gives whether all are finite. */
static inline int narrow_magnitudes_of(const cf_values *values, cf_magnitudes *found) {
  bits peak = b_set1(0), least = b_set1(-1); /* of what is one less, unsigned */
  for (size_t i = 0; i < values->count; i += CF_FLOATS) {
    const bits magnitude = b_magnitude(load_floats(values, i));
    peak = b_larger(peak, magnitude);
    least = b_smaller(least, b_sub(magnitude, b_set1(1)));
  }
  const int32_t largest_bits = b_largest(peak);
  if (largest_bits >= 0x7F800000) return 0;
  const double largest_found = (double)float_of_bits(largest_bits);
  if (largest_found > found->peak) found->peak = largest_found;
  if (largest_bits == 0) return 1;
  const double least_found = (double)float_of_bits(b_smallest(least) + 1);
  if (least_found < found->least) found->least = least_found;
  return 1;
}

/* The bits of the smallest float32 that is not below a positive number, but for what is beyond all
 * of them. */
static inline int32_t bits_from(double limit) {
  int32_t of;
  if (!(limit < 0x1p128)) return 0x7F800000;
  const float narrow = (float)limit;
  memcpy(&of, &narrow, sizeof of);
  return of + ((double)narrow < limit);
}

static inline size_t narrow_outside_of(const cf_values *values, double limit, double beyond,
                                       float *found) {
  int32_t under = bits_from(limit), over = bits_from(beyond);
  if (under < 1) under = 1;
  if (over < 0x7F800000) over += (double)float_of_bits(over) <= beyond;
  const bits least = b_set1(under), from = b_set1(over);
  const bits infinity = b_set1(0x7F800000);
  size_t count = 0;
  for (size_t i = 0; i < values->count; i += CF_FLOATS) {
    const floats x = load_floats(values, i);
    count += store_chosen(found + count, x, b_outside(b_magnitude(x), least, from, infinity));
  }
  return count;
}
#endif

static void ISA_NAME(magnitudes)(const cf_values *values, cf_magnitudes *found) {
#ifdef CF_FLOATS
  if (!values->is_float64 && !values->negative_is_zero && narrow_magnitudes_of(values, found))
    return;
#endif
  if (values->is_float64 ? magnitudes_of(values, found, 1, 1) : magnitudes_of(values, found, 0, 1))
    return;
  if (values->is_float64)
    magnitudes_of(values, found, 1, 0);
  else
    magnitudes_of(values, found, 0, 0);
}

static inline double errors_of(const cf_grid *g, const cf_values *values, int is_float64, int holed,
                               int special, int weighted) {
  lanes sum = v_set1(0);
  for (size_t i = 0; i < values->count; i += CF_ERROR_LANES) {
    lanes x = load_values(values, i, is_float64);
    if (special) x = finite_or_zero(x);
    const lanes magnitude = v_abs(x);
    lanes value = round_lanes(g, magnitude, holed);
    if (special && values->negative_is_zero) value = v_select_less(x, v_set1(0), v_set1(0), value);
    const lanes off = v_sub(value, magnitude);
    lanes square = v_mul(off, off);
    if (weighted) square = v_mul(square, load_weights(values, i));
    sum = v_add(sum, square);
  }
  return add_up(sum);
}

static double ISA_NAME(errors)(const cf_grid *grid, const cf_values *values) {
  if (values->weights != NULL) /* of few values: there is no loop for each case */
    return errors_of(grid, values, values->is_float64, grid->holed, 1, 1);
  if (values->is_float64)
    return values->has_special ? errors_of(grid, values, 1, grid->holed, 1, 0)
           : grid->holed       ? errors_of(grid, values, 1, 1, 0, 0)
                               : errors_of(grid, values, 1, 0, 0, 0);
  return values->has_special ? errors_of(grid, values, 0, grid->holed, 1, 0)
         : grid->holed       ? errors_of(grid, values, 0, 1, 0, 0)
                             : errors_of(grid, values, 0, 0, 0, 0);
}

static inline void sums_of(const cf_grid *g, const cf_values *values, cf_error_sums *found,
                           int holed, int special) {
  const lanes zero = v_set1(0), one = v_set1(1);
  lanes signal = zero, noise = zero, product = zero, rounded = zero, max_abs = zero, max_rel = zero;
  lanes saturated = zero, underflowed = zero, subnormal = zero;
  for (size_t i = 0; i < values->count; i += CF_ERROR_LANES) {
    lanes x = load_values(values, i, 0);
    if (special) x = finite_or_zero(x);
    const lanes magnitude = v_abs(x);
    lanes value = round_lanes(g, magnitude, holed);
    if (special && values->negative_is_zero) value = v_select_less(x, zero, zero, value);
    const lanes off = v_abs(v_sub(value, magnitude));
    signal = v_add(signal, v_mul(magnitude, magnitude));
    noise = v_add(noise, v_mul(off, off));
    product = v_add(product, v_mul(magnitude, value));
    rounded = v_add(rounded, v_mul(value, value));
    max_abs = v_max(off, max_abs);
    /* of zeros there is no error: they are divided by 1 */
    max_rel = v_max(v_div(off, v_select_less(zero, magnitude, magnitude, one)), max_rel);
    saturated = v_add(saturated, v_select_less(v_set1(g->max), magnitude, one, zero));
    const lanes is_zero = v_select_less(zero, value, zero, one);
    underflowed = v_add(underflowed, v_select_less(zero, magnitude, is_zero, zero));
    subnormal = v_add(subnormal, v_select_less(value, v_set1(g->above), v_sub(one, is_zero), zero));
  }
  found->signal = add_up(signal);
  found->noise = add_up(noise);
  found->product = add_up(product);
  found->rounded = add_up(rounded);
  const double abs = largest(max_abs), rel = largest(max_rel);
  if (abs > found->max_abs) found->max_abs = abs;
  if (rel > found->max_rel) found->max_rel = rel;
  found->saturated = (uint64_t)add_up(saturated);
  found->underflowed = (uint64_t)add_up(underflowed);
  found->subnormal = (uint64_t)add_up(subnormal);
}

static void ISA_NAME(sums)(const cf_grid *grid, const cf_values *values, cf_error_sums *found) {
  if (values->has_special)
    sums_of(grid, values, found, grid->holed, 1);
  else if (grid->holed)
    sums_of(grid, values, found, 1, 0);
  else
    sums_of(grid, values, found, 0, 0);
}

/* Lanes that have none are the most, and are passed over. */
static inline size_t outside_of(const cf_values *values, double limit, double beyond, void *found,
                                double *weights, int is_float64) {
  const lanes zero = v_set1(0), infinity = v_set1((double)INFINITY);
  const lanes least = v_set1(limit), most = v_set1(beyond);
  size_t count = 0;
  for (size_t i = 0; i < values->count; i += CF_ERROR_LANES) {
    const lanes x = load_values(values, i, is_float64);
    lanes magnitude = v_abs(x);
    magnitude = v_select_less(zero, magnitude, magnitude, infinity);
    if (values->negative_is_zero) magnitude = v_select_less(x, zero, infinity, magnitude);
    /* of infinities, what is left out is beyond no limit */
    const lanes over = v_select_less(magnitude, infinity, magnitude, zero);
    if (!v_any_less(magnitude, least) && !v_any_less(most, over)) continue;
    double of[CF_ERROR_LANES], than[CF_ERROR_LANES];
    v_store(of, magnitude);
    v_store(than, over);
    const size_t left = values->count - i;
    for (size_t j = 0; j < CF_ERROR_LANES && j < left; ++j) {
      if (is_float64)
        ((double *)found)[count] = ((const double *)values->first)[i + j];
      else
        ((float *)found)[count] = ((const float *)values->first)[i + j];
      if (weights != NULL) weights[count] = values->weights[i + j];
      count += (of[j] < limit) | (than[j] > beyond);
    }
  }
  return count;
}

static size_t ISA_NAME(outside)(const cf_values *values, double limit, double beyond, void *found,
                                double *weights) {
#ifdef CF_FLOATS
  if (!values->is_float64 && !values->negative_is_zero && weights == NULL)
    return narrow_outside_of(values, limit, beyond, found);
#endif
  return values->is_float64 ? outside_of(values, limit, beyond, found, weights, 1)
                            : outside_of(values, limit, beyond, found, weights, 0);
}

#ifdef CF_FLOATS
#define CF_NARROW_SLOTS                                                                           \
  ISA_NAME(narrow_errors), ISA_NAME(narrow_sums), ISA_NAME(narrow_loss), ISA_NAME(search_groups), \
      CF_FLOATS, ISA_NAME(turn)
#else
#define CF_NARROW_SLOTS NULL, NULL, NULL, NULL, 0, NULL
#endif

#define CF_ERROR_KERNELS                                                           \
  {ISA_NAME(magnitudes), ISA_NAME(errors), CF_NARROW_SLOTS,        ISA_NAME(sums), \
   ISA_NAME(outside),    ISA_NAME(stage),  ISA_NAME(add_products), CF_MAGNITUDE_SLOTS}

#endif
