/* The caller's floating-point modes have no say in any result, and are as they were afterwards. */
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/oracle.h"
#include "support/products.h"
#include "support/tests.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

enum { COUNT = 1100 };

/* What else than the rounding direction may be set: subnormals taken for zero and written as zero;
 * and with that whatever there is, traps or default NaNs and another reading of float16. */
enum extras { NOTHING, FLUSHING, EVERYTHING };

typedef struct float_mode {
  const char *name;
  int rounding;
  enum extras extras;
} float_mode;

static const float_mode MODES[] = {
    {"to nearest", FE_TONEAREST, NOTHING},
    {"upward", FE_UPWARD, NOTHING},
    {"downward", FE_DOWNWARD, NOTHING},
    {"toward zero", FE_TOWARDZERO, NOTHING},
    {"to nearest, flushing", FE_TONEAREST, FLUSHING},
    {"upward, flushing", FE_UPWARD, FLUSHING},
    {"downward, flushing", FE_DOWNWARD, FLUSHING},
    {"toward zero, flushing", FE_TOWARDZERO, FLUSHING},
    {"upward and everything", FE_UPWARD, EVERYTHING},
};
enum { MODES_COUNT = sizeof MODES / sizeof MODES[0] };

/* The control register without what operations leave in it. */
#if defined(__x86_64__) || defined(_M_X64)
static unsigned long long control(void) { return _mm_getcsr() & ~0x3Fu; }
static void set_extras(enum extras extras) {
  const unsigned flushing = 0x8040u, masks = 0x1F80u; /* FTZ and DAZ; of exceptions */
  if (extras == FLUSHING) _mm_setcsr(_mm_getcsr() | flushing);
  if (extras == EVERYTHING) _mm_setcsr((_mm_getcsr() | flushing) & ~masks);
}
#elif defined(__aarch64__) && defined(__GNUC__)
static unsigned long long control(void) {
  unsigned long long fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  return fpcr;
}
static void set_extras(enum extras extras) {
  const unsigned long long all[] = {0, 0x01000000, 0x07080000}; /* FZ; and AHP, DN, FZ16 */
  __asm__ volatile("msr fpcr, %0" : : "r"(control() | all[extras]));
}
#else
#define NO_MODES /* only the portable code runs here, and the emulators know no other mode */
#endif

#ifndef NO_MODES
/* One conversion, and what the portable code makes of it in the default mode. */
typedef struct conversion {
  const format_case *test;
  int source_type, destination_type, rounding;
  const char *elements;
  char *expected;
  cf_flags expected_flags;
} conversion;

static int convert(const conversion *c, char *destination, cf_flags *flags) {
  return cf_convert(&c->test->format, c->test->bias, c->source_type, c->elements, c->rounding, 7, 0,
                    c->destination_type, destination, COUNT, 1, flags);
}

/* Nothing but the conversion takes place in the mode. */
static void in_mode(const conversion *c, const float_mode *mode, int counting) {
  const size_t size = type_size(&c->test->format, c->destination_type);
  char *got = allocate(COUNT * size);
  cf_flags flags = {0, 0, 0, 0};
  fenv_t before;
  fegetenv(&before);
  fesetround(mode->rounding);
  set_extras(mode->extras);
  const unsigned long long control_before = control();
  const int status = convert(c, got, counting ? &flags : NULL);
  const unsigned long long control_after = control();
  const int rounding_after = fegetround();
  fesetenv(&before);

  CHECK(status == CF_OK, "status %d", status);
  CHECK(control_after == control_before && rounding_after == mode->rounding,
        "%s to %s %s, %s: control register %llx, was %llx; rounding %d, was %d",
        type_name(c->source_type), type_name(c->destination_type), rounding_name(c->rounding),
        mode->name, control_after, control_before, rounding_after, mode->rounding);
  const size_t i = first_difference(got, c->expected, size, COUNT);
  CHECK(i == COUNT, "%s %s to %s %s, %s%s: element %zu is %llx, expected %llx", c->test->name,
        type_name(c->source_type), type_name(c->destination_type), rounding_name(c->rounding),
        mode->name, counting ? ", counting" : "", i, bits_at(got, size, i),
        bits_at(c->expected, size, i));
  CHECK(!counting || same_flags(&flags, &c->expected_flags), "%s %s to %s %s, %s: %s, expected %s",
        c->test->name, type_name(c->source_type), type_name(c->destination_type),
        rounding_name(c->rounding), mode->name, flags_text(&flags).text,
        flags_text(&c->expected_flags).text);
  free(got);
}

