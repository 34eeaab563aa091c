/* The squared errors of rounding what a histogram has counted, at every bias of a format. */
#include <math.h>

#include "cfloat.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"

enum { LANES = 8, BINS_PER_THREAD = 1 << 13 /* times biases */ };

typedef struct task {
  const cf_format *format;
  const float *inside;
  const double *edges, *counts, *sums;
  size_t count;
  double *errors;
  int threads;
} task;

/* Sums in an order of their own, the same on every machine: element i of each piece in lane i % 8,
 * and then the lanes one after the other. */
static double error_at(const task *t, int bias) {
  float rounded[CF_PIECE];
  double lanes[LANES] = {0};
  for (size_t start = 0; start < t->count; start += CF_PIECE) {
    const size_t left = t->count - start, count = left < CF_PIECE ? left : CF_PIECE;
    cf_convert(t->format, bias, CF_FLOAT32, t->inside + start, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT32,
               rounded, count, 1, NULL);
    const double *edges = t->edges + start, *counts = t->counts + start, *sums = t->sums + start;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
      for (size_t lane = 0; lane < LANES; ++lane) {
        /* how much further from zero than the rounded value the bin begins */
        const double off =
            fabs(edges[i + lane]) - copysign(1.0, edges[i + lane]) * rounded[i + lane];
        lanes[lane] += (counts[i + lane] * off + 2.0 * sums[i + lane]) * off;
      }
    for (size_t lane = 0; i < count; ++i, ++lane) {
      const double off = fabs(edges[i]) - copysign(1.0, edges[i]) * rounded[i];
      lanes[lane] += (counts[i] * off + 2.0 * sums[i]) * off;
    }
  }
  double error = 0.0;
  for (int lane = 0; lane < LANES; ++lane) error += lanes[lane];
  return error;
}

static void add_share(void *context, int index) {
  const task *t = context;
  int64_t begin, end;
  const uint64_t modes = cf_set_default_float_modes();
  const int64_t biases = (int64_t)t->format->bias_max - t->format->bias_min + 1;
  cf_share_of(biases, 1, t->threads, index, &begin, &end);
  for (int64_t i = begin; i < end; ++i) t->errors[i] = error_at(t, t->format->bias_min + (int)i);
  cf_restore_float_modes(modes);
}

int cf_errors_of_bins(const cf_format *format, const float *inside, const double *edges,
                      const double *counts, const double *sums, size_t count, double *errors,
                      int threads) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  const double biases = (double)format->bias_max - format->bias_min + 1;
  task t = {format, inside, edges, counts, sums, count, errors, 1};
  t.threads = cf_useful_threads((double)count * biases, BINS_PER_THREAD, threads);
  cf_run_threads(t.threads, add_share, &t);
  return CF_OK;
}
