/* One call of cf_convert over many operands, compared with what the oracle says of each. */
#ifndef SUPPORT_BATCH_H
#define SUPPORT_BATCH_H

#include "support/oracle.h"

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
