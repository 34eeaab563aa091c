/* cf_convert_strided over random layouts, element by element against cf_convert. */
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/tests.h"

enum { LAYOUTS = 2000, GARBAGE_STRIDE = 1000003 };

static const uint64_t SEED = 5;

/* A block of memory and where the elements of one operand are in it.  It is no larger than they
 * need, so that a sanitizer sees an access outside. */
typedef struct operand {
  size_t size; /* of an element */
  int64_t strides[CF_MAX_NDIM];
  int64_t origin; /* of element (0, 0, ...) */
  size_t bytes;
  char *memory;
} operand;

typedef struct shape {
  int ndim;
  int64_t lengths[CF_MAX_NDIM];
  size_t count; /* of elements */
} shape;

/* How much may be odd about an operand. */
enum oddity { CONTIGUOUS, SPREAD, BROADCAST };

static void shuffle(int *axes, int count, uint64_t *random) {
  for (int i = count - 1; i > 0; --i) {
    const int j = (int)random_below(random, (uint64_t)i + 1);
    const int moved = axes[i];
    axes[i] = axes[j];
    axes[j] = moved;
  }
}

/* CONTIGUOUS: row-major.  SPREAD: any order of axes, some backwards, with gaps of any number of
 * bytes. BROADCAST: SPREAD, and some strides are zero. */
static operand operand_new(const shape *shape, size_t size, enum oddity oddity, uint64_t *random) {
  operand made = {size, {0}, 0, 0, NULL};
  int axes[CF_MAX_NDIM];
  const int one_in = 2 + (int)random_below(random, 3);
  int64_t step = (int64_t)size;
  const int has_gaps = oddity != CONTIGUOUS && random_below(random, 2) == 0;
  if (has_gaps) step += (int64_t)random_below(random, 4);
  for (int i = 0; i < shape->ndim; ++i) axes[i] = shape->ndim - 1 - i;
  if (oddity != CONTIGUOUS && random_below(random, 2) == 0) shuffle(axes, shape->ndim, random);
  for (int i = 0; i < shape->ndim; ++i) {
    const int64_t length = shape->lengths[axes[i]];
    int64_t stride = step;
    if (oddity != CONTIGUOUS && random_below(random, (uint64_t)one_in) == 0) stride = -step;
    if (oddity == BROADCAST && random_below(random, (uint64_t)one_in) == 0) stride = 0;
    if (length == 1 && oddity != CONTIGUOUS) stride = GARBAGE_STRIDE; /* of no meaning */
    made.strides[axes[i]] = stride;
    if (stride == 0 || length <= 1) continue;
    if (stride < 0) made.origin += step * (length - 1);
    made.bytes += (size_t)(step * (length - 1));
    step *= length;
    if (has_gaps) step += (int64_t)random_below(random, 4);
  }
  const size_t lead = (size_t)random_below(random, 4); /* against alignment */
  made.origin += (int64_t)lead;
  made.bytes = shape->count == 0 ? 0 : made.bytes + size + lead;
  made.memory = allocate(made.bytes);
  for (size_t i = 0; i < made.bytes; ++i) made.memory[i] = (char)random_bits(random);
  return made;
}

/* Where element number `index` in row-major order is. */
static char *element(const operand *operand, const shape *shape, size_t index) {
  int64_t at = operand->origin;
  for (int i = shape->ndim - 1; i >= 0; --i) {
    const size_t length = (size_t)shape->lengths[i];
    at += (int64_t)(index % length) * operand->strides[i];
    index /= length;
  }
  return operand->memory + at;
}

static shape random_shape(uint64_t *random) {
  shape made = {0, {0}, 1};
  const uint64_t kind = random_below(random, 16);
  if (kind == 0) { /* rows of more than a piece */
    made.ndim = 1 + (int)random_below(random, 3);
    for (int i = 0; i < made.ndim; ++i) made.lengths[i] = 1 + (int64_t)random_below(random, 2);
    made.lengths[random_below(random, (uint64_t)made.ndim)] =
        CF_PIECE - 2 + (int64_t)random_below(random, CF_PIECE + 5);
  } else if (kind == 1) { /* as many axes as there may be */
    made.ndim = CF_MAX_NDIM;
    for (int i = 0; i < made.ndim; ++i) made.lengths[i] = 1;
    for (int i = 0; i < 6; ++i)
      made.lengths[random_below(random, CF_MAX_NDIM)] = 1 + (int64_t)random_below(random, 3);
  } else {
    made.ndim = (int)random_below(random, 6);
    for (int i = 0; i < made.ndim; ++i) made.lengths[i] = 1 + (int64_t)random_below(random, 4);
    if (kind == 2 && made.ndim > 0) made.lengths[random_below(random, (uint64_t)made.ndim)] = 0;
  }
  for (int i = 0; i < made.ndim; ++i) made.count *= (size_t)made.lengths[i];
  return made;
}

