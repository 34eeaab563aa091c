/* How many magnitudes are in each binade, wherever a format's largest value cuts them. */
#include <string.h>

#include "cfloat.h"

/* A count that was just written to is not read again at once: most values are of few binades. */
enum { TABLES = 4, FLOAT32_BINADES = 256, FLOAT64_BINADES = 2048 };

#define DEFINE_COUNT(name, bits_t, mantissa_bits, binades, infinity)                               \
  static void count_##name(const void *values, size_t count, uint64_t added, uint64_t *counts,     \
                           uint64_t *zeros) {                                                      \
    uint64_t tables[TABLES][binades + 1] = {{0}}, zero = 0;                                        \
    for (size_t i = 0; i < count; ++i) {                                                           \
      bits_t bits;                                                                                 \
      memcpy(&bits, (const char *)values + i * sizeof bits, sizeof bits);                          \
      bits &= (bits_t)((bits_t) - 1 >> 1);                                                         \
      zero += bits == 0;                                                                           \
      /* what is not finite goes behind the others */                                              \
      const size_t place =                                                                         \
          bits < (bits_t)(infinity) ? (size_t)((bits + (bits_t)added) >> mantissa_bits) : binades; \
      ++tables[i % TABLES][place];                                                                 \
    }                                                                                              \
    for (int i = 0; i < TABLES; ++i)                                                               \
      for (int j = 0; j < binades; ++j) counts[j] += tables[i][j];                                 \
    *zeros += zero;                                                                                \
  }
DEFINE_COUNT(float32, uint32_t, 23, FLOAT32_BINADES, 0x7F800000)
DEFINE_COUNT(float64, uint64_t, 52, FLOAT64_BINADES, 0x7FF0000000000000)

int cf_count_binades(int source_type, const void *values, size_t count, uint64_t added,
                     uint64_t *counts, uint64_t *zeros) {
  if (source_type == CF_FLOAT32)
    count_float32(values, count, added, counts, zeros);
  else if (source_type == CF_FLOAT64)
    count_float64(values, count, added, counts, zeros);
  else
    return CF_BAD_TYPE;
  return CF_OK;
}
