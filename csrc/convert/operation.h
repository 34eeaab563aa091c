/* A conversion of contiguous elements: which kernels do it, and how. */
#ifndef CF_CONVERT_OPERATION_H
#define CF_CONVERT_OPERATION_H

#include "convert/kernels.h"

/* encode, decode, both in a row, or both in one pass (round_float32); the kernels that are not
 * needed are NULL. */
typedef struct cf_operation {
  cf_rule rule;
  int bias_min, bias_max;
  cf_encode_kernel *encode;
  cf_decode_kernel *decode;
  void (*stream_end)(void);
  int takes_blocks; /* the kernel knows rule.block */
  int destination_type;
  int tabulates; /* codes are of 8 bits, and not wanted as float32: a bias's results fit in a table
                  */
  size_t source_size, destination_size; /* bytes of an element */
} cf_operation;

/* One bias for many elements (step 0), one for each (step 1), or one for each block of so many. */
typedef struct cf_bias_view {
  const int16_t *first;
  size_t step, block;
} cf_bias_view;

/* From the arguments of cf_convert, of which format, rounding and types are checked; `words` as in
 * cf_layout.  A status. */
int cf_operation_prepare(cf_operation *op, const cf_format *format, int source_type, int rounding,
                         uint64_t seed, const uint32_t *words, int destination_type);

/* How many elements there are in all, and whether kernels see copies of an operand's. */
void cf_operation_set_size(cf_operation *op, size_t count, int stages_source,
                           int stages_destination);

/* Tests alone define CF_TESTED: whether results of 4 bytes and 8 that would be streamed are fetched
 * instead; -1: as the CPU says. */
#if defined(CF_TESTED)
extern int cf_fetching;
#endif

/* Convert contiguous elements; position is the random word of the first. */
void cf_operation_run(const cf_operation *op, cf_bias_view bias_of, const char *source,
                      uint64_t position, char *destination, size_t count, cf_flags *flags);

/* After a thread's last elements. */
void cf_operation_finish(const cf_operation *op);

#endif
