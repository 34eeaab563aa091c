/* Sums and extremes of codes along the middle axis of three, and comparisons of codes. */
#include <string.h>

#include "arithmetic/loops.h"
#include "convert/prepare.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"

/* Codes that are decoded at a time; what is summed up before it is added to the rest, and what
 * threads share of one sum (cfloat_api.h).  Sums of values below 2^EXACT_BITS units are exact; 2^53
 * units are a float64, so that those of so many values, or of values of few bits, need no care. */
enum { BLOCK = 4096, CHUNK = 1 << 20, EXACT_BITS = 42, EXACT_CHUNK = 1 << 19 };
enum { EXACT_BLOCK = 1 << (53 - EXACT_BITS), FEW_BITS = 53 - 19 };

enum { ELEMENTS_PER_THREAD = 1 << 17 };

/* Fewer are added as floats before there are multipliers. */
enum { LEAST_INTEGERS = 2048 };

/* Columns that have their sums at a time, or their largest keys. */
enum { COLUMNS = 2048 };

typedef struct reduction {
  const cf_format *format;
  const char *codes;
  int64_t outer, length, inner;
  int threads;
  size_t code_size;
  /* sums */
  int bias;
  size_t group; /* so many values add up exactly in float32 */
  int is_exact;
  int64_t exact_block; /* the sum of so many values is a float64 */
  int64_t chunk;
  const cf_integer_rule *integers; /* NULL if codes are not added as integers */
  double unit;                     /* of integers */
  int max_magnitude;               /* the largest one of finite codes */
  double *sums;
  int64_t first_chunk, chunks;
  double of_chunks[CF_MAX_THREADS], low_of_chunks[CF_MAX_THREADS];
  /* the largest */
  cf_key_rule keys;
  char *results;
  int magnitudes[CF_MAX_THREADS], of_shares[CF_MAX_THREADS];
} reduction;

static void decode(const reduction *r, int64_t first, int64_t count, float *values) {
  const cf_rule rule = cf_rule_of(r->format, CF_TIES_TO_EVEN, 0, NULL);
  const int16_t bias = (int16_t)r->bias;
  cf_decode_kernel_of(r->format, CF_FLOAT32)(
      &rule, &bias, 0, r->codes + (size_t)first * r->code_size, values, (size_t)count, NULL);
}

/* Of at most BLOCK values. */
static double sum_of_block(const reduction *r, const float *values, int64_t count) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const size_t whole = (size_t)count / CF_SUM_LANES * CF_SUM_LANES;
  double lanes[CF_SUM_LANES];
  for (int i = 0; i < CF_SUM_LANES; ++i) lanes[i] = -0.0;
  if (r->group > 1)
    loops->add_groups_to_lanes(values, whole, r->group, lanes);
  else
    loops->add_to_lanes(values, whole, lanes);
  for (size_t i = whole; i < (size_t)count; ++i) lanes[i - whole] += (double)values[i];
  for (int step = CF_SUM_LANES / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lanes[i] += lanes[i + step];
  return lanes[0];
}

/* What was added to *sum and lost is added to *low (Knuth). */
static void add_exactly(double *sum, double *low, double addend) {
  const double x = *sum, total = x + addend, from_addend = total - x;
  *low += (x - (total - from_addend)) + (addend - from_addend);
  *sum = total;
}

/* sum + low, rounded to odd. */
static double to_odd(double sum, double low) {
  double total = sum, rest = 0;
  uint64_t bits, sign;
  add_exactly(&total, &rest, low);
  /* of an infinity or NaN the rest is NaN */
  if (!(rest != 0) || rest != rest) return low != low ? sum : total;
  memcpy(&bits, &total, 8);
  memcpy(&sign, &rest, 8);
  bits = (bits - ((bits ^ sign) >> 63)) | 1;
  memcpy(&total, &bits, 8);
  return total;
}

static void add(const reduction *r, double *sum, double *low, double addend) {
  if (r->is_exact)
    add_exactly(sum, low, addend);
  else
    *sum += addend;
}

/* As integers, if that is a way: 1 if it was.  The sign of zero, and what is not finite, floats
 * know. */
