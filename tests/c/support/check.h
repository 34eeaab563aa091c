/* Counting checks, reporting those that fail, and random numbers that are the same in every run. */
#ifndef SUPPORT_CHECK_H
#define SUPPORT_CHECK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __GNUC__
#define CHECK_PRINTF __attribute__((format(printf, 4, 5)))
#else
#define CHECK_PRINTF
#endif

/* Counts a check.  One that does not hold is reported with what follows: a printf format, and
 * values. */
#define CHECK(condition, ...)                                    \
  do {                                                           \
    if (condition)                                               \
      ++checks_passed;                                           \
    else                                                         \
      check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (0)

extern unsigned long checks_passed, checks_failed;

/* Whether to leave most of what is exhaustive out: CFLOAT_THIN_TESTS is set, to anything, where an
 * emulator is slow.  No conversion, mode or length is left out everywhere. */
int is_thinned(void);

/* Whether matrix products are to be fewer: where tests are thinned, and under the sanitizers, which
 * the plain builds go with. */
int is_brief(void);

/* The test that the reports from here on belong to, and its instruction set. */
void check_begin(const char *test, const char *isa);

void check_failed(const char *file, int line, const char *condition, const char *format,
                  ...) CHECK_PRINTF;

/* malloc for tests: never NULL, not even for 0 bytes. */
void *allocate(size_t size);

/* The next 64 random bits of a state that may start anywhere, and a random number below n > 0. */
uint64_t random_bits(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t n);

#endif
