/* The loops that decode, to floats of each size: a part of convert/loops-inl.h. */
#ifndef CF_CONVERT_DECODE_LOOPS_INL_H
#define CF_CONVERT_DECODE_LOOPS_INL_H

#include "convert/decode_halves-inl.h"

/* How codes are unpacked: those of formats that are plain, or others, or the upper halves of
 * float32. */
enum unpacking { UNPACK_PLAIN, UNPACK_OTHER, UNPACK_UPPER_HALF };

static CF_ALWAYS_INLINE lanes unpack_as(const lane_rule *r, int counting, int how, lanes code,
                                        lanes bias, cf_flags *flags) {
  if (how != UNPACK_UPPER_HALF) return unpack(r, counting, how == UNPACK_PLAIN, code, bias, flags);
  lanes value = v_slli(code, 16);
  const lanes magnitude = v_and(value, v_set1(0x7FFFFFFFu)), zero = v_set1(0);
  const mask nan = m_gt_s(magnitude, v_set1(0x7F800000u)), none = m_gt_s(zero, zero);
  if (m_any(nan))
    value =
        v_select(nan, v_or(v_and(value, v_set1(0x80000000u)), v_set1(CF_FLOAT32_NAN_BITS)), value);
  if (counting) {
    const mask small = m_gt_s(v_set1(0x00800000u), magnitude);
    count_raised(flags, nan, m_and(small, m_gt_s(magnitude, zero)), none);
  }
  return value;
}

/* bfloat16 of float32 that are normal numbers or bfloat16 already, none too large: to nearest, ties
 * to even.  NaN has a lower half of zeros. */
static inline lanes narrow_to_bfloat16(lanes value) {
  const lanes last_bit = v_and(v_srli(value, 16), v_set1(1));
  return v_srli(v_add(value, v_add(last_bit, v_set1(0x7FFFu))), 16);
}

/* float16 of float32, to nearest, ties to even; below its normal numbers by an addition. */
static CF_ALWAYS_INLINE lanes narrow_to_float16(int counting, lanes value, tally *tally) {
#ifdef V_TO_FLOAT16
  if (!counting) return V_TO_FLOAT16(value);
#endif
  const lanes magnitude = v_and(value, v_set1(0x7FFFFFFFu)), one_half = v_set1(126u << 23);
  const lanes last_bit = v_and(v_srli(magnitude, 13), v_set1(1));
  const lanes rebias = v_set1(0xFFFu - ((uint32_t)(127 - 15) << 23));
  const lanes normal = v_srli(v_add(magnitude, v_add(last_bit, rebias)), 13);
  const lanes sum = v_add_floats(v_min_s(magnitude, one_half), one_half);
  const mask small = m_gt_s(v_set1(0x38800000u), magnitude);
  const mask large = m_gt_s(magnitude, v_set1(0x477FEFFFu));
  const mask nan = m_gt_s(magnitude, v_set1(0x7F800000u));
  lanes result = v_select(small, v_sub(sum, one_half), normal);
  result = v_select(nan, v_set1(0x7E00u), v_select(large, v_set1(0x7C00u), result));
  if (counting) {
    const mask changed = m_andnot(small, m_eq(v_sub_floats(sum, one_half), magnitude));
    tally->underflow = v_increment(tally->underflow, changed);
    tally->flags->overflow += m_count(m_andnot(large, m_gt_s(magnitude, v_set1(0x7F7FFFFFu))));
  }
  return v_or(result, v_srli(v_andnot(value, v_set1(0x7FFFFFFFu)), 16));
}

static CF_ALWAYS_INLINE void decode_body(const lane_rule *r, int counting, int how, int type,
                                         const int16_t *bias, size_t bias_step, const char *codes,
                                         char *values, int streaming, tally *tally) {
  const lanes bias0 = biases_at(r, bias, bias_step, 0);
  const lanes bias1 = biases_at(r, bias, bias_step, LANES);
  const lanes code0 = v_load_codes(codes, r->code_size);
  const lanes code1 = v_load_codes(codes + LANES * r->code_size, r->code_size);
  const lanes value0 = unpack_as(r, counting, how, code0, bias0, tally->flags);
  const lanes value1 = unpack_as(r, counting, how, code1, bias1, tally->flags);
  if (type == CF_FLOAT32) {
    store_values(values, value0, value1, streaming);
  } else if (type == CF_FLOAT64) {
    v_store_doubles(values, value0, streaming);
    v_store_doubles(values + LANES * 8, value1, streaming);
  } else if (type == CF_BFLOAT16) {
    store_codes(values, 2, narrow_to_bfloat16(value0), narrow_to_bfloat16(value1), streaming);
  } else {
    const lanes half0 = narrow_to_float16(counting, value0, tally);
    store_codes(values, 2, half0, narrow_to_float16(counting, value1, tally), streaming);
  }
}

typedef void decode_one(const lane_rule *r, const int16_t *bias, size_t bias_step,
                        const char *codes, char *values, int streaming, tally *tally);

/* Whole bodies, and zero-padded copies of what is left over and of what precedes the first aligned
 * one. */
