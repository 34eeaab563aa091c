/* Exact arithmetic: its integers by themselves, and cf_arithmetic on operands of every type. */
#include <math.h>
#include <string.h>

#include "arithmetic/exact.h"
#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { COUNT = 2000 };

/* Of random length, with many ones or zeros at the ends. */
static uint64_t random_integer(uint64_t *state) {
  const uint64_t bits = random_bits(state) >> random_below(state, 64);
  switch (random_below(state, 4)) {
    case 0: return bits | ~(~(uint64_t)0 >> random_below(state, 64));
    case 1: return ~(uint64_t)0 - (bits & 3);
    default: return bits;
  }
}

/* Products modulo 2^64 and by halves; quotients and roots by the inequalities that define them. */
static void integers(void) {
  uint64_t state = 1;
  for (int i = 0; i < 100 * COUNT; ++i) {
    const uint64_t a = random_integer(&state), b = random_integer(&state);
    const cf_uint128 product = cf_multiply_uint64(a, b);
    CHECK(product.low == a * b, "%llx * %llx", (unsigned long long)a, (unsigned long long)b);
    const uint64_t divisor = b | (uint64_t)1 << 63;
    const cf_uint128 n = {a % divisor, random_integer(&state)};
    uint64_t rest;
    const uint64_t quotient = cf_divide_uint128(n, divisor, &rest);
    cf_uint128 back = cf_multiply_uint64(quotient, divisor);
    back.low += rest;
    back.high += back.low < rest;
    CHECK(rest < divisor && back.high == n.high && back.low == n.low, "%llx %llx / %llx",
          (unsigned long long)n.high, (unsigned long long)n.low, (unsigned long long)divisor);
    const cf_uint128 square = {a | (uint64_t)1 << 62, n.low};
    const uint64_t root = cf_sqrt_uint128(square);
    const cf_uint128 below = cf_multiply_uint64(root, root);
    cf_uint128 above = below; /* (root + 1)^2 - 1 */
    above.low += root;
    above.high += above.low < root;
    above.low += root;
    above.high += above.low < root;
    CHECK(below.high < square.high || (below.high == square.high && below.low <= square.low),
          "the root of %llx %llx is too large", (unsigned long long)square.high,
          (unsigned long long)square.low);
    CHECK(above.high > square.high || (above.high == square.high && above.low >= square.low),
          "the root of %llx %llx is too small", (unsigned long long)square.high,
          (unsigned long long)square.low);
  }
}

/* Small integers in every type, whose results float64 has exactly, or to odd by hand. */
static void types(void) {
  const cf_format format = {5, 10, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15};
  for (int type = 0; type < CF_CODES; ++type) {
    const size_t size = type_size(&format, type);
    char elements[3][8];
    cf_elements operands[3];
    static const unsigned numbers[3] = {12, 5, 3};
    static const uint64_t float64[] = {0x4028000000000000, 0x4014000000000000, 0x4008000000000000};
    static const uint64_t float32[] = {0x41400000, 0x40A00000, 0x40400000};
    static const uint64_t float16[] = {0x4A00, 0x4500, 0x4200};
    static const uint64_t bfloat16[] = {0x4140, 0x40A0, 0x4040};
    const uint64_t *const bits[] = {float64, float32, float16, bfloat16};
    static const double expected[] = {17, 7, 60, 0x1.3333333333333p+1, 0x1.bb67ae8584cabp+1,
                                      63, 12};
    for (int j = 0; j < 3; ++j) {
      store_bits(elements[j], size, type < CF_INT64 ? bits[type][j] : numbers[j]);
      operands[j].elements = elements[j];
      operands[j].stride = 0;
      operands[j].type = type;
    }
    for (int function = CF_ADD; function <= CF_POSITIVE; ++function) {
      double results[3];
      uint32_t signals = 0;
      const int status = cf_arithmetic(function, operands, CF_FLOAT64, CF_TIES_TO_EVEN, 0, 0,
                                       results, 3, 2, NULL, &signals);
      CHECK(status == CF_OK && signals == 0, "status %d, signals %u", status, (unsigned)signals);
      for (int i = 0; i < 3; ++i)
        CHECK(results[i] == expected[function], "%s, function %d: %a, expected %a", type_name(type),
              function, results[i], expected[function]);
    }
  }
}

