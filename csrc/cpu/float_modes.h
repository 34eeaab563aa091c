/* Floating-point modes: the default ones, in which nothing traps, denormals count and sums are
 * rounded to nearest. */
#ifndef CF_CPU_FLOAT_MODES_H
#define CF_CPU_FLOAT_MODES_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>

/* Set them, and return what cf_restore_modes takes. */
static inline uint64_t cf_default_modes(void) {
  const unsigned state = _mm_getcsr();
  _mm_setcsr(_MM_MASK_MASK | _MM_ROUND_NEAREST);
  return state;
}
static inline void cf_restore_modes(uint64_t state) { _mm_setcsr((unsigned)state); }

#elif defined(__aarch64__)

static inline uint64_t cf_default_modes(void) {
  uint64_t state;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
  return state;
}
static inline void cf_restore_modes(uint64_t state) {
  __asm__ volatile("msr fpcr, %0" : : "r"(state) : "memory");
}

#else
/* What the caller has is left alone. */
static inline uint64_t cf_default_modes(void) { return 0; }
static inline void cf_restore_modes(uint64_t state) { (void)state; }
#endif

#endif
