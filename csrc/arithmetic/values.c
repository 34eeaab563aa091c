/* Exact results of elements of any type, one by one as integers or, where that is the same, as
 * float64. */
#include "arithmetic/work.h"

#include "convert/kernels.h"
#include "convert/prepare.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"

static inline cf_real load(const cf_work_operand *operand, int64_t i) {
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

cf_real cf_load_element(const cf_work_operand *operand, int64_t i) { return load(operand, i); }

cf_real cf_compute_element(int function, const cf_real x[3], int zero_sign, unsigned *signals) {
  return compute(function, x, zero_sign, signals);
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
static inline void compute_range(const cf_work *work, int function, int64_t begin, int64_t end,
                                 char *results, cf_flags *flags, unsigned *signals) {
  const int zero_sign = work->rounding == CF_TOWARD_NEGATIVE;
  const int stochastic = cf_rounding_mode(work->rounding) == CF_STOCHASTIC;
  const int inputs = cf_operand_count(function), wide = work->result_type != CF_FLOAT32;
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

static int takes_doubles(const cf_work *work) {
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
void cf_load_floats(const cf_work_operand *operand, int64_t first, int64_t count, float *to) {
  const cf_rule rule = cf_rule_of(operand->format, CF_TIES_TO_EVEN, 0, NULL);
  const int16_t bias = (int16_t)operand->bias;
  const char *from = (const char *)operand->at.elements + first * operand->at.stride;
  const size_t own = operand->at.stride == 0 ? 1 : (size_t)count;
  cf_decode_kernel_of(operand->format, CF_FLOAT32)(&rule, &bias, 0, from, to, own, NULL);
  for (int64_t i = (int64_t)own; i < count; ++i) to[i] = to[0];
}

static void load_doubles(const cf_work_operand *operand, int64_t first, int64_t count, double *to) {
  const char *from = (const char *)operand->at.elements + first * operand->at.stride;
  const int64_t step = operand->at.stride;
  float narrow, values[PIECE];
  int32_t whole;
  switch (operand->at.type) {
    case CF_CODES:
      cf_load_floats(operand, first, count, values);
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
static CF_ALWAYS_INLINE uint64_t double_to_odd(int function, double a, double b, uint64_t *other) {
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
static CF_ALWAYS_INLINE void compute_doubles(const cf_work *work, int function, int64_t begin,
                                             int64_t end, char *results, unsigned *signals) {
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
void cf_compute_values(const cf_work *work, int64_t begin, int64_t end, char *results,
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
