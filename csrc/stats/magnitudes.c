/* Biases by magnitudes. */
#include "stats/magnitudes.h"

#include <math.h>
#include <string.h>

#include "cfloat.h"
#include "core/integers.h"
#include "cpu/threads.h"
#include "stats/grid.h"

/* Elements that are compared with one limit after the other. */
enum { PIECE = 2048 };

/* The slack of a few last places takes a percentage as the decimal number that it was written as:
 * 99.9 of 1000 elements is 999 of them, although its double is a little above. */
static int64_t count_of_percentile(double percentile, int64_t count) {
  const double needed = ceil(percentile * (double)count / 100 * (1 - 0x1p-50));
  return needed<1 ? count > 0 : needed>(double) count ? count : (int64_t)needed;
}

int cf_count_of_percentile(double percentile, int64_t count, int64_t *needed) {
  *needed = count_of_percentile(percentile, count);
  return CF_OK;
}

cf_range_rule cf_range_rule_of(const cf_format *format, double max, int default_bias, int method,
                               double percentile, int is_float64, int64_t size) {
  cf_range_rule rule;
  rule.format = format;
  rule.max = max;
  rule.default_bias = default_bias;
  rule.method = method;
  rule.percentile = percentile;
  rule.is_float64 = is_float64;
  rule.loops = &cf_active_error_kernels()->magnitude_loops[is_float64];
  rule.size = size;
  rule.needed_of_size =
      method == CF_CHOOSE_PERCENTILE ? count_of_percentile(percentile, size) : size;
  return rule;
}

