/* Few rows times a matrix of float32, in vectors: included by an instruction set's file, which
 * defines
 *
 *   vector, VECTOR                 floats, and how many
 *   f_zero() f_load(p) f_store(p, v) f_set1(x) f_add(a, b)
 *   f_multiply_add(a, b, c)        a * b + c
 *   f_sum(v)                       of all
 *
 * and, if GEMV_FIELDS is, the same register as 32-bit words:
 *
 *   words                          words_load(p) words_set1(x)
 *   words_left(v, bits)            by a constant
 *   words_right(v, bits)           by the words of another, the sign being repeated
 *   words_and_or(a, b, c)          (a & b) | c
 *   words_where_above(v, limit, c) c where v without its sign is above, elsewhere v
 *   words_where_equal(v, w, c)
 *   words_any_zero(v)              whether one of the halves is zero
 *   words_any_above(v, limit)      or above, as numbers without a sign
 *   words_and(a, b)
 *   f_of(v)                        the same bits
 *   f_subtract_at(a, b, n, t)      a - b where n & t is 0, elsewhere n
 *   f_multiply(a, b)
 *   f_scales(p, codes)             p[i / CF_GEMV_BLOCK] for each word of a group of so many codes,
 *                                  i being the place of its first
 *
 * and, if GEMV_BYTES is,
 *
 *   byte_words                     byte_words_of(fields)
 *   values_of_bytes(of, v, values) the values of codes of a byte as values_of below gives them */
#ifndef CF_MATMUL_KERNELS_GEMV_INL_H
#define CF_MATMUL_KERNELS_GEMV_INL_H

#include <string.h>

#include "core/integers.h"

static void dot(const float *x, int64_t x_step, int rows, const float *values, int64_t count,
                float *sums) {
  for (int r = 0; r < rows; ++r, x += x_step) {
    vector sum0 = f_zero(), sum1 = f_zero(), sum2 = f_zero(), sum3 = f_zero();
    int64_t i = 0;
    for (; i + 4 * VECTOR <= count; i += 4 * VECTOR) {
      sum0 = f_multiply_add(f_load(x + i), f_load(values + i), sum0);
      sum1 = f_multiply_add(f_load(x + i + VECTOR), f_load(values + i + VECTOR), sum1);
      sum2 = f_multiply_add(f_load(x + i + 2 * VECTOR), f_load(values + i + 2 * VECTOR), sum2);
      sum3 = f_multiply_add(f_load(x + i + 3 * VECTOR), f_load(values + i + 3 * VECTOR), sum3);
    }
    float rest = 0;
    for (; i < count; ++i) rest += x[i] * values[i];
    sums[r] += f_sum(f_add(f_add(sum0, sum1), f_add(sum2, sum3))) + rest;
  }
}

static void update(const float *x, int64_t x_step, int rows, const float *values,
                   int64_t values_step, int64_t count, float *sums, int64_t sums_step) {
  const float *v0 = values, *v1 = v0 + values_step, *v2 = v1 + values_step, *v3 = v2 + values_step;
  for (int r = 0; r < rows; ++r, x += x_step, sums += sums_step) {
    const vector x0 = f_set1(x[0]), x1 = f_set1(x[1]), x2 = f_set1(x[2]), x3 = f_set1(x[3]);
    for (int64_t i = 0; i < count; i += VECTOR) {
      vector sum = f_multiply_add(x0, f_load(v0 + i), f_load(sums + i));
      sum = f_multiply_add(x1, f_load(v1 + i), sum);
      sum = f_multiply_add(x2, f_load(v2 + i), sum);
      f_store(sums + i, f_multiply_add(x3, f_load(v3 + i), sum));
    }
  }
}

#ifdef GEMV_FIELDS
/* Of codes as they are: each word of memory has 4 / size of them, and x, or sums, are in the order
 * in which words shifted by as many places have them: of a group of VECTOR words, first the first
 * codes of all words. */

enum { GEMV_ROWS = 4, GEMV_LINES = 4, GEMV_UPDATES = 8 };
/* The lines, or vectors of lines, whose sums with CF_PANEL_ROWS rows are held in registers. */
enum { PANEL_SIDE = VECTOR == 8 ? 2 : 4 };

