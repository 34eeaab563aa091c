/* The least squared error of rounding to a format, over the biases that it allows, and where.
 *
 * The search begins at the largest bias at which the peak of a group is within the format's range.
 *
 * At larger biases what is beyond the range loses (value - max)^2, which grows.  The search ends
 * where the peak alone loses more than the best has, or what is beyond does: all that is lost but
 * what the others can lose at most.
 *
 * At smaller ones a value that was normal loses no less: what it can become there, the whitepaper's
 * subnormals included, has no more bits of mantissa than it had.  So does any other value in IEEE
 * 754's reading, where the values at a smaller bias are, up to the peak, among those at a larger
 * one; and where subnormals are zero, as a value that becomes zero loses all that it is.  In the
 * whitepaper's reading what was not normal may lose less, by being no longer in the hole.  From m +
 * 2 biases less on it is zero, and loses all that it is and so no less.  These few biases are
 * tried, with the few values that were not normal at all of them.  Where there is no zero, all
 * biases are.
 *
 * Else smaller biases are at most equally good, and of interest if they are nearer the default.
 *
 * Sums are of float64.  Where two are so close that their roundings may decide, the exact sums do:
 * integers. */
#include "stats/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "stats/difference.h"

enum { MOST_SUMS = 20 };
enum { RUN = 256 * CF_ERROR_PIECE, RUNS = 64, FEW = 128 };

/* A group of values, and what its search has found so far. */
typedef struct group {
  const cf_error_kernels *kernels;
  const cf_grids *grids;
  cf_values values; /* all of them */
  double total;     /* how many they are, each as often as it counts */
  cf_magnitudes magnitudes;
  double tolerance; /* relative: what two sums may differ by and be equal */
  int scale;        /* of float64: values are divided by 2^scale, as values.scale does */
  int low, high;    /* biases; of values that are scaled */
  int preferred;    /* the default */
  int best;
  double error;    /* at the best */
  int becomes_nan; /* a zero does, at every bias */
  int wants_error;
  int threads;
} group;

static cf_values piece_of(const cf_values *values, size_t begin) {
  cf_values piece = *values;
  piece.first =
      (const char *)values->first + begin * (values->is_float64 ? sizeof(double) : sizeof(float));
  if (values->weights != NULL) piece.weights = values->weights + begin;
  piece.count = values->count - begin;
  if (piece.count > CF_ERROR_PIECE) piece.count = CF_ERROR_PIECE;
  return piece;
}

/* Sums over the pieces of a group. */
typedef struct piece_sums {
  const group *g;
  void (*add)(const struct piece_sums *sums, const cf_values *piece, double *to);
  const cf_grid *grids; /* one a sum */
  int count;
  double limit;
  size_t first_run, run_count;
  int threads;
  double (*runs)[MOST_SUMS]; /* of each run */
} piece_sums;

static void add_runs(void *context, int index) {
  const piece_sums *s = context;
  int64_t begin, end;
  const uint64_t modes = cf_set_default_float_modes();
  cf_share_of((int64_t)s->run_count, 1, s->threads, index, &begin, &end);
  for (int64_t run = begin; run < end; ++run) {
    const size_t first = (s->first_run + (size_t)run) * RUN;
    for (int i = 0; i < s->count; ++i) s->runs[run][i] = 0;
    for (size_t at = first; at < first + RUN && at < s->g->values.count; at += CF_ERROR_PIECE) {
      const cf_values piece = piece_of(&s->g->values, at);
      s->add(s, &piece, s->runs[run]);
    }
  }
  cf_restore_float_modes(modes);
}

/* Runs of pieces, by threads; the sums are of runs in order, each of pieces in order. */
static void add_up_pieces(piece_sums *s, double *sums) {
  double runs[RUNS][MOST_SUMS];
  const size_t total = (s->g->values.count + RUN - 1) / RUN;
  s->runs = runs;
  for (int i = 0; i < s->count; ++i) sums[i] = 0;
  for (s->first_run = 0; s->first_run < total; s->first_run += RUNS) {
    s->run_count = total - s->first_run < RUNS ? total - s->first_run : RUNS;
    s->threads = s->g->threads < (int)s->run_count ? s->g->threads : (int)s->run_count;
    cf_run_threads(s->threads, add_runs, s);
    for (size_t run = 0; run < s->run_count; ++run)
      for (int i = 0; i < s->count; ++i) sums[i] += runs[run][i];
  }
}

