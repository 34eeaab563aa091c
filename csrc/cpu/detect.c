/* Detection of instruction sets. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "cpu/detect.h"

#include <stdint.h>

#include "cpu/target.h"
#if defined(CF_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

int cf_cpu_has_portable(void) { return 1; }

#if defined(CF_NEON)
/* part of the architecture; lanes are read as if little-endian */
int cf_cpu_has_neon(void) { return 1; }
#else
int cf_cpu_has_neon(void) { return 0; }
#endif

#if defined(CF_X86_64)

#if defined(CF_MSVC)
#include <immintrin.h>
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
  int registers[4];
  __cpuidex(registers, (int)leaf, (int)subleaf);
  for (int i = 0; i < 4; ++i) out[i] = (uint32_t)registers[i];
}
static uint64_t xgetbv0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}
static uint64_t xgetbv0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}
#endif

static int bit(uint32_t word, int n) { return (int)(word >> n & 1); }

/* The register states that the operating system saves, as XCR0 has them; 0 where it cannot be
 * asked. */
static uint64_t saved_states(void) {
  uint32_t r[4];
  cpuid(0, 0, r);
  if (r[0] < 7) return 0; /* no leaf 7: older than AVX2 */
  cpuid(1, 0, r);
  return bit(r[2], 27) ? xgetbv0() : 0;
}

int cf_cpu_has_avx2(void) {
  const uint64_t ymm_states = 0x6;
  uint32_t r[4];
  if ((saved_states() & ymm_states) != ymm_states) return 0;
  cpuid(1, 0, r);
  const int popcnt = bit(r[2], 23), avx = bit(r[2], 28), fma = bit(r[2], 12);
  cpuid(7, 0, r);
  return popcnt && avx && fma && bit(r[1], 5);
}

int cf_cpu_has_avx512(void) {
  const uint64_t zmm_states = 0xE6;
  uint32_t r[4];
  if (!cf_cpu_has_avx2() || (saved_states() & zmm_states) != zmm_states) return 0;
  cpuid(7, 0, r);
  const int f = bit(r[1], 16), dq = bit(r[1], 17), bw = bit(r[1], 30), vl = bit(r[1], 31);
  return f && dq && bw && vl;
}

static int is_intel(void) {
  uint32_t r[4];
  cpuid(0, 0, r);
  return r[1] == 0x756E6547; /* "Genu" */
}

int cf_cpu_is_slow_streaming(void) { return is_intel(); }

#if defined(CF_AVX512BF16)
int cf_cpu_has_avx512bf16(void) {
  uint32_t r[4];
  if (!cf_cpu_has_avx512()) return 0;
  cpuid(7, 0, r);
  const int has_subleaf = r[0] >= 1, vbmi = bit(r[2], 1);
  cpuid(7, 1, r);
  return has_subleaf && vbmi && bit(r[0], 5);
}

int cf_cpu_is_slow_avx512bf16(void) { return is_intel(); }
#else
int cf_cpu_has_avx512bf16(void) { return 0; }
int cf_cpu_is_slow_avx512bf16(void) { return 0; }
#endif

#if defined(CF_AMX)
int cf_cpu_has_amx(void) {
  const uint64_t tile_states = 0x60000;
  /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  const int request_permission = 0x1023, tile_data = 18;
  uint32_t r[4];
  if (!cf_cpu_has_avx512bf16() || (saved_states() & tile_states) != tile_states) return 0;
  cpuid(7, 0, r);
  const int bf16 = bit(r[3], 22), tile = bit(r[3], 24);
  return bf16 && tile && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
int cf_cpu_has_amx(void) { return 0; }
#endif

#else
int cf_cpu_is_slow_streaming(void) { return 0; }
int cf_cpu_has_avx2(void) { return 0; }
int cf_cpu_has_avx512(void) { return 0; }
int cf_cpu_has_avx512bf16(void) { return 0; }
int cf_cpu_is_slow_avx512bf16(void) { return 0; }
int cf_cpu_has_amx(void) { return 0; }
#endif
