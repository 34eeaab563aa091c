/* The walk over the elements of an operation in any layout. */
#ifndef CF_CONVERT_WALK_H
#define CF_CONVERT_WALK_H

#include "convert/operation.h"

/* One axis of a walk: its length, each operand's step along it in bytes, and the random stream's in
 * words, modulo 2^64: 0 where there are none. */
typedef struct cf_axis {
  int64_t length;
  int64_t source, bias, destination;
  uint64_t word;
} cf_axis;

/* The elements of an operation, in row-major order where they have random words.  The axes from
 * `inner` on are one run of evenly spaced elements in the source and in the destination, of
 * `run_length` elements, with words in a row. */
typedef struct cf_walk {
  const cf_operation *op;
  const char *source, *bias;
  char *destination;
  uint64_t position;
  int swapped;
  int count, inner;
  int64_t run_length, size;
  cf_axis axes[CF_MAX_NDIM + 1];
} cf_walk;

/* Where the walk stands on some of its axes, and the operands' offsets there in bytes, the stream's
 * in words. */
typedef struct cf_cursor {
  int first, end; /* the axes */
  int64_t index[CF_MAX_NDIM + 1];
  int64_t source, bias, destination;
  uint64_t word;
} cf_cursor;

static inline cf_cursor cf_cursor_at(const cf_walk *w, int first, int end, int64_t position) {
  cf_cursor c;
  c.first = first;
  c.end = end;
  c.source = c.bias = c.destination = 0;
  c.word = 0;
  for (int i = end - 1; i >= first; --i) {
    const cf_axis *axis = &w->axes[i];
    c.index[i] = position % axis->length;
    position /= axis->length;
    c.source += axis->source * c.index[i];
    c.bias += axis->bias * c.index[i];
    c.destination += axis->destination * c.index[i];
    c.word += axis->word * (uint64_t)c.index[i];
  }
  return c;
}

/* Go on by `count` elements along the last axis, at most to its end, carrying like an odometer. */
static inline void cf_cursor_advance(const cf_walk *w, cf_cursor *c, int64_t count) {
  for (int i = c->end - 1; i >= c->first; --i) {
    const cf_axis *axis = &w->axes[i];
    c->index[i] += count;
    c->source += axis->source * count;
    c->bias += axis->bias * count;
    c->destination += axis->destination * count;
    c->word += axis->word * (uint64_t)count;
    if (c->index[i] < axis->length) return;
    c->index[i] = 0;
    c->source -= axis->source * axis->length;
    c->bias -= axis->bias * axis->length;
    c->destination -= axis->destination * axis->length;
    c->word -= axis->word * (uint64_t)axis->length;
    count = 1;
  }
}

/* Whether the kernels see copies, because an operand's elements are not contiguous or swapped. */
static inline int cf_walk_stages_source(const cf_walk *w) {
  return w->swapped || w->axes[w->count - 1].source != (int64_t)w->op->source_size;
}
static inline int cf_walk_stages_destination(const cf_walk *w) {
  return w->axes[w->count - 1].destination != (int64_t)w->op->destination_size;
}

/* Set a walk's axes, count, inner, run_length and size, all else being set; in_order: the elements
 * have random words. */
void cf_walk_set_axes(cf_walk *w, const cf_layout *layout, int in_order);

/* The least that a thread has: some ten microseconds of the fastest conversions. */
enum { CF_ELEMENTS_PER_THREAD = 1 << 16 };

/* Convert all elements, with up to `threads` threads. */
void cf_walk_all(const cf_walk *w, int threads, cf_flags *flags);

#endif