static double value_at(const cf_values *values, size_t i) {
  return values->is_float64 ? ((const double *)values->first)[i] * values->scale
                            : (double)((const float *)values->first)[i];
}

static double weight_of(const cf_values *values, size_t i) {
  return values->weights != NULL ? values->weights[i] : 1;
}

/* As the kernels have it where there is no zero, for which they take what is not there, or left
 * out: of a zero, and of a negative number that has no sign, the smallest value is the nearest. */
static double errors_without_zero(const cf_grid *grid, const cf_values *values) {
  double sum[CF_ERROR_LANES] = {0};
  for (size_t i = 0; i < values->count; ++i) {
    const double x = value_at(values, i);
    if (!isfinite(x)) continue;
    const double off = values->negative_is_zero && x < 0 ? cf_grid_round(grid, 0) - x
                                                         : cf_grid_round(grid, fabs(x)) - fabs(x);
    sum[i % CF_ERROR_LANES] += off * off * weight_of(values, i);
  }
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Whether the kernels of float32 take these values and a grid. */
static int is_narrow(const group *g, const cf_grid *grid, const cf_values *values) {
  return g->kernels->narrow_errors != NULL && !values->is_float64 && !values->has_special &&
         values->weights == NULL && cf_is_narrow(grid, g->magnitudes.peak);
}

static double errors_of(const group *g, const cf_grid *grid, const cf_values *values) {
  if (g->grids->no_zero) return errors_without_zero(grid, values);
  if (is_narrow(g, grid, values)) return g->kernels->narrow_errors(grid, values);
  return g->kernels->errors(grid, values);
}

static void add_errors(const piece_sums *s, const cf_values *piece, double *to) {
  for (int i = 0; i < s->count; ++i) to[i] += errors_of(s->g, &s->grids[i], piece);
}

static double error_at(const group *g, int bias) {
  cf_grid grid = cf_grid_at(g->grids, bias);
  double sum;
  if (!g->grids->no_zero) grid.holed &= g->magnitudes.least < grid.above; /* else none is there */
  if (cf_grid_overflows(g->grids, bias, g->magnitudes.peak)) return (double)INFINITY;
  if (g->magnitudes.has_negative && g->grids->has_nan) return (double)INFINITY;
  if (g->becomes_nan) return (double)INFINITY;
  if (g->values.count <= CF_ERROR_PIECE) return errors_of(g, &grid, &g->values);
  piece_sums sums = {g, add_errors, &grid, 1, 0, 0, 0, 0, NULL};
  add_up_pieces(&sums, &sum);
  return sum;
}

/* Value i, as the kernels take it: a magnitude, or 0 where it is left out or always becomes 0. */
static double magnitude_at(const cf_values *values, size_t i) {
  const double x = value_at(values, i);
  const double magnitude = fabs(x);
  if (!(magnitude < (double)INFINITY) || (values->negative_is_zero && x < 0)) return 0;
  return magnitude;
}

/* The values of a piece whose magnitudes are above 0 and below a limit, or above another. */
typedef struct few_values {
  union {
    float float32[CF_ERROR_PIECE + CF_ERROR_SLACK];
    double float64[CF_ERROR_PIECE];
  } values;
  double weights[CF_ERROR_PIECE];
} few_values;

static cf_values values_outside(const cf_error_kernels *kernels, const cf_values *piece,
                                double limit, double beyond, few_values *room) {
  cf_values found = *piece;
  found.first = &room->values;
  double *weights = piece->weights != NULL ? room->weights : NULL;
  found.weights = weights;
  found.count = kernels->outside(piece, limit, beyond, &room->values, weights);
  found.has_special = 0;
  return found;
}

static cf_values values_below(const cf_error_kernels *kernels, const cf_values *piece, double limit,
                              few_values *room) {
  return values_outside(kernels, piece, limit, (double)INFINITY, room);
}

static double rounded_at(const cf_grid *grid, double x) {
  return x < grid->max ? cf_grid_round(grid, x) : grid->max;
}

/* Add the differences of some values' squares on two grids. */
static void add_differences(const group *g, cf_difference *sum, const cf_grid *at_a,
                            const cf_grid *at_b, cf_values values) {
  values.scale = 1;
  for (size_t i = 0; i < values.count; ++i) {
    double x = magnitude_at(&values, i);
    if (g->grids->no_zero && !isfinite(value_at(&values, i))) continue; /* left out */
    const double p = rounded_at(at_a, x), q = rounded_at(at_b, x);
    if (p == q) continue;
    /* a negative number of an unsigned format becomes the smallest value, as a zero does */
    if (g->grids->no_zero && x == 0) x = -fabs(value_at(&values, i));
    cf_difference_add(sum, x, p, q, values.is_float64, weight_of(&values, i));
  }
}

/* The sign of the difference of the exact sums of squares at two biases, between which no value of
 * `limit` or more differs. */
static int compare_exactly(const group *g, int a, int b, double limit) {
  /* of values as they are: one that is small beside the largest may not be scaled exactly */
  const cf_grid at_a = cf_grid_at(g->grids, a - g->scale);
  const cf_grid at_b = cf_grid_at(g->grids, b - g->scale);
  cf_difference sum = cf_difference_new(g->values.is_float64);
  if (g->grids->no_zero) {
    add_differences(g, &sum, &at_a, &at_b, g->values);
  } else {
    /* what is a normal number at both, and within the range, is the same value at both */
    const cf_grid small = cf_grid_at(g->grids, a < b ? a : b);
    const cf_grid large = cf_grid_at(g->grids, a < b ? b : a);
    if (isinf(limit)) limit = small.above;
    for (size_t begin = 0; begin < g->values.count; begin += CF_ERROR_PIECE) {
      const cf_values piece = piece_of(&g->values, begin);
      few_values room;
      add_differences(g, &sum, &at_a, &at_b,
                      values_outside(g->kernels, &piece, limit, large.max, &room));
    }
  }
  return cf_difference_sign(&sum);
}

/* The sign of the difference of the errors at two biases, whose sums in float64 are these; of all
 * values below `limit`, the others being equal. */
static int compare(const group *g, int a, double error_a, int b, double error_b, double limit) {
  const double most = error_a > error_b ? error_a : error_b;
  if (isinf(error_a) || isinf(error_b)) return (isinf(error_a) != 0) - (isinf(error_b) != 0);
  if (error_a == 0 && error_b == 0) return 0;
  if (fabs(error_a - error_b) <= g->tolerance * most) return compare_exactly(g, a, b, limit);
  return error_a < error_b ? -1 : error_a > error_b;
}

static int is_nearer(const group *g, int a, int b) {
  const int from_a = a > g->preferred ? a - g->preferred : g->preferred - a;
  const int from_b = b > g->preferred ? b - g->preferred : g->preferred - b;
  return from_a < from_b || (from_a == from_b && a < b);
}

/* Take a bias for the best if it is. */
static void consider(group *g, int bias, double error) {
  const int sign = compare(g, bias, error, g->best, g->error, (double)INFINITY);
  if (sign < 0 || (sign == 0 && is_nearer(g, bias, g->best))) {
    g->best = bias;
    g->error = error;
  }
}

/* The largest bias at which the peak is within the range, if that is allowed. */
static int first_bias(const group *g) {
  const double max = g->grids->at_zero.max;
  int bias = cf_exponent_of(max) - cf_exponent_of(g->magnitudes.peak);
  bias += g->magnitudes.peak * cf_power_of_two(bias) <= max ? 0 : -1;
  return bias < g->low ? g->low : bias > g->high ? g->high : bias;
}

static void try_larger(group *g, int start, double first_error) {
  const cf_grid first = cf_grid_at(g->grids, start);
  /* so far beyond the range that what the peak loses more, at any larger bias, is more than all
   * others can lose where they are within it: their number times max^2 */
  if (g->magnitudes.peak > 2 * g->total * first.max) return;
  /* what values within the range lose at most: as much as at the start, or all that they are */
  double others = first_error * (1 + g->tolerance);
  if (g->grids->whitepaper && g->magnitudes.least < first.above)
    others += g->total * first.above * first.above;
  for (int bias = start + 1; bias <= g->high; ++bias) {
    const double beyond = g->magnitudes.peak - g->grids->at_zero.max * cf_power_of_two(-bias);
    const double most = g->error * (1 + g->tolerance);
    if (beyond > 0 && beyond * beyond > most) return;
    const double error = error_at(g, bias);
    if (isinf(error)) return;
    consider(g, bias, error);
    if (error * (1 - g->tolerance) - others > most) return;
  }
}

/* Add up the errors of those below the limit alone. */
static void add_small(const piece_sums *s, const cf_values *piece, double *to) {
  few_values room;
  const cf_values found = values_below(s->g->kernels, piece, s->limit, &room);
  if (found.count != 0) add_errors(s, &found, to);
}

/* Take the best of the biases from `start` down to `last`, at none of which a value of `limit` or
 * more rounds otherwise than at another.  Gives whether none is better than `start`, which is the
 * best as yet. */
static int try_few(group *g, int start, int last, double limit) {
  double errors[MOST_SUMS];
  cf_grid grids[MOST_SUMS];
  few_values room;
  group few = *g; /* of one piece those values are found once */
  const int count = start - last + 1;
  int best = start, is_equal = 1;
  for (int i = 0; i < count; ++i) grids[i] = cf_grid_at(g->grids, start - i);
  if (g->values.count <= CF_ERROR_PIECE) {
    few.values.count = 0;
    if (g->magnitudes.least < limit)
      few.values = values_below(g->kernels, &g->values, limit, &room);
    if (few.values.count == 0) limit = 0;
    for (int i = 0; i < count && limit > 0; ++i) errors[i] = errors_of(g, &grids[i], &few.values);
  } else {
    piece_sums sums = {g, add_small, grids, count, limit, 0, 0, 0, NULL};
    add_up_pieces(&sums, errors);
  }
  for (int i = 1; i < count; ++i) {
    const int bias = start - i;
    const int sign = limit > 0 ? compare(&few, bias, errors[i], best, errors[start - best], limit)
                               : 0; /* no value rounds otherwise */
    if (sign < 0) is_equal = 0;
    if (sign < 0 || (sign == 0 && is_nearer(g, bias, best))) best = bias;
  }
  if (best != start) {
    g->best = best;
    g->error = error_at(g, best);
  }
  return is_equal;
}

static int value_loses_more(double x, const cf_grid *grid, const cf_grid *other) {
  return fabs(cf_grid_round(grid, x) - x) > fabs(cf_grid_round(other, x) - x);
}

/* Whether a value loses more on a grid than on another, where it is a normal number.  `witness` is
 * the one to look at first: that which did so at another bias, and most often does so here. */
static int loses_more(const group *g, const cf_grid *grid, const cf_grid *other, double *witness) {
  if (value_loses_more(*witness, grid, other)) return 1;
  if (g->magnitudes.least >= grid->above) return 0;
  const int narrow = is_narrow(g, grid, &g->values) && is_narrow(g, other, &g->values) &&
                     g->magnitudes.least >= other->above && g->magnitudes.peak <= other->max;
  for (size_t begin = 0; begin < g->values.count; begin += CF_ERROR_PIECE) {
    const cf_values piece = piece_of(&g->values, begin);
    few_values room;
    if (narrow) {
      const size_t at = g->kernels->narrow_loss(grid, other, &piece);
      if (at == piece.count) continue;
      *witness = magnitude_at(&piece, at);
      return 1;
    }
    const cf_values few =
        g->values.count <= FEW ? piece : values_below(g->kernels, &piece, grid->above, &room);
    for (size_t i = 0; i < few.count; ++i) {
      const double x = magnitude_at(&few, i);
      if (x < grid->above && value_loses_more(x, grid, other)) {
        *witness = x;
        return 1;
      }
    }
  }
  return 0;
}

/* Take the bias nearest the default of those below `last` that are as good as the best, which is as
 * good as `start`.  No value loses less there than at `start`: it is as good if none loses more. */
static void try_equal(group *g, int start, int last) {
  const cf_grid first = cf_grid_at(g->grids, start);
  const double least = g->magnitudes.least;
  double witness = least;
  /* down to here they are all normal */
  int bias = 1 - cf_exponent_of(least);
  if (bias < g->preferred) bias = g->preferred;
  if (bias < last && is_nearer(g, bias, g->best)) g->best = bias;
  if (bias > last) bias = last;
  for (--bias; bias >= g->low; --bias) {
    const cf_grid grid = cf_grid_at(g->grids, bias);
    if (bias < g->preferred && !is_nearer(g, bias, g->best)) return;
    if (!loses_more(g, &grid, &first, &witness)) {
      if (is_nearer(g, bias, g->best)) g->best = bias;
    } else if (!g->grids->whitepaper ||
               (cf_grid_round(&grid, least) == 0 && value_loses_more(least, &grid, &first))) {
      return; /* one does at smaller ones, too; else it may be out of the whitepaper's hole there */
    }
  }
}

/* The values that do not round alike at all biases that are compared: those that are small, and
 * those that are large.  What the others lose is the same at each of these. */
typedef struct some_values {
  union {
    float float32[2 * CF_ERROR_PIECE + CF_ERROR_SLACK];
    double float64[2 * CF_ERROR_PIECE];
  } own;
  void *values;   /* own, or of a large group more */
  size_t at_most; /* so many are worth it; there is room for a piece more */
} some_values;

/* Of a larger group these are looked for; a smaller one is taken whole. */
enum { WHOLE = 256, MOST_VALUES = 1 << 18 };

static int make_room(const group *g, some_values *room) {
  const size_t size = g->values.is_float64 ? sizeof(double) : sizeof(float);
  room->at_most = g->values.count / 4;
  if (room->at_most > MOST_VALUES) room->at_most = MOST_VALUES;
  room->values = &room->own;
  if (room->at_most > CF_ERROR_PIECE)
    room->values = malloc((room->at_most + CF_ERROR_PIECE + CF_ERROR_SLACK) * size);
  else
    room->at_most = CF_ERROR_PIECE;
  return room->values != NULL;
}

static void free_room(some_values *room) {
  if (room->values != &room->own) free(room->values);
}

/* Put them where *some has them; gives 0 if they are too many. */
static int find_some(const group *g, group *some, double limit, double beyond,
                     const some_values *room) {
  const size_t size = g->values.is_float64 ? sizeof(double) : sizeof(float);
  if (g->values.count <= WHOLE) return 1;
  some->values.first = room->values;
  some->values.count = 0;
  some->values.has_special = 0;
  for (size_t begin = 0; begin < g->values.count; begin += CF_ERROR_PIECE) {
    const cf_values piece = piece_of(&g->values, begin);
    void *to = (char *)room->values + some->values.count * size;
    some->values.count += g->kernels->outside(&piece, limit, beyond, to, NULL);
    if (some->values.count > room->at_most) return 0;
  }
  return 1;
}

/* The sum of the squared errors of some values, at a bias where none overflows. */
static double error_of_some(const group *some, int bias) {
  cf_grid grid = cf_grid_at(some->grids, bias);
  double sum = 0;
  grid.holed &= some->magnitudes.least < grid.above;
  for (size_t begin = 0; begin < some->values.count; begin += CF_ERROR_PIECE) {
    const cf_values piece = piece_of(&some->values, begin);
    sum += errors_of(some, &grid, &piece);
  }
  return sum;
}

/* The search from `start` on, by the values alone that round otherwise at another bias.  Gives 0 if
 * they are too many; nothing is found then. */
static int search_in_room(group *g, int start, const some_values *room) {
  group some = *g;
  const cf_grid first = cf_grid_at(g->grids, start);
  const int has_small = g->magnitudes.least < first.above, m = g->grids->mantissa_bits;
  int last = start, same = start, is_equal = 1; /* the best is as good as `same` */
  if (g->grids->whitepaper && has_small && start > g->low)
    last = start - (m + 2) > g->low ? start - (m + 2) : g->low;
  const double limit = 2 * cf_power_of_two(-last);
  int end = start < g->high ? start + 1 : start; /* the last bias at which they are known */
  if (!find_some(g, &some, limit, g->grids->at_zero.max * cf_power_of_two(-end), room)) return 0;
  const double first_error = error_of_some(&some, start);
  double error = first_error;
  g->best = start;
  for (int bias = start - 1; bias >= last; --bias) {
    const double here = error_of_some(&some, bias);
    const int sign = compare(&some, bias, here, same, error, (double)INFINITY);
    if (sign < 0) is_equal = 0;
    if (sign > 0 || (sign == 0 && !is_nearer(g, bias, g->best))) continue;
    g->best = same = bias;
    error = here;
  }
  if (start > g->low && is_equal) try_equal(g, start, last);
  /* as in try_larger, but of these values alone: the others lose no less at larger biases.  Those
   * that are within the range at one lose so much at most: */
  const int tries_larger = g->magnitudes.peak <= 2 * g->total * first.max;
  double within = first_error;
  for (int bias = start + 1; tries_larger && bias <= g->high; ++bias) {
    const double max = g->grids->at_zero.max * cf_power_of_two(-bias);
    if (bias > end) {
      end = bias;
      if (!find_some(g, &some, limit, max, room)) return 0;
      error = error_of_some(&some, same);
      within = error_of_some(&some, start);
    }
    const double most = error * (1 + g->tolerance);
    const double beyond = g->magnitudes.peak - max;
    if ((beyond > 0 && beyond * beyond > most) ||
        cf_grid_overflows(g->grids, bias, g->magnitudes.peak))
      break;
    const double here = error_of_some(&some, bias);
    const int sign = compare(&some, bias, here, same, error, (double)INFINITY);
    if (sign < 0 || (sign == 0 && is_nearer(g, bias, g->best))) {
      g->best = same = bias;
      error = here;
    }
    double others = within * (1 + g->tolerance);
    if (g->grids->whitepaper && has_small)
      others += (double)some.values.count * first.above * first.above;
    if (here * (1 - g->tolerance) - others > most) break;
  }
  if (g->values.count <= WHOLE)
    g->error = error;
  else if (g->wants_error)
    g->error = error_at(g, g->best);
  return 1;
}

static int search_by_some(group *g, int start) {
  some_values room;
  const int has_room = make_room(g, &room), found = has_room && search_in_room(g, start, &room);
  free_room(&room);
  return found;
}

/* Take the best of all biases. */
static void try_all(group *g) {
  g->error = error_at(g, g->best);
  if (g->values.count == 0) return;
  for (int bias = g->low; bias <= g->high; ++bias)
    if (bias != g->preferred) consider(g, bias, error_at(g, bias));
}

static void search(group *g) {
  const int m = g->grids->mantissa_bits;
  g->best = g->preferred;
  g->error = 0;
  if (g->magnitudes.peak == 0 && !g->grids->no_zero) {
    /* of negative numbers alone, all biases make zeros or NaN */
    if (g->magnitudes.has_negative) g->error = error_at(g, g->best);
    return;
  }
  if (g->grids->no_zero) {
    try_all(g);
    return;
  }
  const cf_grid finest = cf_grid_at(g->grids, g->high);
  if (rounded_at(&finest, g->magnitudes.peak) == 0) { /* and so is all at all biases */
    g->error = error_at(g, g->best);
    return;
  }
  const int start = first_bias(g);
  if (g->values.weights == NULL && g->threads == 1 &&
      !(g->magnitudes.has_negative && g->grids->has_nan) &&
      !cf_grid_overflows(g->grids, start, g->magnitudes.peak) && search_by_some(g, start))
    return;
  const double first_error = error_at(g, start);
  g->best = start;
  g->error = first_error;
  if (isinf(g->error)) { /* at every other bias, too */
    g->best = g->preferred;
    return;
  }
  if (start > g->low) {
    const cf_grid grid = cf_grid_at(g->grids, start);
    int last = start, is_equal = 1;
    if (g->grids->whitepaper && g->magnitudes.least < grid.above) {
      last = start - (m + 2) > g->low ? start - (m + 2) : g->low;
      is_equal = try_few(g, start, last, 2 * cf_power_of_two(-last));
    }
    if (is_equal) try_equal(g, start, last);
  }
  try_larger(g, start, first_error);
}

static void find_magnitudes(group *g) {
  g->magnitudes = (cf_magnitudes){0, (double)INFINITY, 0, 0};
  g->values.negative_is_zero = !g->grids->is_signed;
  for (size_t begin = 0; begin < g->values.count; begin += CF_ERROR_PIECE) {
    const cf_values piece = piece_of(&g->values, begin);
    g->kernels->magnitudes(&piece, &g->magnitudes);
  }
  g->values.has_special = g->magnitudes.has_nonfinite || g->magnitudes.has_negative;
}

/* The largest magnitude that an error is of: where there is no zero, those of negative numbers that
 * have no sign count as well. */
static double largest_that_counts(const group *g) {
  double largest = g->magnitudes.peak;
  if (!g->grids->no_zero || !g->magnitudes.has_negative) return largest;
  for (size_t i = 0; i < g->values.count; ++i) {
    const double magnitude = fabs(value_at(&g->values, i));
    if (isfinite(magnitude) && magnitude > largest) largest = magnitude;
  }
  return largest;
}

/* A group's magnitudes; and, of float64, the exponent of the power of two that the values are to be
 * divided by so that their squares are in range. */
static int prepare(group *g, const cf_search *t, const void *first, size_t count) {
  int scale = 0;
  g->kernels = t->kernels;
  g->grids = &t->grids;
  g->values.first = first;
  g->values.count = count;
  g->values.is_float64 = t->source_type == CF_FLOAT64;
  g->values.scale = 1;
  g->values.weights = t->weights;
  g->total = (double)count;
  if (t->weights != NULL) {
    g->total = 0;
    for (size_t i = 0; i < count; ++i) g->total += t->weights[i];
  }
  g->scale = 0;
  g->threads = t->threads;
  find_magnitudes(g);
  const double largest = largest_that_counts(g);
  if (g->values.is_float64 && largest > 0) {
    frexp(largest, &scale);
    /* where there is no zero, values are 2^-149 and more beside however small a peak */
    const int least = g->grids->no_zero ? -150 : -900;
    scale = scale < least ? least : scale > 900 ? 900 : scale;
    g->scale = scale;
    g->values.scale = cf_power_of_two(-scale);
    g->magnitudes.peak *= g->values.scale;
    g->magnitudes.least *= g->values.scale;
  }
  g->low = t->format->bias_min + scale;
  g->high = t->format->bias_max + scale;
  g->preferred = t->default_bias + scale;
  g->becomes_nan = 0;
  if (g->grids->no_zero && g->grids->has_nan) {
    cf_values unscaled = g->values; /* of the others none is so small that it is 0 */
    size_t i = 0;
    unscaled.scale = 1;
    while (i < count && value_at(&unscaled, i) != 0) ++i;
    g->becomes_nan = i < count;
  }
  const size_t in_lanes = (count < CF_ERROR_PIECE ? count : CF_ERROR_PIECE) / CF_ERROR_LANES;
  g->tolerance = (double)(count / CF_ERROR_PIECE + in_lanes + 16) * 0x1p-51;
  return scale;
}

cf_search cf_search_of(const cf_format *format, int default_bias, int source_type) {
  return (cf_search){
      cf_active_error_kernels(), format, cf_grids_of(format), default_bias, source_type, NULL, 1};
}

int cf_search_group(const cf_search *s, const void *values, size_t count, double *error,
                    int *scale) {
  group g;
  *scale = prepare(&g, s, values, count);
  g.wants_error = error != NULL;
  search(&g);
  if (error != NULL) *error = g.error;
  return g.best - *scale;
}

/* Whether the kernels search several of such groups at a time. */
static int takes_groups(const cf_search *s, int64_t pitch, size_t size) {
  const cf_grids *g = &s->grids;
  const int top = cf_exponent_of(g->at_zero.max);
  return s->kernels->search_groups != NULL && size > 1 && size <= CF_GROUP_SIZE &&
         s->source_type == CF_FLOAT32 && s->weights == NULL && s->threads == 1 && pitch > 0 &&
         pitch % (int64_t)sizeof(float) == 0 && g->saturates && g->is_signed && !g->no_zero &&
         g->at_zero.above <= g->at_zero.max && top <= 40 && abs(s->default_bias) <= 60;
}

void cf_search_rows(const cf_search *s, const char *values, int64_t pitch, int64_t rows,
                    size_t size, int16_t *biases, int64_t step, double *errors) {
  const int together = rows > 1 && takes_groups(s, pitch, size);
  const int64_t lanes = together ? s->kernels->group_lanes : 1;
  for (int64_t first = 0; first < rows; first += lanes) {
    const int count = (int)cf_at_most(rows - first, lanes);
    int32_t found[CF_GROUP_LANES];
    double least[CF_GROUP_LANES];
    unsigned done = 0;
    if (together) {
      const cf_groups groups = {&s->grids,
                                (const float *)(const void *)(values + first * pitch),
                                (size_t)pitch / sizeof(float),
                                size,
                                count,
                                s->format->bias_min,
                                s->format->bias_max,
                                s->default_bias};
      done = s->kernels->search_groups(&groups, found, least);
    }
    for (int i = 0; i < count; ++i) {
      int scale;
      if (!(done >> i & 1))
        found[i] = cf_search_group(s, values + (first + i) * pitch, size,
                                   errors != NULL ? &least[i] : NULL, &scale);
      biases[(first + i) * step] = (int16_t)found[i];
      if (errors != NULL) errors[first + i] = least[i];
    }
  }
}

int cf_search_errors(const cf_search *s, const void *values, size_t count, double *errors) {
  group g;
  const int scale = prepare(&g, s, values, count);
  for (int bias = g.low; bias <= g.high; ++bias) errors[bias - g.low] = error_at(&g, bias);
  return scale;
}
