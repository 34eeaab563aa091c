/* What steps of optimizers have in common. */
#include "optimize/moment.h"

#include "convert/prepare.h"
#include "core/format.h"
#include "cpu/threads.h"
#include "optimize/loops.h"

/* Some ten microseconds of work. */
enum { ELEMENTS_PER_THREAD = 1 << 12 };

/* At most so many shares a thread, none of which is a single piece: one that comes late does less.
 */
enum { SHARES_EACH = 8, PIECES_PER_SHARE = 2 };

static int has_bias(const cf_format *format, int bias) {
  return format->bias_min <= bias && bias <= format->bias_max;
}

int cf_moment_prepare(cf_moment_work *made, const cf_moment *given, int is_there, int updates,
                      int rounding) {
  const cf_format *format = given->format;
  int status = cf_format_check(format);
  if (status != CF_OK) return status;
  status =
      cf_operation_prepare(&made->decode, format, CF_CODES, CF_TIES_TO_EVEN, 0, NULL, CF_FLOAT32);
  if (status != CF_OK) return status;
  if (is_there && !has_bias(format, given->bias)) return CF_BAD_BIAS;
  made->before = (int16_t)given->bias;
  made->codes = given->codes;
  status =
      cf_operation_prepare(&made->encode, format, CF_FLOAT32, updates ? rounding : CF_TOWARD_ZERO,
                           updates ? given->seed : 0, NULL, CF_CODES);
  if (status != CF_OK || !updates) return status;
  if (!has_bias(format, given->new_bias)) return CF_BAD_BIAS;
  made->after = (int16_t)given->new_bias;
  return CF_OK;
}

void cf_moment_decode(const cf_moment_work *of, int64_t at, float *values, int64_t count) {
  const cf_bias_view bias = {&of->before, 0, 0};
  const char *codes = of->codes + (size_t)at * of->decode.source_size;
  cf_operation_run(&of->decode, bias, codes, 0, (char *)values, (size_t)count, NULL);
}

void cf_moment_encode(const cf_moment_work *of, int64_t at, const float *values, uint64_t offset,
                      int64_t count) {
  const cf_bias_view bias = {&of->after, 0, 0};
  char *codes = of->codes + (size_t)at * of->encode.destination_size;
  cf_operation_run(&of->encode, bias, (const char *)values, offset + (uint64_t)at, codes,
                   (size_t)count, NULL);
}

int cf_moment_is_in_lanes(const cf_moment_work *of) {
  const cf_rule *rule = &of->encode.rule;
  return of->decode.decode == cf_active_kernels()->decode[CF_FLOAT32] && !rule->upper_half &&
         rule->code_size == 2 && rule->plain;
}

int cf_moment_is_drawn_in_lanes(const cf_moment_work *of) {
  return cf_moment_is_in_lanes(of) && of->encode.rule.rounding == CF_STOCHASTIC &&
         of->encode.encode == cf_active_kernels()->encode[CF_FLOAT32];
}

int cf_step_shares(int64_t count, int *threads) {
  *threads = cf_useful_threads((double)count, ELEMENTS_PER_THREAD, *threads);
  const int each =
      (int)cf_at_most(count / (PIECES_PER_SHARE * CF_STEP_PIECE) / *threads, SHARES_EACH);
  return each < 1 ? 1 : each;
}
