/* One operation of the C core on COUNT elements, for count_instructions.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"

static const cf_format F8 = {4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
static const cf_format SHP = {5, 10, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 0, 63};
enum { BIAS = 7, SHP_BIAS = 31, INNER = 1024 };

static void *reserve(size_t bytes) {
  void *made = aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (made == NULL) exit(3);
  memset(made, 0, bytes);
  return made;
}

/* Values of several magnitudes and both signs, none of which is subnormal in float16. */
static float value(size_t i) {
  const uint32_t bits = (uint32_t)i * 2654435761U;
  const float magnitude = 0.01F + (float)(bits >> 16 & 0xFFFF) / 16384.0F;
  return bits & 1 ? -magnitude : magnitude;
}

static void *values_of(int type, size_t count) {
  float *values = reserve(4 * count);
  for (size_t i = 0; i < count; ++i) values[i] = value(i);
  if (type == CF_FLOAT32) return values;
  static const cf_format HALF = {5, 10, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 15, 15};
  static const cf_format BRAIN = {8, 7, 1, CF_NONFINITE_IEEE, CF_SUBNORMALS_IEEE, 0, 127, 127};
  const int is_half = type == CF_FLOAT16;
  void *made = reserve(2 * count);
  if (cf_convert(is_half ? &HALF : &BRAIN, is_half ? 15 : 127, CF_FLOAT32, values, CF_TIES_TO_EVEN,
                 0, 0, CF_CODES, made, count, 1, NULL) != CF_OK)
    exit(3);
  return made;
}

static void *codes_of(const cf_format *format, int bias, size_t count) {
  void *codes = reserve(2 * count);
  float *values = values_of(CF_FLOAT32, count);
  if (cf_convert(format, bias, CF_FLOAT32, values, CF_TIES_TO_EVEN, 0, 0, CF_CODES, codes, count, 1,
                 NULL) != CF_OK)
    exit(3);
  return codes;
}

typedef struct row {
  const char *name;
  const cf_format *format;
  int bias;
  enum { ENCODE, DECODE, PRODUCT, VECTOR } kind;
  int type; /* of the values */
  int mode; /* rounding, or cf_accumulate */
  int flags;
} row;

