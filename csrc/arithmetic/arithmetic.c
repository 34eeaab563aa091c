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

/* Sums in float64: the short way of what compute_range does, for operands that float64 has and sums
 * that are normal numbers.  What a + b rounded to nearest leaves over is a float64 (Knuth), and its
 * sign tells which neighbour is the odd one.  In modes that are set here, and where they can be. */
enum { SUM_PIECE = 256 };

static int takes_sums(const arithmetic *work) {
#if defined(CF_X86_64) || defined(CF_ARM64)
  if (work->result_type != CF_FLOAT64) return 0;
  if (work->function != CF_ADD && work->function != CF_SUBTRACT) return 0;
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

static void add_range(const arithmetic *work, int64_t begin, int64_t end, unsigned *signals) {
  const uint64_t modes = cf_set_default_float_modes();
  const uint64_t flip = work->function == CF_SUBTRACT ? CF_FLOAT64_PARAMS.sign_mask : 0;
  cf_flags none = {0, 0, 0, 0};
  for (int64_t first = begin; first < end; first += SUM_PIECE) {
    const int64_t count = cf_at_most(end - first, SUM_PIECE);
    double a[SUM_PIECE], b[SUM_PIECE];
    uint64_t bits[SUM_PIECE], others = 0;
    load_doubles(&work->operands[0], first, count, a);
    load_doubles(&work->operands[1], first, count, b);
    for (int64_t i = 0; i < count; ++i) {
      uint64_t addend;
      memcpy(&addend, &b[i], 8);
      addend ^= flip;
      memcpy(&b[i], &addend, 8);
    }
    for (int64_t i = 0; i < count; ++i) {
      const double sum = a[i] + b[i], from_b = sum - a[i];
      const double rest = (a[i] - (sum - from_b)) + (b[i] - from_b);
      uint64_t rounded, left;
      memcpy(&rounded, &sum, 8);
      memcpy(&left, &rest, 8);
      const uint64_t inexact = left << 1 != 0;
      /* toward zero first: a step down where what is left has the other sign */
      bits[i] = (rounded - (inexact & (rounded ^ left) >> 63)) | inexact;
      /* zeros, subnormals, infinities and NaNs, and what is so large that a step might overflow */
      others |= (uint64_t)((rounded >> 52 & 0x7FF) - 1 >= 0x7FD);
    }
    memcpy(work->results + first * 8, bits, (size_t)count * 8);
    for (int64_t i = 0; others != 0 && i < count; ++i)
      if ((bits[i] >> 52 & 0x7FF) - 1 >= 0x7FD)
        compute_range(work, work->function, first + i, first + i + 1, &none, signals);
  }
  cf_restore_float_modes(modes);
}

static void compute_share(void *context, int index) {
  arithmetic *work = context;
  cf_flags flags = {0, 0, 0, 0};
  unsigned signals = 0;
  int64_t begin, end;
  cf_share_of(work->count, 1, work->threads, index, &begin, &end);
  switch (takes_sums(work) ? -1 : work->function) {
    case -1: add_range(work, begin, end, &signals); break;
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
