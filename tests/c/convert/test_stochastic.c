/* Stochastic rounding through the exported functions: operands made to fit the words of the
 * stream. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { COUNT = 3000 };

/* Elements alternate between the smallest operand that its word takes to the upper neighbour, and
 * the greatest double below that. */
static void at_thresholds(const format_case *test, uint64_t seed, uint64_t offset) {
  const cf_format *format = &test->format;
  const size_t size = type_size(format, CF_CODES);
  const unsigned hole = (1u << format->mantissa_bits) - 1;
  const unsigned top = max_code(format);
  uint64_t random = seed;
  uint32_t words[COUNT];
  double operands[COUNT];
  unsigned expected[COUNT];
  uint16_t codes[COUNT];
  cf_random_words(seed, offset, words, COUNT);
  for (int i = 0; i < COUNT; ++i) {
    const unsigned code = i % 4 < 2 ? hole : (unsigned)random_below(&random, top);
    const double lo = grid_value(format, test->bias, code);
    const double hi = grid_value(format, test->bias, code + 1);
    const double x = lo + (hi - lo) * ((4294967296.0 - words[i]) / 4294967296.0);
    const int below = i % 2;
    operands[i] = below ? nextafter(x, 0) : x;
    expected[i] = below ? code : code + 1;
    if (format->subnormals == CF_SUBNORMALS_FLUSH && expected[i] <= hole) expected[i] = 0;
    if (format->is_signed && i % 3 == 0) {
      operands[i] = -operands[i];
      expected[i] += sign_code(format);
    }
  }
  const int status = cf_convert(format, test->bias, CF_FLOAT64, operands, CF_STOCHASTIC, seed,
                                offset, CF_CODES, codes, COUNT, 1, NULL);
  CHECK(status == CF_OK, "status %d", status);
  for (int i = 0; i < COUNT; ++i) {
    const unsigned code = (unsigned)load_bits((char *)codes + (size_t)i * size, size);
    CHECK(code == expected[i], "%s x=%a word=%08x: code %04x, expected %04x", test->name,
          operands[i], (unsigned)words[i], code, expected[i]);
  }
}

/* A call in two parts gives what one call gives, wherever it is cut. */
static void in_parts(const format_case *test, uint64_t seed, uint64_t offset) {
  const cf_format *format = &test->format;
  const size_t size = type_size(format, CF_CODES);
  const size_t count = 2 * CF_PIECE + 60;
  uint64_t random = 7;
  float *operands = allocate(count * sizeof *operands);
  char *whole = allocate(count * size), *parts = allocate(count * size);
  for (size_t i = 0; i < count; ++i)
    operands[i] = (float)ldexp((double)random_below(&random, 1000000), -16);
  cf_convert(format, test->bias, CF_FLOAT32, operands, CF_STOCHASTIC, seed, offset, CF_CODES, whole,
             count, 1, NULL);
  for (size_t cut = 0; cut <= count; cut += cut < 40 ? 1 : 67) {
    cf_convert(format, test->bias, CF_FLOAT32, operands, CF_STOCHASTIC, seed, offset, CF_CODES,
               parts, cut, 1, NULL);
    cf_convert(format, test->bias, CF_FLOAT32, operands + cut, CF_STOCHASTIC, seed, offset + cut,
               CF_CODES, parts + cut * size, count - cut, 1, NULL);
    CHECK(memcmp(whole, parts, count * size) == 0, "%s seed %llx offset %llx: other if cut at %zu",
          test->name, (unsigned long long)seed, (unsigned long long)offset, cut);
  }
  free(operands);
  free(whole);
  free(parts);
}

/* The fewest random bits r, as a number, that take f = steps / 2^20 up (cfloat_api.h); 2^bits if
 * none do. */
static uint64_t fewest_up(int variant, int bits, uint64_t steps) {
  const uint64_t one = (uint64_t)1 << 20, range = (uint64_t)1 << bits;
  const uint64_t product = steps << bits; /* f * 2^bits, in units of 2^-20 */
  switch (variant) {
    case CF_STOCHASTIC_B: { /* 2 * r >= range * 2 - 1 - floor(f * 2^(bits + 1)) */
      const uint64_t least = range * 2 - 1 - 2 * product / one;
      return least / 2 + least % 2;
    }
    case CF_STOCHASTIC_C: {
      const uint64_t whole = product / one, rest = product % one;
      return range - whole - (rest > one / 2 || (rest == one / 2 && whole % 2 == 1));
    }
    default: return range - product / one;
  }
}

