/* Every way in which arguments can be wrong, and that a call that refuses them writes nothing. */
#include <limits.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { COUNT = 4 };

/* The arguments of a call that is right until a field is changed. */
typedef struct arguments {
  cf_format format;
  int bias, source_type, rounding, destination_type;
} arguments;

static arguments good_arguments(void) {
  const arguments good = {TESLA[0].format, 7, CF_FLOAT32, CF_TIES_TO_EVEN, CF_CODES};
  return good;
}

/* The status of cf_convert, and that of cf_convert_strided, which must be the same. */
static int status_of(const arguments *a) {
  static const float source[2 * COUNT] = {1, 2, 3, 4, 5, 6, 7, 8};
  const int64_t length = COUNT, source_step = 4, no_step = 0, destination_step = 8;
  const cf_layout layout = {1, 0, NULL, &length, &source_step, &no_step, &destination_step, NULL};
  const int16_t bias = (int16_t)a->bias;
  cf_flags flags = {0, 0, 0, 0};
  const cf_flags no_flags = {0, 0, 0, 0};
  char destination[8 * COUNT], untouched[8 * COUNT];
  memset(destination, 0x5A, sizeof destination);
  memset(untouched, 0x5A, sizeof untouched);
  const int status = cf_convert(&a->format, a->bias, a->source_type, source, a->rounding, 0, 0,
                                a->destination_type, destination, COUNT, 1, &flags);
  char nearest[sizeof destination];
  memset(nearest, 0x5A, sizeof nearest);
  const int of_nearest = cf_convert_nearest(&a->format, a->bias, a->source_type, source,
                                            a->destination_type, nearest, COUNT, 1);
  if (a->rounding == CF_TIES_TO_EVEN) {
    CHECK(of_nearest == status, "status %d, nearest %d", status, of_nearest);
    CHECK(memcmp(nearest, destination, sizeof nearest) == 0, "nearest, %d: other bytes", status);
  }
  if (status == CF_OK) return status;
  CHECK(memcmp(destination, untouched, sizeof destination) == 0, "status %d: wrote", status);
  CHECK(same_flags(&flags, &no_flags), "status %d: counted", status);
  if (bias != a->bias) return status; /* no int16_t */
  const int strided = cf_convert_strided(&a->format, &bias, a->source_type, source, a->rounding, 0,
                                         0, a->destination_type, destination, &layout, 1, &flags);
  CHECK(strided == status, "status %d, strided %d", status, strided);
  CHECK(memcmp(destination, untouched, sizeof destination) == 0, "strided, %d: wrote", strided);
  CHECK(same_flags(&flags, &no_flags), "strided, %d: counted", strided);
  return status;
}

static void formats_and_biases(void) {
  static const int wrong[] = {-1, 64, INT_MIN, INT_MAX, 65536 + 7, -32768, 32767};
  arguments a = good_arguments();
  CHECK(status_of(&a) == CF_OK, "status %d", status_of(&a));
  a.format.mantissa_bits = 16;
  CHECK(status_of(&a) == CF_BAD_FORMAT, "status %d", status_of(&a));
  a = good_arguments();
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    a.bias = wrong[i];
    CHECK(status_of(&a) == CF_BAD_BIAS, "bias %d: status %d", wrong[i], status_of(&a));
  }
  a.format = TESLA[TESLA_COUNT - 1].format;
  for (int bias = 30; bias <= 32; ++bias) {
    const int expected = bias == 31 ? CF_OK : CF_BAD_BIAS;
    a.bias = bias;
    CHECK(status_of(&a) == expected, "UHP, bias %d: status %d", bias, status_of(&a));
  }
}

/* cf_rounding, and for CF_STOCHASTIC the variant and the number of bits, in one number. */
static int packed(int mode, int variant, int bits) { return mode + 16 * variant + 256 * bits; }

static void stochastic_roundings(void) {
  static const int wrong[][3] = {
      {CF_STOCHASTIC, CF_STOCHASTIC_C + 1, 0},
      {CF_STOCHASTIC, CF_STOCHASTIC_C + 1, 8},
      {CF_STOCHASTIC, 15, 32},
      {CF_STOCHASTIC, CF_STOCHASTIC_A, 33},
      {CF_STOCHASTIC, CF_STOCHASTIC_B, 64},
      {CF_STOCHASTIC, CF_STOCHASTIC_C, 255},
      {CF_STOCHASTIC, CF_STOCHASTIC_A, 65536},
      {CF_STOCHASTIC, CF_STOCHASTIC_A, 256},
      {CF_STOCHASTIC, CF_STOCHASTIC_A, 0x7FFFFF},
      {CF_TIES_TO_ZERO + 1, CF_STOCHASTIC_A, 0},
      {15, CF_STOCHASTIC_A, 0},
      {CF_STOCHASTIC, 15, 0x7FFFFF},
  };
  arguments a = good_arguments();
  for (int variant = CF_STOCHASTIC_A; variant <= CF_STOCHASTIC_C; ++variant) {
    for (int bits = 0; bits <= 32; ++bits) {
      a.rounding = packed(CF_STOCHASTIC, variant, bits);
      CHECK(status_of(&a) == CF_OK, "variant %d, %d bits: status %d", variant, bits, status_of(&a));
      for (int mode = 0; mode < ROUNDING_COUNT; ++mode) {
        if (mode == CF_STOCHASTIC) continue;
        const int expected = variant == CF_STOCHASTIC_A && bits == 0 ? CF_OK : CF_BAD_ROUNDING;
        a.rounding = packed(mode, variant, bits);
        CHECK(status_of(&a) == expected, "mode %d, variant %d, %d bits: status %d", mode, variant,
              bits, status_of(&a));
      }
    }
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    a.rounding = packed(wrong[i][0], wrong[i][1], wrong[i][2]);
    CHECK(status_of(&a) == CF_BAD_ROUNDING, "mode %d, variant %d, %d bits: status %d", wrong[i][0],
          wrong[i][1], wrong[i][2], status_of(&a));
  }
  a.rounding = INT_MIN + CF_STOCHASTIC;
  CHECK(status_of(&a) == CF_BAD_ROUNDING, "a negative number: status %d", status_of(&a));
}

