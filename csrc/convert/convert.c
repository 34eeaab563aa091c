/* The exported elementwise operations: argument checks, and the walk over any layout in pieces that
 * fit in cache. */
#include <string.h>

#include "core/integers.h"
#include "convert/kernels.h"
#include "convert/rule.h"
#include "cpu/threads.h"

/* encode, decode, both in a row, or both in one pass (round_float32); the kernels that are not
 * needed are NULL. */
typedef struct operation {
  cf_rule rule;
  int bias_min, bias_max;
  cf_encode_kernel *encode;
  cf_decode_kernel *decode;
  void (*stream_end)(void);
  int takes_blocks; /* the kernel knows rule.block */
  int narrows;      /* decode writes float32, of which the upper halves are the results */
  size_t source_size, destination_size; /* bytes of an element */
} operation;

static size_t element_size(int type, size_t code_size) {
  switch (type) {
    case CF_CODES: return code_size;
    case CF_FLOAT64:
    case CF_INT64:
    case CF_UINT64: return 8;
    case CF_FLOAT32:
    case CF_INT32:
    case CF_UINT32: return 4;
    case CF_INT8:
    case CF_UINT8: return 1;
    default: return 2;
  }
}

/* The modes that go by addition. */
static int is_added(int rounding) {
  return rounding == CF_TIES_TO_EVEN || rounding == CF_TOWARD_ZERO;
}

/* Whether bfloat16 is to be had from float32, which decoding is faster to: rounding that raises no
 * flag, as all values are normal numbers of either and none is too large. */
static int is_narrowed(const cf_format *format, int destination_type) {
  return destination_type == CF_BFLOAT16 &&
         (1 << format->exponent_bits) - 1 - format->bias_min < CF_BFLOAT16_BIAS &&
         cf_decode_kernel_of(format, CF_FLOAT32) != cf_kernels_portable.decode[CF_FLOAT32];
}

static void choose_kernels(operation *op, const cf_format *format, int source_type,
                           int destination_type) {
  const cf_kernels *isa = cf_active_kernels();
  const int encodes = source_type != CF_CODES, decodes = destination_type != CF_CODES;
  const int lanes_encode = cf_lanes_take(format, &op->rule);
  const int lanes_decode = cf_lanes_decode(format);
  op->encode = NULL;
  op->decode = NULL;
  op->narrows = 0;
  op->stream_end = isa->stream_end;
  if (source_type == CF_FLOAT32 && destination_type == CF_FLOAT32 && isa->round_float32 != NULL &&
      lanes_encode && lanes_decode) {
    op->encode = isa->round_float32;
    op->takes_blocks = op->rule.by_addition && is_added(op->rule.rounding);
    return;
  }
  if (encodes) op->encode = cf_encode_kernel_of(format, &op->rule, source_type);
  op->takes_blocks = encodes && !decodes && source_type == CF_FLOAT32 &&
                     op->encode != cf_kernels_portable.encode[source_type] &&
                     op->rule.by_addition && is_added(op->rule.rounding);
  op->narrows = is_narrowed(format, destination_type);
  if (decodes)
    op->decode = cf_decode_kernel_of(format, op->narrows ? CF_FLOAT32 : destination_type);
}

static int prepare(operation *op, const cf_format *format, int source_type, int rounding,
                   uint64_t seed, const uint32_t *words, int destination_type) {
  const int status = cf_format_check(format);
  if (status != CF_OK) return status;
  if (!cf_is_rounding(rounding)) return CF_BAD_ROUNDING;
  if (source_type < 0 || source_type > CF_CODES) return CF_BAD_TYPE;
  if (destination_type != CF_CODES &&
      (destination_type < 0 || destination_type >= CF_VALUE_TYPE_COUNT))
    return CF_BAD_TYPE;
  if (source_type == CF_CODES && destination_type == CF_CODES) return CF_BAD_TYPE;
  op->rule = cf_rule_of(format, rounding, seed, words);
  op->bias_min = format->bias_min;
  op->bias_max = format->bias_max;
  op->source_size = element_size(source_type, op->rule.code_size);
  op->destination_size = element_size(destination_type, op->rule.code_size);
  choose_kernels(op, format, source_type, destination_type);
  return CF_OK;
}

