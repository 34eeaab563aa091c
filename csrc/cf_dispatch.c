/* Which instruction set's kernels are used. */
#include <string.h>

#include "cf_kernels.h"

#define TABLE_ADDRESS(name) &cf_kernels_##name,
static const cf_kernels *const tables[] = {CF_FOR_EACH_ISA(TABLE_ADDRESS)};
enum { TABLE_COUNT = sizeof tables / sizeof tables[0] };

static const cf_kernels *active = &cf_kernels_portable;

const cf_kernels *cf_active_kernels(void) { return active; }

int cf_isa_list(int index, const char **name, int *available) {
  if (index < 0 || index >= (int)TABLE_COUNT) return CF_BAD_ISA;
  *name = tables[index]->name;
  *available = 1;
  return CF_OK;
}

int cf_isa_name(const char **name) {
  *name = active->name;
  return CF_OK;
}

int cf_isa_select(const char *name) {
  for (int i = 0; i < (int)TABLE_COUNT; ++i) {
    if (strcmp(name, tables[i]->name) == 0) {
      active = tables[i];
      return CF_OK;
    }
  }
  return CF_BAD_ISA;
}
