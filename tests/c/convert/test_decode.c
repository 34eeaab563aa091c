/* Every code of every format at every bias: what it stands for, in each type, and that its value
 * goes back to the same code. */
#include <stdlib.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

/* All codes of a format, and those that their values must encode to. */
typedef struct codes {
  const format_case *test;
  size_t count;
  size_t size; /* of one */
  char *all;   /* 0, 1, ... count - 1 */
  char *again;
} codes;

/* A code's value encodes to the code itself, but for flushed subnormals, other NaNs than the
 * canonical one, and an infinity where infinities saturate. */
static unsigned code_again(const cf_format *format, unsigned code) {
  const unsigned sign = code & sign_code(format), magnitude = code - sign;
  const unsigned subnormals = 1u << format->mantissa_bits;
  const number x = number_of_code(format, 0, code);
  if (x.kind == NOT_A_NUMBER && format->nonfinite == CF_NONFINITE_IEEE)
    return sign | (max_code(format) + 1 + subnormals / 2);
  if (x.kind == INFINITE && format->saturating) return sign | max_code(format);
  /* -0 is encoded as 0 there */
  if (format->nonfinite == CF_NONFINITE_P3109 && x.kind == FINITE && x.magnitude == 0) return 0;
  return format->subnormals == CF_SUBNORMALS_FLUSH && magnitude < subnormals ? sign : code;
}

static codes codes_new(const format_case *test) {
  codes made = {test, (size_t)1 << code_bits(&test->format), type_size(&test->format, CF_CODES),
                NULL, NULL};
  made.all = allocate(made.count * made.size);
  made.again = allocate(made.count * made.size);
  for (size_t i = 0; i < made.count; ++i) {
    store_bits(made.all + i * made.size, made.size, i);
    store_bits(made.again + i * made.size, made.size, code_again(&test->format, (unsigned)i));
  }
  return made;
}

static void check_decode(const codes *codes, int bias, int type, void *values) {
  const cf_format *format = &codes->test->format;
  const char *name = codes->test->name;
  const size_t size = type_size(format, type);
  char *expected = allocate(codes->count * size);
  cf_flags flags = {0, 0, 0, 0}, expected_flags = {0, 0, 0, 0};
  for (size_t i = 0; i < codes->count; ++i) {
    const number x = number_of_code(format, bias, (unsigned)i);
    store_bits(expected + i * size, size, bits_of_number(type, x, &expected_flags));
  }
  const int status = cf_convert(format, bias, CF_CODES, codes->all, CF_TIES_TO_EVEN, 0, 0, type,
                                values, codes->count, 1, &flags);
  CHECK(status == CF_OK, "%s bias %d to %s: status %d", name, bias, type_name(type), status);
  const size_t i = first_difference(values, expected, size, codes->count);
  CHECK(i == codes->count, "%s bias %d: code %04zx as %s is %llx, expected %llx", name, bias, i,
        type_name(type), bits_at(values, size, i), bits_at(expected, size, i));
  CHECK(same_flags(&flags, &expected_flags), "%s bias %d to %s: %s, expected %s", name, bias,
        type_name(type), flags_text(&flags).text, flags_text(&expected_flags).text);
  free(expected);
}

static void check_encode_again(const codes *codes, int bias, const void *values, int rounding) {
  const cf_format *format = &codes->test->format;
  const char *name = codes->test->name;
  const int infinities_saturate = format->nonfinite == CF_NONFINITE_IEEE && format->saturating;
  void *encoded = allocate(codes->count * codes->size);
  cf_flags flags = {0, 0, 0, 0};
  const int status = cf_convert(format, bias, CF_FLOAT64, values, rounding, 1, 2, CF_CODES, encoded,
                                codes->count, 1, &flags);
  CHECK(status == CF_OK, "%s bias %d %s: status %d", name, bias, rounding_name(rounding), status);
  const size_t i = first_difference(encoded, codes->again, codes->size, codes->count);
  CHECK(i == codes->count,
        "%s bias %d %s: the value of code %04zx encodes to %04llx, expected %04llx", name, bias,
        rounding_name(rounding), i, bits_at(encoded, codes->size, i),
        bits_at(codes->again, codes->size, i));
  CHECK(flags.overflow == (infinities_saturate ? 2 : 0) && flags.underflow == 0 &&
            flags.denormal == 0,
        "%s bias %d %s: %s", name, bias, rounding_name(rounding), flags_text(&flags).text);
  free(encoded);
}

static void check_format(const format_case *test, int every_bias) {
  codes codes = codes_new(test);
  void *values = allocate(codes.count * sizeof(uint64_t));
  for (int bias = test->format.bias_min; bias <= test->format.bias_max; ++bias) {
    const int is_edge = bias == test->format.bias_min || bias == test->format.bias_max;
    if (!every_bias && !is_edge && bias != test->bias) continue;
    if (is_thinned() && !is_edge && bias != test->bias && bias % 8 != 3) continue;
    /* the others take turns where they would take long */
    const int in_full = codes.size == 1 || is_edge || bias == test->bias;
    if (in_full) {
      check_decode(&codes, bias, CF_FLOAT32, values);
      check_decode(&codes, bias, CF_FLOAT16, values);
      check_decode(&codes, bias, CF_BFLOAT16, values);
    }
    check_decode(&codes, bias, CF_FLOAT64, values);
    for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding)
      if (in_full || (bias + rounding) % 3 == 0) check_encode_again(&codes, bias, values, rounding);
  }
  free(values);
  free(codes.all);
  free(codes.again);
}

/* Values that the whitepaper and OCP's standard print, or that a line of arithmetic gives: they
 * hold the oracle's formula itself to account. */
static void printed_values(void) {
  static const struct {
    int format; /* of TESLA */
    int bias;
    uint16_t code;
    double value;
  } facts[] = {
      {0, 7, 0x08, 0x1p-6},         {0, 7, 0x7F, 0x1.Ep8},        {0, 0, 0x7F, 0x1.Ep15},
      {0, 63, 0x08, 0x1p-62},       {0, 7, 0x01, 0x1p-10},        {1, 7, 0x01, 0x1p-9},
      {0, 7, 0x07, 0x1.Cp-8},       {1, 7, 0x07, 0x1.Cp-7},       {2, 7, 0x07, 0},
      {3, 15, 0x7F, 0x1.Cp16},      {3, 0, 0x7F, 0x1.Cp31},       {3, 63, 0x04, 0x1p-62},
      {3, 15, 0x01, 0x1p-17},       {4, 15, 0x01, 0x1p-16},       {6, 15, 0x03FF, 0x1.FF8p-16},
      {7, 15, 0x03FF, 0x1.FF8p-15}, {11, 31, 0xFBFF, 0x1.FFCp31}, {11, 31, 0x0400, 0x1p-30},
  };
  for (size_t i = 0; i < sizeof facts / sizeof *facts; ++i) {
    const format_case *test = &TESLA[facts[i].format];
    uint16_t code;
    double value = -1;
    store_bits(&code, type_size(&test->format, CF_CODES), facts[i].code);
    cf_convert(&test->format, facts[i].bias, CF_CODES, &code, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT64,
               &value, 1, 1, NULL);
    CHECK(value == facts[i].value, "%s bias %d code %04x: %a, expected %a", test->name,
          facts[i].bias, facts[i].code, value, facts[i].value);
  }
}

void test_decode(void) {
  printed_values();
  for (int i = 0; i < TESLA_COUNT; ++i) check_format(&TESLA[i], 1);
  for (int i = 0; i < OTHERS_COUNT; ++i) check_format(&OTHERS[i], 0);
}
