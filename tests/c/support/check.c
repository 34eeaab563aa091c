#include "support/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A broken operation fails for millions of operands; so many are shown of one test. */
enum { SHOWN_PER_TEST = 20 };

unsigned long checks_passed, checks_failed;

static const char *current_test, *current_isa;
static int shown;

int is_thinned(void) {
  static int thinned = -1;
  if (thinned < 0) thinned = getenv("CFLOAT_THIN_TESTS") != NULL;
  return thinned;
}

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif

int is_brief(void) {
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
  return 1;
#else
  return is_thinned();
#endif
}

void check_begin(const char *test, const char *isa) {
  current_test = test;
  current_isa = isa;
  shown = 0;
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
  va_list values;
  ++checks_failed;
  if (shown > SHOWN_PER_TEST) return;
  if (shown++ == SHOWN_PER_TEST) {
    printf("%s (%s): further failures are counted, not shown\n", current_test, current_isa);
    return;
  }
  printf("%s:%d: %s (%s): not so: %s: ", file, line, current_test, current_isa, condition);
  va_start(values, format);
  vprintf(format, values);
  va_end(values);
  printf("\n");
}

void *allocate(size_t size) {
  void *memory = malloc(size != 0 ? size : 1);
  if (memory == NULL) {
    printf("out of memory\n");
    exit(EXIT_FAILURE);
  }
  return memory;
}

/* SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA
 * 2014). */
uint64_t random_bits(uint64_t *state) {
  uint64_t bits = *state += 0x9E3779B97F4A7C15u;
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EBu;
  return bits ^ bits >> 31;
}

uint64_t random_below(uint64_t *state, uint64_t n) { return random_bits(state) % n; }
