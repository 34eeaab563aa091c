/* A bias for each group of elements of an array of any layout: slices, blocks along axes, tiles.
 *
 * Groups that are near each other in memory are copied together, each to a row of its own, in the
 * order of memory, so that a cache line that several of them have elements in is read once.  Those
 * whose elements are contiguous already, and of a type that is searched, are searched where they
 * are; and where only magnitudes count, so are those that lie among each other in long lines.  The
 * order of a group's elements changes no bias. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "convert/copy.h"
#include "core/integers.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "stats/interleaved.h"
#include "stats/magnitudes.h"
#include "stats/search.h"
#include "stats/widen_rows.h"

enum { ELEMENTS_PER_THREAD = 1 << 16, LINE = 64 };
/* Bytes of rows that are copied at a time: some, while they are in a core's cache; and more where
 * groups are large, but that at most, and no more than a part of the array. */
enum { ROWS_BYTES = 1 << 18, MOST_ROWS_BYTES = 1 << 25, PART_OF_ARRAY = 8 };
/* Elements copied at a time along an axis that others are inside of; shorter axes are not worth a
 * loop of their own. */
enum { CHUNK = 256, SHORT_AXIS = 8, TILE_ROWS = 8 };

/* An axis of groups, or of the elements of one. */
typedef struct axis {
  int64_t length, stride;
  int64_t step; /* of groups: elements of `biases` */
  int64_t last; /* of groups: how many elements along `member` the last one has, or 0 if all do */
  int member;   /* the axis of elements that the array's axis has as well, or -1 */
} axis;

typedef struct task {
  cf_search search; /* source_type is that of rows */
  cf_range_rule rule;
  int method, source_type, swapped, in_place;
  int adjacent;       /* whether groups follow each other as rows do, but of another type */
  int interleaved;    /* whether groups are, and in stats/interleaved.h's order */
  int threads_of_one; /* how many share the lines of such groups */
  const char *values;
  int16_t *biases;
  axis groups[CF_MAX_NDIM], members[CF_MAX_NDIM]; /* the nearest in memory last */
  int group_axes, member_axes;
  int64_t count, size; /* groups; elements of one */
  int64_t source_size, row_size;
  int64_t together, pitch; /* groups that are copied at a time; elements from row to row */
  int threads;
  int failed[CF_MAX_THREADS];
} task;

/* One axis of a copy, with the steps in bytes of both sides. */
typedef struct copy_axis {
  int64_t length, from, to;
} copy_axis;

static void copy_run(const task *t, char *to, const char *from, const copy_axis *a, int64_t count) {
  const int64_t size = t->source_size;
  if (t->swapped && size > 1)
    cf_copy_swapped(to, a->to, from, a->from, (size_t)size, count);
  else if (a->to == size && a->from == size)
    memcpy(to, from, (size_t)(count * size));
  else
    cf_copy_elements(to, a->to, from, a->from, (size_t)size, count);
}

/* A whole tile, of so many columns, whose rows are one element from each other in the destination.
 */
#define COPY_TILE(type)                                                           \
  for (int64_t j = 0; j < columns; ++j) {                                         \
    type line[TILE_ROWS];                                                         \
    for (int64_t i = 0; i < TILE_ROWS; ++i)                                       \
      memcpy(&line[i], from + i * row + j * (int64_t)sizeof(type), sizeof *line); \
    memcpy(to + j * column, line, sizeof line);                                   \
  }                                                                               \
  break

static void copy_tile(char *to, int64_t column, const char *from, int64_t row, int64_t size,
                      int64_t columns) {
  switch (size) {
    case 1: COPY_TILE(uint8_t);
    case 2: COPY_TILE(uint16_t);
    case 4: COPY_TILE(uint32_t);
    default: COPY_TILE(uint64_t);
  }
}

/* Copy along two axes of which the nearer one in the source is the farther one in the destination,
 * in tiles: of a few rows whole lines are read, and parts of as many lines are written. */
