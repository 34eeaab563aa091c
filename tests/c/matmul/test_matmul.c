/* Matrix products against sums in double precision, in which products of two operands are exact. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "matmul/scaled_operand.h"
#include "support/tests.h"

static const cf_format FORMATS[] = {
    {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 2, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63},
    {6, 10, 0, CF_NONFINITE_IEEE, CF_SUBNORMALS_FLUSH, 0, 31, 31},
    {4, 3, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 0, 7, 7},
    {8, 7, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127},
    {3, 2, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, -4, 20},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof FORMATS[0], KINDS = FORMAT_COUNT + 2, TESLA = 4 };

/* A matrix of codes or values, and what they are. */
typedef struct matrix {
  cf_matrix given;
  int64_t strides[2], bias_strides[2];
  void *elements;
  int16_t *biases;
  double *values;
} matrix;

typedef enum biases {
  ONE,
  OF_ROWS,
  OF_COLUMNS,
  OF_BLOCKS,
  OF_COLUMN_BLOCKS,
  OF_ALL,
  BIAS_LAYOUTS
} biases;

static double value_of(const cf_matrix *given, const char *element, int bias) {
  double value;
  const int type = given->type;
  const int status =
      cf_convert(type == CF_CODES ? given->format : &FORMATS[0], type == CF_CODES ? bias : 0,
                 CF_CODES, element, CF_TIES_TO_EVEN, 0, 0, CF_FLOAT64, &value, 1, 1, NULL);
  CHECK(type != CF_CODES || status == CF_OK, "status %d", status);
  if (type == CF_FLOAT32) {
    float single;
    memcpy(&single, element, sizeof single);
    value = single;
  } else if (type == CF_BFLOAT16) {
    uint16_t half;
    memcpy(&half, element, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    float single;
    memcpy(&single, &bits, sizeof single);
    value = single;
  }
  return value;
}

/* Random elements: any codes, or values of all signs and of magnitudes around 1, or powers of two
 * around 1. */
static void put_element(const cf_matrix *given, char *element, int powers_of_two, uint64_t *state) {
  const int exponent = (int)random_below(state, powers_of_two ? 3 : 20);
  const double fraction = powers_of_two ? 1 : 1 + (double)random_below(state, 1 << 23) / (1 << 23);
  const double sign = random_bits(state) & 1 ? -1 : 1;
  float value = (float)(sign * ldexp(fraction, exponent - (powers_of_two ? 1 : 10)));
  if (!powers_of_two && random_below(state, 16) == 0) value = 0;
  if (!powers_of_two && random_below(state, 1000) == 0) value = (float)(sign * HUGE_VAL);
  if (given->type == CF_FLOAT32) {
    memcpy(element, &value, sizeof value);
  } else if (given->type == CF_BFLOAT16) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t half = (uint16_t)(bits >> 16);
    memcpy(element, &half, sizeof half);
  } else if (powers_of_two) {
    if (!given->format->is_signed) value = fabsf(value);
    const int bias = given->biases[0];
    value = ldexpf(
        value,
        (given->format->exponent_bits > 3 ? 1 << (given->format->exponent_bits - 1) : 4) - bias);
    cf_convert(given->format, bias, CF_FLOAT32, &value, CF_TIES_TO_EVEN, 0, 0, CF_CODES, element, 1,
               1, NULL);
  } else {
    const int bits =
        given->format->exponent_bits + given->format->mantissa_bits + given->format->is_signed;
    const uint64_t code = random_bits(state) & ((1u << bits) - 1);
    const uint8_t byte = (uint8_t)code;
    uint16_t word = (uint16_t)code;
    /* not to overflow */
    if (given->format->exponent_bits == 8) word = (uint16_t)((word & 0x8FFF) | 0x3000);
    if (bits <= 8)
      *element = (char)byte;
    else
      memcpy(element, &word, sizeof word);
  }
}