/* So many elements are not expected to be in the nearer caches. */
enum { LARGE_COUNT = 1 << 18 };

static void set_size(operation *op, size_t count, int stages_source, int stages_destination) {
  op->rule.large = !stages_source && count >= LARGE_COUNT;
  op->rule.streaming =
      !stages_destination && !op->narrows && count >= CF_STREAMED_BYTES / op->destination_size;
}

static void finish(const operation *op) {
  if (op->rule.streaming && op->stream_end != NULL) op->stream_end();
}

/* One bias for many elements (step 0), one for each (step 1), or one for each block of so many. */
typedef struct bias_view {
  const int16_t *first;
  size_t step, block;
} bias_view;

/* Elements between two kernels: a kernel's preparations are of some hundred elements' cost. */
enum { LONG_PIECE = 4 * CF_PIECE };

/* bfloat16 of float32 that is_narrowed: to nearest, ties to even.  NaN has a lower half of
 * zeros. */
static void narrow(const uint32_t *from, uint16_t *to, size_t count) {
  for (size_t i = 0; i < count; ++i)
    to[i] = (uint16_t)((from[i] + 0x7FFFu + (from[i] >> 16 & 1)) >> 16);
}

/* As op->decode, but for its type. */
static void decode_piece(const operation *op, const int16_t *bias, size_t bias_step,
                         const void *codes, void *values, size_t count, cf_flags *flags) {
  if (!op->narrows) {
    op->decode(&op->rule, bias, bias_step, codes, values, count, flags);
    return;
  }
  uint32_t wide[LONG_PIECE];
  uint16_t halves[LONG_PIECE]; /* values need not be aligned */
  op->decode(&op->rule, bias, bias_step, codes, wide, count, flags);
  narrow(wide, halves, count);
  memcpy(values, halves, count * sizeof *halves);
}

/* Contiguous elements. */
static void run(const operation *op, bias_view bias_of, const char *source, uint64_t position,
                char *destination, size_t count, cf_flags *flags) {
  const int16_t *bias = bias_of.first;
  const size_t bias_step = bias_of.step;
  if (bias_of.block != 0) {
    cf_rule rule = op->rule;
    rule.block = bias_of.block;
    op->encode(&rule, bias, 0, source, position, destination, count, flags);
    return;
  }
  if (op->decode == NULL) {
    op->encode(&op->rule, bias, bias_step, source, position, destination, count, flags);
    return;
  }
  if (op->encode == NULL && !op->narrows) {
    op->decode(&op->rule, bias, bias_step, source, destination, count, flags);
    return;
  }
  while (count > 0) {
    uint16_t codes[LONG_PIECE];
    const size_t piece = count < LONG_PIECE ? count : LONG_PIECE;
    if (op->encode == NULL) {
      decode_piece(op, bias, bias_step, source, destination, piece, flags);
    } else {
      op->encode(&op->rule, bias, bias_step, source, position, codes, piece, flags);
      decode_piece(op, bias, bias_step, codes, destination, piece, NULL);
    }
    bias += piece * bias_step;
    source += piece * op->source_size;
    destination += piece * op->destination_size;
    position += piece;
    count -= piece;
  }
}

/* One axis of a walk: its length, each operand's step along it in bytes, and the random stream's in
 * words, modulo 2^64: 0 where there are none. */
typedef struct axis {
  int64_t length;
  int64_t source, bias, destination;
  uint64_t word;
} axis;

/* The elements of an operation, in row-major order where they have random words.  The axes from
 * `inner` on are one run of evenly spaced elements in the source and in the destination, of
 * `run_length` elements, with words in a row. */
typedef struct walk {
  const operation *op;
  const char *source, *bias;
  char *destination;
  uint64_t position;
  int swapped;
  int count, inner;
  int64_t run_length, size;
  axis axes[CF_MAX_NDIM + 1];
} walk;

static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

/* Where the order of elements is free, the order of memory: the axis of the shortest steps last. */
static void sort_axes(axis *axes, int count) {
  for (int i = 1; i < count; ++i) {
    const axis moved = axes[i];
    const int64_t step = distance(moved.source) + distance(moved.destination);
    int j = i;
    for (; j > 0 && distance(axes[j - 1].source) + distance(axes[j - 1].destination) < step; --j)
      axes[j] = axes[j - 1];
    axes[j] = moved;
  }
}

