/* Exact matrix products, rounded once; or to odd in float64, to be rounded once more.
 *
 * The elements of both operands are integers times powers of two that a whole line shares, and the
 * integers are sums of digits (matmul/exact/digits.h).  Products of digits of the same weight are
 * summed up in float64, which is exact up to 2^53: so many planes of sums, each an ordinary matrix
 * product, are the exact result in a number system of large digits.  Long before a sum could become
 * inexact, its upper part is carried over to the plane above. */
#include <stdlib.h>
#include <string.h>

#include "core/integers.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/threads.h"
#include "matmul/exact/digits.h"
#include "matmul/kernels/float64_tile.h"

enum {
  MC = 96,                  /* so many rows of a stay in the second cache */
  NC = 1536,                /* at most so many columns of b are packed at a time */
  SUMS_BYTES = 1 << 23,     /* of sums, for a thread ... */
  ALL_SUMS_BYTES = 1 << 25, /* ... and for all of them */
  CARRY_WIDTH = 24,         /* where no digits set it */
  LEAST_WIDTH = 8,          /* a carry is to be far smaller than a sum */
  LIMBS = 16                /* of an exact result: a product of float32 has 554 bits */
};

_Static_assert((int)CF_TILE64_KC_MAX <= (int)CF_RUN_PIECE, "a line's part is packed as one run");

static const double PRODUCTS_PER_THREAD = 0x1p18, SHARED_PRODUCTS_PER_THREAD = 0x1p22;

/* Sums stay below this, and above it there is room for what is left and carried in. */
static const double MAX_SUM = 0x1p52;

/* One matrix product. */
typedef struct exact {
  cf_digits a, b;
  const cf_float64_tile *tile;
  int64_t inner;
  int to_odd; /* results are float64, rounded to odd, and not float32 */
  char *results;
  int64_t row_stride, column_stride;
  int planes, width;                 /* of sums: plane i counts 2^(width * i) */
  int64_t carry_interval;            /* so many products are summed up before carrying */
  int64_t block_rows, block_columns; /* of results, whose sums are held at a time */
  int64_t mc, nc;                    /* of operands, packed at a time */
  int by_rows;                       /* whether threads share the rows, or the columns */
  int threads;
  int status[CF_MAX_THREADS];
} exact;

/* How large a digit may be. */
static double max_digit(const cf_digits *digits, int planes, int width) {
  return planes > 1 ? cf_power_of_2(width) : digits->max_integer;
}

/* How large the sum of all products of one inner index may be, at one weight. */
static double max_term(const exact *e, int planes_a, int planes_b, int width) {
  return max_digit(&e->a, planes_a, width) * max_digit(&e->b, planes_b, width) *
         (planes_a < planes_b ? planes_a : planes_b);
}

/* The fewest products of digits with which at least a block of the inner axis is summed up exactly;
 * returns how many. */
static int choose_digits(exact *e) {
  const double block = (double)cf_at_most(e->inner, e->tile->kc);
  int best = 0, best_a = 1, best_b = 1, best_width = 0;
  for (int a = 1; a <= CF_DIGITS_MAX; ++a)
    for (int b = 1; b <= CF_DIGITS_MAX; ++b) {
      const int width_a = a > 1 ? (e->a.bits + a - 1) / a : 0;
      const int width_b = b > 1 ? (e->b.bits + b - 1) / b : 0;
      int width = width_a > width_b ? width_a : width_b;
      if (a == 1 && b == 1) width = CARRY_WIDTH;
      if (width < LEAST_WIDTH) width = LEAST_WIDTH;
      if (max_term(e, a, b, width) * block > MAX_SUM) continue;
      if (best != 0 && a * b >= best) continue;
      best = a * b;
      best_a = a;
      best_b = b;
      best_width = width;
    }
  e->width = best_width;
  e->a.planes = best_a;
  e->b.planes = best_b;
  return best;
}