static int sum_as_integers(const reduction *r, int64_t first, int64_t count, double *sum,
                           double *low) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const char *codes = r->codes + (size_t)first * r->code_size;
  int magnitude = 0;
  if (r->integers == NULL) return 0;
  const int64_t units =
      r->code_size == 1
          ? loops->sum_integers((const uint8_t *)codes, (size_t)count, r->integers, &magnitude)
          : loops->sum_wide_integers((const uint16_t *)codes, (size_t)count, r->integers,
                                     &magnitude);
  if (units == 0 || magnitude > r->max_magnitude) return 0;
  const int64_t lower = units & 0xFFFFFFFF;
  *sum = (double)(units - lower) * r->unit;
  add_exactly(sum, low, (double)lower * r->unit);
  return 1;
}

/* The sum is *sum + *low. */
static void sum_of_chunk(const reduction *r, int64_t first, int64_t count, double *sum,
                         double *low) {
  float values[BLOCK];
  *sum = -0.0;
  *low = 0;
  if (sum_as_integers(r, first, count, sum, low)) return;
  const int64_t block = cf_at_most(BLOCK, r->exact_block);
  for (int64_t i = 0; i < count; i += block) {
    const int64_t part = cf_at_most(count - i, block);
    decode(r, first + i, part, values);
    add(r, sum, low, sum_of_block(r, values, part));
  }
}

static void add_chunk(const reduction *r, double *sum, double *low, double of_chunk,
                      double low_of_chunk) {
  add(r, sum, low, of_chunk);
  *low += low_of_chunk;
}

/* Chunks of the one sum there is. */
static void sum_chunks(void *context, int index) {
  reduction *r = context;
  const uint64_t modes = cf_set_default_float_modes();
  for (int64_t i = index; i < r->chunks; i += r->threads) {
    const int64_t first = (r->first_chunk + i) * r->chunk;
    sum_of_chunk(r, first, cf_at_most(r->length - first, r->chunk), &r->of_chunks[i],
                 &r->low_of_chunks[i]);
  }
  cf_restore_float_modes(modes);
}

/* Sums of rows, of which short ones are decoded together. */
static void sum_rows(void *context, int index) {
  const reduction *r = context;
  const uint64_t modes = cf_set_default_float_modes();
  int64_t begin, end;
  cf_share_of(r->outer, 1, r->threads, index, &begin, &end);
  while (begin < end) {
    float values[BLOCK];
    if (r->length > BLOCK || r->length > r->exact_block || r->integers != NULL) {
      double sum = -0.0, low = 0;
      for (int64_t i = 0; i < r->length; i += r->chunk) {
        double of_chunk, low_of_chunk;
        sum_of_chunk(r, begin * r->length + i, cf_at_most(r->length - i, r->chunk), &of_chunk,
                     &low_of_chunk);
        add_chunk(r, &sum, &low, of_chunk, low_of_chunk);
      }
      r->sums[begin++] = r->is_exact ? to_odd(sum, low) : sum;
      continue;
    }
    const int64_t rows = cf_at_most(end - begin, BLOCK / r->length);
    decode(r, begin * r->length, rows * r->length, values);
    for (int64_t i = 0; i < rows; ++i)
      r->sums[begin++] = -0.0 + sum_of_block(r, values + i * r->length, r->length);
  }
  cf_restore_float_modes(modes);
}

/* Codes that are needed next, which are not behind those that were needed last, nor maybe on their
 * page. */
static void prefetch(const reduction *r, int64_t first, int64_t count) {
  const char *from = r->codes + (size_t)first * r->code_size;
  const int64_t size = count * (int64_t)r->code_size;
  for (int64_t i = 0; i < size; i += CF_CACHE_LINE) CF_PREFETCH(from + i);
}

/* Add rows of `width` columns from `base` on, `most` of which are decoded at a time. */
static void add_rows(const reduction *r, const cf_arithmetic_loops *loops, int64_t base,
                     int64_t width, int64_t most, int64_t row, int64_t last, double *sums) {
  float values[BLOCK], narrow[COLUMNS];
  size_t in_narrow = 0;
  while (row < last) {
    const int64_t rows = cf_at_most(last - row, most);
    decode(r, base + row * r->inner, rows * width, values);
    row += rows;
    if (rows == 1 && row < last) prefetch(r, base + row * r->inner, width);
    for (int64_t i = 0; i < rows; ++i) {
      const float *own = values + i * width;
      if (r->group == 1) {
        loops->add_to_sums(own, (size_t)width, sums);
        continue;
      }
      if (in_narrow == 0)
        memcpy(narrow, own, (size_t)width * sizeof *narrow);
      else
        loops->add(narrow, own, narrow, (size_t)width);
      if (++in_narrow < r->group) continue;
      loops->add_to_sums(narrow, (size_t)width, sums);
      in_narrow = 0;
    }
  }
  if (in_narrow != 0) loops->add_to_sums(narrow, (size_t)width, sums);
}