static int has_word_strides(const cf_layout *layout) {
  return layout->word_strides != NULL && layout->words == NULL;
}

/* Drop axes of length 1 and join neighbours that are one run in memory for all three operands, and
 * in the stream. */
static void join_axes(walk *w, const cf_layout *layout, int in_order) {
  axis axes[CF_MAX_NDIM];
  int count = 0;
  w->count = 0;
  w->size = 1;
  for (int i = 0; i < layout->ndim; ++i) {
    const axis given = {layout->shape[i], layout->source_strides[i], layout->bias_strides[i],
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
    axis inner = axes[i];
    if (w->count > 0) {
      const axis outer = w->axes[w->count - 1];
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
    const axis one = {1, (int64_t)w->op->source_size, 0, (int64_t)w->op->destination_size, 1};
    w->axes[w->count++] = one;
  }
}

static void find_run(walk *w) {
  w->inner = w->count - 1;
  w->run_length = w->axes[w->inner].length;
  while (w->inner > 0) {
    const axis *outer = &w->axes[w->inner - 1], *inner = &w->axes[w->inner];
    if (outer->source != inner->source * inner->length ||
        outer->destination != inner->destination * inner->length ||
        outer->word != inner->word * (uint64_t)inner->length)
      break;
    w->run_length *= outer->length;
    --w->inner;
  }
}

/* Where the walk stands on some of its axes, and the operands' offsets there in bytes, the stream's
 * in words. */
typedef struct cursor {
  int first, end; /* the axes */
  int64_t index[CF_MAX_NDIM + 1];
  int64_t source, bias, destination;
  uint64_t word;
} cursor;

static cursor cursor_at(const walk *w, int first, int end, int64_t position) {
  cursor c;
  c.first = first;
  c.end = end;
  c.source = c.bias = c.destination = 0;
  c.word = 0;
  for (int i = end - 1; i >= first; --i) {
    const axis *along = &w->axes[i];
    c.index[i] = position % along->length;
    position /= along->length;
    c.source += along->source * c.index[i];
    c.bias += along->bias * c.index[i];
    c.destination += along->destination * c.index[i];
    c.word += along->word * (uint64_t)c.index[i];
  }
  return c;
}

/* Go on by `count` elements along the last axis, at most to its end, carrying like an odometer. */
static void advance(const walk *w, cursor *c, int64_t count) {
  for (int i = c->end - 1; i >= c->first; --i) {
    const axis *along = &w->axes[i];
    c->index[i] += count;
    c->source += along->source * count;
    c->bias += along->bias * count;
    c->destination += along->destination * count;
    c->word += along->word * (uint64_t)count;
    if (c->index[i] < along->length) return;
    c->index[i] = 0;
    c->source -= along->source * along->length;
    c->bias -= along->bias * along->length;
    c->destination -= along->destination * along->length;
    c->word -= along->word * (uint64_t)along->length;
    count = 1;
  }
}

static uint8_t same8(uint8_t n) { return n; }
static uint16_t same16(uint16_t n) { return n; }
static uint32_t same32(uint32_t n) { return n; }
static uint64_t same64(uint64_t n) { return n; }
static uint16_t swap16(uint16_t n) { return (uint16_t)(n << 8 | n >> 8); }
static uint32_t swap32(uint32_t n) {
  return n << 24 | (n & 0xFF00) << 8 | (n >> 8 & 0xFF00) | n >> 24;
}
static uint64_t swap64(uint64_t n) {
  return (uint64_t)swap32((uint32_t)n) << 32 | swap32((uint32_t)(n >> 32));
}

#define COPY_ELEMENTS(type, changed, to_step, from_step)      \
  for (int64_t i = 0; i < count; ++i) {                       \
    type element;                                             \
    memcpy(&element, from + i * (from_step), sizeof element); \
    element = changed(element);                               \
    memcpy(to + i * (to_step), &element, sizeof element);     \
  }                                                           \
  break

static void copy_elements(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                          size_t size, int64_t count) {
  switch (size) {
    case 1: COPY_ELEMENTS(uint8_t, same8, to_stride, from_stride);
    case 2: COPY_ELEMENTS(uint16_t, same16, to_stride, from_stride);
    case 4: COPY_ELEMENTS(uint32_t, same32, to_stride, from_stride);
    default: COPY_ELEMENTS(uint64_t, same64, to_stride, from_stride);
  }
}

static void copy_swapped(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                         size_t size, int64_t count) {
  const int64_t step = (int64_t)size;
  if (to_stride == step && from_stride == step) { /* loops that a compiler makes vectors of */
    switch (size) {
      case 1: COPY_ELEMENTS(uint8_t, same8, 1, 1);
      case 2: COPY_ELEMENTS(uint16_t, swap16, 2, 2);
      case 4: COPY_ELEMENTS(uint32_t, swap32, 4, 4);
      default: COPY_ELEMENTS(uint64_t, swap64, 8, 8);
    }
    return;
  }
  switch (size) {
    case 1: COPY_ELEMENTS(uint8_t, same8, to_stride, from_stride);
    case 2: COPY_ELEMENTS(uint16_t, swap16, to_stride, from_stride);
    case 4: COPY_ELEMENTS(uint32_t, swap32, to_stride, from_stride);
    default: COPY_ELEMENTS(uint64_t, swap64, to_stride, from_stride);
  }
}

static inline void fill_biases(int16_t *biases, int16_t bias, int64_t count) {
  enum { CHUNK = 16 }; /* a constant, so that it becomes a few stores of vectors */
  for (; count >= CHUNK; count -= CHUNK, biases += CHUNK)
    for (int i = 0; i < CHUNK; ++i) biases[i] = bias;
  for (int64_t i = 0; i < count; ++i) biases[i] = bias;
}

/* Whole lengths of the last axis with one bias each, as blocks have; returns how many elements. */
static int64_t spread_blocks(const walk *w, cursor *c, int16_t *biases, int64_t count) {
  const axis *blocks = &w->axes[c->end - 2], *block = &w->axes[c->end - 1];
  const int64_t left = blocks->length - c->index[c->end - 2];
  const int64_t whole = cf_at_most(count / block->length, left);
  const char *from = w->bias + c->bias;
  for (int64_t i = 0; i < whole; ++i, from += blocks->bias, biases += block->length) {
    int16_t bias;
    memcpy(&bias, from, sizeof bias);
    fill_biases(biases, bias, block->length);
  }
  cursor outer = *c;
  outer.end = c->end - 1;
  advance(w, &outer, whole);
  outer.end = c->end;
  *c = outer;
  return whole * block->length;
}

/* The biases of the next `count` elements, spread out. */
static void spread_biases(const walk *w, cursor *c, int16_t *biases, int64_t count) {
  const axis *last = &w->axes[c->end - 1];
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
      copy_elements((char *)biases, sizeof(int16_t), from, last->bias, sizeof(int16_t), part);
    }
    advance(w, c, part);
    biases += part;
    count -= part;
  }
}