static void random_biases(operand *biases, const shape *shape, const cf_format *format,
                          uint64_t *random) {
  const uint64_t range = (uint64_t)(format->bias_max - format->bias_min) + 1;
  for (size_t i = 0; i < shape->count; ++i) {
    const int16_t bias = (int16_t)(format->bias_min + (int)random_below(random, range));
    memcpy(element(biases, shape, i), &bias, sizeof bias);
  }
}

/* Elements are of magnitudes that the format has, as bits that are random otherwise. */
static void random_elements(operand *source, const shape *shape, int type, int swapped,
                            const format_case *test, uint64_t *random) {
  const unsigned codes = 1u << code_bits(&test->format);
  cf_flags ignored = {0, 0, 0, 0};
  for (size_t i = 0; i < shape->count; ++i) {
    const unsigned code = (unsigned)random_below(random, codes);
    char bytes[8];
    uint64_t bits = random_bits(random);
    if (type == CF_CODES)
      bits = code;
    else if (type <= CF_BFLOAT16)
      bits = bits_of_number(type, number_of_code(&test->format, test->bias, code), &ignored) ^
             bits % 8;
    store_bits(bytes, source->size, bits);
    for (size_t byte = 0; byte < source->size; ++byte)
      element(source, shape, i)[byte] = bytes[swapped ? source->size - 1 - byte : byte];
  }
}

/* Steps in the random stream of a part of a larger array, whose axes may be longer; now and then
 * any at all. */
static void random_word_strides(int64_t *strides, const shape *shape, uint64_t *random) {
  const int any = random_below(random, 4) == 0;
  uint64_t step = 1; /* modulo 2^64: there may be very many axes */
  for (int i = shape->ndim - 1; i >= 0; --i) {
    strides[i] = any ? (int64_t)random_below(random, 20) - 10 : (int64_t)step;
    step *= (uint64_t)shape->lengths[i] + random_below(random, 3);
  }
}

/* Which word, from the first element's on, element number `index` takes. */
static uint64_t word_of(const shape *shape, const int64_t *strides, size_t index) {
  uint64_t word = 0;
  if (strides == NULL) return index;
  for (int i = shape->ndim - 1; i >= 0; --i) {
    const size_t length = (size_t)shape->lengths[i];
    word += (uint64_t)(index % length) * (uint64_t)strides[i];
    index /= length;
  }
  return word;
}

/* What the source's and the destination's memory must hold afterwards, by single calls of
 * cf_convert. */
static int one_by_one(const format_case *test, const operand *biases, const operand *source,
                      const char *source_memory, int swapped, int source_type, int rounding,
                      uint64_t offset, const int64_t *word_strides, int destination_type,
                      const operand *destination, char *expected, const shape *shape,
                      cf_flags *flags) {
  for (size_t i = 0; i < shape->count; ++i) {
    const char *from = source_memory + (element(source, shape, i) - source->memory);
    char *to = expected + (element(destination, shape, i) - destination->memory);
    char bytes[8];
    int16_t bias;
    memcpy(&bias, element(biases, shape, i), sizeof bias);
    for (size_t byte = 0; byte < source->size; ++byte)
      bytes[byte] = from[swapped ? source->size - 1 - byte : byte];
    const int status =
        cf_convert(&test->format, bias, source_type, bytes, rounding, SEED,
                   offset + word_of(shape, word_strides, i), destination_type, to, 1, 1, flags);
    if (status != CF_OK) return status;
  }
  return CF_OK;
}