static void in_every_mode(const format_case *test, int source_type, const char *elements,
                          int destination_type, int rounding) {
  conversion c = {test, source_type, destination_type, rounding, elements, NULL, {0, 0, 0, 0}};
  const char *isa;
  c.expected = allocate(COUNT * type_size(&test->format, destination_type));
  CHECK(cf_isa_name(&isa) == CF_OK, "no active ISA");
  CHECK(cf_isa_select("portable") == CF_OK, "portable");
  CHECK(convert(&c, c.expected, &c.expected_flags) == CF_OK, "%s", test->name);
  CHECK(cf_isa_select(isa) == CF_OK, "%s", isa);
  for (int i = 0; i < MODES_COUNT; ++i) {
    in_mode(&c, &MODES[i], 1);
    in_mode(&c, &MODES[i], 0);
  }
  free(c.expected);
}

/* Values of the format and what is next to them, and now and then any bits at all: subnormals of
 * the source's type and signalling NaNs too. */
static void fill(const format_case *test, int type, char *elements, uint64_t *random) {
  const unsigned codes = 1u << code_bits(&test->format);
  const size_t size = type_size(&test->format, type);
  cf_flags ignored = {0, 0, 0, 0};
  for (size_t i = 0; i < COUNT; ++i) {
    const unsigned code = (unsigned)random_below(random, codes);
    const uint64_t any = random_bits(random), kind = random_below(random, 8);
    uint64_t bits = any;
    if (type == CF_CODES) {
      bits = code;
    } else if (kind > 1) {
      bits = bits_of_number(type, number_of_code(&test->format, test->bias, code), &ignored);
      if (kind > 3) bits ^= any >> (random_below(random, 8 * size - 9) + 64 - 8 * size + 9);
    } else if (kind == 1 && type == CF_FLOAT32) {
      bits = any & 0x807FFFFF;
    }
    store_bits(elements + i * size, size, bits);
  }
}

/* Exact, or rounded to a format after each addition. */
static int multiply(test_product *p, int is_exact, int threads) {
  product_clear(p);
  if (is_exact) return cf_matmul_exact(&p->product, threads);
  return cf_matmul_rounded(&p->product, &TESLA[7].format, 15, CF_TIES_TO_EVEN, 0, 0, 0, 2, threads);
}

/* float32 whose products are subnormals, and codes; the result is made in the default mode
 * first. */
static void products_in_every_mode(int element_type, int is_exact) {
  const operand_kind kind = {element_type, &TESLA[6]};
  uint64_t random = 9;
  test_product p = product_new(kind, kind, (product_shape){0, 40, 30, 50}, FINITE_ELEMENTS,
                               GREATEST_BIAS, GREATEST_BIAS, ROW_MAJOR, &random);
  char *expected = allocate(p.results_size);
  CHECK(multiply(&p, is_exact, 1) == CF_OK, "the default mode");
  memcpy(expected, p.results, p.results_size);
  for (int i = 0; i < 2 * MODES_COUNT; ++i) {
    const float_mode *mode = &MODES[i / 2];
    fenv_t before;
    fegetenv(&before);
    fesetround(mode->rounding);
    set_extras(mode->extras);
    const unsigned long long control_before = control();
    const int status = multiply(&p, is_exact, 1 + i % 2);
    const unsigned long long control_after = control();
    fesetenv(&before);
    CHECK(status == CF_OK, "status %d", status);
    CHECK(control_after == control_before, "%s: control register %llx, was %llx", mode->name,
          control_after, control_before);
    CHECK(memcmp(expected, p.results, p.results_size) == 0, "%s, %s: a product is another",
          mode->name, is_exact ? "exact" : "rounded");
  }
  free(expected);
  product_free(&p);
}

/* What errors and searches make of float32, many of which are subnormal. */
enum { VALUES = 2048, ROWS = 8, BIASES = 64, SCHEMES = 4 };
typedef struct statistics {
  double of_bins[BIASES], at_biases[BIASES], least[ROWS], scheme_sums[SCHEMES], signal;
  float peaks[ROWS], values[SCHEMES][VALUES];
  cf_rounding_stats rounding;
  int16_t biases[ROWS];
} statistics;