static double number_of_bits(const cf_range_rule *rule, int64_t bits) {
  if (!rule->is_float64) {
    const int32_t narrow = (int32_t)bits;
    float number;
    memcpy(&number, &narrow, sizeof number);
    return (double)number;
  }
  double number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

/* The bits of a format's largest value at some bias, which float32 has exactly. */
static int64_t bits_of_number(const cf_range_rule *rule, double number) {
  int64_t bits = 0;
  if (!rule->is_float64) {
    const float narrow = (float)number;
    int32_t narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    bits = narrow_bits;
  } else {
    memcpy(&bits, &number, sizeof bits);
  }
  return bits;
}

/* The bias that follows from a magnitude above 0; the farthest, for a subnormal float64. */
static int bias_of_magnitude(const cf_range_rule *rule, double magnitude) {
  const uint64_t mantissa = ((uint64_t)1 << 52) - 1;
  const int is_beyond =
      (cf_double_to_bits(magnitude) & mantissa) > (cf_double_to_bits(rule->max) & mantissa);
  const int bias = cf_exponent_of(rule->max) - cf_exponent_of(magnitude) -
                   (rule->method != CF_CHOOSE_MX && is_beyond);
  const cf_format *format = rule->format;
  return bias < format->bias_min   ? format->bias_min
         : bias > format->bias_max ? format->bias_max
                                   : bias;
}

/* Ask for a bias's largest value. */
static void ask(const cf_range_rule *rule, cf_range_choice *choice, int bias) {
  const double max = rule->max * cf_power_of_two(-bias);
  choice->asked[choice->limits] = bias;
  choice->limit[choice->limits++] = bits_of_number(rule, max);
}

/* Set what is to be asked: at first the next binades, which mostly is enough, or every other one of
 * a small percentage; then farther and farther ones; and between two biases all, or those that part
 * them best. */
static void set_limits(const cf_range_rule *rule, cf_range_choice *choice) {
  const int high = rule->format->bias_max, within = choice->within;
  const int between = choice->beyond - within - 1;
  choice->bias = within;
  choice->limits = 0;
  memset(choice->limit, 0, sizeof choice->limit);
  if (between == 0) {
    if (within == high && !choice->asked_zeros) { /* zeros alone may be enough */
      choice->asked_zeros = 1;
      choice->limits = 1;
    }
  } else if (between <= CF_LIMITS) {
    for (int bias = within + 1; bias < choice->beyond; ++bias) ask(rule, choice, bias);
  } else if (choice->beyond <= high || choice->step > between) {
    for (int i = 1; i <= CF_LIMITS; ++i)
      ask(rule, choice, within + (between + 1) * i / (CF_LIMITS + 1));
  } else {
    for (int i = 1; i <= CF_LIMITS && i * choice->step <= between; ++i)
      ask(rule, choice, within + i * choice->step);
    choice->step *= CF_LIMITS;
  }
}

static inline void begin(const cf_range_rule *rule, cf_range_choice *choice, int64_t peak,
                         int64_t finite) {
  const double magnitude = number_of_bits(rule, peak);
  choice->limits = 0;
  choice->bias = magnitude > 0 ? bias_of_magnitude(rule, magnitude) : rule->default_bias;
  if (magnitude <= 0 || rule->method != CF_CHOOSE_PERCENTILE) return;
  choice->needed =
      finite == rule->size ? rule->needed_of_size : count_of_percentile(rule->percentile, finite);
  if (choice->needed == finite) return;
  choice->within = choice->bias;
  choice->beyond = rule->format->bias_max + 1;
  choice->step = rule->percentile >= 25 ? 1 : rule->percentile >= 1 ? 2 : 4;
  choice->asked_zeros = 0;
  set_limits(rule, choice);
}

void cf_begin_choice(const cf_range_rule *rule, cf_range_choice *choice, int64_t peak,
                     int64_t finite) {
  begin(rule, choice, peak, finite);
}

void cf_go_on_with_choice(const cf_range_rule *rule, cf_range_choice *choice,
                          const int64_t counts[CF_LIMITS]) {
  if (choice->asked_zeros) {
    choice->limits = 0;
    if (counts[0] >= choice->needed) choice->bias = rule->default_bias;
    return;
  }
  for (int i = 0; i < choice->limits; ++i) {
    if (counts[i] < choice->needed) {
      choice->beyond = choice->asked[i];
      break;
    }
    choice->within = choice->asked[i];
  }
  set_limits(rule, choice);
}

/* What is found of some elements: their peak, or what they count. */
typedef struct found {
  int64_t peak, finite, counts[CF_LIMITS];
} found;

/* Find it; the peak unless there is a choice to go on with. */
static found go_over(const cf_range_rule *rule, const cf_range_choice *choice, const char *values,
                     int64_t count) {
  const cf_magnitude_loops *loops = rule->loops;
  const int64_t size = rule->is_float64 ? sizeof(double) : sizeof(float);
  found all = {0, 0, {0}};
  for (int64_t first = 0; first < count; first += PIECE) {
    const int32_t part = (int32_t)cf_at_most(count - first, PIECE);
    const char *from = values + first * size;
    if (choice == NULL) {
      all.finite += loops->find_peak(from, part, &all.peak);
      continue;
    }
    for (int i = 0; i < choice->limits; ++i)
      all.counts[i] += loops->count(from, part, choice->limit[i]);
  }
  return all;
}

/* A group that threads share. */
typedef struct shared {
  const cf_range_rule *rule;
  const cf_range_choice *choice;
  const char *values;
  int64_t count;
  int threads;
  found of_threads[CF_MAX_THREADS];
} shared;

static void go_over_share(void *context, int thread) {
  shared *s = context;
  const int64_t size = s->rule->is_float64 ? sizeof(double) : sizeof(float);
  int64_t begin, end;
  cf_share_of(s->count, PIECE, s->threads, thread, &begin, &end);
  s->of_threads[thread] = go_over(s->rule, s->choice, s->values + begin * size, end - begin);
}

/* The same by so many threads. */
static found share(const cf_range_rule *rule, const cf_range_choice *choice, const char *values,
                   int64_t count, int threads) {
  shared s;
  s.rule = rule;
  s.choice = choice;
  s.values = values;
  s.count = count;
  s.threads = threads;
  cf_run_threads(threads, go_over_share, &s);
  found all = s.of_threads[0];
  for (int thread = 1; thread < threads; ++thread) {
    const found *of_one = &s.of_threads[thread];
    all.peak = of_one->peak > all.peak ? of_one->peak : all.peak;
    all.finite += of_one->finite;
    for (int i = 0; i < CF_LIMITS; ++i) all.counts[i] += of_one->counts[i];
  }
  return all;
}

static found find(const cf_range_rule *rule, const cf_range_choice *choice, const char *values,
                  int64_t count, int threads) {
  return threads > 1 ? share(rule, choice, values, count, threads)
                     : go_over(rule, choice, values, count);
}

/* The choice of a short row, of which there are many. */
static int choose_for_short(const cf_range_rule *rule, const char *values, int32_t count) {
  int64_t peak = 0;
  const int64_t finite = rule->loops->find_peak(values, count, &peak);
  cf_range_choice choice;
  begin(rule, &choice, peak, finite);
  while (choice.limits > 0) {
    int64_t counts[CF_LIMITS] = {0};
    int64_t within = choice.needed;
    for (int i = 0; i < choice.limits && within >= choice.needed; ++i) /* ever fewer */
      counts[i] = within = rule->loops->count(values, count, choice.limit[i]);
    cf_go_on_with_choice(rule, &choice, counts);
  }
  return choice.bias;
}

int cf_choose_by_magnitudes(const cf_range_rule *rule, const char *values, int64_t count,
                            int threads) {
  if (count <= PIECE) return choose_for_short(rule, values, (int32_t)count);
  found all = find(rule, NULL, values, count, threads);
  cf_range_choice choice;
  begin(rule, &choice, all.peak, all.finite);
  while (choice.limits > 0) {
    all = find(rule, &choice, values, count, threads);
    cf_go_on_with_choice(rule, &choice, all.counts);
  }
  return choice.bias;
}
