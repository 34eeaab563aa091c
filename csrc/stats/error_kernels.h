/* The loops over values that errors of rounding need, as an instruction set provides them.
 *
 * They see at most CF_ERROR_PIECE values, and compute with float64.  Sums are of eight lanes: value
 * i of a piece is added to sum i % 8, in order, and at the end the eight are added up as
 * ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).  So every instruction set has the same bits. */
#ifndef CF_STATS_ERROR_KERNELS_H
#define CF_STATS_ERROR_KERNELS_H

#include <stddef.h>

#include "cfloat.h"
#include "cpu/compiler.h"
#include "stats/grid.h"

enum { CF_ERROR_PIECE = 4096, CF_ERROR_LANES = 8, CF_ERROR_SLACK = 16 };
enum { CF_GROUP_SIZE = 128, CF_GROUP_LANES = 16 }; /* at most */
enum { CF_TURNED = 16 };

/* How the values of a piece are read. */
typedef struct cf_values {
  const void *first;
  size_t count;
  int is_float64;  /* or float32 */
  int has_special; /* infinities and NaN, taken as 0; or negative numbers of an unsigned format */
  int negative_is_zero;  /* the format is unsigned */
  double scale;          /* a power of two that they are multiplied by: float64 alone */
  const double *weights; /* how often each counts; or NULL: once */
} cf_values;

/* Whether float32 holds a grid's values and what is computed with them, and the errors of float32
 * up to a peak: the errors are multiples of these values' last bits then, and of 24 bits. */
static inline int cf_is_narrow(const cf_grid *grid, double peak) {
  const double steps = grid->steps * 0x1p-29; /* 2^(23 - m) */
  return grid->lowest >= 0x1p-100 && grid->max <= 0x1p100 && peak <= grid->max * steps &&
         grid->above <= grid->max;
}

/* What magnitudes there are, of values that are finite and don't always become zero or NaN. */
typedef struct cf_magnitudes {
  double peak;  /* 0 if there is none */
  double least; /* of those above 0; infinite if there is none */
  int has_nonfinite;
  int has_negative; /* of an unsigned format */
} cf_magnitudes;

/* Sums and counts of a piece of float32; what they are of, cf_rounding_stats says. */
typedef struct cf_error_sums {
  double signal, noise, product, rounded, max_abs, max_rel;
  uint64_t saturated, underflowed, subnormal;
} cf_error_sums;

/* Exact sums take so many elements at a time, which are added to so many sums, each element to
 * every sixteenth; and a sum is so many float64 at most, its levels. */
enum { CF_EXACT_PIECE = 512, CF_EXACT_SUMS = 16, CF_EXACT_LEVELS = 6 };

/* Of a sum of products, each level's exponent is so much below that of the level above it: 52 bits
 * of mantissa less 5, since 2^5 products are added to each of the sixteen. */
enum { CF_EXACT_STEP = 47 };

/* Elements before and after rounding, at most CF_EXACT_PIECE; as cf_exact_errors has them. */
typedef struct cf_before_after {
  const void *x, *q;
  int x_is_float64, q_is_float64; /* or float32 */
  const double *off;              /* or NULL */
  size_t count;
  double max, smallest_normal;
} cf_before_after;

/* What exact sums are of: those that count, and zeros for all others, up to a whole number of
 * CF_EXACT_SUMS. */
enum cf_staged_array { CF_STAGED_X, CF_STAGED_Q, CF_STAGED_OFF, CF_STAGED_ARRAYS };
typedef struct cf_staged {
  double of[CF_STAGED_ARRAYS][CF_EXACT_PIECE];
  size_t count;
  /* the largest magnitude, or 0; and the least above 0, or infinity */
  double peak[CF_STAGED_ARRAYS], least[CF_STAGED_ARRAYS];
} cf_staged;

/* Groups of so many float32 each, `pitch` of them from one to the next; and what cf_search says. */
typedef struct cf_groups {
  const cf_grids *grids; /* of a format that saturates, with signs, and with a zero */
  const float *first;
  size_t pitch, size; /* the size is CF_GROUP_SIZE at most */
  int count, low, high, preferred;
} cf_groups;

/* How many limits magnitudes are compared with in one pass; and how many columns of a matrix have
 * numbers of their own. */