typedef struct field_words {
  words right, mask, offset, test, kept, set, sign, one;
  words limit, special_kept, special, equal, instead;
  words exponents, magnitudes, greatest; /* of both codes of a word, if it has two */
#ifdef GEMV_BYTES
  byte_words bytes;
#endif
} field_words;

/* Codes of a byte that have a kernel of their own. */
#ifdef GEMV_BYTES
#define GEMV_PLAIN_BYTES(fields) ((fields)->in_bytes)
#else
#define GEMV_PLAIN_BYTES(fields) ((fields)->plain)
#endif

static inline field_words field_words_of(const cf_fields *fields) {
  const uint32_t all = 0x00010001u; /* both halves of a word */
  const field_words of = {words_set1(fields->right),
                          words_set1(fields->mask),
                          words_set1(fields->offset),
                          words_set1(fields->test),
                          words_set1(fields->kept),
                          words_set1(fields->set),
                          words_set1(fields->sign),
                          words_set1(fields->one),
                          words_set1(fields->limit),
                          words_set1(fields->special_kept),
                          words_set1(fields->special),
                          words_set1(fields->equal),
                          words_set1(fields->instead),
                          words_set1(fields->exponents * all),
                          words_set1(fields->magnitudes * all),
                          words_set1(fields->greatest * all),
#ifdef GEMV_BYTES
                          byte_words_of(fields)
#endif
  };
  return of;
}

/* The values of codes by their fields, if some are subnormal or not finite. */
static CF_ALWAYS_INLINE words mended(const field_words *of, words number, int plain) {
  const words one = words_and_or(number, of->sign, of->one);
  words without = number;
  if (!plain) {
    without = words_and_or(number, of->kept, of->set);
    number =
        words_where_above(number, of->limit, words_and_or(number, of->special_kept, of->special));
    number = words_where_equal(number, of->equal, of->instead);
  }
  return words_of(f_subtract_at(f_of(without), f_of(one), number, of->test));
}

/* The values of a group of codes: of each word the first, the second and so on. */
static CF_ALWAYS_INLINE void values_of(const field_words *of, words group, int size, int plain,
                                       vector *values) {
  const int places = 4 / size;
#ifdef GEMV_BYTES
  if (size == 1 && plain) {
    values_of_bytes(&of->bytes, group, values);
    return;
  }
#endif
  words numbers[4] = {group, group, group, group};
  if (size == 2) {
    numbers[0] = words_left(group, 16);
  } else {
    numbers[0] = words_left(group, 24);
    numbers[1] = words_left(group, 16);
    numbers[2] = words_left(group, 8);
  }
#pragma GCC unroll 4
  for (int place = 0; place < places; ++place)
    numbers[place] = words_and_or(words_right(numbers[place], of->right), of->mask, of->offset);
  /* few groups have such codes, of 16 bits; of 8 about as many have as have none, and to foresee
   * which takes longer than to do the same for all */
  int others = size == 1;
  if (size == 2) {
    others = words_any_zero(words_and(group, of->exponents));
    if (!plain) others |= words_any_above(words_and(group, of->magnitudes), of->greatest);
  }
  if (size == 1 || CF_UNLIKELY(others))
#pragma GCC unroll 4
    for (int place = 0; place < places; ++place) numbers[place] = mended(of, numbers[place], plain);
#pragma GCC unroll 4
  for (int place = 0; place < places; ++place) values[place] = f_of(numbers[place]);
}

static CF_ALWAYS_INLINE void arrange_groups(int places, const float *x, int64_t groups, float *to) {
  for (int64_t i = 0; i < groups; ++i, x += places * VECTOR, to += places * VECTOR)
    for (int place = 0; place < places; ++place)
      for (int j = 0; j < VECTOR; ++j) to[place * VECTOR + j] = x[places * j + place];
}

static void arrange(int size, const float *x, int64_t count, float *to) {
  const int64_t whole = count / CF_GEMV_CODES * CF_GEMV_CODES, rest = count - whole;
  float padded[CF_GEMV_CODES] = {0};
  memcpy(padded, x + whole, (size_t)rest * sizeof *padded);
  if (size == 1) {
    arrange_groups(4, x, whole / (4 * VECTOR), to);
    if (rest > 0) arrange_groups(4, padded, CF_GEMV_CODES / (4 * VECTOR), to + whole);
  } else {
    arrange_groups(2, x, whole / (2 * VECTOR), to);
    if (rest > 0) arrange_groups(2, padded, CF_GEMV_CODES / (2 * VECTOR), to + whole);
  }
}

