/* Kernels for NEON (Advanced SIMD of 64-bit Arm). */
#include "convert/kernels.h"
#include "cpu/target.h"

#if defined(CF_NEON)
#include <arm_neon.h>
#include <string.h>

#include "core/scalar.h"
#include "cpu/float_modes.h"

#include "convert/lanes_neon-inl.h"

/* Four tables of 64; of an index beyond its own, a table keeps what is there. */
static void map_8_neon(const void *table, const uint8_t *codes, void *results, size_t count,
                       int streaming) {
  const uint8_t *from = table;
  uint8_t *to = results;
  uint8x16x4_t tables[4];
  (void)streaming;
  for (int i = 0; i < 16; ++i) tables[i / 4].val[i % 4] = vld1q_u8(from + 16 * i);
  for (; count >= 16; count -= 16, codes += 16, to += 16) {
    const uint8x16_t index = vld1q_u8(codes);
    uint8x16_t found = vqtbl4q_u8(tables[0], index);
    for (int i = 1; i < 4; ++i)
      found = vqtbx4q_u8(found, tables[i], vsubq_u8(index, vdupq_n_u8((uint8_t)(64 * i))));
    vst1q_u8(to, found);
  }
  cf_kernels_portable.map_codes[0](table, codes, to, count, 0);
}

#define MAP_CODES {map_8_neon, NULL, NULL, NULL}
#define ANY_OF NULL
#include "convert/loops-inl.h"

const cf_kernels cf_kernels_neon = CF_LANE_KERNELS;

#else
const cf_kernels cf_kernels_neon = {.round_float32 = NULL};
#endif
