/* Rows of float32 or float64, from elements of other types. */
#include "stats/widen_rows.h"

#include <string.h>

#include "cfloat.h"

/* An integer's float64; where there is none, rounded to odd for what goes by the exact values. */
static double of_integer(int is_negative, uint64_t magnitude, int to_odd) {
  if (to_odd && magnitude >> 53 != 0) {
    const uint64_t lost = magnitude & 2047;
    magnitude = (magnitude - lost) | (uint64_t)(lost != 0) << 11;
  }
  const double x = (double)magnitude;
  return is_negative ? -x : x;
}

#define WIDEN(type)                                                                              \
  for (int64_t i = 0; i < count; ++i) {                                                          \
    type x;                                                                                      \
    memcpy(&x, from + i * (int64_t)sizeof x, sizeof x);                                          \
    to[i] = of_integer(x < (type)1 && x != 0, x < (type)1 ? 0 - (uint64_t)x : (uint64_t)x, odd); \
  }                                                                                              \
  break

static void widen(int source_type, int odd, const char *from, double *to, int64_t count) {
  switch (source_type) {
    case CF_INT64: WIDEN(int64_t);
    case CF_INT32: WIDEN(int32_t);
    case CF_INT16: WIDEN(int16_t);
    case CF_INT8: WIDEN(int8_t);
    case CF_UINT64: WIDEN(uint64_t);
    case CF_UINT32: WIDEN(uint32_t);
    case CF_UINT16: WIDEN(uint16_t);
    default: WIDEN(uint8_t);
  }
}

#define WIDEN_SHORT(type)                               \
  for (int64_t i = 0; i < count; ++i) {                 \
    type x;                                             \
    memcpy(&x, from + i * (int64_t)sizeof x, sizeof x); \
    to[i] = x;                                          \
  }                                                     \
  break

static void widen_short(int source_type, const char *from, float *to, int64_t count) {
  switch (source_type) {
    case CF_INT16: WIDEN_SHORT(int16_t);
    case CF_INT8: WIDEN_SHORT(int8_t);
    case CF_UINT16: WIDEN_SHORT(uint16_t);
    default: WIDEN_SHORT(uint8_t);
  }
}

static const cf_format float16 = {5, 10, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15};
static const cf_format bfloat16 = {8, 7, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127};

static int is_16_bits(int type) { return type == CF_FLOAT16 || type == CF_BFLOAT16; }

static int is_short(int type) {
  return type == CF_INT8 || type == CF_UINT8 || type == CF_INT16 || type == CF_UINT16;
}

int cf_type_of_rows(int source_type, int method) {
  const int is_narrow = source_type == CF_FLOAT32 || is_16_bits(source_type) ||
                        (is_short(source_type) && method != CF_CHOOSE_MSE);
  return is_narrow ? CF_FLOAT32 : CF_FLOAT64;
}

void cf_widen_rows(int source_type, int method, const char *from, char *to, int64_t count) {
  if (is_16_bits(source_type)) {
    const cf_format *own = source_type == CF_FLOAT16 ? &float16 : &bfloat16;
    cf_convert(own, own->bias_min, CF_CODES, from, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT32, to,
               (size_t)count, 1, NULL);
  } else if (cf_type_of_rows(source_type, method) == CF_FLOAT32) {
    widen_short(source_type, from, (float *)(void *)to, count);
  } else {
    widen(source_type, method != CF_CHOOSE_MSE, from, (double *)(void *)to, count);
  }
}
