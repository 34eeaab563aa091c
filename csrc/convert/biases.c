/* The biases of the elements of a walk: as they are, as blocks, or spread out. */
#include "convert/biases.h"

#include <string.h>

#include "convert/copy.h"
#include "core/integers.h"

static inline void fill_biases(int16_t *biases, int16_t bias, int64_t count) {
  enum { FILL_PIECE = 16 }; /* a constant, so that it becomes a few stores of vectors */
  for (; count >= FILL_PIECE; count -= FILL_PIECE, biases += FILL_PIECE)
    for (int i = 0; i < FILL_PIECE; ++i) biases[i] = bias;
  for (int64_t i = 0; i < count; ++i) biases[i] = bias;
}

/* Whole lengths of the last axis with one bias each, as blocks have; returns how many elements. */
static int64_t spread_blocks(const cf_walk *w, cf_cursor *c, int16_t *biases, int64_t count) {
  const cf_axis *blocks = &w->axes[c->end - 2], *block = &w->axes[c->end - 1];
  const int64_t left = blocks->length - c->index[c->end - 2];
  const int64_t whole = cf_at_most(count / block->length, left);
  const char *from = w->bias + c->bias;
  for (int64_t i = 0; i < whole; ++i, from += blocks->bias, biases += block->length) {
    int16_t bias;
    memcpy(&bias, from, sizeof bias);
    fill_biases(biases, bias, block->length);
  }
  cf_cursor outer = *c;
  outer.end = c->end - 1;
  cf_cursor_advance(w, &outer, whole);
  outer.end = c->end;
  *c = outer;
  return whole * block->length;
}

/* The biases of the next `count` elements, spread out. */
static void spread_biases(const cf_walk *w, cf_cursor *c, int16_t *biases, int64_t count) {
  const cf_axis *last = &w->axes[c->end - 1];
  while (count > 0) {
    const int64_t index = c->index[c->end - 1];
    int64_t part = cf_at_most(count, last->length - index);
    const char *from = w->bias + c->bias;
    if (last->bias == 0 && part == last->length && c->end - c->first >= 2) {
      part = spread_blocks(w, c, biases, count);
      biases += part;
      count -= part;
      continue;
    }
    if (last->bias == 0) {
      int16_t bias;
      memcpy(&bias, from, sizeof bias);
      fill_biases(biases, bias, part);
    } else if (last->bias == sizeof(int16_t)) {
      memcpy(biases, from, (size_t)part * sizeof *biases);
    } else {
      cf_copy_elements((char *)biases, sizeof(int16_t), from, last->bias, sizeof(int16_t), part);
    }
    cf_cursor_advance(w, c, part);
    biases += part;
    count -= part;
  }
}

int cf_walk_biases_allowed(const cf_walk *w) {
  cf_walk distinct = *w;
  distinct.count = 0;
  int64_t count = 1;
  for (int i = 0; i < w->count; ++i) {
    if (w->axes[i].bias == 0) continue;
    distinct.axes[distinct.count++] = w->axes[i];
    count *= w->axes[i].length;
  }
  if (distinct.count == 0) {
    const cf_axis one = {1, 0, 0, 0, 0};
    distinct.axes[distinct.count++] = one;
  }
  cf_cursor place = cf_cursor_at(&distinct, 0, distinct.count, 0);
  int bad = 0;
  while (count > 0) {
    int16_t biases[CF_PIECE];
    const int64_t piece = cf_at_most(count, CF_PIECE);
    spread_biases(&distinct, &place, biases, piece);
    for (int64_t i = 0; i < piece; ++i)
      bad |= (biases[i] < w->op->bias_min) | (biases[i] > w->op->bias_max);
    count -= piece;
  }
  return !bad;
}

/* The length of the blocks that begin where a walk stands, of one bias each and these in a row, if
 * the kernel takes them; or 0. */
static int64_t block_length(const cf_walk *w, const cf_cursor *c) {
  if (!w->op->takes_blocks || c->end - c->first < 2) return 0;
  const cf_axis *blocks = &w->axes[c->end - 2], *block = &w->axes[c->end - 1];
  const int64_t length = block->length;
  const int suits = block->bias == 0 && blocks->bias == sizeof(int16_t) && length >= CF_BLOCK_MIN &&
                    length <= CF_BLOCK_MAX && (length & (length - 1)) == 0;
  const int aligned = (uintptr_t)(w->bias + c->bias) % sizeof(int16_t) == 0;
  return suits && aligned && c->index[c->end - 1] == 0 ? length : 0;
}

cf_bias_view cf_walk_biases(const cf_walk *w, cf_cursor *c, int16_t *stage, int64_t *count) {
  const cf_axis *last = &w->axes[c->end - 1];
  const int64_t row = last->length - c->index[c->end - 1];
  const char *from = w->bias + c->bias;
  const int in_place = last->bias == sizeof(int16_t) && (uintptr_t)from % sizeof(int16_t) == 0;
  const int64_t block = block_length(w, c);
  cf_bias_view view = {stage, 1, 0};
  if (block != 0 && *count >= block) {
    cf_cursor blocks = *c; /* the axis of blocks, and those before it */
    blocks.end = c->end - 1;
    const int64_t left = w->axes[c->end - 2].length - c->index[c->end - 2];
    const int64_t whole = cf_at_most(*count / block, left);
    *count = whole * block;
    view.first = (const int16_t *)(const void *)from;
    view.block = (size_t)block;
    cf_cursor_advance(w, &blocks, whole);
    blocks.end = c->end;
    *c = blocks;
  } else if ((last->bias == 0 || in_place) && row >= cf_at_most(*count, CF_BIAS_PIECE)) {
    *count = cf_at_most(*count, row);
    if (in_place) {
      view.first = (const int16_t *)(const void *)from;
    } else {
      view.step = 0;
      memcpy(stage, from, sizeof *stage);
    }
    cf_cursor_advance(w, c, *count);
  } else {
    *count = cf_at_most(*count, CF_BIAS_PIECE);
    spread_biases(w, c, stage, *count);
  }
  return view;
}