static void plan_sums(exact *e) {
  const double term = max_term(e, e->a.planes, e->b.planes, e->width);
  const double all = (double)e->inner * e->a.max_integer * e->b.max_integer;
  e->planes = e->a.planes + e->b.planes - 1;
  e->carry_interval = e->inner;
  if (term * (double)e->inner <= MAX_SUM) return;
  e->carry_interval = (int64_t)(MAX_SUM / term) / e->tile->kc * e->tile->kc;
  /* the uppermost plane is not carried from */
  do {
    ++e->planes;
  } while (all * cf_power_of_2(-e->width * (e->planes - 1)) > MAX_SUM);
}

/* Carry from each plane of `size` sums to the next. */
static void carry_sums(double *sums, int planes, int64_t size, int width) {
  const double anchor = 1.5 * cf_power_of_2(52 + width), unit = cf_power_of_2(-width);
  for (int plane = 0; plane + 1 < planes; ++plane, sums += size)
    for (int64_t i = 0; i < size; ++i) {
      const double upper = (sums[i] + anchor) - anchor;
      sums[i] -= upper;
      sums[i + size] += upper * unit;
    }
}

/* An integer in two's complement, little end first. */
static void add_shifted(uint64_t *limbs, int count, double integer, int shift) {
  const int64_t n = (int64_t)integer;
  const uint64_t sign = n < 0 ? UINT64_MAX : 0;
  const int limb = shift / 64, bit = shift % 64;
  uint64_t low = (uint64_t)n << bit, high = sign;
  if (bit != 0) high = (uint64_t)n >> (64 - bit) | sign << bit;
  unsigned carry = 0;
  for (int i = limb; i < count; ++i) {
    const uint64_t addend = i == limb ? low : i == limb + 1 ? high : sign;
    const uint64_t sum = limbs[i] + addend, carried = sum + carry;
    carry = (unsigned)(sum < addend) | (unsigned)(carried < sum);
    limbs[i] = carried;
  }
}

/* +-(upper + something, if there is a rest) * 2^exponent rounded to odd, to the 53 bits of a
 * float64: what is then rounded to 51 bits or fewer is the number itself.  upper has its first bit
 * set.  No exponent is beyond float64's: products of float32 are multiples of 2^-298, and sums of
 * them below 2^319. */
static double round_magnitude(uint64_t upper, uint64_t rest, int exponent, int sign) {
  const uint64_t rounded_to_odd = upper >> 11 | ((upper & 0x7FF) != 0 || rest != 0);
  const double magnitude = (double)(int64_t)rounded_to_odd * cf_power_of_2(exponent + 11);
  return sign ? -magnitude : magnitude;
}

/* Rounded to odd: the sum over planes of sums[i * step] * 2^(width * i + exponent), of 127 bits
 * before its exponent. */
static double round_narrow_sums(const double *sums, int64_t step, int planes, int width,
                                int exponent) {
  uint64_t low = 0, high = 0; /* an integer in two's complement */
  for (int plane = planes - 1; plane >= 0; --plane) {
    const int64_t n = (int64_t)sums[plane * step];
    high = high << width | low >> (64 - width);
    low = (low << width) + (uint64_t)n;
    high += (uint64_t)(low < (uint64_t)n) - (uint64_t)(n < 0);
  }
  const int sign = (int)(high >> 63);
  if (sign) {
    low = 0 - low;
    high = ~high + (low == 0);
  }
  if (high == 0) {
    high = low;
    low = 0;
    exponent -= 64;
  }
  if (high == 0) return 0;
  const int unused = 63 - cf_log2(high);
  if (unused > 0) high = high << unused | low >> (64 - unused);
  return round_magnitude(high, low << unused, exponent + 64 - unused, sign);
}

