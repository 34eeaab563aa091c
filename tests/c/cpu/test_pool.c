/* The pool of threads behind cf_run_threads and cf_run_shares: every share is done once, whatever
 * numbers follow each other, whoever calls at the same time, from inside a task, where no thread
 * can be started, and on both sides of a fork. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* on which CPUs a thread may run */
#elif !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* more of the system than C11 has */
#endif
#include "cpu/threads.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "cpu/atomics.h"
#include "support/check.h"
#include "support/tests.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define HAS_PTHREADS
#endif

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN
#elif defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#elif __has_feature(address_sanitizer)
#define UNDER_ASAN
#endif
#endif

enum { SHARES_MAX = 1 << 12 };

/* What is done of a call: by whom each share, and whether a thread's number was ever that of two at
 * the same time. */
typedef struct call {
  int counts[SHARES_MAX]; /* not atomic: the pool says that nobody else is there */
  cf_atomic busy[CF_MAX_THREADS];
  cf_atomic clashes;
  int threads, work;
} call;

static void do_share(void *context, int share, int thread) {
  call *c = context;
  if (thread < 0 || thread >= c->threads || cf_atomic_exchange(&c->busy[thread], 1) != 0) {
    cf_atomic_add(&c->clashes, 1);
    return;
  }
  volatile int turns = 0;
  for (int i = 0; i < c->work; ++i) turns = i;
  (void)turns;
  ++c->counts[share];
  cf_atomic_store(&c->busy[thread], 0);
}

static void do_index(void *context, int index) {
  call *c = context;
  ++c->counts[index];
}

static int all_done_once(const call *c, int count) {
  for (int i = 0; i < SHARES_MAX; ++i)
    if (c->counts[i] != (i < count)) return 0;
  return 1;
}

/* Whether one call does what it is to. */
static int run_shares(call *c, int threads, int each, int work) {
  memset(c, 0, sizeof *c);
  c->threads = threads;
  c->work = work;
  cf_run_shares(threads, each, do_share, c);
  return all_done_once(c, threads * each) && cf_atomic_load(&c->clashes) == 0;
}

static int run_threads(call *c, int count) {
  memset(c, 0, sizeof *c);
  cf_run_threads(count, do_index, c);
  return all_done_once(c, count);
}

/* So many that the numbers of calls begin anew, and workers sleep in between now and then. */
static void many_calls(call *c) {
  static const int numbers[] = {2, 5, 3, 1, 4, 2, 2, 5};
  const int calls = is_brief() ? 4000 : 20000;
  int wrong = 0;
  for (int i = 0; i < calls; ++i) {
    const int threads = numbers[i % 8];
    wrong += i % 3 == 0 ? !run_threads(c, threads)
                        : !run_shares(c, threads, 1 + i % 7, i % 97 == 0 ? 20000 : i % 11);
  }
  CHECK(wrong == 0, "%d of %d calls", wrong, calls);
  CHECK(run_shares(c, CF_MAX_THREADS, SHARES_MAX / CF_MAX_THREADS, 10), "all threads");
  CHECK(run_shares(c, 1, SHARES_MAX, 10), "the caller alone");
}

/* Tasks that call themselves. */
typedef struct outer {
  call inner[5];
  int wrong[5];
} outer;

static void do_outer(void *context, int index) {
  outer *o = context;
  o->wrong[index] = !run_shares(&o->inner[index], 3, 4, 100) + !run_threads(&o->inner[index], 5);
}

static void nested_calls(void) {
  outer *o = allocate(sizeof *o);
  for (int i = 0; i < 50; ++i) {
    memset(o->wrong, 0xFF, sizeof o->wrong);
    cf_run_threads(5, do_outer, o);
    for (int j = 0; j < 5; ++j) CHECK(o->wrong[j] == 0, "task %d", j);
  }
  free(o);
}

/* Work, and whether it is worth a thread. */
static void useful_numbers(void) {
  const double worth = CF_WORTH_WAKING * 100.0;
  CHECK(cf_useful_threads(99, 100, 8) == 1 && cf_useful_threads(199, 100, 8) == 1, "too little");
  CHECK(cf_useful_threads(worth, 100, 8) == 8 && cf_useful_threads(worth, 100, 2) == 2, "all");
  CHECK(cf_useful_threads(worth, 300, 8) >= 1 && cf_useful_threads(worth, 300, 8) <= 3, "some");
  CHECK(cf_useful_threads(1e9, 1, 1 << 20) == CF_MAX_THREADS, "no more than there may be");
  CHECK(cf_useful_threads(1e9, 1, 1) == 1 && cf_useful_threads(1e9, 1, -3) == 1, "one");
}

