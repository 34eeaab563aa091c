/* The operands of a matrix product, one matrix of a stack at a time. */
#ifndef CF_MATMUL_OPERAND_H
#define CF_MATMUL_OPERAND_H

#include "convert/kernels.h"

/* A matrix as lines along the inner axis: a's rows, or b's columns.  bias_* are bytes from one
 * block to the next. */
typedef struct cf_operand {
  int type; /* as in cf_matrix */
  cf_rule rule;
  cf_decode_kernel *decode;
  int bias_min, bias_max, quantum; /* of the format; cf_format_quantum */
  const char *elements, *biases;
  size_t size; /* bytes of an element */
  int64_t lines, inner;
  int64_t line_stride, inner_stride;
  int64_t line_bias_stride, inner_bias_stride;
  int64_t line_block, inner_block;
} cf_operand;

/* So many elements are decoded at a time: more than one block of the inner axis, and few enough for
 * the nearest cache. */
enum { CF_RUN_PIECE = 256 };

/* Which way a run of elements goes. */
typedef enum cf_direction { CF_ALONG_LINE, CF_ACROSS_LINES } cf_direction;

/* Whether a product is one, and how many matrices its stack has; biases are not looked at. */
int cf_product_check(const cf_product *product, int64_t *stacked);

/* The operands and the results of matrix `index` of the stack, in row-major order. */
cf_operand cf_operand_a(const cf_product *product, int64_t index);
cf_operand cf_operand_b(const cf_product *product, int64_t index);
char *cf_product_results(const cf_product *product, int64_t index);
/* Of that matrix of an operand the elements alone, and the biases or NULL. */
const char *cf_matrix_elements(const cf_product *product, const cf_matrix *matrix, int64_t index);
const char *cf_matrix_biases(const cf_product *product, const cf_matrix *matrix, int64_t index);

/* bfloat16 as float32: neither needs any alignment. */
void cf_widen_bfloat16(const char *from, size_t count, void *to);

/* The direction in which elements are nearer to each other. */
cf_direction cf_operand_direction(const cf_operand *operand);

/* The bias of one element, of codes. */
int cf_operand_bias(const cf_operand *operand, int64_t line, int64_t k);

/* Whether all elements of a line have one bias, or none. */
int cf_operand_has_line_biases(const cf_operand *operand);

/* The least and the greatest bias in a line, of codes. */
void cf_operand_bias_range(const cf_operand *operand, int64_t line, int *least, int *greatest);

/* Whether all biases are within the format's range. */
int cf_operand_biases_allowed(const cf_operand *operand);

/* The values of a run of at most CF_RUN_PIECE elements from (line, k) on, as the bits of
 * float32. */
void cf_operand_decode(const cf_operand *operand, cf_direction direction, int64_t line, int64_t k,
                       size_t count, uint32_t *values);

#endif
