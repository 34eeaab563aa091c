/* Rounding columns of weights one by one, each error going into the columns that are left
 * (docs/spec.md 5.15): core/scalar.h for each element, between sums that compilers make vectors of.
 */
#include <string.h>

#include "cfloat.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"

typedef struct compensation {
  const cf_compensation *given;
  cf_params params;
  size_t code_size;
  int threads;
} compensation;

static double value_of(const cf_params *params, int bias, uint64_t code) {
  unsigned raised = 0;
  const cf_real real = cf_unpack(params, bias, code);
  const uint64_t bits =
      cf_round_pack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, real, CF_TIES_TO_EVEN, 0, &raised);
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint64_t finite_code_of(const cf_params *params, int bias, double target) {
  unsigned raised = 0;
  uint64_t bits;
  memcpy(&bits, &target, sizeof bits);
  const cf_real real = cf_unpack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, bits);
  const uint64_t code = cf_round_pack(params, bias, real, CF_TIES_TO_EVEN, 0, &raised);
  const int is_beyond = real.kind != CF_KIND_NAN && (raised & CF_OVERFLOW) != 0;
  return is_beyond ? (code & params->sign_mask) | params->max_code : code;
}

static void round_row(const compensation *made, int64_t row) {
  const cf_compensation *given = made->given;
  const double *weights = given->weights + row * given->weights_step;
  const int16_t *biases = given->biases + row * given->bias_steps[0];
  double *errors = given->errors + row * given->errors_step;
  char *codes = (char *)given->codes + row * given->codes_step * (int64_t)made->code_size;
  for (int64_t k = given->columns - 1; k >= 0; --k) {
    const int bias = biases[k * given->bias_steps[1]];
    const uint64_t code = finite_code_of(&made->params, bias, weights[k] + errors[k]);
    const uint16_t code_16 = (uint16_t)code;
    const uint8_t code_8 = (uint8_t)code;
    memcpy(codes + (size_t)k * made->code_size,
           made->code_size == 1 ? (const void *)&code_8 : &code_16, made->code_size);
    const double error = weights[k] - value_of(&made->params, bias, code);
    const double *factor = given->factor + k * given->factor_step;
    for (int64_t i = 0; i < k; ++i) errors[i] += error * factor[i];
    errors[k] = error;
  }
}

static void round_share(void *context, int index) {
  const compensation *made = context;
  int64_t begin, end;
  cf_share_of(made->given->rows, 1, made->threads, index, &begin, &end);
  const uint64_t modes = cf_set_default_float_modes();
  for (int64_t row = begin; row < end; ++row) round_row(made, row);
  cf_restore_float_modes(modes);
}

int cf_round_compensated(const cf_format *format, const cf_compensation *task, int threads) {
  enum {
    ELEMENT = 64,
    LEAST = 1 << 16
  }; /* additions that rounding one takes, and worth a thread */
  if (cf_format_check(format) != CF_OK) return CF_BAD_FORMAT;
  if (task->rows < 0 || task->columns < 0) return CF_BAD_LAYOUT;
  const double work =
      (double)task->rows * (double)task->columns * (ELEMENT + (double)task->columns / 2);
  compensation made = {.given = task,
                       .params = cf_format_params(format),
                       .code_size = cf_code_size(format),
                       .threads = cf_useful_threads(work, LEAST, threads)};
  cf_run_threads(made.threads, round_share, &made);
  return CF_OK;
}
