/* Exact arithmetic on arrays, rounded once: argument checks and the loop. */
#include <string.h>

#include "arithmetic/exact.h"
#include "arithmetic/loops.h"
#include "convert/kernels.h"
#include "convert/prepare.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#if defined(CF_X86_64)
#include <emmintrin.h>
#endif

enum { MAX_OPERANDS = 3 };

/* Threads of fewer elements are not worth it: of such that go by the definition, and of others. */
enum { ELEMENTS_PER_THREAD = 1 << 13, FAST_ELEMENTS_PER_THREAD = 1 << 15 };

/* An operand, and what is known of its values, which are codes' or a number's: finite ones are
 * multiples of 2^lowest below 2^top, of so many bits.  Nothing is known if digits is 0. */
typedef struct operand {
  cf_elements at;
  const cf_format *format; /* of CF_CODES */
  int bias;
  cf_params params;
  int digits, lowest, top;
} operand;

/* What is the same for all elements; and what threads have found. */
typedef struct arithmetic {
  int function, result_type, rounding; /* the type may be CF_CODES */
  int in_lanes;                        /* takes_lanes */
  int in_pairs;                        /* takes_pairs */
  int may_be_nonfinite;                /* so may results in lanes */
  operand operands[MAX_OPERANDS];
  const cf_format *format; /* of results that are codes */
  int bias;
  uint64_t seed, offset;
  char *results;
  int64_t count;
  int threads;
  int counts_flags;
  cf_flags flags[CF_MAX_THREADS];
  unsigned signals[CF_MAX_THREADS];
} arithmetic;

static int operand_count(int function) {
  switch (function) {
    case CF_FMA: return 3;
    case CF_SQRT:
    case CF_POSITIVE: return 1;
    default: return 2;
  }
}

static inline cf_real load(const operand *operand, int64_t i) {
  const char *element = (const char *)operand->at.elements + i * operand->at.stride;
  uint64_t bits64;
  uint32_t bits32;
  uint16_t bits16;
  uint8_t bits8;
  switch (operand->at.type) {
    case CF_CODES:
      if (operand->params.sign_mask + operand->params.magnitude_mask <= 0xFF) {
        memcpy(&bits8, element, 1);
        return cf_unpack(&operand->params, operand->bias, bits8);
      }
      memcpy(&bits16, element, 2);
      return cf_unpack(&operand->params, operand->bias, bits16);
    case CF_FLOAT64:
      memcpy(&bits64, element, 8);
      return cf_unpack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, bits64);
    case CF_INT64: memcpy(&bits64, element, 8); return cf_real_from_int64((int64_t)bits64);
    case CF_UINT64: memcpy(&bits64, element, 8); return cf_real_from_uint64(bits64);
    case CF_FLOAT32:
      memcpy(&bits32, element, 4);
      return cf_unpack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, bits32);
    case CF_INT32: memcpy(&bits32, element, 4); return cf_real_from_int64((int32_t)bits32);
    case CF_UINT32: memcpy(&bits32, element, 4); return cf_real_from_uint64(bits32);
    case CF_FLOAT16:
      memcpy(&bits16, element, 2);
      return cf_unpack(&CF_FLOAT16_PARAMS, CF_FLOAT16_BIAS, bits16);
    case CF_BFLOAT16:
      memcpy(&bits16, element, 2);
      return cf_unpack(&CF_BFLOAT16_PARAMS, CF_BFLOAT16_BIAS, bits16);
    case CF_INT16: memcpy(&bits16, element, 2); return cf_real_from_int64((int16_t)bits16);
    case CF_UINT16: memcpy(&bits16, element, 2); return cf_real_from_uint64(bits16);
    case CF_INT8: memcpy(&bits8, element, 1); return cf_real_from_int64((int8_t)bits8);
    default: memcpy(&bits8, element, 1); return cf_real_from_uint64(bits8);
  }
}

static inline cf_real compute(int function, const cf_real x[3], int zero_sign, unsigned *signals) {
  switch (function) {
    case CF_ADD: return cf_add(x[0], x[1], zero_sign, signals);
    case CF_SUBTRACT: {
      cf_real subtrahend = x[1];
      subtrahend.sign ^= 1;
      return cf_add(x[0], subtrahend, zero_sign, signals);
    }
    case CF_MULTIPLY: return cf_multiply_add(x[0], x[1], NULL, zero_sign, signals);
    case CF_DIVIDE: return cf_divide(x[0], x[1], signals);
    case CF_SQRT: return cf_sqrt(x[0], signals);
    case CF_FMA: return cf_multiply_add(x[0], x[1], &x[2], zero_sign, signals);
    default: return x[0].kind == CF_KIND_NAN ? cf_nan_real() : x[0];
  }
}

