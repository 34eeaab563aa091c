/* Arithmetic of codes and numbers as float32, piece by piece in the nearest cache. */
#include "arithmetic/work.h"

#include "arithmetic/loops.h"
#include "convert/kernels.h"
#include "convert/prepare.h"
#include "cpu/float_modes.h"

/* Whether float32 has what it takes, for operands of which something is known: results rounded to
 * nearest, or for codes such that rounding them once more, in any mode but the stochastic one, is
 * rounding the exact ones.
 *
 * Products are exact there, and sums and roots rounded to odd.  A quotient is that rounded to
 * nearest: where it is not on the grid of m + 3 bits on which all decisions are (the hole's middle
 * has as many), it is farther from it than half a unit of 24 bits, if divisors have 21 - m.
 * Nothing on the way is subnormal or too large.  What is neither finite nor zero, or an exact x - x
 * toward negative, is left to the definition. */
int cf_takes_lanes(const cf_work *work) {
  const cf_work_operand *a = &work->operands[0], *b = &work->operands[1], *c = &work->operands[2];
  const int into_codes = work->result_type == CF_CODES;
  const int m = into_codes ? work->format->mantissa_bits : 0;
  const int mode = cf_rounding_mode(work->rounding);
  if (work->result_type == CF_FLOAT64 || mode == CF_STOCHASTIC) return 0;
  if (!into_codes && (mode != CF_TIES_TO_EVEN || work->counts_flags)) return 0;
  for (int j = 0; j < cf_operand_count(work->function); ++j) {
    const cf_work_operand *x = &work->operands[j];
    if (x->digits == 0 || x->digits > 24 || x->lowest < -126 || x->top > 127) return 0;
  }
  switch (work->function) {
    case CF_ADD:
    case CF_SUBTRACT: return a->top < 127 && b->top < 127 && mode != CF_TOWARD_NEGATIVE;
    case CF_MULTIPLY:
      return (!into_codes || a->digits + b->digits <= 24) && a->lowest + b->lowest >= -126 &&
             a->top + b->top <= 127;
    case CF_DIVIDE:
      return (!into_codes || b->digits + m + 3 <= 24) && a->lowest - b->top >= -126 &&
             a->top - b->lowest <= 127;
    case CF_SQRT: return a->lowest >= -70; /* what a root has lost is 2^-48 of its square */
    case CF_FMA:
      return into_codes && a->digits + b->digits <= 24 && a->lowest + b->lowest >= -126 &&
             a->top + b->top < 127 && c->top < 127 && mode != CF_TOWARD_NEGATIVE;
    default: return 0;
  }
}

/* Elements that are worked on at a time, in the nearest cache. */
enum { TILE = 1024 };

typedef struct tile {
  float operands[CF_MAX_OPERANDS][TILE];
  float results[TILE];
} tile;

/* A number that is one for all elements, as often as a tile has elements. */
static void fill_tile(const cf_work *work, tile *t) {
  for (int j = 0; j < cf_operand_count(work->function); ++j) {
    const cf_work_operand *x = &work->operands[j];
    if (x->at.type == CF_CODES) continue;
    double value;
    memcpy(&value, x->at.elements, sizeof value);
    for (int i = 0; i < TILE; ++i) t->operands[j][i] = (float)value;
  }
}

static void negate(float *values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &values[i], 4);
    bits ^= 0x80000000u;
    memcpy(&values[i], &bits, 4);
  }
}

/* What the definition makes of elements whose result is an infinity or NaN. */
static void redo_nonfinite(const cf_work *work, int64_t begin, int64_t count, float *results,
                           unsigned *signals) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &results[i], 4);
    if ((bits & 0x7F800000u) != 0x7F800000u) continue;
    cf_real x[CF_MAX_OPERANDS];
    for (int j = 0; j < cf_operand_count(work->function); ++j)
      x[j] = cf_load_element(&work->operands[j], begin + i);
    const cf_real result = cf_compute_element(work->function, x, 0, signals);
    unsigned raised = 0;
    bits = (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, result, CF_TIES_TO_EVEN, 0,
                                   &raised);
    memcpy(&results[i], &bits, 4);
  }
}

