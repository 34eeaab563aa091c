/* The calling thread's floating-point modes, for callers that compute outside of this core. */
#include "cpu/float_modes.h"

#include "cfloat.h"

/* Sums of the x87 unit, which long double is, are rounded as its own control word says. */
#if defined(CF_X86_64) && (defined(__GNUC__) || defined(__clang__))
static uint64_t x87_control(void) {
  uint16_t control;
  __asm__ volatile("fnstcw %0" : "=m"(control));
  return control;
}
static void set_x87_control(uint64_t modes) {
  const uint16_t control = (uint16_t)modes;
  __asm__ volatile("fldcw %0" : : "m"(control));
}
enum { X87_ROUNDING = 0xC00, X87_MASKS = 0x3F };
#else
static uint64_t x87_control(void) { return 0; }
static void set_x87_control(uint64_t modes) { (void)modes; }
enum { X87_ROUNDING = 0, X87_MASKS = 0 };
#endif

#if defined(CF_X86_64)
enum { RAISED = 0x3F }; /* what operations have raised is there too, and is no mode */
#else
enum { RAISED = 0 };
#endif

/* Both are of 32 bits at most. */
uint64_t cf_all_float_modes(void) { return x87_control() << 32 | (cf_float_modes() & 0xFFFFFFFFu); }

static uint64_t default_x87_control(uint64_t control) {
  return (control & ~(uint64_t)X87_ROUNDING) | X87_MASKS;
}

int cf_float_modes_check(void) {
  const uint64_t control = x87_control();
  const int are_default = (cf_float_modes() & ~(uint64_t)RAISED) == (uint64_t)CF_MODES_NEAREST &&
                          control == default_x87_control(control);
  return are_default ? CF_OK : CF_OTHER_MODES;
}

int cf_float_modes_enter(uint64_t *before) {
  *before = cf_all_float_modes();
  set_x87_control(default_x87_control(*before >> 32));
  cf_set_default_float_modes();
  return CF_OK;
}

int cf_float_modes_leave(uint64_t before) {
  set_x87_control(before >> 32);
  cf_restore_float_modes(before & 0xFFFFFFFFu);
  return CF_OK;
}

int cf_float_modes_set(int direction, int flushing) {
  uint64_t control = default_x87_control(x87_control()), modes = (uint64_t)CF_MODES_NEAREST;
  if (direction < CF_MODE_NEAREST || direction > CF_MODE_TOWARD_ZERO) return CF_BAD_ROUNDING;
#if defined(CF_X86_64)
  const uint64_t fields[] = {0, 2, 1, 3};
  control |= fields[direction] << 10 & X87_ROUNDING;
  modes |= fields[direction] << 13;
  if (flushing) modes |= 0x8040; /* FTZ and DAZ */
#elif defined(CF_ARM64)
  modes |= (uint64_t)direction << 22;
  if (flushing) modes |= (uint64_t)1 << 24; /* FZ */
#else
  if (direction != CF_MODE_NEAREST || flushing) return CF_OTHER_MODES;
#endif
  set_x87_control(control);
  cf_restore_float_modes(modes);
  return CF_OK;
}