/* Rounded to odd in 53 bits.  What lies beyond float64's range rounds as its largest number does,
 * and what lies below its normal ones as one just above the smallest: to a format both are far out
 * of reach, and it is not told of a subnormal that no operand was. */
static uint64_t float64_to_odd(cf_real x) {
  const uint64_t smallest_normal = (uint64_t)1 << 52, sign_mask = CF_FLOAT64_PARAMS.sign_mask;
  unsigned raised = 0;
  const uint64_t bits =
      cf_round_pack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, x, CF_TO_ODD, 0, &raised);
  const uint64_t magnitude = bits & ~sign_mask;
  if (magnitude == 0 || magnitude >= smallest_normal) return bits;
  return (bits & sign_mask) | smallest_normal | 1;
}

/* Elements begin to end - 1 as float32 or, where the results are others, as float64 rounded to odd;
 * results is the first one's place.  function is a constant in each of the calls. */
static inline void compute_range(const arithmetic *work, int function, int64_t begin, int64_t end,
                                 char *results, cf_flags *flags, unsigned *signals) {
  const int zero_sign = work->rounding == CF_TOWARD_NEGATIVE;
  const int stochastic = cf_rounding_mode(work->rounding) == CF_STOCHASTIC;
  const int inputs = operand_count(function), wide = work->result_type != CF_FLOAT32;
  cf_stream stream = cf_stream_at(work->seed, work->offset + (uint64_t)begin);
  for (int64_t i = begin; i < end; ++i) {
    cf_real x[3];
    for (int j = 0; j < inputs; ++j) x[j] = load(&work->operands[j], i);
    cf_real result = compute(function, x, zero_sign, signals);
    result.subnormal = 0;
    if (wide) {
      const uint64_t bits = float64_to_odd(result);
      memcpy(results + (i - begin) * 8, &bits, 8);
    } else {
      unsigned raised = 0;
      const uint32_t word = stochastic ? cf_stream_next(&stream) : 0;
      const uint32_t bits = (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, result,
                                                    work->rounding, word, &raised);
      memcpy(results + (i - begin) * 4, &bits, 4);
      cf_count(flags, raised);
    }
  }
}

/* The short way of what compute_range does, in float64, for operands that float64 has and results
 * in the middle of its range.  What a result rounded to nearest leaves over is a float64 (Knuth's
 * sum, Dekker's product), and its sign tells which neighbour is the odd one.  In modes that are set
 * here, and where they can be. */
enum { PIECE = 256 };

static int takes_doubles(const arithmetic *work) {
#if defined(CF_X86_64) || defined(CF_ARM64)
  if (work->result_type == CF_FLOAT32) return 0;
  if (work->function < CF_ADD || work->function > CF_DIVIDE) return 0;
  for (int j = 0; j < 2; ++j) {
    const int type = work->operands[j].at.type;
    if (type != CF_FLOAT64 && type != CF_FLOAT32 && type != CF_INT32 && type != CF_CODES) return 0;
  }
  return 1;
#else
  (void)work;
  return 0;
#endif
}

/* The values of codes, of one bias, side by side or a single one. */
static void load_floats(const operand *operand, int64_t first, int64_t count, float *to) {
  const cf_rule rule = cf_rule_of(operand->format, CF_TIES_TO_EVEN, 0, NULL);
  const int16_t bias = (int16_t)operand->bias;
  const char *from = (const char *)operand->at.elements + first * operand->at.stride;
  const size_t own = operand->at.stride == 0 ? 1 : (size_t)count;
  cf_decode_kernel_of(operand->format, CF_FLOAT32)(&rule, &bias, 0, from, to, own, NULL);
  for (int64_t i = (int64_t)own; i < count; ++i) to[i] = to[0];
}

static void load_doubles(const operand *operand, int64_t first, int64_t count, double *to) {
  const char *from = (const char *)operand->at.elements + first * operand->at.stride;
  const int64_t step = operand->at.stride;
  float narrow, values[PIECE];
  int32_t whole;
  switch (operand->at.type) {
    case CF_CODES:
      load_floats(operand, first, count, values);
      for (int64_t i = 0; i < count; ++i) to[i] = (double)values[i];
      break;
    case CF_FLOAT64:
      if (step == 8)
        memcpy(to, from, (size_t)count * 8);
      else
        for (int64_t i = 0; i < count; ++i) memcpy(&to[i], from + i * step, 8);
      break;
    case CF_FLOAT32:
      for (int64_t i = 0; i < count; ++i) {
        memcpy(&narrow, from + i * step, 4);
        to[i] = (double)narrow;
      }
      break;
    default:
      for (int64_t i = 0; i < count; ++i) {
        memcpy(&whole, from + i * step, 4);
        to[i] = (double)whole;
      }
      break;
  }
}