/* Elements of a tile in float32, for work that cf_takes_lanes; in the default modes. */
static void compute_floats(const cf_work *work, tile *t, int64_t begin, int64_t count,
                           float *results, unsigned *signals) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const int to_odd = work->result_type == CF_CODES;
  const size_t n = (size_t)count;
  float *a = t->operands[0], *b = t->operands[1], *c = t->operands[2];
  for (int j = 0; j < cf_operand_count(work->function); ++j) {
    const cf_work_operand *x = &work->operands[j];
    if (x->at.type != CF_CODES) continue;
    /* x + x, and x * x */
    if (j == 1 && x->at.elements == work->operands[0].at.elements && x->at.stride != 0 &&
        x->format == work->operands[0].format && x->bias == work->operands[0].bias &&
        work->function != CF_SUBTRACT)
      b = a;
    else
      cf_load_floats(x, begin, count, t->operands[j]);
  }
  switch (work->function) {
    case CF_SUBTRACT:
      /* of a number once, and then again for the next tile */
      negate(b, count);
      (to_odd ? loops->add_to_odd : loops->add)(a, b, results, n);
      if (work->operands[1].at.type != CF_CODES) negate(b, count);
      break;
    case CF_ADD: (to_odd ? loops->add_to_odd : loops->add)(a, b, results, n); break;
    case CF_MULTIPLY: loops->multiply(a, b, results, n); break;
    case CF_DIVIDE: loops->divide(a, b, results, n); break;
    case CF_SQRT: (to_odd ? loops->root_to_odd : loops->root)(a, results, n); break;
    default:
      loops->multiply(a, b, results, n);
      loops->add_to_odd(results, c, results, n);
      break;
  }
  if (work->may_be_nonfinite && loops->has_nonfinite(results, n))
    redo_nonfinite(work, begin, count, results, signals);
}

/* Elements begin to end - 1, rounded into codes of which results is the first one's place, or as
 * float32 for work that cf_takes_lanes. */
void cf_compute_tiles(const cf_work *work, int64_t begin, int64_t end, char *results,
                      cf_flags *flags, unsigned *signals) {
  const int into_codes = work->result_type == CF_CODES;
  const uint64_t modes = cf_set_default_float_modes();
  tile t;
  if (work->in_lanes) fill_tile(work, &t);
  if (!into_codes) {
    for (int64_t first = begin; first < end; first += TILE) {
      const int64_t count = cf_at_most(end - first, TILE);
      compute_floats(work, &t, first, count, t.results, signals);
      memcpy(results + (first - begin) * 4, t.results, (size_t)count * 4);
    }
  } else {
    const cf_rule rule = cf_rule_of(work->format, work->rounding, work->seed, NULL);
    const int16_t bias = (int16_t)work->bias;
    cf_encode_kernel *encode =
        cf_encode_kernel_of(work->format, &rule, work->in_lanes ? CF_FLOAT32 : CF_FLOAT64);
    for (int64_t first = begin; first < end; first += TILE) {
      const int64_t count = cf_at_most(end - first, TILE);
      const uint64_t position = work->offset + (uint64_t)first;
      char *to = results + (first - begin) * (int64_t)rule.code_size;
      if (work->in_lanes) {
        compute_floats(work, &t, first, count, t.results, signals);
        encode(&rule, &bias, 0, t.results, position, to, (size_t)count, flags);
      } else {
        double values[TILE];
        cf_compute_values(work, first, first + count, (char *)values, NULL, signals);
        encode(&rule, &bias, 0, values, position, to, (size_t)count, flags);
      }
    }
  }
  cf_restore_float_modes(modes);
}
