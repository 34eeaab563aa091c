/* Magnitudes of float32 and float64, for the instruction set that the including file has turned on;
 * it has defined ISA_NAME.  They are compared as integers, which have the order of the numbers. The
 * loops are plain C, of which compilers make vectors. */
#ifndef CF_STATS_MAGNITUDE_LOOPS_INL_H
#define CF_STATS_MAGNITUDE_LOOPS_INL_H

#include <string.h>

#include "stats/error_kernels.h"

#if defined(_MSC_VER)
#define CF_RESTRICT __restrict
#else
#define CF_RESTRICT restrict
#endif

#define DEFINE_MAGNITUDE_LOOPS(type, int_t, infinity)                                              \
  static inline int_t ISA_NAME(magnitude_of_##type)(const char *values, int32_t i) {               \
    int_t bits;                                                                                    \
    memcpy(&bits, values + (ptrdiff_t)i * (ptrdiff_t)sizeof bits, sizeof bits);                    \
    return bits & (int_t)((infinity) | ((infinity) - 1));                                          \
  }                                                                                                \
  static int32_t ISA_NAME(find_peak_of_##type)(const char *values, int32_t count, int64_t *peak) { \
    int_t finite = 0, found = 0;                                                                   \
    for (int32_t i = 0; i < count; ++i) {                                                          \
      const int_t magnitude = ISA_NAME(magnitude_of_##type)(values, i);                            \
      const int_t is_finite = magnitude < (infinity);                                              \
      const int_t counted = is_finite ? magnitude : 0;                                             \
      finite += is_finite;                                                                         \
      found = counted > found ? counted : found;                                                   \
    }                                                                                              \
    if (found > *peak) *peak = found;                                                              \
    return (int32_t)finite;                                                                        \
  }                                                                                                \
  static int32_t ISA_NAME(count_of_##type)(const char *values, int32_t count, int64_t limit) {     \
    const int_t most = (int_t)limit;                                                               \
    int_t found = 0;                                                                               \
    for (int32_t i = 0; i < count; ++i) found += ISA_NAME(magnitude_of_##type)(values, i) <= most; \
    return (int32_t)found;                                                                         \
  }                                                                                                \
  static void ISA_NAME(widen_columns_of_##type)(const char *values, int32_t count,                 \
                                                cf_columns *to_peaks, cf_columns *to_finite) {     \
    int_t *CF_RESTRICT peaks = to_peaks->type, *CF_RESTRICT finite = to_finite->type;              \
    for (int32_t i = 0; i < count; ++i) {                                                          \
      const int_t magnitude = ISA_NAME(magnitude_of_##type)(values, i);                            \
      const int_t is_finite = magnitude < (infinity);                                              \
      const int_t counted = is_finite ? magnitude : 0;                                             \
      finite[i] += is_finite;                                                                      \
      peaks[i] = counted > peaks[i] ? counted : peaks[i];                                          \
    }                                                                                              \
  }                                                                                                \
  static void ISA_NAME(count_columns_of_##type)(const char *values, int32_t first, int32_t count,  \
                                                const cf_columns limits[CF_LIMITS],                \
                                                cf_columns *to_packed) {                           \
    const int_t *CF_RESTRICT limit0 = limits[0].type + first,                                      \
                             *CF_RESTRICT limit1 = limits[1].type + first;                         \
    const int_t *CF_RESTRICT limit2 = limits[2].type + first,                                      \
                             *CF_RESTRICT limit3 = limits[3].type + first;                         \
    int_t *CF_RESTRICT packed = to_packed->type + first;                                           \
    for (int32_t i = 0; i < count; ++i) {                                                          \
      const int_t magnitude = ISA_NAME(magnitude_of_##type)(values, i);                            \
      int_t within = magnitude <= limit0[i] ? 1 : 0;                                               \
      within += magnitude <= limit1[i] ? 1 << 8 : 0;                                               \
      within += magnitude <= limit2[i] ? 1 << 16 : 0;                                              \
      within += magnitude <= limit3[i] ? 1 << 24 : 0;                                              \
      packed[i] += within;                                                                         \
    }                                                                                              \
  }

DEFINE_MAGNITUDE_LOOPS(float32, int32_t, 0x7F800000)
DEFINE_MAGNITUDE_LOOPS(float64, int64_t, 0x7FF0000000000000)

#define MAGNITUDE_LOOPS(type)                                                                   \
  {ISA_NAME(find_peak_of_##type), ISA_NAME(count_of_##type), ISA_NAME(widen_columns_of_##type), \
   ISA_NAME(count_columns_of_##type)}
#define CF_MAGNITUDE_SLOTS {MAGNITUDE_LOOPS(float32), MAGNITUDE_LOOPS(float64)}

#endif