/* Sums of columns: each adds its values one after the other, those that add up exactly as float32
 * so many at a time. */
static void sum_columns(void *context, int index) {
  const reduction *r = context;
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const uint64_t modes = cf_set_default_float_modes();
  const int64_t tiles = cf_divide_up(r->inner, COLUMNS);
  int64_t begin, end;
  cf_share_of(r->outer * tiles, 1, r->threads, index, &begin, &end);
  for (; begin < end; ++begin) {
    const int64_t column = begin % tiles * COLUMNS;
    const int64_t width = cf_at_most(r->inner - column, COLUMNS);
    const int64_t base = begin / tiles * r->length * r->inner + column;
    const int64_t most = width == r->inner ? BLOCK / width : 1;
    double *sums = r->sums + begin / tiles * r->inner + column;
    double of_chunk[COLUMNS], low[COLUMNS];
    for (int64_t i = 0; i < width; ++i) sums[i] = -0.0;
    for (int64_t i = 0; i < width; ++i) low[i] = 0;
    for (int64_t row = 0; row < r->length;) {
      /* the first chunk, mostly the only one, is not added to anything */
      const int64_t last = cf_at_most(r->length, row + r->exact_block);
      double *to = row == 0 ? sums : of_chunk;
      for (int64_t i = 0; i < width; ++i) to[i] = -0.0;
      add_rows(r, loops, base, width, most, row, last, to);
      if (row != 0)
        for (int64_t i = 0; i < width; ++i) add_exactly(&sums[i], &low[i], of_chunk[i]);
      row = last;
    }
    if (r->length > r->exact_block)
      for (int64_t i = 0; i < width; ++i) sums[i] = to_odd(sums[i], low[i]);
  }
  cf_restore_float_modes(modes);
}

static int set_shape(reduction *r, const cf_format *format, const void *codes, int64_t outer,
                     int64_t length, int64_t inner, int threads) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (outer < 0 || length < 1 || inner < 0) return CF_BAD_LAYOUT;
  r->format = format;
  r->codes = codes;
  r->outer = outer;
  r->length = length;
  r->inner = inner;
  r->code_size = cf_code_size(format);
  r->threads = cf_useful_threads((double)outer * (double)length * (double)inner,
                                 ELEMENTS_PER_THREAD, threads);
  return CF_OK;
}

/* The multiplier of an exponent field, as a shift; -1 if all its values are 0 or none is finite. */
static int shift_of_field(const cf_format *format, const cf_params *params, int field) {
  const int m = format->mantissa_bits;
  uint64_t units[2];
  for (int i = 0; i < 2; ++i) {
    const cf_real value = cf_unpack(params, 0, (uint64_t)(field << m | i));
    const int up = value.exponent - cf_format_quantum(format);
    /* a field that has an infinity or NaN has them last */
    if (value.kind != CF_KIND_FINITE) return -1;
    units[i] = value.significand == 0 ? 0
               : up >= 0              ? value.significand << up
                                      : value.significand >> -up;
  }
  /* subnormal numbers that are flushed have no step */
  return units[1] == units[0] ? -1 : cf_log2(units[1] - units[0]);
}

/* What codes are as multiples of the quantum; 0 if that takes other integers, or there are no
 * loops for it. */
