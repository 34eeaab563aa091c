/* The walk over any layout, in pieces that fit in cache. */
#include "convert/walk.h"

#include <string.h>

#include "convert/biases.h"
#include "convert/copy.h"
#include "core/integers.h"
#include "core/scalar.h"
#include "cpu/compiler.h"
#include "cpu/threads.h"

/* Where the order of elements is free, the order of memory: the axis of the shortest steps last. */
static void sort_axes(cf_axis *axes, int count) {
  for (int i = 1; i < count; ++i) {
    const cf_axis moved = axes[i];
    const int64_t step = cf_magnitude(moved.source) + cf_magnitude(moved.destination);
    int j = i;
    for (; j > 0 && cf_magnitude(axes[j - 1].source) + cf_magnitude(axes[j - 1].destination) < step;
         --j)
      axes[j] = axes[j - 1];
    axes[j] = moved;
  }
}

static int has_word_strides(const cf_layout *layout) {
  return layout->word_strides != NULL && layout->words == NULL;
}

/* Drop axes of length 1 and join neighbours that are one run in memory for all three operands, and
 * in the stream. */
static void join_axes(cf_walk *w, const cf_layout *layout, int in_order) {
  cf_axis axes[CF_MAX_NDIM];
  int count = 0;
  w->count = 0;
  w->size = 1;
  for (int i = 0; i < layout->ndim; ++i) {
    const cf_axis given = {layout->shape[i], layout->source_strides[i], layout->bias_strides[i],
                           layout->destination_strides[i], 0};
    w->size *= given.length;
    if (given.length == 1) continue;
    axes[count] = given;
    if (in_order && has_word_strides(layout)) axes[count].word = (uint64_t)layout->word_strides[i];
    ++count;
  }
  if (in_order && !has_word_strides(layout))
    for (int i = count - 1; i >= 0; --i)
      axes[i].word = i == count - 1 ? 1 : axes[i + 1].word * (uint64_t)axes[i + 1].length;
  if (!in_order) sort_axes(axes, count);
  for (int i = 0; i < count; ++i) {
    cf_axis inner = axes[i];
    if (w->count > 0) {
      const cf_axis outer = w->axes[w->count - 1];
      if (outer.source == inner.source * inner.length && outer.bias == inner.bias * inner.length &&
          outer.destination == inner.destination * inner.length &&
          outer.word == inner.word * (uint64_t)inner.length) {
        inner.length *= outer.length;
        --w->count;
      }
    }
    w->axes[w->count++] = inner;
  }
  /* a run has words in a row, if it is of one element */
  if (w->count == 0 || (in_order && w->axes[w->count - 1].word != 1)) {
    const cf_axis one = {1, (int64_t)w->op->source_size, 0, (int64_t)w->op->destination_size, 1};
    w->axes[w->count++] = one;
  }
}

static void find_run(cf_walk *w) {
  w->inner = w->count - 1;
  w->run_length = w->axes[w->inner].length;
  while (w->inner > 0) {
    const cf_axis *outer = &w->axes[w->inner - 1], *inner = &w->axes[w->inner];
    if (outer->source != inner->source * inner->length ||
        outer->destination != inner->destination * inner->length ||
        outer->word != inner->word * (uint64_t)inner->length)
      break;
    w->run_length *= outer->length;
    --w->inner;
  }
}

void cf_walk_set_axes(cf_walk *w, const cf_layout *layout, int in_order) {
  join_axes(w, layout, in_order);
  find_run(w);
}

/* `count` elements of one run.  The kernels see contiguous elements, staged here where the
 * operand's are not. */
