/* Encoding against the oracle: around every representable value and every midpoint, from every
 * type. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/batch.h"
#include "support/check.h"
#include "support/tests.h"

/* A growing list of elements of one source type, each put in with both signs. */
typedef struct operands {
  int type;
  size_t size, count, capacity;
  char *bits;
} operands;

static void add_bits(operands *list, uint64_t bits) {
  if (list->count == list->capacity) {
    const size_t capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
    char *moved = allocate(capacity * list->size);
    if (list->count != 0) memcpy(moved, list->bits, list->count * list->size);
    free(list->bits);
    list->bits = moved;
    list->capacity = capacity;
  }
  store_bits(list->bits + list->count++ * list->size, list->size, bits);
}

static void check_and_free(const format_case *test, const grid *grid, operands *list) {
  const batch batch = {list->type, list->bits, list->count};
  check_batch(test->name, grid, &batch);
  free(list->bits);
}

static void add(operands *list, double x) {
  uint64_t bits64;
  uint32_t bits32;
  const float x32 = fabs(x) <= FLT_MAX ? (float)x : INFINITY;
  memcpy(&bits64, &x, sizeof bits64);
  memcpy(&bits32, &x32, sizeof bits32);
  if (list->type == CF_FLOAT64) {
    add_bits(list, bits64);
    add_bits(list, bits64 ^ (uint64_t)1 << 63);
  } else {
    add_bits(list, bits32);
    add_bits(list, bits32 ^ (uint32_t)1 << 31);
  }
}

/* A number and the two next to it in the source's own type. */
static void add_with_neighbours(operands *list, double x) {
  add(list, x);
  if (list->type == CF_FLOAT64) {
    add(list, nextafter(x, 0));
    add(list, nextafter(x, INFINITY));
  } else if (fabs(x) <= FLT_MAX) {
    add(list, nextafterf((float)x, 0));
    add(list, nextafterf((float)x, INFINITY));
  }
}

/* NaNs quiet and signalling, infinities, zeros and the extremes of the source type. */
static void add_specials(operands *list) {
  static const uint64_t specials64[] = {
      0x7FF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000, 0, 1,
      0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x3FF0000000000000};
  static const uint32_t specials32[] = {0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0x7F800000, 0,
                                        1,          0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000};
  for (int i = 0; i < 10; ++i) {
    if (list->type == CF_FLOAT64) {
      add_bits(list, specials64[i]);
      add_bits(list, specials64[i] | (uint64_t)1 << 63);
    } else {
      add_bits(list, specials32[i]);
      add_bits(list, specials32[i] | (uint32_t)1 << 31);
    }
  }
}

static int is_near_exponent_change(const cf_format *format, unsigned code) {
  const unsigned steps = 1u << format->mantissa_bits;
  const unsigned place = code % steps;
  return place < 3 || place + 3 >= steps;
}

/* Every value and midpoint of a format of at most 8 bits, and a sample of those of a wider one. */
static void add_grid(operands *list, const grid *grid) {
  const unsigned step = grid->max_code < 256 ? 1 : 29;
  for (unsigned code = 0; code <= grid->max_code + 1; ++code) {
    const int is_end = code < 8 || code + 8 > grid->max_code;
    if (code % step != 0 && !is_end && !is_near_exponent_change(&grid->format, code)) continue;
    const double value = grid->values[code];
    add_with_neighbours(list, value);
    if (code <= grid->max_code) add_with_neighbours(list, (value + grid->values[code + 1]) / 2);
  }
}

/* Random fractions with an exponent that is random around the format's own range. */
static void add_random(operands *list, const grid *grid, uint64_t *random, int count) {
  const int lowest = ilogb(grid->values[1]), highest = ilogb(grid->values[grid->max_code]);
  for (int i = 0; i < count; ++i) {
    const double fraction = (double)(random_bits(random) >> 11) / 9007199254740992.0;
    const int exponent = lowest - 3 + (int)random_below(random, (uint64_t)(highest - lowest + 7));
    add(list, ldexp(1 + fraction, exponent));
  }
}

/* Any bits at all: exponents from end to end. */
static void add_random_bits(operands *list, uint64_t *random, int count) {
  for (int i = 0; i < count; ++i) add_bits(list, random_bits(random));
}

