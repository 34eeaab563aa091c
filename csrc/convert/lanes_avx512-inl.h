/* The operations on lanes of AVX-512 F, BW, DQ and VL that convert/round_lanes-inl.h
 * names; to be included where these instructions are turned on. */
#ifndef CF_CONVERT_LANES_AVX512_INL_H
#define CF_CONVERT_LANES_AVX512_INL_H

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
#define v_slli(v, n) _mm512_slli_epi32(v, (unsigned)(n))
#define v_srli(v, n) _mm512_srli_epi32(v, (unsigned)(n))
#define v_srai(v, n) _mm512_srai_epi32(v, n)
static inline lanes v_sllv(lanes v, lanes n) { return _mm512_sllv_epi32(v, n); }
static inline lanes v_srlv(lanes v, lanes n) { return _mm512_srlv_epi32(v, n); }
static inline lanes v_min_u(lanes a, lanes b) { return _mm512_min_epu32(a, b); }
static inline lanes v_max_u(lanes a, lanes b) { return _mm512_max_epu32(a, b); }
static inline lanes v_min_s(lanes a, lanes b) { return _mm512_min_epi32(a, b); }
static inline lanes v_max_s(lanes a, lanes b) { return _mm512_max_epi32(a, b); }
static inline lanes v_select(mask m, lanes a, lanes b) { return _mm512_mask_blend_epi32(m, b, a); }
static inline lanes v_xor(lanes a, lanes b) { return _mm512_xor_si512(a, b); }
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
static inline lanes v_div_floats(lanes a, lanes b) {
  return _mm512_castps_si512(_mm512_div_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}
static inline lanes v_fma_where(mask m, lanes v, lanes factor, lanes addend) {
  return _mm512_castps_si512(_mm512_mask_fmadd_ps(
      _mm512_castsi512_ps(v), m, _mm512_castsi512_ps(factor), _mm512_castsi512_ps(addend)));
}
static inline uint64_t float_enter(void) { return 0; }
static inline void float_leave(uint64_t modes) { (void)modes; }
static inline mask m_eq(lanes a, lanes b) { return _mm512_cmpeq_epi32_mask(a, b); }
static inline mask m_gt_u(lanes a, lanes b) { return _mm512_cmpgt_epu32_mask(a, b); }
static inline mask m_has(lanes v, lanes bit) { return _mm512_test_epi32_mask(v, bit); }
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

static inline void v_store_doubles(char *p, lanes v, int streaming) {
  const __m256i upper = _mm512_extracti64x4_epi64(v, 1);
  const __m512i first =
      _mm512_castpd_si512(_mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_castsi512_si256(v))));
  const __m512i second = _mm512_castpd_si512(_mm512_cvtps_pd(_mm256_castsi256_ps(upper)));
  if (streaming) {
    v_stream(p, first);
    v_stream(p + sizeof first, second);
  } else {
    v_store(p, first);
    v_store(p + sizeof first, second);
  }
}

