/* Products of small matrices: both are decoded whole, and not packed, and what is alike in a stack
 * of them is done once. */
#include <math.h>
#include <string.h>

#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "matmul/multiplication.h"

enum {
  ELEMENTS = 4096, /* of an operand, and of the results, or fewer */
  INNER = 256,     /* as many as are summed in one sequence elsewhere */
  LINES = ELEMENTS,
  TOGETHER = 2048 /* or one matrix of each operand: they are in the nearest cache when multiplied */
};

int cf_is_small(const cf_product *product) {
  return product->inner > 0 && product->inner <= INNER &&
         product->rows <= ELEMENTS / product->inner &&
         product->columns <= ELEMENTS / product->inner &&
         product->columns <= ELEMENTS / product->rows;
}

/* Where the matrices of a stack are. */
enum { ELEMENTS_A, BIASES_A, ELEMENTS_B, BIASES_B, RESULTS, POINTERS };
typedef struct stack_walk {
  int ndim;
  const int64_t *shape, *strides[POINTERS];
  int64_t at[CF_MAX_NDIM];
  const char *pointers[POINTERS];
} stack_walk;

static stack_walk walk_from(const cf_product *product, int64_t index) {
  const cf_matrix *a = &product->a, *b = &product->b;
  stack_walk walk = {product->stack_ndim,
                     product->stack_shape,
                     {product->a.strides, product->a.bias_strides, product->b.strides,
                      product->b.bias_strides, product->result_strides},
                     {0},
                     {cf_matrix_elements(product, a, index), cf_matrix_biases(product, a, index),
                      cf_matrix_elements(product, b, index), cf_matrix_biases(product, b, index),
                      cf_product_results(product, index)}};
  for (int axis = walk.ndim - 1; axis >= 0; --axis) {
    walk.at[axis] = index % walk.shape[axis];
    index /= walk.shape[axis];
  }
  return walk;
}

static void step(stack_walk *walk) {
  for (int axis = walk->ndim - 1; axis >= 0; --axis) {
    const int64_t length = walk->shape[axis];
    const int wraps = ++walk->at[axis] == length;
    for (int i = 0; i < POINTERS; ++i)
      if (walk->pointers[i] != NULL)
        walk->pointers[i] += walk->strides[i][axis] * (wraps ? 1 - length : 1);
    if (!wraps) return;
    walk->at[axis] = 0;
  }
}

/* All values of some matrices of a stack, those of a direction next to each other: float32, by
 * fields or not, or by a table bfloat16. More than one only if they are contiguous. */
static void decode_matrices(const cf_scaled *scaled, cf_direction direction, int64_t matrices,
                            const cf_bytes *table, const cf_fields *fields, char *to) {
  const cf_operand *of = &scaled->of;
  const int by_line = direction == CF_ALONG_LINE;
  const int64_t runs = by_line ? of->lines : of->inner, length = by_line ? of->inner : of->lines;
  const int64_t bytes = length * (int64_t)of->size;
  int64_t run_step = by_line ? of->line_stride : of->inner_stride;
  CF_ALIGNED(64) char staged[ELEMENTS * 4];
  const char *from = of->elements;
  const int alike = of->type != CF_CODES || !scaled->decodes_biases ||
                    (of->line_bias_stride == 0 && of->inner_bias_stride == 0);
  if (((by_line ? of->inner_stride : of->line_stride) != (int64_t)of->size && length > 1) ||
      ((table != NULL || fields != NULL) && run_step != bytes && runs > 1)) {
    cf_scaled_copy(scaled, direction, 0, of->lines, 0, of->inner, staged, bytes);
    from = staged;
    run_step = bytes;
  }
  if (table != NULL) {
    cf_active_tiles(CF_PACKED_BFLOAT16)
        ->widen(table, (const uint8_t *)from, matrices * runs * length, (uint16_t *)(void *)to,
                CF_KC_UNIT);
    return;
  }
  float *values = (float *)(void *)to;
  if (fields != NULL) {
    cf_active_tiles(CF_PACKED_FLOAT32)
        ->decode_fields(fields, (const uint8_t *)from, matrices * runs * length, values);
    return;
  }
  if (alike && (run_step == bytes || runs == 1)) {
    cf_scaled_decode(scaled, direction, 0, 0, from, matrices * runs * length, values);
    return;
  }
  for (int64_t i = 0; i < runs; ++i)
    cf_scaled_decode(scaled, direction, by_line ? i : 0, by_line ? 0 : i, from + i * run_step,
                     length, values + i * length);
}

/* The scales of lines, whether they are not all 1, and the range of their exponents. */
typedef struct line_scales {
  float scale[LINES + CF_TILE_LINES_MAX];
  int low, high;
} line_scales;