/* From both types at the biases that matter most, from one at the others. */
static void around_the_grid(const format_case *test, int bias, int from_both) {
  static const int types[] = {CF_FLOAT64, CF_FLOAT32};
  uint64_t random = (uint64_t)bias;
  grid grid = grid_new(&test->format, bias);
  for (int i = 0; i < 2; ++i) {
    if (!from_both && i != bias % 2) continue;
    operands list = {types[i], type_size(&test->format, types[i]), 0, 0, NULL};
    add_specials(&list);
    add_grid(&list, &grid);
    add_random(&list, &grid, &random, 100);
    add_random_bits(&list, &random, 100);
    check_and_free(test, &grid, &list);
  }
  grid_free(&grid);
}

/* All 2^16 float16s and bfloat16s, all integers of 8 and 16 bits; where that takes too long,
 * some. */
static void every_short_element(const format_case *test) {
  static const int types[] = {CF_FLOAT16, CF_BFLOAT16, CF_INT16, CF_UINT16, CF_INT8, CF_UINT8};
  grid grid = grid_new(&test->format, test->bias);
  for (int i = 0; i < 6; ++i) {
    operands list = {types[i], type_size(&test->format, types[i]), 0, 0, NULL};
    const uint64_t count = list.size == 1 ? 256 : 65536;
    for (uint64_t bits = 0; bits < count; bits += list.size > 1 && is_thinned() ? 13 : 1)
      add_bits(&list, bits);
    check_and_free(test, &grid, &list);
  }
  grid_free(&grid);
}

/* Integers of 32 and 64 bits: around powers of two and their sums, the extremes, random ones. */
static void long_integers(const format_case *test, int bias) {
  static const int types[] = {CF_INT32, CF_UINT32, CF_INT64, CF_UINT64};
  uint64_t random = 3;
  grid grid = grid_new(&test->format, bias);
  for (int i = 0; i < 4; ++i) {
    operands list = {types[i], type_size(&test->format, types[i]), 0, 0, NULL};
    for (int shift = 0; shift < 64; ++shift) {
      const uint64_t power = (uint64_t)1 << shift;
      for (uint64_t near = power - 2; near != power + 3; ++near) {
        add_bits(&list, near);
        add_bits(&list, 0 - near);
        add_bits(&list, near + power / 2);
        add_bits(&list, near + power / 32);
      }
      for (int j = 0; j < 8; ++j) add_bits(&list, random_bits(&random) >> shift);
    }
    add_bits(&list, (uint64_t)INT64_MIN);
    add_bits(&list, (uint64_t)INT64_MAX);
    add_bits(&list, (uint64_t)INT32_MIN);
    add_bits(&list, (uint64_t)INT32_MAX);
    add_bits(&list, UINT64_MAX);
    check_and_free(test, &grid, &list);
  }
  grid_free(&grid);
}

static void check_format(const format_case *test, int every_bias) {
  const cf_format *format = &test->format;
  for (int bias = format->bias_min; bias <= format->bias_max; ++bias) {
    const int is_edge = bias == format->bias_min || bias == format->bias_max;
    const int in_full = is_edge || bias == test->bias;
    if (!every_bias && !in_full) continue;
    if (is_thinned() && !in_full && bias % 8 != 3) continue;
    around_the_grid(test, bias, in_full);
    if (in_full) long_integers(test, bias);
  }
}

