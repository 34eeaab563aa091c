/* A pool of threads, by POSIX or Windows. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu */
#elif !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* clock_gettime, beside C11 */
#endif
#include "cpu/threads.h"

#include "cfloat.h"
#include "cpu/atomics.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"

/* The largest tasks take some 160 KiB of their stacks, and more under sanitizers. */
enum { STACK_BYTES = 1 << 20 };

/* For how long who waits looks again and again, before it sleeps: a worker for the next call, and a
 * caller for the workers' last shares.  Calls of small work that follow each other within RECENT
 * are worth waking workers for. */
enum { WORKER_SPINS_US = 50, CALLER_SPINS_US = 20, RECENT_US = 200 };

/* After a start that failed, so many calls go by before another is tried. */
enum { CALLS_AFTER_FAILURE = 64 };

/* The systems. */

typedef struct worker worker;
static void work(worker *w);

#if defined(_WIN32)
#include <process.h>
#include <windows.h>

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
typedef HANDLE thread;

static void init(mutex *m, condition *c) {
  InitializeSRWLock(m);
  InitializeConditionVariable(c);
}
static void lock(mutex *m) { AcquireSRWLockExclusive(m); }
static void unlock(mutex *m) { ReleaseSRWLockExclusive(m); }
static void sleep_on(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static void signal_one(condition *c) { WakeConditionVariable(c); }
static void give_way(void) { SwitchToThread(); }
static int this_cpu(void) { return (int)GetCurrentProcessorNumber(); }

static unsigned microseconds(void) {
  LARGE_INTEGER ticks, per_second;
  QueryPerformanceCounter(&ticks);
  QueryPerformanceFrequency(&per_second);
  /* by an integer that has all of it: what is beyond 32 bits is to be dropped, and not to become
   * the largest number, as it does where a float becomes an unsigned int */
  return (unsigned)(uint64_t)((double)ticks.QuadPart * 1e6 / (double)per_second.QuadPart);
}

static unsigned __stdcall run_worker(void *argument) {
  work(argument);
  return 0;
}

static int start(thread *started, worker *w) {
  *started = (HANDLE)_beginthreadex(NULL, STACK_BYTES, run_worker, w,
                                    STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
  return *started != NULL;
}

static int this_process(void) { return 1; } /* there is no fork */

/* A library's last function, DllMain, cannot wait for threads: it stays loaded. */
static void prepare_process(void) {
  static const char here;
  HMODULE module;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                     (LPCWSTR)(const void *)&here, &module);
}

#else
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
typedef pthread_t thread;

static void init(mutex *m, condition *c) {
  pthread_mutex_init(m, NULL);
  pthread_cond_init(c, NULL);
}
static void lock(mutex *m) { pthread_mutex_lock(m); }
static void unlock(mutex *m) { pthread_mutex_unlock(m); }
static void sleep_on(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static void signal_one(condition *c) { pthread_cond_signal(c); }
static void give_way(void) { sched_yield(); }

/* Or -1, for any. */
static int this_cpu(void) {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

#if defined(__linux__) && !defined(__ANDROID__)
#define CHOOSES_CPUS
#endif

static unsigned microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (unsigned)now.tv_sec * 1000000u + (unsigned)(now.tv_nsec / 1000);
}

static void *run_worker(void *argument) {
  work(argument);
  return NULL;
}

static int start(thread *started, worker *w) {
  /* those that a thread raises by what it does itself, which a debugger wants to see */
  static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  sigset_t signals, before;
  pthread_attr_t attributes;
  sigfillset(&signals);
  for (size_t i = 0; i < sizeof own / sizeof *own; ++i) sigdelset(&signals, own[i]);
  if (pthread_attr_init(&attributes) != 0) return 0;
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_sigmask(SIG_SETMASK, &signals, &before);
  int status = pthread_create(started, &attributes, run_worker, w);
  /* glibc takes thread-local memory of all libraries from the stack, and it may be more than that
   */
  if (status == EINVAL) status = pthread_create(started, NULL, run_worker, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return status == 0;
}

/* How often this process's ancestors forked since they loaded the core, as far as handlers of fork
 * are called. */
static cf_atomic forks;
static void count_fork(void) { cf_atomic_add(&forks, 1); }

/* Not 0, and another in a child than in any process whose memory it may have.  The number of a
 * process alone would not do: in a new namespace, of a container say, it may be the parent's, as it
 * may be the grandparent's when that has ended. */
static int this_process(void) {
  return (int)(((unsigned)getpid() & 0x3FFFFFu) << 9 | ((unsigned)cf_atomic_load(&forks) & 0x1FFu));
}

static void prepare_process(void) {
#if !defined(__APPLE__) /* which would call the handler of a library that is no longer there */
  static int registered;
  if (!registered) registered = pthread_atfork(NULL, NULL, count_fork) == 0;
#else
  (void)count_fork;
#endif
}
#endif

static void pause_a_little(void) {
#if defined(CF_X86_64)
  _mm_pause();
#elif defined(CF_ARM64) && !defined(CF_MSVC)
  __asm__ volatile("isb" : : : "memory"); /* yield takes no time on most */
#elif defined(CF_ARM64)
  __isb(_ARM64_BARRIER_SY);
#endif
}

/* A worker keeps nothing of an earlier call: each has the floating-point modes of its own. */
#if defined(CF_X86_64) || defined(CF_ARM64)
typedef uint64_t modes;
static void get_modes(modes *m) { *m = cf_all_float_modes(); }
static void set_modes(const modes *m) { cf_float_modes_leave(*m); }
#else
#include <fenv.h>
typedef int modes; /* the direction of rounding, which is all that C knows */
static void get_modes(modes *m) { *m = fegetround(); }
static void set_modes(const modes *m) {
  if (*m != fegetround()) fesetround(*m);
}
#endif

/* The pool. */

struct worker {
  cf_atomic next;   /* of the shares that it begins with, the first that nobody took */
  cf_atomic sleeps; /* or is about to */
  int index;
  unsigned seen; /* the number of the last call that it knew of */
  thread thread;
  mutex mutex;
  condition called;
#if defined(CHOOSES_CPUS)
  int is_confined; /* to other CPUs than a caller's, */
  cpu_set_t own;   /* and had these; both under the mutex */
#endif
  char apart[2 * 64]; /* from the next one's */
};

typedef struct gate {
  unsigned number;      /* of the call, modulo 2^13 */
  int threads, entered; /* that may take part: 0 if none may; and that do, but for the caller */
} gate;

/* Nothing of it is behind a lock that a child could find locked for ever: owner says which process
 * holds it, and in another one it counts for nothing. */
static struct {
  cf_atomic owner;   /* 0, or this_process() while a call has it */
  int process;       /* whose workers they are */
  int started;       /* workers 1 to started are there */
  int failed;        /* calls until the next try to start one */
  cf_atomic last_us; /* when work was last shared, or small work might have been */
  cf_atomic alone;   /* the last that was asked about is such work, which its caller does alone */
  char apart[64];
  cf_atomic gate;
  char apart_too[64];
  /* the call */
  void (*task)(void *context, int share, int thread);
  void *context;
  int each, threads;
  modes modes;
  char apart_as_well[64];
  cf_atomic cpu;     /* that the caller began on */
  cf_atomic crowded; /* a worker took part on that very CPU */
  cf_atomic left;    /* workers that are done with it */
  cf_atomic waiting; /* the caller sleeps, or is about to */
  cf_atomic stopping;
  mutex mutex;
  condition done;
  worker workers[CF_MAX_THREADS]; /* the first stands for whoever calls */
} pool;

static int pack(gate g) {
  return (int)(g.number << 18 | (unsigned)g.threads << 9 | (unsigned)g.entered);
}
static gate unpack(int packed) {
  const unsigned bits = (unsigned)packed;
  return (gate){bits >> 18 & 0x1FFFu, (int)(bits >> 9 & 0x1FFu), (int)(bits & 0x1FFu)};
}
static gate read_gate(void) { return unpack(cf_atomic_load(&pool.gate)); }

/* Whether the thread that is waited for may need this CPU.  Others' threads wait for the end of the
 * spinning: were the CPU theirs, it would be so for milliseconds. */
static int is_on_callers_cpu(void) { return this_cpu() == cf_atomic_load(&pool.cpu); }
static int is_crowded(void) { return cf_atomic_load(&pool.crowded); }

/* Begin a time of spinning, and whether it lasts. */
typedef struct spinning {
  unsigned start, turns;
} spinning;
static int spin(spinning *s, unsigned us, int (*is_needed)(void)) {
  enum { TURNS = 16 }; /* that are short beside a look at the clock */
  if (s->turns == 0) s->start = microseconds();
  pause_a_little();
  if (++s->turns % TURNS != 0) return 1;
  if (is_needed()) give_way();
  return microseconds() - s->start < us;
}

static void take_shares(int thread) {
  const int threads = pool.threads, each = pool.each;
  for (int i = 0; i < threads; ++i) {
    const int of = thread + i < threads ? thread + i : thread + i - threads;
    cf_atomic *const next = &pool.workers[of].next;
    while (cf_atomic_load(next) < each) {
      const int share = cf_atomic_add(next, 1);
      if (share < each) pool.task(pool.context, of * each + share, thread);
    }
  }
}

static void wake(worker *w) {
  if (!cf_atomic_load(&w->sleeps)) return;
  lock(&w->mutex); /* so that it sleeps by now, or has seen what it is woken for */
  unlock(&w->mutex);
  signal_one(&w->called);
}

/* Each wakes two more, the caller the first two. */
static void wake_next(int index, int threads) {
  if (2 * index + 1 < threads) wake(&pool.workers[2 * index + 1]);
  if (2 * index + 2 < threads) wake(&pool.workers[2 * index + 2]);
}

/* The CPUs of workers.  Linux may wake one on the CPU of the caller, and leave it there for
 * milliseconds, waiting for the call to end. */
#if defined(CHOOSES_CPUS)
/* Keep a worker that sleeps off one of its CPUs, if it has others, until it is awake. */
static void confine(worker *w, int cpu) {
  lock(&w->mutex);
  if (cf_atomic_load(&w->sleeps) && !w->is_confined && cpu >= 0 && cpu < CPU_SETSIZE &&
      pthread_getaffinity_np(w->thread, sizeof w->own, &w->own) == 0 &&
      CPU_ISSET((size_t)cpu, &w->own)) {
    cpu_set_t others = w->own;
    CPU_CLR((size_t)cpu, &others);
    w->is_confined =
        CPU_COUNT(&others) > 0 && pthread_setaffinity_np(w->thread, sizeof others, &others) == 0;
  }
  unlock(&w->mutex);
}

#if defined(CF_TESTED)
cf_atomic cf_woken_apart;
#endif

/* This worker's, under its mutex. */
static void free_from(worker *w) {
  if (!w->is_confined) return;
  w->is_confined = 0;
#if defined(CF_TESTED)
  if (!is_on_callers_cpu()) cf_atomic_add(&cf_woken_apart, 1);
#endif
  pthread_setaffinity_np(pthread_self(), sizeof w->own, &w->own);
}
#else
static void confine(worker *w, int cpu) {
  (void)w;
  (void)cpu;
}
static void free_from(worker *w) { (void)w; }
#endif

/* The caller's. */
static void wake_first(int cpu, int threads) {
  for (int i = 1; i <= 2 && i < threads; ++i) {
    worker *w = &pool.workers[i];
    if (!cf_atomic_load(&w->sleeps)) continue;
    confine(w, cpu);
    wake(w);
  }
}

/* The next call, or 0 threads and the same number to stop. */
static gate await_call(worker *w) {
  spinning s = {0, 0};
  gate now;
  while (spin(&s, WORKER_SPINS_US, is_on_callers_cpu)) {
    now = read_gate();
    if (now.number != w->seen || cf_atomic_load(&pool.stopping)) return now;
  }
  lock(&w->mutex);
  cf_atomic_store(&w->sleeps, 1);
  for (;;) {
    now = read_gate();
    if (now.number != w->seen || cf_atomic_load(&pool.stopping)) break;
    sleep_on(&w->called, &w->mutex);
  }
  cf_atomic_store(&w->sleeps, 0);
  free_from(w);
  unlock(&w->mutex);
  return now;
}

/* Take part, if there is a part to take. */
static void enter(worker *w, gate now) {
  while (w->index < now.threads) {
    gate entered = now;
    ++entered.entered;
    if (cf_atomic_replace(&pool.gate, pack(now), pack(entered))) {
      const modes own = pool.modes;
      if (is_on_callers_cpu()) cf_atomic_store(&pool.crowded, 1);
      set_modes(&own);
      take_shares(w->index);
      cf_atomic_add(&pool.left, 1);
      if (cf_atomic_load(&pool.waiting)) {
        lock(&pool.mutex);
        unlock(&pool.mutex);
        signal_one(&pool.done);
      }
      break;
    }
    now = read_gate();
  }
  w->seen = now.number;
}

static void work(worker *w) {
  for (;;) {
    const gate now = await_call(w);
    if (cf_atomic_load(&pool.stopping)) return;
    wake_next(w->index, now.threads);
    enter(w, now);
  }
}

/* Make the pool this call's, unless it is another's. */
static int acquire(void) {
  const int process = this_process(), owner = cf_atomic_load(&pool.owner);
  if (owner == process || !cf_atomic_replace(&pool.owner, owner, process)) return 0;
  if (pool.process == process) return 1;
  /* none yet, or the parent's, whose threads are not here */
  prepare_process();
  /* and of one that was being started */
  for (int i = 1; i <= pool.started + 1 && i < CF_MAX_THREADS; ++i)
    cf_atomic_store(&pool.workers[i].sleeps, 0);
  pool.process = process;
  pool.started = pool.failed = 0;
  cf_atomic_store(&pool.waiting, 0);
  cf_atomic_store(&pool.stopping, 0);
  init(&pool.mutex, &pool.done);
  return 1;
}

#if defined(CF_TESTED)
int cf_threads_to_start = 10 * CF_MAX_THREADS;
#endif

static void start_workers(int threads) {
  if (pool.failed > 0) {
    --pool.failed;
    return;
  }
  while (pool.started + 1 < threads) {
    worker *w = &pool.workers[pool.started + 1];
    w->index = pool.started + 1;
    w->seen = read_gate().number;
    init(&w->mutex, &w->called);
#if defined(CHOOSES_CPUS)
    w->is_confined = 0;
#endif
#if defined(CF_TESTED)
    if (cf_threads_to_start <= 0 || cf_threads_to_start-- <= 0) {
      pool.failed = CALLS_AFTER_FAILURE;
      return;
    }
#endif
    if (!start(&w->thread, w)) {
      pool.failed = CALLS_AFTER_FAILURE;
      return;
    }
    ++pool.started;
  }
}

static int now_us(void) { return (int)(microseconds() & 0x7FFFFFFFu); }

void cf_done_alone(void) {
  if (cf_atomic_load(&pool.alone)) cf_atomic_store(&pool.last_us, now_us());
}

static void set_alone(int alone) {
  if (cf_atomic_load(&pool.alone) != alone) cf_atomic_store(&pool.alone, alone);
}

void cf_run_shares(int threads, int each, void (*task)(void *context, int share, int thread),
                   void *context) {
  if (threads < 2 || !acquire()) {
    for (int share = 0; share < threads * each; ++share) task(context, share, 0);
    cf_done_alone();
    return;
  }
  if (pool.started + 1 < threads) start_workers(threads);
  pool.task = task;
  pool.context = context;
  pool.each = each;
  pool.threads = threads;
  get_modes(&pool.modes);
  for (int i = 0; i < threads; ++i) cf_atomic_store(&pool.workers[i].next, i == 0);
  const int cpu = this_cpu();
  cf_atomic_store(&pool.cpu, cpu);
  cf_atomic_store(&pool.crowded, 0);
  cf_atomic_store(&pool.left, 0);
  gate now = read_gate();
  now.number = (now.number + 1) & 0x1FFFu;
  now.threads = threads;
  now.entered = 0;
  cf_atomic_store(&pool.gate, pack(now));
  wake_first(cpu, threads);
  task(context, 0, 0);
  take_shares(0);
  now.threads = 0;
  const int entered = unpack(cf_atomic_exchange(&pool.gate, pack(now))).entered;
  spinning s = {0, 0};
  int left;
  while ((left = cf_atomic_load(&pool.left)) < entered && spin(&s, CALLER_SPINS_US, is_crowded))
    continue;
  if (left < entered) {
    lock(&pool.mutex);
    cf_atomic_store(&pool.waiting, 1);
    while (cf_atomic_load(&pool.left) < entered) sleep_on(&pool.done, &pool.mutex);
    cf_atomic_store(&pool.waiting, 0);
    unlock(&pool.mutex);
  }
  cf_atomic_store(&pool.last_us, now_us());
  cf_atomic_store(&pool.owner, 0);
}

typedef struct plain_task {
  void (*task)(void *context, int index);
  void *context;
} plain_task;

static void run_plain_task(void *context, int share, int thread) {
  const plain_task *t = context;
  (void)thread;
  t->task(t->context, share);
}

void cf_run_threads(int count, void (*task)(void *context, int index), void *context) {
  plain_task t = {task, context};
  cf_run_shares(count, 1, run_plain_task, &t);
}

/* Whether workers for small work are awake, or will be of use to the calls that follow. */
static int are_at_hand(void) {
  const int now = now_us();
  const int last = cf_atomic_exchange(&pool.last_us, now);
  return ((unsigned)(now - last) & 0x7FFFFFFFu) < RECENT_US;
}

int cf_useful_threads(double work, double least, int threads) {
  /* comparisons and exact products alone, which trap in no mode of the caller's */
  const int is_worth_it = threads > 1 && work >= 2 * least;
  const int alone = is_worth_it && work < CF_WORTH_WAKING * least && !are_at_hand();
  set_alone(alone);
  if (!is_worth_it || alone) return 1;
  if (threads > CF_MAX_THREADS) threads = CF_MAX_THREADS;
  while (work < threads * least) --threads;
  return threads;
}

#if defined(__GNUC__) && !defined(_WIN32)
/* When the library is unloaded, nothing of it may run.  At the end of a process that would not
 * matter, but which of the two it is cannot be told. */
__attribute__((destructor)) static void stop_workers(void) {
  const int process = this_process();
  /* for good: calls that come yet, of threads that outlive the main one, do without */
  if (!cf_atomic_replace(&pool.owner, 0, process) || pool.process != process) return;
  cf_atomic_store(&pool.stopping, 1);
  for (int i = 1; i <= pool.started; ++i) wake(&pool.workers[i]);
  for (int i = 1; i <= pool.started; ++i) pthread_join(pool.workers[i].thread, NULL);
}
#endif
