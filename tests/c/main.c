/* Tests of the C core, without Python: its exported functions, and the scalar arithmetic behind
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/kernels.h"
#include "support/check.h"
#include "support/tests.h"

typedef struct test {
  const char *name;
  void (*run)(void);
} test;

static const test ONCE[] = {
    {"test_binades", test_binades},
    {"test_histogram", test_histogram},
    {"test_random", test_random},
    {"test_arithmetic", test_arithmetic},
    {"test_scalar", test_scalar},
    {"test_formats", test_formats},
    {"test_isa", test_isa},
    {"test_pool", test_pool},
    {"test_compensate", test_compensate},
};
static const test ON_EACH_ISA[] = {
    {"test_choose_biases", test_choose_biases},
    {"test_decode", test_decode},
    {"test_encode", test_encode},
    {"test_stochastic", test_stochastic},
    {"test_lengths", test_lengths},
    {"test_layouts", test_layouts},
    {"test_status", test_status},
    {"test_threads", test_threads},
    {"test_float_modes", test_float_modes},
    {"test_map_codes", test_map_codes},
    {"test_large", test_large},
    {"test_errors", test_errors},
    {"test_sums", test_sums},
    {"test_bin_errors", test_bin_errors},
    {"test_schemes", test_schemes},
    {"test_adamw", test_adamw},
    {"test_sgd", test_sgd},
    {"test_code_loops", test_code_loops},
    {"test_matmul_exact", test_matmul_exact},
    {"test_matmul_rounded", test_matmul_rounded},
};

static const test ON_EACH_MATMUL[] = {
    {"test_matmul", test_matmul},
    {"test_matmul_flat", test_matmul_flat},
};

/* Whether a list of names with commas between them has one in it. */
static int is_listed(const char *list, const char *name) {
  const size_t length = strlen(name);
  while (list != NULL) {
    const char *comma = strchr(list, ',');
    const size_t listed = comma != NULL ? (size_t)(comma - list) : strlen(list);
    if (listed == length && memcmp(list, name, length) == 0) return 1;
    list = comma != NULL ? comma + 1 : NULL;
  }
  return 0;
}
static int is_required(const char *isa) { return is_listed(getenv("CFLOAT_REQUIRE_ISA"), isa); }

static void run(const test *tests, size_t count, const char *isa) {
  for (size_t i = 0; i < count; ++i) {
    const char *chosen = getenv("CFLOAT_C_TESTS");
    if (chosen != NULL && !is_listed(chosen, tests[i].name)) continue;
    const unsigned long checks_before = checks_passed + checks_failed;
    check_begin(tests[i].name, isa);
    tests[i].run();
    CHECK(checks_passed + checks_failed > checks_before, "%s checked nothing", tests[i].name);
  }
}

int main(void) {
  const char *isa, *chosen = getenv("CFLOAT_C_ISAS");
  int available;
  int taken = 0;
  const cf_kernels *last = NULL;
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what was printed before a crash is there to read */
  run(ONCE, sizeof ONCE / sizeof ONCE[0], "any ISA");
  for (int i = 0; cf_isa_list(i, &isa, &available) == CF_OK; ++i) {
    check_begin("main", isa);
    CHECK(available || !is_required(isa), "CFLOAT_REQUIRE_ISA names %s, and this CPU lacks it",
          isa);
    if (!available) {
      printf("%s: this CPU lacks it\n", isa);
      continue;
    }
    if (chosen != NULL && !is_listed(chosen, isa)) {
      printf("%s: left out, CFLOAT_C_ISAS does not name it\n", isa);
      continue;
    }
    ++taken;
    CHECK(cf_isa_select(isa) == CF_OK, "%s", isa);
    if (cf_active_kernels() != last)
      run(ON_EACH_ISA, sizeof ON_EACH_ISA / sizeof ON_EACH_ISA[0], isa);
    last = cf_active_kernels(); /* some ISAs differ only in matrix products */
    run(ON_EACH_MATMUL, sizeof ON_EACH_MATMUL / sizeof ON_EACH_MATMUL[0], isa);
  }
  check_begin("main", "any ISA");
  CHECK(taken > 0, "CFLOAT_C_ISAS names no instruction set that this CPU has");
  CHECK(checks_passed > 0, "CFLOAT_C_TESTS names no test");
  printf("%lu passed, %lu failed\n", checks_passed, checks_failed);
  return checks_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
