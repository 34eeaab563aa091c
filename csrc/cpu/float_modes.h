/* Floating-point modes: in those that are set here nothing traps, subnormals count, and sums are
 * rounded to nearest. */
#ifndef CF_CPU_FLOAT_MODES_H
#define CF_CPU_FLOAT_MODES_H

#include <stdint.h>

#include "cpu/target.h"

#if defined(CF_X86_64)
#include <xmmintrin.h>

static inline uint64_t cf_float_modes(void) { return _mm_getcsr(); }
static inline void cf_restore_float_modes(uint64_t modes) { _mm_setcsr((unsigned)modes); }
enum { CF_MODES_NEAREST = _MM_MASK_MASK | _MM_ROUND_NEAREST };

#elif defined(CF_ARM64)
#if defined(CF_MSVC)
#include <intrin.h>

static inline uint64_t cf_float_modes(void) { return (uint64_t)_ReadStatusReg(ARM64_FPCR); }
static inline void cf_restore_float_modes(uint64_t modes) {
  _WriteStatusReg(ARM64_FPCR, (__int64)modes);
}
#else
static inline uint64_t cf_float_modes(void) {
  uint64_t modes;
  __asm__ volatile("mrs %0, fpcr" : "=r"(modes));
  return modes;
}
static inline void cf_restore_float_modes(uint64_t modes) {
  __asm__ volatile("msr fpcr, %0" : : "r"(modes) : "memory");
}
#endif
enum { CF_MODES_NEAREST = 0 };

#else
/* What the caller has is left alone. */
static inline uint64_t cf_float_modes(void) { return 0; }
static inline void cf_restore_float_modes(uint64_t modes) { (void)modes; }
enum { CF_MODES_NEAREST };
#endif

/* Set them, and return those before, which cf_restore_float_modes takes. */
static inline uint64_t cf_set_default_float_modes(void) {
  const uint64_t before = cf_float_modes();
  cf_restore_float_modes(CF_MODES_NEAREST);
  return before;
}

/* These, and those of the unit for long double, which cf_float_modes_leave takes. */
uint64_t cf_all_float_modes(void);

#endif
