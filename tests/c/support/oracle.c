#include "support/oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

#define WHITEPAPER CF_SUBNORMALS_WHITEPAPER
#define IEEE CF_SUBNORMALS_IEEE
#define FLUSH CF_SUBNORMALS_FLUSH
#define NORMAL CF_SUBNORMALS_NORMAL

#define CFLOAT8_1_4_3(reading) \
  {"CFloat8_1_4_3 " #reading, {4, 3, 1, CF_NONFINITE_NONE, reading, 1, 0, 63}, 7}
#define CFLOAT8_1_5_2(reading) \
  {"CFloat8_1_5_2 " #reading, {5, 2, 1, CF_NONFINITE_NONE, reading, 1, 0, 63}, 15}
#define CFLOAT16_SHP(reading) \
  {"CFloat16_SHP " #reading, {5, 10, 1, CF_NONFINITE_NONE, reading, 1, 0, 63}, 15}
#define CFLOAT16_UHP(reading) \
  {"CFloat16_UHP " #reading, {6, 10, 0, CF_NONFINITE_IEEE, reading, 0, 31, 31}, 31}

const format_case TESLA[TESLA_COUNT] = {
    CFLOAT8_1_4_3(WHITEPAPER), CFLOAT8_1_4_3(IEEE), CFLOAT8_1_4_3(FLUSH),
    CFLOAT8_1_5_2(WHITEPAPER), CFLOAT8_1_5_2(IEEE), CFLOAT8_1_5_2(FLUSH),
    CFLOAT16_SHP(WHITEPAPER),  CFLOAT16_SHP(IEEE),  CFLOAT16_SHP(FLUSH),
    CFLOAT16_UHP(WHITEPAPER),  CFLOAT16_UHP(IEEE),  CFLOAT16_UHP(FLUSH),
};

const format_case OTHERS[OTHERS_COUNT] = {
    {"float16", {5, 10, 1, CF_NONFINITE_IEEE, IEEE, 0, 15, 15}, 15},
    {"bfloat16", {8, 7, 1, CF_NONFINITE_IEEE, IEEE, 0, 127, 127}, 127},
    {"E4M3FN", {4, 3, 1, CF_NONFINITE_NAN_ONLY, IEEE, 0, 7, 7}, 7},
    {"E4M3FN saturating", {4, 3, 1, CF_NONFINITE_NAN_ONLY, IEEE, 1, 7, 7}, 7},
    {"E5M2", {5, 2, 1, CF_NONFINITE_IEEE, IEEE, 0, 15, 15}, 15},
    {"E5M2 saturating", {5, 2, 1, CF_NONFINITE_IEEE, WHITEPAPER, 1, 15, 15}, 15},
    {"E2M1", {2, 1, 1, CF_NONFINITE_NONE, IEEE, 1, -60, 60}, 1},
    {"E3M0 signed", {3, 0, 1, CF_NONFINITE_NONE, WHITEPAPER, 1, -60, 60}, 3},
    {"E8M0 unsigned", {8, 0, 0, CF_NONFINITE_NAN_ONLY, IEEE, 0, 127, 127}, 127},
    {"E4M4 unsigned", {4, 4, 0, CF_NONFINITE_NONE, WHITEPAPER, 1, -60, 60}, -20},
    {"E1M15 unsigned", {1, 15, 0, CF_NONFINITE_NONE, WHITEPAPER, 1, -60, 60}, 0},
    {"E3M3 unsigned", {3, 3, 0, CF_NONFINITE_NAN_ONLY, FLUSH, 1, -60, 60}, 3},
    {"E3M1 of integers", {3, 1, 1, CF_NONFINITE_NONE, WHITEPAPER, 1, -64, -64}, -64},
    {"E4M3FNUZ", {4, 3, 1, CF_NONFINITE_FNUZ, IEEE, 0, 8, 8}, 8},
    {"E5M2FNUZ saturating", {5, 2, 1, CF_NONFINITE_FNUZ, WHITEPAPER, 1, 0, 63}, 16},
    {"binary8p4se", {4, 3, 1, CF_NONFINITE_P3109, IEEE, 0, 8, 8}, 8},
    {"binary8p3ue", {6, 2, 0, CF_NONFINITE_P3109, IEEE, 0, 32, 32}, 32},
    {"binary11p6se flushing", {5, 5, 1, CF_NONFINITE_P3109, FLUSH, 0, 0, 40}, 16},
    {"E8M0FNU", {8, 0, 0, CF_NONFINITE_NAN_ONLY, NORMAL, 0, 127, 127}, 127},
    {"E4M3 without zero", {4, 3, 1, CF_NONFINITE_NONE, NORMAL, 1, 0, 60}, 7},
    {"E3M4 without zero, IEEE", {3, 4, 1, CF_NONFINITE_IEEE, NORMAL, 0, 0, 127}, 3},
};

const char *rounding_name(int rounding) {
  static const char *const names[ROUNDING_COUNT] = {"ties_to_even",    "ties_to_away",
                                                    "toward_zero",     "toward_positive",
                                                    "toward_negative", "stochastic"};
  return names[rounding];
}

const char *type_name(int type) {
  static const char *const names[TYPE_COUNT] = {
      "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16",
      "int8",    "uint64",  "uint32",  "uint16",   "uint8", "codes"};
  return names[type];
}

int code_bits(const cf_format *format) {
  return format->exponent_bits + format->mantissa_bits + format->is_signed;
}

size_t type_size(const cf_format *format, int type) {
  static const size_t sizes[] = {8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1};
  return type != CF_CODES ? sizes[type] : code_bits(format) > 8 ? 2 : 1;
}

uint64_t load_bits(const void *memory, size_t size) {
  uint64_t bits64;
  uint32_t bits32;
  uint16_t bits16;
  switch (size) {
    case 8: memcpy(&bits64, memory, 8); return bits64;
    case 4: memcpy(&bits32, memory, 4); return bits32;
    case 2: memcpy(&bits16, memory, 2); return bits16;
    default: return *(const uint8_t *)memory;
  }
}

void store_bits(void *memory, size_t size, uint64_t bits) {
  const uint32_t bits32 = (uint32_t)bits;
  const uint16_t bits16 = (uint16_t)bits;
  switch (size) {
    case 8: memcpy(memory, &bits, 8); return;
    case 4: memcpy(memory, &bits32, 4); return;
    case 2: memcpy(memory, &bits16, 2); return;
    default: *(uint8_t *)memory = (uint8_t)bits;
  }
}

size_t first_difference(const void *a, const void *b, size_t size, size_t count) {
  const char *p = a, *q = b;
  size_t i = 0;
  if (memcmp(a, b, count * size) == 0) return count;
  while (memcmp(p + i * size, q + i * size, size) == 0) ++i;
  return i;
}

unsigned long long bits_at(const void *array, size_t size, size_t i) {
  return load_bits((const char *)array + i * size, size);
}

unsigned sign_code(const cf_format *format) {
  return format->is_signed ? 1u << (format->exponent_bits + format->mantissa_bits) : 0;
}

static unsigned all_ones(const cf_format *format) {
  return (1u << (format->exponent_bits + format->mantissa_bits)) - 1;
}

static int has_infinity(const cf_format *format) {
  return format->nonfinite == CF_NONFINITE_IEEE || format->nonfinite == CF_NONFINITE_P3109;
}

static unsigned infinity_code(const cf_format *format) {
  if (format->nonfinite == CF_NONFINITE_P3109)
    return format->is_signed ? all_ones(format) : all_ones(format) - 1;
  return ((1u << format->exponent_bits) - 1) << format->mantissa_bits;
}

/* Whether the code of -0 is the one NaN. */
static int has_bare_nan(const cf_format *format) {
  return format->is_signed &&
         (format->nonfinite == CF_NONFINITE_FNUZ || format->nonfinite == CF_NONFINITE_P3109);
}

unsigned max_code(const cf_format *format) {
  switch (format->nonfinite) {
    case CF_NONFINITE_P3109:
    case CF_NONFINITE_IEEE: return infinity_code(format) - 1;
    case CF_NONFINITE_NAN_ONLY: return all_ones(format) - 1;
    default: return all_ones(format);
  }
}

static unsigned nan_code(const cf_format *format) {
  if (has_bare_nan(format)) return sign_code(format);
  return format->nonfinite == CF_NONFINITE_IEEE
             ? infinity_code(format) + (1u << (format->mantissa_bits - 1))
             : all_ones(format);
}

double grid_value(const cf_format *format, int bias, unsigned code) {
  const unsigned steps = 1u << format->mantissa_bits;
  const int exponent = (int)(code / steps);
  const double fraction = (double)(code % steps) / steps;
  if (exponent > 0 || format->subnormals == NORMAL) return ldexp(1 + fraction, exponent - bias);
  return ldexp(fraction, format->subnormals == WHITEPAPER ? -bias : 1 - bias);
}

number number_of_code(const cf_format *format, int bias, unsigned code) {
  const unsigned sign = sign_code(format);
  const unsigned magnitude = code % (all_ones(format) + 1);
  number x = {FINITE, (code & sign) != 0, 0, 0};
  if (has_bare_nan(format) && x.sign && magnitude == 0) {
    x.sign = 0;
    x.kind = NOT_A_NUMBER;
    return x;
  }
  if (magnitude > max_code(format)) {
    const int infinite = has_infinity(format) && magnitude == infinity_code(format);
    x.kind = infinite ? INFINITE : NOT_A_NUMBER;
    return x;
  }
  x.subnormal =
      format->subnormals != NORMAL && 0 < magnitude && magnitude < 1u << format->mantissa_bits;
  if (!(x.subnormal && format->subnormals == FLUSH))
    x.magnitude = grid_value(format, bias, magnitude);
  return x;
}

/* An integer as a double whose last bit is odd if anything was cut off: no rounding to far fewer
 * bits can tell the two apart. */
static double double_of_integer(uint64_t n) {
  int exponent = 0;
  uint64_t cut_off = 0;
  for (; n >= (uint64_t)1 << 53; n /= 2, ++exponent) cut_off |= n % 2;
  return ldexp((double)(n | cut_off), exponent);
}

static number number_of_int64(int64_t n) {
  const uint64_t magnitude = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
  const number x = {FINITE, n < 0, 0, double_of_integer(magnitude)};
  return x;
}

static number number_of_uint64(uint64_t n) {
  const number x = {FINITE, 0, 0, double_of_integer(n)};
  return x;
}

static number number_of_double(double value, int subnormal) {
  number x = {FINITE, signbit(value) != 0, subnormal, fabs(value)};
  if (isnan(value)) x.kind = NOT_A_NUMBER;
  if (isinf(value)) x.kind = INFINITE;
  return x;
}

number number_of_bits(int type, uint64_t bits) {
  const uint32_t bits32 = (uint32_t)bits;
  double value64;
  float value32;
  switch (type) {
    case CF_FLOAT64:
      memcpy(&value64, &bits, sizeof value64);
      return number_of_double(value64, fpclassify(value64) == FP_SUBNORMAL);
    case CF_FLOAT32:
      memcpy(&value32, &bits32, sizeof value32);
      return number_of_double(value32, fpclassify(value32) == FP_SUBNORMAL);
    case CF_FLOAT16: return number_of_code(&OTHERS[0].format, 15, (unsigned)bits);
    case CF_BFLOAT16: return number_of_code(&OTHERS[1].format, 127, (unsigned)bits);
    case CF_INT64: return number_of_int64((int64_t)bits);
    case CF_INT32: return number_of_int64((int32_t)bits);
    case CF_INT16: return number_of_int64((int16_t)bits);
    case CF_INT8: return number_of_int64((int8_t)bits);
    default: return number_of_uint64(bits);
  }
}

grid grid_new(const cf_format *format, int bias) {
  grid made = {*format, bias, max_code(format), NULL};
  made.values = allocate(((size_t)made.max_code + 2) * sizeof *made.values);
  for (unsigned code = 0; code <= made.max_code + 1; ++code)
    made.values[code] = grid_value(format, bias, code);
  return made;
}

void grid_free(grid *grid) {
  free(grid->values);
  grid->values = NULL;
}

/* The greatest code of the grid whose value is not above x. */
static unsigned floor_code(const grid *grid, double x) {
  unsigned low = 0, high = grid->max_code + 2; /* value[low] <= x < value[high] */
  while (high - low > 1) {
    const unsigned middle = low + (high - low) / 2;
    if (grid->values[middle] <= x)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Whether lo < x < hi, where lo is the value of code, becomes hi. */
static int goes_up(double lo, double x, double hi, unsigned code, int sign, int rounding,
                   uint32_t word) {
  const double two_to_32 = 4294967296.0;
  switch (rounding) {
    case CF_TIES_TO_EVEN: return 2 * x > lo + hi || (2 * x == lo + hi && code % 2 == 1);
    case CF_TIES_TO_AWAY: return 2 * x >= lo + hi;
    case CF_TOWARD_POSITIVE: return !sign;
    case CF_TOWARD_NEGATIVE: return sign;
    case CF_STOCHASTIC: return (x - lo) * two_to_32 >= (hi - lo) * (two_to_32 - word);
    default: return 0;
  }
}

/* Where a magnitude goes that rounds to more than the largest finite value. */
static unsigned overflow_code(const cf_format *format, int sign, int rounding) {
  const int to_nearest = rounding == CF_TIES_TO_EVEN || rounding == CF_TIES_TO_AWAY;
  const int away = rounding == (sign ? CF_TOWARD_NEGATIVE : CF_TOWARD_POSITIVE);
  if (format->saturating || !(to_nearest || away)) return max_code(format);
  return has_infinity(format) ? infinity_code(format) : nan_code(format);
}

unsigned encode_number(const grid *grid, number x, int rounding, uint32_t word, cf_flags *flags) {
  const cf_format *format = &grid->format;
  const unsigned sign = x.sign ? sign_code(format) : 0;
  const int has_nan = format->nonfinite != CF_NONFINITE_NONE;
  const int is_zero = x.kind == FINITE && x.magnitude == 0;
  flags->denormal += x.subnormal != 0;
  if (x.kind == NOT_A_NUMBER) {
    ++flags->invalid;
    return has_nan ? sign | nan_code(format) : grid->max_code;
  }
  if (x.sign && !format->is_signed && !is_zero) {
    ++flags->invalid;
    return has_nan ? nan_code(format) : 0;
  }
  if (x.kind == INFINITE) {
    if (has_infinity(format) && !format->saturating) return sign | infinity_code(format);
    ++flags->overflow;
    return sign | (format->saturating ? grid->max_code : nan_code(format));
  }

  if (format->subnormals == NORMAL && is_zero && has_nan) {
    ++flags->invalid;
    return nan_code(format);
  }
  if (x.magnitude < grid->values[0]) {
    ++flags->underflow;
    return sign;
  }

  unsigned code = floor_code(grid, x.magnitude);
  if (code <= grid->max_code && grid->values[code] != x.magnitude)
    code += (unsigned)goes_up(grid->values[code], x.magnitude, grid->values[code + 1], code, x.sign,
                              rounding, word);
  if (code > grid->max_code) {
    ++flags->overflow;
    return sign | overflow_code(format, x.sign, rounding);
  }
  const unsigned smallest_normal = format->subnormals == NORMAL ? 0 : 1u << format->mantissa_bits;
  if (format->subnormals == FLUSH && code < smallest_normal) code = 0;
  flags->underflow +=
      x.magnitude < grid->values[smallest_normal] && grid->values[code] != x.magnitude;
  return code == 0 && has_bare_nan(format) ? 0 : sign | code;
}

/* A NaN, whatever it was, is quiet and has no payload. */
static uint64_t bits_of_float64(number x) {
  const double magnitude = x.kind == INFINITE ? INFINITY : x.magnitude;
  const double value = x.sign ? -magnitude : magnitude;
  uint64_t bits;
  if (x.kind == NOT_A_NUMBER) return (uint64_t)(x.sign ? 0xFFF8u : 0x7FF8u) << 48;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint64_t bits_of_float32(number x) {
  const float magnitude = x.kind == INFINITE ? INFINITY : (float)x.magnitude;
  const float value = x.sign ? -magnitude : magnitude;
  uint32_t bits;
  if (x.kind == NOT_A_NUMBER) return (uint64_t)(x.sign ? 0xFFC0u : 0x7FC0u) << 16;
  CHECK(x.kind != FINITE || (double)magnitude == x.magnitude, "%a is no float32", x.magnitude);
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

uint64_t bits_of_number(int type, number x, cf_flags *flags) {
  static grid grids[2]; /* float16's and bfloat16's, made when first expected */
  if (type == CF_FLOAT16 || type == CF_BFLOAT16) {
    const int which = type == CF_BFLOAT16;
    if (grids[which].values == NULL)
      grids[which] = grid_new(&OTHERS[which].format, OTHERS[which].bias);
    return encode_number(&grids[which], x, CF_TIES_TO_EVEN, 0, flags);
  }
  flags->denormal += x.subnormal != 0;
  flags->invalid += x.kind == NOT_A_NUMBER;
  return type == CF_FLOAT64 ? bits_of_float64(x) : bits_of_float32(x);
}

int same_flags(const cf_flags *a, const cf_flags *b) {
  return a->invalid == b->invalid && a->denormal == b->denormal && a->overflow == b->overflow &&
         a->underflow == b->underflow;
}

flags_string flags_text(const cf_flags *flags) {
  flags_string made;
  snprintf(made.text, sizeof made.text, "invalid %llu denormal %llu overflow %llu underflow %llu",
           (unsigned long long)flags->invalid, (unsigned long long)flags->denormal,
           (unsigned long long)flags->overflow, (unsigned long long)flags->underflow);
  return made;
}