/* The same of any sums. */
static double round_sums(const double *sums, int64_t step, int planes, int width, int exponent) {
  const int count = (width * (planes - 1) + 64) / 64 + 1;
  uint64_t limbs[LIMBS] = {0};
  for (int plane = 0; plane < planes; ++plane)
    if (sums[plane * step] != 0) add_shifted(limbs, count, sums[plane * step], plane * width);
  const int sign = (int)(limbs[count - 1] >> 63);
  if (sign) { /* negate */
    uint64_t carry = 1;
    for (int i = 0; i < count; ++i) {
      limbs[i] = ~limbs[i] + carry;
      carry &= limbs[i] == 0;
    }
  }
  int top = count - 1;
  while (top >= 0 && limbs[top] == 0) --top;
  if (top < 0) return 0;
  const int unused = 63 - cf_log2(limbs[top]);
  uint64_t upper = limbs[top] << unused, rest = 0;
  if (top > 0) {
    if (unused > 0) upper |= limbs[top - 1] >> (64 - unused);
    rest = limbs[top - 1] << unused;
  }
  for (int i = top - 2; i >= 0; --i) rest |= limbs[i];
  return round_magnitude(upper, rest, exponent + 64 * top - unused, sign);
}

/* What a thread works with. */
typedef struct workspace {
  double *a, *b;
  /* a plane for each weight, then one of classes; in each a tile for each panel of b, then of a */
  double *sums;
  int64_t plane;    /* numbers in a plane */
  int64_t b_panels; /* of a block of columns */
  int64_t a_panels; /* of a block of rows */
} workspace;

/* A piece of a against all that is packed of b; first_panel is a's first one among the block's. */
static void multiply_panels(const exact *e, const workspace *workspace, int64_t first_b,
                            int64_t b_panels, int64_t first_a, int64_t a_panels, int64_t count) {
  const int64_t a_panel = e->tile->mr * count, b_panel = e->tile->nr * count;
  const int64_t tile = (int64_t)e->tile->mr * e->tile->nr;
  const int planes_a = e->a.planes, planes_b = e->b.planes;
  const int classes = e->a.has_special;
  for (int64_t j = 0; j < b_panels; ++j)
    for (int plane_b = 0; plane_b < planes_b + classes; ++plane_b) {
      const int is_class = plane_b == planes_b;
      const double *b = workspace->b + (plane_b * b_panels + j) * b_panel;
      for (int64_t i = 0; i < a_panels; ++i) {
        double *sums = workspace->sums + ((first_b + j) * workspace->a_panels + first_a + i) * tile;
        for (int plane_a = is_class ? planes_a : 0; plane_a < planes_a + is_class; ++plane_a)
          e->tile->multiply(count, workspace->a + (plane_a * a_panels + i) * a_panel, b,
                            sums + workspace->plane * (is_class ? e->planes : plane_a + plane_b));
      }
    }
}

/* Results that are rounded to odd, of one row, as what they are to be. */
static void store_results(const exact *e, char *results, const double *rounded, int64_t count) {
  float nearest[CF_TILE64_LINES_MAX];
  const size_t size = e->to_odd ? sizeof *rounded : sizeof *nearest;
  const char *from = e->to_odd ? (const char *)rounded : (const char *)nearest;
  if (!e->to_odd)
    for (int64_t i = 0; i < count; ++i) nearest[i] = (float)rounded[i];
  if (e->column_stride == (int64_t)size)
    memcpy(results, from, (size_t)count * size);
  else
    for (int64_t i = 0; i < count; ++i)
      memcpy(results + i * e->column_stride, from + (size_t)i * size, size);
}