/* What docs/spec.md says in so many words of single operands, all at the default biases. */
static void single_operands(void) {
  static const struct {
    int format; /* of TESLA */
    int rounding;
    uint64_t bits; /* of a float64 */
    unsigned code;
    cf_flags flags;
  } cases[] = {
      /* a NaN becomes max with its sign; UHP has a canonical one */
      {0, CF_TIES_TO_EVEN, 0x7FF8000000000000, 0x7F, {1, 0, 0, 0}},
      {0, CF_STOCHASTIC, 0xFFF8000000000000, 0x7F, {1, 0, 0, 0}},
      {11, CF_TIES_TO_EVEN, 0x7FF8000000000000, 0xFE00, {1, 0, 0, 0}},
      {11, CF_TOWARD_ZERO, 0xFFF0000000000001, 0xFE00, {1, 0, 0, 0}},
      /* infinities clamp; UHP has the positive one, and no negative operand but -0 */
      {0, CF_TOWARD_ZERO, 0x7FF0000000000000, 0x7F, {0, 0, 1, 0}},
      {3, CF_TIES_TO_EVEN, 0xFFF0000000000000, 0xFF, {0, 0, 1, 0}},
      {11, CF_TOWARD_ZERO, 0x7FF0000000000000, 0xFC00, {0, 0, 0, 0}},
      {11, CF_TIES_TO_EVEN, 0xFFF0000000000000, 0xFE00, {1, 0, 0, 0}},
      {11, CF_TIES_TO_EVEN, 0xBFF0000000000000, 0xFE00, {1, 0, 0, 0}},
      {11, CF_TIES_TO_EVEN, 0x8000000000000001, 0xFE00, {1, 1, 0, 0}},
      {11, CF_TIES_TO_EVEN, 0x8000000000000000, 0x0000, {0, 0, 0, 0}},
      /* zeros keep their sign, also those that something was rounded to */
      {0, CF_TIES_TO_EVEN, 0x8000000000000000, 0x80, {0, 0, 0, 0}},
      {0, CF_TIES_TO_EVEN, 0x8000000000000001, 0x80, {0, 1, 0, 1}},
      /* 1_4_3's hole at bias 7: 7/8 and 2 times 2^-7 are codes 7 and 8; their midpoint goes to 8 */
      {0, CF_TIES_TO_EVEN, 0x3F87000000000000, 0x08, {0, 0, 0, 1}},
      {0, CF_TIES_TO_EVEN, 0x3F86FFFFFFFFFFFF, 0x07, {0, 0, 0, 1}},
      {0, CF_TOWARD_POSITIVE, 0x3F7C000000000001, 0x08, {0, 0, 0, 1}},
      /* UHP: 0.75 * 2^-30 would be subnormal; what rounds up to 2^-30 stays */
      {11, CF_TIES_TO_EVEN, 0x3E08000000000000, 0x0000, {0, 0, 0, 1}},
      {11, CF_TIES_TO_EVEN, 0x3E0FFFFFFFFFFFFF, 0x0400, {0, 0, 0, 1}},
      {11, CF_TOWARD_ZERO, 0x3E0FFFFFFFFFFFFF, 0x0000, {0, 0, 0, 1}},
      /* UHP's overflow, by mode */
      {11, CF_TIES_TO_EVEN, 0x41F0000000000000, 0xFC00, {0, 0, 1, 0}},
      {11, CF_TOWARD_POSITIVE, 0x41F0000000000000, 0xFC00, {0, 0, 1, 0}},
      {11, CF_TOWARD_ZERO, 0x41F0000000000000, 0xFBFF, {0, 0, 1, 0}},
      {11, CF_STOCHASTIC, 0x41F0000000000000, 0xFBFF, {0, 0, 1, 0}},
      {11, CF_TOWARD_ZERO, 0x41EFFDFFFFFFFFFF, 0xFBFF, {0, 0, 0, 0}},
      /* 480 is 1_4_3's max; 496 is half-way to what would be next */
      {0, CF_TIES_TO_EVEN, 0x407F000000000000, 0x7F, {0, 0, 1, 0}},
      {0, CF_TIES_TO_EVEN, 0x407EFFFFFFFFFFFF, 0x7F, {0, 0, 0, 0}},
      {0, CF_TOWARD_ZERO, 0x407F000000000000, 0x7F, {0, 0, 0, 0}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    const format_case *test = &TESLA[cases[i].format];
    const size_t size = type_size(&test->format, CF_CODES);
    uint16_t memory = 0;
    cf_flags flags = {0, 0, 0, 0};
    int status = cf_convert(&test->format, test->bias, CF_FLOAT64, &cases[i].bits,
                            cases[i].rounding, 1, 0, CF_CODES, &memory, 1, 1, &flags);
    const unsigned code = (unsigned)load_bits(&memory, size);
    CHECK(status == CF_OK && code == cases[i].code && same_flags(&flags, &cases[i].flags),
          "case %zu, %s %s %llx: status %d, code %04x, expected %04x, %s", i, test->name,
          rounding_name(cases[i].rounding), (unsigned long long)cases[i].bits, status, code,
          cases[i].code, flags_text(&flags).text);
    memory = 0;
    status = cf_convert(&test->format, test->bias, CF_FLOAT64, &cases[i].bits, cases[i].rounding, 1,
                        0, CF_CODES, &memory, 1, 1, NULL);
    CHECK(status == CF_OK && load_bits(&memory, size) == code, "case %zu: other without flags", i);
  }
}

void test_encode(void) {
  static const int short_sources[] = {0, 6, 11}; /* of TESLA */
  single_operands();
  for (int i = 0; i < TESLA_COUNT; ++i) {
    const int every_bias = max_code(&TESLA[i].format) < 256;
    check_format(&TESLA[i], every_bias);
  }
  for (size_t i = 0; i < sizeof short_sources / sizeof *short_sources; ++i)
    every_short_element(&TESLA[short_sources[i]]);
  for (int i = 0; i < OTHERS_COUNT; ++i) check_format(&OTHERS[i], 0);
}
