/* The biases of the elements of a walk. */
#ifndef CF_CONVERT_BIASES_H
#define CF_CONVERT_BIASES_H

#include "convert/walk.h"

/* So many biases are spread out at a time. */
enum { CF_BIAS_PIECE = 4 * CF_PIECE };

/* Whether the format allows all of them, each looked at once. */
int cf_walk_biases_allowed(const cf_walk *w);

/* The biases of the next elements, where they are if that will do and else spread out in `stage`,
 * of CF_BIAS_PIECE.  *count, which is at most that where something else is staged, becomes the
 * number of elements they are for, and the cursor goes on by so many. */
cf_bias_view cf_walk_biases(const cf_walk *w, cf_cursor *c, int16_t *stage, int64_t *count);

#endif