static int find_statistics(const float *values, const float *inside, const double *edges,
                           const double *ones, statistics *found, int threads) {
  static const cf_format searched = {
      4, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_WHITEPAPER, 1, 70, 70 + BIASES - 1};
  const cf_format wide = {7, 3, 1, CF_NONFINITE_NONE, CF_SUBNORMALS_IEEE, 1, 120, 140};
  const cf_scheme schemes[SCHEMES] = {
      {wide, 140, 0, CF_SCALE_REAL, CF_EACH_ROW, 0},
      {wide, 124, 0, CF_SCALE_POWER, CF_EACH_BLOCK, 32},
      {wide, 120, 0, CF_SCALE_E8M0, CF_EACH_BLOCK, 32},
      {wide, 127, 8, CF_SCALE_REAL, CF_EACH_TENSOR, 0},
  };
  const int64_t length = VALUES / ROWS, stride = length * (int64_t)sizeof *values;
  cf_rows matrix = {values, ROWS, length, stride, found->peaks, found->peaks};
  int status =
      cf_errors_of_bins(&searched, inside, edges, ones, ones, VALUES, found->of_bins, threads);
  status |=
      cf_errors_at_biases(&searched, CF_FLOAT32, values, VALUES, 0, found->at_biases, threads);
  status |= cf_least_errors(&searched, 100, CF_FLOAT32, values, ROWS, length, stride, length, 0,
                            found->biases, found->least, threads);
  status |= cf_rounding_errors(&searched, 120, values, VALUES, &found->rounding);
  status |= cf_row_peaks(&matrix, found->peaks, threads);
  status |=
      cf_scheme_errors(schemes, SCHEMES, &matrix, 1, found->scheme_sums, &found->signal, threads);
  for (int i = 0; i < SCHEMES; ++i)
    status |= cf_scheme_values(schemes + i, &matrix, found->values[i], threads);
  return status;
}

static void statistics_in_every_mode(void) {
  float *values = allocate(VALUES * sizeof *values), *inside = allocate(VALUES * sizeof *inside);
  double *edges = allocate(VALUES * sizeof *edges), *ones = allocate(VALUES * sizeof *ones);
  statistics *expected = allocate(sizeof *expected), *found = allocate(sizeof *found);
  uint64_t random = 10;
  for (int i = 0; i < VALUES; ++i) {
    /* rows of subnormals alone; others up to 2^-100 */
    const uint32_t top = i < VALUES / 2 ? (uint32_t)1 << 23 : (uint32_t)27 << 23;
    const uint32_t bits = (uint32_t)random_below(&random, top) | (uint32_t)random_below(&random, 2)
                                                                     << 31;
    const uint32_t edge = bits & 0xFFFF0000u, above = edge | 1;
    float at_edge;
    memcpy(values + i, &bits, sizeof bits);
    memcpy(inside + i, &above, sizeof above);
    memcpy(&at_edge, &edge, sizeof edge);
    edges[i] = (double)at_edge;
    ones[i] = ldexp(1, -135);
  }
  memset(expected, 0, sizeof *expected);
  CHECK(find_statistics(values, inside, edges, ones, expected, 1) == CF_OK, "the default mode");
  for (int i = 0; i < MODES_COUNT; ++i) {
    const float_mode *mode = &MODES[i];
    fenv_t before;
    memset(found, 0, sizeof *found);
    fegetenv(&before);
    fesetround(mode->rounding);
    set_extras(mode->extras);
    const unsigned long long control_before = control();
    const int status = find_statistics(values, inside, edges, ones, found, 1);
    const unsigned long long control_after = control();
    fesetenv(&before);
    CHECK(status == CF_OK, "status %d", status);
    CHECK(control_after == control_before, "%s: control register %llx, was %llx", mode->name,
          control_after, control_before);
#define SAME(field)                                                                       \
  CHECK(memcmp(&expected->field, &found->field, sizeof found->field) == 0, "%s: " #field, \
        mode->name)
    SAME(of_bins);
    SAME(at_biases);
    SAME(biases);
    SAME(least);
    SAME(rounding);
    SAME(peaks);
    SAME(scheme_sums);
    SAME(signal);
    SAME(values);
#undef SAME
  }
  free(values);
  free(inside);
  free(edges);
  free(ones);
  free(expected);
  free(found);
}

