/* The search of stats/error_kernels.h for groups of few values, one group a lane.  The including
 * file has defined what stats/error_lanes-inl.h says, float32 too.
 *
 * It is the search of stats/search.c, with sums that have its bits, for groups that are as
 * most are.  Biases are float32, and so are errors where they are compared: two that are nearer
 * each other than MARGIN are left to that search, and so is what has to do with holes. */
#ifndef CF_STATS_GROUP_LANES_INL_H
#define CF_STATS_GROUP_LANES_INL_H

/* Biases larger than the first one that are tried. */
enum { MOST_LARGER = 6 };
/* Groups whose values are looked at one after the other, rather than all. */
enum { MOST_ONE_BY_ONE = 3 };
#define MARGIN 0x1p-16f
#define LEAST_SUM 0x1p-90f
#define LEAST_PEAK 0x1p-30f
#define LARGEST_PEAK 0x1p30f

/* A format's grids without holes, and one of them for each lane. */
static inline float_grid grid_of_lanes(const float_grid *at_zero, floats bias) {
  const floats scale = f_power_of_two(f_sub(f_set1(0), bias));
  float_grid g = *at_zero;
  g.lowest = f_mul(g.lowest, scale);
  g.max = f_mul(g.max, scale);
  g.above = f_mul(g.above, scale);
  g.below = f_mul(g.below, scale);
  g.below_edge = f_before(f_mul(g.below_edge, scale)); /* at bias 0 it is the edge */
  return g;
}

/* Sums of squared errors, of `size` magnitudes a lane, a multiple of eight; as float32 too.  The
 * errors themselves go to `offs`, or it is NULL. */
static inline floats errors_of_lanes(const floats *magnitudes, size_t size, const float_grid *g,
                                     double *errors, floats *offs) {
  lanes low[CF_ERROR_LANES], high[CF_ERROR_LANES];
  for (int k = 0; k < CF_ERROR_LANES; ++k) low[k] = high[k] = v_set1(0);
  for (size_t j = 0; j < size; j += CF_ERROR_LANES) {
    for (int k = 0; k < CF_ERROR_LANES; ++k) {
      const floats magnitude = magnitudes[j + (size_t)k];
      const floats value = round_floats(g, f_min(magnitude, g->max), 0);
      const floats off = f_sub(value, magnitude);
      if (offs != NULL) offs[j + (size_t)k] = f_abs(off);
      v_add_squares_apart(&low[k], &high[k], off);
    }
  }
  const lanes sum_low = v_add(v_add(v_add(low[0], low[4]), v_add(low[2], low[6])),
                              v_add(v_add(low[1], low[5]), v_add(low[3], low[7])));
  const lanes sum_high = v_add(v_add(v_add(high[0], high[4]), v_add(high[2], high[6])),
                               v_add(v_add(high[1], high[5]), v_add(high[3], high[7])));
  return store_apart(errors, sum_low, sum_high);
}

/* What is the same on the way of a group. */
typedef struct lanes_search {
  const cf_groups *groups;
  float_grid at_zero;
  floats preferred, low, high, start, peak, least;
  floats magnitudes[CF_GROUP_SIZE], offs[CF_GROUP_SIZE]; /* and errors at `start` */
  size_t size;
  unsigned in_order; /* lanes whose search goes on */
} lanes_search;

/* Of biases above `start` the best, *which being how much above; *in_order loses those that are not
 * certain. */