static matrix make(int kind, int64_t rows, int64_t columns, biases layout, int transposed,
                   int powers_of_two, uint64_t *state) {
  matrix m;
  memset(&m, 0, sizeof m);
  m.given.type = kind < FORMAT_COUNT ? CF_CODES : kind == FORMAT_COUNT ? CF_FLOAT32 : CF_BFLOAT16;
  m.given.format = kind < FORMAT_COUNT ? &FORMATS[kind] : NULL;
  m.given.bias_block[0] = m.given.bias_block[1] = 1;
  const int bits = m.given.format == NULL
                       ? 0
                       : m.given.format->exponent_bits + m.given.format->mantissa_bits +
                             m.given.format->is_signed;
  const int64_t size = m.given.type == CF_FLOAT32                ? 4
                       : m.given.type == CF_BFLOAT16 || bits > 8 ? 2
                                                                 : 1;
  /* elements that are not next to each other */
  const int gap = (int)random_below(state, 4) == 0 ? 3 : 1;
  m.strides[0] = transposed ? size * gap : size * gap * (columns + 5);
  m.strides[1] = transposed ? size * gap * (rows + 5) : size * gap;
  const size_t bytes = (size_t)(size * gap * (rows + 5) * (columns + 5));
  m.elements = allocate(bytes);
  for (size_t i = 0; i < bytes; ++i) ((unsigned char *)m.elements)[i] = 0;
  m.biases = allocate((size_t)(rows * columns + 1) * sizeof *m.biases);
  if (kind < FORMAT_COUNT) {
    const cf_format *format = &FORMATS[kind];
    const uint64_t range = (uint64_t)(format->bias_max - format->bias_min + 1);
    const int16_t middle = (int16_t)((format->bias_min + format->bias_max) / 2);
    for (int64_t i = 0; i <= rows * columns; ++i)
      m.biases[i] =
          (int16_t)(powers_of_two ? middle : format->bias_min + (int)random_below(state, range));
    if (layout == ONE && !powers_of_two && random_below(state, 2))
      m.biases[0] = (int16_t)(random_below(state, 2) ? format->bias_min : format->bias_max);
    if (layout == OF_ROWS || layout == OF_ALL)
      m.bias_strides[0] = columns * (int64_t)sizeof *m.biases;
    if (layout == OF_COLUMNS || layout == OF_ALL) m.bias_strides[1] = sizeof *m.biases;
    if (layout == OF_BLOCKS) {
      m.given.bias_block[0] = 1 + (int64_t)random_below(state, 3);
      m.given.bias_block[1] = 32;
      m.bias_strides[0] = columns * (int64_t)sizeof *m.biases;
      m.bias_strides[1] = sizeof *m.biases;
    }
    if (layout == OF_COLUMN_BLOCKS) {
      m.given.bias_block[0] = random_below(state, 2) ? 16 : 32;
      m.bias_strides[0] = columns * (int64_t)sizeof *m.biases;
      m.bias_strides[1] = sizeof *m.biases;
    }
  }
  m.given.biases = m.biases;
  m.given.elements = m.elements;
  m.values = allocate((size_t)(rows * columns + 1) * sizeof *m.values);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      char *element = (char *)m.elements + i * m.strides[0] + j * m.strides[1];
      const char *bias = (const char *)m.biases + i / m.given.bias_block[0] * m.bias_strides[0] +
                         j / m.given.bias_block[1] * m.bias_strides[1];
      int16_t own;
      memcpy(&own, bias, sizeof own);
      put_element(&m.given, element, powers_of_two, state);
      m.values[i * columns + j] = value_of(&m.given, element, own);
    }
  return m;
}

static void discard(matrix *m) {
  free(m->elements);
  free(m->biases);
  free(m->values);
}

enum { GUARD = 5 };
static const float SENTINEL = -12345.5f;