static CF_ALWAYS_INLINE void scales_each(const char *biases, int64_t count, int first, int64_t each,
                                         float *restrict to) {
  for (int64_t i = 0; i < count; ++i) {
    int16_t bias;
    memcpy(&bias, biases + i * (int64_t)sizeof bias, sizeof bias);
    const uint32_t bits = (uint32_t)(first - bias) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    for (int64_t j = 0; j < each; ++j) to[i * each + j] = scale;
  }
}

/* Lengths that are constants are done in vectors. */
static void scales_of_biases(const char *biases, int64_t count, int exponent, int64_t each,
                             float *to) {
  const int first = 127 + exponent;
  switch (each) {
    case 1: scales_each(biases, count, first, 1, to); break;
    case 2: scales_each(biases, count, first, 2, to); break;
    case 4: scales_each(biases, count, first, 4, to); break;
    case 8: scales_each(biases, count, first, 8, to); break;
    default: scales_each(biases, count, first, each, to); break;
  }
}

/* And back: groups of sums of as many lines as go together. */
static void put_in_sequence(const cf_gemv *gemv, float *sums) {
  const int size = gemv->fields->size, places = 4 / size;
  float ordered[4 * VECTOR];
  int64_t at = 0;
  for (int64_t line = 0; line < gemv->lines; at += places * VECTOR) {
    const int64_t there = cf_gemv_lines_together(gemv, line, size, 4 * VECTOR);
    for (int place = 0; place < places; ++place)
      for (int j = 0; j < VECTOR; ++j) ordered[places * j + place] = sums[at + place * VECTOR + j];
    memcpy(sums + line, ordered, (size_t)there * sizeof *ordered);
    line += there;
  }
}

/* A group of codes of a line, of which `block` is the scale, times some rows. */
static CF_ALWAYS_INLINE void dot_group(const cf_gemv *gemv, const field_words *of, words group,
                                       const float *x, const float *block, int size, int plain,
                                       int scaled, int rows, vector *sums) {
  const int places = 4 / size;
  vector part[GEMV_ROWS], values[4];
  values_of(of, group, size, plain, values);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) part[r] = scaled ? f_zero() : sums[r];
#pragma GCC unroll 4
  for (int place = 0; place < places; ++place)
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
      part[r] =
          f_multiply_add(values[place], f_load(x + r * gemv->x_step + place * VECTOR), part[r]);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
    sums[r] = scaled ? f_multiply_add(part[r], f_scales(block, places * VECTOR), sums[r]) : part[r];
}

/* Some rows times some lines, of which there may be fewer than `lines`; of each line the sum is the
 * same, with whichever others it is computed. */
static CF_ALWAYS_INLINE void dot_fields_rows(const cf_gemv *gemv, const field_words *of,
                                             int64_t line, int row, int size, int plain, int lines,
                                             int rows, int scaled) {
  const int places = 4 / size, bytes = 4 * VECTOR;
  const int64_t whole = gemv->inner * size / bytes * bytes, rest = gemv->inner * size - whole,
                ahead = line + 2 * lines <= gemv->lines + gemv->after ? lines * gemv->step : 0;
  const float *x = gemv->x + row * gemv->x_step;
  const uint8_t *from[GEMV_LINES];
  const float *blocks[GEMV_LINES];
  vector sums[GEMV_LINES][GEMV_ROWS];
  for (int i = 0; i < lines; ++i) {
    const int64_t at = cf_at_most(line + i, gemv->lines - 1);
    from[i] = gemv->codes + at * gemv->step;
    blocks[i] = scaled ? gemv->scales + at * gemv->scales_step : NULL;
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) sums[i][r] = f_zero();
  }
  for (int64_t at = 0; at < whole; at += bytes, x += places * VECTOR)
#pragma GCC unroll 4
    for (int i = 0; i < lines; ++i) {
      if (bytes >= CF_CACHE_LINE || at % CF_CACHE_LINE == 0) CF_PREFETCH(from[i] + at + ahead);
      dot_group(gemv, of, words_load(from[i] + at), x,
                scaled ? blocks[i] + at / size / CF_GEMV_BLOCK : NULL, size, plain, scaled, rows,
                sums[i]);
    }
  if (rest > 0)
