/* Which instruction set's kernels are used. */
#include <string.h>

#include "cf_cpu.h"
#include "cf_kernels.h"

typedef struct isa {
  const cf_kernels *kernels;
  int (*available)(void);
} isa;

#define ISA_ENTRY(name) {&cf_kernels_##name, cf_cpu_has_##name},
static const isa isas[] = {CF_FOR_EACH_ISA(ISA_ENTRY)};
enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

/* The portable table until cf_isa_select is called, which the binding does on import. */
static const cf_kernels *active = &cf_kernels_portable;

const cf_kernels *cf_active_kernels(void) { return active; }

int cf_isa_list(int index, const char **name, int *available) {
  if (index < 0 || index >= (int)ISA_COUNT) return CF_BAD_ISA;
  *name = isas[index].kernels->name;
  *available = isas[index].available();
  return CF_OK;
}

int cf_isa_name(const char **name) {
  *name = active->name;
  return CF_OK;
}

int cf_isa_select(const char *name) {
  for (int i = (int)ISA_COUNT - 1; i >= 0; --i) {
    if (name != NULL && strcmp(name, isas[i].kernels->name) != 0) continue;
    if (isas[i].available()) {
      active = isas[i].kernels;
      return CF_OK;
    }
  }
  return CF_BAD_ISA;
}
