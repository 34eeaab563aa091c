/* The kernels of products in float64.
 *
 * Of exact ones: a tile of sums of products of integers.  a has `inner` groups of `rows` numbers
 * and b as many of `columns`; c, a tile of rows x columns in row-major order, gains
 *
 *   c[i * columns + j] += sum over k of a[k * rows + i] * b[k * columns + j]
 *
 * c is aligned to CF_TILE64_ALIGNMENT, and b to as much of that as divides the size of a group;
 * nothing overlaps. The numbers are integers of which every sum is exact, in whatever order and
 * with or without fused multiplication; or infinities and NaNs. */
#ifndef CF_MATMUL_KERNELS_FLOAT64_TILE_H
#define CF_MATMUL_KERNELS_FLOAT64_TILE_H

#include <stddef.h>

#include "core/format.h"

enum { CF_TILE64_ALIGNMENT = 64, CF_TILE64_LINES_MAX = 32, CF_TILE64_KC_MAX = 256 };

typedef void cf_float64_kernel(int64_t inner, const double *a, const double *b, double *c);

/* sums[j] += a * b[j], rounded to odd: of finite numbers a sum that is not exact is the neighbour
 * of the exact one whose last bit is set.  Products are exact, and nothing leaves float64's range;
 * each NaN becomes CF_FLOAT64_NAN_BITS. */
typedef void cf_axpy_to_odd_kernel(double *sums, double a, const double *b, int64_t count);

typedef struct cf_float64_tile {
  int mr, nr;                  /* at most CF_TILE64_LINES_MAX */
  int kc;                      /* inner elements of a panel, at most CF_TILE64_KC_MAX */
  cf_float64_kernel *multiply; /* NULL: the target architecture is another */
  cf_axpy_to_odd_kernel *axpy_to_odd;
} cf_float64_tile;

extern const cf_float64_tile cf_float64_tile_portable, cf_float64_tile_neon, cf_float64_tile_avx2,
    cf_float64_tile_avx512;

/* That of the active instruction set. */
const cf_float64_tile *cf_active_float64_tile(void);

#endif