enum { CF_LIMITS = 4, CF_COLUMNS = 2048, CF_PACKED = 127 };
typedef union cf_columns {
  int32_t float32[CF_COLUMNS];
  int64_t float64[CF_COLUMNS];
} cf_columns;

/* What is done to the magnitudes of values of any alignment, as integers, by their bits.  Columns
 * are of that type's size, and CF_COLUMNS at most; what is counted for one fits into it. */
typedef struct cf_magnitude_loops {
  /* Widen *peak to the largest that is finite; returns how many are. */
  int32_t (*find_peak)(const char *values, int32_t count, int64_t *peak);
  /* How many are not above a limit. */
  int32_t (*count)(const char *values, int32_t count, int64_t limit);
  /* The same of a row, each column by itself: more of what was found, and of what was counted of
   * each limit, k's in the bits from 8 * k on; so of CF_PACKED rows at most.  Columns that are
   * counted are those from `first` on. */
  void (*widen_columns)(const char *values, int32_t count, cf_columns *peaks, cf_columns *finite);
  void (*count_columns)(const char *values, int32_t first, int32_t count,
                        const cf_columns limits[CF_LIMITS], cf_columns *packed);
} cf_magnitude_loops;

typedef struct cf_error_kernels {
  /* Widens *found. */
  void (*magnitudes)(const cf_values *values, cf_magnitudes *found);
  /* The sum of the squares of rounding errors. */
  double (*errors)(const cf_grid *grid, const cf_values *values);
  /* The same of float32 that have nothing special and no weights, where cf_is_narrow; or NULL,
   * where it would take no less time. */
  double (*narrow_errors)(const cf_grid *grid, const cf_values *values);
  void (*narrow_sums)(const cf_grid *grid, const cf_values *values, cf_error_sums *found);
  /* Which is the first of such values that loses more on a grid than on another, of values within
   * the range of both and normal numbers of the other; or `count` if none does. */
  size_t (*narrow_loss)(const cf_grid *grid, const cf_grid *other, const cf_values *values);
  /* Find the biases of the least errors of up to group_lanes groups, and these.  Gives by bits
   * which were found; the search for others takes more. */
  unsigned (*search_groups)(const cf_groups *groups, int32_t *biases, double *errors);
  int group_lanes;
  /* Copy CF_TURNED rows of as many elements of four bytes, `row` bytes from each other, to columns,
   * `column` bytes from each other; neither need be aligned. */
  void (*turn)(const char *from, ptrdiff_t row, char *to, ptrdiff_t column);
  /* The same, with all else of a cf_error_sums; max_abs and max_rel are widened. */
  void (*sums)(const cf_grid *grid, const cf_values *values, cf_error_sums *found);
  /* Put the values whose magnitudes are above 0 and below `limit`, or finite and above `beyond`, of
   * those that don't always become zero or NaN, into `found`, as they are; their weights too, if
   * there are any. Gives how many they are; both have room for all, and for CF_ERROR_SLACK float32
   * more. */
  size_t (*outside)(const cf_values *values, double limit, double beyond, void *found,
                    double *weights);
  /* Fill in *staged, and add to the counts and widen the maxima of *found. */
  void (*stage)(const cf_before_after *elements, cf_staged *staged, cf_errors *found);
  /* Add up the products of staged numbers, each rounded, and put the sum into sums[0] to
   * sums[levels - 1], in units of 2^(exponent - 52 - level * CF_EXACT_STEP).  Levels are 2, 3, 4 or
   * 6.  Magnitudes of products are below 2^(exponent - 6), the last level's units are no finer than
   * their last bits have to be, and 2^(exponent + 1) and the last level's 2^(exponent - level *
   * CF_EXACT_STEP) are normal numbers. */
  void (*add_products)(const double *a, const double *b, size_t count, int exponent, int levels,
                       int64_t *sums);
  cf_magnitude_loops magnitude_loops[2]; /* of float32, and of float64 */
} cf_error_kernels;

/* Without a single slot where the target architecture is another. */
extern const cf_error_kernels cf_error_kernels_portable, cf_error_kernels_neon,
    cf_error_kernels_avx2, cf_error_kernels_avx512;

/* The table in use. */
const cf_error_kernels *cf_active_error_kernels(void);

#endif
