/* The operations on lanes of NEON (Advanced SIMD of 64-bit Arm) that convert/round_lanes-inl.h
 * names; to be included where these instructions are turned on. */
#ifndef CF_CONVERT_LANES_NEON_INL_H
#define CF_CONVERT_LANES_NEON_INL_H

enum { LANES = 4 };
typedef uint32x4_t lanes;
typedef uint32x4_t mask;
#define ISA_NAME(slot) slot##_neon

static inline int32x4_t as_signed(lanes v) { return vreinterpretq_s32_u32(v); }
static inline lanes as_lanes(int32x4_t v) { return vreinterpretq_u32_s32(v); }

static inline lanes v_set1(uint32_t u) { return vdupq_n_u32(u); }
static inline lanes v_load(const void *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
static inline void v_store(void *p, lanes v) { vst1q_u8(p, vreinterpretq_u8_u32(v)); }
static inline void v_stream(void *p, lanes v) { v_store(p, v); }
static inline void v_stream_end(void) {}
static inline lanes v_add(lanes a, lanes b) { return vaddq_u32(a, b); }
static inline lanes v_sub(lanes a, lanes b) { return vsubq_u32(a, b); }
static inline lanes v_and(lanes a, lanes b) { return vandq_u32(a, b); }
static inline lanes v_andnot(lanes a, lanes b) { return vbicq_u32(a, b); }
static inline lanes v_or(lanes a, lanes b) { return vorrq_u32(a, b); }
#define v_slli(v, n) vshlq_n_u32(v, n)
#define v_srli(v, n) vshrq_n_u32(v, n)
#define v_srai(v, n) as_lanes(vshrq_n_s32(as_signed(v), n))
/* the instruction takes negative counts for the other direction, and 32 for all bits */
static inline int32x4_t counts(lanes n) { return as_signed(vminq_u32(n, vdupq_n_u32(32))); }
static inline lanes v_sllv(lanes v, lanes n) { return vshlq_u32(v, counts(n)); }
static inline lanes v_srlv(lanes v, lanes n) { return vshlq_u32(v, vnegq_s32(counts(n))); }
static inline lanes v_min_u(lanes a, lanes b) { return vminq_u32(a, b); }
static inline lanes v_min_s(lanes a, lanes b) {
  return as_lanes(vminq_s32(as_signed(a), as_signed(b)));
}
static inline lanes v_max_s(lanes a, lanes b) {
  return as_lanes(vmaxq_s32(as_signed(a), as_signed(b)));
}
static inline lanes v_select(mask m, lanes a, lanes b) { return vbslq_u32(m, a, b); }
static inline lanes v_increment(lanes v, mask m) { return vsubq_u32(v, m); }
static inline lanes v_to_float(lanes v) { return vreinterpretq_u32_f32(vcvtq_f32_u32(v)); }
static inline lanes v_add_floats(lanes a, lanes b) {
  return vreinterpretq_u32_f32(vaddq_f32(vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(b)));
}
static inline lanes v_sub_floats(lanes a, lanes b) {
  return vreinterpretq_u32_f32(vsubq_f32(vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(b)));
}
static inline lanes v_mul_floats(lanes a, lanes b) {
  return vreinterpretq_u32_f32(vmulq_f32(vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(b)));
}
static inline lanes v_div_floats(lanes a, lanes b) {
  return vreinterpretq_u32_f32(vdivq_f32(vreinterpretq_f32_u32(a), vreinterpretq_f32_u32(b)));
}
static inline lanes v_max_u(lanes a, lanes b) { return vmaxq_u32(a, b); }
static inline lanes v_xor(lanes a, lanes b) { return veorq_u32(a, b); }
static inline lanes v_fma_where(mask m, lanes v, lanes factor, lanes addend) {
  const float32x4_t value = vreinterpretq_f32_u32(v);
  const float32x4_t fused =
      vfmaq_f32(vreinterpretq_f32_u32(addend), value, vreinterpretq_f32_u32(factor));
  return vbslq_u32(m, vreinterpretq_u32_f32(fused), v);
}
static inline mask m_has(lanes v, lanes bit) { return vtstq_u32(v, bit); }
static inline uint64_t float_enter(void) { return cf_set_default_float_modes(); }
static inline void float_leave(uint64_t modes) { cf_restore_float_modes(modes); }
static inline mask m_eq(lanes a, lanes b) { return vceqq_u32(a, b); }
static inline mask m_gt_u(lanes a, lanes b) { return vcgtq_u32(a, b); }
static inline mask m_gt_s(lanes a, lanes b) { return vcgtq_s32(as_signed(a), as_signed(b)); }
static inline mask m_and(mask a, mask b) { return vandq_u32(a, b); }
static inline mask m_or(mask a, mask b) { return vorrq_u32(a, b); }
static inline mask m_andnot(mask a, mask b) { return vbicq_u32(a, b); }
static inline int m_any(mask m) { return vmaxvq_u32(m) != 0; }
static inline unsigned m_count(mask m) { return vaddvq_u32(vshrq_n_u32(m, 31)); }

static inline void v_load_pairs(const void *p, lanes *low, lanes *high) {
  const lanes a = v_load(p), b = v_load((const char *)p + sizeof a);
  *low = vuzp1q_u32(a, b);
  *high = vuzp2q_u32(a, b);
}

static inline lanes v_load_biases(const int16_t *p) { return as_lanes(vmovl_s16(vld1_s16(p))); }

static inline lanes v_load_codes(const char *p, size_t size) {
  uint32_t four;
  if (size == 2) return vmovl_u16(vreinterpret_u16_u8(vld1_u8((const uint8_t *)p)));
  memcpy(&four, p, sizeof four);
  return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))));
}