/* The results of a tile. */
static void finish_tile(const exact *e, const workspace *workspace, const double *sums, int64_t row,
                        int64_t rows, int64_t column, int64_t columns) {
  const int32_t *units_b = e->b.units + column;
  /* the uppermost plane has 53 bits and a sign */
  const int is_narrow = e->width * (e->planes - 1) + 54 < 127;
  /* the commonest case, in vectors */
  const int stores =
      e->planes == 1 && !e->a.has_special && !e->to_odd && e->column_stride == sizeof(float);
  double scales[CF_TILE64_LINES_MAX];
  for (int64_t j = 0; j < columns; ++j) scales[j] = cf_power_of_2(units_b[j]);
  for (int64_t i = 0; i < rows; ++i, sums += e->tile->nr) {
    const int unit = e->a.units[row + i];
    const double scale = cf_power_of_2(unit);
    char *result = e->results + (row + i) * e->row_stride + column * e->column_stride;
    double rounded[CF_TILE64_LINES_MAX];
    if (stores) {
      for (int64_t j = 0; j < columns; ++j) {
        const float nearest = (float)(sums[j] * scale * scales[j]);
        memcpy(result + j * (int64_t)sizeof nearest, &nearest, sizeof nearest);
      }
      continue;
    }
    /* powers of two change no bit of a float64, so that only storing rounds */
    if (e->planes == 1)
      for (int64_t j = 0; j < columns; ++j) rounded[j] = sums[j] * scale * scales[j];
    else
      for (int64_t j = 0; j < columns; ++j)
        rounded[j] = (is_narrow ? round_narrow_sums : round_sums)(
            sums + j, workspace->plane, e->planes, e->width, unit + units_b[j]);
    for (int64_t j = 0; e->a.has_special && j < columns; ++j) {
      const double class = sums[e->planes * workspace->plane + j];
      const uint64_t nan = CF_FLOAT64_NAN_BITS;
      if (class != class)
        memcpy(&rounded[j], &nan, sizeof nan);
      else if (class - class != 0) /* infinite */
        rounded[j] = class;
    }
    store_results(e, result, rounded, columns);
  }
}

/* One block of results. */
static void multiply_block(const exact *e, workspace *workspace, int64_t row, int64_t rows,
                           int64_t column, int64_t columns) {
  const int tile_rows = e->tile->mr, tile_columns = e->tile->nr;
  const int64_t tile = (int64_t)tile_rows * tile_columns;
  const int planes = e->planes + e->a.has_special;
  workspace->a_panels = (rows + tile_rows - 1) / tile_rows;
  workspace->b_panels = (columns + tile_columns - 1) / tile_columns;
  workspace->plane = workspace->a_panels * workspace->b_panels * tile;
  memset(workspace->sums, 0, (size_t)(planes * workspace->plane) * sizeof *workspace->sums);
  int64_t summed = 0;
  for (int64_t k = 0; k < e->inner; k += e->tile->kc) {
    const int64_t count = cf_at_most(e->inner - k, e->tile->kc);
    if (summed + count > e->carry_interval) {
      carry_sums(workspace->sums, e->planes, workspace->plane, e->width);
      summed = 0;
    }
    summed += count;
    for (int64_t j = 0; j < columns; j += e->nc) {
      const int64_t some_columns = cf_at_most(columns - j, e->nc);
      cf_digits_pack(&e->b, column + j, some_columns, k, count, tile_columns, workspace->b);
      for (int64_t i = 0; i < rows; i += e->mc) {
        const int64_t some_rows = cf_at_most(rows - i, e->mc);
        cf_digits_pack(&e->a, row + i, some_rows, k, count, tile_rows, workspace->a);
        multiply_panels(e, workspace, j / tile_columns,
                        (some_columns + tile_columns - 1) / tile_columns, i / tile_rows,
                        (some_rows + tile_rows - 1) / tile_rows, count);
      }
    }
  }
  const double *sums = workspace->sums;
  for (int64_t j = 0; j < columns; j += tile_columns)
    for (int64_t i = 0; i < rows; i += tile_rows, sums += tile)
      finish_tile(e, workspace, sums, row + i, cf_at_most(rows - i, tile_rows), column + j,
                  cf_at_most(columns - j, tile_columns));
}