static void walk_run(const cf_walk *w, cf_cursor outer, int64_t begin, int64_t count,
                     uint64_t position, cf_flags *flags) {
  const cf_operation *op = w->op;
  const cf_axis *last = &w->axes[w->count - 1];
  const int stage_source = cf_walk_stages_source(w),
            stage_destination = cf_walk_stages_destination(w);
  const char *source = w->source + outer.source + begin * last->source;
  char *destination = w->destination + outer.destination + begin * last->destination;
  cf_cursor place = cf_cursor_at(w, w->inner, w->count, begin);
  place.bias += outer.bias;
  while (count > 0) {
    uint64_t source_stage[CF_PIECE], destination_stage[CF_PIECE];
    int16_t bias_stage[CF_BIAS_PIECE];
    int64_t piece = stage_source || stage_destination ? cf_at_most(count, CF_PIECE) : count;
    const cf_bias_view bias = cf_walk_biases(w, &place, bias_stage, &piece);
    if (stage_source)
      (w->swapped ? cf_copy_swapped : cf_copy_elements)((char *)source_stage,
                                                        (int64_t)op->source_size, source,
                                                        last->source, op->source_size, piece);
    cf_operation_run(op, bias, stage_source ? (const char *)source_stage : source, position,
                     stage_destination ? (char *)destination_stage : destination, (size_t)piece,
                     flags);
    if (stage_destination)
      cf_copy_elements(destination, last->destination, (const char *)destination_stage,
                       (int64_t)op->destination_size, op->destination_size, piece);
    source += last->source * piece;
    destination += last->destination * piece;
    position += (uint64_t)piece;
    count -= piece;
  }
}

/* A tile is some rows, which are whole runs, by so many columns: of a staged operand as many rows
 * as fill a cache line with neighbours from all of them, so that its lines and pages are visited
 * once for all these rows. */
enum { TILE_COLUMNS = 256 };

static int64_t tile_rows(const cf_walk *w) {
  size_t size = 1;
  if (cf_walk_stages_source(w)) size = w->op->source_size;
  if (cf_walk_stages_destination(w) && w->op->destination_size > size)
    size = w->op->destination_size;
  return (int64_t)(CF_CACHE_LINE / size);
}

/* Whether neighbours along the runs are farther apart than neighbouring runs are, as in a
 * transposed array. */
static int is_transposed(const cf_walk *w) {
  if (w->inner == 0) return 0;
  const cf_axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  return (cf_walk_stages_source(w) && cf_magnitude(row->source) < cf_magnitude(column->source)) ||
         (cf_walk_stages_destination(w) &&
          cf_magnitude(row->destination) < cf_magnitude(column->destination));
}

/* Copy a tile of results to where they belong.  Where a column's are neighbours there, they are put
 * together first: a few wide stores leave room for many lines that are on their way from memory,
 * many narrow ones do not. */
static void unstage_tile(const cf_walk *w, char *destination, const char *stage, int64_t rows,
                         int64_t columns) {
  const cf_axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  const size_t size = w->op->destination_size;
  const int64_t step = (int64_t)size, pitch = TILE_COLUMNS * step;
  uint64_t lines[CF_CACHE_LINE * TILE_COLUMNS / 8];
  const int together = row->destination == step;
  for (int64_t j = 0; j < columns; ++j)
    cf_copy_elements(
        together ? (char *)lines + j * CF_CACHE_LINE : destination + j * column->destination,
        row->destination, stage + j * step, pitch, size, rows);
  for (int64_t j = 0; together && j < columns; ++j)
    memcpy(destination + j * column->destination, (const char *)lines + j * CF_CACHE_LINE,
           (size_t)rows * size);
}

/* `rows` runs from `outer` on, all along the axis before them. */
static void walk_tiles(const cf_walk *w, cf_cursor outer, int64_t rows, uint64_t position,
                       cf_flags *flags) {
  const cf_operation *op = w->op;
  const cf_axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  const int64_t source_size = (int64_t)op->source_size;
  const int64_t destination_size = (int64_t)op->destination_size;
  const int stage_source = cf_walk_stages_source(w),
            stage_destination = cf_walk_stages_destination(w);
  for (int64_t first = 0; first < w->run_length; first += TILE_COLUMNS) {
    uint64_t source_stage[CF_CACHE_LINE * TILE_COLUMNS / 8];
    uint64_t destination_stage[CF_CACHE_LINE * TILE_COLUMNS / 8];
    const int64_t columns = cf_at_most(w->run_length - first, TILE_COLUMNS);
    const char *source = w->source + outer.source + first * column->source;
    char *destination = w->destination + outer.destination + first * column->destination;
    for (int64_t j = 0; stage_source && j < columns; ++j)
      (w->swapped ? cf_copy_swapped : cf_copy_elements)(
          (char *)source_stage + j * source_size, TILE_COLUMNS * source_size,
          source + j * column->source, row->source, op->source_size, rows);
    for (int64_t i = 0; i < rows; ++i) {
      const char *from = source + i * row->source;
      char *to = destination + i * row->destination;
      cf_cursor place = cf_cursor_at(w, w->inner, w->count, first);
      place.bias += outer.bias + i * row->bias;
      if (stage_source) from = (const char *)source_stage + i * TILE_COLUMNS * source_size;
      if (stage_destination) to = (char *)destination_stage + i * TILE_COLUMNS * destination_size;
      int16_t bias_stage[CF_BIAS_PIECE];
      int64_t count = columns; /* and stays that: it is below CF_BIAS_PIECE */
      const cf_bias_view bias = cf_walk_biases(w, &place, bias_stage, &count);
      cf_operation_run(op, bias, from, position + (uint64_t)i * row->word + (uint64_t)first, to,
                       (size_t)columns, flags);
    }
    if (stage_destination)
      unstage_tile(w, destination, (const char *)destination_stage, rows, columns);
  }
}

