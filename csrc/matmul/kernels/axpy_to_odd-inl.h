/* cf_axpy_to_odd_kernel in plain C, which compilers make vectors of: an instruction set's file
 * includes this under its own options, with ISA_NAME defined. */
#ifndef CF_MATMUL_KERNELS_AXPY_TO_ODD_INL_H
#define CF_MATMUL_KERNELS_AXPY_TO_ODD_INL_H

#include <stdint.h>
#include <string.h>

#include "matmul/kernels/float64_tile.h"

#if defined(__FAST_MATH__)
#error "-ffast-math takes the errors of additions below for zero"
#endif

static void ISA_NAME(axpy_to_odd)(double *sums, double a, const double *b, int64_t count) {
  const uint64_t infinity = (uint64_t)0x7FF0 << 48;
  for (int64_t j = 0; j < count; ++j) {
    const double before = sums[j], product = a * b[j];
    const double sum = before + product;
    /* what the sum is short of (Knuth, The Art of Computer Programming, volume 2, 4.2.2) */
    const double added = sum - before;
    const double error = (before - (sum - added)) + (product - added);
    uint64_t bits, error_bits;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&error_bits, &error, sizeof error_bits);
    /* 0 or 1 each, without comparisons */
    const uint64_t magnitude = bits & ~((uint64_t)1 << 63), error_magnitude = error_bits << 1;
    const uint64_t is_nan = (infinity - magnitude) >> 63, is_finite = (magnitude - infinity) >> 63;
    const uint64_t has_error = (error_magnitude | (0 - error_magnitude)) >> 63;
    const uint64_t toward_zero = (bits ^ error_bits) >> 63;
    /* an even last bit becomes odd toward the exact sum */
    const uint64_t changed = has_error & is_finite & ~bits;
    bits += changed - ((changed & toward_zero) << 1);
    bits = (bits & (is_nan - 1)) | (CF_FLOAT64_NAN_BITS & (0 - is_nan));
    memcpy(&sums[j], &bits, sizeof bits);
  }
}

#endif
