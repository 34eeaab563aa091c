/* Operands of matrix products in float32, decoded near 1.
 *
 * A bias is a power of two, so it need not be there while products are summed: values are decoded
 * near 1, and results are scaled at the end.  Where biases differ along the inner axis they are
 * decoded with, and only what is common to all of them is left to the end. */
#ifndef CF_MATMUL_SCALED_OPERAND_H
#define CF_MATMUL_SCALED_OPERAND_H

#include "matmul/kernels/tile.h"
#include "matmul/operand.h"

typedef struct cf_scaled {
  cf_operand of;
  cf_decode_kernel *decode;
  /* biases are decoded with: they differ along the inner axis, or the range is float32's own */
  int decodes_biases;
  int bias;  /* otherwise: what all codes are decoded with */
  int shift; /* what is taken from biases that are decoded with */
  /* no value decoded has a smaller exponent, nor a bit below it; of values as such, not known */
  int lowest;
  int is_centred;  /* such codes as can be decoded near 1, whatever their biases */
  int significant; /* bits of a value */
  /* by which all codes are decoded, or NULL: then by `decode` */
  const cf_fields *fields;
  cf_decode_fields_kernel *decode_fields;
} cf_scaled;

/* How to decode an operand of this matrix; `of` changes from one matrix of a stack to the next, the
 * rest does not. */
cf_scaled cf_scaled_of(const cf_operand *operand, const cf_matrix *matrix);

/* Operands that are is_centred have no products with each other that leave float32's range.  Those
 * with another operand may leave it, where the products of the values themselves do not, unless
 * biases are kept: always where all lines have one, or biases are decoded with anyway, and else if
 * the other operand's values are large or small enough for that. */
void cf_scaled_keep_biases(cf_scaled *scaled, const cf_operand *other);

/* The exponent by which results of a line are to be scaled. */
int cf_scaled_exponent(const cf_scaled *scaled, int64_t line);

/* The scales of all results of lines, 0 where no float holds one, with CF_TILE_LINES_MAX zeros
 * after them; and the range of their exponents. */
void cf_scaled_scales(const cf_scaled *scaled, float *scale, int *low, int *high);

/* Fill a table of all codes as bfloat16.  0 if there is none to be had: if codes are not of 8 bits,
 * all with one bias and exactly bfloat16, zero first and the upper half the lower with the sign
 * set; or if one is not finite, and all must be. */
int cf_scaled_table(const cf_scaled *scaled, int must_be_finite, cf_bytes *table);

/* How kernels take the fields of codes, or of bfloat16, to float32.  0 if they do not: if codes do
 * not fill their bytes, or have too many exponent bits. */
int cf_scaled_fields(const cf_scaled *scaled, cf_fields *fields);

/* Have codes decoded by this kernel, which may be NULL, if that is for them and their bias;
 * `fields` are then kept alive as long. */
void cf_scaled_use_fields(cf_scaled *scaled, cf_decode_fields_kernel *kernel, cf_fields *fields);

/* Decode `count` elements from (line, k) on, which are at `from` and contiguous, in a direction; by
 * fields up to a vector of bytes more is written. */
void cf_scaled_decode(const cf_scaled *scaled, cf_direction direction, int64_t line, int64_t k,
                      const char *from, int64_t count, float *to);

/* Copy `line_count` lines by `count` elements, of any layout, from (line, k) on, so that those in a
 * direction are contiguous: lines, or elements of the same place, are to_step bytes apart. */
void cf_scaled_copy(const cf_scaled *scaled, cf_direction direction, int64_t line,
                    int64_t line_count, int64_t k, int64_t count, char *to, int64_t to_step);

#endif
