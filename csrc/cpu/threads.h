/* Threads that share the work of a call, how many of them are useful, and who takes what.
 *
 * They are a pool that lasts.  Workers are started when a call first needs so many, spin for some
 * microseconds after a call, and then sleep until the next.  What can be relied on:
 *
 * - The calling thread works too, and waits for nobody who has not begun: a worker that comes late,
 *   or never started, leaves its shares to the others.
 * - The pool serves one call at a time.  A second one meanwhile, be it from another thread or from
 *   inside a task, does all of its work itself and waits for nobody.
 * - A child process after fork() has none of its parent's workers, and makes a pool of its own.
 * - On Linux the workers that the caller itself wakes are kept off its CPU until they are awake, if
 *   they may run on others.
 * - Workers block signals, so that handlers run in the program's own threads, and compute under the
 *   floating-point modes of whoever calls.
 * - Where the core is a shared library and is unloaded, or the process exits, sleeping workers are
 *   stopped and joined; Windows keeps the library instead.  Nothing waits for a call that runs
 * while the process exits.
 *
 * Which thread takes which share is left to chance, so that no result may depend on it. */
#ifndef CF_CPU_THREADS_H
#define CF_CPU_THREADS_H

#include <stdint.h>

#include "core/integers.h"
#include "cpu/atomics.h"

/* Run task(context, 0) to task(context, count - 1), at the same time where threads are free, and
 * return when all are done.  The calling thread runs the first.  No task may wait for another.
 * count is at most CF_MAX_THREADS. */
void cf_run_threads(int count, void (*task)(void *context, int index), void *context);

/* The same for each * threads shares, by as many threads: task(context, share, thread), where no
 * two run at the same time for one thread, 0 to threads - 1.  Shares are taken by whoever is free,
 * and thread i begins with those from i * each on: more of them mean less waiting for the slowest
 * thread. each * threads is at most 2^24. */
void cf_run_shares(int threads, int each, void (*task)(void *context, int share, int thread),
                   void *context);

/* How many of `threads` are to share so much work, each of which is to have at least `least` of it:
 * about 10 microseconds' worth.  To wake workers that sleep takes longer than that, and so work
 * that is less than CF_WORTH_WAKING such shares is shared only if workers are awake, or if the last
 * of such work was just before.  1..CF_MAX_THREADS. */
enum { CF_WORTH_WAKING = 10 };
int cf_useful_threads(double work, double least, int threads);

/* Tell that the work for which cf_useful_threads found one thread is done, if neither function
 * above did it: calls that follow come after its end, however long it took. */
void cf_done_alone(void);

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

/* Tests alone define CF_TESTED: how many more workers may be started, before each start fails. */
#if defined(CF_TESTED)
extern int cf_threads_to_start;
#if defined(__linux__) && !defined(__ANDROID__)
extern cf_atomic cf_woken_apart; /* how many workers were, off the caller's CPU */
#endif
#endif

#endif
