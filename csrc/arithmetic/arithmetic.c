/* Exact arithmetic on arrays, rounded once: argument checks and the loop. */
#include <string.h>

#include "arithmetic/exact.h"
#include "convert/prepare.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"

enum { ELEMENTS_PER_THREAD = 1 << 14 };

/* What is the same for all elements; and what threads have found. */
typedef struct arithmetic {
  int function, result_type, rounding;
  const cf_elements *operands;
  uint64_t seed, offset;
  char *results;
  int64_t count;
  int threads;
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

static inline cf_real load(const cf_elements *operand, int64_t i) {
  const char *element = (const char *)operand->elements + i * operand->stride;
  uint64_t bits64;
  uint32_t bits32;
  uint16_t bits16;
  uint8_t bits8;
  switch (operand->type) {
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

/* function is a constant in each of the calls. */
static inline void compute_range(const arithmetic *work, int function, int64_t begin, int64_t end,
                                 cf_flags *flags, unsigned *signals) {
  const int zero_sign = work->rounding == CF_TOWARD_NEGATIVE;
  const int stochastic = cf_rounding_mode(work->rounding) == CF_STOCHASTIC;
  const int inputs = operand_count(function);
  cf_stream stream = cf_stream_at(work->seed, work->offset + (uint64_t)begin);
  for (int64_t i = begin; i < end; ++i) {
    cf_real x[3];
    for (int j = 0; j < inputs; ++j) x[j] = load(&work->operands[j], i);
    cf_real result = compute(function, x, zero_sign, signals);
    result.subnormal = 0;
    if (work->result_type == CF_FLOAT64) {
      const uint64_t bits = float64_to_odd(result);
      memcpy(work->results + i * 8, &bits, 8);
    } else {
      unsigned raised = 0;
      const uint32_t word = stochastic ? cf_stream_next(&stream) : 0;
      const uint32_t bits = (uint32_t)cf_round_pack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, result,
                                                    work->rounding, word, &raised);
      memcpy(work->results + i * 4, &bits, 4);
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
  if (work->result_type != CF_FLOAT64) return 0;
  if (work->function < CF_ADD || work->function > CF_DIVIDE) return 0;
  for (int j = 0; j < 2; ++j) {
    const int type = work->operands[j].type;
    if (type != CF_FLOAT64 && type != CF_FLOAT32 && type != CF_INT32) return 0;
  }
  return 1;
#else
  (void)work;
  return 0;
#endif
}

static void load_doubles(const cf_elements *operand, int64_t first, int64_t count, double *to) {
  const char *from = (const char *)operand->elements + first * operand->stride;
  const int64_t step = operand->stride;
  float narrow;
  int32_t whole;
  switch (operand->type) {
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
                                   unsigned *signals) {
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
    memcpy(work->results + first * 8, bits, (size_t)count * 8);
    for (int64_t i = 0; others != 0 && i < count; ++i)
      if (other[i]) compute_range(work, work->function, first + i, first + i + 1, &none, signals);
  }
  cf_restore_float_modes(modes);
}

static void compute_double_share(const arithmetic *work, int64_t begin, int64_t end,
                                 unsigned *signals) {
  switch (work->function) {
    case CF_ADD:
    case CF_SUBTRACT: compute_doubles(work, CF_ADD, begin, end, signals); break;
    case CF_MULTIPLY: compute_doubles(work, CF_MULTIPLY, begin, end, signals); break;
    default: compute_doubles(work, CF_DIVIDE, begin, end, signals); break;
  }
}

static void compute_share(void *context, int index) {
  arithmetic *work = context;
  cf_flags flags = {0, 0, 0, 0};
  unsigned signals = 0;
  int64_t begin, end;
  cf_share_of(work->count, 1, work->threads, index, &begin, &end);
  switch (takes_doubles(work) ? -1 : work->function) {
    case -1: compute_double_share(work, begin, end, &signals); break;
    case CF_ADD: compute_range(work, CF_ADD, begin, end, &flags, &signals); break;
    case CF_SUBTRACT: compute_range(work, CF_SUBTRACT, begin, end, &flags, &signals); break;
    case CF_MULTIPLY: compute_range(work, CF_MULTIPLY, begin, end, &flags, &signals); break;
    case CF_DIVIDE: compute_range(work, CF_DIVIDE, begin, end, &flags, &signals); break;
    case CF_SQRT: compute_range(work, CF_SQRT, begin, end, &flags, &signals); break;
    case CF_FMA: compute_range(work, CF_FMA, begin, end, &flags, &signals); break;
    default: compute_range(work, CF_POSITIVE, begin, end, &flags, &signals); break;
  }
  work->flags[index] = flags;
  work->signals[index] = signals;
}

int cf_arithmetic(int function, const cf_elements *operands, int result_type, int rounding,
                  uint64_t seed, uint64_t offset, void *results, size_t count, int threads,
                  cf_flags *flags, uint32_t *signals) {
  if (function < CF_ADD || function > CF_POSITIVE) return CF_BAD_TYPE;
  if (result_type != CF_FLOAT64 && result_type != CF_FLOAT32) return CF_BAD_TYPE;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  for (int j = 0; j < operand_count(function); ++j)
    if (operands[j].type < 0 || operands[j].type >= CF_CODES) return CF_BAD_TYPE;
  arithmetic work;
  work.function = function;
  work.result_type = result_type;
  work.rounding = rounding;
  work.operands = operands;
  work.seed = seed;
  work.offset = offset;
  work.results = results;
  work.count = (int64_t)count;
  work.threads = cf_useful_threads((double)count, ELEMENTS_PER_THREAD, threads);
  cf_run_threads(work.threads, compute_share, &work);
  for (int i = 0; i < work.threads; ++i) {
    cf_add_flags(flags, &work.flags[i]);
    *signals |= work.signals[i];
  }
  return CF_OK;
}

int cf_arithmetic_at(int function, const cf_format *format, const int16_t *bias, size_t bias_step,
                     void *codes, const int64_t *places, const cf_elements *operand, size_t count,
                     cf_flags *flags, uint32_t *signals) {
  if (function < CF_ADD || function > CF_DIVIDE) return CF_BAD_TYPE;
  if (operand->type < 0 || operand->type >= CF_CODES) return CF_BAD_TYPE;
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  const cf_params params = cf_format_params(format);
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
    const cf_real x[3] = {cf_unpack(&params, own_bias, code), load(operand, (int64_t)i)};
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
