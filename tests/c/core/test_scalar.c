/* core/scalar.h by itself: what the exported functions reach on one compiler only, or not with a
 * random word of the test's choice. */
#include <math.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

/* core/scalar.h as a compiler reads it that is neither gcc nor clang; its other headers come
 * first. */
#include "core/format.h"
#include "core/philox.h"
#undef __GNUC__
#undef __clang__
#include "core/scalar.h"

static void log2_without_builtin(void) {
  for (int log2 = 0; log2 < 64; ++log2) {
    const uint64_t power = (uint64_t)1 << log2;
    const uint64_t numbers[] = {power, power | power / 2, power | (power - 1)};
    for (int i = 0; i < 3; ++i)
      CHECK(cf_log2(numbers[i]) == log2, "cf_log2(%llx) is %d", (unsigned long long)numbers[i],
            cf_log2(numbers[i]));
  }
}

static unsigned round_with_word(const cf_params *params, int bias, double x, uint32_t word) {
  uint64_t bits;
  unsigned raised = 0;
  memcpy(&bits, &x, sizeof bits);
  const cf_real real = cf_unpack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, bits);
  return (unsigned)cf_round_pack(params, bias, real, CF_STOCHASTIC, word, &raised);
}

/* The greatest word that leaves x, a fraction f of the way from one value to the next, at the lower
 * one is 2^32 - 1 - floor(f * 2^32). */
static void threshold(const format_case *test, const cf_params *params, unsigned code, double x,
                      double lo, double hi) {
  const double position = floor((x - lo) / (hi - lo) * 4294967296.0);
  const unsigned top = sign_code(&test->format);
  const uint32_t last = (uint32_t)(4294967295.0 - position);
  const unsigned stays = round_with_word(params, test->bias, x, last);
  CHECK(stays == code, "%s x=%a word=%08x: code %04x, expected %04x", test->name, x, (unsigned)last,
        stays, code);
  if (last == 0xFFFFFFFFu) return; /* no word is large enough */
  const unsigned moves = round_with_word(params, test->bias, x, last + 1);
  CHECK(moves == code + 1, "%s x=%a word=%08x: code %04x, expected %04x", test->name, x,
        (unsigned)(last + 1), moves, code + 1);
  if (top == 0) return;
  const unsigned negative = round_with_word(params, test->bias, -x, last + 1);
  CHECK(negative == top + code + 1, "%s x=%a word=%08x: code %04x, expected %04x", test->name, -x,
        (unsigned)(last + 1), negative, top + code + 1);
}

/* Every x is a whole number of halves of 2^-32 of the way up, so that threshold() divides
 * exactly. */
static void thresholds(const format_case *test) {
  const cf_params params = cf_format_params(&test->format);
  const unsigned subnormals = 1u << test->format.mantissa_bits;
  const unsigned last_code = max_code(&test->format);
  uint64_t random = 1;
  for (unsigned code = 0; code < last_code;
       code += code < 2 * subnormals ? 1 : 1 + last_code / 50) {
    const double lo = grid_value(&test->format, test->bias, code);
    const double hi = grid_value(&test->format, test->bias, code + 1);
    const int is_hole = code == subnormals - 1;
    if (test->format.subnormals == CF_SUBNORMALS_FLUSH && code < subnormals) continue;
    for (int i = 0; i < (is_hole ? 4000 : 8); ++i) {
      const uint64_t steps = i == 0 ? 0 : i == 1 ? 0xFFFFFFFFu : random_bits(&random) >> 32;
      const double way_up = ((double)steps + (i % 2 == 0 ? 0 : 0.5)) / 4294967296.0;
      threshold(test, &params, code, lo + (hi - lo) * way_up, lo, hi);
    }
    /* what is representable never moves */
    const unsigned stays = round_with_word(&params, test->bias, lo, 0xFFFFFFFFu);
    CHECK(stays == code, "%s x=%a: code %04x, expected %04x", test->name, lo, stays, code);
  }
}

void test_scalar(void) {
  log2_without_builtin();
  for (int i = 0; i < TESLA_COUNT; ++i) thresholds(&TESLA[i]);
  for (int i = 0; i < OTHERS_COUNT; ++i)
    if (OTHERS[i].format.nonfinite == CF_NONFINITE_NONE) thresholds(&OTHERS[i]);
}
