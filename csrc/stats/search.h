/* The search for the bias of the least squared error of one group of values. */
#ifndef CF_STATS_SEARCH_H
#define CF_STATS_SEARCH_H

#include "stats/error_kernels.h"

/* What is the same for all groups. */
typedef struct cf_search {
  const cf_error_kernels *kernels;
  const cf_format *format;
  cf_grids grids;
  int default_bias, source_type; /* CF_FLOAT32 or CF_FLOAT64 */
  const double *weights;         /* how often each value counts; or NULL: once */
  int threads;                   /* for one group */
} cf_search;

/* Of checked arguments, for one thread. */
cf_search cf_search_of(const cf_format *format, int default_bias, int source_type);

/* The bias that cf_least_errors finds, of `count` contiguous, aligned values; with the error there,
 * in units of 4^*scale, unless `error` is NULL.  Under the default floating-point modes. */
int cf_search_group(const cf_search *s, const void *values, size_t count, double *error,
                    int *scale);

/* The same of `rows` groups of equally many values, `pitch` bytes from each other: biases[i *
 * step], and of float32 errors[i], which may be NULL. */
void cf_search_rows(const cf_search *s, const char *values, int64_t pitch, int64_t rows,
                    size_t size, int16_t *biases, int64_t step, double *errors);

/* Errors at each bias of the format, its least first, in units of 4^scale; returns the scale, which
 * is 0 of float32. */
int cf_search_errors(const cf_search *s, const void *values, size_t count, double *errors);

#endif
