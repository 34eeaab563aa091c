/* The loops of stats/error_kernels.h in plain C. */
#include <math.h>
#include <string.h>

#include "stats/error_kernels.h"

typedef struct lanes {
  double of[CF_ERROR_LANES];
} lanes;
#define ISA_NAME(slot) slot##_portable

#define FOR_LANES for (int i = 0; i < CF_ERROR_LANES; ++i)

static inline lanes v_set1(double x) {
  lanes v;
  FOR_LANES v.of[i] = x;
  return v;
}
static inline lanes v_load(const double *p) {
  lanes v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline lanes v_load_float32(const float *p) {
  float of[CF_ERROR_LANES];
  lanes v;
  memcpy(of, p, sizeof of);
  FOR_LANES v.of[i] = (double)of[i];
  return v;
}
static inline void v_store(double *p, lanes v) { memcpy(p, &v, sizeof v); }
static inline lanes v_abs(lanes v) {
  FOR_LANES v.of[i] = fabs(v.of[i]);
  return v;
}
/* Magnitudes without their mantissas. */
static inline lanes v_binade(lanes v) {
  uint64_t bits[CF_ERROR_LANES];
  memcpy(bits, &v, sizeof v);
  FOR_LANES bits[i] &= (uint64_t)0x7FF << 52;
  memcpy(&v, bits, sizeof v);
  return v;
}

#define DEFINE_OPERATION(name, result)         \
  static inline lanes name(lanes a, lanes b) { \
    lanes v;                                   \
    FOR_LANES v.of[i] = result;                \
    return v;                                  \
  }
DEFINE_OPERATION(v_add, a.of[i] + b.of[i])
DEFINE_OPERATION(v_sub, a.of[i] - b.of[i])
DEFINE_OPERATION(v_mul, a.of[i] * b.of[i])
DEFINE_OPERATION(v_div, a.of[i] / b.of[i])
DEFINE_OPERATION(v_max, a.of[i] > b.of[i] ? a.of[i] : b.of[i])
DEFINE_OPERATION(v_min, a.of[i] < b.of[i] ? a.of[i] : b.of[i])

/* a < b ? x : y */
static inline lanes v_select_less(lanes a, lanes b, lanes x, lanes y) {
  lanes v;
  FOR_LANES v.of[i] = a.of[i] < b.of[i] ? x.of[i] : y.of[i];
  return v;
}
static inline int v_any_less(lanes a, lanes b) {
  int any = 0;
  FOR_LANES any |= a.of[i] < b.of[i];
  return any;
}

#include "stats/error_lanes-inl.h"
#include "stats/exact_lanes-inl.h"
#include "stats/magnitude_loops-inl.h"

const cf_error_kernels cf_error_kernels_portable = CF_ERROR_KERNELS;