static inline uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  return bits;
}

static inline unsigned exponent_field(double x) { return (unsigned)(bits_of(x) >> 52 & 0x7FF); }

/* What a product, of numbers whose halves neither overflow nor underflow, has lost by rounding. */
static inline double product_rest(double a, double b, double product) {
  const double splitter = 134217729.0; /* 2^27 + 1 (Veltkamp) */
  const double a_scaled = splitter * a, b_scaled = splitter * b;
  const double a_high = a_scaled - (a_scaled - a), a_low = a - a_high;
  const double b_high = b_scaled - (b_scaled - b), b_low = b - b_high;
  return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
}

/* Whether a number is far from the ends of the exponents, so that its halves are exact. */
static inline uint64_t is_middling(double x) { return exponent_field(x) - 123 <= 1800; }
static inline uint64_t is_zero(double x) { return bits_of(x) << 1 == 0; }

/* Of one element the result rounded to odd; *other is set where it takes compute_range. */
static inline uint64_t double_to_odd(int function, double a, double b, uint64_t *other) {
  double result, rest;
  uint64_t outside;
  switch (function) {
    case CF_ADD: {
      result = a + b;
      const double from_b = result - a;
      rest = (a - (result - from_b)) + (b - from_b);
      /* zeros, subnormals, infinities and NaNs, and what is so large that a step might overflow */
      outside = (uint64_t)(exponent_field(result) - 1 >= 0x7FD);
      break;
    }
    case CF_MULTIPLY:
      result = a * b;
      rest = product_rest(a, b, result);
      outside = ((is_middling(a) | is_zero(a)) & (is_middling(b) | is_zero(b)) &
                 (is_middling(result) | is_zero(a) | is_zero(b))) ^
                1;
      break;
    default: { /* a quotient */
      result = a / b;
      const double product = result * b;
      rest = (a - product) - product_rest(result, b, product);
      const uint64_t turned = bits_of(rest) ^ (bits_of(b) & CF_FLOAT64_PARAMS.sign_mask);
      memcpy(&rest, &turned, 8);
      outside =
          ((is_middling(a) | is_zero(a)) & is_middling(b) & (is_middling(result) | is_zero(a))) ^ 1;
      break;
    }
  }
  *other = outside;
  const uint64_t rounded = bits_of(result), left = bits_of(rest);
  const uint64_t inexact = left << 1 != 0;
  /* toward zero first: a step down where what is left has the other sign */
  return (rounded - (inexact & (rounded ^ left) >> 63)) | inexact;
}

/* function is a constant in each of the calls. */
static inline void compute_doubles(const arithmetic *work, int function, int64_t begin, int64_t end,
                                   char *results, unsigned *signals) {
  const uint64_t modes = cf_set_default_float_modes();
  const uint64_t flip = work->function == CF_SUBTRACT ? CF_FLOAT64_PARAMS.sign_mask : 0;
  cf_flags none = {0, 0, 0, 0};
  for (int64_t first = begin; first < end; first += PIECE) {
    const int64_t count = cf_at_most(end - first, PIECE);
    double a[PIECE], b[PIECE];
    uint64_t bits[PIECE], other[PIECE], others = 0;
    load_doubles(&work->operands[0], first, count, a);
    load_doubles(&work->operands[1], first, count, b);
    if (flip != 0)
      for (int64_t i = 0; i < count; ++i) {
        const uint64_t addend = bits_of(b[i]) ^ flip;
        memcpy(&b[i], &addend, 8);
      }
    for (int64_t i = 0; i < count; ++i) {
      bits[i] = double_to_odd(function, a[i], b[i], &other[i]);
      others |= other[i];
    }
    char *here = results + (first - begin) * 8;
    memcpy(here, bits, (size_t)count * 8);
    for (int64_t i = 0; others != 0 && i < count; ++i)
      if (other[i])
        compute_range(work, work->function, first + i, first + i + 1, here + i * 8, &none, signals);
  }
  cf_restore_float_modes(modes);
}