#pragma GCC unroll 4
    for (int i = 0; i < lines; ++i) {
      uint8_t padded[4 * VECTOR] = {0};
      memcpy(padded, from[i] + whole, (size_t)rest);
      dot_group(gemv, of, words_load(padded), x,
                scaled ? blocks[i] + whole / size / CF_GEMV_BLOCK : NULL, size, plain, scaled, rows,
                sums[i]);
    }
#pragma GCC unroll 4
  for (int i = 0; i < lines; ++i)
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r)
      if (line + i < gemv->lines)
        gemv->sums[(row + r) * gemv->sums_step + line + i] = f_sum(sums[i][r]);
}

/* Some rows times a group of neighbouring lines, `count` places along the inner axis from k on. */
static CF_ALWAYS_INLINE void update_fields_rows(const cf_gemv *gemv, const field_words *of,
                                                int64_t k, int64_t count, int64_t line,
                                                int64_t lines, int64_t at, int row, int size,
                                                int plain, int rows, int scaled) {
  const int places = 4 / size, bytes = 4 * VECTOR;
  const float *scales = scaled ? gemv->scales + k * gemv->scales_step + line / CF_GEMV_BLOCK : NULL;
  const int64_t there = lines * size;
  const uint8_t *codes = gemv->codes + k * gemv->step + line * size;
  int64_t step = gemv->step;
  uint8_t padded[GEMV_UPDATES][4 * VECTOR];
  if (CF_UNLIKELY(there < bytes)) {
    memset(padded, 0, sizeof padded);
    for (int64_t i = 0; i < count; ++i) memcpy(padded[i], codes + i * step, (size_t)there);
    codes = padded[0];
    step = bytes;
  }
  const float *x = gemv->x + row * gemv->x_step + k;
  float *to = gemv->sums + row * gemv->sums_step + at;
  vector sums[GEMV_ROWS][4];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int place = 0; place < places; ++place)
      sums[r][place] = k == 0 ? f_zero() : f_load(to + r * gemv->sums_step + place * VECTOR);
  for (int64_t i = 0; i < count; ++i, codes += step) {
    vector values[4];
    CF_PREFETCH(codes + GEMV_UPDATES * step);
    values_of(of, words_load(codes), size, plain, values);
    const vector scale =
        scaled ? f_scales(scales + i * gemv->scales_step, places * VECTOR) : f_zero();
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const vector broadcast = f_set1(x[r * gemv->x_step + i]),
                   element = scaled ? f_multiply(broadcast, scale) : broadcast;
#pragma GCC unroll 4
      for (int place = 0; place < places; ++place)
        sums[r][place] = f_multiply_add(values[place], element, sums[r][place]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int place = 0; place < places; ++place)
      f_store(to + r * gemv->sums_step + place * VECTOR, sums[r][place]);
}

/* What is constant to the functions above: the number of rows, at most; size, and whether codes
 * are plain. */
#define GEMV_IN_ROWS(call, size, plain)                    \
  for (int row = 0, rows; row < gemv->rows; row += rows) { \
    const int left = gemv->rows - row;                     \
    rows = left >= 4 ? 4 : left >= 2 ? 2 : 1;              \
    if (rows == 4) {                                       \
      call(size, plain, 2, 4);                             \
    }                                                      \
    if (rows == 2) {                                       \
      call(size, plain, 4, 2);                             \
    }                                                      \
    if (rows == 1) {                                       \
      call(size, plain, 4, 1);                             \
    }                                                      \
  }
#define GEMV_OF_FIELDS(call)                         \
  const int size = gemv->fields->size;               \
  if (size == 1 && GEMV_PLAIN_BYTES(gemv->fields)) { \
    GEMV_IN_ROWS(call, 1, 1)                         \
  } else if (size == 1) {                            \
    GEMV_IN_ROWS(call, 1, 0)                         \
  } else if (gemv->fields->plain) {                  \
    GEMV_IN_ROWS(call, 2, 1)                         \
  } else {                                           \
    GEMV_IN_ROWS(call, 2, 0)                         \
  }