static void statuses_and_signals(void) {
  const double x[2] = {0, 1};
  cf_elements operands[2] = {{&x[0], 0, CF_FLOAT64}, {&x[0], 0, CF_FLOAT64}};
  float result = 7;
  uint32_t signals = 0;
  cf_flags flags = {0, 0, 0, 0};
#define STATUS(function, type, rounding) \
  cf_arithmetic(function, operands, type, rounding, 0, 0, &result, 1, 1, &flags, &signals)
  CHECK(STATUS(-1, CF_FLOAT32, 0) == CF_BAD_TYPE, "function -1");
  CHECK(STATUS(CF_POSITIVE + 1, CF_FLOAT32, 0) == CF_BAD_TYPE, "a function too many");
  CHECK(STATUS(CF_ADD, CF_FLOAT16, 0) == CF_BAD_TYPE, "float16 results");
  CHECK(STATUS(CF_ADD, CF_FLOAT32, CF_TIES_TO_ZERO + 1) == CF_BAD_ROUNDING, "no rounding");
  operands[1].type = CF_CODES;
  CHECK(STATUS(CF_ADD, CF_FLOAT32, 0) == CF_BAD_TYPE, "codes");
  CHECK(STATUS(CF_SQRT, CF_FLOAT32, 0) == CF_OK, "one operand is looked at");
  operands[1].type = CF_FLOAT64;
  CHECK(result == 0 && signals == 0 && flags.invalid == 0, "written, or signalled");
  CHECK(STATUS(CF_DIVIDE, CF_FLOAT32, 0) == CF_OK && signals == CF_SIGNAL_INVALID, "0 / 0");
  CHECK(result != result && flags.invalid == 1, "0 / 0 is %g", (double)result);
  operands[0].elements = &x[1];
  signals = 0;
  CHECK(STATUS(CF_DIVIDE, CF_FLOAT32, 0) == CF_OK && signals == CF_SIGNAL_DIVIDE_BY_ZERO, "1 / 0");
  CHECK(isinf(result) && flags.overflow == 0, "1 / 0 is %g", (double)result);
#undef STATUS
}

/* 1_4_3 at bias 7: sums into one code stop at 16, where 1 is half a unit; another keeps its own. */
static void in_turn(void) {
  const cf_format format = {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
  const int16_t biases[2] = {7, 8};
  const int32_t one = 1;
  const float zero = 0;
  cf_elements operand = {&one, 0, CF_INT32};
  uint8_t codes[2] = {0x00, 0x00};
  int64_t places[20] = {1};
  uint32_t signals = 0;
  cf_flags flags = {0, 0, 0, 0};
#define AT(function) \
  cf_arithmetic_at(function, &format, biases, 1, codes, places, &operand, 20, &flags, &signals)
  CHECK(AT(CF_SQRT) == CF_BAD_TYPE && AT(-1) == CF_BAD_TYPE, "not of two operands");
  CHECK(AT(CF_ADD) == CF_OK && codes[0] == 0x58 && codes[1] == 0x40, "sums are %02x and %02x",
        codes[0], codes[1]);
  CHECK(signals == 0 && flags.overflow == 0 && flags.invalid == 0, "signalled");
  operand.elements = &zero;
  operand.type = CF_FLOAT32;
  CHECK(AT(CF_DIVIDE) == CF_OK && codes[0] == 0x7F, "16 / 0 is %02x", codes[0]);
  CHECK(signals == CF_SIGNAL_DIVIDE_BY_ZERO && flags.overflow == 20, "signals %u, overflow %u",
        (unsigned)signals, (unsigned)flags.overflow);
  operand.type = CF_CODES;
  CHECK(AT(CF_ADD) == CF_BAD_TYPE, "codes");
#undef AT
}

void test_arithmetic(void) {
  in_turn();
  integers();
  types();
  statuses_and_signals();
}
