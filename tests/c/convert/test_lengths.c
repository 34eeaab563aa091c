/* cf_convert at every short length and around CF_PIECE, in memory without alignment, and in place:
 * each element must come out as it does alone, and nothing else be touched. */
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { LONGEST = 2 * CF_PIECE + 1, BOUND = 8 };

/* One conversion: formats and types that the lengths are tried with. */
typedef struct conversion {
  const format_case *test;
  int source_type, destination_type;
  size_t source_size, destination_size;
  int rounding;
} conversion;

static int convert(const conversion *c, const void *source, uint64_t offset, void *destination,
                   size_t count, cf_flags *flags) {
  return cf_convert(&c->test->format, c->test->bias, c->source_type, source, c->rounding, 99,
                    offset, c->destination_type, destination, count, 1, flags);
}

static void check_equal(const conversion *c, const char *what, size_t count, size_t shift,
                        const char *got, const char *expected) {
  const size_t size = c->destination_size;
  const size_t i = first_difference(got, expected, size, count);
  CHECK(i == count,
        "%s %s to %s %s, %zu elements %s at byte %zu: element %zu is %llx, expected %llx",
        c->test->name, type_name(c->source_type), type_name(c->destination_type),
        rounding_name(c->rounding), count, what, shift, i, bits_at(got, size, i),
        bits_at(expected, size, i));
}

/* Memory ends where the elements do, so that a sanitizer sees one that is read or written
 * beyond. */
static void at_length(const conversion *c, size_t count, size_t shift, const char *elements,
                      const char *expected, const cf_flags *expected_flags) {
  const size_t source_bytes = count * c->source_size;
  const size_t destination_bytes = count * c->destination_size;
  char *source = allocate(shift + source_bytes);
  char *destination = allocate(shift + destination_bytes + BOUND);
  cf_flags flags = {0, 0, 0, 0};
  memcpy(source + shift, elements, source_bytes);
  memset(destination, 0x5A, shift + destination_bytes + BOUND);
  int status = convert(c, source + shift, 17, destination + shift, count, &flags);
  CHECK(status == CF_OK, "status %d", status);
  check_equal(c, "apart", count, shift, destination + shift, expected);
  CHECK(same_flags(&flags, expected_flags), "%s %s to %s, %zu elements", c->test->name,
        type_name(c->source_type), type_name(c->destination_type), count);
  CHECK(memcmp(source + shift, elements, source_bytes) == 0, "%zu elements changed", count);
  for (size_t i = 0; i < shift + BOUND; ++i) {
    const size_t byte = i < shift ? i : destination_bytes + i;
    CHECK(destination[byte] == 0x5A, "%zu elements at byte %zu: wrote byte %zu", count, shift,
          byte);
  }
  if (c->destination_size <= c->source_size) {
    status = convert(c, source + shift, 17, source + shift, count, NULL);
    CHECK(status == CF_OK, "status %d", status);
    check_equal(c, "in place", count, shift, source + shift, expected);
    CHECK(memcmp(source + shift + destination_bytes, elements + destination_bytes,
                 source_bytes - destination_bytes) == 0,
          "%zu elements in place: wrote beyond them", count);
  }
  free(source);
  free(destination);
}

/* Elements of every magnitude that the format has, and now and then any bits at all. */
static void fill(const conversion *c, char *elements, uint64_t *random) {
  const unsigned codes = 1u << code_bits(&c->test->format);
  cf_flags ignored = {0, 0, 0, 0};
  for (size_t i = 0; i < LONGEST; ++i) {
    const unsigned code = (unsigned)random_below(random, codes);
    uint64_t bits = random_bits(random);
    if (c->source_type == CF_CODES)
      bits = code;
    else if (c->source_type <= CF_BFLOAT16 && i % 5 != 0)
      bits = bits_of_number(c->source_type, number_of_code(&c->test->format, c->test->bias, code),
                            &ignored) ^
             bits % 8;
    store_bits(elements + i * c->source_size, c->source_size, bits);
  }
}

static int is_tried(size_t count) {
  return count <= 70 || (count >= 255 && count <= 257) ||
         (count >= CF_PIECE - 1 && count <= CF_PIECE + 1) || count == LONGEST;
}

static void every_length(const conversion *c, uint64_t *random) {
  char *elements = allocate(LONGEST * c->source_size);
  char *expected = allocate(LONGEST * c->destination_size);
  cf_flags expected_flags = {0, 0, 0, 0};
  fill(c, elements, random);
  for (size_t count = 0; count <= LONGEST; ++count) {
    if (is_tried(count))
      at_length(c, count, (size_t)random_below(random, 8), elements, expected, &expected_flags);
    if (count < LONGEST)
      convert(c, elements + count * c->source_size, 17 + count,
              expected + count * c->destination_size, 1, &expected_flags);
  }
  free(elements);
  free(expected);
}

void test_lengths(void) {
  uint64_t random = 11;
  static const int formats[] = {0, 4, 6, 11}; /* of TESLA: each of them, and each reading */
  for (int i = 0; i < 4; ++i) {
    const format_case *test = &TESLA[formats[i]];
    for (int source_type = 0; source_type < TYPE_COUNT; ++source_type) {
      for (int value_type = -1; value_type <= CF_BFLOAT16; ++value_type) {
        const int destination_type = value_type < 0 ? CF_CODES : value_type;
        if (source_type == CF_CODES && destination_type == CF_CODES) continue;
        const int rounding = (int)random_below(&random, 2) ? CF_STOCHASTIC : CF_TIES_TO_EVEN;
        const conversion c = {test,
                              source_type,
                              destination_type,
                              type_size(&test->format, source_type),
                              type_size(&test->format, destination_type),
                              rounding};
        every_length(&c, &random);
      }
    }
  }
}