static const row ROWS[] = {
    {"float32 -> 1_4_3", &F8, BIAS, ENCODE, CF_FLOAT32, CF_TIES_TO_EVEN, 0},
    {"float32 -> 1_4_3, flags", &F8, BIAS, ENCODE, CF_FLOAT32, CF_TIES_TO_EVEN, 1},
    {"float32 -> 1_4_3, ties to away", &F8, BIAS, ENCODE, CF_FLOAT32, CF_TIES_TO_AWAY, 0},
    {"float32 -> 1_4_3, toward zero", &F8, BIAS, ENCODE, CF_FLOAT32, CF_TOWARD_ZERO, 0},
    {"float32 -> 1_4_3, stochastic", &F8, BIAS, ENCODE, CF_FLOAT32, CF_STOCHASTIC, 0},
    {"float16 -> 1_4_3", &F8, BIAS, ENCODE, CF_FLOAT16, CF_TIES_TO_EVEN, 0},
    {"bfloat16 -> 1_4_3", &F8, BIAS, ENCODE, CF_BFLOAT16, CF_TIES_TO_EVEN, 0},
    {"float32 -> SHP", &SHP, SHP_BIAS, ENCODE, CF_FLOAT32, CF_TIES_TO_EVEN, 0},
    {"float32 -> SHP, flags", &SHP, SHP_BIAS, ENCODE, CF_FLOAT32, CF_TIES_TO_EVEN, 1},
    {"float32 -> SHP, stochastic", &SHP, SHP_BIAS, ENCODE, CF_FLOAT32, CF_STOCHASTIC, 0},
    {"1_4_3 -> float32", &F8, BIAS, DECODE, CF_FLOAT32, 0, 0},
    {"1_4_3 -> float16", &F8, BIAS, DECODE, CF_FLOAT16, 0, 0},
    {"1_4_3 -> float64", &F8, BIAS, DECODE, CF_FLOAT64, 0, 0},
    {"SHP -> float32", &SHP, SHP_BIAS, DECODE, CF_FLOAT32, 0, 0},
    {"SHP -> float16", &SHP, SHP_BIAS, DECODE, CF_FLOAT16, 0, 0},
    {"SHP -> bfloat16", &SHP, SHP_BIAS, DECODE, CF_BFLOAT16, 0, 0},
    {"SHP -> float64", &SHP, SHP_BIAS, DECODE, CF_FLOAT64, 0, 0},
    {"1_4_3 x vector", &F8, BIAS, VECTOR, CF_FLOAT32, CF_ACCUMULATE_FLOAT32, 0},
    {"SHP x vector", &SHP, SHP_BIAS, VECTOR, CF_FLOAT32, CF_ACCUMULATE_FLOAT32, 0},
    {"1_4_3 @ 1_4_3", &F8, BIAS, PRODUCT, CF_CODES, CF_ACCUMULATE_FLOAT32, 0},
    {"SHP @ SHP", &SHP, SHP_BIAS, PRODUCT, CF_CODES, CF_ACCUMULATE_FLOAT32, 0},
    {"1_4_3 @ 1_4_3, exact", &F8, BIAS, PRODUCT, CF_CODES, CF_ACCUMULATE_EXACT, 0},
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

enum { SIDE = 128 };

typedef struct operands {
  void *first, *second, *results;
} operands;

/* `count` is of elements; of products, of columns of b, with SIDE rows and an inner axis of SIDE.
 */
static operands prepare(const row *of, size_t count) {
  operands made = {NULL, NULL, NULL};
  const size_t first = of->kind == PRODUCT ? (size_t)SIDE * SIDE : count;
  made.first =
      of->kind == ENCODE ? values_of(of->type, count) : codes_of(of->format, of->bias, first);
  if (of->kind == VECTOR) made.second = values_of(CF_FLOAT32, INNER);
  if (of->kind == PRODUCT) made.second = codes_of(of->format, of->bias, SIDE * count);
  made.results = reserve(of->kind == PRODUCT ? 4 * SIDE * count : 8 * count);
  return made;
}

static int call(const row *of, const operands *on, size_t count) {
  cf_flags flags = {0, 0, 0, 0};
  switch (of->kind) {
    case ENCODE:
      return cf_convert(of->format, of->bias, of->type, on->first, of->mode, 5, 0, CF_CODES,
                        on->results, count, 1, of->flags ? &flags : NULL);
    case DECODE:
      return cf_convert(of->format, of->bias, CF_CODES, on->first, 0, 0, 0, of->type, on->results,
                        count, 1, NULL);
    case VECTOR:
      return cf_matmul_contiguous(of->mode, 1, (int64_t)count / INNER, INNER, 1, CF_CODES,
                                  of->format, of->bias, on->first, CF_FLOAT32, NULL, 0, on->second,
                                  on->results, 1);
    default:
      return cf_matmul_contiguous(of->mode, 1, SIDE, SIDE, (int64_t)count, CF_CODES, of->format,
                                  of->bias, on->first, CF_CODES, of->format, of->bias, on->second,
                                  on->results, 1);
  }
}

/* count ISA ROW COUNT CALLS; or no argument, for what there is: names, and whether products. */
int main(int argc, char **argv) {
  if (argc == 1)
    for (int i = 0; i < ROW_COUNT; ++i)
      printf("%s\t%d\n", ROWS[i].name, ROWS[i].kind == PRODUCT ? SIDE * SIDE : 1);
  if (argc == 1) return 0;
  if (argc != 5 || cf_isa_select(argv[1]) != CF_OK) return 2;
  const row *of = &ROWS[atoi(argv[2])];
  const size_t count = (size_t)atol(argv[3]);
  const operands on = prepare(of, count);
  for (int calls = atoi(argv[4]); calls > 0; --calls)
    if (call(of, &on, count) != CF_OK) return 1;
  return 0;
}
