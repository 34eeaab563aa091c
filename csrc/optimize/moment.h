/* What steps of optimizers have in common: moments that are codes, and shares of the work. */
#ifndef CF_OPTIMIZE_MOMENT_H
#define CF_OPTIMIZE_MOMENT_H

#include "cfloat.h"
#include "convert/operation.h"

/* A moment while a step is done. */
typedef struct cf_moment_work {
  cf_operation decode, encode;
  int16_t before, after; /* biases */
  char *codes;
} cf_moment_work;

/* CF_BAD_FORMAT, CF_BAD_BIAS or CF_BAD_ROUNDING; the bias is looked at if the moment is there.
 * Unless the step is an update, `encode` rounds toward zero, and the new bias is not looked at. */
int cf_moment_prepare(cf_moment_work *made, const cf_moment *given, int is_there, int updates,
                      int rounding);

/* Elements at..at + count - 1, to float32 and from it; `offset` is of the whole's random words. */
void cf_moment_decode(const cf_moment_work *of, int64_t at, float *values, int64_t count);
void cf_moment_encode(const cf_moment_work *of, int64_t at, const float *values, uint64_t offset,
                      int64_t count);

/* Whether codes are of 2 bytes, and are decoded by vectors of what is plain; and, in an update, are
 * rounded by vectors and 32 random bits each as well. */
int cf_moment_is_in_lanes(const cf_moment_work *of);
int cf_moment_is_drawn_in_lanes(const cf_moment_work *of);

/* How many threads are useful of *threads, and into how many shares each has its work. */
int cf_step_shares(int64_t count, int *threads);

#endif