/* An operand, and the matrices of the stack that are decoded. */
typedef struct operand {
  cf_scaled scaled;
  cf_direction direction;
  int64_t size, matrices, at; /* elements of one; how many are decoded, and which is at work */
  int64_t step, most;         /* bytes from one to the next, and how many are decoded together */
  const cf_bytes *table;      /* of bfloat16, or NULL */
  const cf_fields *fields;    /* by which codes become float32, or NULL */
  char *values;
} operand;

enum {
  PADDED = ELEMENTS + CF_SMALL_ROWS * INNER, /* rows of a that are multiplied beyond the last */
  /* a table of bfloat16 takes as long as some hundred products of vectors */
  LOOKED_UP = 256,
  BY_FIELDS = 512, /* and fields as decoding so many codes */
  /* no exponent of values by fields is smaller, so that no product has a bit below float32's */
  LEAST_EXPONENT = -63
};

_Static_assert((CF_SMALL_ROWS - 1) * INNER + CF_TILE_LINES_MAX <= PADDED - ELEMENTS,
               "there is room for what is read beyond operands");

/* What a thread works with. */
typedef struct workspace {
  operand a, b;
  cf_bytes tables[2];
  cf_fields fields[2];
  line_scales rows, columns;
  int scales, apart; /* whether results are scaled, and if by more than a float holds */
  CF_ALIGNED(64) float values[2][PADDED];
} workspace;

/* Whether matrices that are next to each other in memory can be decoded together. */
static int64_t step_of(const cf_scaled *scaled, cf_direction direction, int64_t stack_step) {
  const cf_operand *of = &scaled->of;
  const int by_line = direction == CF_ALONG_LINE;
  const int64_t size = (int64_t)of->size, runs = by_line ? of->lines : of->inner,
                length = by_line ? of->inner : of->lines;
  const int64_t step = by_line ? of->inner_stride : of->line_stride,
                run_step = by_line ? of->line_stride : of->inner_stride;
  const int contiguous = (step == size || length == 1) && (run_step == size * length || runs == 1);
  return contiguous && stack_step == size * length * runs && !scaled->decodes_biases ? stack_step
                                                                                     : 0;
}

static void start_operand(operand *o, const cf_scaled *scaled, cf_direction direction,
                          int64_t stack_step, float *values) {
  o->scaled = *scaled;
  o->direction = direction;
  o->size = scaled->of.lines * scaled->of.inner;
  o->matrices = o->at = 0;
  o->step = step_of(scaled, direction, stack_step);
  o->most = o->step != 0 && o->size < TOGETHER ? TOGETHER / o->size : 1;
  o->table = NULL;
  o->fields = NULL;
  o->values = (char *)values;
  /* what is multiplied beyond the last row, and read beyond b */
  const int64_t beyond = (CF_SMALL_ROWS - 1) * scaled->of.inner + CF_TILE_LINES_MAX;
  memset(values + o->size, 0, (size_t)beyond * sizeof *values);
}

/* Decode the matrix at a place of the stack, and maybe those that follow, of which `left` are at a
 * step from each other.  Returns its values. */
static const void *values_of(operand *o, const char *elements, int64_t left) {
  const size_t element = o->table != NULL ? sizeof(uint16_t) : sizeof(float);
  if (o->matrices > 0 && elements == o->scaled.of.elements + o->at * o->step) {
    /* the same again */
  } else if (o->at + 1 < o->matrices && elements == o->scaled.of.elements + (o->at + 1) * o->step) {
    ++o->at;
  } else {
    o->scaled.of.elements = elements;
    o->at = 0;
    o->matrices = cf_at_most(left, o->most);
    decode_matrices(&o->scaled, o->direction, o->matrices, o->table, o->fields, o->values);
  }
  return o->values + (size_t)(o->at * o->size) * element;
}

/* Decode by fields, if that is for these codes: then at the bias that they have. */
static void take_fields(operand *o, cf_fields *fields) {
  cf_scaled *scaled = &o->scaled;
  if (scaled->of.type != CF_CODES || scaled->decodes_biases || !cf_scaled_fields(scaled, fields))
    return;
  const int lowest = scaled->lowest + scaled->bias - fields->bias;
  if (lowest < LEAST_EXPONENT || (fields->size == 1 && !fields->in_bytes)) return;
  scaled->lowest = lowest;
  scaled->bias = fields->bias;
  o->fields = fields;
}

static void scale_apart(const workspace *w, const cf_small *small) {
  for (int64_t i = 0; i < small->rows; ++i)
    for (int64_t j = 0; j < small->columns; ++j) {
      float *result = small->results + i * small->step + j;
      *result = ldexpf(*result,
                       cf_scaled_exponent(&w->a.scaled, i) + cf_scaled_exponent(&w->b.scaled, j));
    }
}

