/* One call of cf_convert over many operands, compared with what the oracle says of each. */
#ifndef BATCH_H
#define BATCH_H

#include "oracle.h"

/* Elements of a source type, in any memory. */
typedef struct batch {
  int type;
  const void *elements;
  size_t count;
} batch;

/* Encodes them in every rounding mode; also rounds them to the format and on to float64 in one
 * call. */
void check_batch(const char *name, const grid *grid, const batch *batch);

#endif
