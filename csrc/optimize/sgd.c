/* A step of SGD whose momentum is codes. */
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "optimize/loops.h"
#include "optimize/moment.h"

typedef struct step {
  const cf_sgd *given;
  cf_sgd_rule rule;
  cf_moment_work momentum;
  int threads, each, is_in_lanes;
  float peaks[CF_MAX_THREADS];
} step;

static int prepare(step *made, const cf_sgd *given, int updates) {
  if (given->count < 0) return CF_BAD_LAYOUT;
  const int status = cf_moment_prepare(&made->momentum, &given->momentum, given->has_momentum,
                                       updates, given->rounding);
  if (status != CF_OK) return status;
  made->given = given;
  made->rule = (cf_sgd_rule){given->maximizes ? -1.0f : 1.0f,
                             given->decay,
                             given->has_momentum,
                             given->kept,
                             given->weight,
                             given->is_nesterov,
                             given->rate};
  made->each = cf_step_shares(given->count, &made->threads);
  const cf_moment_work *of = &made->momentum;
  const cf_params *params = &of->encode.rule.params;
  made->is_in_lanes = given->has_momentum && cf_active_optimizer_loops()->sgd_fused != NULL &&
                      (updates ? cf_moment_is_drawn_in_lanes(of) : cf_moment_is_in_lanes(of)) &&
                      params->sign_mask != 0 && params->subnormals != CF_SUBNORMALS_FLUSH;
  return CF_OK;
}

/* The codes from an element on. */
static cf_moment_codes codes_from(const step *made, int64_t at) {
  const cf_moment_work *of = &made->momentum;
  char *codes = of->codes + (size_t)at * sizeof(uint16_t);
  return (cf_moment_codes){&of->encode.rule, of->before, of->after, codes};
}

static void find_in_share(void *context, int share, int thread) {
  step *made = context;
  const cf_sgd *given = made->given;
  float momentum[CF_STEP_PIECE] = {0};
  int64_t at, end;
  cf_share_of(given->count, CF_STEP_PIECE, made->threads * made->each, share, &at, &end);
  const uint64_t modes = cf_set_default_float_modes();
  if (made->is_in_lanes) {
    const cf_moment_codes codes = codes_from(made, at);
    float peak;
    at += (int64_t)cf_active_optimizer_loops()->sgd_peak_of_codes(
        &made->rule, &codes, given->gradient + at, given->parameter + at, (size_t)(end - at),
        &peak);
    if (peak > made->peaks[thread]) made->peaks[thread] = peak;
  }
  for (; at < end; at += CF_STEP_PIECE) {
    const int64_t count = cf_at_most(CF_STEP_PIECE, end - at);
    if (given->has_momentum) cf_moment_decode(&made->momentum, at, momentum, count);
    const float peak = cf_active_optimizer_loops()->sgd_peak(
        &made->rule, momentum, given->gradient + at, given->parameter + at, (size_t)count);
    if (peak > made->peaks[thread]) made->peaks[thread] = peak;
  }
  cf_restore_float_modes(modes);
}

static void update_share(void *context, int share, int thread) {
  const step *made = context;
  const cf_sgd *given = made->given;
  float momentum[CF_STEP_PIECE] = {0};
  int64_t at, end;
  (void)thread;
  cf_share_of(given->count, CF_STEP_PIECE, made->threads * made->each, share, &at, &end);
  const uint64_t modes = cf_set_default_float_modes();
  if (made->is_in_lanes) {
    const cf_moment_codes codes = codes_from(made, at);
    at += (int64_t)cf_active_optimizer_loops()->sgd_fused(
        &made->rule, &codes, given->offset + (uint64_t)at, given->gradient + at,
        given->parameter + at, (size_t)(end - at));
  }
  for (; at < end; at += CF_STEP_PIECE) {
    const int64_t count = cf_at_most(CF_STEP_PIECE, end - at);
    if (given->has_momentum) cf_moment_decode(&made->momentum, at, momentum, count);
    cf_active_optimizer_loops()->sgd_update(&made->rule, momentum, given->gradient + at,
                                            given->parameter + at, (size_t)count);
    cf_moment_encode(&made->momentum, at, momentum, given->offset, count);
  }
  cf_restore_float_modes(modes);
}

int cf_sgd_peak(const cf_sgd *given, float *peak, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 0);
  if (status != CF_OK) return status;
  cf_run_shares(made.threads, made.each, find_in_share, &made);
  *peak = 0;
  for (int i = 0; i < made.threads; ++i)
    if (made.peaks[i] > *peak) *peak = made.peaks[i];
  return CF_OK;
}

int cf_sgd_update(const cf_sgd *given, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 1);
  if (status != CF_OK) return status;
  cf_run_shares(made.threads, made.each, update_share, &made);
  return CF_OK;
}