static int multiply(matrix *a, matrix *b, int64_t rows, int64_t inner, int64_t columns,
                    const int64_t *strides, float *results, int threads) {
  cf_product product;
  memset(&product, 0, sizeof product);
  product.a = a->given;
  product.b = b->given;
  product.a.strides = a->strides;
  product.b.strides = b->strides;
  product.a.bias_strides = a->bias_strides;
  product.b.bias_strides = b->bias_strides;
  product.results = results;
  product.result_strides = strides;
  product.rows = rows;
  product.inner = inner;
  product.columns = columns;
  return cf_matmul(&product, threads);
}

/* One product, into results of each layout, by one thread and by several. */
static void compare(int kind_a, int kind_b, int64_t rows, int64_t inner, int64_t columns,
                    biases of_a, biases of_b, int exactly, uint64_t *state) {
  matrix a = make(kind_a, rows, inner, of_a, (int)random_below(state, 2), exactly, state);
  matrix b = make(kind_b, inner, columns, of_b, (int)random_below(state, 2), exactly, state);
  const size_t count = (size_t)((rows + GUARD) * (columns + GUARD) * 2);
  float *results = allocate(count * sizeof *results), *others = allocate(count * sizeof *others);
  int64_t strides[2] = {(columns + GUARD) * 4, 4}, other_strides[2];
  size_t wrong = 0, touched = 0, differ = 0;
  for (size_t i = 0; i < count; ++i) results[i] = others[i] = SENTINEL;
  int status = multiply(&a, &b, rows, inner, columns, strides, results, 1);
  CHECK(status == CF_OK, "status %d", status);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < inner; ++k) {
        const double product = a.values[i * inner + k] * b.values[k * columns + j];
        sum += product;
        magnitude += fabs(product);
      }
      const double result = results[i * (columns + GUARD) + j];
      const double slack = (double)inner * (0x1p-23 * magnitude + 0x1p-149);
      if (isnan(sum) || isinf(sum))
        wrong += isnan(sum) ? (size_t)!isnan(result) : (size_t)(result != sum);
      else if (magnitude >= 0x1p127)
        continue; /* partial sums may be infinite that the whole is not */
      else
        wrong += exactly ? (size_t)(result != sum) : (size_t)!(fabs(result - sum) <= slack);
    }
  CHECK(wrong == 0, "%zu wrong: kinds %d, %d, %d x %d x %d, biases %d, %d, exactly %d", wrong,
        kind_a, kind_b, (int)rows, (int)inner, (int)columns, of_a, of_b, exactly);
  for (int64_t i = 0; i < rows + GUARD; ++i)
    for (int64_t j = 0; j < columns + GUARD; ++j)
      if (i >= rows || j >= columns) touched += results[i * (columns + GUARD) + j] != SENTINEL;
  CHECK(touched == 0, "%zu touched beyond %d x %d", touched, (int)rows, (int)columns);
  const int spread = (int)random_below(state, 2);
  other_strides[0] = spread ? (columns + GUARD) * 8 : 4;
  other_strides[1] = spread ? 8 : (rows + GUARD) * 4;
  status = multiply(&a, &b, rows, inner, columns, other_strides, others, 3);
  CHECK(status == CF_OK, "status %d", status);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      differ += memcmp(results + i * (columns + GUARD) + j,
                       (char *)others + i * other_strides[0] + j * other_strides[1],
                       sizeof *results) != 0;
  CHECK(differ == 0, "%zu differ by threads or layout: kinds %d, %d, %d x %d x %d", differ, kind_a,
        kind_b, (int)rows, (int)inner, (int)columns);
  discard(&a);
  discard(&b);
  free(results);
  free(others);
}

/* Sums of powers of two, which are exact: every number of rows and of columns up to a tile and one
 * more. */
static void edges(uint64_t *state) {
  static const int64_t others[] = {1, 7, 14, 16, 32, 33};
  const int64_t step = is_brief() ? 5 : 1;
  for (int64_t length = 1; length <= 34; length += step)
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
      const int a = (int)random_below(state, KINDS), b = (int)random_below(state, FORMAT_COUNT);
      const int64_t inner = 1 + (int64_t)random_below(state, 40);
      compare(a, b, length, inner, others[i], ONE, ONE, 1, state);
      compare(b, a, others[i], inner, length, ONE, ONE, 1, state);
    }
  for (int64_t columns = 60; columns <= 68; ++columns)
    compare(0, 1, 5 + (int64_t)random_below(state, 30), 64, columns, ONE, ONE, 1, state);
}

