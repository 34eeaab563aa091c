/* The operations on lanes of AVX2 that convert/round_lanes-inl.h
 * names; to be included where these instructions are turned on. */
#ifndef CF_CONVERT_LANES_AVX2_INL_H
#define CF_CONVERT_LANES_AVX2_INL_H

enum { LANES = 8 };
typedef __m256i lanes;
typedef __m256i mask;
#define ISA_NAME(slot) slot##_avx2

static inline lanes v_set1(uint32_t u) { return _mm256_set1_epi32((int)u); }
static inline lanes v_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void v_store(void *p, lanes v) { _mm256_storeu_si256((__m256i *)p, v); }
static inline void v_stream(void *p, lanes v) { _mm256_stream_si256((__m256i *)p, v); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline lanes v_add(lanes a, lanes b) { return _mm256_add_epi32(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return _mm256_sub_epi32(a, b); }
static inline lanes v_and(lanes a, lanes b) { return _mm256_and_si256(a, b); }
static inline lanes v_andnot(lanes a, lanes b) { return _mm256_andnot_si256(b, a); }
static inline lanes v_or(lanes a, lanes b) { return _mm256_or_si256(a, b); }
#define v_slli(v, n) _mm256_slli_epi32(v, n)
#define v_srli(v, n) _mm256_srli_epi32(v, n)
#define v_srai(v, n) _mm256_srai_epi32(v, n)
static inline lanes v_sllv(lanes v, lanes n) { return _mm256_sllv_epi32(v, n); }
static inline lanes v_srlv(lanes v, lanes n) { return _mm256_srlv_epi32(v, n); }
static inline lanes v_min_u(lanes a, lanes b) { return _mm256_min_epu32(a, b); }
static inline lanes v_max_u(lanes a, lanes b) { return _mm256_max_epu32(a, b); }
static inline lanes v_min_s(lanes a, lanes b) { return _mm256_min_epi32(a, b); }
static inline lanes v_max_s(lanes a, lanes b) { return _mm256_max_epi32(a, b); }
static inline lanes v_select(mask m, lanes a, lanes b) { return _mm256_blendv_epi8(b, a, m); }
static inline lanes v_xor(lanes a, lanes b) { return _mm256_xor_si256(a, b); }
static inline lanes v_increment(lanes v, mask m) { return _mm256_sub_epi32(v, m); }
static inline lanes v_to_float(lanes v) { return _mm256_castps_si256(_mm256_cvtepi32_ps(v)); }
static inline lanes v_add_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_sub_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_sub_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_mul_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_div_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_div_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_fma_where(mask m, lanes v, lanes factor, lanes addend) {
  const __m256 value = _mm256_castsi256_ps(v);
  const __m256 fused =
      _mm256_fmadd_ps(value, _mm256_castsi256_ps(factor), _mm256_castsi256_ps(addend));
  return _mm256_castps_si256(_mm256_blendv_ps(value, fused, _mm256_castsi256_ps(m)));
}
static inline uint64_t float_enter(void) { return cf_set_default_float_modes(); }
static inline void float_leave(uint64_t modes) { cf_restore_float_modes(modes); }
static inline mask m_eq(lanes a, lanes b) { return _mm256_cmpeq_epi32(a, b); }
static inline mask m_has(lanes v, lanes bit) {
  return _mm256_cmpeq_epi32(_mm256_and_si256(v, bit), bit);
}
static inline mask m_gt_s(lanes a, lanes b) { return _mm256_cmpgt_epi32(a, b); }
static inline mask m_gt_u(lanes a, lanes b) {
  const lanes top = _mm256_set1_epi32(INT32_MIN);
  return _mm256_cmpgt_epi32(_mm256_xor_si256(a, top), _mm256_xor_si256(b, top));
}
static inline mask m_and(mask a, mask b) { return _mm256_and_si256(a, b); }
static inline mask m_or(mask a, mask b) { return _mm256_or_si256(a, b); }
static inline mask m_andnot(mask a, mask b) { return _mm256_andnot_si256(b, a); }
static inline int m_any(mask m) { return !_mm256_testz_si256(m, m); }
static inline unsigned m_count(mask m) {
  return (unsigned)_mm_popcnt_u32((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(m)));
}

/* After an operation that works on each half of a register: back in sequence. */
static inline lanes in_sequence(lanes v) { return _mm256_permute4x64_epi64(v, 0xD8); }

static inline void v_load_pairs(const void *p, lanes *low, lanes *high) {
  const __m256 a = _mm256_castsi256_ps(v_load(p));
  const __m256 b = _mm256_castsi256_ps(v_load((const char *)p + sizeof a));
  *low = in_sequence(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)));
  *high = in_sequence(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD)));
}