static void random_layout(int number, uint64_t *random) {
  const int is_decode = random_below(random, 3) == 0;
  const format_case *test = &TESLA[random_below(random, TESLA_COUNT)];
  const int source_type = is_decode ? CF_CODES : (int)random_below(random, CF_CODES);
  const int destination_type =
      is_decode || random_below(random, 2) == 0 ? (int)random_below(random, 4) : CF_CODES;
  const int mode = (int)random_below(random, ROUNDING_COUNT);
  const int few_bits = mode == CF_STOCHASTIC && random_below(random, 2) == 0;
  const int variant = few_bits ? (int)random_below(random, CF_STOCHASTIC_C + 1) : CF_STOCHASTIC_A;
  const int rounding = mode + 16 * variant + (few_bits ? 256 * (int)random_below(random, 33) : 0);
  const int swapped = random_below(random, 3) == 0;
  const uint64_t offset = 1000000 + random_below(random, 100);
  const size_t source_size = type_size(&test->format, source_type);
  const size_t destination_size = type_size(&test->format, destination_type);
  const shape shape = random_shape(random);
  /* in place, the source's elements must be apart from each other */
  const int in_place = destination_size <= source_size && random_below(random, 4) == 0;
  operand source = operand_new(&shape, source_size,
                               random_below(random, 3) == 0 ? CONTIGUOUS
                               : in_place                   ? SPREAD
                                                            : BROADCAST,
                               random);
  operand biases = operand_new(&shape, sizeof(int16_t),
                               random_below(random, 5) == 0 ? CONTIGUOUS : BROADCAST, random);
  operand other = operand_new(&shape, destination_size,
                              random_below(random, 2) == 0 ? CONTIGUOUS : SPREAD, random);
  const operand *destination = in_place ? &source : &other;
  cf_flags flags = {1, 1, 1, 1}, expected_flags = {1, 1, 1, 1};

  /* the stream's own words, given in place of those of another stream */
  const int has_words = random_below(random, 3) == 0;
  /* of which words, if given, take no notice */
  const int has_strides = random_below(random, 2) == 0;
  int64_t word_strides[CF_MAX_NDIM];
  random_word_strides(word_strides, &shape, random);
  uint32_t *words = allocate(shape.count * sizeof *words);
  cf_random_words(SEED, offset, words, shape.count);
  random_elements(&source, &shape, source_type, swapped, test, random);
  random_biases(&biases, &shape, &test->format, random);
  char *source_before = allocate(source.bytes);
  memcpy(source_before, source.memory, source.bytes);
  char *expected = allocate(destination->bytes);
  memcpy(expected, destination->memory, destination->bytes);
  int status = one_by_one(test, &biases, &source, source_before, swapped, source_type, rounding,
                          offset, has_strides && !has_words ? word_strides : NULL, destination_type,
                          destination, expected, &shape, &expected_flags);
  CHECK(status == CF_OK, "status %d of a single element", status);

  const cf_layout layout = {
      shape.ndim,     swapped,        has_words ? words : NULL, shape.lengths,
      source.strides, biases.strides, destination->strides,     has_strides ? word_strides : NULL};
  status = cf_convert_strided(
      &test->format, (const int16_t *)(const void *)(biases.memory + biases.origin), source_type,
      source.memory + source.origin, rounding, has_words ? ~SEED : SEED,
      has_words ? ~offset : offset, destination_type, destination->memory + destination->origin,
      &layout, 1, &flags);
  CHECK(status == CF_OK, "layout %d: status %d", number, status);
  for (size_t i = 0; i < shape.count; ++i) {
    const char *got = element(destination, &shape, i);
    const char *reference = expected + (got - destination->memory);
    CHECK(memcmp(got, reference, destination_size) == 0,
          "layout %d (%s, %s%s to %s, ndim %d%s), element %zu: %llx, expected %llx", number,
          test->name, type_name(source_type), swapped ? " swapped" : "",
          type_name(destination_type), shape.ndim, in_place ? ", in place" : "", i,
          (unsigned long long)load_bits(got, destination_size),
          (unsigned long long)load_bits(reference, destination_size));
  }
  CHECK(memcmp(destination->memory, expected, destination->bytes) == 0,
        "layout %d: wrote between the elements, or wrong ones", number);
  CHECK(in_place || memcmp(source.memory, source_before, source.bytes) == 0,
        "layout %d: the source changed", number);
  CHECK(same_flags(&flags, &expected_flags), "layout %d: flags", number);
  free(source.memory);
  free(biases.memory);
  free(other.memory);
  free(words);
  free(source_before);
  free(expected);
}

/* No axes: one element, and no arrays of lengths and strides. */
static void no_axes(void) {
  const cf_layout layout = {0, 0, NULL, NULL, NULL, NULL, NULL, NULL};
  const int16_t bias = 3;
  const double one = 1;
  uint8_t code = 0;
  const int status = cf_convert_strided(&TESLA[0].format, &bias, CF_FLOAT64, &one, CF_TIES_TO_EVEN,
                                        0, 0, CF_CODES, &code, &layout, 1, NULL);
  CHECK(status == CF_OK && code == 0x18, "status %d, code %02x", status, code);
}

/* An empty axis anywhere: nothing is read or written, and no address needs to be one. */
static void empty_axis(void) {
  for (int empty = 0; empty < 3; ++empty) {
    int64_t lengths[3] = {2, 3, 4};
    const int64_t strides[3] = {96, 32, 8};
    const cf_layout layout = {3, 0, NULL, lengths, strides, strides, strides, NULL};
    lengths[empty] = 0;
    const int status = cf_convert_strided(&TESLA[0].format, NULL, CF_FLOAT64, NULL, CF_TIES_TO_EVEN,
                                          0, 0, CF_FLOAT64, NULL, &layout, 1, NULL);
    CHECK(status == CF_OK, "status %d", status);
  }
}

/* Elements of broadcast sources, and one for all, over more than a piece. */
static void one_for_all(void) {
  enum { COUNT = 2 * CF_PIECE + 10 };
  const int64_t length = COUNT, none = 0, step = 1;
  const cf_layout layout = {1, 0, NULL, &length, &none, &none, &step, NULL};
  const int16_t bias = 7;
  const float one = 1;
  static uint8_t codes[COUNT];
  const int status = cf_convert_strided(&TESLA[0].format, &bias, CF_FLOAT32, &one, CF_TIES_TO_EVEN,
                                        0, 0, CF_CODES, codes, &layout, 1, NULL);
  CHECK(status == CF_OK, "status %d", status);
  for (int i = 0; i < COUNT; ++i) CHECK(codes[i] == 0x38, "element %d: %02x", i, codes[i]);
}

void test_layouts(void) {
  uint64_t random = 2021;
  for (int number = 0; number < LAYOUTS; ++number) random_layout(number, &random);
  no_axes();
  empty_axis();
  one_for_all();
}
