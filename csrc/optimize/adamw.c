/* A step of AdamW whose moments are codes. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "optimize/loops.h"
#include "optimize/moment.h"

/* What a thread has found: peaks as of cf_optimizer_loops; the bounds that follow from them, and
 * the peaks of which those are the bounds. */
typedef struct finding {
  float peaks[3], of_bounds[2];
  cf_adamw_bounds bounds;
} finding;

typedef struct step {
  const cf_adamw *given;
  cf_adamw_rule rule;
  cf_moment_work of[2];
  int threads, each, is_fused;
  finding found[CF_MAX_THREADS];
} step;

static int prepare(step *made, const cf_adamw *given, int updates) {
  if (given->count < 0) return CF_BAD_LAYOUT;
  for (int i = 0; i < 2; ++i) {
    const int status = cf_moment_prepare(&made->of[i], &given->moments[i], given->has_moments,
                                         updates, given->rounding);
    if (status != CF_OK) return status;
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
  made->each = cf_step_shares(given->count, &made->threads);
  return CF_OK;
}

/* Moments before the step. */
static void load(const step *made, int64_t at, float *first, float *second, int64_t count) {
  if (made->given->has_moments) {
    cf_moment_decode(&made->of[0], at, first, count);
    cf_moment_decode(&made->of[1], at, second, count);
  } else {
    memset(first, 0, (size_t)count * sizeof *first);
    memset(second, 0, (size_t)count * sizeof *second);
  }
}

/* Whether a step is for cf_optimizer_loops.fused. */
static int can_be_fused(const step *made) {
  if (!made->given->has_moments || cf_active_optimizer_loops()->fused == NULL) return 0;
  for (int k = 0; k < 2; ++k)
    if (!cf_moment_is_drawn_in_lanes(&made->of[k])) return 0;
  const cf_params *first = &made->of[0].encode.rule.params;
  return first->sign_mask != 0 && first->subnormals != CF_SUBNORMALS_FLUSH;
}

static void update_share(void *context, int share, int thread) {
  const step *made = context;
  const cf_adamw *given = made->given;
  const cf_optimizer_loops *loops = cf_active_optimizer_loops();
  float first[CF_STEP_PIECE], second[CF_STEP_PIECE];
  int64_t begin, end;
  (void)thread;
  cf_share_of(given->count, CF_STEP_PIECE, made->threads * made->each, share, &begin, &end);
  const uint64_t modes = cf_set_default_float_modes();
  if (made->is_fused) {
    cf_moment_codes codes[2];
    for (int k = 0; k < 2; ++k) {
      const cf_moment_work *of = &made->of[k];
      codes[k] = (cf_moment_codes){&of->encode.rule, of->before, of->after,
                                   of->codes + (size_t)begin * sizeof(uint16_t)};
    }
    begin += (int64_t)loops->fused(&made->rule, codes, given->offset + (uint64_t)begin,
                                   given->gradient + begin, given->parameter + begin,
                                   (size_t)(end - begin));
  }
  for (int64_t at = begin; at < end; at += CF_STEP_PIECE) {
    const int64_t count = cf_at_most(CF_STEP_PIECE, end - at);
    load(made, at, first, second, count);
    loops->update(&made->rule, first, second, given->gradient + at, given->parameter + at,
                  (size_t)count);
    cf_moment_encode(&made->of[0], at, first, given->offset, count);
    cf_moment_encode(&made->of[1], at, second, given->offset, count);
  }
  cf_restore_float_modes(modes);
}

/* The magnitude bits of the largest code of a moment whose value is at most `bound`, and those of
 * all codes with smaller values are less; -1 if there is none. */
static int32_t code_bound(const cf_moment_work *of, double bound) {
  const cf_bias_view bias = {&of->before, 0, 0};
  if (!(bound > 0)) return -1;
  const float least = (float)(bound < FLT_MAX ? bound : FLT_MAX) * (1 - FLT_EPSILON);
  float value;
  union {
    uint8_t of_8;
    uint16_t of_16;
  } code = {.of_16 = 0};
  cf_operation_run(&of->encode, bias, (const char *)&least, 0, (char *)&code, 1, NULL);
  cf_operation_run(&of->decode, bias, (const char *)&code, 0, (char *)&value, 1, NULL);
  if (!(value <= least)) return -1; /* a format without zero, or so small a number */
  return (int32_t)(of->encode.rule.code_size == 1 ? code.of_8 : code.of_16) &
         (int32_t)of->encode.rule.params.magnitude_mask;
}

/* What bounds leave for rounding, as a part of a peak; the part of the largest gradient that they
 * leave alone; how much peaks grow before there are new bounds; and the least weight of a square,
 * below which its product by a gradient may lose more than that. */
static const float SLACK = 1.0f / 1024, OF_LARGEST = 0.75f, NOT_MUCH = 1.02f, LEAST_WEIGHT = 1e-18f;

/* Bounds below which nothing reaches a thread's peaks.  Gradients are bounded by a part of the
 * largest one; what they leave of a peak, in the sum of magnitudes that a new moment is at most, is
 * for the old moment.  What is lost and won by rounding is far less than SLACK,
 * where nothing is subnormal. */
static void bound(const step *made, finding *found) {
  const cf_adamw *given = made->given;
  const double first_weight = given->first_weight, decay = given->second_decay,
               second_weight = given->second_weight;
  cf_adamw_bounds *bounds = &found->bounds;
  bounds->of[0] = bounds->of[1] = bounds->gradient = -1;
  memcpy(found->of_bounds, found->peaks, sizeof found->of_bounds);
  if (!(found->peaks[0] >= FLT_MIN && found->peaks[1] >= FLT_MIN)) return;
  if (!(first_weight >= 0 && first_weight <= 1 && decay > 0 && decay <= 1)) return;
  if (!(second_weight >= LEAST_WEIGHT && second_weight <= 1)) return;
  const float gradient = OF_LARGEST * found->peaks[2];
  const double rest[2] = {
      (double)found->peaks[0] * (1 - (double)SLACK) - first_weight * (double)gradient,
      (double)found->peaks[1] * (1 - (double)SLACK) -
          second_weight * (double)gradient * (double)gradient,
  };
  memcpy(&bounds->gradient, &gradient, sizeof gradient);
  bounds->of[0] = first_weight < 1 ? code_bound(&made->of[0], rest[0] / (1 - first_weight)) : -1;
  bounds->of[1] = code_bound(&made->of[1], rest[1] / decay * ldexp(1, given->scale));
}

/* Elements that may be larger than the peaks so far, one after the other. */
typedef struct gathered {
  float gradient[CF_STEP_PIECE];
  uint16_t codes[2][CF_STEP_PIECE]; /* of either size */
  int64_t count;
} gathered;

static void widen_peaks(const step *made, const float *first, const float *second,
                        const float *gradient, int64_t count, finding *found) {
  cf_active_optimizer_loops()->peaks(&made->rule, first, second, gradient, (size_t)count,
                                     found->peaks);
}

static void look_at(const step *made, gathered *more, finding *found) {
  float values[2][CF_STEP_PIECE];
  for (int k = 0; k < 2; ++k) {
    cf_moment_work of = made->of[k];
    of.codes = (char *)more->codes[k];
    cf_moment_decode(&of, 0, values[k], more->count);
  }
  widen_peaks(made, values[0], values[1], more->gradient, more->count, found);
  more->count = 0;
}

static void gather(const step *made, int64_t at, int64_t count, gathered *more) {
  memcpy(more->gradient + more->count, made->given->gradient + at,
         (size_t)count * sizeof *more->gradient);
  for (int k = 0; k < 2; ++k) {
    const cf_moment_work *of = &made->of[k];
    const size_t size = of->decode.source_size;
    memcpy((char *)more->codes[k] + (size_t)more->count * size, of->codes + (size_t)at * size,
           (size_t)count * size);
  }
  more->count += count;
}

/* Most elements are far below the largest, which is told from codes as they are. */
static void find_in_share(void *context, int share, int thread) {
  step *made = context;
  const cf_adamw *given = made->given;
  const cf_optimizer_loops *loops = cf_active_optimizer_loops();
  finding *found = &made->found[thread];
  const size_t sizes[2] = {made->of[0].decode.source_size, made->of[1].decode.source_size};
  gathered more;
  int64_t at, end;
  more.count = 0;
  cf_share_of(given->count, CF_STEP_PIECE, made->threads * made->each, share, &at, &end);
  const uint64_t modes = cf_set_default_float_modes();
  while (at < end) {
    if (!given->has_moments) {
      static const float zeros[CF_STEP_PIECE];
      const int64_t count = cf_at_most(CF_STEP_PIECE, end - at);
      widen_peaks(made, zeros, zeros, given->gradient + at, count, found);
      at += count;
      continue;
    }
    /* not for every little that peaks grow */
    if (more.count == 0 && (found->peaks[0] > found->of_bounds[0] * NOT_MUCH ||
                            found->peaks[1] > found->of_bounds[1] * NOT_MUCH))
      bound(made, found);
    if (found->bounds.gradient >= 0) {
      const char *codes[2] = {made->of[0].codes + (size_t)at * sizes[0],
                              made->of[1].codes + (size_t)at * sizes[1]};
      at += (int64_t)loops->below(&found->bounds, codes, given->gradient + at, (size_t)(end - at));
    }
    const int64_t count = cf_at_most(CF_ADAMW_BLOCK, end - at);
    gather(made, at, count, &more);
    at += count;
    if (more.count > CF_STEP_PIECE - CF_ADAMW_BLOCK) look_at(made, &more, found);
  }
  if (more.count > 0) look_at(made, &more, found);
  cf_restore_float_modes(modes);
}

int cf_adamw_peaks(const cf_adamw *given, float *peaks, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 0);
  if (status != CF_OK) return status;
  for (int i = 0; i < made.threads; ++i) {
    finding *found = &made.found[i];
    cf_adamw_bounds *bounds = &found->bounds;
    bounds->gradient = bounds->of[0] = bounds->of[1] = -1;
    for (int k = 0; k < 2; ++k) {
      bounds->size[k] = (int)made.of[k].decode.source_size;
      bounds->mask[k] = (uint16_t)made.of[k].decode.rule.params.magnitude_mask;
    }
  }
  cf_run_shares(made.threads, made.each, find_in_share, &made);
  peaks[0] = peaks[1] = 0;
  for (int i = 0; i < made.threads; ++i)
    for (int k = 0; k < 2; ++k)
      if (made.found[i].peaks[k] > peaks[k]) peaks[k] = made.found[i].peaks[k];
  return CF_OK;
}

int cf_adamw_update(const cf_adamw *given, int threads) {
  step made = {.threads = threads};
  const int status = prepare(&made, given, 1);
  if (status != CF_OK) return status;
  made.is_fused = can_be_fused(&made);
  cf_run_shares(made.threads, made.each, update_share, &made);
  return CF_OK;
}
