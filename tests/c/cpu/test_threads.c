/* Threads: whatever their number, a call writes the same bytes and counts the same flags, at sizes
 * at which the elements are shared out differently, in place, and over layouts with biases. */
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

/* The core gives a thread of its own to so many elements, and shares in whole pieces. */
enum { SHARE = 1 << 16, LONGEST = 6 * SHARE + 3 * CF_PIECE, BOUND = 64 };

static const int THREADS[] = {2, 5};
enum { THREADS_COUNT = sizeof THREADS / sizeof *THREADS };

/* Where a share ends or one thread more is started, and one element to each side. */
static const size_t LENGTHS[] = {
    SHARE,         2 * SHARE - 1, 2 * SHARE,     2 * SHARE + 1, 2 * SHARE + CF_PIECE + 1,
    3 * SHARE - 1, 5 * SHARE,     5 * SHARE + 1, LONGEST - 1,
};
enum { LENGTHS_COUNT = sizeof LENGTHS / sizeof *LENGTHS };

static const uint64_t SEED = 3, OFFSET = 5;

typedef struct conversion {
  const format_case *test;
  int source_type, destination_type;
  size_t source_size, destination_size;
  int rounding;
} conversion;

static conversion conversion_of(const format_case *test, int source_type, int destination_type,
                                int rounding) {
  const conversion made = {test,
                           source_type,
                           destination_type,
                           type_size(&test->format, source_type),
                           type_size(&test->format, destination_type),
                           rounding};
  return made;
}

/* Elements of which about one in 30 raises a flag, and one in 100 is any bits. */
static void fill(const conversion *c, char *elements, size_t count) {
  const unsigned codes = 1u << code_bits(&c->test->format);
  uint64_t random = 17;
  for (size_t i = 0; i < count; ++i) {
    uint64_t bits = random_bits(&random);
    const int is_any = bits % 100 == 0;
    if (c->source_type == CF_CODES) {
      bits = bits >> 32 & (codes - 1);
    } else if (!is_any && c->source_type == CF_FLOAT32) {
      bits = (bits >> 32 & 0x807FFFFFu) | (127 - 11 + (bits >> 8) % 22) << 23;
    } else if (!is_any && c->source_type == CF_FLOAT64) {
      bits = (bits & 0x800FFFFFFFFFFFFFu) | (1023 - 11 + (bits >> 40) % 22) << 52;
    }
    store_bits(elements + i * c->source_size, c->source_size, bits);
  }
}

static int convert(const conversion *c, const void *source, void *destination, size_t count,
                   int threads, cf_flags *flags) {
  return cf_convert(&c->test->format, c->test->bias, c->source_type, source, c->rounding, SEED,
                    OFFSET, c->destination_type, destination, count, threads, flags);
}

static void check_same(const conversion *c, const char *what, size_t count, int threads,
                       const char *got, const char *expected) {
  const size_t i = first_difference(got, expected, c->destination_size, count);
  CHECK(i == count,
        "%s %s to %s %s, %zu elements, %d threads%s: element %zu is %llx, expected %llx",
        c->test->name, type_name(c->source_type), type_name(c->destination_type),
        rounding_name(c->rounding), count, threads, what, i, bits_at(got, c->destination_size, i),
        bits_at(expected, c->destination_size, i));
}

static void check_same_flags(const conversion *c, size_t count, int threads, const cf_flags *got,
                             const cf_flags *expected) {
  CHECK(same_flags(got, expected), "%s %s to %s %s, %zu elements, %d threads: %s, expected %s",
        c->test->name, type_name(c->source_type), type_name(c->destination_type),
        rounding_name(c->rounding), count, threads, flags_text(got).text,
        flags_text(expected).text);
}

/* With and without counting, and in place where the result is not larger.  `memory` and `expected`
 * have room for the source and the result. */