/* Elements begin to end - 1 into contiguous results of the work's type, or for codes of float64. */
static void compute_values(const arithmetic *work, int64_t begin, int64_t end, char *results,
                           cf_flags *flags, unsigned *signals) {
#define IN_DOUBLES(function) compute_doubles(work, function, begin, end, results, signals)
#define BY_DEFINITION(function) compute_range(work, function, begin, end, results, flags, signals)
  if (takes_doubles(work)) {
    switch (work->function) {
      case CF_ADD:
      case CF_SUBTRACT: IN_DOUBLES(CF_ADD); break;
      case CF_MULTIPLY: IN_DOUBLES(CF_MULTIPLY); break;
      default: IN_DOUBLES(CF_DIVIDE); break;
    }
    return;
  }
  switch (work->function) {
    case CF_ADD: BY_DEFINITION(CF_ADD); break;
    case CF_SUBTRACT: BY_DEFINITION(CF_SUBTRACT); break;
    case CF_MULTIPLY: BY_DEFINITION(CF_MULTIPLY); break;
    case CF_DIVIDE: BY_DEFINITION(CF_DIVIDE); break;
    case CF_SQRT: BY_DEFINITION(CF_SQRT); break;
    case CF_FMA: BY_DEFINITION(CF_FMA); break;
    default: BY_DEFINITION(CF_POSITIVE); break;
  }
#undef IN_DOUBLES
#undef BY_DEFINITION
}

/* Whether float32 has what it takes, for operands of which something is known: results rounded to
 * nearest, or for codes such that rounding them once more, in any mode but the stochastic one, is
 * rounding the exact ones.
 *
 * Products are exact there, and sums and roots rounded to odd.  A quotient is that rounded to
 * nearest: where it is not on the grid of m + 3 bits on which all decisions are (the hole's middle
 * has as many), it is farther from it than half a unit of 24 bits, if divisors have 21 - m.
 * Nothing on the way is subnormal or too large.  What is neither finite nor zero, or an exact x - x
 * toward negative, is left to the definition. */
