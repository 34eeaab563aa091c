/* Operands of exact products as integers, and the integers as digits. */
#include "matmul/exact/digits.h"

#include <stdlib.h>
#include <string.h>

#include "core/integers.h"
#include "core/scalar.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"

/* Exponents of the last and the first bit of a number that is not there. */
enum { NO_LAST = 1 << 20, NO_FIRST = -(1 << 20) };

enum { MEASURED_PER_THREAD = 1 << 17, LINES_AHEAD = 8 };

/* The number of lines in a run across them that starts at `line`, or elements in one along a
 * line. */
static size_t run_length(int64_t at, int64_t end, int64_t most) {
  return (size_t)cf_at_most(end - at, most);
}

/* What a thread finds out about its lines. */
typedef struct findings {
  int has_special, bits;
  uint8_t seen[CF_CODES8];
} findings;

typedef struct measuring {
  const cf_digits *digits;
  int threads;
  findings *found;
} measuring;

static void see_codes(const cf_operand *operand, cf_direction direction, int64_t begin, int64_t end,
                      uint8_t *seen) {
  const int by_line = direction == CF_ALONG_LINE;
  const int64_t outer = by_line ? end - begin : operand->inner,
                inner = by_line ? operand->inner : end - begin;
  const int64_t outer_stride = by_line ? operand->line_stride : operand->inner_stride;
  const int64_t inner_stride = by_line ? operand->inner_stride : operand->line_stride;
  const uint8_t *first = (const uint8_t *)operand->elements + begin * operand->line_stride;
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t j = 0; j < inner; ++j) seen[first[i * outer_stride + j * inner_stride]] = 1;
}

static uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* The exponents of the last and the first bit of each of a run, and whether one is infinite or
 * NaN. */
static int find_ends(const uint32_t *values, size_t count, int32_t *last, int32_t *first) {
  int has_special = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t magnitude = values[i] & 0x7FFFFFFFu, exponent = magnitude >> 23;
    const uint32_t normal = exponent != 0, special = exponent == 255;
    const uint32_t significand = (magnitude & 0x7FFFFFu) | normal << 23;
    const int32_t place = (int32_t)(exponent + 1 - normal) - 150 - 127;
    /* integers of few bits become floats exactly, and their exponents are what is looked for */
    const uint32_t last_bit = bits_of_float((float)(int32_t)(significand & (0 - significand)));
    const uint32_t first_bit = bits_of_float((float)(int32_t)significand);
    const int none = (magnitude == 0) | (int)special;
    has_special |= (int)special;
    last[i] = none ? NO_LAST : place + (int32_t)(last_bit >> 23);
    first[i] = none ? NO_FIRST : place + (int32_t)(first_bit >> 23);
  }
  return has_special;
}

static void measure_lines(const cf_digits *digits, int64_t begin, int64_t end, findings *found) {
  const cf_operand *operand = &digits->operand;
  uint32_t values[CF_RUN_PIECE];
  int32_t last[CF_RUN_PIECE], first[CF_RUN_PIECE];
  if (digits->direction == CF_ALONG_LINE) {
    for (int64_t line = begin; line < end; ++line) {
      int32_t unit = NO_LAST, top = NO_FIRST;
      for (int64_t k = 0; k < operand->inner;) {
        const size_t count = run_length(k, operand->inner, CF_RUN_PIECE);
        cf_operand_decode(operand, CF_ALONG_LINE, line, k, count, values);
        found->has_special |= find_ends(values, count, last, first);
        for (size_t i = 0; i < count; ++i) {
          unit = last[i] < unit ? last[i] : unit;
          top = first[i] > top ? first[i] : top;
        }
        k += (int64_t)count;
      }
      digits->units[line] = unit;
      if (top - unit + 1 > found->bits) found->bits = top - unit + 1;
    }
    return;
  }
  for (int64_t line = begin; line < end;) {
    const size_t count = run_length(line, end, CF_RUN_PIECE);
    int32_t *units = digits->units + line, tops[CF_RUN_PIECE];
    for (size_t i = 0; i < count; ++i) {
      units[i] = NO_LAST;
      tops[i] = NO_FIRST;
    }
    for (int64_t k = 0; k < operand->inner; ++k) {
      cf_operand_decode(operand, CF_ACROSS_LINES, line, k, count, values);
      found->has_special |= find_ends(values, count, last, first);
      for (size_t i = 0; i < count; ++i) {
        units[i] = last[i] < units[i] ? last[i] : units[i];
        tops[i] = first[i] > tops[i] ? first[i] : tops[i];
      }
    }
    for (size_t i = 0; i < count; ++i)
      if (tops[i] - units[i] + 1 > found->bits) found->bits = tops[i] - units[i] + 1;
    line += (int64_t)count;
  }
}

