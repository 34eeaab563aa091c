/* Biases by magnitudes of groups that lie among each other. */
#include "stats/interleaved.h"

#include <stddef.h>
#include <string.h>

#include "convert/copy.h"
#include "core/integers.h"
#include "cpu/threads.h"
#include "stats/widen_rows.h"

/* Short lines that follow each other are taken together as one of about so many elements, if many
 * of these are left.  Groups that have LONG consecutive elements, or few lines, or few elements,
 * are better copied. */
enum { TOGETHER = 512, MANY_LINES = 32, LONG = 64, SHORT_LINE = 64, FEW_LINES = 8, FEW = 2048 };

/* Columns of undecided groups are counted, and so are their neighbours, so many at a time. */
enum { PART = 64, PARTS = CF_COLUMNS / PART };

/* What a thread finds: peaks and how many are finite, or counts for each limit; and lines that it
 * makes of others. */
typedef struct counts {
  cf_columns found[CF_LIMITS], packed;
  cf_columns raw, made;
} counts;

/* Some groups that are consecutive. */
typedef struct tile {
  const cf_interleaved *layout;
  const char *values;
  int64_t columns;  /* elements of one of their lines */
  int64_t together; /* lines that are taken as one */
  int64_t nearest;  /* along the nearest axis, how many of these */
  int64_t lines;    /* in all */
  int threads;
  int is_aligned;
  const cf_columns *limits; /* to count up to; or NULL: to find peaks */
  int parts;                /* of columns, to count in */
  struct {
    int32_t first, count;
  } part[PARTS];
  counts *of_threads;
} tile;

typedef struct room {
  cf_columns limits[CF_LIMITS];
  cf_range_choice choices[CF_COLUMNS];
  counts of_threads[];
} room;

size_t cf_interleaved_room(int threads) { return sizeof(room) + (size_t)threads * sizeof(counts); }

static int64_t lines_of(const cf_interleaved *layout) {
  double lines = 1;
  for (int i = 0; i < layout->axes; ++i) lines *= (double)layout->lengths[i];
  return lines > (double)INT32_MAX ? INT64_MAX : (int64_t)lines;
}

/* How many lines of all groups are one after the other in memory, and taken together. */
static int64_t together_of(const cf_interleaved *layout) {
  const int64_t line = layout->groups * layout->inner;
  const int nearest = layout->axes - 1;
  if (layout->strides[nearest] != line * layout->source_size) return 1;
  const int64_t most = cf_at_most(TOGETHER / line, layout->lengths[nearest] / MANY_LINES);
  return most < 1 ? 1 : most;
}

int cf_are_interleaved(const cf_interleaved *layout) {
  if (layout->axes == 0 || layout->inner >= LONG) return 0;
  const int64_t lines = lines_of(layout), line = layout->groups * layout->inner;
  return lines >= FEW_LINES && lines <= INT32_MAX && lines >= FEW / line &&
         line * together_of(layout) >= SHORT_LINE;
}

static void copy_line(const cf_interleaved *layout, const char *from, char *to, int64_t count) {
  const int64_t size = layout->source_size;
  if (layout->swapped)
    cf_copy_swapped(to, size, from, size, (size_t)size, count);
  else
    memcpy(to, from, (size_t)(count * size));
}

/* Add what was counted of each limit to found[], and begin anew. */
static void unpack(const cf_range_rule *rule, counts *own, int32_t columns) {
  for (int k = 0; k < CF_LIMITS; ++k)
    if (rule->is_float64)
      for (int32_t i = 0; i < columns; ++i)
        own->found[k].float64[i] += own->packed.float64[i] >> 8 * k & 255;
    else
      for (int32_t i = 0; i < columns; ++i)
        own->found[k].float32[i] += own->packed.float32[i] >> 8 * k & 255;
  memset(&own->packed, 0, (size_t)columns * (rule->is_float64 ? sizeof(double) : sizeof(float)));
}