static void pairings(uint64_t *state) {
  const uint64_t longest = is_thinned() ? 24 : 70;
  for (int a = 0; a < KINDS; ++a)
    for (int b = 0; b < KINDS; ++b)
      for (int layout = is_brief() ? (a + b) % 3 : 0; layout < BIAS_LAYOUTS;
           layout += is_brief() ? 3 : 1)
        compare(a, b, 1 + (int64_t)random_below(state, longest),
                1 + (int64_t)random_below(state, 100), 1 + (int64_t)random_below(state, longest),
                (biases)layout, (biases)random_below(state, BIAS_LAYOUTS), 0, state);
}

/* About the parts and blocks of the inner axis, and the blocks of lines. */
static void lengths(uint64_t *state) {
  static const int64_t inner[] = {0,  1,   2,   3,   31,   32,   33,   63,
                                  65, 255, 256, 257, 1023, 1024, 1025, 2049};
  for (size_t i = 0; i < sizeof inner / sizeof *inner; ++i)
    for (int kind = is_brief() ? (int)i % 2 : 0; kind <= TESLA; kind += is_brief() ? 2 : 1)
      for (int64_t rows = 1; rows <= 40; rows = rows == 1 ? 4 : rows == 4 ? 5 : 40) {
        compare(kind == TESLA ? FORMAT_COUNT : kind, kind % TESLA, rows, inner[i], 35, ONE, OF_ROWS,
                0, state);
        compare(kind % TESLA, kind == TESLA ? FORMAT_COUNT : kind, 35, inner[i], rows, ONE, ONE, 0,
                state);
        if (rows == 40) break;
      }
  /* columns that are packed in several turns, of more rows than go unpacked */
  const int64_t packed = is_thinned() ? 18 : 66;
  compare(0, 1, packed, 1024, 530, OF_ROWS, OF_COLUMNS, 0, state);
  compare(FORMAT_COUNT, 0, packed, 513, 530, ONE, ONE, 0, state);
  if (is_brief()) return;
  compare(0, 1, 2050, 40, 33, OF_ROWS, OF_COLUMNS, 0, state);
  compare(2, 0, 33, 40, 4100, OF_ROWS, OF_COLUMNS, 0, state);
  compare(0, 0, 3, 70, 4100, ONE, OF_COLUMNS, 0, state);
  compare(2, 1, 4100, 70, 2, OF_ROWS, ONE, 0, state);
  compare(1, 1, 200, 300, 200, OF_COLUMNS, OF_ROWS, 0, state);
  compare(2, 2, 200, 300, 200, ONE, OF_BLOCKS, 0, state);
}

/* Rows enough for panels of codes, about the ends of these: a float32 times each format, sums of
 * powers of two, which are exact, and others. */
static void few_rows(uint64_t *state) {
  static const int64_t sizes[][2] = {{512, 64}, {513, 65}, {33, 700}, {31, 1027}, {1030, 130}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i)
    for (int64_t rows = 7; rows <= 16; rows += is_brief() ? 9 : 3)
      for (int kind = 0; kind < FORMAT_COUNT; kind += is_brief() ? 2 : 1)
        compare(FORMAT_COUNT, kind, rows, sizes[i][0], sizes[i][1], ONE,
                (biases)(random_below(state, 2) * random_below(state, BIAS_LAYOUTS)),
                (int)random_below(state, 2), state);
  /* whose blocks have scales of their own, along the axis that is contiguous or the other */
  for (int64_t rows = 2; rows <= 16; rows += 7)
    for (int kind = 0; kind < FORMAT_COUNT; ++kind)
      for (int i = 0; i < 6; ++i)
        compare(FORMAT_COUNT, kind, rows, 200, 100, ONE, i % 2 ? OF_BLOCKS : OF_COLUMN_BLOCKS, 0,
                state);
}