static void at_length(const conversion *c, const char *elements, size_t count, char *memory,
                      char *expected) {
  const cf_flags before = {1, 20, 300, 4000};
  const size_t bytes = count * c->destination_size;
  cf_flags expected_flags = before;
  int status = convert(c, elements, expected, count, 1, &expected_flags);
  CHECK(status == CF_OK, "status %d", status);
  for (int i = 0; i < THREADS_COUNT; ++i) {
    cf_flags flags = before;
    memset(memory, 0x5A, bytes + BOUND);
    status = convert(c, elements, memory, count, THREADS[i], &flags);
    CHECK(status == CF_OK, "status %d", status);
    check_same(c, "", count, THREADS[i], memory, expected);
    check_same_flags(c, count, THREADS[i], &flags, &expected_flags);
    for (size_t j = bytes; j < bytes + BOUND; ++j)
      CHECK(memory[j] == 0x5A, "%zu elements, %d threads: wrote beyond them", count, THREADS[i]);
    if (c->destination_size > c->source_size) continue;
    flags = before;
    memcpy(memory, elements, count * c->source_size);
    status = convert(c, memory, memory, count, THREADS[i], i == 0 ? NULL : &flags);
    CHECK(status == CF_OK, "status %d", status);
    check_same(c, " in place", count, THREADS[i], memory, expected);
    if (i != 0) check_same_flags(c, count, THREADS[i], &flags, &expected_flags);
    CHECK(memcmp(memory + bytes, elements + bytes, count * c->source_size - bytes) == 0,
          "%zu elements, %d threads, in place: wrote beyond them", count, THREADS[i]);
  }
}

/* The first conversion at every length, the others at a few. */
static void lengths(char *elements, char *memory, char *expected) {
  const conversion conversions[] = {
      conversion_of(&TESLA[0], CF_FLOAT32, CF_CODES, CF_STOCHASTIC),
      conversion_of(&TESLA[0], CF_FLOAT32, CF_FLOAT32, CF_STOCHASTIC),
      conversion_of(&TESLA[11], CF_FLOAT32, CF_CODES, CF_TIES_TO_EVEN),
      conversion_of(&TESLA[3], CF_FLOAT64, CF_CODES, CF_TOWARD_ZERO),
      conversion_of(&TESLA[6], CF_FLOAT64, CF_FLOAT32, CF_TOWARD_NEGATIVE),
      conversion_of(&TESLA[1], CF_CODES, CF_FLOAT32, CF_TIES_TO_EVEN),
      conversion_of(&TESLA[11], CF_CODES, CF_FLOAT64, CF_TIES_TO_EVEN),
      conversion_of(&TESLA[4], CF_INT16, CF_CODES, CF_STOCHASTIC),
  };
  for (size_t i = 0; i < sizeof conversions / sizeof *conversions; ++i) {
    fill(&conversions[i], elements, LONGEST);
    for (size_t j = 0; j < LENGTHS_COUNT; ++j) {
      const int takes_turns = i != 0 || is_thinned();
      if (takes_turns && j % 4 != i % 4) continue;
      at_length(&conversions[i], elements, LENGTHS[j], memory, expected);
    }
  }
}

/* Numbers of threads of which there are not so many. */
static void odd_numbers(char *elements, char *memory, char *expected) {
  static const int odd[] = {-1, 0, CF_MAX_THREADS, CF_MAX_THREADS + 1, 1 << 30};
  const conversion c = conversion_of(&TESLA[0], CF_FLOAT32, CF_CODES, CF_STOCHASTIC);
  const size_t count = 3 * SHARE + 1;
  fill(&c, elements, count);
  convert(&c, elements, expected, count, 1, NULL);
  for (size_t i = 0; i < sizeof odd / sizeof *odd; ++i) {
    memset(memory, 0, count);
    const int status = convert(&c, elements, memory, count, odd[i], NULL);
    CHECK(status == CF_OK, "%d threads: status %d", odd[i], status);
    check_same(&c, "", count, odd[i], memory, expected);
  }
}

/* What the layouts below have in common: rows and columns, and one bias for each row or column. */
typedef struct table {
  int64_t shape[2];
  int64_t source_strides[2], bias_strides[2], destination_strides[2];
  const uint32_t *words;
  const int64_t *word_strides;
} table;

static int convert_table(const conversion *c, const table *t, const int16_t *biases,
                         const char *source, char *destination, int threads, cf_flags *flags) {
  const cf_layout layout = {2,
                            0,
                            t->words,
                            t->shape,
                            t->source_strides,
                            t->bias_strides,
                            t->destination_strides,
                            t->word_strides};
  return cf_convert_strided(&c->test->format, biases, c->source_type, source, c->rounding, SEED,
                            OFFSET, c->destination_type, destination, &layout, threads, flags);
}

enum { ROWS = 773, COLUMNS = 701 }; /* eight shares and a bit; no share ends with a row */

