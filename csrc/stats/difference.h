/* The difference of the squared errors of two ways to round the same values, summed exactly: which
 * of two sums is less where their roundings may decide. */
#ifndef CF_STATS_DIFFERENCE_H
#define CF_STATS_DIFFERENCE_H

#include <stdint.h>

enum { CF_DIFFERENCE_BINS = 80 };

typedef struct cf_difference {
  int64_t bins[CF_DIFFERENCE_BINS];
  int origin, count, room;
} cf_difference;

/* Nothing yet; of values that are float64, or float32. */
cf_difference cf_difference_new(int is_float64);

/* Add (p - x)^2 - (q - x)^2, x being a finite value and p and q values of a format; of float32 so
 * often as the weight says, a number from 0 to 2^53. */
void cf_difference_add(cf_difference *sum, double x, double p, double q, int is_float64,
                       double weight);

/* -1, 0 or 1; carries are taken. */
int cf_difference_sign(cf_difference *sum);

#endif