static void measure_share(void *context, int index) {
  const measuring *m = context;
  int64_t begin, end;
  cf_share_of(m->digits->operand.lines, 1, m->threads, index, &begin, &end);
  findings *found = &m->found[index];
  memset(found, 0, sizeof *found);
  if (m->digits->by_table) {
    see_codes(&m->digits->operand, m->digits->direction, begin, end, found->seen);
  } else {
    const uint64_t modes = cf_set_default_float_modes();
    measure_lines(m->digits, begin, end, found);
    cf_restore_float_modes(modes);
  }
}

/* The integer of a code at bias 0, in units of the format's quantum: significand * 2^shift. */
static cf_real integer_of_code(const cf_operand *operand, unsigned code) {
  cf_real real = cf_unpack(&operand->rule.params, 0, code);
  real.exponent -= operand->quantum;
  return real;
}

/* The integers that codes stand for, at most once each, go to the first table. */
static void tabulate_integers(cf_digits *digits, const uint8_t *seen) {
  const cf_operand *operand = &digits->operand;
  int unit = NO_LAST;
  digits->has_special = digits->bits = 0;
  digits->max_integer = 0;
  for (unsigned code = 0; code < CF_CODES8; ++code) {
    const cf_real real = integer_of_code(operand, code);
    if (!seen[code]) continue;
    digits->has_special |= real.kind != CF_KIND_FINITE;
    if (real.kind != CF_KIND_FINITE || real.significand == 0) continue;
    const int last = real.exponent + cf_log2(real.significand & (0 - real.significand));
    if (last < unit) unit = last;
  }
  if (unit == NO_LAST) unit = 0;
  for (unsigned code = 0; code < CF_CODES8; ++code) {
    const cf_real real = integer_of_code(operand, code);
    const int is_integer = seen[code] && real.kind == CF_KIND_FINITE && real.significand != 0;
    const double integer =
        is_integer ? (double)real.significand * cf_power_of_2(real.exponent - unit) : 0;
    digits->tables[0][code] = real.sign ? -integer : integer;
    if (integer <= digits->max_integer) continue;
    digits->max_integer = integer;
    digits->bits = real.exponent - unit + cf_log2(real.significand) + 1;
  }
  const int64_t step = operand->line_bias_stride == 0 ? operand->lines : operand->line_block;
  for (int64_t line = 0; line < operand->lines;) {
    const int bias = cf_operand_bias(operand, line, 0);
    const int64_t end = step > operand->lines - line ? operand->lines : line + step;
    for (; line < end; ++line) digits->units[line] = operand->quantum + unit - bias;
  }
}

int cf_digits_measure(cf_digits *digits, int threads) {
  const int64_t lines = digits->operand.lines;
  measuring m;
  if (digits->is_measured) return CF_OK;
  threads = cf_useful_threads((double)lines * (double)digits->operand.inner, MEASURED_PER_THREAD,
                              threads);
  m.digits = digits;
  m.threads = (int)cf_at_most(threads, lines);
  if (m.threads < 1) m.threads = 1; /* no lines */
  m.found = malloc((size_t)m.threads * sizeof *m.found);
  if (m.found == NULL) return CF_NO_MEMORY;
  cf_run_threads(m.threads, measure_share, &m);
  findings *all = &m.found[0];
  for (int i = 1; i < m.threads; ++i) {
    all->has_special |= m.found[i].has_special;
    if (m.found[i].bits > all->bits) all->bits = m.found[i].bits;
    for (int code = 0; code < CF_CODES8; ++code) all->seen[code] |= m.found[i].seen[code];
  }
  digits->is_measured = 1;
  if (digits->by_table) {
    tabulate_integers(digits, all->seen);
  } else {
    digits->has_special = all->has_special;
    digits->bits = all->bits;
    digits->max_integer = cf_power_of_2(digits->bits);
    for (int64_t line = 0; line < lines; ++line)
      if (digits->units[line] == NO_LAST) digits->units[line] = 0; /* zeros, of whatever unit */
  }
  free(m.found);
  return CF_OK;
}