static void count_parts(const tile *t, const char *values, int32_t count, cf_columns *packed) {
  const cf_range_rule *rule = t->layout->rule;
  const int64_t size = rule->is_float64 ? sizeof(double) : sizeof(float);
  for (int i = 0; i < t->parts; ++i) {
    const int32_t first = t->part[i].first, most = t->part[i].count;
    if (first < count)
      rule->loops->count_columns(values + first * size, first,
                                 count - first < most ? count - first : most, t->limits, packed);
  }
}

/* Find peaks, or count, in one thread's share of a tile's lines. */
static void go_over_lines(void *context, int thread) {
  const tile *t = context;
  const cf_interleaved *layout = t->layout;
  const cf_range_rule *rule = layout->rule;
  const cf_magnitude_loops *loops = rule->loops;
  counts *own = &t->of_threads[thread];
  const int nearest = layout->axes - 1;
  const int made = layout->source_type != cf_type_of_rows(layout->source_type, rule->method);
  const int copied = layout->swapped || (made && !t->is_aligned);
  const int32_t columns = (int32_t)(t->columns * t->together);
  const size_t size = (size_t)columns * (rule->is_float64 ? sizeof(double) : sizeof(float));
  int packed = 0;
  for (int i = 0; i < CF_LIMITS; ++i) memset(&own->found[i], 0, size);
  memset(&own->packed, 0, size);
  int64_t begin, end, index[CF_MAX_NDIM];
  cf_share_of(t->lines, 1, t->threads, thread, &begin, &end);
  const char *from = t->values;
  int64_t rest = begin / t->nearest, place = begin % t->nearest;
  for (int i = nearest - 1; i >= 0; --i) {
    index[i] = rest % layout->lengths[i];
    rest /= layout->lengths[i];
    from += index[i] * layout->strides[i];
  }
  for (int64_t line = begin; line < end; ++line) {
    const int64_t first = place * t->together;
    const char *values = from + first * layout->strides[nearest];
    const int64_t lines = cf_at_most(t->together, layout->lengths[nearest] - first);
    const int32_t count = (int32_t)(lines * t->columns);
    if (copied) {
      copy_line(layout, values, (char *)&own->raw, count);
      values = (const char *)&own->raw;
    }
    if (made) {
      cf_widen_rows(layout->source_type, rule->method, values, (char *)&own->made, count);
      values = (const char *)&own->made;
    }
    if (t->limits == NULL) {
      loops->widen_columns(values, count, &own->found[0], &own->found[1]);
    } else {
      count_parts(t, values, count, &own->packed);
      if (++packed == CF_PACKED || line == end - 1) unpack(rule, own, columns);
      packed %= CF_PACKED;
    }
    if (++place < t->nearest) continue;
    place = 0;
    for (int i = nearest - 1; i >= 0; --i) {
      from += layout->strides[i];
      if (++index[i] < layout->lengths[i]) break;
      from -= layout->strides[i] * layout->lengths[i];
      index[i] = 0;
    }
  }
}

static void go_over_tile(tile *t, const cf_columns *limits) {
  t->limits = limits;
  if (t->threads == 1)
    go_over_lines(t, 0);
  else
    cf_run_threads(t->threads, go_over_lines, t);
}

static int64_t of_column(const cf_range_rule *rule, const cf_columns *columns, int64_t i) {
  return rule->is_float64 ? columns->float64[i] : columns->float32[i];
}

/* What was found of one group: a sum, or the largest. */
static int64_t of_group(const tile *t, int which, int64_t group, int is_sum) {
  const int64_t inner = t->layout->inner;
  int64_t found = 0;
  for (int thread = 0; thread < t->threads; ++thread)
    for (int64_t line = 0; line < t->together; ++line)
      for (int64_t i = 0; i < inner; ++i) {
        const int64_t of_one = of_column(t->layout->rule, &t->of_threads[thread].found[which],
                                         line * t->columns + group * inner + i);
        found = is_sum ? found + of_one : of_one > found ? of_one : found;
      }
  return found;
}