static void dot_fields(const cf_gemv *gemv) {
  const field_words of = field_words_of(gemv->fields);
#define DOT_FIELDS(size, plain, together, count)                               \
  for (int64_t at = line; at < line + 4 && at < gemv->lines; at += together) { \
    if ((count) > 1 || gemv->scales == NULL)                                   \
      dot_fields_rows(gemv, &of, at, row, size, plain, together, count, 0);    \
    else                                                                       \
      dot_fields_rows(gemv, &of, at, row, size, plain, together, 1, 1);        \
  }
  for (int64_t line = 0; line < gemv->lines; line += 4) {
    GEMV_OF_FIELDS(DOT_FIELDS)
  }
}

static void update_fields(const cf_gemv *gemv) {
  const field_words of = field_words_of(gemv->fields);
  const int64_t group = 4 / gemv->fields->size * VECTOR;
#define UPDATE_FIELDS(size, plain, together, rows)                                       \
  if ((rows) > 1 || gemv->scales == NULL)                                                \
    update_fields_rows(gemv, &of, k, count, line, lines, at, row, size, plain, rows, 0); \
  else                                                                                   \
    update_fields_rows(gemv, &of, k, count, line, lines, at, row, size, plain, 1, 1)
  for (int64_t k = 0; k < gemv->inner; k += GEMV_UPDATES) {
    const int64_t count = cf_at_most(GEMV_UPDATES, gemv->inner - k);
    for (int64_t line = 0, at = 0, lines; line < gemv->lines; line += lines, at += group) {
      lines = cf_gemv_lines_together(gemv, line, gemv->fields->size, 4 * VECTOR);
      GEMV_OF_FIELDS(UPDATE_FIELDS)
    }
  }
  for (int row = 0; row < gemv->rows; ++row)
    put_in_sequence(gemv, gemv->sums + row * gemv->sums_step);
}

/* Panels */

/* A group of codes of a panel, of which `scales` are the scales if there are any. */
static CF_ALWAYS_INLINE void decode_group(const field_words *of, words group, const float *scales,
                                          int size, int plain, int scaled, float *to,
                                          vector *values) {
  const int places = 4 / size;
  values_of(of, group, size, plain, values);
  const vector scale = scaled ? f_scales(scales, places * VECTOR) : f_zero();
#pragma GCC unroll 4
  for (int place = 0; place < places; ++place) {
    if (scaled) values[place] = f_multiply(values[place], scale);
    f_store(to + place * VECTOR, values[place]);
  }
}

/* One loop goes over all whole groups, so that what is constant to it stays in registers. */
static CF_ALWAYS_INLINE void decode_groups(const cf_gemv *gemv, const field_words *of,
                                           const uint8_t *codes, int64_t lines, int64_t count,
                                           const float *scales, float *panel, int size, int plain,
                                           int scaled) {
  const int bytes = 4 * VECTOR, group = bytes / size;
  const int64_t whole = count / group, all = cf_multiple(count, CF_GEMV_CODES) / group;
  const int64_t next_line = gemv->step - whole * bytes,
                next_place = gemv->panel_step - whole * group, ahead = gemv->ahead;
  const uint8_t *from = codes;
  const float *scale = scales;
  float *to = panel;
  vector values[4];
  for (int64_t i = 0, left = whole; i < lines * whole; ++i) {
    CF_PREFETCH(from + ahead);
    /* a group may be less than a block */
    decode_group(of, words_load(from),
                 scaled ? scale + (whole - left) * group / CF_GEMV_BLOCK : NULL, size, plain,
                 scaled, to, values);
    from += bytes;
    to += group;
    if (--left > 0) continue;
    left = whole;
    from += next_line;
    to += next_place;
    if (scaled) scale += gemv->scales_step;
  }
  for (int64_t i = 0; whole < all && i < lines; ++i)
    for (int64_t j = whole; j < all; ++j) {
      uint8_t rest[4 * VECTOR] = {0};
      if (j == whole)
        memcpy(rest, codes + i * gemv->step + whole * bytes,
               (size_t)((count - whole * group) * size));
      decode_group(of, words_load(rest),
                   scaled ? scales + i * gemv->scales_step + j * group / CF_GEMV_BLOCK : NULL, size,
                   plain, scaled, panel + i * gemv->panel_step + j * group, values);
    }
}

