/* Exact arithmetic on arrays, rounded once: argument checks and the loop. */
#include <string.h>

#include "arithmetic/exact.h"
#include "convert/prepare.h"
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

static void compute_share(void *context, int index) {
  arithmetic *work = context;
  cf_flags flags = {0, 0, 0, 0};
  unsigned signals = 0;
  int64_t begin, end;
  cf_share_of(work->count, 1, work->threads, index, &begin, &end);
  switch (work->function) {
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