/* Values whose products would be subnormal, or too large, if they were multiplied as they are. */
static void extremes(uint64_t *state) {
  for (int kind = 0; kind < 3; ++kind)
    for (int16_t bias = 0; bias <= 63; bias = (int16_t)(bias + 63)) {
      matrix a = make(kind, 40, 50, ONE, 0, 0, state), b = make(kind, 50, 40, ONE, 0, 0, state);
      float low[1600], high[1600];
      const int64_t strides[2] = {160, 4};
      a.biases[0] = b.biases[0] = 31;
      CHECK(multiply(&a, &b, 40, 50, 40, strides, low, 1) == CF_OK, "kind %d", kind);
      a.biases[0] = b.biases[0] = bias;
      CHECK(multiply(&a, &b, 40, 50, 40, strides, high, 1) == CF_OK, "kind %d", kind);
      size_t wrong = 0;
      for (int i = 0; i < 1600; ++i)
        wrong += high[i] != (float)ldexp((double)low[i], 2 * (31 - bias));
      CHECK(wrong == 0, "%zu of kind %d are not scaled by 2^%d", wrong, kind, 2 * (31 - bias));
      discard(&a);
      discard(&b);
    }
}

static void modes(uint64_t *state) {
  matrix a = make(2, 40, 300, ONE, 0, 0, state), b = make(FORMAT_COUNT, 300, 40, ONE, 0, 0, state);
  float plain[1600], changed[1600];
  const int64_t strides[2] = {160, 4};
  CHECK(multiply(&a, &b, 40, 300, 40, strides, plain, 1) == CF_OK, "plain");
#if defined(__x86_64__) || defined(__aarch64__)
  const int before = fegetround();
  fesetround(FE_UPWARD);
  const int status = multiply(&a, &b, 40, 300, 40, strides, changed, 1);
  CHECK(fegetround() == FE_UPWARD, "the mode is as it was");
  fesetround(before);
  CHECK(status == CF_OK && memcmp(plain, changed, sizeof plain) == 0,
        "results heed the rounding mode");
#else
  (void)changed;
#endif
  discard(&a);
  discard(&b);
}

static void refusals(uint64_t *state) {
  matrix a = make(0, 3, 3, ONE, 0, 0, state), b = make(1, 3, 3, ONE, 0, 0, state);
  float results[9];
  const int64_t strides[2] = {12, 4};
  a.given.type = CF_FLOAT64;
  CHECK(multiply(&a, &b, 3, 3, 3, strides, results, 1) == CF_BAD_TYPE, "float64");
  a.given.type = CF_CODES;
  CHECK(multiply(&a, &b, 3, -1, 3, strides, results, 1) == CF_BAD_LAYOUT, "a negative length");
  a.given.bias_block[1] = 0;
  CHECK(multiply(&a, &b, 3, 3, 3, strides, results, 1) == CF_BAD_LAYOUT, "blocks of nothing");
  a.given.bias_block[1] = 1;
  cf_format bad = FORMATS[0];
  bad.exponent_bits = 0;
  a.given.format = &bad;
  CHECK(multiply(&a, &b, 3, 3, 3, strides, results, 1) == CF_BAD_FORMAT, "a format");
  discard(&a);
  discard(&b);
}

