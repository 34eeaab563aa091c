/* The loops of a step of SGD of optimize/loops.h, written once for every instruction set, whose
 * file has defined what optimize/adamw_lanes-inl.h says. */
#ifndef CF_OPTIMIZE_SGD_LANES_INL_H
#define CF_OPTIMIZE_SGD_LANES_INL_H

#include "cpu/compiler.h"

/* The momentum of LANES elements, of that before, and the gradient that goes into it. */
static CF_ALWAYS_INLINE floats new_momentum(const cf_sgd_rule *rule, const float *momentum,
                                            const float *gradient, const float *parameter,
                                            floats *decayed) {
  *decayed = f_mul(f_load(gradient), f_set1(rule->sign));
  if (rule->decay != 0) *decayed = f_fma(f_load(parameter), f_set1(rule->decay), *decayed);
  if (!rule->has_momentum) return *decayed;
  const floats kept = f_mul(f_load(momentum), f_set1(rule->kept));
  return f_fma(*decayed, f_set1(rule->weight), kept);
}

static CF_ALWAYS_INLINE void sgd_lanes(const cf_sgd_rule *rule, float *momentum,
                                       const float *gradient, float *parameter) {
  floats decayed;
  const floats made = new_momentum(rule, momentum, gradient, parameter, &decayed);
  const floats change = rule->nesterov ? f_fma(made, f_set1(rule->kept), decayed) : made;
  f_store(parameter, f_positive_nan(f_fma(change, f_set1(-rule->rate), f_load(parameter))));
  f_store(momentum, f_positive_nan(made));
}

/* The last elements, less than LANES, with zeros after them. */
static void stage(float to[3][LANES], const float *momentum, const float *gradient,
                  const float *parameter, size_t count) {
  memcpy(to[0], momentum, count * sizeof *momentum);
  memcpy(to[1], gradient, count * sizeof *gradient);
  memcpy(to[2], parameter, count * sizeof *parameter);
}

static float ISA_NAME(sgd_peak)(const cf_sgd_rule *rule, const float *momentum,
                                const float *gradient, const float *parameter, size_t count) {
  floats found = f_set1(0), unused;
  float rest[3][LANES] = {{0}}, of_lanes[LANES], peak = 0;
  size_t i = 0;
  for (; count - i >= LANES; i += LANES)
    found = f_max(found, f_finite_magnitude(new_momentum(rule, momentum + i, gradient + i,
                                                         parameter + i, &unused)));
  if (i < count) {
    stage(rest, momentum + i, gradient + i, parameter + i, count - i);
    found =
        f_max(found, f_finite_magnitude(new_momentum(rule, rest[0], rest[1], rest[2], &unused)));
  }
  f_store(of_lanes, found);
  for (int k = 0; k < LANES; ++k)
    if (of_lanes[k] > peak) peak = of_lanes[k];
  return peak;
}

static void ISA_NAME(sgd_update)(const cf_sgd_rule *rule, float *momentum, const float *gradient,
                                 float *parameter, size_t count) {
  float rest[3][LANES] = {{0}};
  size_t i = 0;
  for (; count - i >= LANES; i += LANES) sgd_lanes(rule, momentum + i, gradient + i, parameter + i);
  if (i == count) return;
  stage(rest, momentum + i, gradient + i, parameter + i, count - i);
  sgd_lanes(rule, rest[0], rest[1], rest[2]);
  memcpy(momentum + i, rest[0], (count - i) * sizeof *momentum);
  memcpy(parameter + i, rest[2], (count - i) * sizeof *parameter);
}

#define CF_SGD_LOOPS ISA_NAME(sgd_peak), ISA_NAME(sgd_update)

#endif
