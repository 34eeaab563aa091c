/* The list of instruction sets, and the choice of one. */
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

static void check_active(const char *expected) {
  const char *name = NULL;
  const int status = cf_isa_name(&name);
  CHECK(status == CF_OK && strcmp(name, expected) == 0, "status %d, %s, expected %s", status, name,
        expected);
}

void test_isa(void) {
  static const char *const unknown[] = {"", "Portable", "portable ", "none"};
  const char *first, *start, *name = NULL;
  int available = -1, count = 0;
  int status = cf_isa_list(0, &first, &available);
  CHECK(status == CF_OK && available == 1 && strcmp(first, "portable") == 0, "%d, %d, %s", status,
        available, first);
  CHECK(cf_isa_list(-1, &name, &available) == CF_BAD_ISA, "index -1");
  CHECK(cf_isa_name(&start) == CF_OK, "no active ISA");

  for (; cf_isa_list(count, &name, &available) == CF_OK; ++count) {
    const char *const before = count == 0 ? start : "portable";
    CHECK(available == 0 || available == 1, "%s: %d", name, available);
    status = cf_isa_select(name);
    CHECK(status == (available ? CF_OK : CF_BAD_ISA), "%s: %d", name, status);
    check_active(available ? name : before);
    CHECK(cf_isa_select("portable") == CF_OK, "portable");
  }
  CHECK(cf_isa_list(count + 1, &name, &available) == CF_BAD_ISA, "index %d", count + 1);

  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) {
    CHECK(cf_isa_select(unknown[i]) == CF_BAD_ISA, "'%s'", unknown[i]);
    check_active("portable");
  }
  CHECK(cf_isa_select(start) == CF_OK, "%s", start);
}