static void choose_scales(workspace *w) {
  cf_scaled_scales(&w->a.scaled, w->rows.scale, &w->rows.low, &w->rows.high);
  cf_scaled_scales(&w->b.scaled, w->columns.scale, &w->columns.low, &w->columns.high);
  const int low_a = w->rows.low, high_a = w->rows.high, low_b = w->columns.low,
            high_b = w->columns.high;
  w->scales = low_a != 0 || high_a != 0 || low_b != 0 || high_b != 0;
  w->apart = low_a < -126 || low_b < -126 || high_a > 127 || high_b > 127 || low_a + low_b < -126 ||
             high_a + high_b > 127;
}

void cf_matmul_small(const cf_product *product, const cf_scaled *a, const cf_scaled *b,
                     int64_t begin, int64_t end) {
  const int ndim = product->stack_ndim;
  const int64_t row_step = product->result_strides[ndim],
                column_step = product->result_strides[ndim + 1];
  const int direct = column_step == sizeof(float) || product->columns == 1;
  const int centred = a->is_centred && b->is_centred;
  const cf_tiles *tiles = cf_active_tiles(CF_PACKED_FLOAT32),
                 *bfloat16 = cf_active_tiles(CF_PACKED_BFLOAT16);
  workspace w;
  float copy[ELEMENTS];
  stack_walk walk = walk_from(product, begin);
  const char *const *at = walk.pointers;
  start_operand(&w.a, a, CF_ALONG_LINE, ndim > 0 ? product->a.strides[ndim - 1] : 0, w.values[0]);
  start_operand(&w.b, b, CF_ACROSS_LINES, ndim > 0 ? product->b.strides[ndim - 1] : 0, w.values[1]);
  if (bfloat16 != NULL && centred && product->inner % 2 == 0 && w.a.size >= LOOKED_UP &&
      w.b.size >= LOOKED_UP && cf_scaled_table(a, 0, &w.tables[0]) &&
      cf_scaled_table(b, 0, &w.tables[1])) {
    tiles = bfloat16;
    w.a.table = &w.tables[0];
    w.b.table = &w.tables[1];
  }
  if (tiles->decode_fields != NULL && centred) {
    if ((end - begin) * w.a.size >= BY_FIELDS) take_fields(&w.a, &w.fields[0]);
    if ((end - begin) * w.b.size >= BY_FIELDS) take_fields(&w.b, &w.fields[1]);
  }
  cf_small small = {.rows = product->rows, .inner = product->inner, .columns = product->columns};
  const uint64_t state = cf_set_default_float_modes();
  for (int64_t i = begin; i < end; ++i, step(&walk)) {
    const int64_t left =
        ndim > 0 ? cf_at_most(walk.shape[ndim - 1] - walk.at[ndim - 1], end - i) : 1;
    const int new_biases = i == begin || !centred || w.a.scaled.of.biases != at[BIASES_A] ||
                           w.b.scaled.of.biases != at[BIASES_B];
    if (!centred || (new_biases && a->decodes_biases)) w.a.matrices = 0;
    if (!centred || (new_biases && b->decodes_biases)) w.b.matrices = 0;
    if (!centred) {
      w.a.scaled = *a;
      w.b.scaled = *b;
      w.a.scaled.of.elements = at[ELEMENTS_A];
      w.b.scaled.of.elements = at[ELEMENTS_B];
      w.a.step = w.b.step = 0;
      w.a.most = w.b.most = 1;
    }
    w.a.scaled.of.biases = at[BIASES_A];
    w.b.scaled.of.biases = at[BIASES_B];
    if (!centred) {
      cf_scaled_keep_biases(&w.a.scaled, &w.b.scaled.of);
      cf_scaled_keep_biases(&w.b.scaled, &w.a.scaled.of);
    }
    if (new_biases) choose_scales(&w);
    char *const results = (char *)(uintptr_t)at[RESULTS];
    small.a = values_of(&w.a, at[ELEMENTS_A], left);
    small.b = values_of(&w.b, at[ELEMENTS_B], left);
    small.results = direct ? (float *)(void *)results : copy;
    small.step = direct ? row_step / (int64_t)sizeof(float) : small.columns;
    small.row_scale = w.scales && !w.apart ? w.rows.scale : NULL;
    small.column_scale = w.columns.scale;
    tiles->multiply_small(&small);
    if (w.apart) scale_apart(&w, &small);
    for (int64_t j = 0; !direct && j < small.rows * small.columns; ++j)
      memcpy(results + j / small.columns * row_step + j % small.columns * column_step, copy + j,
             sizeof *copy);
  }
  cf_restore_float_modes(state);
}
