/* Operands of exact products as integers, and the integers as digits.
 *
 * Every element of a line (cf_operand) is an integer times the line's unit, which is a power of
 * two.  An integer is the sum of `planes` digits, digit i times 2^(width * i), of at most 2^width
 * in magnitude each, or the integer itself where planes is 1.  Infinities and NaNs are zeros there
 * and stand in one more plane, of classes: 0, 1 or -1, an infinity, or NaN, so that the sum of the
 * products of classes is infinite or NaN where the sum of the products of the elements is. */
#ifndef CF_MATMUL_EXACT_DIGITS_H
#define CF_MATMUL_EXACT_DIGITS_H

#include <stdint.h>
#include <string.h>

#include "core/format.h"
#include "matmul/operand.h"

/* Any float32 is an integer of 277 bits times 2^-149: 14 digits of 20 bits. */
enum { CF_DIGITS_MAX = 14 };

typedef struct cf_digits {
  cf_operand operand;
  cf_direction direction;
  int by_table; /* codes of 8 bits, and lines of one bias: `tables` has each code's digits */
  /* what follows is about the elements that occur, not about all there could be */
  int is_measured;
  int has_special;    /* infinities or NaNs */
  int bits;           /* integers are below 2^bits, and ... */
  double max_integer; /* ... at most this, in magnitude */
  int planes, width;
  int32_t *units; /* their exponents */
  double (*tables)[CF_CODES8];
} cf_digits;

/* For an operand: everything but planes and width, with as little looking at elements as that
 * takes.  A status; whatever it is, cf_digits_free. */
int cf_digits_new(cf_digits *digits, const cf_operand *operand, int threads);
void cf_digits_free(cf_digits *digits);

/* Look at the elements, if that has not been done: integers may become smaller. */
int cf_digits_measure(cf_digits *digits, int threads);

/* Choose how many digits. */
void cf_digits_set_width(cf_digits *digits, int planes, int width);

/* Planes that are packed: digits, and classes if there are special elements. */
static inline int cf_digits_packed_planes(const cf_digits *digits) {
  return digits->planes + digits->has_special;
}

/* Pack `lines` lines from `line` on, and of each `count` <= CF_RUN_PIECE elements from k on: to
 * panels of `width` lines, in which each element's place among the lines varies fastest.  Planes
 * follow each other, and panels do in a plane; the last panel is filled up with zeros. */
void cf_digits_pack(const cf_digits *digits, int64_t line, int64_t lines, int64_t k, int64_t count,
                    int width, double *packed);

/* 2^exponent, for exponents of normal float64. */
static inline double cf_power_of_2(int exponent) {
  const uint64_t bits = (uint64_t)(exponent + CF_FLOAT64_BIAS) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

#endif