#if defined(HAS_PTHREADS)
static void rest(long milliseconds) {
  const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* Little work: alone if workers sleep, and by all if the last was just before. */
static void do_nothing(void *context, int index) {
  (void)context;
  (void)index;
}

static void little_work(void) {
  int together = 0;
  rest(20);
  CHECK(cf_useful_threads(200, 100, 2) == 1, "after a rest");
  for (int i = 0; i < 1000 && !together; ++i) together = cf_useful_threads(200, 100, 2) == 2;
  CHECK(together, "never shared");
  /* what follows at once is not late because it took the caller long */
  for (int way = 0; way < 2; ++way) {
    together = 0;
    for (int i = 0; i < 50 && !together; ++i) {
      rest(5);
      if (cf_useful_threads(200, 100, 2) != 1) continue;
      rest(2);
      if (way == 0)
        cf_done_alone();
      else
        cf_run_threads(1, do_nothing, NULL);
      together = cf_useful_threads(200, 100, 2) == 2;
    }
    CHECK(together, "never shared after one that took long, %d", way);
  }
}

/* What a worker finds itself in. */
typedef struct surroundings {
  pthread_t caller;
  cf_atomic workers, signals, roundings;
  int rounding;
} surroundings;

static void look_around(void *context, int index) {
  surroundings *s = context;
  sigset_t blocked;
  (void)index;
  rest(1);
  if (pthread_equal(pthread_self(), s->caller)) return;
  cf_atomic_add(&s->workers, 1);
  pthread_sigmask(SIG_SETMASK, NULL, &blocked);
  if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGALRM) ||
      !sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGSEGV))
    cf_atomic_add(&s->signals, 1);
  if (fegetround() != s->rounding) cf_atomic_add(&s->roundings, 1);
}

/* Until workers took part, which they do sooner or later. */
static int take_part(int rounding, const char *where) {
  surroundings s;
  memset(&s, 0, sizeof s);
  s.caller = pthread_self();
  s.rounding = rounding;
  for (int i = 0; i < 20000 && cf_atomic_load(&s.workers) < 3; ++i) /* a busy machine is late */
    cf_run_threads(3, look_around, &s);
  CHECK(cf_atomic_load(&s.workers) >= 3, "%s: no worker ever came", where);
  CHECK(cf_atomic_load(&s.signals) == 0, "%s: workers take signals", where);
  CHECK(cf_atomic_load(&s.roundings) == 0, "%s: not the caller's modes", where);
  return cf_atomic_load(&s.workers) >= 3;
}

static void surroundings_of_workers(void) {
  sigset_t mask_before, mask_after;
  pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
  take_part(FE_TONEAREST, "to nearest");
#if defined(FE_UPWARD)
  if (fesetround(FE_UPWARD) == 0) {
    take_part(FE_UPWARD, "upward");
    fesetround(FE_TONEAREST);
    take_part(FE_TONEAREST, "to nearest again");
  }
#endif
  pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
  CHECK(sigismember(&mask_before, SIGINT) == sigismember(&mask_after, SIGINT), "the caller's mask");
}

#if defined(__linux__) && !defined(__ANDROID__)
/* On which CPUs workers may run once they are awake. */
typedef struct place {
  pthread_t caller;
  cf_atomic took_part;
  cpu_set_t allowed;
} place;

static void look_where(void *context, int index) {
  place *p = context;
  (void)index;
  rest(1);
  if (pthread_equal(pthread_self(), p->caller)) return;
  sched_getaffinity(0, sizeof p->allowed, &p->allowed);
  cf_atomic_store(&p->took_part, 1);
}

static void workers_are_elsewhere(void) {
  cpu_set_t own, after;
  int found = 0, others = 0;
  if (sched_getaffinity(0, sizeof own, &own) != 0 || CPU_COUNT(&own) < 2 ||
      sched_setaffinity(0, sizeof own, &own) != 0) {
    printf("test_pool: workers cannot be kept off a CPU here\n");
    return;
  }
  cf_atomic_store(&cf_woken_apart, 0);
  for (int i = 0; i < 200 && !found; ++i) {
    place p;
    memset(&p, 0, sizeof p);
    p.caller = pthread_self();
    rest(2); /* workers sleep */
    cf_run_threads(2, look_where, &p);
    if (!cf_atomic_load(&p.took_part)) continue;
    others += !CPU_EQUAL(&p.allowed, &own);
    found = cf_atomic_load(&cf_woken_apart) > 0;
  }
  CHECK(found, "no worker was woken off the caller's CPU");
  CHECK(others == 0, "%d workers were not let go", others);
  sched_getaffinity(0, sizeof after, &after);
  CHECK(CPU_EQUAL(&own, &after), "the caller's CPUs are others");
}
#endif

