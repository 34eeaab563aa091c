/* Integers that threads share.  Each operation is sequentially consistent: a thread that stores one
 * and then reads another, while a second thread does so the other way round, sees the second's
 * store or is seen.  MSVC has C11's atomics only as an experiment. */
#ifndef CF_CPU_ATOMICS_H
#define CF_CPU_ATOMICS_H

#include "cpu/target.h"

#if defined(CF_MSVC)
#include <intrin.h>

typedef volatile long cf_atomic;

static inline int cf_atomic_load(cf_atomic *from) { return (int)_InterlockedOr(from, 0); }
static inline void cf_atomic_store(cf_atomic *to, int value) { _InterlockedExchange(to, value); }
/* These return what was there before. */
static inline int cf_atomic_exchange(cf_atomic *to, int value) {
  return (int)_InterlockedExchange(to, value);
}
static inline int cf_atomic_add(cf_atomic *to, int value) {
  return (int)_InterlockedExchangeAdd(to, value);
}
/* Whether it was as expected, and so replaced. */
static inline int cf_atomic_replace(cf_atomic *in, int expected, int value) {
  return _InterlockedCompareExchange(in, value, expected) == expected;
}

#else
#include <stdatomic.h>

typedef atomic_int cf_atomic;

static inline int cf_atomic_load(cf_atomic *from) { return atomic_load(from); }
static inline void cf_atomic_store(cf_atomic *to, int value) { atomic_store(to, value); }
/* These return what was there before. */
static inline int cf_atomic_exchange(cf_atomic *to, int value) {
  return atomic_exchange(to, value);
}
static inline int cf_atomic_add(cf_atomic *to, int value) { return atomic_fetch_add(to, value); }
/* Whether it was as expected, and so replaced. */
static inline int cf_atomic_replace(cf_atomic *in, int expected, int value) {
  return atomic_compare_exchange_strong(in, &expected, value);
}
#endif

#endif
