/* The largest finite magnitudes of slices.  Magnitudes are compared as integers, which have the
 * order of the numbers, and need no conversion. */
#include <string.h>

#include "cfloat.h"
#include "core/integers.h"
#include "core/scalar.h"

/* Slices of fewer consecutive elements than RUN are not gone over one by one: whole planes are, in
 * columns, so many at a time. */
enum { RUN = 64, COLUMNS = 1024 };

typedef union columns {
  int64_t float64[COLUMNS];
  int32_t float32[COLUMNS];
  int16_t float16[COLUMNS], bfloat16[COLUMNS];
} columns;

/* Element i's magnitude, or 0 where it is not finite, by the bits of infinity. */
#define DEFINE_PEAKS(name, bits_t, int_t, infinity)                                        \
  static int_t magnitude_of_##name(const char *values, int64_t i) {                        \
    bits_t bits;                                                                           \
    memcpy(&bits, values + i * (int64_t)sizeof bits, sizeof bits);                         \
    const int_t magnitude = (int_t)(bits & (bits_t)((bits_t) - 1 >> 1));                   \
    return magnitude < (int_t)(infinity) ? magnitude : 0;                                  \
  }                                                                                        \
  static uint64_t peak_of_##name(const char *values, int64_t count) {                      \
    int_t peak = 0;                                                                        \
    for (int64_t i = 0; i < count; ++i) {                                                  \
      const int_t magnitude = magnitude_of_##name(values, i);                              \
      peak = magnitude > peak ? magnitude : peak;                                          \
    }                                                                                      \
    return (uint64_t)peak;                                                                 \
  }                                                                                        \
  static void widen_columns_of_##name(const char *values, int64_t count, columns *found) { \
    int_t *peaks = found->name;                                                            \
    for (int64_t i = 0; i < count; ++i) {                                                  \
      const int_t magnitude = magnitude_of_##name(values, i);                              \
      peaks[i] = magnitude > peaks[i] ? magnitude : peaks[i];                              \
    }                                                                                      \
  }                                                                                        \
  static uint64_t column_of_##name(const columns *found, int64_t i) {                      \
    return (uint64_t)found->name[i];                                                       \
  }
DEFINE_PEAKS(float64, uint64_t, int64_t, 0x7FF0000000000000)
DEFINE_PEAKS(float32, uint32_t, int32_t, 0x7F800000)
DEFINE_PEAKS(float16, uint16_t, int16_t, 0x7C00)
DEFINE_PEAKS(bfloat16, uint16_t, int16_t, 0x7F80)

typedef struct element {
  int64_t size;
  uint64_t (*peak)(const char *values, int64_t count);
  void (*widen_columns)(const char *values, int64_t count, columns *found);
  uint64_t (*column)(const columns *found, int64_t i);
  const cf_params *params;
  int bias;
} element;

#define ELEMENT(name, size, params, bias) \
  {size, peak_of_##name, widen_columns_of_##name, column_of_##name, params, bias}
static const element elements[] = {
    [CF_FLOAT64] = ELEMENT(float64, 8, &CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS),
    [CF_FLOAT32] = ELEMENT(float32, 4, &CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS),
    [CF_FLOAT16] = ELEMENT(float16, 2, &CF_FLOAT16_PARAMS, CF_FLOAT16_BIAS),
    [CF_BFLOAT16] = ELEMENT(bfloat16, 2, &CF_BFLOAT16_PARAMS, CF_BFLOAT16_BIAS)};

/* Make a peak the larger of itself and what was found: float64 by its bits, whatever the processor
 * makes of subnormal ones. */
static void widen(const element *e, double *peak, uint64_t found) {
  unsigned raised = 0;
  const cf_real real = cf_unpack(e->params, e->bias, found);
  const uint64_t bits =
      cf_round_pack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS, real, CF_TIES_TO_EVEN, 0, &raised);
  uint64_t there;
  memcpy(&there, peak, sizeof there);
  if (bits > there) memcpy(peak, &bits, sizeof bits);
}

int cf_add_to_peaks(int source_type, const void *values, int64_t outer, int64_t slices,
                    int64_t inner, double *peaks) {
  if (source_type < 0 || source_type > CF_BFLOAT16) return CF_BAD_TYPE;
  if (outer < 0 || slices < 0 || inner < 0) return CF_BAD_LAYOUT;
  const element *e = &elements[source_type];
  const char *from = values;
  const int64_t plane = slices * inner;
  if (inner >= RUN || slices == 1 || outer == 1) {
    for (int64_t i = 0; i < outer * slices; ++i)
      widen(e, &peaks[i % slices], e->peak(from + i * inner * e->size, inner));
    return CF_OK;
  }
  for (int64_t first = 0; first < plane; first += COLUMNS) {
    columns found;
    memset(&found, 0, sizeof found);
    const int64_t count = cf_at_most(plane - first, COLUMNS);
    for (int64_t i = 0; i < outer; ++i)
      e->widen_columns(from + (i * plane + first) * e->size, count, &found);
    for (int64_t i = 0; i < count; ++i) widen(e, &peaks[(first + i) / inner], e->column(&found, i));
  }
  return CF_OK;
}