static int takes_lanes(const arithmetic *work) {
  const operand *a = &work->operands[0], *b = &work->operands[1], *c = &work->operands[2];
  const int into_codes = work->result_type == CF_CODES;
  const int m = into_codes ? work->format->mantissa_bits : 0;
  const int mode = cf_rounding_mode(work->rounding);
  if (work->result_type == CF_FLOAT64 || mode == CF_STOCHASTIC) return 0;
  if (!into_codes && (mode != CF_TIES_TO_EVEN || work->counts_flags)) return 0;
  for (int j = 0; j < operand_count(work->function); ++j) {
    const operand *x = &work->operands[j];
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

/* Whether a format's codes are such as arithmetic/pairs.h has for operands. */
static int is_plain_operand(const arithmetic *work, const operand *x, size_t size) {
  return x->at.type == CF_CODES && x->at.stride == (int64_t)size &&
         x->params.sign_mask + x->params.magnitude_mask == (size == 1 ? 0xFF : 0xFFFF) &&
         x->format->is_signed == work->format->is_signed &&
         x->format->subnormals != CF_SUBNORMALS_NORMAL && !x->params.no_negative_zero &&
         cf_lanes_decode(x->format);
}

/* Whether the operand's finite values are results too. */
static int is_result(const arithmetic *work, const operand *x) {
  const cf_format *own = x->format, *format = work->format;
  return x->bias == work->bias && own->exponent_bits == format->exponent_bits &&
         own->mantissa_bits == format->mantissa_bits && own->subnormals == format->subnormals &&
         own->nonfinite == format->nonfinite;
}

/* Whether work that takes_lanes is for the loops of arithmetic/pairs.h.
 *
 * These do not round sums to odd.  Where the larger addend is itself a result, of 11 bits or fewer,
 * what is lost by rounding a sum to 24 bits lies beyond all decisions: something is only lost if
 * the other addend is below 2^-12 of it, and the sum then rounds to the larger one
 * (Figueroa, 1995, for formats without an end). */
static int takes_pairs(const arithmetic *work) {
  if (!work->in_lanes || work->counts_flags || work->result_type != CF_CODES ||
      operand_count(work->function) != 2 || cf_active_arithmetic_loops()->pairs == NULL)
    return 0;
  const cf_rule rule = cf_rule_of(work->format, work->rounding, 0, NULL);
  const operand *a = &work->operands[0], *b = &work->operands[1];
  if (!cf_adds_16_bits(&rule) || !is_plain_operand(work, a, rule.code_size) ||
      !is_plain_operand(work, b, rule.code_size) ||
      rule.params.sign_mask + rule.params.magnitude_mask != (rule.code_size == 1 ? 0xFF : 0xFFFF))
    return 0;
  const int adds = work->function == CF_ADD || work->function == CF_SUBTRACT;
  return !adds || (work->format->mantissa_bits <= 10 && is_result(work, a) && is_result(work, b));
}

static void compute_pairs(const arithmetic *work, int64_t begin, int64_t end, char *results,
                          unsigned *signals) {
  const operand *a = &work->operands[0], *b = &work->operands[1];
  const cf_format *const formats[2] = {a->format, b->format};
  const int biases[2] = {a->bias, b->bias};
  const char *const from_a = (const char *)a->at.elements + begin * a->at.stride;
  const char *const from_b = (const char *)b->at.elements + begin * b->at.stride;
  cf_pair_rule rule = cf_pair_rule_of(work->function, formats, biases, work->format, work->bias);
  rule.streaming = (size_t)work->count >= CF_STREAMED_BYTES / rule.code_size && results != from_a &&
                   results != from_b;
  const uint64_t modes = cf_set_default_float_modes();
  cf_active_arithmetic_loops()->pairs(&rule, from_a, from_b, results, (size_t)(end - begin),
                                      signals);
  cf_restore_float_modes(modes);
}

/* Elements that are worked on at a time, in the nearest cache. */
enum { TILE = 1024 };

typedef struct tile {
  float operands[MAX_OPERANDS][TILE];
  float results[TILE];
} tile;

/* A number that is one for all elements, as often as a tile has elements. */
static void fill_tile(const arithmetic *work, tile *t) {
  for (int j = 0; j < operand_count(work->function); ++j) {
    const operand *x = &work->operands[j];
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
static void redo_nonfinite(const arithmetic *work, int64_t begin, int64_t count, float *results,
                           unsigned *signals) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &results[i], 4);
    if ((bits & 0x7F800000u) != 0x7F800000u) continue;
    cf_real x[MAX_OPERANDS];
    for (int j = 0; j < operand_count(work->function); ++j)
      x[j] = load(&work->operands[j], begin + i);
    const cf_real result = compute(work->function, x, 0, signals);
    unsigned raised = 0;
    bits = (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, result, CF_TIES_TO_EVEN, 0,
                                   &raised);
    memcpy(&results[i], &bits, 4);
  }
}

/* Elements of a tile in float32, for work that takes_lanes; in the default modes. */
static void compute_floats(const arithmetic *work, tile *t, int64_t begin, int64_t count,
                           float *results, unsigned *signals) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const int to_odd = work->result_type == CF_CODES;
  const size_t n = (size_t)count;
  float *a = t->operands[0], *b = t->operands[1], *c = t->operands[2];
  for (int j = 0; j < operand_count(work->function); ++j) {
    const operand *x = &work->operands[j];
    if (x->at.type != CF_CODES) continue;
    /* x + x, and x * x */
    if (j == 1 && x->at.elements == work->operands[0].at.elements && x->at.stride != 0 &&
        x->format == work->operands[0].format && x->bias == work->operands[0].bias &&
        work->function != CF_SUBTRACT)
      b = a;
    else
      load_floats(x, begin, count, t->operands[j]);
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
 * float32 for work that takes_lanes. */
static void compute_tiles(const arithmetic *work, int64_t begin, int64_t end, char *results,
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
        compute_values(work, first, first + count, (char *)values, NULL, signals);
        encode(&rule, &bias, 0, values, position, to, (size_t)count, flags);
      }
    }
  }
  cf_restore_float_modes(modes);
}

/* Whether what is computed piece by piece in the nearest cache is. */
static int goes_in_tiles(const arithmetic *work) {
  return work->result_type == CF_CODES || work->in_lanes;
}

static void compute_share(void *context, int index) {
  arithmetic *work = context;
  cf_flags flags = {0, 0, 0, 0};
  unsigned signals = 0;
  int64_t begin, end;
  const size_t size = work->result_type == CF_FLOAT64   ? 8
                      : work->result_type == CF_FLOAT32 ? 4
                                                        : cf_code_size(work->format);
  cf_share_of(work->count, 1, work->threads, index, &begin, &end);
  char *results = work->results + begin * (int64_t)size;
  if (work->in_pairs)
    compute_pairs(work, begin, end, results, &signals);
  else if (goes_in_tiles(work))
    compute_tiles(work, begin, end, results, work->counts_flags ? &flags : NULL, &signals);
  else
    compute_values(work, begin, end, results, &flags, &signals);
  work->flags[index] = flags;
  work->signals[index] = signals;
}

