/* The loops of stats/schemes.c over pieces of a matrix, for an instruction set.
 *
 * A piece is blocks of CF_SCHEME_LANES float32, the last of a row filled up with zeros, and what
 * belongs to a block is one number for each. The loops are plain C, so that all instruction sets
 * give the same bits; what differs is the instructions that compilers make of them. */
#ifndef CF_STATS_SCHEME_LOOPS_H
#define CF_STATS_SCHEME_LOOPS_H

#include <stddef.h>
#include <stdint.h>

enum { CF_SCHEME_LANES = 16 };

/* Rounding to a format that has subnormal numbers as IEEE 754 has them, ties to even: a magnitude
 * is added to 2^(e + 23 - m), e being its exponent or that of the smallest normal number, and that
 * is taken away again (stats/grid.h). */
typedef struct cf_scheme_rounding {
  float low, high; /* values of the format, and no value is beyond them */
  int32_t lowest;  /* 2^e of the smallest normal number, as float32's bits */
  int32_t steps;   /* 23 - m, in the place of a float32's exponent */
} cf_scheme_rounding;

typedef struct cf_scheme_loops {
  /* Copy count float32 to whole blocks, infinities and NaNs as zeros. values need no alignment. */
  void (*stage)(const char *values, size_t count, float *blocks);
  /* The largest magnitude of each block of count float32 that is finite; 0 where there is none. */
  void (*find_peaks)(const char *values, size_t count, float *peaks);
  /* results = values * by[block], or values / by[block] not beyond low and high. */
  void (*multiply)(const float *values, const float *by, float *results, size_t blocks);
  void (*divide)(const float *values, const float *by, float low, float high, float *results,
                 size_t blocks);
  /* sums[lane] += (codes * by[block] - values)^2 */
  void (*add_errors)(const float *values, const float *codes, const float *by, size_t blocks,
                     double *sums);
  /* In one pass: sums[lane] += (code * by[block] - value)^2, where codes are values *
   * factors[block], or values / by[block], rounded; magnitudes are of values, as `widen` makes
   * them. */
  void (*add_multiplied)(const float *values, const double *magnitudes, const float *factors,
                         const float *by, const cf_scheme_rounding *rounding, size_t blocks,
                         double *sums);
  void (*add_divided)(const float *values, const double *magnitudes, const float *by,
                      const cf_scheme_rounding *rounding, size_t blocks, double *sums);
  /* From the peaks of blocks' groups, what stats/schemes.c says of scales: find_real as float32,
   * and find_powers and find_e8m0 as powers of two, with their inverses, `factors`. */
  void (*find_real)(const float *peaks, size_t blocks, float max, float ones, float *scales);
  void (*find_powers)(const float *peaks, size_t blocks, float max, float *scales, float *factors);
  void (*find_e8m0)(const float *peaks, size_t blocks, int max_exponent, float *scales,
                    float *factors);
  void (*widen)(const float *values, size_t blocks, double *magnitudes);
} cf_scheme_loops;

/* An instruction set that is not of the target architecture has none. */
extern const cf_scheme_loops cf_scheme_loops_portable, cf_scheme_loops_avx2, cf_scheme_loops_avx512;

/* Those in use. */
const cf_scheme_loops *cf_active_scheme_loops(void);

#endif