/* For callers who compute: long double too, which has a control word of its own. */
static int sums_are_nearest(void) {
  volatile double one = 1, little = 0x1p-60, tiny = 0x1p-1074, half = 0.5;
  volatile long double long_one = 1, long_little = 0x1p-120L;
  return one + little == 1 && -one - little == -1 && tiny * one != 0 && tiny * half == 0 &&
         3 * tiny * half == 2 * tiny && long_one + long_little == 1 &&
         -long_one - long_little == -1;
}

static void callers_in_every_mode(void) {
  CHECK(cf_float_modes_check() == CF_OK && sums_are_nearest(), "the default mode");
  for (int i = 0; i < MODES_COUNT; ++i) {
    uint64_t modes;
    fenv_t before;
    fegetenv(&before);
    fesetround(MODES[i].rounding);
    set_extras(MODES[i].extras);
    const unsigned long long control_before = control();
    const int check_before = cf_float_modes_check();
    const int entered = cf_float_modes_enter(&modes);
    const int check_inside = cf_float_modes_check(), are_nearest = sums_are_nearest();
    const int left = cf_float_modes_leave(modes);
    const unsigned long long control_after = control();
    const int rounding_after = fegetround();
    fesetenv(&before);
    CHECK(check_before == (i == 0 ? CF_OK : CF_OTHER_MODES), "%s: %d", MODES[i].name, check_before);
    CHECK(entered == CF_OK && left == CF_OK, "%s", MODES[i].name);
    CHECK(check_inside == CF_OK && are_nearest, "%s: not the default modes inside", MODES[i].name);
    CHECK(control_after == control_before && rounding_after == MODES[i].rounding,
          "%s: control register %llx, was %llx; rounding %d", MODES[i].name, control_after,
          control_before, rounding_after);
  }
}

static void modes_for_tests(void) {
  const int directions[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  volatile double tiny = 0x1p-1074, one = 1;
  for (int i = 0; i < 8; ++i) {
    fenv_t before;
    fegetenv(&before);
    const int status = cf_float_modes_set(i / 2, i % 2), direction = fegetround();
    const int flushes = tiny * one == 0;
    fesetenv(&before);
    CHECK(status == CF_OK && direction == directions[i / 2] && flushes == i % 2,
          "mode %d: status %d, direction %d, flushing %d", i, status, direction, flushes);
  }
  CHECK(cf_float_modes_set(4, 0) == CF_BAD_ROUNDING, "no such direction");
}

void test_float_modes(void) {
  static const int sources[] = {CF_FLOAT32, CF_FLOAT64, CF_FLOAT16, CF_BFLOAT16, CF_INT32};
  const format_case *const formats[] = {&TESLA[0],  &TESLA[4],  &TESLA[6],  &TESLA[11],
                                        &OTHERS[1], &OTHERS[2], &OTHERS[4], &OTHERS[9]};
  char *elements = allocate(COUNT * 8);
  uint64_t random = 8;
  callers_in_every_mode();
  modes_for_tests();
  statistics_in_every_mode();
  for (int i = 0; i < 4; ++i) products_in_every_mode(i < 2 ? CF_CODES : CF_FLOAT32, i % 2);
  for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i) {
    for (size_t j = 0; j < sizeof sources / sizeof *sources; ++j) {
      fill(formats[i], sources[j], elements, &random);
      for (int rounding = 0; rounding < ROUNDING_COUNT; ++rounding) {
        in_every_mode(formats[i], sources[j], elements, CF_CODES, rounding);
        in_every_mode(formats[i], sources[j], elements, CF_FLOAT32, rounding);
      }
    }
    fill(formats[i], CF_CODES, elements, &random);
    for (int type = CF_FLOAT64; type <= CF_BFLOAT16; ++type)
      in_every_mode(formats[i], CF_CODES, elements, type, CF_TIES_TO_EVEN);
  }
  free(elements);
}
#else
void test_float_modes(void) { CHECK(MODES_COUNT > 0, "no modes"); }
#endif