static void copy_tiles(const task *t, char *to, const char *from, const copy_axis *rows,
                       const copy_axis *columns) {
  const int64_t width = LINE / t->source_size;
  const int is_plain = rows->to == t->source_size && columns->from == t->source_size &&
                       (!t->swapped || t->source_size == 1);
  const int turns = is_plain && t->source_size == 4 && t->search.kernels->turn != NULL;
  const int64_t height = turns ? CF_TURNED : TILE_ROWS;
  for (int64_t i = 0; i < rows->length; i += height) {
    const int64_t last = cf_at_most(rows->length, i + height);
    for (int64_t first = 0; first < columns->length; first += width) {
      const int64_t part = cf_at_most(columns->length - first, width);
      char *tile = to + i * rows->to + first * columns->to;
      const char *source = from + i * rows->from + first * columns->from;
      if (turns && part == CF_TURNED && last - i == CF_TURNED) {
        t->search.kernels->turn(source, (ptrdiff_t)rows->from, tile, (ptrdiff_t)columns->to);
        continue;
      }
      if (is_plain && last - i == TILE_ROWS) {
        copy_tile(tile, columns->to, source, rows->from, t->source_size, part);
        continue;
      }
      for (int64_t row = i; row < last; ++row)
        copy_run(t, to + row * rows->to + first * columns->to,
                 from + row * rows->from + first * columns->from, columns, part);
    }
  }
}

