/* Kernels for AVX2. */
#include "convert/kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#include <string.h>

#include "core/scalar.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,popcnt"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#endif

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
static inline lanes v_sllv(lanes v, lanes n) { return _mm256_sllv_epi32(v, n); }
static inline lanes v_srlv(lanes v, lanes n) { return _mm256_srlv_epi32(v, n); }
static inline lanes v_min_u(lanes a, lanes b) { return _mm256_min_epu32(a, b); }
static inline lanes v_min_s(lanes a, lanes b) { return _mm256_min_epi32(a, b); }
static inline lanes v_max_s(lanes a, lanes b) { return _mm256_max_epi32(a, b); }
static inline lanes v_select(mask m, lanes a, lanes b) { return _mm256_blendv_epi8(b, a, m); }
static inline lanes v_increment(lanes v, mask m) { return _mm256_sub_epi32(v, m); }
static inline lanes v_to_float(lanes v) { return _mm256_castps_si256(_mm256_cvtepi32_ps(v)); }
static inline lanes v_add_floats(lanes a, lanes b, int toward_zero) {
  (void)toward_zero; /* float_enter has seen to it */
  return _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_sub_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_sub_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
static inline lanes v_mul_floats(lanes a, lanes b) {
  return _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
}
typedef unsigned float_state;
static inline float_state float_enter(int toward_zero) {
  const unsigned state = _mm_getcsr();
  _mm_setcsr(_MM_MASK_MASK | (toward_zero ? _MM_ROUND_TOWARD_ZERO : _MM_ROUND_NEAREST));
  return state;
}
static inline void float_leave(float_state state) { _mm_setcsr(state); }
static inline mask m_eq(lanes a, lanes b) { return _mm256_cmpeq_epi32(a, b); }
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

/* Four counters at a time, each in a 64-bit lane of which only the lower half counts. */
typedef struct random_stream {
  __m256i counters;
  __m256i keys[CF_PHILOX_ROUNDS][2];
} random_stream;

static inline random_stream random_stream_at(uint64_t seed, uint64_t position) {
  /* in this order, unpacking the words puts them in sequence */
  const __m256i order = _mm256_set_epi64x(3, 1, 2, 0);
  random_stream stream;
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  stream.counters = _mm256_add_epi64(_mm256_set1_epi64x((long long)(position / 4)), order);
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    stream.keys[round][0] = _mm256_set1_epi64x(key[0]);
    stream.keys[round][1] = _mm256_set1_epi64x(key[1]);
    key[0] += CF_PHILOX_WEYL0;
    key[1] += CF_PHILOX_WEYL1;
  }
  return stream;
}

static inline void v_random(random_stream *stream, lanes *a, lanes *b) {
  const __m256i multiplier0 = _mm256_set1_epi64x(CF_PHILOX_MULTIPLIER0);
  const __m256i multiplier1 = _mm256_set1_epi64x(CF_PHILOX_MULTIPLIER1);
  __m256i c0 = stream->counters, c1 = _mm256_srli_epi64(stream->counters, 32);
  __m256i c2 = _mm256_setzero_si256(), c3 = c2;
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    const __m256i product0 = _mm256_mul_epu32(c0, multiplier0);
    const __m256i product1 = _mm256_mul_epu32(c2, multiplier1);
    c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product1, 32), c1),
                          stream->keys[round][0]);
    c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product0, 32), c3),
                          stream->keys[round][1]);
    c1 = product1;
    c3 = product0;
  }
  const __m256i low = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xAA);
  const __m256i high = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xAA);
  *a = _mm256_unpacklo_epi64(low, high);
  *b = _mm256_unpackhi_epi64(low, high);
  stream->counters = _mm256_add_epi64(stream->counters, _mm256_set1_epi64x(4));
}

/* Sixteen tables of sixteen: a shuffle takes the low nibble, and gives 0 where the upper bit is
 * set, which adding 0x70 with saturation does to all codes but those of the table's high nibble. */
static inline __m256i look_up_32_codes(const __m128i *tables, __m256i codes) {
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

static void look_up_8_avx2(const void *table, const uint8_t *codes, void *results, size_t count,
                           int streaming) {
  __m128i tables[16];
  uint8_t *to = results;
  memcpy(tables, table, sizeof tables);
  for (; count >= 32; count -= 32, codes += 32, to += 32) {
    const __m256i found = look_up_32_codes(tables, v_load(codes));
    if (streaming)
      v_stream(to, found);
    else
      v_store(to, found);
  }
  cf_kernels_portable.look_up[0](table, codes, to, count, 0);
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

#define LOOK_UPS {look_up_8_avx2, NULL, NULL, NULL}
#define ANY_OF any_of_avx2
#include "convert/loops-inl.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

const cf_kernels cf_kernels_avx2 = CF_LANE_KERNELS;

#else
const cf_kernels cf_kernels_avx2 = {.round_float32 = NULL};
#endif