static inline void v_store_codes(char *p, size_t size, lanes a, lanes b) {
  const uint16x8_t words = vcombine_u16(vmovn_u32(a), vmovn_u32(b));
  if (size == 1)
    vst1_u8((uint8_t *)p, vmovn_u16(words));
  else
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(words));
}

static inline void v_stream_codes(char *p, size_t size, lanes a, lanes b) {
  v_store_codes(p, size, a, b);
}

static inline void v_store_doubles(char *p, lanes v, int streaming) {
  const float32x4_t values = vreinterpretq_f32_u32(v);
  (void)streaming;
  vst1q_u8((uint8_t *)p, vreinterpretq_u8_f64(vcvt_f64_f32(vget_low_f32(values))));
  vst1q_u8((uint8_t *)p + 16, vreinterpretq_u8_f64(vcvt_high_f64_f32(values)));
}

/* lanes of 16 bits, for convert/decode_halves-inl.h and convert/round_halves-inl.h */
#define HAS_HALVES
enum { HALVES = 8 };
typedef uint16x8_t halves;
typedef uint16x8_t half_mask;
static inline int16x8_t h_signed(halves v) { return vreinterpretq_s16_u16(v); }
static inline halves h_unsigned(int16x8_t v) { return vreinterpretq_u16_s16(v); }
static inline halves h_set1(uint32_t u) { return vdupq_n_u16((uint16_t)u); }
static inline halves h_load(const void *p) { return vreinterpretq_u16_u8(vld1q_u8(p)); }
static inline void h_store(void *p, halves v, int streaming) {
  (void)streaming;
  vst1q_u8((uint8_t *)p, vreinterpretq_u8_u16(v));
}
static inline halves h_add(halves a, halves b) { return vaddq_u16(a, b); }
static inline halves h_sub(halves a, halves b) { return vsubq_u16(a, b); }
static inline halves h_and(halves a, halves b) { return vandq_u16(a, b); }
static inline halves h_and_or(halves a, halves b, halves c) {
  return vorrq_u16(vandq_u16(a, b), c);
}
static inline halves h_and_xor(halves a, halves b, halves c) {
  return veorq_u16(vandq_u16(a, b), c);
}
#define h_slli(v, n) vshlq_n_u16(v, n)
#define h_srai(v, n) h_unsigned(vshrq_n_s16(h_signed(v), n))
static inline int16x8_t h_counts(halves n) { return h_signed(vminq_u16(n, vdupq_n_u16(16))); }
typedef int16x8_t half_count;
static inline half_count h_count(unsigned n) { return vdupq_n_s16((int16_t)n); }
static inline halves h_sll(halves v, half_count n) { return vshlq_u16(v, n); }
static inline halves h_srl(halves v, half_count n) { return vshlq_u16(v, vnegq_s16(n)); }
static inline halves h_clear_if(half_mask m, halves v) { return vbicq_u16(v, m); }
static inline halves h_sllv(halves v, halves n) { return vshlq_u16(v, h_counts(n)); }
static inline halves h_srlv(halves v, halves n) { return vshlq_u16(v, vnegq_s16(h_counts(n))); }
static inline halves h_half(halves v) { return vrshrq_n_u16(v, 1); }
static inline halves h_min_u(halves a, halves b) { return vminq_u16(a, b); }
static inline halves h_min_s(halves a, halves b) {
  return h_unsigned(vminq_s16(h_signed(a), h_signed(b)));
}
static inline halves h_max_u(halves a, halves b) { return vmaxq_u16(a, b); }
static inline halves h_max_s(halves a, halves b) {
  return h_unsigned(vmaxq_s16(h_signed(a), h_signed(b)));
}
static inline halves h_select(half_mask m, halves a, halves b) { return vbslq_u16(m, a, b); }
static inline halves h_sub_if(half_mask m, halves a, halves b) {
  return vsubq_u16(a, vandq_u16(m, b));
}
static inline half_mask hm_lacks(halves v, halves bits) { return vceqzq_u16(vandq_u16(v, bits)); }
static inline half_mask hm_differ(halves a, halves b) { return vmvnq_u16(vceqq_u16(a, b)); }
static inline half_mask hm_gt_u(halves a, halves b) { return vcgtq_u16(a, b); }
static inline half_mask hm_gt_s(halves a, halves b) { return vcgtq_s16(h_signed(a), h_signed(b)); }
static inline half_mask hm_and(half_mask a, half_mask b) { return vandq_u16(a, b); }
static inline half_mask hm_or(half_mask a, half_mask b) { return vorrq_u16(a, b); }
static inline half_mask hm_andnot(half_mask a, half_mask b) { return vbicq_u16(a, b); }
static inline int hm_any(half_mask m) { return vmaxvq_u16(m) != 0; }
static inline unsigned hm_count(half_mask m) { return vaddvq_u16(vshrq_n_u16(m, 15)); }

