/* Which formats are accepted: fields that are what they must be, and values that are all
 * float32s. */
#include <math.h>

#include "support/check.h"
#include "core/format.h"
#include "support/oracle.h"
#include "support/tests.h"

static int status_with(int32_t exponent_bits, int32_t mantissa_bits, int32_t is_signed,
                       int32_t nonfinite, int32_t subnormals, int32_t saturating, int32_t bias_min,
                       int32_t bias_max) {
  const cf_format format = {exponent_bits, mantissa_bits, is_signed, nonfinite,
                            subnormals,    saturating,    bias_min,  bias_max};
  return cf_format_check(&format);
}

/* CFloat8_1_4_3 but for one field. */
static void one_field_wrong(void) {
  static const int32_t good[8] = {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
  static const struct {
    int field;
    int32_t value;
  } wrong[] = {
      {0, 0},         {0, -1},        {0, 13},    {0, INT32_MAX}, {0, INT32_MIN}, {1, -1},
      {1, 12},        {1, INT32_MAX}, {2, -1},    {2, 2},         {3, -1},        {3, 5},
      {4, -1},        {4, 4},         {5, 0},     {5, 2},         {5, -1},        {6, 64},
      {6, INT32_MIN}, {7, -1},        {7, 32767}, {7, INT32_MAX},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    int32_t field[8];
    for (int j = 0; j < 8; ++j) field[j] = good[j];
    field[wrong[i].field] = wrong[i].value;
    const int status =
        status_with(field[0], field[1], field[2], field[3], field[4], field[5], field[6], field[7]);
    CHECK(status == CF_BAD_FORMAT, "field %d is %d: status %d", wrong[i].field, (int)wrong[i].value,
          status);
  }
}

/* Fields that are right one by one. */
static void wrong_together(void) {
  const int no_nan = status_with(8, 0, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127);
  CHECK(no_nan == CF_BAD_FORMAT, "without mantissa no code is left for NaN: %d", no_nan);
  const int infinities = status_with(1, 6, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 0, 0);
  CHECK(infinities == CF_BAD_FORMAT, "exponents 0 and infinity leave no normal number: %d",
        infinities);
  const int nans = status_with(1, 0, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 0, 0, 0);
  CHECK(nans == CF_BAD_FORMAT, "exponents 0 and NaN leave no normal number: %d", nans);
  const int no_sign = status_with(4, 3, 0, CF_NONFINITE_FNUZ, CF_SUBNORMALS_IEEE, 0, 8, 8);
  CHECK(no_sign == CF_BAD_FORMAT, "there is no -0 for NaN to replace: %d", no_sign);
  const int no_zero = status_with(4, 3, 1, CF_NONFINITE_P3109, CF_SUBNORMALS_NORMAL, 0, 8, 8);
  CHECK(no_zero == CF_BAD_FORMAT, "the code of -0 is a number: %d", no_zero);
  const int nothing = status_with(1, 0, 0, CF_NONFINITE_P3109, CF_SUBNORMALS_NORMAL, 0, 0, 0);
  CHECK(nothing == CF_BAD_FORMAT, "infinity and NaN leave no number: %d", nothing);
}

static int is_float32(double value) { return isinf((float)value) == 0 && (float)value == value; }

/* Whether all values of a format at a bias are float32s, from its list of values. */
static int all_float32(const cf_format *format, int bias) {
  for (unsigned code = 0; code <= max_code(format); ++code) {
    const double value = number_of_code(format, bias, code).magnitude;
    if (!is_float32(value)) return 0;
  }
  return 1;
}

/* A format with only one bias is accepted exactly if all its values are float32s. */
static void float32_range(void) {
  for (int exponent_bits = 1; exponent_bits <= 8; exponent_bits += exponent_bits < 4 ? 1 : 4) {
    for (int mantissa_bits = 0; mantissa_bits <= 3; ++mantissa_bits) {
      for (int subnormals = CF_SUBNORMALS_WHITEPAPER; subnormals <= CF_SUBNORMALS_NORMAL;
           ++subnormals) {
        for (int32_t bias = -140; bias <= 410; ++bias) {
          const cf_format format = {
              exponent_bits, mantissa_bits, 1, CF_NONFINITE_NONE, subnormals, 1, bias, bias};
          const int expected = all_float32(&format, bias) ? CF_OK : CF_BAD_FORMAT;
          const int status = cf_format_check(&format);
          CHECK(status == expected, "e=%d m=%d subnormals=%d bias=%d: status %d, expected %d",
                exponent_bits, mantissa_bits, subnormals, (int)bias, status, expected);
        }
      }
    }
  }
}

/* The exponent field of the largest finite value is that of its code. */
static void largest_exponent(void) {
  for (int e = 1; e <= 8; ++e)
    for (int m = 0; m <= 3; ++m)
      for (int nonfinite = CF_NONFINITE_NONE; nonfinite <= CF_NONFINITE_P3109; ++nonfinite) {
        const cf_format format = {e, m, 1, nonfinite, CF_SUBNORMALS_IEEE, 1, 127, 127};
        if (cf_format_check(&format) != CF_OK) continue;
        const int found = cf_format_max_exponent_field(&format);
        const int expected = ilogb(number_of_code(&format, 127, max_code(&format)).magnitude) + 127;
        CHECK(found == expected, "e=%d m=%d nonfinite=%d: %d, expected %d", e, m, nonfinite, found,
              expected);
      }
}

void test_formats(void) {
  for (int i = 0; i < TESLA_COUNT; ++i)
    CHECK(cf_format_check(&TESLA[i].format) == CF_OK, "%s", TESLA[i].name);
  for (int i = 0; i < OTHERS_COUNT; ++i)
    CHECK(cf_format_check(&OTHERS[i].format) == CF_OK, "%s", OTHERS[i].name);
  one_field_wrong();
  wrong_together();
  float32_range();
  largest_exponent();
}