/* What is constant to the functions above and below. */
#define PANEL_OF_FIELDS(call)                                                \
  const field_words of = field_words_of(gemv->fields);                       \
  const int scaled = scales != NULL;                                         \
  if (gemv->fields->size == 1 && GEMV_PLAIN_BYTES(gemv->fields) && scaled) { \
    call(1, 1, 1);                                                           \
  } else if (gemv->fields->size == 1 && GEMV_PLAIN_BYTES(gemv->fields)) {    \
    call(1, 1, 0);                                                           \
  } else if (gemv->fields->size == 1) {                                      \
    call(1, 0, scaled);                                                      \
  } else if (gemv->fields->plain) {                                          \
    call(2, 1, scaled);                                                      \
  } else {                                                                   \
    call(2, 0, scaled);                                                      \
  }

static void decode_panel_fields(const cf_gemv *gemv, const uint8_t *codes, int64_t lines,
                                int64_t count, const float *scales, float *panel) {
#define DECODE_GROUPS(size, plain, scaled) \
  decode_groups(gemv, &of, codes, lines, count, scales, panel, size, plain, scaled)
  PANEL_OF_FIELDS(DECODE_GROUPS)
}

#ifdef GEMV_MANY_REGISTERS
/* The first CF_PANEL_ROWS rows are multiplied while codes become a panel: then to decode them and
 * to fetch them from memory takes little time of its own. */

/* Some neighbouring lines, `count` of them there, at the places of a panel. */
static CF_ALWAYS_INLINE void decode_and_update(const cf_gemv *gemv, const field_words *of,
                                               const uint8_t *codes, int64_t count,
                                               const float *scales, float *panel, const cf_panel *p,
                                               int size, int plain, int scaled) {
  const int places = 4 / size, bytes = 4 * VECTOR, group = bytes / size;
  const int64_t x_step = p->x_step, sums_step = p->sums_step, places_there = p->count,
                scales_step = gemv->scales_step, ahead = gemv->ahead;
  for (int64_t line = 0; line < CF_GEMV_CODES; line += group) {
    const int64_t there = (count - line) * size;
    const uint8_t *from = codes + line * size;
    const float *x = p->x, *scale = scaled ? scales + line / CF_GEMV_BLOCK : NULL;
    float *to = panel + line, *results = p->sums + line;
    int64_t step = gemv->step;
    uint8_t padded[CF_PANEL_PLACES][4 * VECTOR];
    if (CF_UNLIKELY(there < bytes)) {
      memset(padded, 0, sizeof padded);
      for (int64_t k = 0; k < places_there && there > 0; ++k)
        memcpy(padded[k], from + k * step, (size_t)there);
      from = padded[0];
      step = bytes;
    }
    vector sums[CF_PANEL_ROWS][4], values[4];
#pragma GCC unroll 4
    for (int r = 0; r < CF_PANEL_ROWS; ++r)
#pragma GCC unroll 4
      for (int place = 0; place < places; ++place)
        sums[r][place] = p->first ? f_zero() : f_load(results + r * sums_step + place * VECTOR);
    for (int64_t k = 0; k < places_there; ++k, ++x, from += step, to += CF_PLACE_STEP) {
      CF_PREFETCH(from + ahead);
      decode_group(of, words_load(from), scale, size, plain, scaled, to, values);
      if (scaled) scale += scales_step;
#pragma GCC unroll 4
      for (int r = 0; r < CF_PANEL_ROWS; ++r) {
        const vector element = f_set1(x[r * x_step]);
#pragma GCC unroll 4
        for (int place = 0; place < places; ++place)
          sums[r][place] = f_multiply_add(values[place], element, sums[r][place]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < CF_PANEL_ROWS; ++r)
#pragma GCC unroll 4
      for (int place = 0; place < places; ++place)
        f_store(results + r * sums_step + place * VECTOR, sums[r][place]);
  }
}

static void update_first_fields(const cf_gemv *gemv, const uint8_t *codes, int64_t count,
                                const float *scales, float *panel, const cf_panel *p){
#define DECODE_AND_UPDATE(size, plain, scaled) \
  decode_and_update(gemv, &of, codes, count, scales, panel, p, size, plain, scaled)
    PANEL_OF_FIELDS(DECODE_AND_UPDATE)}

#define CF_GEMV_FIRST .update_first_fields = update_first_fields,
#else
#define CF_GEMV_FIRST
#endif

/* Rows at a time: six of twelve, for which there are registers, else four. */
enum {
  ROWS_MOST = 6
};

static CF_ALWAYS_INLINE void dot_panel_rows(const cf_panel *p, int row, int rows) {
  for (int line = 0; line < CF_PANEL_LINES; line += PANEL_SIDE) {
    const float *x = p->x + row * p->x_step, *from = p->panel + line * CF_LINE_STEP;
    float *to = p->sums + (row * CF_PANEL_LINES + line) * (CF_GEMV_CODES / 4);
    vector sums[ROWS_MOST][PANEL_SIDE];
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < PANEL_SIDE; ++i)
        sums[r][i] =
            p->first ? f_zero() : f_load(to + (r * CF_PANEL_LINES + i) * (CF_GEMV_CODES / 4));
    for (int64_t k = 0; k < p->count; k += VECTOR, x += VECTOR, from += VECTOR) {
      vector values[PANEL_SIDE];
#pragma GCC unroll 4
      for (int i = 0; i < PANEL_SIDE; ++i) values[i] = f_load(from + i * CF_LINE_STEP);
#pragma GCC unroll 6
      for (int r = 0; r < rows; ++r) {
        const vector element = f_load(x + r * p->x_step);
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i)
          sums[r][i] = f_multiply_add(element, values[i], sums[r][i]);
      }
    }
    if (p->results == NULL) {
#pragma GCC unroll 6
      for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i)
          f_store(to + (r * CF_PANEL_LINES + i) * (CF_GEMV_CODES / 4), sums[r][i]);
    } else {
#pragma GCC unroll 6
      for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i)
          if (row + r < p->result_rows && line + i < p->result_lines)
            p->results[(row + r) * p->results_step + line + i] = f_sum(sums[r][i]);
    }
  }
}

