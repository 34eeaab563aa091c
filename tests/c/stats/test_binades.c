/* Counts of magnitudes by binades that are cut anywhere: against comparisons of the values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

/* Element i of 1 + the binades of a type: how many are above the cut of binade i - 1 and not above
 * that of i, which is (1 + part) * 2^(i - 1 - bias), and among the subnormals part * 2^(1 - bias).
 */
static void compare(int type, int binades, double part, uint64_t *state) {
  enum { COUNT = 1003 };
  const int bias = binades / 2 - 1, m = type == CF_FLOAT32 ? 23 : 52;
  const uint64_t added = ((uint64_t)1 << m) - 1 - (uint64_t)(part * ldexp(1, m));
  float singles[COUNT];
  double doubles[COUNT];
  uint64_t *found = allocate((size_t)binades * sizeof *found), zeros = 5, expected_zeros = 5;
  uint64_t *expected = allocate((size_t)binades * sizeof *expected);
  for (int i = 0; i < binades; ++i) found[i] = expected[i] = (uint64_t)i % 3;
  for (int i = 0; i < COUNT; ++i) {
    const uint64_t bits = random_bits(state);
    const uint32_t upper = (uint32_t)(bits >> 32);
    memcpy(&singles[i], &upper, sizeof upper);
    memcpy(&doubles[i], &bits, sizeof bits);
    if (i % 11 == 0) singles[i] = i % 2 ? -0.0f : (float)INFINITY;
    if (i % 11 == 0) doubles[i] = i % 2 ? 0.0 : (double)NAN;
    if (i % 13 == 0) { /* on the cut */
      singles[i] = (float)-ldexp(1 + part, i % 50 - 20);
      doubles[i] = ldexp(1 + part, i % 50 - 20);
    }
    const double x = fabs(type == CF_FLOAT32 ? (double)singles[i] : doubles[i]);
    if (!(x < (double)INFINITY)) continue;
    int exponent, place = 0;
    const double fraction = 2 * frexp(x, &exponent) - 1;
    if (x >= ldexp(1, 1 - bias))
      place = exponent - 1 + bias + (fraction > part);
    else
      place = x > ldexp(part, 1 - bias);
    expected_zeros += x == 0;
    ++expected[place];
  }
  const void *values = type == CF_FLOAT32 ? (const void *)singles : (const void *)doubles;
  const int status = cf_count_binades(type, values, COUNT, added, found, &zeros);
  CHECK(status == CF_OK, "status %d", status);
  CHECK(zeros == expected_zeros, "type %d, cut at %g", type, part);
  CHECK(memcmp(found, expected, (size_t)binades * sizeof *found) == 0, "type %d, cut at %g", type,
        part);
  free(found);
  free(expected);
}

void test_binades(void) {
  uint64_t state = 17, none = 0;
  for (int i = 0; i < 16; ++i) {
    compare(CF_FLOAT32, 256, i / 16.0, &state);
    compare(CF_FLOAT64, 2048, i / 16.0, &state);
  }
  CHECK(cf_count_binades(CF_FLOAT16, "", 0, 0, &none, &none) == CF_BAD_TYPE, "another type");
}
