/* What rounding to a format does to values: errors, and counts, in one pass. */
#include <math.h>
#include <string.h>

#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "stats/error_kernels.h"

typedef struct task {
  const cf_error_kernels *kernels;
  cf_params params;
  cf_grids grids;
  cf_grid grid;
  double smallest_normal;
  int bias;
} task;

/* The general way of a piece: by core/scalar.h, where elements may become infinite or NaN, or a
 * code's parity is not that of its significand, or a zero is not kept. */
static void add_slowly(const task *t, const cf_values *piece, cf_rounding_stats *found) {
  const float *values = piece->first;
  double sums[4][CF_ERROR_LANES] = {{0}};
  for (size_t i = 0; i < piece->count; ++i) {
    const size_t lane = i % CF_ERROR_LANES;
    const double x = (double)values[i], magnitude = fabs(x);
    uint32_t bits, rounded_bits;
    unsigned raised = 0;
    float rounded;
    if (!(magnitude < (double)INFINITY)) continue;
    memcpy(&bits, values + i, sizeof bits);
    const uint64_t code =
        cf_round_pack(&t->params, t->bias, cf_unpack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, bits),
                      CF_TIES_TO_EVEN, 0, &raised);
    rounded_bits =
        (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS,
                                cf_unpack(&t->params, t->bias, code), CF_TIES_TO_EVEN, 0, &raised);
    memcpy(&rounded, &rounded_bits, sizeof rounded);
    const double value = (double)rounded;
    sums[0][lane] += magnitude * magnitude;
    found->saturated += magnitude > t->grid.max;
    if (!(fabs(value) < (double)INFINITY)) {
      ++found->overflowed;
      found->max_abs = (double)INFINITY;
      if (magnitude > 0) found->max_rel = (double)INFINITY;
      continue;
    }
    const double off = fabs(value - x);
    sums[1][lane] += off * off;
    sums[2][lane] += x * value;
    sums[3][lane] += value * value;
    if (off > found->max_abs) found->max_abs = off;
    if (magnitude > 0 && off / magnitude > found->max_rel) found->max_rel = off / magnitude;
    found->underflowed += (magnitude > 0) & (value == 0);
    found->subnormal += (fabs(value) > 0) & (fabs(value) < t->smallest_normal);
  }
  double *const totals[4] = {&found->signal, &found->noise, &found->product, &found->rounded};
  for (int i = 0; i < 4; ++i) {
    const double *s = sums[i];
    *totals[i] += ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
}

static void add_piece(const task *t, cf_values *piece, cf_rounding_stats *found) {
  const float *values = piece->first;
  cf_magnitudes magnitudes = {0, (double)INFINITY, 0, 0};
  cf_error_sums sums = {0};
  t->kernels->magnitudes(piece, &magnitudes);
  found->finite += piece->count;
  if (magnitudes.has_nonfinite)
    for (size_t i = 0; i < piece->count; ++i) found->finite -= isfinite(values[i]) ? 0u : 1u;
  if (t->grids.mantissa_bits == 0 || t->grids.no_zero ||
      (magnitudes.has_negative && t->grids.has_nan) ||
      cf_grid_overflows(&t->grids, t->bias, magnitudes.peak)) {
    add_slowly(t, piece, found);
    return;
  }
  piece->has_special = magnitudes.has_nonfinite || magnitudes.has_negative;
  if (t->kernels->narrow_sums != NULL && !piece->has_special &&
      cf_is_narrow(&t->grid, magnitudes.peak))
    t->kernels->narrow_sums(&t->grid, piece, &sums);
  else
    t->kernels->sums(&t->grid, piece, &sums);
  found->signal += sums.signal;
  found->noise += sums.noise;
  found->product += sums.product;
  found->rounded += sums.rounded;
  if (sums.max_abs > found->max_abs) found->max_abs = sums.max_abs;
  if (sums.max_rel > found->max_rel) found->max_rel = sums.max_rel;
  found->saturated += sums.saturated;
  found->underflowed += sums.underflowed;
  found->subnormal += sums.subnormal;
}

int cf_rounding_errors(const cf_format *format, int bias, const float *values, size_t count,
                       cf_rounding_stats *found) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (bias < format->bias_min || bias > format->bias_max) return CF_BAD_BIAS;
  const uint64_t modes = cf_set_default_float_modes();
  task t;
  t.kernels = cf_active_error_kernels();
  t.params = cf_format_params(format);
  t.grids = cf_grids_of(format);
  t.grid = cf_grid_at(&t.grids, bias);
  t.smallest_normal = t.grid.above;
  t.bias = bias;
  for (size_t begin = 0; begin < count; begin += CF_ERROR_PIECE) {
    const size_t left = count - begin;
    cf_values piece = {values + begin,
                       left < CF_ERROR_PIECE ? left : CF_ERROR_PIECE,
                       0,
                       0,
                       !t.grids.is_signed,
                       1,
                       NULL};
    add_piece(&t, &piece, found);
  }
  cf_restore_float_modes(modes);
  return CF_OK;
}
