/* The loops of stats/scheme_loops.h, for the instruction set that the including file has turned on;
 * it has defined ISA_NAME. */
#ifndef CF_STATS_SCHEME_LOOPS_INL_H
#define CF_STATS_SCHEME_LOOPS_INL_H

#include <string.h>

#include "stats/scheme_loops.h"

#if defined(_MSC_VER)
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif

enum { LANES = CF_SCHEME_LANES };

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

static inline int32_t ISA_NAME(block_peak)(const int32_t *bits) {
  int32_t peak[LANES];
  for (size_t i = 0; i < LANES; ++i) {
    const int32_t magnitude = bits[i] & MAGNITUDE_MASK;
    peak[i] = magnitude < INFINITE ? magnitude : 0;
  }
  for (size_t half = LANES / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) peak[i] = peak[i] > peak[i + half] ? peak[i] : peak[i + half];
  return peak[0];
}

static void ISA_NAME(find_peaks)(const char *values, size_t count, float *RESTRICT peaks) {
  int32_t bits[LANES];
  for (; count >= LANES; count -= LANES, values += sizeof bits, ++peaks) {
    memcpy(bits, values, sizeof bits);
    const int32_t peak = ISA_NAME(block_peak)(bits);
    memcpy(peaks, &peak, sizeof peak);
  }
  if (count == 0) return;
  memset(bits, 0, sizeof bits);
  memcpy(bits, values, count * sizeof *bits);
  const int32_t peak = ISA_NAME(block_peak)(bits);
  memcpy(peaks, &peak, sizeof peak);
}

static void ISA_NAME(multiply)(const float *RESTRICT values, const float *RESTRICT by,
                               float *RESTRICT results, size_t blocks) {
  for (size_t block = 0; block < blocks; ++block, values += LANES, results += LANES)
    for (size_t i = 0; i < LANES; ++i) results[i] = values[i] * by[block];
}

static void ISA_NAME(divide)(const float *RESTRICT values, const float *RESTRICT by, float low,
                             float high, float *RESTRICT results, size_t blocks) {
  for (size_t block = 0; block < blocks; ++block, values += LANES, results += LANES) {
    for (size_t i = 0; i < LANES; ++i) {
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
    for (size_t i = 0; i < LANES; ++i) {
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
