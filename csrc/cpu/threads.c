/* Threads for the length of one call, by POSIX or Windows. */
#include "cpu/threads.h"

#include "cfloat.h"

typedef struct job {
  void (*task)(void *context, int index);
  void *context;
  int index;
} job;

#if defined(_WIN32)
#include <process.h>
#include <windows.h>

typedef HANDLE thread;

static unsigned __stdcall run_job(void *argument) {
  const job *mine = argument;
  mine->task(mine->context, mine->index);
  return 0;
}

static int start(thread *started, job *mine) {
  *started = (HANDLE)_beginthreadex(NULL, 0, run_job, mine, 0, NULL);
  return *started != NULL;
}

static void join(thread started) {
  WaitForSingleObject(started, INFINITE);
  CloseHandle(started);
}

#else
#include <pthread.h>

typedef pthread_t thread;

static void *run_job(void *argument) {
  const job *mine = argument;
  mine->task(mine->context, mine->index);
  return NULL;
}

static int start(thread *started, job *mine) {
  return pthread_create(started, NULL, run_job, mine) == 0;
}

static void join(thread started) { pthread_join(started, NULL); }
#endif

int cf_useful_threads(double work, double least, int threads) {
  /* comparisons and exact products alone, which trap in no mode of the caller's */
  if (threads < 2 || work < 2 * least) return 1;
  if (threads > CF_MAX_THREADS) threads = CF_MAX_THREADS;
  while (work < threads * least) --threads;
  return threads;
}

void cf_run_threads(int count, void (*task)(void *context, int index), void *context) {
  job jobs[CF_MAX_THREADS];
  thread threads[CF_MAX_THREADS];
  int started = 1;
  for (; started < count; ++started) {
    jobs[started].task = task;
    jobs[started].context = context;
    jobs[started].index = started;
    if (!start(&threads[started], &jobs[started])) break;
  }
  task(context, 0);
  for (int i = started; i < count; ++i) task(context, i);
  for (int i = 1; i < started; ++i) join(threads[i]);
}