int cf_digits_new(cf_digits *digits, const cf_operand *operand, int threads) {
  memset(digits, 0, sizeof *digits);
  digits->operand = *operand;
  digits->direction = cf_operand_direction(operand);
  digits->by_table =
      operand->type == CF_CODES && operand->size == 1 && cf_operand_has_line_biases(operand);
  if (!cf_operand_biases_allowed(operand)) return CF_BAD_BIAS;
  digits->units = malloc((size_t)operand->lines * sizeof *digits->units);
  if (digits->units == NULL) return CF_NO_MEMORY;
  if (digits->by_table) {
    digits->tables = malloc((CF_DIGITS_MAX + 1) * sizeof *digits->tables);
    if (digits->tables == NULL) return CF_NO_MEMORY;
    if (!operand->rule.params.has_nan) {
      uint8_t seen[CF_CODES8];
      memset(seen, 1, sizeof seen);
      tabulate_integers(digits, seen);
      return CF_OK;
    }
  }
  return cf_digits_measure(digits, threads);
}

void cf_digits_free(cf_digits *digits) {
  free(digits->units);
  free(digits->tables);
}

/* Cut the upper digit off integers, leaving the lower ones: to nearest, by addition of what has its
 * last bit there. */
static void cut_digit(double *integers, size_t count, int shift, double *cut) {
  const double anchor = 1.5 * cf_power_of_2(52 + shift), unit = cf_power_of_2(-shift);
  for (size_t i = 0; i < count; ++i) {
    const double upper = (integers[i] + anchor) - anchor;
    integers[i] -= upper;
    cut[i] = upper * unit;
  }
}

void cf_digits_set_width(cf_digits *digits, int planes, int width) {
  digits->planes = planes;
  digits->width = width;
  if (!digits->by_table) return;
  for (int plane = planes - 1; plane > 0; --plane)
    cut_digit(digits->tables[0], CF_CODES8, plane * width, digits->tables[plane]);
  for (unsigned code = 0; digits->has_special && code < CF_CODES8; ++code) {
    const cf_real real = integer_of_code(&digits->operand, code);
    uint32_t class_bits = real.significand != 0 ? 0x3F800000u : 0;
    float class;
    if (real.kind != CF_KIND_FINITE)
      class_bits = real.kind == CF_KIND_NAN ? CF_FLOAT32_NAN_BITS : 0x7F800000u;
    if (real.sign) class_bits |= 0x80000000u;
    memcpy(&class, &class_bits, sizeof class);
    digits->tables[planes][code] = (double)class;
  }
}

/* The class of a float32. */
static double class_of(uint32_t bits) {
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t class_bits =
      magnitude == 0 || magnitude >= 0x7F800000u ? bits : (bits & 0x80000000u) | 0x3F800000u;
  float class;
  if (magnitude > 0x7F800000u) class_bits = CF_FLOAT32_NAN_BITS;
  memcpy(&class, &class_bits, sizeof class);
  return (double)class;
}

/* A run's places in the panels of a plane: element i goes to place i * step, or to place i of its
 * panel. */
typedef struct places {
  int64_t panel; /* elements of one */
  int width;
} places;

static void put_along(double *to, int64_t step, const double *digits, size_t count) {
  for (size_t i = 0; i < count; ++i) to[(int64_t)i * step] = digits[i];
}

static void put_across(double *to, places p, const double *digits, size_t count) {
  for (size_t i = 0; i < count; i += (size_t)p.width, to += p.panel) {
    const size_t lines = count - i < (size_t)p.width ? count - i : (size_t)p.width;
    memcpy(to, digits + i, lines * sizeof *to);
  }
}

