/* Counts, sums and sums of squares of float32 values by their upper bits, from which the squared
 * error of rounding them to a format follows, at every bias. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "core/integers.h"
#include "cpu/threads.h"

enum { ELEMENTS_PER_THREAD = 1 << 21 }; /* each has a table of its own */

typedef struct task {
  const float *values;
  size_t count;
  uint64_t *tables[CF_MAX_THREADS];
  int threads, lower_bits;
} task;

static void add_share(void *context, int index) {
  const task *t = context;
  uint64_t *table = t->tables[index];
  int64_t begin, end;
  cf_share_of((int64_t)t->count, 1, t->threads, index, &begin, &end);
  const uint32_t mask = (1u << t->lower_bits) - 1;
  for (int64_t i = begin; i < end; ++i) {
    uint32_t bits;
    memcpy(&bits, t->values + i, sizeof bits);
    const uint64_t lower = bits & mask;
    uint64_t *histogram = table + (size_t)3 * (bits >> t->lower_bits);
    histogram[0] += 1;
    histogram[1] += lower;
    histogram[2] += lower * lower;
  }
}

int cf_add_to_histogram(const float *values, size_t count, int lower_bits, uint64_t *histogram,
                        int threads) {
  task t;
  if (lower_bits < CF_HISTOGRAM_LOWER_MIN || lower_bits > CF_HISTOGRAM_LOWER_MAX)
    return CF_BAD_TYPE;
  const size_t size = (size_t)3 << (32 - lower_bits);
  t.lower_bits = lower_bits;
  t.values = values;
  t.count = count;
  t.tables[0] = histogram;
  threads = cf_useful_threads((double)count, ELEMENTS_PER_THREAD, threads);
  /* fewer threads, if there is no memory for as many tables */
  for (t.threads = 1; t.threads < threads; ++t.threads) {
    t.tables[t.threads] = calloc(size, sizeof *histogram);
    if (t.tables[t.threads] == NULL) break;
  }
  cf_run_threads(t.threads, add_share, &t);
  for (int index = 1; index < t.threads; ++index) {
    for (size_t i = 0; i < size; ++i) histogram[i] += t.tables[index][i];
    free(t.tables[index]);
  }
  return CF_OK;
}