/* Copy along all axes, the nearest in the source last, the last ones innermost. */
static void copy_axes(const task *t, char *to, const char *from, const copy_axis *axes, int count) {
  int inner = count - 1;
  while (inner > 0 && axes[inner].length < SHORT_AXIS) --inner;
  if (axes[inner].length < SHORT_AXIS) /* then the longest */
    for (int i = inner = 0; i < count; ++i)
      if (axes[i].length > axes[inner].length) inner = i;
  const copy_axis *along = &axes[inner];
  const int chunked = inner < count - 1;
  const int tiled = !chunked && inner > 0 && along->to > axes[inner - 1].to;
  int64_t index[CF_MAX_NDIM + 1] = {0};
  for (;;) {
    const int64_t chunk = chunked ? CHUNK : along->length;
    if (tiled) copy_tiles(t, to, from, &axes[inner - 1], along);
    for (int64_t first = 0; !tiled && first < along->length; first += chunk) {
      const int64_t part = cf_at_most(along->length - first, chunk);
      const char *source = from + first * along->from;
      char *destination = to + first * along->to;
      /* the axes that are nearer, few elements in all */
      int64_t near[CF_MAX_NDIM + 1] = {0};
      int i;
      do {
        copy_run(t, destination, source, along, part);
        for (i = count - 1; i > inner; --i) {
          source += axes[i].from;
          destination += axes[i].to;
          if (++near[i] < axes[i].length) break;
          source -= axes[i].from * axes[i].length;
          destination -= axes[i].to * axes[i].length;
          near[i] = 0;
        }
      } while (i > inner);
    }
    int i = inner - 1 - tiled;
    for (; i >= 0; --i) {
      from += axes[i].from;
      to += axes[i].to;
      if (++index[i] < axes[i].length) break;
      from -= axes[i].from * axes[i].length;
      to -= axes[i].to * axes[i].length;
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

static int64_t magnitude_of(int64_t x) { return x < 0 ? -x : x; }

/* Copy `rows` groups from `from` on, of so many elements along each axis, to rows. */
static void copy_rows(const task *t, char *to, const char *from, int64_t rows,
                      const int64_t *lengths) {
  copy_axis axes[CF_MAX_NDIM + 1];
  int count = 0;
  int64_t step = t->source_size;
  for (int i = t->member_axes - 1; i >= 0; --i) {
    if (lengths[i] == 1) continue;
    axes[count++] = (copy_axis){lengths[i], t->members[i].stride, step};
    step *= lengths[i];
  }
  if (rows > 1 || count == 0)
    axes[count++] = (copy_axis){rows, t->group_axes > 0 ? t->groups[t->group_axes - 1].stride : 0,
                                t->pitch * t->source_size};
  /* by the source's steps, the longest first */
  for (int i = 1; i < count; ++i) {
    const copy_axis moved = axes[i];
    int j = i;
    for (; j > 0 && magnitude_of(axes[j - 1].from) < magnitude_of(moved.from); --j)
      axes[j] = axes[j - 1];
    axes[j] = moved;
  }
  copy_axes(t, to, from, axes, count);
}

/* Choose for `rows` groups in a row along the nearest axis, of so many elements each. */
static void choose_rows(const task *t, const char *from, int16_t *biases, int64_t rows,
                        const int64_t *lengths, char *raw, char *made) {
  const axis *along = t->group_axes > 0 ? &t->groups[t->group_axes - 1] : NULL;
  int64_t size = 1;
  for (int i = 0; i < t->member_axes; ++i) size *= lengths[i];
  int64_t pitch;
  if (t->in_place) {
    made = NULL;
    pitch = along != NULL ? along->stride : 0;
  } else {
    pitch = t->pitch * t->row_size;
    if (!t->adjacent) copy_rows(t, raw, from, rows, lengths);
    if (made != NULL)
      cf_widen_rows(t->source_type, t->method, t->adjacent ? from : raw, made,
                    (rows - 1) * t->pitch + size);
    else
      made = raw;
  }
  const char *first = made != NULL ? made : from;
  const int64_t step = along != NULL ? along->step : 0;
  if (t->method == CF_CHOOSE_MSE) {
    cf_search_rows(&t->search, first, pitch, rows, (size_t)size, biases, step, NULL);
    return;
  }
  for (int64_t i = 0; i < rows; ++i)
    biases[i * step] =
        (int16_t)cf_choose_by_magnitudes(&t->rule, first + i * pitch, size, t->search.threads);
}

/* Find whether groups are interleaved, where a member has so many elements along each axis: the
 * nearest axis of groups, and what members have that is nearer, are contiguous. */
static int set_interleaved(const task *t, const int64_t *lengths, cf_interleaved *layout) {
  if (t->method == CF_CHOOSE_MSE || t->group_axes == 0) return 0;
  const axis *nearest = &t->groups[t->group_axes - 1];
  layout->rule = &t->rule;
  layout->source_type = t->source_type;
  layout->swapped = t->swapped;
  layout->source_size = t->source_size;
  layout->groups = nearest->length;
  layout->inner = 1;
  int farther = t->member_axes;
  for (; farther > 0 && magnitude_of(t->members[farther - 1].stride) < nearest->stride; --farther) {
    if (t->members[farther - 1].stride != layout->inner * t->source_size) return 0;
    layout->inner *= lengths[farther - 1];
  }
  if (nearest->last != 0 || nearest->stride != layout->inner * t->source_size) return 0;
  for (int i = 0; i < t->group_axes; ++i)
    if (t->groups[i].last != 0 && t->groups[i].member >= farther) return 0;
  /* the others are lines' axes; those that are one in memory are joined */
  layout->axes = 0;
  for (int i = 0; i < farther; ++i) {
    const int64_t stride = t->members[i].stride;
    if (layout->axes > 0 && layout->strides[layout->axes - 1] == stride * lengths[i])
      --layout->axes;
    else
      layout->lengths[layout->axes] = 1;
    layout->lengths[layout->axes] *= lengths[i];
    layout->strides[layout->axes++] = stride;
  }
  return 1;
}

static void choose_share(void *context, int thread) {
  task *t = context;
  const uint64_t modes = cf_set_default_float_modes();
  const int nearest = t->group_axes - 1;
  int64_t begin, end, index[CF_MAX_NDIM], lengths[CF_MAX_NDIM];
  cf_share_of(t->count, t->interleaved ? t->groups[nearest].length : 1, t->threads, thread, &begin,
              &end);
  char *raw = NULL, *made = NULL;
  t->failed[thread] = 0;
  if (t->interleaved) {
    raw = malloc(cf_interleaved_room(t->threads_of_one));
    if (raw == NULL) {
      t->failed[thread] = 1;
      end = begin;
    }
  } else if (!t->in_place) {
    const size_t elements = (size_t)(t->together * t->pitch);
    const int is_made = t->source_type != t->search.source_type;
    if (!t->adjacent) raw = malloc(elements * (size_t)t->source_size);
    if (is_made) made = malloc(elements * (size_t)t->row_size);
    if ((raw == NULL && !t->adjacent) || (made == NULL && is_made)) {
      t->failed[thread] = 1;
      end = begin;
    } else if (made != NULL && raw != NULL) {
      memset(raw, 0,
             elements * (size_t)t->source_size); /* what is between rows is converted, too */
    }
  }
  while (begin < end) {
    const char *from = t->values;
    int16_t *biases = t->biases;
    int64_t rest = begin, rows = 1;
    for (int i = 0; i < t->member_axes; ++i) lengths[i] = t->members[i].length;
    for (int i = nearest; i >= 0; --i) {
      const axis *a = &t->groups[i];
      index[i] = rest % a->length;
      rest /= a->length;
      from += index[i] * a->stride;
      biases += index[i] * a->step;
      if (i == nearest) {
        rows = cf_at_most(a->length - index[i], cf_at_most(end - begin, t->together));
        /* one that is shorter is a row by itself */
        if (a->last != 0 && rows > 1 && index[i] + rows == a->length) --rows;
      }
      if (a->last != 0 && index[i] == a->length - 1) lengths[a->member] = a->last;
    }
    cf_interleaved layout;
    if (t->interleaved && set_interleaved(t, lengths, &layout))
      cf_choose_interleaved(&layout, from, biases, t->groups[nearest].step, t->threads_of_one, raw);
    else
      choose_rows(t, from, biases, rows, lengths, raw, made);
    begin += rows;
  }
  free(raw);
  free(made);
  cf_restore_float_modes(modes);
}

/* Sort axes by their steps in memory, the longest first. */
static void sort_axes(axis *axes, int count, int *place) {
  for (int i = 0; i < count; ++i) place[i] = i;
  for (int i = 1; i < count; ++i) {
    const axis moved = axes[i];
    const int own = place[i];
    int j = i;
    for (; j > 0 && magnitude_of(axes[j - 1].stride) < magnitude_of(moved.stride); --j) {
      axes[j] = axes[j - 1];
      place[j] = place[j - 1];
    }
    axes[j] = moved;
    place[j] = own;
  }
}

/* Join axes of groups that are one, in memory and among biases; all elements' axes are as long. */
static void join_groups(task *t) {
  int count = 0;
  for (int i = 0; i < t->group_axes; ++i) {
    axis inner = t->groups[i];
    if (count > 0) {
      const axis outer = t->groups[count - 1];
      if (outer.last == 0 && inner.last == 0 && outer.stride == inner.stride * inner.length &&
          outer.step == inner.step * inner.length) {
        inner.length *= outer.length;
        --count;
      }
    }
    t->groups[count++] = inner;
  }
  t->group_axes = count;
}

/* Find the axes of groups and of their elements. */
static void set_axes(task *t, int ndim, const int64_t *shape, const int64_t *strides,
                     const int64_t *blocks) {
  int64_t step = 1;
  t->group_axes = t->member_axes = 0;
  t->count = t->size = 1;
  for (int i = ndim - 1; i >= 0; --i) {
    const int64_t block = cf_at_most(blocks[i], shape[i]);
    const int64_t count = cf_divide_up(shape[i], block);
    int member = -1;
    if (block > 1) {
      member = t->member_axes;
      t->members[t->member_axes++] = (axis){block, strides[i], 0, 0, -1};
      t->size *= block;
    }
    if (count > 1) {
      t->groups[t->group_axes++] =
          (axis){count, block * strides[i], step, shape[i] % block, member};
      t->count *= count;
    }
    step *= count;
  }
  int group_place[CF_MAX_NDIM], member_place[CF_MAX_NDIM], now_at[CF_MAX_NDIM];
  sort_axes(t->groups, t->group_axes, group_place);
  sort_axes(t->members, t->member_axes, member_place);
  for (int i = 0; i < t->member_axes; ++i) now_at[member_place[i]] = i;
  for (int i = 0; i < t->group_axes; ++i)
    if (t->groups[i].member >= 0) t->groups[i].member = now_at[t->groups[i].member];
  join_groups(t);
}

/* Whether the elements of each group are contiguous, and aligned, whichever are shorter. */
static int are_contiguous(const task *t) {
  int64_t step = t->source_size;
  for (int i = t->member_axes - 1; i >= 0; --i) {
    if (t->members[i].stride != step) return 0;
    step *= t->members[i].length;
  }
  for (int i = 0; i < t->group_axes; ++i)
    if (t->groups[i].stride % t->source_size != 0 ||
        (t->groups[i].last != 0 && t->groups[i].member > 0))
      return 0;
  return (uintptr_t)t->values % (uintptr_t)t->source_size == 0;
}

/* Whether groups whose elements are contiguous follow each other along the nearest axis. */
static int are_adjacent(const task *t) {
  return t->group_axes == 0 || t->groups[t->group_axes - 1].stride == t->size * t->source_size;
}

/* How many groups are copied at a time. */
static void set_rows(task *t) {
  const int64_t bytes = t->row_size > t->source_size ? t->row_size : t->source_size;
  const double all = (double)t->count * (double)t->size * (double)bytes;
  double most = all / PART_OF_ARRAY / t->threads;
  if (most > MOST_ROWS_BYTES) most = MOST_ROWS_BYTES;
  if (most < ROWS_BYTES) most = ROWS_BYTES;
  /* rows that begin a power of two from each other would share few lines of a cache */
  t->pitch = t->adjacent ? t->size : cf_divide_up(t->size, LINE) * LINE + LINE / t->row_size;
  const double rows = most / ((double)t->pitch * (double)bytes);
  t->together = rows < 1 ? 1 : rows > 4096 ? 4096 : (int64_t)rows;
  /* no more than are in a few lines, where rows are long */
  const int64_t lines = 8 * LINE;
  const int64_t near = t->group_axes > 0 ? magnitude_of(t->groups[t->group_axes - 1].stride) : 1;
  const int64_t useful = t->size >= LINE ? cf_divide_up(lines, near > 0 ? near : 1) : 4096;
  if (t->together > useful && !t->adjacent) t->together = useful;
}

int cf_choose_biases(const cf_format *format, int default_bias, int method, double percentile,
                     int source_type, int swapped, const void *values, int ndim,
                     const int64_t *shape, const int64_t *strides, const int64_t *blocks,
                     int16_t *biases, int threads) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (default_bias < format->bias_min || default_bias > format->bias_max) return CF_BAD_BIAS;
  if (source_type < 0 || source_type >= CF_CODES || method < CF_CHOOSE_MSE ||
      method > CF_CHOOSE_PERCENTILE)
    return CF_BAD_TYPE;
  if (ndim < 0 || ndim > CF_MAX_NDIM) return CF_BAD_LAYOUT;
  int is_empty = 0;
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] < 0 || blocks[i] < 1) return CF_BAD_LAYOUT;
    is_empty |= shape[i] == 0;
  }
  if (is_empty) return CF_OK; /* and so is `biases` */
  task t;
  const int rows_type = cf_type_of_rows(source_type, method), is_float64 = rows_type == CF_FLOAT64;
  t.search = cf_search_of(format, default_bias, rows_type);
  t.method = method;
  t.source_type = source_type;
  t.swapped = swapped;
  t.values = values;
  t.biases = biases;
  t.source_size = (int64_t)cf_element_size(source_type, NULL);
  t.row_size = (int64_t)cf_element_size(rows_type, NULL);
  set_axes(&t, ndim, shape, strides, blocks);
  t.rule = cf_range_rule_of(format, t.search.grids.at_zero.max, default_bias, method, percentile,
                            is_float64, t.size);
  const int are_rows = !swapped && are_contiguous(&t);
  t.in_place = are_rows && source_type == rows_type;
  t.adjacent = are_rows && !t.in_place && are_adjacent(&t);
  t.threads = cf_useful_threads((double)t.count * (double)t.size, ELEMENTS_PER_THREAD, threads);
  int64_t lengths[CF_MAX_NDIM];
  for (int i = 0; i < t.member_axes; ++i) lengths[i] = t.members[i].length;
  cf_interleaved layout;
  t.interleaved = set_interleaved(&t, lengths, &layout) && cf_are_interleaved(&layout);
  t.threads_of_one = 1;
  if (t.interleaved && t.count / layout.groups < t.threads) {
    t.threads_of_one = t.threads;
    t.threads = 1;
  } else if (t.threads > t.count) {
    t.search.threads = t.threads / (int)t.count;
    t.threads = (int)t.count;
  }
  if (t.in_place || t.interleaved)
    t.together = t.count;
  else
    set_rows(&t);
  cf_run_threads(t.threads, choose_share, &t);
  for (int i = 0; i < t.threads; ++i)
    if (t.failed[i]) return CF_NO_MEMORY;
  return CF_OK;
}