static void dot_panel(const cf_panel *p) {
  for (int row = 0, rows; row < p->rows; row += rows) {
    rows = (p->rows - row) % ROWS_MOST == 0 ? ROWS_MOST : CF_PANEL_ROWS;
    if (rows == ROWS_MOST)
      dot_panel_rows(p, row, ROWS_MOST);
    else
      dot_panel_rows(p, row, CF_PANEL_ROWS);
  }
}

static void update_panel(const cf_panel *p) {
  for (int row = 0; row < p->rows; row += CF_PANEL_ROWS)
    for (int line = 0; line < CF_GEMV_CODES; line += PANEL_SIDE * VECTOR) {
      const float *x = p->x + row * p->x_step, *from = p->panel + line;
      float *to = p->sums + row * p->sums_step + line;
      vector sums[CF_PANEL_ROWS][PANEL_SIDE];
#pragma GCC unroll 4
      for (int r = 0; r < CF_PANEL_ROWS; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i)
          sums[r][i] = p->first ? f_zero() : f_load(to + r * p->sums_step + i * VECTOR);
      for (int64_t k = 0; k < p->count; ++k, ++x, from += CF_PLACE_STEP) {
        vector values[PANEL_SIDE];
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i) values[i] = f_load(from + i * VECTOR);
#pragma GCC unroll 4
        for (int r = 0; r < CF_PANEL_ROWS; ++r) {
          const vector element = f_set1(x[r * p->x_step]);
#pragma GCC unroll 4
          for (int i = 0; i < PANEL_SIDE; ++i)
            sums[r][i] = f_multiply_add(values[i], element, sums[r][i]);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < CF_PANEL_ROWS; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < PANEL_SIDE; ++i)
          f_store(to + r * p->sums_step + i * VECTOR, sums[r][i]);
    }
}

#define CF_GEMV_OF_FIELDS                                                       \
  .dot_fields = dot_fields, .update_fields = update_fields, .arrange = arrange, \
  .decode_panel_fields = decode_panel_fields, .dot_panel = dot_panel,           \
  .update_panel = update_panel, .scales_of_biases = scales_of_biases, CF_GEMV_FIRST
#else
#define CF_GEMV_OF_FIELDS
#endif

#endif
