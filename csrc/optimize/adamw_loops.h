/* The loops over float32 that a step of AdamW needs, as an instruction set provides them.
 *
 * Each element is computed by itself, in the order that cf_adamw_update has in cfloat_api.h, and
 * "fused" there is one rounding: so every instruction set has the same bits.  Pointers need no
 * alignment, but for first and second. */
#ifndef CF_OPTIMIZE_ADAMW_LOOPS_H
#define CF_OPTIMIZE_ADAMW_LOOPS_H

#include <stddef.h>

#include "cfloat.h"

/* A piece's elements; those of vectors that are longer than this are a divisor of it. */
enum { CF_ADAMW_PIECE = 2048 };

/* What is the same for all elements of a step; the fields of cf_adamw that say how to compute, as
 * float32, with the powers of two in place of their exponents. */
typedef struct cf_adamw_rule {
  /* first = base + weight * (gradient - first), base being the gradient or the moment */
  float first_weight;
  int from_gradient;
  float second_decay, second_weight;
  float before, after; /* what stored second moments are multiplied by, and those to be stored */
  float decay, rate, root_scale, eps;
} cf_adamw_rule;

typedef struct cf_adamw_loops {
  /* Widen the largest finite magnitudes of moments as they will be: peaks[0] of the first, peaks[1]
   * of the second before it is multiplied. */
  void (*peaks)(const cf_adamw_rule *rule, const float *first, const float *second,
                const float *gradient, size_t count, float *peaks);
  /* Update moments, which are float32 here, and parameters. */
  void (*update)(const cf_adamw_rule *rule, float *first, float *second, const float *gradient,
                 float *parameter, size_t count);
} cf_adamw_loops;

/* Without a single slot where the target architecture is another. */
extern const cf_adamw_loops cf_adamw_loops_portable, cf_adamw_loops_neon, cf_adamw_loops_avx2,
    cf_adamw_loops_avx512;

/* The table in use. */
const cf_adamw_loops *cf_active_adamw_loops(void);

#endif
