/* Kernels for AVX-512 F, BW, DQ and VL. */
#include "convert/kernels.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <string.h>

#include "core/scalar.h"

CF_TARGET_BEGIN(CF_TARGET_AVX512)

enum { LANES = 16 };
typedef __m512i lanes;
typedef __mmask16 mask;
#define ISA_NAME(slot) slot##_avx512

static inline lanes v_set1(uint32_t u) { return _mm512_set1_epi32((int)u); }
static inline lanes v_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void v_store(void *p, lanes v) { _mm512_storeu_si512(p, v); }
static inline void v_stream(void *p, lanes v) { _mm512_stream_si512(p, v); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline lanes v_add(lanes a, lanes b) { return _mm512_add_epi32(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return _mm512_sub_epi32(a, b); }
static inline lanes v_and(lanes a, lanes b) { return _mm512_and_si512(a, b); }
static inline lanes v_andnot(lanes a, lanes b) { return _mm512_andnot_si512(b, a); }
static inline lanes v_or(lanes a, lanes b) { return _mm512_or_si512(a, b); }
#define v_slli(v, n) _mm512_slli_epi32(v, n)
#define v_srli(v, n) _mm512_srli_epi32(v, n)
#define v_srai(v, n) _mm512_srai_epi32(v, n)
static inline lanes v_sllv(lanes v, lanes n) { return _mm512_sllv_epi32(v, n); }
static inline lanes v_srlv(lanes v, lanes n) { return _mm512_srlv_epi32(v, n); }
static inline lanes v_min_u(lanes a, lanes b) { return _mm512_min_epu32(a, b); }
static inline lanes v_min_s(lanes a, lanes b) { return _mm512_min_epi32(a, b); }
static inline lanes v_max_s(lanes a, lanes b) { return _mm512_max_epi32(a, b); }
static inline lanes v_select(mask m, lanes a, lanes b) { return _mm512_mask_blend_epi32(m, b, a); }
static inline lanes v_increment(lanes v, mask m) {
  return _mm512_mask_add_epi32(v, m, v, _mm512_set1_epi32(1));
}
static inline lanes v_to_float(lanes v) { return _mm512_castps_si512(_mm512_cvtepi32_ps(v)); }
/* the rounding is part of the instruction, and nothing traps */
static inline lanes v_add_floats(lanes a, lanes b) {
  return _mm512_castps_si512(_mm512_add_round_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b),
                                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline lanes v_sub_floats(lanes a, lanes b) {
  return _mm512_castps_si512(_mm512_sub_round_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b),
                                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline lanes v_mul_floats(lanes a, lanes b) {
  return _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}
static inline uint64_t float_enter(void) { return 0; }
static inline void float_leave(uint64_t modes) { (void)modes; }
static inline mask m_eq(lanes a, lanes b) { return _mm512_cmpeq_epi32_mask(a, b); }
static inline mask m_gt_u(lanes a, lanes b) { return _mm512_cmpgt_epu32_mask(a, b); }
static inline mask m_gt_s(lanes a, lanes b) { return _mm512_cmpgt_epi32_mask(a, b); }
static inline mask m_and(mask a, mask b) { return (mask)(a & b); }
static inline mask m_or(mask a, mask b) { return (mask)(a | b); }
static inline mask m_andnot(mask a, mask b) { return (mask)(a & ~b); }
static inline int m_any(mask m) { return m != 0; }
static inline unsigned m_count(mask m) { return (unsigned)_mm_popcnt_u32(m); }

static inline void v_load_pairs(const void *p, lanes *low, lanes *high) {
  const lanes even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const lanes odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  const lanes a = v_load(p), b = v_load((const char *)p + sizeof a);
  *low = _mm512_permutex2var_epi32(a, even, b);
  *high = _mm512_permutex2var_epi32(a, odd, b);
}

static inline lanes v_load_biases(const int16_t *p) {
  return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p));
}

static inline lanes v_load_codes(const char *p, size_t size) {
  if (size == 1) return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
}

/* exceptions are suppressed, rounding there is none, and that subnormals are zeros it ignores */
#define V_LOAD_FLOAT16(p) \
  _mm512_castps_si512(    \
      _mm512_cvt_roundph_ps(_mm256_loadu_si256((const __m256i *)(p)), _MM_FROUND_NO_EXC))

/* in the default modes; results may be subnormal in any */
#define V_TO_FLOAT16(v) \
  _mm512_cvtepu16_epi32(_mm512_cvtps_ph(_mm512_castsi512_ps(v), _MM_FROUND_TO_NEAREST_INT))

/* the lower halves of 32 lanes, in sequence */
static inline __m512i narrow(lanes a, lanes b) {
  const __m512i in_sequence = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  return _mm512_permutexvar_epi64(in_sequence, _mm512_packus_epi32(a, b));
}

static inline void v_store_codes(char *p, size_t size, lanes a, lanes b) {
  const __m512i words = narrow(a, b);
  if (size == 1)
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi16_epi8(words));
  else
    v_store(p, words);
}

static inline void v_stream_codes(char *p, size_t size, lanes a, lanes b) {
  const __m512i words = narrow(a, b);
  if (size == 1)
    _mm256_stream_si256((__m256i *)p, _mm512_cvtepi16_epi8(words));
  else
    v_stream(p, words);
}

typedef __m512i wide;
static inline wide w_set1(uint64_t u) { return _mm512_set1_epi64((long long)u); }
static inline wide w_add(wide a, wide b) { return _mm512_add_epi64(a, b); }
static inline wide w_upper(wide v) { return _mm512_srli_epi64(v, 32); }
static inline wide w_multiply(wide a, wide b) { return _mm512_mul_epu32(a, b); }
static inline wide w_xor3(wide a, wide b, wide c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
static inline wide w_xor(wide a, wide b) { return _mm512_xor_si512(a, b); }
static inline wide w_swap_xor(wide p, wide a, wide b) {
  return _mm512_mask_ternarylogic_epi32(_mm512_rol_epi64(p, 32), 0x5555, a, b, 0x96);
}
/* unpacking 64-bit lanes works on each quarter of a register */
static inline wide w_order(void) { return _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0); }
static inline void w_words(wide low, wide high, lanes *a, lanes *b) {
  *a = _mm512_unpacklo_epi64(low, high);
  *b = _mm512_unpackhi_epi64(low, high);
}

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
