/* Elements of each type as float32 in vectors, with what float32 has no room for: a part of
 * convert/loops-inl.h. */
#ifndef CF_CONVERT_WIDEN_SOURCES_INL_H
#define CF_CONVERT_WIDEN_SOURCES_INL_H

/* LANES elements of a type as float32, toward zero, and what is lost: the next 32 bits, and
 * whether there are more.  Rounded to odd, with the last bit set where anything is lost, they
 * round as before; by random bits they round as before by the 32 bits. */
typedef struct widened {
  lanes bits, low;
  mask subnormal; /* of its type */
  mask beyond;    /* finite, and 2^128 or more: now the largest float32 */
} widened;

static inline widened widened_exact(lanes bits) {
  const lanes zero = v_set1(0);
  const mask none = m_gt_s(zero, zero);
  return (widened){bits, zero, none, none};
}

static inline widened widen_float16(const char *source) {
  widened w = widened_exact(load_float16(source));
  const lanes magnitude = v_and(w.bits, v_set1(0x7FFFFFFFu));
  w.subnormal = m_gt_u(v_set1(0x38800000u - 1), v_sub(magnitude, v_set1(1)));
  return w;
}

static inline widened widen_bfloat16(const char *source) {
  widened w = widened_exact(load_bfloat16(source));
  const lanes magnitude = v_and(w.bits, v_set1(0x7FFFFFFFu));
  w.subnormal = m_gt_u(v_set1(0x00800000u - 1), v_sub(magnitude, v_set1(1)));
  return w;
}

static inline widened widen_float64(const char *source) {
  const lanes zero = v_set1(0), thirty_two = v_set1(32), implicit_one = v_set1(0x00800000u);
  lanes low, high;
  v_load_pairs(source, &low, &high);
  const lanes magnitude = v_and(high, v_set1(0x7FFFFFFFu));
  const lanes fraction = v_or(v_and(v_slli(high, 3), v_set1(0x007FFFF8u)), v_srli(low, 29));
  /* exponents as a float32's */
  const lanes exponent = v_sub(v_srli(magnitude, 20), v_set1(1023 - 127));
  const mask nonzero = m_gt_u(v_or(magnitude, low), zero), small = m_gt_s(v_set1(1), exponent);
  const mask large = m_gt_s(magnitude, v_set1(0x47EFFFFFu)), none = m_gt_s(zero, zero);
  widened w = {v_add(v_slli(exponent, 23), fraction), v_slli(low, 3), none, none};
  w.bits = v_select(small, zero, w.bits);
  w.low = v_select(small, zero, w.low);
  const mask tiny = m_and(small, nonzero);
  if (!m_any(m_or(tiny, large))) {
    w.bits = v_or(w.bits, v_andnot(high, v_set1(0x7FFFFFFFu)));
    return w;
  }
  if (m_any(tiny)) {
    const lanes shift = v_sub(v_set1(1), exponent), left = v_sub(thirty_two, shift);
    const lanes significand = v_or(fraction, implicit_one), next = v_slli(low, 3);
    const mask far = m_gt_s(shift, v_set1(31));
    lanes lost = v_or(next, v_sllv(significand, v_add(left, thirty_two)));
    lost = v_select(far, lost, v_sllv(next, left));
    lost = v_select(m_gt_s(shift, v_set1(63)), v_set1(1), lost);
    lanes down = v_or(v_srlv(next, shift), v_sllv(significand, left));
    down = v_select(far, v_srlv(significand, v_sub(shift, thirty_two)), down);
    w.low = v_select(tiny, v_or(down, v_min_u(lost, v_set1(1))), w.low);
    w.bits = v_select(tiny, v_srlv(significand, shift), w.bits);
    w.subnormal = m_and(tiny, m_gt_s(v_set1(0x00100000u), magnitude));
  }
  if (m_any(large)) {
    const lanes infinity = v_set1(0x7FF00000u);
    const mask special = m_gt_s(magnitude, v_set1(0x7FEFFFFFu));
    const mask nan =
        m_or(m_gt_s(magnitude, infinity), m_andnot(m_eq(magnitude, infinity), m_eq(low, zero)));
    w.bits = v_select(large, v_set1(0x7F7FFFFFu), w.bits);
    w.bits = v_select(special, v_set1(0x7F800000u), w.bits);
    w.bits = v_select(nan, v_set1(CF_FLOAT32_NAN_BITS), w.bits);
    w.low = v_select(large, v_set1(0xFFFFFFFFu), w.low);
    w.low = v_select(special, zero, w.low);
    w.beyond = m_andnot(large, special);
  }
  w.bits = v_or(w.bits, v_andnot(high, v_set1(0x7FFFFFFFu)));
  return w;
}