/* Whether the format allows all biases of a walk, each looked at once. */
static int biases_allowed(const walk *w) {
  walk distinct = *w;
  distinct.count = 0;
  int64_t count = 1;
  for (int i = 0; i < w->count; ++i) {
    if (w->axes[i].bias == 0) continue;
    distinct.axes[distinct.count++] = w->axes[i];
    count *= w->axes[i].length;
  }
  if (distinct.count == 0) {
    const axis one = {1, 0, 0, 0, 0};
    distinct.axes[distinct.count++] = one;
  }
  cursor along = cursor_at(&distinct, 0, distinct.count, 0);
  int bad = 0;
  while (count > 0) {
    int16_t biases[CF_PIECE];
    const int64_t piece = cf_at_most(count, CF_PIECE);
    spread_biases(&distinct, &along, biases, piece);
    for (int64_t i = 0; i < piece; ++i)
      bad |= (biases[i] < w->op->bias_min) | (biases[i] > w->op->bias_max);
    count -= piece;
  }
  return !bad;
}

enum { BIAS_PIECE = 4 * CF_PIECE };

/* The length of the blocks that begin where a walk stands, of one bias each and these in a row, if
 * the kernel takes them; or 0. */
static int64_t block_length(const walk *w, const cursor *c) {
  if (!w->op->takes_blocks || c->end - c->first < 2) return 0;
  const axis *blocks = &w->axes[c->end - 2], *block = &w->axes[c->end - 1];
  const int64_t length = block->length;
  const int suits = block->bias == 0 && blocks->bias == sizeof(int16_t) && length >= CF_BLOCK_MIN &&
                    length <= CF_BLOCK_MAX && (length & (length - 1)) == 0;
  const int aligned = (uintptr_t)(w->bias + c->bias) % sizeof(int16_t) == 0;
  return suits && aligned && c->index[c->end - 1] == 0 ? length : 0;
}

