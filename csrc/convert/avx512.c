/* Kernels for AVX-512 F, BW, DQ and VL. */
#include "convert/kernels.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

#include "core/scalar.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512)

#include "convert/lanes_avx512-inl.h"

/* Sixteen tables of sixteen: a shuffle takes the low nibble, and gives 0 where the upper bit is
 * set, which adding 0x70 with saturation does to all codes but those of the table's high nibble. */
static inline __m512i map_64_codes(const __m128i *tables, __m512i codes) {
  const __m512i others = _mm512_set1_epi8(0x70);
  __m512i results = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const __m512i nibble = _mm512_set1_epi8((char)(16 * i));
    const __m512i index = _mm512_adds_epu8(_mm512_xor_si512(codes, nibble), others);
    const __m512i table = _mm512_broadcast_i32x4(tables[i]);
    results = _mm512_or_si512(results, _mm512_shuffle_epi8(table, index));
  }
  return results;
}

/* Two registers at a time by permutation; which two, by the upper bits. */
static inline __m512i map_32_codes(const __m512i *tables, __m512i codes) {
  const __mmask32 bit6 = _mm512_test_epi16_mask(codes, _mm512_set1_epi16(0x40));
  const __mmask32 bit7 = _mm512_test_epi16_mask(codes, _mm512_set1_epi16(0x80));
  __m512i of_64[4];
  for (int i = 0; i < 4; ++i)
    of_64[i] = _mm512_permutex2var_epi16(tables[2 * i], codes, tables[2 * i + 1]);
  return _mm512_mask_blend_epi16(bit7, _mm512_mask_blend_epi16(bit6, of_64[0], of_64[1]),
                                 _mm512_mask_blend_epi16(bit6, of_64[2], of_64[3]));
}

static inline __m512i map_16_codes(const __m512i *tables, __m512i codes) {
  const __mmask16 bit5 = _mm512_test_epi32_mask(codes, _mm512_set1_epi32(0x20));
  const __mmask16 bit6 = _mm512_test_epi32_mask(codes, _mm512_set1_epi32(0x40));
  const __mmask16 bit7 = _mm512_test_epi32_mask(codes, _mm512_set1_epi32(0x80));
  __m512i of_64[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    of_64[i] = _mm512_mask_blend_epi32(
        bit5, _mm512_permutex2var_epi32(tables[4 * i], codes, tables[4 * i + 1]),
        _mm512_permutex2var_epi32(tables[4 * i + 2], codes, tables[4 * i + 3]));
  return _mm512_mask_blend_epi32(bit7, _mm512_mask_blend_epi32(bit6, of_64[0], of_64[1]),
                                 _mm512_mask_blend_epi32(bit6, of_64[2], of_64[3]));
}

#define LOAD_16(codes) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes)))
#define LOAD_32(codes) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(codes)))
#define LOAD_64(codes) _mm512_loadu_si512(codes)

#define DEFINE_MAP(bits, log2_size, register_t, piece)                                    \
  static void map_##bits##_avx512(const void *table, const uint8_t *codes, void *results, \
                                  size_t count, int streaming) {                          \
    register_t tables[256 * (bits / 8) / sizeof(register_t)];                             \
    char *to = results;                                                                   \
    memcpy(tables, table, sizeof tables);                                                 \
    for (; count >= piece; count -= piece, codes += piece, to += 64) {                    \
      const __m512i found = map_##piece##_codes(tables, LOAD_##piece(codes));             \
      if (streaming)                                                                      \
        v_stream(to, found);                                                              \
      else                                                                                \
        v_store(to, found);                                                               \
    }                                                                                     \
    cf_kernels_portable.map_codes[log2_size](table, codes, to, count, 0);                 \
  }
DEFINE_MAP(8, 0, __m128i, 64)
DEFINE_MAP(16, 1, __m512i, 32)
DEFINE_MAP(32, 2, __m512i, 16)

/* The shuffles take no notice of bits 4 to 6, and give 0 where bit 7 is set. */
static int any_of_avx512(const uint8_t *rows, const uint8_t *codes, size_t count) {
  const __m512i lower_half = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)rows));
  const __m512i upper_half = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(rows + 16)));
  const __m512i power_of_2 = _mm512_set1_epi64((long long)0x8040201008040201u);
  __m512i found = _mm512_setzero_si512();
  for (size_t i = 0; i < count; i += 64) {
    const __mmask64 rest = count - i < 64 ? UINT64_MAX >> (64 - (count - i)) : UINT64_MAX;
    const __m512i code = _mm512_maskz_loadu_epi8(rest, codes + i);
    const __m512i row = _mm512_or_si512(
        _mm512_shuffle_epi8(lower_half, code),
        _mm512_shuffle_epi8(upper_half, _mm512_xor_si512(code, _mm512_set1_epi8(-128))));
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(code, 4), _mm512_set1_epi8(7));
    const __m512i bit = _mm512_maskz_shuffle_epi8(rest, power_of_2, high);
    found = _mm512_ternarylogic_epi64(found, row, bit, 0xF8); /* found | row & bit */
  }
  return _mm512_test_epi64_mask(found, found) != 0;
}

#define MAP_CODES {map_8_avx512, map_16_avx512, map_32_avx512, NULL}
#define ANY_OF any_of_avx512
#include "convert/loops-inl.h"

CF_TARGET_END

const cf_kernels cf_kernels_avx512 = CF_LANE_KERNELS;

#else
const cf_kernels cf_kernels_avx512 = {.round_float32 = NULL};
#endif