/* A thread's share of the results. */
static int multiply_range(const exact *e, int64_t first_row, int64_t end_row, int64_t first_column,
                          int64_t end_column) {
  const int64_t group = CF_TILE64_ALIGNMENT / (int64_t)sizeof(double);
  const int64_t count = cf_at_most(e->inner, e->tile->kc);
  const int64_t a_size = cf_multiple(e->mc * count * cf_digits_packed_planes(&e->a), group);
  const int64_t b_size = cf_multiple(e->nc * count * cf_digits_packed_planes(&e->b), group);
  const int64_t sums_size = e->block_rows * e->block_columns * (e->planes + e->a.has_special);
  double *memory = malloc((size_t)(a_size + b_size + sums_size + group) * sizeof *memory);
  if (memory == NULL) return CF_NO_MEMORY;
  workspace workspace;
  workspace.a =
      memory + (CF_TILE64_ALIGNMENT - (uintptr_t)memory % CF_TILE64_ALIGNMENT) / sizeof *memory;
  workspace.b = workspace.a + a_size;
  workspace.sums = workspace.b + b_size;
  for (int64_t i = first_row; i < end_row; i += e->block_rows)
    for (int64_t j = first_column; j < end_column; j += e->block_columns)
      multiply_block(e, &workspace, i, cf_at_most(end_row - i, e->block_rows), j,
                     cf_at_most(end_column - j, e->block_columns));
  free(memory);
  return CF_OK;
}

static void multiply_share(void *context, int index) {
  exact *e = context;
  const int64_t rows = e->a.operand.lines, columns = e->b.operand.lines;
  int64_t begin, end;
  if (e->by_rows)
    cf_share_of(rows, e->tile->mr, e->threads, index, &begin, &end);
  else
    cf_share_of(columns, e->tile->nr, e->threads, index, &begin, &end);
  const uint64_t modes = cf_set_default_float_modes();
  e->status[index] = e->by_rows ? multiply_range(e, begin, end, 0, columns)
                                : multiply_range(e, 0, rows, begin, end);
  cf_restore_float_modes(modes);
}

/* Share results among threads, and cut the shares into blocks. */
static void plan_blocks(exact *e, int threads) {
  const int64_t rows = e->a.operand.lines, columns = e->b.operand.lines;
  const int tile_rows = e->tile->mr, tile_columns = e->tile->nr;
  const double products =
      (double)rows * (double)columns * (double)e->inner * e->a.planes * e->b.planes;
  e->by_rows = rows >= columns;
  const int64_t length = e->by_rows ? rows : columns, unit = e->by_rows ? tile_rows : tile_columns;
  threads = cf_useful_threads(products, PRODUCTS_PER_THREAD, threads);
  e->threads = (int)cf_at_most(threads, cf_divide_up(length, unit));
  const int64_t share = cf_max_share(length, unit, e->threads);
  e->block_rows = cf_multiple(e->by_rows ? share : rows, tile_rows);
  e->block_columns = cf_multiple(e->by_rows ? columns : share, tile_columns);
  const int64_t most = cf_at_most(SUMS_BYTES, ALL_SUMS_BYTES / e->threads) /
                       (int64_t)sizeof(double) / (e->planes + e->a.has_special);
  while (e->block_rows * e->block_columns > most &&
         (e->block_rows > tile_rows || e->block_columns > tile_columns)) {
    if (e->block_rows > e->block_columns || e->block_columns == tile_columns)
      e->block_rows = cf_multiple(e->block_rows / 2, tile_rows);
    else
      e->block_columns = cf_multiple(e->block_columns / 2, tile_columns);
  }
  e->mc = cf_at_most(e->block_rows, cf_multiple(MC / e->a.planes, tile_rows));
  e->nc = cf_at_most(e->block_columns, cf_multiple(NC / e->b.planes, tile_columns));
}

