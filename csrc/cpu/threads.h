/* Threads for the length of one call, how many of them are useful, and who takes what.  No pool is
 * kept: it would not survive fork(). */
#ifndef CF_CPU_THREADS_H
#define CF_CPU_THREADS_H

#include <stdint.h>

#include "core/integers.h"

/* Run task(context, 0) to task(context, count - 1) at the same time and return when all are done.
 * The calling thread runs the first, and whatever no thread could be started for.  count is at most
 * CF_MAX_THREADS. */
void cf_run_threads(int count, void (*task)(void *context, int index), void *context);

/* How many of `threads` to start for so much work, each of which is to have at least `least` of it:
 * starting one costs some tens of microseconds.  1..CF_MAX_THREADS. */
int cf_useful_threads(double work, double least, int threads);

/* Elements begin to end - 1 of `count` are the share of thread `index`, in whole units of so many
 * elements but for the last.  Nobody's is empty if there are as many units as threads. */
static inline void cf_share_of(int64_t count, int64_t unit, int threads, int index, int64_t *begin,
                               int64_t *end) {
  const int64_t units = cf_divide_up(count, unit);
  *begin = units * index / threads * unit;
  *end = cf_at_most(units * (index + 1) / threads * unit, count);
}

/* The most that a share has. */
static inline int64_t cf_max_share(int64_t count, int64_t unit, int threads) {
  return cf_divide_up(cf_divide_up(count, unit), threads) * unit;
}

#endif