/* lanes of 16 bits, for convert/decode_halves-inl.h and convert/round_halves-inl.h */
#define HAS_HALVES
enum { HALVES = 32 };
typedef __m512i halves;
typedef __mmask32 half_mask;
static inline halves h_set1(uint32_t u) { return _mm512_set1_epi16((short)u); }
static inline halves h_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void h_store(void *p, halves v, int streaming) {
  if (streaming)
    v_stream(p, v);
  else
    v_store(p, v);
}
static inline halves h_add(halves a, halves b) { return _mm512_add_epi16(a, b); }
static inline halves h_sub(halves a, halves b) { return _mm512_sub_epi16(a, b); }
static inline halves h_and(halves a, halves b) { return _mm512_and_si512(a, b); }
static inline halves h_and_or(halves a, halves b, halves c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xEA);
}
static inline halves h_and_xor(halves a, halves b, halves c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x6A);
}
#define h_slli(v, n) _mm512_slli_epi16(v, n)
#define h_srai(v, n) _mm512_srai_epi16(v, n)
/* one count for all lanes: a vector of it takes less time */
typedef halves half_count;
static inline half_count h_count(unsigned n) { return _mm512_set1_epi16((short)n); }
static inline halves h_sll(halves v, half_count n) { return _mm512_sllv_epi16(v, n); }
static inline halves h_srl(halves v, half_count n) { return _mm512_srlv_epi16(v, n); }
static inline halves h_sllv(halves v, halves n) { return _mm512_sllv_epi16(v, n); }
static inline halves h_srlv(halves v, halves n) { return _mm512_srlv_epi16(v, n); }
static inline halves h_min_u(halves a, halves b) { return _mm512_min_epu16(a, b); }
static inline halves h_min_s(halves a, halves b) { return _mm512_min_epi16(a, b); }
static inline halves h_max_u(halves a, halves b) { return _mm512_max_epu16(a, b); }
static inline halves h_max_s(halves a, halves b) { return _mm512_max_epi16(a, b); }
static inline halves h_select(half_mask m, halves a, halves b) {
  return _mm512_mask_blend_epi16(m, b, a);
}
static inline halves h_clear_if(half_mask m, halves v) {
  return _mm512_mask_mov_epi16(v, m, _mm512_setzero_si512());
}
static inline halves h_half(halves v) { return _mm512_avg_epu16(v, _mm512_setzero_si512()); }
static inline halves h_sub_if(half_mask m, halves a, halves b) {
  return _mm512_mask_sub_epi16(a, m, a, b);
}
static inline half_mask hm_lacks(halves v, halves bits) { return _mm512_testn_epi16_mask(v, bits); }
static inline half_mask hm_differ(halves a, halves b) { return _mm512_cmpneq_epu16_mask(a, b); }
static inline half_mask hm_gt_u(halves a, halves b) { return _mm512_cmpgt_epu16_mask(a, b); }
static inline half_mask hm_gt_s(halves a, halves b) { return _mm512_cmpgt_epi16_mask(a, b); }
static inline half_mask hm_and(half_mask a, half_mask b) { return a & b; }
static inline half_mask hm_or(half_mask a, half_mask b) { return a | b; }
static inline half_mask hm_andnot(half_mask a, half_mask b) { return a & ~b; }
static inline int hm_any(half_mask m) { return m != 0; }
static inline unsigned hm_count(half_mask m) { return (unsigned)_mm_popcnt_u32(m); }

static inline void h_split(lanes a, lanes b, halves *low, halves *high) {
  const __m512i even =
      _mm512_add_epi32(_mm512_set1_epi32(0x00020000),
                       _mm512_set_epi32(0x3C003C, 0x380038, 0x340034, 0x300030, 0x2C002C, 0x280028,
                                        0x240024, 0x200020, 0x1C001C, 0x180018, 0x140014, 0x100010,
                                        0xC000C, 0x80008, 0x40004, 0));
  const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  *low = _mm512_permutex2var_epi16(a, even, b);
  *high = _mm512_permutex2var_epi16(a, odd, b);
}

/* float32 of small integers */
static inline lanes v_load_small_float(const char *p, int type) {
  __m512i integers;
  if (type == CF_UINT8)
    integers = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
  else if (type == CF_INT8)
    integers = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
  else if (type == CF_UINT16)
    integers = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  else
    integers = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return v_to_float(integers);
}

typedef struct sign_place {
  int down; /* from bit 7 */
  __m512i mask;
} sign_place;

static inline sign_place h_sign_place(uint8_t sign_mask) {
  return (sign_place){7 - cf_log2(sign_mask), _mm512_set1_epi8((char)sign_mask)};
}

static inline void h_store_codes(char *p, halves a, halves b, halves signs_a, halves signs_b,
                                 sign_place place, int bare, int streaming) {
  const __m512i in_sequence = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
  const __m512i codes = _mm512_packus_epi16(a, b);
  __m512i signs = _mm512_packs_epi16(signs_a, signs_b);
  /* bits of neighbours that come down with it are masked out */
  if (place.down != 0) signs = _mm512_srl_epi16(signs, _mm_cvtsi32_si128(place.down));
  __m512i result = h_and_or(signs, place.mask, codes);
  if (bare) result = _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(codes, codes), result);
  result = _mm512_permutexvar_epi64(in_sequence, result);
  if (streaming)
    v_stream(p, result);
  else
    v_store(p, result);
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

#endif
