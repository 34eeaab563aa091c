/* Threads for the length of one call.  No pool is kept: it would not survive fork(). */
#ifndef CF_CPU_THREADS_H
#define CF_CPU_THREADS_H

/* Run task(context, 0) to task(context, count - 1) at the same time and return when all are done.
 * The calling thread runs the first, and whatever no thread could be started for.  count is at most
 * CF_MAX_THREADS. */
void cf_run_threads(int count, void (*task)(void *context, int index), void *context);

#endif