static void check_table(const conversion *c, const char *what, const table *t, int16_t *biases,
                        const char *elements, char *memory, char *expected) {
  const size_t count = ROWS * COLUMNS;
  cf_flags expected_flags = {0, 0, 0, 0};
  memset(expected, 0, count * c->destination_size);
  int status = convert_table(c, t, biases, elements, expected, 1, &expected_flags);
  CHECK(status == CF_OK, "%s: status %d", what, status);
  for (int i = 0; i < THREADS_COUNT; ++i) {
    cf_flags flags = {0, 0, 0, 0};
    memset(memory, 0, count * c->destination_size);
    status = convert_table(c, t, biases, elements, memory, THREADS[i], &flags);
    CHECK(status == CF_OK, "%s: status %d", what, status);
    check_same(c, what, count, THREADS[i], memory, expected);
    check_same_flags(c, count, THREADS[i], &flags, &expected_flags);
  }
  /* a wrong bias is found by whichever thread it falls to */
  const int64_t last =
      (t->shape[0] - 1) * t->bias_strides[0] + (t->shape[1] - 1) * t->bias_strides[1];
  int16_t *const wrong = biases + last / (int64_t)sizeof *biases;
  const int16_t right = *wrong;
  *wrong = (int16_t)(c->test->format.bias_max + 1);
  for (int threads = 1; threads <= 5; threads += 2) {
    status = convert_table(c, t, biases, elements, memory, threads, NULL);
    CHECK(status == CF_BAD_BIAS, "%s, %d threads: status %d", what, threads, status);
  }
  *wrong = right;
}

static void tables(char *elements, char *memory, char *expected) {
  static int16_t biases[ROWS * COLUMNS];
  uint32_t *words = allocate(ROWS * COLUMNS * sizeof *words);
  const conversion encode = conversion_of(&TESLA[0], CF_FLOAT32, CF_CODES, CF_STOCHASTIC);
  const conversion round = conversion_of(&TESLA[4], CF_FLOAT32, CF_FLOAT32, CF_STOCHASTIC);
  fill(&encode, elements, ROWS * COLUMNS);
  cf_random_words(8, 1, words, ROWS * COLUMNS);
  for (int i = 0; i < ROWS * COLUMNS; ++i) biases[i] = (int16_t)(4 + i % 7);
  {
    const table rows = {{ROWS, COLUMNS}, {4 * COLUMNS, 4}, {2, 0}, {COLUMNS, 1}, NULL, NULL};
    check_table(&encode, " with a bias a row", &rows, biases, elements, memory, expected);
  }
  {
    const table columns = {{ROWS, COLUMNS}, {4 * COLUMNS, 4}, {0, 2}, {4 * COLUMNS, 4}, NULL, NULL};
    check_table(&round, " with a bias a column", &columns, biases, elements, memory, expected);
  }
  {
    const table each = {
        {ROWS, COLUMNS}, {4 * COLUMNS, 4}, {2 * COLUMNS, 2}, {COLUMNS, 1}, words, NULL};
    check_table(&encode, " with words and a bias each", &each, biases, elements, memory, expected);
  }
  {
    const table turned = {{COLUMNS, ROWS}, {4, 4 * COLUMNS}, {2, 0}, {ROWS, 1}, words, NULL};
    check_table(&encode, " with words, transposed", &turned, biases, elements, memory, expected);
  }
  {
    /* rows of a wider array */
    const int64_t steps[2] = {COLUMNS + 5, 1};
    const table part = {{ROWS, COLUMNS}, {4 * COLUMNS, 4}, {2, 0}, {COLUMNS, 1}, NULL, steps};
    check_table(&encode, " of a wider array", &part, biases, elements, memory, expected);
  }
  free(words);
}

/* A smaller result over its own source, as cf_convert_strided sees it. */
static void table_in_place(char *elements, char *memory, char *expected) {
  static const int16_t biases[COLUMNS] = {3, 9, 5};
  const conversion c = conversion_of(&TESLA[0], CF_FLOAT32, CF_CODES, CF_STOCHASTIC);
  const table t = {{ROWS, COLUMNS}, {4 * COLUMNS, 4}, {0, 2}, {COLUMNS, 1}, NULL, NULL};
  const size_t count = ROWS * COLUMNS;
  fill(&c, elements, count);
  convert_table(&c, &t, biases, elements, expected, 1, NULL);
  for (int i = 0; i < THREADS_COUNT; ++i) {
    memcpy(memory, elements, count * c.source_size);
    const int status = convert_table(&c, &t, biases, memory, memory, THREADS[i], NULL);
    CHECK(status == CF_OK, "status %d", status);
    check_same(&c, ", a table in place", count, THREADS[i], memory, expected);
  }
}

void test_threads(void) {
  char *elements = allocate(LONGEST * 8), *memory = allocate(LONGEST * 8 + BOUND);
  char *expected = allocate(LONGEST * 8);
  lengths(elements, memory, expected);
  odd_numbers(elements, memory, expected);
  tables(elements, memory, expected);
  table_in_place(elements, memory, expected);
  free(elements);
  free(memory);
  free(expected);
}