/* Integers of 64 bits, or of 32, which are the upper ones. */
static inline widened widen_integers(lanes high, lanes low, int is_signed, int is_64_bits) {
  const lanes zero = v_set1(0);
  lanes sign = zero;
  if (is_signed) {
    const mask negative = m_gt_s(zero, high);
    sign = v_andnot(high, v_set1(0x7FFFFFFFu));
    lanes negated = v_sub(zero, high);
    if (is_64_bits) negated = v_sub(negated, v_min_u(low, v_set1(1)));
    high = v_select(negative, negated, high);
    low = v_select(negative, v_sub(zero, low), low);
  }
  lanes top = high, exponent = v_set1(is_64_bits ? 159u << 23 : 127u << 23);
  if (is_64_bits) {
    const mask is_low = m_eq(high, zero);
    top = v_select(is_low, low, high);
    exponent = v_select(is_low, v_set1(127u << 23), exponent);
    low = v_select(is_low, zero, low);
  }
  /* its uppermost bit's number, from a float that it is without its last bits */
  const mask large = m_gt_u(top, v_set1(0x00FFFFFFu));
  const lanes as_float = v_to_float(v_select(large, v_srli(top, 8), top));
  lanes log2 = v_sub(v_srli(as_float, 23), v_set1(127));
  log2 = v_select(large, v_add(log2, v_set1(8)), log2);
  const lanes left = v_sub(v_set1(31), log2);
  lanes upper = v_sllv(top, left), next = zero;
  if (is_64_bits) {
    upper = v_or(upper, v_srlv(low, v_sub(v_set1(32), left)));
    next = v_sllv(low, left);
  }
  const lanes fraction = v_and(v_srli(upper, 8), v_set1(0x007FFFFFu));
  widened w = widened_exact(v_add(v_add(v_slli(log2, 23), exponent), fraction));
  w.low = v_or(v_slli(upper, 24), v_srli(next, 8)); /* 56 bits: more than are asked for */
  w.low = v_or(w.low, v_min_u(v_slli(next, 24), v_set1(1)));
  w.bits = v_or(v_select(m_eq(top, zero), zero, w.bits), sign);
  return w;
}

static inline widened widen_uint32(const char *source) {
  return widen_integers(v_load(source), v_set1(0), 0, 0);
}
static inline widened widen_int32(const char *source) {
  return widen_integers(v_load(source), v_set1(0), 1, 0);
}
static inline widened widen_uint64(const char *source) {
  lanes low, high;
  v_load_pairs(source, &low, &high);
  return widen_integers(high, low, 0, 1);
}
static inline widened widen_int64(const char *source) {
  lanes low, high;
  v_load_pairs(source, &low, &high);
  return widen_integers(high, low, 1, 1);
}
static inline widened widen_uint16(const char *source) {
  return widened_exact(v_to_float(v_load_codes(source, 2)));
}
static inline widened widen_uint8(const char *source) {
  return widened_exact(v_to_float(v_load_codes(source, 1)));
}
/* of a two's complement, the top bit in a lane's */
static inline widened widen_small(lanes top) {
  const lanes zero = v_set1(0);
  const lanes magnitude = v_select(m_gt_s(zero, top), v_sub(zero, top), top);
  return widened_exact(v_or(v_to_float(v_srli(magnitude, 16)), v_andnot(top, v_set1(0x7FFFFFFFu))));
}
static inline widened widen_int16(const char *source) {
  return widen_small(v_slli(v_load_codes(source, 2), 16));
}
static inline widened widen_int8(const char *source) {
  /* times 2^8, which is taken from the exponent again */
  const lanes times_256 = widen_small(v_slli(v_load_codes(source, 1), 24)).bits;
  const mask is_zero = m_eq(times_256, v_set1(0));
  return widened_exact(v_select(is_zero, times_256, v_sub(times_256, v_set1(8u << 23))));
}

#endif