/* Callers at the same time, with other numbers each. */
static void *call_often(void *context) {
  const int own = *(const int *)context;
  call *c = allocate(sizeof *c);
  intptr_t wrong = 0;
  for (int i = 0; i < 600; ++i) wrong += !run_shares(c, 2 + (own + i) % 4, 1 + i % 5, 200);
  free(c);
  return (void *)wrong;
}

static void many_callers(void) {
  enum { CALLERS = 5 };
  int own[CALLERS];
  pthread_t callers[CALLERS];
  for (int i = 0; i < CALLERS; ++i) {
    own[i] = i;
    if (pthread_create(&callers[i], NULL, call_often, &own[i]) != 0) abort();
  }
  for (int i = 0; i < CALLERS; ++i) {
    void *wrong;
    pthread_join(callers[i], &wrong);
    CHECK(wrong == NULL, "caller %d: %ld calls", i, (long)(intptr_t)wrong);
  }
}

/* Threads that cannot be started. */
static void failing_starts(call *c) {
  const int more = 10 * CF_MAX_THREADS; /* for those in children too */
  cf_threads_to_start = 0;
  for (int i = 0; i < 100; ++i)
    CHECK(run_shares(c, 7 + i % 3, 3, 50), "no more workers: call %d", i);
  cf_threads_to_start = 1;
  for (int i = 0; i < 200; ++i) CHECK(run_shares(c, 9, 3, 50), "one more: call %d", i);
  CHECK(cf_threads_to_start == 0, "none was started, or too many: %d left", cf_threads_to_start);
  cf_threads_to_start = more;
  for (int i = 0; i < 200; ++i) CHECK(run_shares(c, 9, 3, 50), "all: call %d", i);
  CHECK(more - cf_threads_to_start > 0, "never tried again");
}

#if !defined(UNDER_TSAN) /* which allows no threads in a child */
static cf_atomic stop;

static void *call_until_stopped(void *context) {
  call *c = allocate(sizeof *c);
  intptr_t wrong = 0;
  (void)context;
  while (!cf_atomic_load(&stop)) wrong += !run_shares(c, 5, 3, 500);
  free(c);
  return (void *)wrong;
}

/* By exit, so that what is done at the end of a process is done; but that of the sanitizer for
 * addresses looks for the parent's threads. */
static void leave(int status) {
#if defined(UNDER_ASAN)
  _exit(status);
#else
  exit(status);
#endif
}

/* What a child does; its status is the number of its first mistake. */
static int in_child(int generations) {
  call *c = allocate(sizeof *c);
  alarm(100);
  for (int i = 0; i < 50; ++i)
    if (!run_shares(c, 5, 3, 500)) return 1;
  if (!take_part(FE_TONEAREST, "in a child")) return 2;
  if (generations > 0) {
    int status = -1;
    const pid_t child = fork();
    if (child == 0) leave(in_child(generations - 1));
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 3;
  }
  for (int i = 0; i < 50; ++i)
    if (!run_shares(c, 3, 3, 500)) return 4;
  free(c);
  return 0;
}

static void forks(void) {
  pthread_t other;
  void *wrong;
  call *c = allocate(sizeof *c);
  cf_atomic_store(&stop, 0);
  if (pthread_create(&other, NULL, call_until_stopped, NULL) != 0) abort();
  for (int i = 0; i < 6; ++i) {
    int status = -1;
    const pid_t child = fork();
    if (child == 0) leave(in_child(i % 3));
    CHECK(child > 0, "no fork");
    CHECK(run_shares(c, 4, 3, 500), "the parent");
    waitpid(child, &status, 0);
    CHECK(status == 0, "child %d: status %x", i, (unsigned)status);
  }
  cf_atomic_store(&stop, 1);
  pthread_join(other, &wrong);
  CHECK(wrong == NULL, "%ld calls of another thread", (long)(intptr_t)wrong);
  take_part(FE_TONEAREST, "in the parent");
  free(c);
}
#else
static void forks(void) {}
#endif
#endif

void test_pool(void) {
  call *c = allocate(sizeof *c);
#if defined(HAS_PTHREADS)
  failing_starts(c); /* before there are as many workers as there may be */
#endif
  many_calls(c);
  nested_calls();
  useful_numbers();
#if defined(HAS_PTHREADS)
  little_work();
  surroundings_of_workers();
#if defined(__linux__) && !defined(__ANDROID__)
  workers_are_elsewhere();
#endif
  many_callers();
  if (!is_thinned()) forks(); /* emulators start no threads in a child */
#endif
  free(c);
}