/* The biases of the next elements, where they are if that will do and else spread out in `stage`.
 * *count, which is at most BIAS_PIECE where something else is staged, becomes the number of
 * elements they are for. */
static bias_view biases_of(const walk *w, cursor *c, int16_t *stage, int64_t *count) {
  const axis *last = &w->axes[c->end - 1];
  const int64_t row = last->length - c->index[c->end - 1];
  const char *from = w->bias + c->bias;
  const int in_place = last->bias == sizeof(int16_t) && (uintptr_t)from % sizeof(int16_t) == 0;
  const int64_t block = block_length(w, c);
  bias_view view = {stage, 1, 0};
  if (block != 0 && *count >= block) {
    cursor blocks = *c; /* the axis of blocks, and those before it */
    blocks.end = c->end - 1;
    const int64_t left = w->axes[c->end - 2].length - c->index[c->end - 2];
    const int64_t whole = cf_at_most(*count / block, left);
    *count = whole * block;
    view.first = (const int16_t *)(const void *)from;
    view.block = (size_t)block;
    advance(w, &blocks, whole);
    blocks.end = c->end;
    *c = blocks;
  } else if ((last->bias == 0 || in_place) && row >= cf_at_most(*count, BIAS_PIECE)) {
    *count = cf_at_most(*count, row);
    if (in_place) {
      view.first = (const int16_t *)(const void *)from;
    } else {
      view.step = 0;
      memcpy(stage, from, sizeof *stage);
    }
    advance(w, c, *count);
  } else {
    *count = cf_at_most(*count, BIAS_PIECE);
    spread_biases(w, c, stage, *count);
  }
  return view;
}

/* Whether the kernels see copies, because an operand's elements are not contiguous or swapped. */
static int stages_source(const walk *w) {
  return w->swapped || w->axes[w->count - 1].source != (int64_t)w->op->source_size;
}
static int stages_destination(const walk *w) {
  return w->axes[w->count - 1].destination != (int64_t)w->op->destination_size;
}

/* `count` elements of one run.  The kernels see contiguous elements, staged here where the
 * operand's are not. */