/* Have some columns counted, none of which is before those that already are. */
static void add_to_parts(tile *t, int64_t begin, int64_t end) {
  if (t->together > 1) {
    begin = 0;
    end = t->together * t->columns;
  }
  begin = begin / PART * PART;
  end = cf_at_most(cf_multiple(end, PART), t->together * t->columns);
  if (t->parts > 0 && begin <= t->part[t->parts - 1].first + t->part[t->parts - 1].count)
    begin = t->part[--t->parts].first;
  t->part[t->parts].first = (int32_t)begin;
  t->part[t->parts++].count = (int32_t)(end - begin);
}

/* Set the limits of a group's columns, and have these counted. */
static void set_limits(tile *t, cf_columns *limits, int64_t group, const cf_range_choice *choice) {
  const int64_t inner = t->layout->inner;
  if (choice->limits > 0) add_to_parts(t, group * inner, (group + 1) * inner);
  for (int k = 0; k < CF_LIMITS; ++k)
    for (int64_t line = 0; line < t->together; ++line)
      for (int64_t i = 0; i < inner; ++i) {
        const int64_t column = line * t->columns + group * inner + i;
        if (t->layout->rule->is_float64)
          limits[k].float64[column] = choice->limit[k];
        else
          limits[k].float32[column] = (int32_t)choice->limit[k];
      }
}

/* Choose for the groups of a tile. */
static void choose(tile *t, room *room, int16_t *biases, int64_t step) {
  const cf_range_rule *rule = t->layout->rule;
  const int64_t groups = t->columns / t->layout->inner;
  int64_t undecided = 0;
  go_over_tile(t, NULL);
  t->parts = 0;
  for (int64_t group = 0; group < groups; ++group) {
    cf_range_choice *choice = &room->choices[group];
    const int64_t finite =
        rule->method == CF_CHOOSE_PERCENTILE ? of_group(t, 1, group, 1) : 0; /* or not in use */
    cf_begin_choice(rule, choice, of_group(t, 0, group, 0), finite);
    undecided += choice->limits > 0;
    if (rule->method == CF_CHOOSE_PERCENTILE) set_limits(t, room->limits, group, choice);
  }
  while (undecided > 0) {
    go_over_tile(t, room->limits);
    t->parts = 0;
    for (int64_t group = 0; group < groups; ++group) {
      cf_range_choice *choice = &room->choices[group];
      if (choice->limits == 0) continue;
      int64_t counts_of_group[CF_LIMITS];
      for (int k = 0; k < CF_LIMITS; ++k) counts_of_group[k] = of_group(t, k, group, 1);
      cf_go_on_with_choice(rule, choice, counts_of_group);
      undecided -= choice->limits == 0;
      if (choice->limits > 0) set_limits(t, room->limits, group, choice);
    }
  }
  for (int64_t group = 0; group < groups; ++group)
    biases[group * step] = (int16_t)room->choices[group].bias;
}

void cf_choose_interleaved(const cf_interleaved *layout, const char *values, int16_t *biases,
                           int64_t step, int threads, void *its_room) {
  room *room = its_room;
  const int64_t inner = layout->inner, at_once = CF_COLUMNS / inner;
  const int64_t length = layout->lengths[layout->axes - 1];
  tile t;
  t.layout = layout;
  t.together = together_of(layout);
  t.nearest = cf_divide_up(length, t.together);
  t.lines = lines_of(layout) / length * t.nearest;
  t.threads = threads > t.lines ? (int)t.lines : threads;
  t.of_threads = room->of_threads;
  for (int64_t first = 0; first < layout->groups; first += at_once) {
    t.values = values + first * inner * layout->source_size;
    t.columns = cf_at_most(layout->groups - first, at_once) * inner;
    t.is_aligned = (uintptr_t)t.values % (uintptr_t)layout->source_size == 0;
    for (int i = 0; i < layout->axes; ++i)
      t.is_aligned &= layout->strides[i] % layout->source_size == 0;
    choose(&t, room, biases + first * step, step);
  }
}
