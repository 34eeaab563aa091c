/* Which instruction set's kernels are used. */
#include <string.h>

#include "arithmetic/loops.h"
#include "convert/kernels.h"
#include "cpu/detect.h"
#include "matmul/kernels/float64_tile.h"
#include "matmul/kernels/tile.h"
#include "optimize/loops.h"
#include "stats/error_kernels.h"
#include "stats/scheme_loops.h"

/* An instruction set, and the best kernels it has of each kind; where it adds none of a kind, an
 * older one's. */
typedef struct isa {
  const char *name;
  int (*available)(void);
  const cf_kernels *elementwise;
  const cf_error_kernels *errors;
  const cf_tiles *float32, *bfloat16;
  const cf_float64_tile *float64;
  const cf_scheme_loops *schemes;
  const cf_optimizer_loops *optimizers;
  const cf_arithmetic_loops *arithmetic;
  int (*slow)(void); /* NULL, or whether the one before is faster */
} isa;

/* Best last. */
static const isa isas[] = {
    {"portable", cf_cpu_has_portable, &cf_kernels_portable, &cf_error_kernels_portable,
     &cf_tiles_portable, NULL, &cf_float64_tile_portable, &cf_scheme_loops_portable,
     &cf_optimizer_loops_portable, &cf_arithmetic_loops_portable, NULL},
    {"neon", cf_cpu_has_neon, &cf_kernels_neon, &cf_error_kernels_neon, &cf_tiles_neon, NULL,
     &cf_float64_tile_neon, &cf_scheme_loops_portable, &cf_optimizer_loops_neon,
     &cf_arithmetic_loops_portable, NULL},
    {"avx2", cf_cpu_has_avx2, &cf_kernels_avx2, &cf_error_kernels_avx2, &cf_tiles_avx2, NULL,
     &cf_float64_tile_avx2, &cf_scheme_loops_avx2, &cf_optimizer_loops_avx2,
     &cf_arithmetic_loops_avx2, NULL},
    {"avx512", cf_cpu_has_avx512, &cf_kernels_avx512, &cf_error_kernels_avx512, &cf_tiles_avx512,
     NULL, &cf_float64_tile_avx512, &cf_scheme_loops_avx512, &cf_optimizer_loops_avx512,
     &cf_arithmetic_loops_avx512, NULL},
    {"avx512bf16", cf_cpu_has_avx512bf16, &cf_kernels_avx512, &cf_error_kernels_avx512,
     &cf_tiles_avx512, &cf_tiles_avx512bf16, &cf_float64_tile_avx512, &cf_scheme_loops_avx512,
     &cf_optimizer_loops_avx512, &cf_arithmetic_loops_avx512, cf_cpu_is_slow_avx512bf16},
    {"amx", cf_cpu_has_amx, &cf_kernels_avx512, &cf_error_kernels_avx512, &cf_tiles_avx512,
     &cf_tiles_amx, &cf_float64_tile_avx512, &cf_scheme_loops_avx512, &cf_optimizer_loops_avx512,
     &cf_arithmetic_loops_avx512, NULL},
};
enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

/* The portable one until cf_isa_select is called, which the binding does on import. */
static const isa *active = &isas[0];

const cf_kernels *cf_active_kernels(void) { return active->elementwise; }

const cf_error_kernels *cf_active_error_kernels(void) { return active->errors; }

const cf_tiles *cf_active_tiles(cf_packing packing) {
  return packing == CF_PACKED_FLOAT32 ? active->float32 : active->bfloat16;
}

const cf_float64_tile *cf_active_float64_tile(void) { return active->float64; }

const cf_scheme_loops *cf_active_scheme_loops(void) { return active->schemes; }

const cf_optimizer_loops *cf_active_optimizer_loops(void) { return active->optimizers; }
const cf_arithmetic_loops *cf_active_arithmetic_loops(void) { return active->arithmetic; }

int cf_isa_list(int index, const char **name, int *available) {
  if (index < 0 || index >= (int)ISA_COUNT) return CF_BAD_ISA;
  *name = isas[index].name;
  *available = isas[index].available();
  return CF_OK;
}

int cf_isa_name(const char **name) {
  *name = active->name;
  return CF_OK;
}

int cf_isa_select(const char *name) {
  for (int i = (int)ISA_COUNT - 1; i >= 0; --i) {
    if (name != NULL && strcmp(name, isas[i].name) != 0) continue;
    if (name == NULL && isas[i].slow != NULL && isas[i].slow()) continue;
    if (isas[i].available()) {
      active = &isas[i];
      return CF_OK;
    }
  }
  return CF_BAD_ISA;
}
