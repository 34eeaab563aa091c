/* The values of a format at a bias, as float64: what rounding to nearest needs of them.
 *
 * A magnitude of exponent e is added to 2^(e + 52 - m) and that is taken away again, which rounds
 * it to m bits of mantissa; below the smallest normal number e stays where it is, and the
 * subnormals come out by themselves.  In the whitepaper's reading they have half the quantum, as
 * one binade of normal numbers more would; then the hole is cut out (docs/spec.md 2.6).  All values
 * of all formats, and all float32, are normal numbers of float64, so that nothing is lost.
 *
 * A tie goes where core/scalar.h sends it, but where there are no bits of mantissa: a code's parity
 * is that of its exponent field then.  Either way the error is the same. */
#ifndef CF_STATS_GRID_H
#define CF_STATS_GRID_H

#include <string.h>

#include "core/format.h"

typedef struct cf_grid {
  double lowest; /* the binade of the smallest quantum, or 0: there is always a finer one */
  double steps;  /* 2^(52 - m) */
  double max;
  /* above `edge` what lies below the smallest normal number, `above`, rounds to it, and up to it to
   * `below` at most; that is where there is a hole, or subnormals are zero, or, with an edge below
   * 0, there is no zero */
  double edge, above, below;
  int holed;
} cf_grid;

static inline double cf_bits_to_double(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint64_t cf_double_to_bits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* 2^exponent, or the nearest that keeps clear of the ends of float64's range. */
static inline double cf_power_of_two(int exponent) {
  exponent = exponent < -900 ? -900 : exponent > 900 ? 900 : exponent;
  return cf_bits_to_double((uint64_t)(exponent + CF_FLOAT64_BIAS) << 52);
}

/* floor(log2(x)) of a normal number above 0. */
static inline int cf_exponent_of(double x) {
  return (int)(cf_double_to_bits(x) >> 52) - CF_FLOAT64_BIAS;
}

/* A format's values at bias 0, and how it overflows. */
typedef struct cf_grids {
  cf_grid at_zero;
  int mantissa_bits;
  int whitepaper;
  int is_signed, has_nan, no_zero;
  /* what overflows if it does not saturate: magnitudes beyond, or on, `overflow` at bias 0 */
  int saturates, overflows_on;
  double overflow;
} cf_grids;

static inline cf_grids cf_grids_of(const cf_format *format) {
  const cf_params params = cf_format_params(format);
  const int m = params.mantissa_bits;
  const uint64_t fraction = params.max_code & (((uint64_t)1 << m) - 1);
  const double unit = cf_power_of_two(-m); /* of the last bit, for exponent 0 */
  const double top = cf_power_of_two((int)(params.max_code >> m));
  const int flush = params.subnormals == CF_SUBNORMALS_FLUSH;
  cf_grids g;
  g.mantissa_bits = m;
  g.whitepaper = params.subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0;
  g.is_signed = params.sign_mask != 0;
  g.has_nan = params.has_nan;
  g.no_zero = params.subnormals == CF_SUBNORMALS_NORMAL;
  g.saturates = params.overflow_code == params.max_code;
  g.overflow = top * (1 + ((double)fraction + 0.5) * unit);
  g.overflows_on = (int)(params.max_code & 1);
  g.at_zero.steps = cf_power_of_two(52 - m);
  g.at_zero.lowest = g.whitepaper ? 1 : 2;
  g.at_zero.max = top * (1 + (double)fraction * unit);
  g.at_zero.holed = g.whitepaper || (flush && m > 0);
  g.at_zero.above = 2;
  g.at_zero.below = g.whitepaper ? 1 - unit : 0;
  /* half-way between the largest subnormal number, as IEEE 754 has it if they are zero, and the
   * smallest normal one; that itself rounds up, to the even code */
  g.at_zero.edge = g.whitepaper ? (3 - unit) / 2 : 2 - unit;
  g.at_zero.edge = cf_bits_to_double(cf_double_to_bits(g.at_zero.edge) - 1);
  if (g.no_zero) {
    g.at_zero.lowest = g.at_zero.above = 1;
    g.at_zero.holed = 1;
    g.at_zero.below = 0;
    g.at_zero.edge = -1;
  }
  return g;
}

/* Values times 2^-bias: the grid of a bias. */
static inline cf_grid cf_grid_at(const cf_grids *grids, int bias) {
  const double scale = cf_power_of_two(-bias);
  cf_grid g = grids->at_zero;
  g.lowest *= scale;
  g.max *= scale;
  g.edge *= scale;
  g.above *= scale;
  g.below *= scale;
  return g;
}

/* Whether a magnitude becomes an infinity or NaN at a bias. */
static inline int cf_grid_overflows(const cf_grids *grids, int bias, double magnitude) {
  const double overflow = grids->overflow * cf_power_of_two(-bias);
  return !grids->saturates &&
         (magnitude > overflow || (magnitude == overflow && grids->overflows_on));
}

/* The value nearest a magnitude, the largest one if it is beyond. */
static inline double cf_grid_round(const cf_grid *g, double magnitude) {
  double binade = cf_bits_to_double(cf_double_to_bits(magnitude) & (uint64_t)0x7FF << 52);
  if (binade < g->lowest) binade = g->lowest;
  const double anchor = binade * g->steps;
  double value = (magnitude + anchor) - anchor;
  if (g->holed) {
    if (magnitude > g->edge)
      value = value < g->above ? g->above : value;
    else
      value = value < g->below ? value : g->below;
  }
  return value < g->max ? value : g->max;
}

#endif
