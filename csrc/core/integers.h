/* Arithmetic of sizes and counts, none negative, and of strides. */
#ifndef CF_CORE_INTEGERS_H
#define CF_CORE_INTEGERS_H

#include <stdint.h>

static inline int64_t cf_at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cf_divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* of b, from a on */
static inline int64_t cf_multiple(int64_t a, int64_t b) { return cf_divide_up(a, b) * b; }
static inline int64_t cf_magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

#endif
