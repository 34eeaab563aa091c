/* The loops over float32 that steps of optimizers need, as an instruction set provides them.
 *
 * Each element is computed by itself, in the order that cfloat_api.h has for the step, and
 * "fused" there is one rounding: so every instruction set has the same bits.  Pointers need no
 * alignment, but for first and second. */
#ifndef CF_OPTIMIZE_LOOPS_H
#define CF_OPTIMIZE_LOOPS_H

#include <stddef.h>

#include "convert/kernels.h"

/* A piece's elements; those of vectors that are longer than this are a divisor of it. */
enum { CF_STEP_PIECE = 2048 };

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

/* As cf_adamw_rule, of a step of SGD. */
typedef struct cf_sgd_rule {
  float sign;         /* -1 where the parameters go along the gradient */
  float decay;        /* 0: the parameter is not looked at */
  int has_momentum;   /* or else it becomes the gradient */
  float kept, weight; /* of the momentum, and of the gradient in it */
  int nesterov;
  float rate;
} cf_sgd_rule;

/* A piece is looked through by blocks of so many. */
enum { CF_ADAMW_BLOCK = 64 };

/* Moments whose codes, as far as the mask goes, are at most these numbers, and gradients whose
 * magnitude's bits are; -1 for none.  A code has 1 or 2 bytes. */
typedef struct cf_adamw_bounds {
  int32_t of[2], gradient;
  int size[2];
  uint16_t mask[2];
} cf_adamw_bounds;

/* A moment of 16 bits, for a step that is done at once. */
typedef struct cf_moment_codes {
  const cf_rule *rule;
  int16_t before, after; /* biases */
  char *codes;
} cf_moment_codes;

typedef struct cf_optimizer_loops {
  /* How many elements, whole blocks, precede the first block of which any is beyond a bound, or the
   * last block if that is not whole. */
  size_t (*below)(const cf_adamw_bounds *bounds, const char *const *codes, const float *gradient,
                  size_t count);
  /* Widen the largest finite magnitudes of moments as they will be, and of gradients: peaks[0] of
   * the first, peaks[1] of the second before it is multiplied, peaks[2] of the gradient. */
  void (*peaks)(const cf_adamw_rule *rule, const float *first, const float *second,
                const float *gradient, size_t count, float *peaks);
  /* Update moments, which are float32 here, and parameters. */
  void (*update)(const cf_adamw_rule *rule, float *first, float *second, const float *gradient,
                 float *parameter, size_t count);
  /* Decode the two moments, update them and the parameters, and encode them by random words, the
   * first element's of number `position`, all in registers; NULL where there are none.  How many
   * elements were done: the others, less than a vector or two, are not.  Rules are such as
   * convert/kernels.h has for vectors, of codes of 2 bytes, plain, rounding by 32 random bits as
   * they are; the first of a signed format with subnormals. */
  size_t (*fused)(const cf_adamw_rule *rule, const cf_moment_codes *moments, uint64_t position,
                  const float *gradient, float *parameter, size_t count);
  /* A step of SGD: the largest finite magnitude of momenta as they will be; and that step, of
   * momenta that are float32 here.  A momentum is not looked at unless the rule has one. */
  float (*sgd_peak)(const cf_sgd_rule *rule, const float *momentum, const float *gradient,
                    const float *parameter, size_t count);
  void (*sgd_update)(const cf_sgd_rule *rule, float *momentum, const float *gradient,
                     float *parameter, size_t count);
  /* The same of a momentum's codes, in registers, as `fused` does both moments of AdamW, for rules
   * as it takes them; NULL where there are none.  How many elements were done.  The peak takes no
   * notice of how codes are rounded. */
  size_t (*sgd_peak_of_codes)(const cf_sgd_rule *rule, const cf_moment_codes *momentum,
                              const float *gradient, const float *parameter, size_t count,
                              float *peak);
  size_t (*sgd_fused)(const cf_sgd_rule *rule, const cf_moment_codes *momentum, uint64_t position,
                      const float *gradient, float *parameter, size_t count);
} cf_optimizer_loops;

/* Without a single slot where the target architecture is another. */
extern const cf_optimizer_loops cf_optimizer_loops_portable, cf_optimizer_loops_neon,
    cf_optimizer_loops_avx2, cf_optimizer_loops_avx512;

/* The table in use. */
const cf_optimizer_loops *cf_active_optimizer_loops(void);

#endif