static inline floats try_larger_lanes(lanes_search *s, double (*errors)[CF_FLOATS], floats *which) {
  const floats up = f_set1(1 + MARGIN), down = f_set1(1 - MARGIN), least_sum = f_set1(LEAST_SUM);
  const float_grid first = grid_of_lanes(&s->at_zero, s->start);
  const floats first_error = errors_of_lanes(s->magnitudes, s->size, &first, errors[0], s->offs);
  const floats others = f_mul(first_error, up);
  floats best = first_error;
  /* of 0 no larger bias has as little: the peak is beyond its range */
  s->in_order &= ~f_less(first_error, least_sum) | ~f_less(f_set1(0), first_error);
  *which = f_set1(0);
  /* what is within the range of a larger bias is the same value there, if it was a normal one */
  const unsigned are_normal = ~f_less(s->least, first.above);
  const floats peak_becomes = round_floats(&first, s->peak, 0);
  const floats from_start = f_abs(f_sub(s->start, s->preferred));
  unsigned active = s->in_order & f_less(s->start, s->high);
  for (int k = 1; active != 0; ++k) {
    const floats bias = f_add(s->start, f_set1((float)k));
    const float_grid g = grid_of_lanes(&s->at_zero, bias);
    const floats beyond = f_max(f_sub(s->peak, g.max), f_set1(0));
    const floats most = f_mul(best, up);
    active &= ~f_less(most, f_mul(f_mul(beyond, beyond), down));
    if (active == 0) break;
    if (k == MOST_LARGER) {
      s->in_order &= ~active;
      break;
    }
    const floats error = errors_of_lanes(s->magnitudes, s->size, &g, errors[k], NULL);
    const unsigned less = f_less(f_mul(error, up), best);
    /* so is what is beyond, if the peak becomes the largest value at both */
    const unsigned equal = are_normal & ~f_less(peak_becomes, g.max) &
                           ~f_less(g.max, peak_becomes) & ~f_less(f_set1(0), *which);
    const unsigned nearer = f_less(f_abs(f_sub(bias, s->preferred)), from_start);
    const unsigned unsure =
        active & ((~less & ~f_less(most, error) & ~equal) | f_less(error, least_sum));
    s->in_order &= ~unsure;
    active &= ~unsure;
    const unsigned better = active & (less | (equal & nearer));
    best = f_choose(better, error, best);
    *which = f_choose(better, f_set1((float)k), *which);
    active &= ~f_less(most, f_sub(f_mul(error, down), others)) & f_less(bias, s->high);
  }
  return f_add(s->start, *which);
}

/* Whether any value of a group loses more at a bias than at another. */
static inline int loses_in_group(const lanes_search *s, size_t lane, float bias, float start,
                                 int holed) {
  const float_grid g = grid_of_lanes(&s->at_zero, f_set1(bias));
  const float_grid first = grid_of_lanes(&s->at_zero, f_set1(start));
  const cf_values values = {
      s->groups->first + lane * s->groups->pitch, s->groups->size, 0, 0, 0, 1, NULL};
  return first_loss(&g, &first, &values, holed) < values.count;
}

/* Which of some lanes have a value that loses more than at `start`. */
static inline unsigned losing_lanes(const lanes_search *s, const float_grid *g, unsigned some,
                                    int holed) {
  unsigned losing = 0;
  for (size_t j = 0; j < s->size; j += CF_ERROR_LANES) {
    for (size_t k = j; k < j + CF_ERROR_LANES; ++k) {
      const floats value = round_floats(g, s->magnitudes[k], holed);
      losing |= f_less(s->offs[k], f_abs(f_sub(value, s->magnitudes[k])));
    }
    if ((some & ~losing) == 0) break;
  }
  return losing & some;
}

/* Of equally good biases below `start` the nearest to the default, for these lanes. */
static inline floats try_equal_lanes(lanes_search *s, unsigned active) {
  const int holed = s->groups->grids->at_zero.holed, whitepaper = s->groups->grids->whitepaper;
  const float_grid first = grid_of_lanes(&s->at_zero, s->start);
  const floats off_first = f_abs(f_sub(round_floats(&first, s->least, 0), s->least));
  const floats zero = f_set1(0);
  /* down to here all are normal */
  const floats normal = f_max(f_sub(f_set1(1), f_exponent(s->least)), s->preferred);
  floats bias = f_min(normal, s->start), best = bias;
  active &= f_less(s->low, s->start);
  for (;;) {
    bias = f_sub(bias, f_set1(1));
    const floats from_best = f_abs(f_sub(best, s->preferred));
    const unsigned nearer = ~f_less(from_best, f_abs(f_sub(bias, s->preferred)));
    active &= ~f_less(bias, s->low) & (nearer | ~f_less(bias, s->preferred));
    if (active == 0) break;
    const unsigned far = active & f_less(bias, f_set1(-50));
    s->in_order &= ~far;
    active &= ~far;
    const float_grid g = grid_of_lanes(&s->at_zero, bias);
    const floats value = round_floats(&g, s->least, holed);
    const unsigned least_loses = f_less(off_first, f_abs(f_sub(value, s->least)));
    unsigned loses = least_loses, left = active & ~loses;
    if (_mm_popcnt_u32(left) > MOST_ONE_BY_ONE) {
      loses |= losing_lanes(s, &g, left, holed);
    } else if (left != 0) {
      float of_lane[CF_FLOATS], start[CF_FLOATS];
      f_store(of_lane, bias);
      f_store(start, s->start);
      for (; left != 0; left &= left - 1) {
        const size_t lane = (size_t)_mm_popcnt_u32(~left & (left - 1));
        if (loses_in_group(s, lane, of_lane[lane], start[lane], holed)) loses |= 1u << lane;
      }
    }
    best = f_choose(active & ~loses & nearer, bias, best);
    active &= ~(whitepaper ? least_loses & ~f_less(zero, value) : loses);
  }
  return best;
}