/* Random words of the test's choice, in a layout, for rounding with few bits: the fewest that take
 * an operand up, and one less.  Only the upper bits of a word may matter. */
static void few_bits(const format_case *test, int variant, int bits) {
  enum { OPERANDS = 200 };
  const cf_format *format = &test->format;
  const int64_t length = 2 * OPERANDS, source_step = 8, no_step = 0;
  const size_t size = type_size(format, CF_CODES);
  const int64_t code_step = (int64_t)size;
  const int16_t bias = (int16_t)test->bias;
  const unsigned smallest_normal = 1u << format->mantissa_bits;
  const uint64_t range = (uint64_t)1 << bits;
  const unsigned sign = sign_code(format);
  double operands[2 * OPERANDS];
  uint32_t words[2 * OPERANDS];
  unsigned expected[2 * OPERANDS];
  uint16_t codes[2 * OPERANDS];
  uint64_t random = (uint64_t)(bits + 40 * variant);
  for (int i = 0; i < OPERANDS; ++i) {
    const unsigned code =
        smallest_normal + (unsigned)random_below(&random, max_code(format) - smallest_normal);
    const double lo = grid_value(format, test->bias, code);
    const double hi = grid_value(format, test->bias, code + 1);
    /* among them many on a tie, and those next to the ends of the gap */
    const uint64_t some[] = {0, 1, (1 << 20) - 1, 1 << 19, ((uint64_t)1 << 19) >> bits};
    const uint64_t steps =
        i < 5 ? some[i] : random_below(&random, (uint64_t)1 << 20) >> i % 12 << i % 12;
    const uint64_t fewest = fewest_up(variant, bits, steps);
    const uint64_t ignored = random_bits(&random) % ((uint64_t)1 << (32 - bits));
    for (int down = 0; down < 2; ++down) {
      /* none goes down if none is less than 0; and none up if there is none */
      const int goes_up = fewest == 0 || (!down && fewest < range);
      const uint64_t bits_given = fewest == 0      ? 0
                                  : fewest < range ? fewest - (uint64_t)down
                                                   : range - 1;
      const int is_negative = format->is_signed && random_below(&random, 2) == 0;
      const double magnitude = lo + (hi - lo) * ldexp((double)steps, -20);
      operands[2 * i + down] = is_negative ? -magnitude : magnitude;
      words[2 * i + down] = (uint32_t)(bits_given << (32 - bits) | ignored);
      expected[2 * i + down] = (is_negative ? sign : 0) + code + (unsigned)goes_up;
    }
  }
  const cf_layout layout = {1, 0, words, &length, &source_step, &no_step, &code_step, NULL};
  const int status = cf_convert_strided(format, &bias, CF_FLOAT64, operands,
                                        CF_STOCHASTIC + 16 * variant + 256 * bits, 0, 0, CF_CODES,
                                        codes, &layout, 1, NULL);
  CHECK(status == CF_OK, "status %d", status);
  for (int i = 0; i < 2 * OPERANDS; ++i) {
    const unsigned code = (unsigned)load_bits((char *)codes + (size_t)i * size, size);
    CHECK(code == expected[i], "%s variant %d, %d bits, x=%a word=%08x: code %04x, expected %04x",
          test->name, variant, bits, operands[i], (unsigned)words[i], code, expected[i]);
  }
}

void test_stochastic(void) {
  static const uint64_t offsets[] = {
      0, 1, 2, 3, ((uint64_t)1 << 32) - 100, ((uint64_t)1 << 34) - 99, UINT64_MAX - 4 * CF_PIECE};
  for (int i = 0; i < TESLA_COUNT; ++i) {
    for (size_t j = 0; j < sizeof offsets / sizeof *offsets; ++j) {
      at_thresholds(&TESLA[i], 0xFEDCBA9876543210 + j, offsets[j]);
      if (i % 5 == 0) in_parts(&TESLA[i], j, offsets[j]);
    }
    for (int variant = CF_STOCHASTIC_A; variant <= CF_STOCHASTIC_C; ++variant)
      for (int bits = 1; bits <= 32; ++bits) few_bits(&TESLA[i], variant, bits);
  }
}