/* A sum or product of numbers, which takes_lanes has seen to be none too large, is one. */
static int may_be_nonfinite(const arithmetic *work) {
  if (work->function == CF_DIVIDE || work->function == CF_SQRT) return 1;
  for (int j = 0; j < operand_count(work->function); ++j) {
    const operand *x = &work->operands[j];
    if (x->at.type == CF_CODES && x->format->nonfinite != CF_NONFINITE_NONE) return 1;
  }
  return 0;
}

/* Choose the way for all elements. */
static void choose_way(arithmetic *work, int counts_flags) {
  work->counts_flags = counts_flags;
  work->in_lanes = takes_lanes(work);
  work->may_be_nonfinite = may_be_nonfinite(work);
  work->in_pairs = takes_pairs(work);
}

static void compute_all(arithmetic *work, int threads, cf_flags *flags, uint32_t *signals) {
  choose_way(work, flags != NULL);
  const double least = work->in_lanes ? FAST_ELEMENTS_PER_THREAD : ELEMENTS_PER_THREAD;
  work->threads = cf_useful_threads((double)work->count, least, threads);
  cf_run_threads(work->threads, compute_share, work);
  for (int i = 0; i < work->threads; ++i) {
    cf_add_flags(flags, &work->flags[i]);
    *signals |= work->signals[i];
  }
}

int cf_arithmetic(int function, const cf_elements *operands, int result_type, int rounding,
                  uint64_t seed, uint64_t offset, void *results, size_t count, int threads,
                  cf_flags *flags, uint32_t *signals) {
  if (function < CF_ADD || function > CF_POSITIVE) return CF_BAD_TYPE;
  if (result_type != CF_FLOAT64 && result_type != CF_FLOAT32) return CF_BAD_TYPE;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  arithmetic work;
  for (int j = 0; j < operand_count(function); ++j) {
    if (operands[j].type < 0 || operands[j].type >= CF_CODES) return CF_BAD_TYPE;
    work.operands[j].at = operands[j];
    work.operands[j].digits = 0;
  }
  work.function = function;
  work.result_type = result_type;
  work.rounding = rounding;
  work.format = NULL;
  work.seed = seed;
  work.offset = offset;
  work.results = results;
  work.count = (int64_t)count;
  compute_all(&work, threads, flags, signals);
  return CF_OK;
}

/* Codes of a bias, or a number where there is no format: what is known of them. */
static int set_operand(operand *x, const cf_format *format, int bias, const void *codes,
                       size_t count, const double *number) {
  x->format = format;
  x->bias = bias;
  x->digits = 0;
  if (format == NULL) {
    uint64_t bits;
    memcpy(&bits, number, sizeof bits);
    const cf_real real = cf_unpack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, bits);
    x->at.elements = number;
    x->at.type = CF_FLOAT64;
    x->at.stride = 0;
    if (real.kind != CF_KIND_FINITE) return CF_OK;
    x->digits = 1;
    x->lowest = x->top = 0;
    if (real.significand == 0) return CF_OK;
    const int last = cf_log2(real.significand & (0 - real.significand));
    const int first = cf_log2(real.significand);
    x->digits = first - last + 1;
    x->lowest = real.exponent + last;
    x->top = real.exponent + first + 1;
    return CF_OK;
  }
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (bias < format->bias_min || bias > format->bias_max) return CF_BAD_BIAS;
  x->params = cf_format_params(format);
  x->at.elements = codes;
  x->at.type = CF_CODES;
  x->at.stride = count == 1 ? 0 : (int64_t)cf_code_size(format);
  x->digits = format->mantissa_bits + 1;
  x->lowest = cf_format_quantum(format) - bias;
  x->top = cf_format_max_exponent_field(format) - bias + 1;
  return CF_OK;
}

/* From so many elements on what codes of 8 bits become is looked up: a code, or a pair of them. */
enum { TABULATED_CODES = 1 << 12, TABULATED_PAIRS = 1 << 18 };

/* results[i] = table[256 * a[i] + b[i]], pieces of which may be an operand's. */
typedef struct pairs {
  const uint8_t *table, *a, *b;
  uint8_t *results;
  int64_t count;
  int threads;
} pairs;