/* One product of matrices. */
static int multiply(const cf_product *product, int64_t index, int to_odd, int threads) {
  const cf_operand a = cf_operand_a(product, index), b = cf_operand_b(product, index);
  exact e;
  memset(&e.b, 0, sizeof e.b);
  int status = cf_digits_new(&e.a, &a, threads);
  if (status == CF_OK) status = cf_digits_new(&e.b, &b, threads);
  e.tile = cf_active_float64_tile();
  e.inner = product->inner;
  e.to_odd = to_odd;
  e.results = cf_product_results(product, index);
  e.row_stride = product->result_strides[product->stack_ndim];
  e.column_stride = product->result_strides[product->stack_ndim + 1];
  if (status == CF_OK && choose_digits(&e) > 1) {
    /* what is there may need fewer digits than what could be */
    status = cf_digits_measure(&e.a, threads);
    if (status == CF_OK) status = cf_digits_measure(&e.b, threads);
    if (status == CF_OK) choose_digits(&e);
  }
  if (status == CF_OK) {
    e.a.has_special = e.b.has_special = e.a.has_special || e.b.has_special;
    cf_digits_set_width(&e.a, e.a.planes, e.width);
    cf_digits_set_width(&e.b, e.b.planes, e.width);
    plan_sums(&e);
    plan_blocks(&e, threads);
    cf_run_threads(e.threads, multiply_share, &e);
    for (int i = 0; i < e.threads && status == CF_OK; ++i) status = e.status[i];
  }
  cf_digits_free(&e.a);
  cf_digits_free(&e.b);
  return status;
}

/* A stack, of which threads take so many matrices each. */
typedef struct stack {
  const cf_product *product;
  int64_t count;
  int to_odd;
  int threads, threads_each;
  int status[CF_MAX_THREADS];
} stack;

static void multiply_stack(void *context, int index) {
  stack *s = context;
  int64_t begin, end;
  cf_share_of(s->count, 1, s->threads, index, &begin, &end);
  int status = CF_OK;
  for (int64_t i = begin; i < end && status == CF_OK; ++i)
    status = multiply(s->product, i, s->to_odd, s->threads_each);
  s->status[index] = status;
}

/* No products: sums of nothing. */
static void store_zeros(const cf_product *product, int64_t index, int to_odd) {
  const int64_t *strides = product->result_strides + product->stack_ndim;
  char *results = cf_product_results(product, index);
  for (int64_t i = 0; i < product->rows; ++i)
    for (int64_t j = 0; j < product->columns; ++j)
      memset(results + i * strides[0] + j * strides[1], 0, to_odd ? sizeof(double) : sizeof(float));
}

static int multiply_all(const cf_product *product, int to_odd, int threads) {
  const double products = (double)product->rows * (double)product->columns * (double)product->inner;
  stack s;
  const int status = cf_product_check(product, &s.count);
  if (status != CF_OK) return status;
  if (s.count == 0 || product->rows == 0 || product->columns == 0) return CF_OK;
  if (product->inner == 0) {
    for (int64_t i = 0; i < s.count; ++i) store_zeros(product, i, to_odd);
    return CF_OK;
  }
  if (threads > CF_MAX_THREADS) threads = CF_MAX_THREADS;
  if (threads < 1) threads = 1;
  s.product = product;
  s.to_odd = to_odd;
  s.threads = 1;
  s.threads_each = threads;
  /* small matrices are not shared, but stacks of them are */
  if (s.count >= threads && products < SHARED_PRODUCTS_PER_THREAD * threads) {
    s.threads = cf_useful_threads(products * (double)s.count, PRODUCTS_PER_THREAD, threads);
    s.threads_each = 1;
  }
  cf_run_threads(s.threads, multiply_stack, &s);
  for (int i = 0; i < s.threads; ++i)
    if (s.status[i] != CF_OK) return s.status[i];
  return CF_OK;
}

static int multiply_in_default_modes(const cf_product *product, int to_odd, int threads) {
  /* threads have modes of their own, but here is arithmetic too */
  const uint64_t modes = cf_set_default_float_modes();
  const int status = multiply_all(product, to_odd, threads);
  cf_restore_float_modes(modes);
  return status;
}

int cf_matmul_exact(const cf_product *product, int threads) {
  return multiply_in_default_modes(product, 0, threads);
}

int cf_matmul_exact_to_odd(const cf_product *product, int threads) {
  return multiply_in_default_modes(product, 1, threads);
}
