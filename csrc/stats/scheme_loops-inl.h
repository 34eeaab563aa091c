/* The loops of stats/scheme_loops.h, for the instruction set that the including file has turned on;
 * it has defined ISA_NAME. */
#ifndef CF_STATS_SCHEME_LOOPS_INL_H
#define CF_STATS_SCHEME_LOOPS_INL_H

#include <string.h>

#include "cpu/target.h"
#include "stats/scheme_loops.h"

#if defined(_MSC_VER)
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif

enum { LANES = CF_SCHEME_LANES };

/* A loop over the lanes of a block: a few vectors. Unrolled, GCC makes vectors of the blocks, and
 * permutes what it loads. */
#if defined(__GNUC__)
#define EACH_LANE(i) CF_PRAGMA(GCC unroll 1) for (size_t i = 0; i < LANES; ++i)
#else
#define EACH_LANE(i) for (size_t i = 0; i < LANES; ++i)
#endif

/* Magnitudes as integers have the order of the numbers. */
static const int32_t MAGNITUDE_MASK = 0x7FFFFFFF, INFINITE = 0x7F800000;

static void ISA_NAME(stage)(const char *values, size_t count, float *RESTRICT blocks) {
  const size_t padded = (count + LANES - 1) / LANES * LANES;
  memcpy(blocks, values, count * sizeof *blocks);
  for (size_t i = count; i < padded; ++i) blocks[i] = 0;
  for (size_t i = 0; i < padded; ++i) {
    int32_t bits;
    memcpy(&bits, blocks + i, sizeof bits);
    bits = (bits & MAGNITUDE_MASK) < INFINITE ? bits : 0;
    memcpy(blocks + i, &bits, sizeof bits);
  }
}

static inline float ISA_NAME(block_peak)(const char *values) {
  int32_t peak = 0;
  EACH_LANE(i) {
    int32_t bits;
    memcpy(&bits, values + i * sizeof bits, sizeof bits);
    bits &= MAGNITUDE_MASK;
    bits = bits < INFINITE ? bits : 0;
    peak = bits > peak ? bits : peak;
  }
  float result;
  memcpy(&result, &peak, sizeof result);
  return result;
}

static void ISA_NAME(find_peaks)(const char *values, size_t count, float *RESTRICT peaks) {
  char rest[LANES * sizeof(float)] = {0};
  for (; count >= LANES; count -= LANES, values += sizeof rest)
    *peaks++ = ISA_NAME(block_peak)(values);
  memcpy(rest, values, count * sizeof(float));
  if (count > 0) *peaks = ISA_NAME(block_peak)(rest);
}

static void ISA_NAME(multiply)(const float *RESTRICT values, const float *RESTRICT by,
                               float *RESTRICT results, size_t blocks) {
  for (size_t block = 0; block < blocks; ++block, values += LANES, results += LANES)
    EACH_LANE(i) results[i] = values[i] * by[block];
}

static void ISA_NAME(divide)(const float *RESTRICT values, const float *RESTRICT by, float low,
                             float high, float *RESTRICT results, size_t blocks) {
  for (size_t block = 0; block < blocks; ++block, values += LANES, results += LANES) {
    EACH_LANE(i) {
      const float quotient = values[i] / by[block];
      const float above = quotient > low ? quotient : low;
      results[i] = above < high ? above : high;
    }
  }
}

static void ISA_NAME(add_errors)(const float *RESTRICT values, const float *RESTRICT codes,
                                 const float *RESTRICT by, size_t blocks, double *RESTRICT sums) {
  double sum[LANES];
  memcpy(sum, sums, sizeof sum);
  for (size_t block = 0; block < blocks; ++block, values += LANES, codes += LANES) {
    EACH_LANE(i) {
      const float value = codes[i] * by[block];
      const double error = (double)value - (double)values[i];
      sum[i] += error * error;
    }
  }
  memcpy(sums, sum, sizeof sum);
}

#define SCHEME_LOOPS                                              \
  {                                                               \
      ISA_NAME(stage),  ISA_NAME(find_peaks), ISA_NAME(multiply), \
      ISA_NAME(divide), ISA_NAME(add_errors),                     \
  }

#endif