/* 16 results. */
static inline void map_16_pairs(const uint8_t *table, const uint8_t *a, const uint8_t *b,
                                uint8_t *results) {
#if defined(CF_X86_64)
  const __m128i x = _mm_loadu_si128((const __m128i *)a);
  const __m128i y = _mm_loadu_si128((const __m128i *)b);
  __m128i four_pairs[4];
  four_pairs[0] = _mm_unpacklo_epi8(y, x);
  four_pairs[1] = _mm_unpackhi_epi64(four_pairs[0], four_pairs[0]);
  four_pairs[2] = _mm_unpackhi_epi8(y, x);
  four_pairs[3] = _mm_unpackhi_epi64(four_pairs[2], four_pairs[2]);
  for (int i = 0; i < 4; ++i, results += 4) {
    const uint64_t pair = (uint64_t)_mm_cvtsi128_si64(four_pairs[i]);
    results[0] = table[pair & 0xFFFF];
    results[1] = table[pair >> 16 & 0xFFFF];
    results[2] = table[pair >> 32 & 0xFFFF];
    results[3] = table[pair >> 48];
  }
#else
  uint8_t found[16];
  for (int i = 0; i < 16; ++i) found[i] = table[a[i] << 8 | b[i]];
  memcpy(results, found, sizeof found);
#endif
}

static void map_pairs_share(void *context, int index) {
  const pairs *p = context;
  int64_t begin, end;
  cf_share_of(p->count, CF_CACHE_LINE, p->threads, index, &begin, &end);
  for (; begin + 16 <= end; begin += 16)
    map_16_pairs(p->table, p->a + begin, p->b + begin, p->results + begin);
  for (; begin < end; ++begin) p->results[begin] = p->table[p->a[begin] << 8 | p->b[begin]];
}

/* Write the results for all codes of the operand `of`, of which the others are single ones. */
static void tabulate(const arithmetic *work, int of, uint8_t *table, unsigned *signals) {
  uint8_t codes[CF_CODES8];
  arithmetic all = *work;
  for (int i = 0; i < CF_CODES8; ++i) codes[i] = (uint8_t)i;
  all.operands[of].at.elements = codes;
  compute_tiles(&all, 0, CF_CODES8, (char *)table, NULL, signals);
}

/* What code `code` of the operand `of` signals, of which the others are single ones. */
static unsigned signals_of(const arithmetic *work, int of, int code) {
  cf_real x[MAX_OPERANDS];
  unsigned signals = 0;
  for (int j = 0; j < operand_count(work->function); ++j) x[j] = load(&work->operands[j], 0);
  x[of] = cf_unpack(&work->operands[of].params, work->operands[of].bias, (uint64_t)code);
  compute(work->function, x, 0, &signals);
  return signals;
}

static int map_one(const arithmetic *work, int of, int threads, uint32_t *signals) {
  uint8_t table[CF_CODES8], asked[CF_CODES8];
  unsigned of_any = 0;
  tabulate(work, of, table, &of_any);
  for (int code = 0; code < CF_CODES8; ++code)
    asked[code] = (uint8_t)(of_any != 0 && signals_of(work, of, code) != 0);
  const int status = cf_map_codes(table, 1, work->operands[of].at.elements, (size_t)work->count,
                                  work->results, of_any != 0 ? asked : NULL, threads);
  for (int code = 0; code < CF_CODES8; ++code)
    if (of_any != 0 && asked[code]) *signals |= signals_of(work, of, code);
  return status == CF_OK;
}

/* Whether among an operand's codes there are such that something is signalled of no others. */
static int may_signal(const arithmetic *work, int of) {
  const operand *x = &work->operands[of];
  uint8_t asked[CF_CODES8];
  for (int code = 0; code < CF_CODES8; ++code) {
    const cf_real value = cf_unpack(&x->params, x->bias, (uint64_t)code);
    asked[code] = value.kind == CF_KIND_INFINITE ||
                  (work->function == CF_DIVIDE && of == 1 && cf_is_zero(value));
  }
  return cf_any_code(asked, x->at.elements, (size_t)work->count);
}

static int map_two(const arithmetic *work, int threads) {
  uint8_t table[CF_CODES8 * CF_CODES8];
  unsigned of_any = 0;
  arithmetic row = *work;
  row.operands[0].at.stride = 0;
  for (int code = 0; code < CF_CODES8; ++code) {
    const uint8_t own = (uint8_t)code;
    row.operands[0].at.elements = &own;
    tabulate(&row, 1, table + code * CF_CODES8, &of_any);
  }
  /* which pairs there are is not known */
  if (of_any != 0 && (may_signal(work, 0) || may_signal(work, 1))) return 0;
  pairs p = {table,
             work->operands[0].at.elements,
             work->operands[1].at.elements,
             (uint8_t *)work->results,
             work->count,
             0};
  p.threads = cf_useful_threads((double)work->count, FAST_ELEMENTS_PER_THREAD, threads);
  cf_run_threads(p.threads, map_pairs_share, &p);
  return 1;
}