/* A run that is not by table: decoded, and cut into digits. */
static void pack_run(const cf_digits *digits, int64_t line, int64_t k, size_t count, double *to,
                     int64_t plane_size, places p) {
  const int by_line = digits->direction == CF_ALONG_LINE;
  uint32_t values[CF_RUN_PIECE];
  double integers[CF_RUN_PIECE], digit[CF_RUN_PIECE];
  cf_operand_decode(&digits->operand, digits->direction, line, k, count, values);
  if (digits->has_special) {
    double *classes = to + digits->planes * plane_size;
    for (size_t i = 0; i < count; ++i) {
      digit[i] = class_of(values[i]);
      if ((values[i] & 0x7F800000u) == 0x7F800000u) values[i] = 0;
    }
    if (by_line)
      put_along(classes, p.width, digit, count);
    else
      put_across(classes, p, digit, count);
  }
  const double line_scale = cf_power_of_2(-digits->units[line]);
  for (size_t i = 0; i < count; ++i) {
    float value;
    memcpy(&value, &values[i], sizeof value);
    integers[i] =
        (double)value * (by_line ? line_scale : cf_power_of_2(-digits->units[line + (int64_t)i]));
  }
  for (int plane = digits->planes - 1; plane >= 0; --plane) {
    const double *these = plane > 0 ? digit : integers;
    if (plane > 0) cut_digit(integers, count, plane * digits->width, digit);
    if (by_line)
      put_along(to + plane * plane_size, p.width, these, count);
    else
      put_across(to + plane * plane_size, p, these, count);
  }
}

/* By table, along a line. */
static void map_places(const double *table, const uint8_t *codes, int64_t stride, int64_t count,
                       double *to, int64_t step) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4, codes += 4 * stride, to += 4 * step) {
    const double digit0 = table[codes[0]], digit1 = table[codes[stride]];
    const double digit2 = table[codes[2 * stride]], digit3 = table[codes[3 * stride]];
    to[0] = digit0;
    to[step] = digit1;
    to[2 * step] = digit2;
    to[3 * step] = digit3;
  }
  for (; k < count; ++k, codes += stride, to += step) *to = table[*codes];
}

void cf_digits_pack(const cf_digits *digits, int64_t line, int64_t lines, int64_t k, int64_t count,
                    int width, double *packed) {
  const cf_operand *operand = &digits->operand;
  const places p = {width * count, width};
  const int64_t panels = (lines + width - 1) / width, plane_size = panels * p.panel;
  const int planes = cf_digits_packed_planes(digits);
  const int by_line = digits->direction == CF_ALONG_LINE;
  if (lines % width != 0)
    for (int plane = 0; plane < planes; ++plane)
      memset(packed + plane * plane_size + (panels - 1) * p.panel, 0,
             (size_t)p.panel * sizeof *packed);
  for (int64_t i = 0; by_line && i < lines; ++i) {
    double *to = packed + i / width * p.panel + i % width;
    const uint8_t *codes = (const uint8_t *)operand->elements + (line + i) * operand->line_stride +
                           k * operand->inner_stride;
    /* a line's part is too short for hardware to see where it goes on */
    for (int64_t at = 0; operand->inner_stride == 1 && at < count; at += CF_CACHE_LINE)
      CF_PREFETCH(
          (const void *)((uintptr_t)codes + (uintptr_t)(LINES_AHEAD * operand->line_stride + at)));
    if (!digits->by_table)
      pack_run(digits, line + i, k, (size_t)count, to, plane_size, p);
    else
      for (int plane = 0; plane < planes; ++plane)
        map_places(digits->tables[plane], codes, operand->inner_stride, count,
                   to + plane * plane_size, width);
  }
  for (int64_t j = 0; !by_line && j < count; ++j) {
    const int64_t most = CF_RUN_PIECE / width * width; /* whole panels */
    const uint8_t *codes = (const uint8_t *)operand->elements + line * operand->line_stride +
                           (k + j) * operand->inner_stride;
    for (int64_t i = 0; !digits->by_table && i < lines;) {
      const size_t run = run_length(i, lines, most);
      pack_run(digits, line + i, k + j, run, packed + i / width * p.panel + j * width, plane_size,
               p);
      i += (int64_t)run;
    }
    double *to = packed + j * width;
    for (int64_t i = 0; digits->by_table && i < lines; i += width, to += p.panel)
      for (int plane = 0; plane < planes; ++plane)
        map_places(digits->tables[plane], codes + i * operand->line_stride, operand->line_stride,
                   cf_at_most(lines - i, width), to + plane * plane_size, 1);
  }
}