static unsigned ISA_NAME(search_groups)(const cf_groups *groups, int32_t *biases, double *found) {
  const cf_grids *grids = groups->grids;
  lanes_search s;
  double errors[MOST_LARGER][CF_FLOATS];
  float which[CF_FLOATS], best[CF_FLOATS];
  size_t size = 0;
  bits peak = b_set1(0), least = b_set1(-1); /* of what is one less, unsigned */
  for (; size < groups->size; size += CF_FLOATS) {
    load_turned(groups, size, s.magnitudes + size);
    for (size_t j = size; j < size + CF_FLOATS; ++j) {
      s.magnitudes[j] = f_abs(s.magnitudes[j]);
      const bits magnitude = b_magnitude(s.magnitudes[j]);
      peak = b_larger(peak, magnitude);
      least = b_smaller(least, b_sub(magnitude, b_set1(1)));
    }
  }
  s.size = (groups->size + CF_ERROR_LANES - 1) / CF_ERROR_LANES * CF_ERROR_LANES;
  s.groups = groups;
  s.at_zero = float_grid_of(&grids->at_zero);
  s.at_zero.below_edge = f_set1((float)grids->at_zero.edge);
  s.preferred = f_set1((float)groups->preferred);
  s.low = f_set1((float)groups->low);
  s.high = f_set1((float)groups->high);
  s.peak = b_as_floats(peak);
  s.least = b_as_floats(b_sub(least, b_set1(-1)));
  /* the largest bias at which the peak is within the range */
  const floats top = f_set1((float)cf_exponent_of(grids->at_zero.max));
  s.start = f_sub(top, f_exponent(s.peak));
  s.in_order = f_less(f_set1(LEAST_PEAK), s.peak) & f_less(s.peak, f_set1(LARGEST_PEAK));
  s.in_order &= ((1u << (groups->count - 1)) << 1) - 1;
  s.start = f_choose(s.in_order, s.start, f_set1(0));
  const float_grid at_top = grid_of_lanes(&s.at_zero, s.start);
  s.start = f_choose(f_less(at_top.max, s.peak), f_sub(s.start, f_set1(1)), s.start);
  s.in_order &= ~f_less(s.start, s.low) & ~f_less(s.high, s.start);
  if (grids->at_zero.holed) {
    const float_grid first = grid_of_lanes(&s.at_zero, s.start);
    s.in_order &= ~f_less(s.least, first.above);
  }
  if (s.in_order == 0) return 0;
  floats above, bias = try_larger_lanes(&s, errors, &above);
  const unsigned is_first = s.in_order & ~f_less(f_set1(0), above);
  bias = f_choose(is_first, try_equal_lanes(&s, is_first), bias);
  f_store(which, above);
  f_store(best, bias);
  for (int i = 0; i < groups->count; ++i) {
    biases[i] = (int32_t)best[i];
    found[i] = errors[(int)which[i]][i];
  }
  return s.in_order;
}

static void ISA_NAME(turn)(const char *from, ptrdiff_t row, char *to, ptrdiff_t column) {
  for (ptrdiff_t i = 0; i < CF_TURNED; i += CF_FLOATS) {
    for (ptrdiff_t j = 0; j < CF_TURNED; j += CF_FLOATS) {
      floats rows[CF_FLOATS], columns[CF_FLOATS];
      for (ptrdiff_t k = 0; k < CF_FLOATS; ++k)
        rows[k] = f_load((const float *)(const void *)(from + (i + k) * row) + j);
      turn_floats(rows, columns);
      for (ptrdiff_t k = 0; k < CF_FLOATS; ++k)
        f_store((float *)(void *)(to + (j + k) * column) + i, columns[k]);
    }
  }
}

#endif