/* Elements begin to end - 1 of the walk. */
static void walk_range(const cf_walk *w, int64_t begin, int64_t end, cf_flags *flags) {
  const int tiled = is_transposed(w);
  cf_cursor outer = cf_cursor_at(w, 0, w->inner, begin / w->run_length);
  while (begin < end) {
    const int64_t offset = begin % w->run_length;
    const uint64_t position = w->position + outer.word + (uint64_t)offset;
    int64_t rows = 1, count = cf_at_most(w->run_length - offset, end - begin);
    if (tiled && count == w->run_length) {
      const int64_t left = w->axes[w->inner - 1].length - outer.index[w->inner - 1];
      rows = cf_at_most(cf_at_most((end - begin) / w->run_length, left), tile_rows(w));
      count = rows * w->run_length;
    }
    if (rows > 1)
      walk_tiles(w, outer, rows, position, flags);
    else
      walk_run(w, outer, offset, count, position, flags);
    begin += count;
    if (w->inner > 0) cf_cursor_advance(w, &outer, rows);
  }
  cf_operation_finish(w->op);
}

/* A walk shared among threads, which take ranges of it; each takes a kernel some preparation. */
enum { ELEMENTS_PER_SHARE = 1 << 17, SHARES_MAX = 1 << 6 };

typedef struct shared_walk {
  const cf_walk *walk;
  int shares, counting;
  cf_flags flags[CF_MAX_THREADS];
} shared_walk;

static void walk_share(void *context, int share, int thread) {
  shared_walk *shared = context;
  int64_t begin, end;
  cf_share_of(shared->walk->size, CF_PIECE, shared->shares, share, &begin, &end);
  cf_flags flags = {0, 0, 0, 0};
  walk_range(shared->walk, begin, end, shared->counting ? &flags : NULL);
  if (shared->counting) cf_add_flags(&shared->flags[thread], &flags);
}

/* Several a thread, so that one that comes late or is interrupted does less; but no tile is cut. */
static int shares_each(const cf_walk *w, int threads) {
  const int64_t most = cf_at_most(w->size / ELEMENTS_PER_SHARE, SHARES_MAX) / threads;
  return is_transposed(w) || most < 1 ? 1 : (int)most;
}

void cf_walk_all(const cf_walk *w, int threads, cf_flags *flags) {
  /* to draw random words takes about four times as long as all else */
  const cf_rule *rule = &w->op->rule;
  const int draws = cf_rounding_mode(rule->rounding) == CF_STOCHASTIC && rule->words == NULL;
  threads = cf_useful_threads((double)w->size * (draws ? 4 : 1), CF_ELEMENTS_PER_THREAD, threads);
  /* results smaller than the source, in its place, reach into what the next thread has yet to
   * read */
  if (w->source == w->destination && w->op->source_size != w->op->destination_size) threads = 1;
  if (threads == 1) {
    walk_range(w, 0, w->size, flags);
    cf_done_alone();
    return;
  }
  shared_walk shared;
  shared.walk = w;
  shared.counting = flags != NULL;
  const int each = shares_each(w, threads);
  shared.shares = threads * each;
  memset(shared.flags, 0, (size_t)threads * sizeof *shared.flags);
  cf_run_shares(threads, each, walk_share, &shared);
  for (int i = 0; shared.counting && i < threads; ++i) cf_add_flags(flags, &shared.flags[i]);
}
