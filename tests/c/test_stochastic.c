/* Stochastic rounding through the exported functions: operands made to fit the words of the stream. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "oracle.h"
#include "tests.h"

enum { COUNT = 3000 };

/* Elements alternate between the smallest operand that its word takes to the upper neighbour, and the
 * greatest double below that. */
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

void test_stochastic(void) {
  static const uint64_t offsets[] = {0, 1, 2, 3, ((uint64_t)1 << 32) - 100,
                                     ((uint64_t)1 << 34) - 99, UINT64_MAX - 4 * CF_PIECE};
  for (int i = 0; i < TESLA_COUNT; ++i) {
    for (size_t j = 0; j < sizeof offsets / sizeof *offsets; ++j) {
      at_thresholds(&TESLA[i], 0xFEDCBA9876543210 + j, offsets[j]);
      if (i % 5 == 0) in_parts(&TESLA[i], j, offsets[j]);
    }
  }
}