static inline lanes v_load_biases(const int16_t *p) {
  return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p));
}

static inline lanes v_load_codes(const char *p, size_t size) {
  if (size == 1) return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
  return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}

/* the lower halves of 16 lanes, in sequence, and the lower quarters */
static inline lanes narrow(lanes a, lanes b) { return in_sequence(_mm256_packus_epi32(a, b)); }
static inline __m128i narrow_twice(lanes a, lanes b) {
  const lanes words = narrow(a, b);
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static inline void v_store_codes(char *p, size_t size, lanes a, lanes b) {
  if (size == 1)
    _mm_storeu_si128((__m128i *)p, narrow_twice(a, b));
  else
    v_store(p, narrow(a, b));
}

static inline void v_stream_codes(char *p, size_t size, lanes a, lanes b) {
  if (size == 1)
    _mm_stream_si128((__m128i *)p, narrow_twice(a, b));
  else
    v_stream(p, narrow(a, b));
}

static inline void v_store_doubles(char *p, lanes v, int streaming) {
  const __m128i upper = _mm256_extracti128_si256(v, 1);
  const __m256i first =
      _mm256_castpd_si256(_mm256_cvtps_pd(_mm_castsi128_ps(_mm256_castsi256_si128(v))));
  const __m256i second = _mm256_castpd_si256(_mm256_cvtps_pd(_mm_castsi128_ps(upper)));
  if (streaming) {
    v_stream(p, first);
    v_stream(p + sizeof first, second);
  } else {
    v_store(p, first);
    v_store(p + sizeof first, second);
  }
}

/* lanes of 16 bits, for convert/decode_halves-inl.h */
typedef __m256i halves;
typedef __m256i half_mask;
typedef __m128i half_count;
static inline halves h_set1(uint32_t u) { return _mm256_set1_epi16((short)u); }
static inline halves h_load(const void *p) { return v_load(p); }
static inline void h_store(void *p, halves v, int streaming) {
  if (streaming)
    v_stream(p, v);
  else
    v_store(p, v);
}
static inline halves h_add(halves a, halves b) { return _mm256_add_epi16(a, b); }
static inline halves h_sub(halves a, halves b) { return _mm256_sub_epi16(a, b); }
static inline halves h_and(halves a, halves b) { return _mm256_and_si256(a, b); }
static inline halves h_and_or(halves a, halves b, halves c) { return v_or(v_and(a, b), c); }
static inline half_count h_count(unsigned n) { return _mm_cvtsi32_si128((int)n); }
static inline halves h_sll(halves v, half_count n) { return _mm256_sll_epi16(v, n); }
static inline halves h_srl(halves v, half_count n) { return _mm256_srl_epi16(v, n); }
static inline half_mask hm_gt_u(halves a, halves b) {
  const halves top = _mm256_set1_epi16(INT16_MIN);
  return _mm256_cmpgt_epi16(_mm256_xor_si256(a, top), _mm256_xor_si256(b, top));
}
static inline half_mask hm_lacks(halves v, halves bits) {
  return _mm256_cmpeq_epi16(_mm256_and_si256(v, bits), _mm256_setzero_si256());
}
static inline half_mask hm_andnot(half_mask a, half_mask b) { return _mm256_andnot_si256(b, a); }
static inline int hm_any(half_mask m) { return !_mm256_testz_si256(m, m); }
static inline halves h_clear_if(half_mask m, halves v) { return _mm256_andnot_si256(m, v); }

typedef __m256i wide;
static inline wide w_set1(uint64_t u) { return _mm256_set1_epi64x((long long)u); }
static inline wide w_add(wide a, wide b) { return _mm256_add_epi64(a, b); }
static inline wide w_upper(wide v) { return _mm256_srli_epi64(v, 32); }
static inline wide w_multiply(wide a, wide b) { return _mm256_mul_epu32(a, b); }
static inline wide w_xor3(wide a, wide b, wide c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
static inline wide w_xor(wide a, wide b) { return _mm256_xor_si256(a, b); }
static inline wide w_swap_xor(wide p, wide a, wide b) {
  const wide lower = _mm256_blend_epi32(_mm256_xor_si256(a, b), _mm256_setzero_si256(), 0xAA);
  return _mm256_xor_si256(_mm256_shuffle_epi32(p, 0xB1), lower);
}
/* unpacking 64-bit lanes works on each half of a register */
static inline wide w_order(void) { return _mm256_set_epi64x(3, 1, 2, 0); }
static inline void w_words(wide low, wide high, lanes *a, lanes *b) {
  *a = _mm256_unpacklo_epi64(low, high);
  *b = _mm256_unpackhi_epi64(low, high);
}

#endif