static int integers_of(const cf_format *format, const cf_params *params, cf_integer_rule *rule) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const int m = format->mantissa_bits, is_wide = params->sign_mask == 0x8000;
  if (params->no_negative_zero || params->subnormals == CF_SUBNORMALS_NORMAL) return 0;
  memset(rule, 0, sizeof *rule);
  rule->mantissa_bits = m;
  if (is_wide) {
    if (loops->sum_wide_integers == NULL || m != 10) return 0;
    for (int field = 0; field < 32; ++field) {
      const int shift = shift_of_field(format, params, field);
      if (shift >= 0)
        rule->wide_multipliers[shift / CF_WIDE_PLANE][field] =
            (int16_t)(1 << shift % CF_WIDE_PLANE);
    }
    return 1;
  }
  const int fields = 128 >> m;
  if (loops->sum_integers == NULL || params->sign_mask != 0x80 || m < 1 || m > 4 || fields > 32)
    return 0;
  for (int field = 0; field < fields; ++field) {
    const int shift = shift_of_field(format, params, field);
    if (shift < 0) continue;
    if (shift > 31) return 0;
    rule->hidden[field / 16][field % 16] =
        (uint8_t)(field >= cf_first_normal_field(params->subnormals) ? 1 << m : 0);
    rule->multipliers[shift / 8][field / 16][field % 16] = (uint8_t)(1 << shift % 8);
    if (shift / 8 + 1 > rule->planes) rule->planes = shift / 8 + 1;
  }
  return 1;
}

static int round_sums(const double *sums, int64_t count, double divisor, float *results) {
  const uint64_t modes = cf_set_default_float_modes();
  int others = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double value = sums[i] / divisor;
    uint64_t bits;
    memcpy(&bits, &value, 8);
    const uint64_t exponent = bits >> 52 & 0x7FF;
    const int is_usual = (exponent >= 1023 - 126 && exponent < 1023 + 127) || bits == 0;
    results[i] = is_usual ? (float)value : 0;
    others |= !is_usual;
  }
  cf_restore_float_modes(modes);
  return others;
}

int cf_sum_codes(const cf_format *format, int bias, const void *codes, int64_t outer,
                 int64_t length, int64_t inner, double divisor, double *sums, float *results,
                 int *others, int threads) {
  reduction r;
  const int status = set_shape(&r, format, codes, outer, length, inner, threads);
  if (status != CF_OK) return status;
  if (bias < format->bias_min || bias > format->bias_max) return CF_BAD_BIAS;
  r.bias = bias;
  r.sums = sums;
  const int top = cf_format_max_exponent_field(format) - bias + 1;
  const int lowest = cf_format_quantum(format) - bias, room = 24 - (top - lowest);
  const int is_narrow = room > 0 && lowest >= -126 && top <= 100;
  r.group = is_narrow ? (size_t)1 << cf_at_most(room, 8) : 1;
  r.is_exact = top - lowest <= EXACT_BITS;
  r.exact_block = !r.is_exact                ? INT64_MAX / 2
                  : top - lowest <= FEW_BITS ? EXACT_CHUNK
                                             : EXACT_BLOCK;
  r.chunk = r.is_exact ? EXACT_CHUNK : CHUNK;
  r.integers = NULL;
  cf_integer_rule integers;
  const cf_params params = cf_format_params(format);
  if (inner == 1 && outer * length >= LEAST_INTEGERS && r.is_exact &&
      integers_of(format, &params, &integers)) {
    const uint64_t bits = (uint64_t)(1023 + lowest) << 52;
    r.integers = &integers;
    memcpy(&r.unit, &bits, 8);
    r.max_magnitude = (int)params.max_code;
  }
  if (inner != 1) {
    cf_run_threads(r.threads, sum_columns, &r);
  } else if (outer != 1) {
    cf_run_threads(r.threads, sum_rows, &r);
  } else {
    const int64_t chunks = cf_divide_up(length, r.chunk);
    double sum = -0.0, low = 0;
    for (r.first_chunk = 0; r.first_chunk < chunks; r.first_chunk += r.chunks) {
      r.chunks = cf_at_most(chunks - r.first_chunk, CF_MAX_THREADS);
      if (r.threads > r.chunks) r.threads = (int)r.chunks;
      cf_run_threads(r.threads, sum_chunks, &r);
      const uint64_t modes = cf_set_default_float_modes();
      for (int64_t i = 0; i < r.chunks; ++i)
        add_chunk(&r, &sum, &low, r.of_chunks[i], r.low_of_chunks[i]);
      cf_restore_float_modes(modes);
    }
    sums[0] = r.is_exact ? to_odd(sum, low) : sum;
  }
  *others = round_sums(sums, outer * inner, divisor, results);
  return CF_OK;
}

/* The key of no code is smaller. */
static int least_key(const reduction *r) { return r->code_size == 1 ? INT8_MIN : INT16_MIN; }

