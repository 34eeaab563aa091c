/* An operand of a matrix product: lines along the inner axis (a's rows, b's columns), and their decoding.
 *
 * A bias is a power of two, so it need not be there while products are summed: values are decoded near 1, and results are
 * scaled at the end.  Where biases differ along the inner axis they are decoded with, and only what is common to all of
 * them is left to the end. */
#ifndef CF_OPERAND_H
#define CF_OPERAND_H

#include "cf_kernels.h"

typedef struct cf_operand {
  int type;    /* CF_CODES, CF_FLOAT32 or CF_BFLOAT16 */
  size_t size; /* bytes of an element */
  const char *elements;
  int64_t line_step, inner_step; /* bytes */
  const char *biases;            /* of codes, as what follows */
  int64_t bias_line_step, bias_inner_step, bias_line_block, bias_inner_block;
  cf_rule rule;
  cf_decode_kernel *decode;
  int along;      /* biases are decoded with: they differ along the inner axis, or the range is float32's own */
  int bias;       /* otherwise: what all codes are decoded with */
  int shift;      /* what is taken from biases that are decoded with */
  int lowest;     /* no value decoded has a smaller exponent, nor a bit below it; of a float32, not known */
  int significant; /* bits of a value */
} cf_operand;

/* The operand that has the lines of a matrix along one axis of its two: 0 for a, 1 for b. */
void cf_operand_describe(cf_operand *operand, const cf_matrix *matrix, int stack_ndim, int line_axis, int64_t inner);

/* The exponent by which results of a line are to be scaled. */
int cf_operand_exponent(const cf_operand *operand, int64_t line);

/* Fill a table of all codes as bfloat16.  0 if there is none to be had: if codes are not of 8 bits, all with one bias and
 * exactly bfloat16, zero first and the upper half the lower with the sign set. */
int cf_operand_table(const cf_operand *operand, uint16_t *table);

/* Decode elements from `from` on, contiguous, that are those of one line from `inner` on. */
void cf_operand_decode_line(const cf_operand *operand, int64_t line, int64_t inner, const char *from, int64_t count,
                            float *to);
/* Decode elements from `from` on, contiguous, that are those of several lines from `line` on. */
void cf_operand_decode_across(const cf_operand *operand, int64_t inner, int64_t line, const char *from,
                              int64_t count, float *to);

/* Copy lines x inner elements of any layout, so that those of a line are contiguous and lines are to_step bytes apart; or
 * so that those of one place along the inner axis are, and places are to_step bytes apart. */
void cf_operand_copy_lines(const cf_operand *operand, int64_t line, int64_t lines, int64_t inner, int64_t count,
                           char *to, int64_t to_step);
void cf_operand_copy_across(const cf_operand *operand, int64_t inner, int64_t count, int64_t line, int64_t lines,
                            char *to, int64_t to_step);

#endif
