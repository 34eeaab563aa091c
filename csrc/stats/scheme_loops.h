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
} cf_scheme_loops;

/* An instruction set that is not of the target architecture has none. */
extern const cf_scheme_loops cf_scheme_loops_portable, cf_scheme_loops_avx2, cf_scheme_loops_avx512;

/* Those in use. */
const cf_scheme_loops *cf_active_scheme_loops(void);

#endif