static int key_of(const reduction *r, int code) {
  const int bits = (int)r->code_size * 8, placed = code << r->keys.shift;
  const int is_first = placed >> (bits - 1) & 1;
  const int key = (placed ^ (is_first ? r->keys.low : 0) ^ r->keys.turned) & ((1 << bits) - 1);
  return key - ((key >> (bits - 1)) << bits);
}

static int largest_key(const reduction *r, int64_t first, int64_t count, int *magnitude) {
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const char *codes = r->codes + (size_t)first * r->code_size;
  const uint8_t *narrow = (const uint8_t *)codes;
  const uint16_t *wide = (const uint16_t *)codes;
  if (r->keys.shift != 0)
    return r->code_size == 1
               ? loops->largest_key8(narrow, (size_t)count, r->keys, least_key(r), magnitude)
               : loops->largest_key16(wide, (size_t)count, r->keys, least_key(r), magnitude);
  /* the largest key, and the largest magnitude, are of one of these */
  const cf_extreme_codes found = r->code_size == 1 ? loops->extremes8(narrow, (size_t)count)
                                                   : loops->extremes16(wide, (size_t)count);
  const int all = (1 << (r->code_size * 8)) - 1;
  const int of_any[4] = {found.min_signed & all, found.max_signed & all, found.min_unsigned,
                         found.max_unsigned};
  int largest = least_key(r);
  for (int i = 0; i < 4; ++i) {
    const int key = key_of(r, of_any[i]), own = of_any[i] & r->keys.mask;
    largest = key > largest ? key : largest;
    *magnitude = own > *magnitude ? own : *magnitude;
  }
  return largest;
}

static void put_code(const reduction *r, int64_t place, int key) {
  const int bits = (int)r->code_size * 8;
  const int turned = key ^ r->keys.turned;
  const int placed = bits == 8 ? (int8_t)turned : (int16_t)turned;
  const int code = (placed ^ (placed >> (bits - 1) & r->keys.low)) & ((1 << bits) - 1);
  if (r->code_size == 1) {
    ((uint8_t *)r->results)[place] = (uint8_t)(code >> r->keys.shift);
  } else {
    const uint16_t wide = (uint16_t)(code >> r->keys.shift);
    memcpy(r->results + place * 2, &wide, 2);
  }
}

static void find_in_share(void *context, int index) {
  reduction *r = context;
  int64_t begin, end;
  cf_share_of(r->length, 1, r->threads, index, &begin, &end);
  r->of_shares[index] = largest_key(r, begin, end - begin, &r->magnitudes[index]);
}

static void find_in_rows(void *context, int index) {
  reduction *r = context;
  int64_t begin, end;
  cf_share_of(r->outer, 1, r->threads, index, &begin, &end);
  for (; begin < end; ++begin)
    put_code(r, begin, largest_key(r, begin * r->length, r->length, &r->magnitudes[index]));
}

static void find_in_columns(void *context, int index) {
  reduction *r = context;
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  const int64_t tiles = cf_divide_up(r->inner, COLUMNS);
  int64_t begin, end;
  cf_share_of(r->outer * tiles, 1, r->threads, index, &begin, &end);
  for (; begin < end; ++begin) {
    const int64_t column = begin % tiles * COLUMNS;
    const int64_t width = cf_at_most(r->inner - column, COLUMNS);
    int16_t keys[COLUMNS];
    int8_t bytes[COLUMNS];
    for (int i = 0; i < COLUMNS; ++i) keys[i] = INT16_MIN, bytes[i] = INT8_MIN;
    for (int64_t row = 0; row < r->length; ++row) {
      const int64_t first = (begin / tiles * r->length + row) * r->inner + column;
      const char *codes = r->codes + (size_t)first * r->code_size;
      if (width < r->inner && row + 1 < r->length) prefetch(r, first + r->inner, width);
      if (r->code_size == 1)
        loops->larger_keys8((const uint8_t *)codes, (size_t)width, r->keys, bytes,
                            &r->magnitudes[index]);
      else
        loops->larger_keys16((const uint16_t *)codes, (size_t)width, r->keys, keys,
                             &r->magnitudes[index]);
    }
    for (int64_t i = 0; i < width; ++i)
      put_code(r, begin / tiles * r->inner + column + i, r->code_size == 1 ? bytes[i] : keys[i]);
  }
}