static void roundings(void) {
  static const int wrong[] = {-1, CF_TIES_TO_ZERO + 1, INT_MIN, INT_MAX};
  arguments a = good_arguments();
  for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding) {
    a.rounding = rounding;
    CHECK(status_of(&a) == CF_OK, "rounding %d: status %d", rounding, status_of(&a));
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    a.rounding = wrong[i];
    CHECK(status_of(&a) == CF_BAD_ROUNDING, "rounding %d: status %d", wrong[i], status_of(&a));
  }
}

/* Every pair of types, and numbers that are no types. */
static void types(void) {
  for (int source = -2; source <= TYPE_COUNT + 1; ++source) {
    for (int destination = -2; destination <= TYPE_COUNT + 1; ++destination) {
      const int is_value = destination >= CF_FLOAT64 && destination <= CF_BFLOAT16;
      const int is_source = source >= CF_FLOAT64 && source <= CF_UINT8;
      const int is_right =
          (is_source && (is_value || destination == CF_CODES)) || (source == CF_CODES && is_value);
      const int expected = is_right ? CF_OK : CF_BAD_TYPE;
      arguments a = good_arguments();
      a.source_type = source;
      a.destination_type = destination;
      const int status = status_of(&a);
      CHECK(status == expected, "from %d to %d: status %d, expected %d", source, destination,
            status, expected);
    }
  }
}

/* Codes of float32 that begin at any byte around these, and values of codes. */
static void overlaps(void) {
  enum { SIZE = 12 * COUNT };
  const cf_format *format = &TESLA[0].format;
  for (int types = 0; types < 2; ++types) {
    const int from = types == 0 ? CF_FLOAT32 : CF_CODES, to = types == 0 ? CF_CODES : CF_FLOAT32;
    const int from_size = types == 0 ? 4 : 1, to_size = types == 0 ? 1 : 4;
    for (int first = 0; first + to_size * COUNT <= SIZE; ++first) {
      const int source = 4 * COUNT, end = source + from_size * COUNT;
      const int apart = first >= end || first + to_size * COUNT <= source;
      const int expected = apart || (first == source && to_size <= from_size) ? CF_OK : CF_OVERLAP;
      char memory[SIZE], before[SIZE];
      for (int i = 0; i < SIZE; ++i) memory[i] = (char)(i * 37);
      memcpy(before, memory, SIZE);
      const int status =
          cf_convert_nearest(format, 7, from, memory + source, to, memory + first, COUNT, 1);
      CHECK(status == expected, "types %d, from %d: status %d", types, first, status);
      if (status != CF_OK) CHECK(memcmp(memory, before, SIZE) == 0, "wrote, from %d", first);
      memcpy(memory, before, SIZE);
      const int other = cf_convert(format, 7, from, memory + source, CF_TOWARD_ZERO, 0, 0, to,
                                   memory + first, COUNT, 1, NULL);
      CHECK(other == expected, "toward zero, types %d, from %d: status %d", types, first, other);
      if (other != CF_OK) CHECK(memcmp(memory, before, SIZE) == 0, "wrote, from %d", first);
    }
  }
}

static int strided_status(int32_t ndim, const int64_t *lengths, const int16_t *biases,
                          int64_t bias_step) {
  static const double source[1] = {1};
  static const int64_t no_steps[CF_MAX_NDIM + 1];
  int64_t bias_steps[CF_MAX_NDIM + 1] = {0};
  uint8_t code;
  bias_steps[0] = bias_step;
  const cf_layout layout = {ndim, 0, NULL, lengths, no_steps, bias_steps, no_steps, NULL};
  return cf_convert_strided(&TESLA[0].format, biases, CF_FLOAT64, source, CF_TIES_TO_EVEN, 0, 0,
                            CF_CODES, &code, &layout, 1, NULL);
}

