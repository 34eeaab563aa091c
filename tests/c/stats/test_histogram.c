/* Histograms of float32: against sums of one element after the other. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

static void compare(size_t count, int lower_bits, int threads, uint64_t *state) {
  const size_t size = (size_t)3 << (32 - lower_bits);
  float *values = allocate(count * sizeof *values);
  uint64_t *found = allocate(size * sizeof *found), *expected = allocate(size * sizeof *expected);
  /* they are added to what is there */
  for (size_t i = 0; i < size; ++i) found[i] = expected[i] = i % 7;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = (uint32_t)random_bits(state), lower = bits & ((1u << lower_bits) - 1);
    uint64_t *to = expected + 3 * (size_t)(bits >> lower_bits);
    memcpy(values + i, &bits, sizeof bits);
    to[0] += 1;
    to[1] += lower;
    to[2] += (uint64_t)lower * lower;
  }
  const int status = cf_add_to_histogram(values, count, lower_bits, found, threads);
  CHECK(status == CF_OK, "status %d", status);
  CHECK(memcmp(found, expected, size * sizeof *found) == 0, "%zu elements, %d bits, %d threads",
        count, lower_bits, threads);
  free(values);
  free(found);
  free(expected);
}

void test_histogram(void) {
  uint64_t state = 9;
  uint64_t none[1] = {0};
  const float value = 1;
  for (int lower_bits = CF_HISTOGRAM_LOWER_MIN + 4; lower_bits <= CF_HISTOGRAM_LOWER_MAX;
       ++lower_bits)
    compare(1000, lower_bits, 3, &state);
  compare(0, 16, 1, &state);
  compare(((size_t)1 << 22) + 3, 16, 1, &state);
  compare(((size_t)1 << 22) + 3, 16, 3, &state); /* two have enough to do */
  CHECK(cf_add_to_histogram(&value, 1, CF_HISTOGRAM_LOWER_MIN - 1, none, 1) == CF_BAD_TYPE,
        "too few bits");
  CHECK(cf_add_to_histogram(&value, 1, CF_HISTOGRAM_LOWER_MAX + 1, none, 1) == CF_BAD_TYPE,
        "too many bits");
}