int cf_largest_codes(const cf_format *format, int smallest, const void *codes, int64_t outer,
                     int64_t length, int64_t inner, void *results, int *nans, int threads) {
  reduction r;
  const int status = set_shape(&r, format, codes, outer, length, inner, threads);
  if (status != CF_OK) return status;
  const cf_params params = cf_format_params(format);
  if (params.no_negative_zero) return CF_BAD_FORMAT;
  const int stored = (int)r.code_size * 8, all = (1 << stored) - 1;
  r.keys.shift = stored - cf_log2(params.sign_mask + params.magnitude_mask) - 1;
  r.keys.low = format->is_signed ? all >> 1 : 0;
  /* the first bit is that of unsigned numbers, which are compared as signed ones */
  r.keys.turned = (format->is_signed ? 0 : 1 << (stored - 1)) ^ (smallest ? all : 0);
  r.keys.mask = params.has_nan ? (int)params.magnitude_mask : 0;
  r.results = results;
  for (int i = 0; i < r.threads; ++i) r.magnitudes[i] = 0;
  if (inner != 1) {
    cf_run_threads(r.threads, find_in_columns, &r);
  } else if (outer != 1) {
    cf_run_threads(r.threads, find_in_rows, &r);
  } else {
    int largest = least_key(&r);
    cf_run_threads(r.threads, find_in_share, &r);
    for (int i = 0; i < r.threads; ++i)
      if (r.of_shares[i] > largest) largest = r.of_shares[i];
    put_code(&r, 0, largest);
  }
  *nans = 0;
  for (int i = 0; i < r.threads; ++i)
    *nans |= r.magnitudes[i] > (int)params.max_code + params.has_infinity;
  return CF_OK;
}

/* No key is as large, be it of 8 bits or of 16. */
enum { KEYS8 = INT16_MAX, KEYS16 = INT32_MAX };

typedef struct comparison {
  int threads;
  cf_compare_rule rule;
  size_t code_size;
  const char *a, *b;
  uint8_t *results;
  int64_t count;
} comparison;

static void compare_share(void *context, int index) {
  const comparison *c = context;
  const cf_arithmetic_loops *loops = cf_active_arithmetic_loops();
  int64_t begin, end;
  cf_share_of(c->count, CF_CACHE_LINE, c->threads, index, &begin, &end);
  const char *a = c->a + begin * (int64_t)c->code_size, *b = c->b + begin * (int64_t)c->code_size;
  const size_t count = (size_t)(end - begin);
  if (c->code_size == 1)
    loops->compare8((const uint8_t *)a, (const uint8_t *)b, &c->rule, c->results + begin, count);
  else
    loops->compare16((const uint16_t *)a, (const uint16_t *)b, &c->rule, c->results + begin, count);
}

int cf_compare_codes(int compared_as, const cf_format *format, const void *a, const void *b,
                     uint8_t *results, size_t count, int threads) {
  if (compared_as < CF_EQUAL || compared_as > CF_LESS_EQUAL) return CF_BAD_TYPE;
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  const cf_params params = cf_format_params(format);
  comparison c;
  c.rule.if_equal = compared_as != CF_LESS;
  c.rule.if_less = compared_as == CF_LESS || compared_as == CF_LESS_EQUAL;
  c.rule.turned = compared_as == CF_NOT_EQUAL;
  /* a NaN is neither like any of the other array, nor less */
  c.rule.nan_a = cf_code_size(format) == 1 ? KEYS8 : KEYS16;
  c.rule.nan_b = -c.rule.nan_a;
  c.rule.sign = (int)params.sign_mask;
  c.rule.magnitude = (int)params.magnitude_mask;
  c.rule.has_zero = format->subnormals != CF_SUBNORMALS_NORMAL;
  c.rule.least = format->subnormals == CF_SUBNORMALS_FLUSH ? 1 << format->mantissa_bits : 0;
  c.rule.top = (int)params.max_code + params.has_infinity;
  c.rule.nan = params.no_negative_zero ? (int)params.sign_mask : -1;
  c.code_size = cf_code_size(format);
  c.a = a;
  c.b = b;
  c.results = results;
  c.count = (int64_t)count;
  c.threads = cf_useful_threads((double)count, ELEMENTS_PER_THREAD, threads);
  cf_run_threads(c.threads, compare_share, &c);
  return CF_OK;
}
