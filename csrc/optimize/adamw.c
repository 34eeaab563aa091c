/* A step of AdamW whose moments are codes. */
#include <math.h>
#include <string.h>

#include "convert/operation.h"
#include "convert/prepare.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "optimize/adamw_loops.h"

/* Fewer are not worth a thread's start. */
enum { ELEMENTS_PER_THREAD = 1 << 16 };

/* One of the two moments, while a step is done. */
typedef struct moment {
  cf_operation decode, encode;
  int16_t before, after; /* biases */
  char *codes;
} moment;

typedef struct step {
  const cf_adamw *given;
  cf_adamw_rule rule;
  moment of[2];
  int threads, updates;
  float peaks[CF_MAX_THREADS][2];
} step;

static int has_bias(const cf_format *format, int bias) {
  return format->bias_min <= bias && bias <= format->bias_max;
}

static int prepare(step *made, const cf_adamw *given, int updates) {
  if (given->count < 0) return CF_BAD_LAYOUT;
  for (int i = 0; i < 2; ++i) {
    const cf_adamw_moment *moment_given = &given->moments[i];
    const cf_format *format = moment_given->format;
    moment *of = &made->of[i];
    int status = cf_format_check(format);
    if (status != CF_OK) return status;
    status =
        cf_operation_prepare(&of->decode, format, CF_CODES, CF_TIES_TO_EVEN, 0, NULL, CF_FLOAT32);
    if (status != CF_OK) return status;
    if (given->has_moments && !has_bias(format, moment_given->bias)) return CF_BAD_BIAS;
    of->before = (int16_t)moment_given->bias;
    of->codes = moment_given->codes;
    if (!updates) continue;
    status = cf_operation_prepare(&of->encode, format, CF_FLOAT32, given->rounding,
                                  moment_given->seed, NULL, CF_CODES);
    if (status != CF_OK) return status;
    if (!has_bias(format, moment_given->new_bias)) return CF_BAD_BIAS;
    of->after = (int16_t)moment_given->new_bias;
  }
  const int scales[2] = {given->scale, updates ? given->new_scale : 0};
  for (int i = 0; i < 2; ++i)
    if (scales[i] < -CF_ADAMW_MAX_SCALE || scales[i] > CF_ADAMW_MAX_SCALE) return CF_BAD_BIAS;
  const float weight = given->first_weight;
  cf_adamw_rule *rule = &made->rule;
  rule->from_gradient = !(weight < 0.5f); /* as near the one as the other, the product is small */
  rule->first_weight = rule->from_gradient ? weight - 1 : weight;
  rule->second_decay = given->second_decay;
  rule->second_weight = given->second_weight;
  rule->before = ldexpf(1, -scales[0]);
  rule->after = ldexpf(1, scales[1]);
  rule->decay = given->decay;
  rule->rate = given->rate;
  rule->root_scale = given->root_scale;
  rule->eps = given->eps;
  made->given = given;
  made->updates = updates;
  made->threads = cf_useful_threads((double)given->count, ELEMENTS_PER_THREAD, made->threads);
  return CF_OK;
}

static void decode(const moment *of, int64_t at, float *values, int64_t count) {
  const cf_bias_view bias = {&of->before, 0, 0};
  const char *codes = of->codes + (size_t)at * of->decode.source_size;
  cf_operation_run(&of->decode, bias, codes, 0, (char *)values, (size_t)count, NULL);
}

static void encode(const step *made, const moment *of, int64_t at, const float *values,
                   int64_t count) {
  const cf_bias_view bias = {&of->after, 0, 0};
  char *codes = of->codes + (size_t)at * of->encode.destination_size;
  cf_operation_run(&of->encode, bias, (const char *)values, made->given->offset + (uint64_t)at,
                   codes, (size_t)count, NULL);
}

static void do_share(void *context, int index) {
  step *made = context;
  const cf_adamw *given = made->given;
  const cf_adamw_loops *loops = cf_active_adamw_loops();
  float first[CF_ADAMW_PIECE], second[CF_ADAMW_PIECE], peaks[2] = {0, 0};
  int64_t begin, end;
  cf_share_of(given->count, CF_ADAMW_PIECE, made->threads, index, &begin, &end);
  const uint64_t modes = cf_set_default_float_modes();
  for (int64_t at = begin; at < end; at += CF_ADAMW_PIECE) {
    const int64_t count = cf_at_most(CF_ADAMW_PIECE, end - at);
    if (given->has_moments) {
      decode(&made->of[0], at, first, count);
      decode(&made->of[1], at, second, count);
    } else {
      memset(first, 0, (size_t)count * sizeof *first);
      memset(second, 0, (size_t)count * sizeof *second);
    }
    if (!made->updates) {
      loops->peaks(&made->rule, first, second, given->gradient + at, (size_t)count, peaks);
      continue;
    }
    loops->update(&made->rule, first, second, given->gradient + at, given->parameter + at,
                  (size_t)count);
    encode(made, &made->of[0], at, first, count);
    encode(made, &made->of[1], at, second, count);
  }
  cf_restore_float_modes(modes);
  memcpy(made->peaks[index], peaks, sizeof peaks);
}

int cf_adamw_peaks(const cf_adamw *given, float *peaks, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 0);
  if (status != CF_OK) return status;
  cf_run_threads(made.threads, do_share, &made);
  peaks[0] = peaks[1] = 0;
  for (int i = 0; i < made.threads; ++i)
    for (int k = 0; k < 2; ++k)
      if (made.peaks[i][k] > peaks[k]) peaks[k] = made.peaks[i][k];
  return CF_OK;
}

int cf_adamw_update(const cf_adamw *given, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 1);
  if (status != CF_OK) return status;
  cf_run_threads(made.threads, do_share, &made);
  return CF_OK;
}
