/* Exact differences of squared errors, in integers. */
#include "stats/difference.h"

#include <math.h>

#include "stats/grid.h"

/* An exact sum of products of two values, one of a format: bin i counts 2^(32 * i - origin), and
 * has room for 2^30 products before carries are taken.  Those of float64 are multiples of 2^-1223
 * and below 2^1153, and have 52 bits below their first.  Of float32 fewer bins are needed. */
enum { SUM_ORIGIN = 1344, SUM_ORIGIN_FLOAT32 = 448, SUM_BINS_FLOAT32 = 26 };
enum { SUM_ROOM = 1 << 28 };

cf_difference cf_difference_new(int is_float64) {
  cf_difference sum = {{0},
                       is_float64 ? SUM_ORIGIN : SUM_ORIGIN_FLOAT32,
                       is_float64 ? CF_DIFFERENCE_BINS : SUM_BINS_FLOAT32,
                       SUM_ROOM};
  return sum;
}

static void take_carries(cf_difference *sum) {
  for (int i = 0; i + 1 < sum->count; ++i) {
    const int64_t lower = (int64_t)((uint64_t)sum->bins[i] & 0xFFFFFFFFu);
    sum->bins[i + 1] += (sum->bins[i] - lower) / ((int64_t)1 << 32);
    sum->bins[i] = lower;
  }
  sum->room = SUM_ROOM;
}

/* Add a product times 2^shift. */
static void add_exactly(cf_difference *sum, double product, int shift_by) {
  const uint64_t bits = cf_double_to_bits(product), one = 1;
  if (bits << 1 == 0) return;
  const uint64_t mantissa = (bits & ((one << 52) - 1)) | one << 52;
  const int place = cf_exponent_of(fabs(product)) - 52 + sum->origin + shift_by;
  const int shift = place % 32;
  const uint64_t low = (mantissa & 0xFFFFFFFFu) << shift, high = (mantissa >> 32) << shift;
  const uint64_t parts[3] = {low & 0xFFFFFFFFu, (low >> 32) + (high & 0xFFFFFFFFu), high >> 32};
  int64_t *bins = sum->bins + place / 32;
  if (sum->room-- == 0) {
    take_carries(sum);
    --sum->room;
  }
  for (int i = 0; i < 3; ++i) bins[i] += bits >> 63 ? -(int64_t)parts[i] : (int64_t)parts[i];
}

int cf_difference_sign(cf_difference *sum) {
  if (sum->room == SUM_ROOM) return 0; /* nothing was added */
  take_carries(sum);
  if (sum->bins[sum->count - 1] < 0) return -1;
  for (int i = 0; i < sum->count; ++i)
    if (sum->bins[i] != 0) return 1;
  return 0;
}

/* Add (p - x)^2 - (q - x)^2 as often as it counts, p and q being values of a format, and products
 * of any two of these numbers float64. */
static void add_products(cf_difference *sum, double x, double p, double q, double often) {
  add_exactly(sum, p * p * often, 0);
  add_exactly(sum, -q * q * often, 0);
  add_exactly(sum, -2 * x * p * often, 0);
  add_exactly(sum, 2 * x * q * often, 0);
}

/* A count of more than once has 11 bits at most where it is multiplied, so that products of two
 * with WEIGHT_BITS of it are float64. */
enum { WEIGHT_BITS = 21 };
void cf_difference_add(cf_difference *sum, double x, double p, double q, int is_float64,
                       double weight) {
  if (!is_float64) {
    if (weight <= 1) {
      add_products(sum, x, p, q, 1);
      return;
    }
    uint64_t count = (uint64_t)weight;
    for (double unit = 1; count != 0; unit *= 1 << WEIGHT_BITS, count >>= WEIGHT_BITS)
      add_products(sum, x, p, q, unit * (double)(count & ((1 << WEIGHT_BITS) - 1)));
    return;
  }
  add_exactly(sum, p * p, 0);
  add_exactly(sum, -q * q, 0);
  /* nearer 1 if it is large or small, and in two parts of 27 bits at most; those of a format have
   * 16.  Small ones meet two values where there is no zero */
  const int shift = fabs(x) > 0x1p500 ? 700 : fabs(x) < 0x1p-500 ? -700 : 0;
  const double near = shift ? x * cf_power_of_two(-shift) : x;
  const double high = cf_bits_to_double(cf_double_to_bits(near) & ~(((uint64_t)1 << 27) - 1));
  const double parts[2] = {high, near - high};
  for (int i = 0; i < 2; ++i) {
    add_exactly(sum, -2 * parts[i] * p, shift);
    add_exactly(sum, 2 * parts[i] * q, shift);
  }
}