static inline void h_split(lanes a, lanes b, halves *low, halves *high) {
  const halves first = vreinterpretq_u16_u32(a), second = vreinterpretq_u16_u32(b);
  *low = vuzp1q_u16(first, second);
  *high = vuzp2q_u16(first, second);
}

/* float32 of small integers */
static inline lanes v_load_small_float(const char *p, int type) {
  const int is_byte = type == CF_INT8 || type == CF_UINT8;
  int32x4_t integers = vreinterpretq_s32_u32(v_load_codes(p, is_byte ? 1 : 2));
  if (type == CF_INT8) integers = vshrq_n_s32(vshlq_n_s32(integers, 24), 24);
  if (type == CF_INT16) integers = vshrq_n_s32(vshlq_n_s32(integers, 16), 16);
  return vreinterpretq_u32_f32(vcvtq_f32_s32(integers));
}

typedef struct sign_place {
  int8x16_t down; /* minus how far, from bit 7 */
  uint8x16_t mask;
} sign_place;

static inline sign_place h_sign_place(uint8_t sign_mask) {
  return (sign_place){vdupq_n_s8((int8_t)(cf_log2(sign_mask) - 7)), vdupq_n_u8(sign_mask)};
}

static inline void h_store_codes(char *p, halves a, halves b, halves signs_a, halves signs_b,
                                 sign_place place, int bare, int streaming) {
  (void)streaming;
  const uint8x16_t codes = vcombine_u8(vmovn_u16(a), vmovn_u16(b));
  const uint8x16_t signs = vcombine_u8(vshrn_n_u16(signs_a, 8), vshrn_n_u16(signs_b, 8));
  uint8x16_t result = vorrq_u8(codes, vandq_u8(vshlq_u8(signs, place.down), place.mask));
  if (bare) result = vbicq_u8(result, vceqzq_u8(codes));
  vst1q_u8((uint8_t *)p, result);
}

typedef uint64x2_t wide;
static inline wide w_set1(uint64_t u) { return vdupq_n_u64(u); }
static inline wide w_add(wide a, wide b) { return vaddq_u64(a, b); }
static inline wide w_upper(wide v) { return vshrq_n_u64(v, 32); }
static inline wide w_multiply(wide a, wide b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
static inline wide w_xor3(wide a, wide b, wide c) { return veorq_u64(veorq_u64(a, b), c); }
static inline wide w_order(void) { return vcombine_u64(vcreate_u64(0), vcreate_u64(1)); }
static inline wide w_xor(wide a, wide b) { return veorq_u64(a, b); }
static inline wide w_swap_xor(wide p, wide a, wide b) {
  const wide lower = vandq_u64(veorq_u64(a, b), vdupq_n_u64(0xFFFFFFFFu));
  return veorq_u64(vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(p))), lower);
}
static inline void w_words(wide low, wide high, lanes *a, lanes *b) {
  *a = vreinterpretq_u32_u64(vzip1q_u64(low, high));
  *b = vreinterpretq_u32_u64(vzip2q_u64(low, high));
}

#endif
