/* Results of so many bytes that they are streamed, or fetched before they are written: the same as
 * those of a few at a time. */
#include <stdlib.h>
#include <string.h>

#include "convert/operation.h"
#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { GUARD = 64, FEW = 1000 };

static void decode(const format_case *test, int type, size_t size, int offset, int threads) {
  const size_t code_size = test->format.exponent_bits + test->format.mantissa_bits < 8 ? 1 : 2;
  const size_t count = CF_STREAMED_BYTES / size + 77;
  uint64_t random = size + (uint64_t)offset;
  unsigned char *codes = allocate(count * code_size), *few = allocate(FEW * size);
  unsigned char *memory = allocate(count * size + 2 * GUARD),
                *results = memory + offset * (int)size;
  for (size_t i = 0; i < count * code_size; ++i) codes[i] = (unsigned char)random_bits(&random);
  for (cf_fetching = 0; cf_fetching < 2; ++cf_fetching) {
    memset(memory, 0xA5, count * size + 2 * GUARD);
    int status = cf_convert(&test->format, test->bias, CF_CODES, codes, 0, 0, 0, type, results,
                            count, threads, NULL);
    CHECK(status == CF_OK, "status %d", status);
    size_t wrong = 0;
    for (size_t at = 0; at < count; at += FEW) {
      const size_t part = count - at < FEW ? count - at : FEW;
      status = cf_convert(&test->format, test->bias, CF_CODES, codes + at * code_size, 0, 0, 0,
                          type, few, part, 1, NULL);
      wrong += status != CF_OK || memcmp(few, results + at * size, part * size) != 0;
    }
    for (size_t i = 0; i < (size_t)offset * size; ++i) wrong += memory[i] != 0xA5;
    for (size_t i = 0; i < GUARD; ++i) wrong += results[count * size + i] != 0xA5;
    CHECK(wrong == 0, "%zu parts wrong: %s, results of %zu bytes, offset %d, fetching %d", wrong,
          test->name, size, offset, cf_fetching);
  }
  cf_fetching = -1;
  free(codes);
  free(few);
  free(memory);
}

void test_large(void) {
  for (int i = 0; i < 2; ++i) {
    const format_case *test = &TESLA[i == 0 ? 0 : 6];
    decode(test, CF_FLOAT32, 4, 3, 1);
    decode(test, CF_FLOAT32, 4, 0, 2);
    decode(test, CF_FLOAT64, 8, 1, 2);
    decode(test, CF_FLOAT16, 2, 5, 1);
  }
}
