/* Kernels for AVX2. */
#include "convert/kernels.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

#include "core/scalar.h"
#include "cpu/float_modes.h"

CF_TARGET_BEGIN(CF_TARGET_AVX2)

#include "convert/lanes_avx2-inl.h"

/* Sixteen tables of sixteen: a shuffle takes the low nibble, and gives 0 where the upper bit is
 * set, which adding 0x70 with saturation does to all codes but those of the table's high nibble. */
static inline __m256i map_32_codes(const __m128i *tables, __m256i codes) {
  const __m256i others = _mm256_set1_epi8(0x70);
  __m256i results = _mm256_setzero_si256();
  for (int i = 0; i < 16; ++i) {
    const __m256i nibble = _mm256_set1_epi8((char)(16 * i));
    const __m256i index = _mm256_adds_epu8(_mm256_xor_si256(codes, nibble), others);
    const __m256i table = _mm256_broadcastsi128_si256(tables[i]);
    results = _mm256_or_si256(results, _mm256_shuffle_epi8(table, index));
  }
  return results;
}

static void map_8_avx2(const void *table, const uint8_t *codes, void *results, size_t count,
                       int streaming) {
  __m128i tables[16];
  uint8_t *to = results;
  memcpy(tables, table, sizeof tables);
  for (; count >= 32; count -= 32, codes += 32, to += 32) {
    const __m256i found = map_32_codes(tables, v_load(codes));
    if (streaming)
      v_stream(to, found);
    else
      v_store(to, found);
  }
  cf_kernels_portable.map_codes[0](table, codes, to, count, 0);
}

/* The shuffles take no notice of bits 4 to 6, and give 0 where bit 7 is set. */
static int any_of_avx2(const uint8_t *rows, const uint8_t *codes, size_t count) {
  const __m256i lower_half = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)rows));
  const __m256i upper_half =
      _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(rows + 16)));
  const __m256i power_of_2 = _mm256_set1_epi64x((long long)0x8040201008040201u);
  __m256i found = _mm256_setzero_si256();
  for (size_t i = 0; i < count; i += 32) {
    uint8_t padded[32];
    if (count - i < 32) {
      memset(padded, codes[i], sizeof padded);
      memcpy(padded, codes + i, count - i);
    }
    const __m256i code = v_load(count - i < 32 ? padded : codes + i);
    const __m256i row = _mm256_or_si256(
        _mm256_shuffle_epi8(lower_half, code),
        _mm256_shuffle_epi8(upper_half, _mm256_xor_si256(code, _mm256_set1_epi8(-128))));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(code, 4), _mm256_set1_epi8(7));
    found = _mm256_or_si256(found, _mm256_and_si256(row, _mm256_shuffle_epi8(power_of_2, high)));
  }
  return !_mm256_testz_si256(found, found);
}

#define MAP_CODES {map_8_avx2, NULL, NULL, NULL}
#define ANY_OF any_of_avx2
#include "convert/loops-inl.h"

CF_TARGET_END

const cf_kernels cf_kernels_avx2 = CF_LANE_KERNELS;

#else
const cf_kernels cf_kernels_avx2 = {.round_float32 = NULL};
#endif