/* The same results by tables, where no flags are counted; 0 where this is not the way. */
static int compute_by_table(arithmetic *work, int threads, uint32_t *signals) {
  int many = 0, of = 0;
  if (cf_rounding_mode(work->rounding) == CF_STOCHASTIC || cf_code_size(work->format) != 1)
    return 0;
  for (int j = 0; j < operand_count(work->function); ++j) {
    if (work->operands[j].at.stride == 0) continue;
    if (work->operands[j].at.stride != 1) return 0;
    of = j;
    ++many;
  }
  choose_way(work, 0);
  if (many == 1 && work->count >= TABULATED_CODES) return map_one(work, of, threads, signals);
  if (many != 2 || operand_count(work->function) != 2 || work->count < TABULATED_PAIRS ||
      work->in_pairs)
    return 0;
  return map_two(work, threads);
}

int cf_arithmetic_codes(int function, const cf_format *a_format, int a_bias, const void *a,
                        size_t a_count, double a_number, const cf_format *b_format, int b_bias,
                        const void *b, size_t b_count, double b_number, const cf_format *c_format,
                        int c_bias, const void *c, size_t c_count, double c_number,
                        const cf_format *format, int bias, int rounding, uint64_t seed,
                        uint64_t offset, void *results, size_t count, int threads, cf_flags *flags,
                        uint32_t *signals) {
  if (function < CF_ADD || function > CF_FMA) return CF_BAD_TYPE;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  arithmetic work;
  const int inputs = operand_count(function);
  int status = set_operand(&work.operands[0], a_format, a_bias, a, a_count, &a_number);
  if (status == CF_OK && inputs > 1)
    status = set_operand(&work.operands[1], b_format, b_bias, b, b_count, &b_number);
  if (status == CF_OK && inputs > 2)
    status = set_operand(&work.operands[2], c_format, c_bias, c, c_count, &c_number);
  if (status == CF_OK && format != NULL) {
    status = cf_format_check(format);
    if (status == CF_OK && (bias < format->bias_min || bias > format->bias_max))
      status = CF_BAD_BIAS;
  }
  if (status != CF_OK) return status;
  work.function = function;
  work.result_type = format != NULL ? CF_CODES : CF_FLOAT32;
  work.rounding = rounding;
  work.format = format;
  work.bias = bias;
  work.seed = seed;
  work.offset = offset;
  work.results = results;
  work.count = (int64_t)count;
  if (format == NULL) {
    choose_way(&work, flags != NULL);
    if (!work.in_lanes) return CF_BAD_TYPE;
  }
  if (flags == NULL && format != NULL && compute_by_table(&work, threads, signals)) return CF_OK;
  compute_all(&work, threads, flags, signals);
  return CF_OK;
}

int cf_arithmetic_at(int function, const cf_format *format, const int16_t *bias, size_t bias_step,
                     void *codes, const int64_t *places, const cf_elements *elements, size_t count,
                     cf_flags *flags, uint32_t *signals) {
  if (function < CF_ADD || function > CF_DIVIDE) return CF_BAD_TYPE;
  if (elements->type < 0 || elements->type >= CF_CODES) return CF_BAD_TYPE;
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  const cf_params params = cf_format_params(format);
  operand other;
  memset(&other, 0, sizeof other); /* which has no codes */
  other.at = *elements;
  const size_t size = params.sign_mask + params.magnitude_mask > 0xFF ? 2 : 1;
  cf_flags counted = {0, 0, 0, 0};
  unsigned found = 0;
  for (size_t i = 0; i < count; ++i) {
    char *place = (char *)codes + (size_t)places[i] * size;
    const int own_bias = bias[(size_t)places[i] * bias_step];
    uint16_t code = 0;
    if (size == 1)
      code = (uint8_t)*place;
    else
      memcpy(&code, place, 2);
    const cf_real x[3] = {cf_unpack(&params, own_bias, code), load(&other, (int64_t)i)};
    cf_real result = compute(function, x, 0, &found);
    result.subnormal = 0;
    unsigned raised = 0;
    code = (uint16_t)cf_round_pack(&params, own_bias, result, CF_TIES_TO_EVEN, 0, &raised);
    cf_count(&counted, raised);
    if (size == 1)
      *place = (char)code;
    else
      memcpy(place, &code, 2);
  }
  cf_add_flags(flags, &counted);
  *signals |= found;
  return CF_OK;
}
