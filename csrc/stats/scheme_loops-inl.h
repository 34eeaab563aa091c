/* The loops of stats/scheme_loops.h, for the instruction set that the including file has turned on;
 * it has defined ISA_NAME. */
#ifndef CF_STATS_SCHEME_LOOPS_INL_H
#define CF_STATS_SCHEME_LOOPS_INL_H

#include <float.h>
#include <string.h>

#include "core/format.h"
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

/* The exponent fields of a power of two and its inverse add up to this. */
static const int32_t TWO_BIASES = 2 * CF_FLOAT32_BIAS << 23;

/* The least power-of-two scheme's peak, its peers' own number. */
static const double LEAST_PEAK = 1e-12;

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

static void ISA_NAME(widen)(const float *RESTRICT values, size_t blocks,
                            double *RESTRICT magnitudes) {
  for (size_t block = 0; block < blocks; ++block, values += LANES, magnitudes += LANES) {
    EACH_LANE(i) {
      int32_t bits;
      float magnitude;
      memcpy(&bits, values + i, sizeof bits);
      bits &= MAGNITUDE_MASK;
      memcpy(&magnitude, &bits, sizeof magnitude);
      magnitudes[i] = magnitude;
    }
  }
}

/* The squared error of a quotient, rounded and times `by`, that has the sign of the value: of the
 * magnitudes it is the same. */
static inline double ISA_NAME(squared_error)(double magnitude, float quotient, float by,
                                             const cf_scheme_rounding *r) {
  const float above = quotient > r->low ? quotient : r->low;
  const float inside = above < r->high ? above : r->high;
  int32_t bits, binade;
  memcpy(&bits, &inside, sizeof bits);
  bits &= MAGNITUDE_MASK;
  binade = bits & INFINITE;
  binade = (binade > r->lowest ? binade : r->lowest) + r->steps;
  float rounded, anchor;
  memcpy(&rounded, &bits, sizeof rounded);
  memcpy(&anchor, &binade, sizeof anchor);
  rounded = (rounded + anchor) - anchor;
  const float value = rounded * by;
  const double error = (double)value - magnitude;
  return error * error;
}

static void ISA_NAME(add_multiplied)(const float *RESTRICT values,
                                     const double *RESTRICT magnitudes,
                                     const float *RESTRICT factors, const float *RESTRICT by,
                                     const cf_scheme_rounding *rounding, size_t blocks,
                                     double *RESTRICT sums) {
  const cf_scheme_rounding r = *rounding;
  double sum[LANES];
  memcpy(sum, sums, sizeof sum);
  for (size_t block = 0; block < blocks; ++block, values += LANES, magnitudes += LANES) {
    const float factor = factors[block], scale = by[block];
    EACH_LANE(i) sum[i] += ISA_NAME(squared_error)(magnitudes[i], values[i] * factor, scale, &r);
  }
  memcpy(sums, sum, sizeof sum);
}

static void ISA_NAME(add_divided)(const float *RESTRICT values, const double *RESTRICT magnitudes,
                                  const float *RESTRICT by, const cf_scheme_rounding *rounding,
                                  size_t blocks, double *RESTRICT sums) {
  const cf_scheme_rounding r = *rounding;
  double sum[LANES];
  memcpy(sum, sums, sizeof sum);
  for (size_t block = 0; block < blocks; ++block, values += LANES, magnitudes += LANES) {
    const float scale = by[block];
    EACH_LANE(i) sum[i] += ISA_NAME(squared_error)(magnitudes[i], values[i] / scale, scale, &r);
  }
  memcpy(sums, sum, sizeof sum);
}

static void ISA_NAME(find_real)(const float *RESTRICT peaks, size_t blocks, float max, float ones,
                                float *RESTRICT scales) {
  for (size_t i = 0; i < blocks; ++i) {
    const float scale = peaks[i] / max;
    scales[i] = (scale > 0 ? scale : FLT_EPSILON) * ones;
  }
}

static void ISA_NAME(find_powers)(const float *RESTRICT peaks, size_t blocks, float max,
                                  float *RESTRICT scales, float *RESTRICT factors) {
  for (size_t i = 0; i < blocks; ++i) {
    const double peak = peaks[i] > LEAST_PEAK ? peaks[i] : LEAST_PEAK;
    const float quotient = (float)(max * (1 / peak));
    int32_t bits;
    memcpy(&bits, &quotient, sizeof bits);
    bits &= INFINITE;
    memcpy(factors + i, &bits, sizeof bits);
    bits = TWO_BIASES - bits;
    memcpy(scales + i, &bits, sizeof bits);
  }
}

static void ISA_NAME(find_e8m0)(const float *RESTRICT peaks, size_t blocks, int max_exponent,
                                float *RESTRICT scales, float *RESTRICT factors) {
  for (size_t i = 0; i < blocks; ++i) {
    int32_t bits;
    memcpy(&bits, peaks + i, sizeof bits);
    const int32_t above = (bits >> 23) - max_exponent; /* as E8M0 has it; 0 is 2^-127 */
    const int32_t code = above > 0 ? above : 0;
    const int32_t scale = code > 0 ? code << 23 : 1 << 22;
    const int32_t factor = TWO_BIASES - (code << 23);
    memcpy(scales + i, &scale, sizeof scale);
    memcpy(factors + i, &factor, sizeof factor);
  }
}

#define SCHEME_LOOPS                                                                               \
  {                                                                                                \
      ISA_NAME(stage),       ISA_NAME(find_peaks),     ISA_NAME(multiply),    ISA_NAME(divide),    \
      ISA_NAME(add_errors),  ISA_NAME(add_multiplied), ISA_NAME(add_divided), ISA_NAME(find_real), \
      ISA_NAME(find_powers), ISA_NAME(find_e8m0),      ISA_NAME(widen),                            \
  }

#endif