static void layouts(void) {
  const int16_t bias = 7;
  int64_t lengths[CF_MAX_NDIM + 1];
  for (int i = 0; i <= CF_MAX_NDIM; ++i) lengths[i] = 1;
  for (int32_t ndim = 0; ndim <= CF_MAX_NDIM; ++ndim)
    CHECK(strided_status(ndim, lengths, &bias, 0) == CF_OK, "ndim %d", (int)ndim);
  CHECK(strided_status(-1, lengths, &bias, 0) == CF_BAD_LAYOUT, "ndim -1");
  CHECK(strided_status(INT32_MIN, lengths, &bias, 0) == CF_BAD_LAYOUT, "ndim INT32_MIN");
  CHECK(strided_status(CF_MAX_NDIM + 1, lengths, &bias, 0) == CF_BAD_LAYOUT, "ndim 65");
  for (int negative = 0; negative < 3; ++negative) {
    lengths[negative] = -1;
    CHECK(strided_status(3, lengths, &bias, 0) == CF_BAD_LAYOUT, "length %d is -1", negative);
    for (int empty = 0; empty < 3; ++empty) {
      if (empty == negative) continue;
      lengths[empty] = 0;
      CHECK(strided_status(3, lengths, &bias, 0) == CF_BAD_LAYOUT, "length %d is -1 and %d is 0",
            negative, empty);
      lengths[empty] = 1;
    }
    lengths[negative] = 1;
  }
}

/* One bias of many is wrong, wherever it is. */
static void biases(void) {
  enum { LENGTH = CF_PIECE + 10 };
  const int64_t length = LENGTH;
  int16_t some[LENGTH];
  for (int i = 0; i < LENGTH; ++i) some[i] = (int16_t)(i % 64);
  CHECK(strided_status(1, &length, some, sizeof *some) == CF_OK, "right biases");
  for (int i = 0; i < LENGTH; i += 3) {
    const int16_t right = some[i];
    some[i] = i % 2 == 0 ? 64 : -1;
    CHECK(strided_status(1, &length, some, sizeof *some) == CF_BAD_BIAS, "element %d", i);
    some[i] = right;
  }
}

/* The biases of three rows, in any order: nothing is written or counted before the last is known to
 * be right. */
static void biases_come_first(void) {
  enum { ROWS = 3, LENGTH = CF_PIECE + 10, SIZE = ROWS * LENGTH };
  static const struct {
    int64_t origin, row, column; /* in elements */
  } orders[] = {{0, LENGTH, 1}, {0, 1, ROWS}, {SIZE - 1, -LENGTH, -1},
                {0, 0, 1},      {0, 1, 0},    {0, 0, 0}};
  const int64_t lengths[] = {ROWS, LENGTH}, source_steps[] = {4 * LENGTH, 4};
  const int64_t rows_first[] = {LENGTH, 1}, columns_first[] = {1, ROWS};
  static float source[SIZE];
  static int16_t some[SIZE];
  static uint8_t codes[SIZE];
  for (int i = 0; i < SIZE; ++i) {
    source[i] = (float)i * 0.001f;
    some[i] = (int16_t)(i % 64);
  }
  for (size_t i = 0; i < sizeof orders / sizeof *orders; ++i) {
    const int64_t last =
        orders[i].origin + orders[i].row * (ROWS - 1) + orders[i].column * (LENGTH - 1);
    const int64_t bias_steps[] = {2 * orders[i].row, 2 * orders[i].column};
    for (int transposed = 0; transposed < 2; ++transposed) {
      for (int threads = 1; threads <= 2; ++threads) {
        const cf_layout layout = {2,
                                  0,
                                  NULL,
                                  lengths,
                                  source_steps,
                                  bias_steps,
                                  transposed ? columns_first : rows_first,
                                  NULL};
        const int16_t right = some[last];
        cf_flags flags = {1, 20, 300, 4000};
        const cf_flags before = flags;
        size_t written = 0;
        memset(codes, 0x5A, sizeof codes);
        some[last] = 64;
        int status =
            cf_convert_strided(&TESLA[0].format, some + orders[i].origin, CF_FLOAT32, source,
                               CF_STOCHASTIC, 0, 0, CF_CODES, codes, &layout, threads, &flags);
        for (int j = 0; j < SIZE; ++j) written += codes[j] != 0x5A;
        CHECK(status == CF_BAD_BIAS && written == 0 && same_flags(&flags, &before),
              "order %zu, transposed %d: status %d, wrote %zu, %s", i, transposed, status, written,
              flags_text(&flags).text);
        some[last] = right;
        status = cf_convert_strided(&TESLA[0].format, some + orders[i].origin, CF_FLOAT32, source,
                                    CF_STOCHASTIC, 0, 0, CF_CODES, codes, &layout, threads, &flags);
        CHECK(status == CF_OK, "order %zu, right biases: status %d", i, status);
      }
    }
  }
}

void test_status(void) {
  overlaps();
  formats_and_biases();
  roundings();
  stochastic_roundings();
  types();
  layouts();
  biases();
  biases_come_first();
}
