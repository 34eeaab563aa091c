#include "support/batch.h"

#include <stdlib.h>

#include "support/check.h"

static const uint64_t SEED = 0x9876543210, OFFSET = 1001;

/* What is expected of a batch in one rounding mode. */
typedef struct expectation {
  const char *name; /* of the format */
  const grid *grid;
  const batch *batch;
  int rounding;
  uint32_t *words;
  char *codes;
  uint64_t *values; /* float64s */
  cf_flags flags;
} expectation;

/* Calls add to the flags that are there. */
static const cf_flags FLAGS_BEFORE = {1, 20, 300, 4000};

static const char *element(const batch *batch, size_t i) {
  return (const char *)batch->elements + i * type_size(NULL, batch->type);
}

static number operand(const batch *batch, size_t i) {
  return number_of_bits(batch->type, load_bits(element(batch, i), type_size(NULL, batch->type)));
}

static void expect(expectation *e) {
  const size_t count = e->batch->count, code_size = type_size(&e->grid->format, CF_CODES);
  cf_flags ignored = {0, 0, 0, 0};
  e->words = allocate(count * sizeof *e->words);
  e->codes = allocate(count * code_size);
  e->values = allocate(count * sizeof *e->values);
  e->flags = FLAGS_BEFORE;
  cf_random_words(SEED, OFFSET, e->words, count);
  for (size_t i = 0; i < count; ++i) {
    const unsigned code =
        encode_number(e->grid, operand(e->batch, i), e->rounding, e->words[i], &e->flags);
    const number value = number_of_code(&e->grid->format, e->grid->bias, code);
    store_bits(e->codes + i * code_size, code_size, code);
    e->values[i] = bits_of_number(CF_FLOAT64, value, &ignored);
  }
}

static int convert(const expectation *e, size_t start, size_t count, int destination_type,
                   void *destination, cf_flags *flags) {
  return cf_convert(&e->grid->format, e->grid->bias, e->batch->type, element(e->batch, start),
                    e->rounding, SEED, OFFSET + start, destination_type, destination, count, 1,
                    flags);
}

static void check_elements(const expectation *e, int destination_type, const void *got,
                           const void *expected) {
  const size_t size = type_size(&e->grid->format, destination_type);
  const size_t i = first_difference(got, expected, size, e->batch->count);
  CHECK(
      i == e->batch->count,
      "%s bias %d %s to %s %s, element %zu is %llx (magnitude %a), word %08x: %llx, expected %llx",
      e->name, e->grid->bias, type_name(e->batch->type), type_name(destination_type),
      rounding_name(e->rounding), i,
      bits_at(element(e->batch, i), type_size(NULL, e->batch->type), 0),
      operand(e->batch, i).magnitude, (unsigned)e->words[i], bits_at(got, size, i),
      bits_at(expected, size, i));
}

/* The totals are wrong: reports the first element whose flags are wrong alone. */
static void check_flags_alone(const expectation *e) {
  for (size_t i = 0; i < e->batch->count; ++i) {
    const number x = operand(e->batch, i);
    cf_flags flags = {0, 0, 0, 0}, expected = {0, 0, 0, 0};
    uint16_t code;
    convert(e, i, 1, CF_CODES, &code, &flags);
    encode_number(e->grid, x, e->rounding, e->words[i], &expected);
    if (same_flags(&flags, &expected)) continue;
    CHECK(same_flags(&flags, &expected),
          "%s bias %d %s %s, element %zu of magnitude %a and sign %d, word %08x: %s, expected %s",
          e->name, e->grid->bias, type_name(e->batch->type), rounding_name(e->rounding), i,
          x.magnitude, x.sign, (unsigned)e->words[i], flags_text(&flags).text,
          flags_text(&expected).text);
    return;
  }
}

static void check_conversion(const expectation *e, int destination_type, const void *expected) {
  void *got = allocate(e->batch->count * type_size(&e->grid->format, destination_type));
  cf_flags flags = FLAGS_BEFORE;
  const int status = convert(e, 0, e->batch->count, destination_type, got, &flags);
  CHECK(status == CF_OK, "%s bias %d: status %d", e->name, e->grid->bias, status);
  check_elements(e, destination_type, got, expected);
  CHECK(same_flags(&flags, &e->flags), "%s bias %d %s to %s %s: totals %s, expected %s", e->name,
        e->grid->bias, type_name(e->batch->type), type_name(destination_type),
        rounding_name(e->rounding), flags_text(&flags).text, flags_text(&e->flags).text);
  if (!same_flags(&flags, &e->flags)) check_flags_alone(e);
  free(got);
}

void check_batch(const char *name, const grid *grid, const batch *batch) {
  for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding) {
    expectation e = {name, grid, batch, rounding, NULL, NULL, NULL, {0, 0, 0, 0}};
    expect(&e);
    check_conversion(&e, CF_CODES, e.codes);
    /* the way on from the codes knows no mode: trying it after half of them will do */
    if (rounding % 2 == 1) check_conversion(&e, CF_FLOAT64, e.values);
    free(e.words);
    free(e.codes);
    free(e.values);
  }
}