/* Each of a stack by itself, and by threads that take some of it each. */
static void stacks(uint64_t *state) {
  enum { FIRST = 3, SECOND = 40, ROWS = 9, INNER = 33, COLUMNS = 17 };
  const int64_t shape[2] = {FIRST, SECOND};
  matrix a = make(0, SECOND * ROWS, INNER, OF_ROWS, 0, 0, state);
  matrix b = make(1, FIRST * INNER, COLUMNS, ONE, 0, 0, state);
  float *one = allocate(FIRST * SECOND * ROWS * COLUMNS * sizeof *one),
        *all = allocate(FIRST * SECOND * ROWS * COLUMNS * sizeof *all);
  const int64_t of_a[4] = {0, ROWS * a.strides[0], a.strides[0], a.strides[1]};
  const int64_t bias_of_a[4] = {0, ROWS * a.bias_strides[0], a.bias_strides[0], a.bias_strides[1]};
  const int64_t of_b[4] = {INNER * b.strides[0], 0, b.strides[0], b.strides[1]}, bias_of_b[4] = {0};
  const int64_t of_results[4] = {SECOND * ROWS * COLUMNS * 4, ROWS * COLUMNS * 4, COLUMNS * 4, 4};
  for (int threads = 1; threads <= 3; threads += 2) {
    cf_product product;
    memset(&product, 0, sizeof product);
    product.a = a.given;
    product.b = b.given;
    product.a.strides = of_a;
    product.a.bias_strides = bias_of_a;
    product.b.strides = of_b;
    product.b.bias_strides = bias_of_b;
    product.results = all;
    product.result_strides = of_results;
    product.stack_ndim = 2;
    product.stack_shape = shape;
    product.rows = ROWS;
    product.inner = INNER;
    product.columns = COLUMNS;
    CHECK(cf_matmul(&product, threads) == CF_OK, "%d threads", threads);
    product.stack_ndim = 0;
    product.a.strides = a.strides;
    product.a.bias_strides = a.bias_strides;
    product.b.strides = b.strides;
    product.b.bias_strides = b.bias_strides;
    product.result_strides = of_results + 2;
    for (int i = 0; i < FIRST; ++i)
      for (int j = 0; j < SECOND; ++j) {
        product.a.elements = (const char *)a.elements + j * of_a[1];
        product.a.biases = a.biases + j * bias_of_a[1] / (int64_t)sizeof *a.biases;
        product.b.elements = (const char *)b.elements + i * of_b[0];
        product.results = one + (i * SECOND + j) * ROWS * COLUMNS;
        CHECK(cf_matmul(&product, 1) == CF_OK, "%d, %d", i, j);
      }
    CHECK(memcmp(one, all, FIRST * SECOND * ROWS * COLUMNS * sizeof *one) == 0, "%d threads",
          threads);
  }
  discard(&a);
  discard(&b);
  free(one);
  free(all);
}

/* Where NaN has the whole of the top exponent, values end an exponent earlier: here they are just
 * within what needs no scaling apart. */
static void range_without_mantissa(void) {
  static const cf_format format = {6, 0, 1, CF_NONFINITE_NAN_ONLY, CF_SUBNORMALS_IEEE, 0, 0, 55};
  static const int16_t biases[2] = {0, 55};
  static const int64_t bias_strides[2] = {0, sizeof(int16_t)}, a_strides[2] = {2, 1};
  static const int64_t b_strides[2] = {sizeof(float), sizeof(float)};
  static const uint8_t codes[2] = {0x3E, 0x01};
  static const float ones[2] = {1, 1};
  float result = 0;
  const cf_product product = {{CF_CODES, &format, codes, a_strides, biases, bias_strides, {1, 1}},
                              {CF_FLOAT32, NULL, ones, b_strides, NULL, NULL, {1, 1}},
                              &result,
                              b_strides,
                              0,
                              NULL,
                              1,
                              2,
                              1};
  const cf_operand a = cf_operand_a(&product, 0);
  const cf_scaled scaled = cf_scaled_of(&a, &product.a);
  CHECK(scaled.is_centred, "shift %d, lowest %d", scaled.shift, scaled.lowest);
  CHECK(cf_matmul(&product, 1) == CF_OK && result == 0x1p62f, "%a", (double)result);
}

void test_matmul(void) {
  range_without_mantissa();
  uint64_t state = 5;
  edges(&state);
  pairings(&state);
  lengths(&state);
  few_rows(&state);
  extremes(&state);
  modes(&state);
  refusals(&state);
  stacks(&state);
}
