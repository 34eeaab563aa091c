/* Biases by magnitudes: of the largest one, or of a percentile, as cf_choose_biases says. */
#ifndef CF_STATS_MAGNITUDES_H
#define CF_STATS_MAGNITUDES_H

#include <stdint.h>

#include "stats/error_kernels.h"

/* What is the same for all groups of elements. */
typedef struct cf_range_rule {
  const cf_format *format;
  double max; /* the largest value, at bias 0 */
  int method; /* CF_CHOOSE_MAX, CF_CHOOSE_MX or CF_CHOOSE_PERCENTILE */
  double percentile;
  int default_bias;
  int is_float64; /* what magnitudes are of; or float32 */
  const cf_magnitude_loops *loops;
  int64_t size, needed_of_size; /* of most groups; and how many that percentage of these are */
} cf_range_rule;

cf_range_rule cf_range_rule_of(const cf_format *format, double max, int default_bias, int method,
                               double percentile, int is_float64, int64_t size);

/* The choice for one group: begun with the largest of its finite magnitudes, by its bits, and how
 * many it has that are finite; and then, while `limits` isn't 0, gone on with how many magnitudes
 * are not above each of so many limits.  At last `bias` is the choice. */
typedef struct cf_range_choice {
  int bias;
  int limits;
  int64_t limit[CF_LIMITS]; /* by their bits; 0 of those that aren't in use */
  /* at `within` the range has enough of the group, or is the largest; at `beyond` it has not */
  int within, beyond, step, asked_zeros, asked[CF_LIMITS];
  int64_t needed;
} cf_range_choice;

void cf_begin_choice(const cf_range_rule *rule, cf_range_choice *choice, int64_t peak,
                     int64_t finite);
void cf_go_on_with_choice(const cf_range_rule *rule, cf_range_choice *choice,
                          const int64_t counts[CF_LIMITS]);

/* The choice for contiguous elements, float32 or float64 of any alignment. */
int cf_choose_by_magnitudes(const cf_range_rule *rule, const char *values, int64_t count,
                            int threads);

#endif
