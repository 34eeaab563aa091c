/* Biases by magnitudes of groups whose elements lie among each other's in memory: columns of a
 * matrix, inner axes.
 *
 * Nothing is copied to rows: the array is gone over in the order of memory, and each place of a
 * line has a maximum and counts of its own. */
#ifndef CF_STATS_INTERLEAVED_H
#define CF_STATS_INTERLEAVED_H

#include <stddef.h>
#include <stdint.h>

#include "cfloat.h"
#include "stats/magnitudes.h"

/* Groups that follow each other in a line: group g has elements g * inner to (g + 1) * inner - 1 of
 * each of its lines, which are contiguous.  Lines are along `axes`, the nearest in memory last, in
 * bytes. */
typedef struct cf_interleaved {
  const cf_range_rule *rule;
  int source_type, swapped;
  int64_t source_size;
  int64_t groups, inner;
  int axes;
  int64_t lengths[CF_MAX_NDIM], strides[CF_MAX_NDIM];
} cf_interleaved;

/* Whether that takes less time than to copy groups to rows. */
int cf_are_interleaved(const cf_interleaved *layout);

/* Bytes that are counted in: 256 KB, and 112 KB for each thread. */
size_t cf_interleaved_room(int threads);

/* Choose biases[i * step] for each group i by so many threads, in a room of that size that is
 * aligned as malloc aligns.  The layout may have fewer lines than one that was asked about. */
void cf_choose_interleaved(const cf_interleaved *layout, const char *values, int16_t *biases,
                           int64_t step, int threads, void *room);

#endif