static CF_ALWAYS_INLINE void decode_all(const lane_rule *r, const half_unpacking *halves,
                                        int counting, int how, int type, const int16_t *bias,
                                        size_t bias_step, const char *codes, char *values,
                                        size_t count, cf_flags *flags, decode_one *one) {
  const size_t size = type == CF_FLOAT64 ? 8 : type == CF_FLOAT32 ? 4 : 2;
  const int in_halves = size == 2 && how == UNPACK_PLAIN && bias_step == 0 && halves->usable;
  const int before = elements_before_stream(r->streaming, codes, values, BODY, size, count);
  tally tally = {v_set1(0), flags};
  size_t part = before > 0 ? (size_t)before : 0;
  while (count > 0) {
    char code_stage[BODY * 2], value_stage[BODY * 8];
    int16_t bias_stage[BODY];
    size_t bodies = part == 0 ? count / BODY : 0;
    if (bodies == 0 && part == 0) part = count;
    const size_t elements = part == 0 ? bodies * BODY : part;
    const char *from = codes;
    const int16_t *bias_from = bias;
    char *to = values;
    if (part != 0) {
      memset(code_stage, 0, sizeof code_stage);
      memset(bias_stage, 0, sizeof bias_stage);
      from = memcpy(code_stage, codes, part * r->code_size);
      bias_from = memcpy(bias_stage, bias, bias_step == 0 ? sizeof *bias : part * sizeof *bias);
      to = value_stage;
      bodies = 1;
    }
    const int streaming = before >= 0 && part == 0,
              fetching = streaming && r->fetching && size >= 4;
    for (; in_halves && bodies > 0; --bodies) {
      if (!unpack_halves(halves, type, from, to, streaming))
        one(r, bias_from, 0, from, to, streaming, &tally);
      from += BODY * 2;
      to += BODY * 2;
    }
    for (; bodies > 0; --bodies) {
      if (fetching) prefetch_ahead(to, BODY * size);
      decode_body(r, counting, how, type, bias_from, bias_step, from, to, streaming && !fetching,
                  &tally);
      from += BODY * r->code_size;
      to += BODY * size;
      bias_from += BODY * bias_step;
    }
    if (part != 0) memcpy(values, value_stage, part * size);
    codes += elements * r->code_size;
    values += elements * size;
    bias += elements * bias_step;
    count -= elements;
    part = 0;
  }
  if (counting) tally_end(&tally);
}

#define DEFINE_DECODE_LOOP(name, counting, how, type)                                              \
  static CF_NOINLINE void ISA_NAME(name##_one)(const lane_rule *r, const int16_t *bias,            \
                                               size_t bias_step, const char *codes, char *values,  \
                                               int streaming, tally *tally) {                      \
    decode_body(r, counting, how, type, bias, bias_step, codes, values, streaming, tally);         \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name)(const lane_rule *r, const half_unpacking *halves,         \
                                         const int16_t *bias, size_t bias_step, const char *codes, \
                                         char *values, size_t count, cf_flags *flags) {            \
    decode_all(r, halves, counting, how, type, bias, bias_step, codes, values, count, flags,       \
               ISA_NAME(name##_one));                                                              \
  }
#define DEFINE_DECODE(name, type)                                                                \
  DEFINE_DECODE_LOOP(name##_plain, 0, UNPACK_PLAIN, type)                                        \
  DEFINE_DECODE_LOOP(name##_plain_counting, 1, UNPACK_PLAIN, type)                               \
  DEFINE_DECODE_LOOP(name##_other, 0, UNPACK_OTHER, type)                                        \
  DEFINE_DECODE_LOOP(name##_other_counting, 1, UNPACK_OTHER, type)                               \
  DEFINE_DECODE_LOOP(name##_upper, 0, UNPACK_UPPER_HALF, type)                                   \
  DEFINE_DECODE_LOOP(name##_upper_counting, 1, UNPACK_UPPER_HALF, type)                          \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,         \
                             const void *codes, void *values, size_t count, cf_flags *flags) {   \
    static void (*const loops[3][2])(const lane_rule *, const half_unpacking *, const int16_t *, \
                                     size_t, const char *, char *, size_t, cf_flags *) = {       \
        [UNPACK_PLAIN] = {ISA_NAME(name##_plain), ISA_NAME(name##_plain_counting)},              \
        [UNPACK_OTHER] = {ISA_NAME(name##_other), ISA_NAME(name##_other_counting)},              \
        [UNPACK_UPPER_HALF] = {ISA_NAME(name##_upper), ISA_NAME(name##_upper_counting)}};        \
    const int how = rule->upper_half ? UNPACK_UPPER_HALF                                         \
                    : rule->plain    ? UNPACK_PLAIN                                              \
                                     : UNPACK_OTHER;                                             \
    const int is_short = (type) == CF_FLOAT16 || (type) == CF_BFLOAT16;                          \
    const lane_rule r = lane_rule_of(rule, *bias);                                               \
    half_unpacking unpacking, *halves = NULL;                                                    \
    if (is_short) {                                                                              \
      unpacking = half_unpacking_of(rule, *bias, type);                                          \
      halves = &unpacking;                                                                       \
    }                                                                                            \
    if ((type) == CF_FLOAT32 || (type) == CF_BFLOAT16) {                                         \
      loops[how][flags != NULL](&r, halves, bias, bias_step, codes, values, count, flags);       \
    } else if ((type) == CF_FLOAT16 && flags != NULL && r.no_zero) { /* padding raises a flag */ \
      cf_kernels_portable.decode[type](rule, bias, bias_step, codes, values, count, flags);      \
    } else {                                                                                     \
      const uint64_t modes = cf_set_default_float_modes();                                       \
      loops[how][flags != NULL](&r, halves, bias, bias_step, codes, values, count, flags);       \
      cf_restore_float_modes(modes);                                                             \
    }                                                                                            \
  }
DEFINE_DECODE(decode_float64, CF_FLOAT64)
DEFINE_DECODE(decode_float32, CF_FLOAT32)
DEFINE_DECODE(decode_float16, CF_FLOAT16)
DEFINE_DECODE(decode_bfloat16, CF_BFLOAT16)

#endif