static void walk_run(const walk *w, cursor outer, int64_t begin, int64_t count, uint64_t position,
                     cf_flags *flags) {
  const operation *op = w->op;
  const axis *last = &w->axes[w->count - 1];
  const int stage_source = stages_source(w), stage_destination = stages_destination(w);
  const char *source = w->source + outer.source + begin * last->source;
  char *destination = w->destination + outer.destination + begin * last->destination;
  cursor along = cursor_at(w, w->inner, w->count, begin);
  along.bias += outer.bias;
  while (count > 0) {
    uint64_t source_stage[CF_PIECE], destination_stage[CF_PIECE];
    int16_t bias_stage[BIAS_PIECE];
    int64_t piece = stage_source || stage_destination ? cf_at_most(count, CF_PIECE) : count;
    const bias_view bias = biases_of(w, &along, bias_stage, &piece);
    if (stage_source)
      (w->swapped ? copy_swapped : copy_elements)((char *)source_stage, (int64_t)op->source_size,
                                                  source, last->source, op->source_size, piece);
    run(op, bias, stage_source ? (const char *)source_stage : source, position,
        stage_destination ? (char *)destination_stage : destination, (size_t)piece, flags);
    if (stage_destination)
      copy_elements(destination, last->destination, (const char *)destination_stage,
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
enum { TILE_COLUMNS = 256, CACHE_LINE = 64 };

static int64_t tile_rows(const walk *w) {
  size_t size = 1;
  if (stages_source(w)) size = w->op->source_size;
  if (stages_destination(w) && w->op->destination_size > size) size = w->op->destination_size;
  return (int64_t)(CACHE_LINE / size);
}

/* Whether neighbours along the runs are farther apart than neighbouring runs are, as in a
 * transposed array. */
static int wants_tiles(const walk *w) {
  if (w->inner == 0) return 0;
  const axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  return (stages_source(w) && distance(row->source) < distance(column->source)) ||
         (stages_destination(w) && distance(row->destination) < distance(column->destination));
}

/* Copy a tile of results to where they belong.  Where a column's are neighbours there, they are put
 * together first: a few wide stores leave room for many lines that are on their way from memory,
 * many narrow ones do not. */
static void unstage_tile(const walk *w, char *destination, const char *stage, int64_t rows,
                         int64_t columns) {
  const axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  const size_t size = w->op->destination_size;
  const int64_t step = (int64_t)size, pitch = TILE_COLUMNS * step;
  uint64_t lines[CACHE_LINE * TILE_COLUMNS / 8];
  const int together = row->destination == step;
  for (int64_t j = 0; j < columns; ++j)
    copy_elements(together ? (char *)lines + j * CACHE_LINE : destination + j * column->destination,
                  row->destination, stage + j * step, pitch, size, rows);
  for (int64_t j = 0; together && j < columns; ++j)
    memcpy(destination + j * column->destination, (const char *)lines + j * CACHE_LINE,
           (size_t)rows * size);
}

/* `rows` runs from `outer` on, all along the axis before them. */
static void walk_tiles(const walk *w, cursor outer, int64_t rows, uint64_t position,
                       cf_flags *flags) {
  const operation *op = w->op;
  const axis *row = &w->axes[w->inner - 1], *column = &w->axes[w->count - 1];
  const int64_t source_size = (int64_t)op->source_size;
  const int64_t destination_size = (int64_t)op->destination_size;
  const int stage_source = stages_source(w), stage_destination = stages_destination(w);
  for (int64_t first = 0; first < w->run_length; first += TILE_COLUMNS) {
    uint64_t source_stage[CACHE_LINE * TILE_COLUMNS / 8];
    uint64_t destination_stage[CACHE_LINE * TILE_COLUMNS / 8];
    const int64_t columns = cf_at_most(w->run_length - first, TILE_COLUMNS);
    const char *source = w->source + outer.source + first * column->source;
    char *destination = w->destination + outer.destination + first * column->destination;
    for (int64_t j = 0; stage_source && j < columns; ++j)
      (w->swapped ? copy_swapped : copy_elements)(
          (char *)source_stage + j * source_size, TILE_COLUMNS * source_size,
          source + j * column->source, row->source, op->source_size, rows);
    for (int64_t i = 0; i < rows; ++i) {
      const char *from = source + i * row->source;
      char *to = destination + i * row->destination;
      cursor along = cursor_at(w, w->inner, w->count, first);
      along.bias += outer.bias + i * row->bias;
      if (stage_source) from = (const char *)source_stage + i * TILE_COLUMNS * source_size;
      if (stage_destination) to = (char *)destination_stage + i * TILE_COLUMNS * destination_size;
      int16_t bias_stage[BIAS_PIECE];
      int64_t count = columns; /* and stays that: it is below BIAS_PIECE */
      const bias_view bias = biases_of(w, &along, bias_stage, &count);
      run(op, bias, from, position + (uint64_t)i * row->word + (uint64_t)first, to, (size_t)columns,
          flags);
    }
    if (stage_destination)
      unstage_tile(w, destination, (const char *)destination_stage, rows, columns);
  }
}

/* Elements begin to end - 1 of the walk. */
static void walk_range(const walk *w, int64_t begin, int64_t end, cf_flags *flags) {
  const int tiled = wants_tiles(w);
  cursor outer = cursor_at(w, 0, w->inner, begin / w->run_length);
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
    if (w->inner > 0) advance(w, &outer, rows);
  }
  finish(w->op);
}

/* A walk shared among threads, each with a range of its own. */
typedef struct shared_walk {
  const walk *walk;
  int threads, counting;
  cf_flags flags[CF_MAX_THREADS];
} shared_walk;

static void walk_share(void *context, int index) {
  shared_walk *shared = context;
  int64_t begin, end;
  cf_share_of(shared->walk->size, CF_PIECE, shared->threads, index, &begin, &end);
  cf_flags flags = {0, 0, 0, 0};
  walk_range(shared->walk, begin, end, shared->counting ? &flags : NULL);
  shared->flags[index] = flags;
}

enum { ELEMENTS_PER_THREAD = 1 << 17 };

static void walk_all(const walk *w, int threads, cf_flags *flags) {
  threads = cf_useful_threads((double)w->size, ELEMENTS_PER_THREAD, threads);
  /* results smaller than the source, in its place, reach into what the next thread has yet to
   * read */
  if (w->source == w->destination && w->op->source_size != w->op->destination_size) threads = 1;
  if (threads == 1) {
    walk_range(w, 0, w->size, flags);
    return;
  }
  shared_walk shared;
  shared.walk = w;
  shared.counting = flags != NULL;
  shared.threads = threads;
  cf_run_threads(threads, walk_share, &shared);
  for (int i = 0; flags != NULL && i < threads; ++i) {
    flags->invalid += shared.flags[i].invalid;
    flags->denormal += shared.flags[i].denormal;
    flags->overflow += shared.flags[i].overflow;
    flags->underflow += shared.flags[i].underflow;
  }
}

int cf_convert(const cf_format *format, int bias, int source_type, const void *source, int rounding,
               uint64_t seed, uint64_t offset, int destination_type, void *destination,
               size_t count, int threads, cf_flags *flags) {
  const int16_t one_bias = (int16_t)bias;
  const int64_t length = (int64_t)count, no_stride = 0;
  operation op;
  const int status = prepare(&op, format, source_type, rounding, seed, NULL, destination_type);
  if (status != CF_OK) return status;
  if (bias < op.bias_min || bias > op.bias_max) return CF_BAD_BIAS;
  set_size(&op, count, 0, 0);
  if (count < ELEMENTS_PER_THREAD || threads <= 1) {
    run(&op, (bias_view){&one_bias, 0, 0}, source, offset, destination, count, flags);
    finish(&op);
    return CF_OK;
  }
  const int64_t source_stride = (int64_t)op.source_size;
  const int64_t destination_stride = (int64_t)op.destination_size;
  const cf_layout layout = {1,   0, NULL, &length, &source_stride, &no_stride, &destination_stride,
                            NULL};
  return cf_convert_strided(format, &one_bias, source_type, source, rounding, seed, offset,
                            destination_type, destination, &layout, threads, flags);
}

int cf_convert_strided(const cf_format *format, const int16_t *biases, int source_type,
                       const void *source, int rounding, uint64_t seed, uint64_t offset,
                       int destination_type, void *destination, const cf_layout *layout,
                       int threads, cf_flags *flags) {
  operation op;
  const int status =
      prepare(&op, format, source_type, rounding, seed, layout->words, destination_type);
  if (status != CF_OK) return status;
  if (layout->ndim < 0 || layout->ndim > CF_MAX_NDIM) return CF_BAD_LAYOUT;
  int empty = 0;
  for (int i = 0; i < layout->ndim; ++i) {
    if (layout->shape[i] < 0) return CF_BAD_LAYOUT;
    empty |= layout->shape[i] == 0;
  }
  if (empty) return CF_OK;
  walk w;
  w.op = &op;
  w.source = source;
  w.bias = (const char *)biases;
  w.destination = destination;
  w.position = layout->words != NULL ? 0 : offset;
  w.swapped = layout->source_swapped != 0;
  join_axes(&w, layout, cf_rounding_mode(rounding) == CF_STOCHASTIC);
  find_run(&w);
  if (!biases_allowed(&w)) return CF_BAD_BIAS;
  set_size(&op, (size_t)w.size, stages_source(&w), stages_destination(&w));
  walk_all(&w, threads, flags);
  return CF_OK;
}
