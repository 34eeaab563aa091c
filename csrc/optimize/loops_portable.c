/* The loops of optimize/loops.h in plain C. */
#include <math.h>
#include <string.h>

#include "core/format.h"
#include "optimize/loops.h"

enum { LANES = 1 };
typedef float floats;
#define ISA_NAME(slot) slot##_portable

static inline floats f_set1(float x) { return x; }
static inline floats f_load(const float *p) {
  float x;
  memcpy(&x, p, sizeof x);
  return x;
}
static inline void f_store(float *p, floats v) { memcpy(p, &v, sizeof v); }
static inline floats f_add(floats a, floats b) { return a + b; }
static inline floats f_sub(floats a, floats b) { return a - b; }
static inline floats f_mul(floats a, floats b) { return a * b; }
static inline floats f_div(floats a, floats b) { return a / b; }
static inline floats f_max(floats a, floats b) { return a > b ? a : b; }
static inline floats f_sqrt(floats v) { return sqrtf(v); }

/* fmaf, which is slow where the processor has none: the product is exact in float64, and the sum,
 * rounded to odd there, rounds to float32 as the exact one does. */
static inline floats f_fma(floats a, floats b, floats c) {
  const double product = (double)a * (double)b, sum = product + (double)c;
  const double part = sum - product;
  const double lost = (product - (sum - part)) + ((double)c - part);
  uint64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  if ((lost > 0 || lost < 0) && (bits & 1) == 0) bits += (lost > 0) == (sum > 0) ? 1 : (uint64_t)-1;
  double to_odd;
  memcpy(&to_odd, &bits, sizeof to_odd);
  return (float)to_odd;
}

static inline floats f_finite_magnitude(floats v) {
  const float magnitude = fabsf(v);
  return magnitude < INFINITY ? magnitude : 0;
}
static inline floats f_positive_nan(floats v) { return v == v ? v : CF_FLOAT32_NAN; }

#include "optimize/adamw_lanes-inl.h"
#include "optimize/sgd_lanes-inl.h"

const cf_optimizer_loops cf_optimizer_loops_portable = {CF_ADAMW_LOOPS, CF_SGD_LOOPS};
