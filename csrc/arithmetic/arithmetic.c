/* Exact arithmetic on arrays, rounded once: argument checks, the choice of a way, and threads. */
#include "arithmetic/work.h"

#include "convert/prepare.h"
#include "cpu/threads.h"

/* Whether what is computed piece by piece in the nearest cache is. */
static int goes_in_tiles(const cf_work *work) {
  return work->result_type == CF_CODES || work->in_lanes;
}

static void compute_share(void *context, int index) {
  cf_work *work = context;
  cf_flags flags = {0, 0, 0, 0};
  unsigned signals = 0;
  int64_t begin, end;
  const size_t size = work->result_type == CF_FLOAT64   ? 8
                      : work->result_type == CF_FLOAT32 ? 4
                                                        : cf_code_size(work->format);
  cf_share_of(work->count, 1, work->threads, index, &begin, &end);
  char *results = work->results + begin * (int64_t)size;
  if (work->in_pairs)
    cf_compute_pairs(work, begin, end, results, &signals);
  else if (goes_in_tiles(work))
    cf_compute_tiles(work, begin, end, results, work->counts_flags ? &flags : NULL, &signals);
  else
    cf_compute_values(work, begin, end, results, &flags, &signals);
  work->flags[index] = flags;
  work->signals[index] = signals;
}

/* A sum or product of numbers, which cf_takes_lanes has seen to be none too large, is one. */
static int may_be_nonfinite(const cf_work *work) {
  if (work->function == CF_DIVIDE || work->function == CF_SQRT) return 1;
  for (int j = 0; j < cf_operand_count(work->function); ++j) {
    const cf_work_operand *x = &work->operands[j];
    if (x->at.type == CF_CODES && x->format->nonfinite != CF_NONFINITE_NONE) return 1;
  }
  return 0;
}

/* Choose the way for all elements. */
void cf_choose_way(cf_work *work, int counts_flags) {
  work->counts_flags = counts_flags;
  work->in_lanes = cf_takes_lanes(work);
  work->may_be_nonfinite = may_be_nonfinite(work);
  work->in_pairs = cf_takes_pairs(work);
}

static void compute_all(cf_work *work, int threads, cf_flags *flags, uint32_t *signals) {
  cf_choose_way(work, flags != NULL);
  const double least = work->in_lanes ? CF_FAST_ELEMENTS_PER_THREAD : CF_ELEMENTS_PER_THREAD;
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
  cf_work work;
  for (int j = 0; j < cf_operand_count(function); ++j) {
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
static int set_operand(cf_work_operand *x, const cf_format *format, int bias, const void *codes,
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

int cf_arithmetic_codes(int function, const cf_format *a_format, int a_bias, const void *a,
                        size_t a_count, double a_number, const cf_format *b_format, int b_bias,
                        const void *b, size_t b_count, double b_number, const cf_format *c_format,
                        int c_bias, const void *c, size_t c_count, double c_number,
                        const cf_format *format, int bias, int rounding, uint64_t seed,
                        uint64_t offset, void *results, size_t count, int threads, cf_flags *flags,
                        uint32_t *signals) {
  if (function < CF_ADD || function > CF_FMA) return CF_BAD_TYPE;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  cf_work work;
  const int inputs = cf_operand_count(function);
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
    cf_choose_way(&work, flags != NULL);
    if (!work.in_lanes) return CF_BAD_TYPE;
  }
  if (flags == NULL && format != NULL && cf_compute_by_table(&work, threads, signals)) return CF_OK;
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
  cf_work_operand other;
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
    const cf_real x[3] = {cf_unpack(&params, own_bias, code), cf_load_element(&other, (int64_t)i)};
    cf_real result = cf_compute_element(function, x, 0, &found);
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
