/* The loops over an array, and the table of kernels, of an instruction set whose file has defined
 * its lanes (convert/round_lanes-inl.h).  Each body works on 2 * LANES elements.  What is left over
 * is padded with zeros, which raise no flag, or one that is taken away again. */
#ifndef CF_CONVERT_LOOPS_INL_H
#define CF_CONVERT_LOOPS_INL_H

#include <string.h>

#include "convert/round_lanes-inl.h"
#include "convert/addition_float32-inl.h"
#include "convert/philox-inl.h"
#include "cpu/compiler.h"

enum { BODY = 2 * LANES };

/* The biases of the LANES elements from i on. */
static inline lanes biases_at(const lane_rule *r, const int16_t *bias, size_t bias_step, size_t i) {
  return bias_step == 0 ? r->bias : v_load_biases(bias + i);
}

/* Large arrays are read and written in two pages at a time, each while the next two are fetched: a
 * processor's own prefetching stops at the end of a page, and memory serves several pages at once
 * better than one. */
enum { PAGE = 4096 };

/* A line of which only a part bypasses the caches costs more than is won: it takes runs of some
 * length. */
enum { STREAMED_COUNT = 1 << 15 };

/* How many elements of a size precede the first aligned body, if results are to bypass the caches;
 * -1 if not. */
static inline int elements_before_stream(int streaming, const void *source, const void *destination,
                                         size_t size, size_t count) {
  const size_t alignment = BODY * size, beyond = (uintptr_t)destination % alignment;
  if (!streaming || count < STREAMED_COUNT || source == destination || beyond % size != 0)
    return -1;
  return beyond == 0 ? 0 : (int)((alignment - beyond) / size);
}

/* Fetch a body of elements of a size two pages ahead of time; beyond the end of the array nothing
 * comes of it. */
static inline void prefetch_ahead(const char *source, size_t size) {
  const uintptr_t address = (uintptr_t)source + 2 * PAGE;
  for (size_t line = 0; line < BODY * size; line += CF_CACHE_LINE)
    CF_PREFETCH((const void *)(address + line));
}

static inline void store_values(char *destination, lanes first, lanes second, int streaming) {
  if (streaming) {
    v_stream(destination, first);
    v_stream(destination + LANES * 4, second);
  } else {
    v_store(destination, first);
    v_store(destination + LANES * 4, second);
  }
}

static inline void store_codes(char *destination, size_t size, lanes first, lanes second,
                               int streaming) {
  if (streaming)
    v_stream_codes(destination, size, first, second);
  else
    v_store_codes(destination, size, first, second);
}

/* Where zeros raise a flag, take those of padding away again: exactly one each. */
static inline void forget_padding(const lane_rule *r, size_t padding, cf_flags *flags) {
  if (!r->no_zero) return;
  *(r->has_nan ? &flags->invalid : &flags->underflow) -= padding;
}

/* The loop of a slot: whole bodies of elements, and zero-padded copies of what is left over and,
 * for the random words, of what precedes a multiple of four.  A negative rounding stands for the
 * rule's own. */
#define DEFINE_ENCODE_LOOP(name, operand_of, source_size, fixed_rounding, counting, plain,        \
                           is_round_to)                                                           \
  static CF_ALWAYS_INLINE void ISA_NAME(name##_body)(                                             \
      const lane_rule *r, const int16_t *bias, size_t bias_step, const char *source,              \
      random_stream *words, char *destination, int streaming, cf_flags *flags) {                  \
    const int rounding = (fixed_rounding) < 0 ? r->rounding : (fixed_rounding);                   \
    lanes word[2] = {v_set1(0), v_set1(0)};                                                       \
    if ((fixed_rounding) == CF_STOCHASTIC) v_random(words, &word[0], &word[1]);                   \
    const lanes bias0 = biases_at(r, bias, bias_step, 0);                                         \
    const lanes bias1 = biases_at(r, bias, bias_step, LANES);                                     \
    const operand x0 = operand_of(r, source);                                                     \
    const operand x1 = operand_of(r, source + LANES * (source_size));                             \
    const lanes code0 = round_pack(r, rounding, counting, plain, x0, bias0, word[0], flags);      \
    const lanes code1 = round_pack(r, rounding, counting, plain, x1, bias1, word[1], flags);      \
    if (is_round_to) {                                                                            \
      store_values(destination, unpack(r, 0, plain, code0, bias0, NULL),                          \
                   unpack(r, 0, plain, code1, bias1, NULL), streaming);                           \
    } else {                                                                                      \
      store_codes(destination, r->code_size, code0, code1, streaming);                            \
    }                                                                                             \
  }                                                                                               \
  static CF_NOINLINE void ISA_NAME(name##_part)(                                                  \
      const lane_rule *r, const int16_t *bias, size_t bias_step, const char *source,              \
      random_stream *words, char *destination, size_t lead, size_t count, cf_flags *flags) {      \
    const size_t size = (is_round_to) ? 4 : r->code_size;                                         \
    char source_stage[BODY * (source_size)] = {0}, destination_stage[BODY * 4];                   \
    int16_t bias_stage[BODY] = {0};                                                               \
    memcpy(source_stage + lead * (source_size), source, count * (source_size));                   \
    if (bias_step != 0) memcpy(bias_stage + lead, bias, count * sizeof *bias);                    \
    ISA_NAME(name##_body)(r, bias_stage, bias_step, source_stage, words, destination_stage, 0,    \
                          flags);                                                                 \
    if ((counting) && !(plain)) forget_padding(r, BODY - count, flags);                           \
    memcpy(destination, destination_stage + lead * size, count * size);                           \
  }                                                                                               \
  static CF_NOINLINE void ISA_NAME(name)(const lane_rule *r, const int16_t *bias,                 \
                                         size_t bias_step, const char *source, uint64_t position, \
                                         char *destination, size_t count, cf_flags *flags) {      \
    const size_t size = (is_round_to) ? 4 : r->code_size;                                         \
    const int stochastic = (fixed_rounding) == CF_STOCHASTIC;                                     \
    const size_t lead = stochastic ? position % 4 : 0;                                            \
    const int before = elements_before_stream(r->streaming, source, destination, size, count);    \
    /* the first bodies are short ones where results are aligned or words begin amid a block */   \
    const int streaming = before >= 0 && (!stochastic || (position + (uint64_t)before) % 4 == 0); \
    random_stream words;                                                                          \
    if (stochastic) words = random_stream_at(r->seed, position - lead);                           \
    if (lead > 0 || (streaming && before > 0)) {                                                  \
      size_t part = count < BODY - lead ? count : BODY - lead;                                    \
      if (streaming) part = (size_t)before;                                                       \
      ISA_NAME(name##_part)(r, bias, bias_step, source, &words, destination, lead, part, flags);  \
      if (stochastic) words = random_stream_at(r->seed, position + part);                         \
      source += part * (source_size);                                                             \
      destination += part * size;                                                                 \
      bias += part * bias_step;                                                                   \
      count -= part;                                                                              \
    }                                                                                             \
    for (; count >= BODY; count -= BODY) {                                                        \
      ISA_NAME(name##_body)(r, bias, bias_step, source, &words, destination, streaming, flags);   \
      source += BODY * (source_size);                                                             \
      destination += BODY * size;                                                                 \
      bias += BODY * bias_step;                                                                   \
    }                                                                                             \
    if (count > 0)                                                                                \
      ISA_NAME(name##_part)(r, bias, bias_step, source, &words, destination, 0, count, flags);    \
  }

/* The biases of the LANES elements from i on, in the place of a float32's exponent. */
static inline lanes scales_at(const add_rule *r, const int16_t *bias, size_t bias_step,
                              int block_shift, size_t i) {
  if (block_shift != 0) return v_slli(v_set1((uint32_t)(int32_t)bias[i >> block_shift]), 23);
  return bias_step == 0 ? r->scale : v_slli(v_load_biases(bias + i), 23);
}

/* Elements of a type as float32, of which each is one. */
static inline lanes load_float32(const char *source) { return v_load(source); }
#ifdef V_LOAD_FLOAT16 /* the instruction for it, where that heeds no floating-point mode */
static inline lanes load_float16(const char *source) { return V_LOAD_FLOAT16(source); }
#else
static inline lanes load_float16(const char *source) {
  const lanes code = v_load_codes(source, 2), rebias = v_set1((uint32_t)(127 - 15) << 23);
  const lanes magnitude = v_and(code, v_set1(0x7FFFu)), sign = v_slli(v_sub(code, magnitude), 16);
  const lanes normal = v_add(v_slli(magnitude, 13), rebias);
  const lanes subnormal = v_mul_floats(v_to_float(magnitude), v_set1((uint32_t)(127 - 24) << 23));
  lanes value = v_select(m_gt_s(v_set1(0x0400u), magnitude), subnormal, normal);
  value = v_select(m_gt_s(magnitude, v_set1(0x7BFFu)), v_add(normal, rebias), value);
  return v_or(value, sign);
}
#endif
static inline lanes load_bfloat16(const char *source) {
  return v_slli(v_load_codes(source, 2), 16);
}

/* How many of LANES elements that are now float32 were subnormals of a type and no longer are; of
 * those that still are, whoever encodes them counts them. */
static inline unsigned count_float16_subnormals(lanes values) {
  const lanes magnitude = v_and(values, v_set1(0x7FFFFFFFu));
  return m_count(m_andnot(m_gt_s(v_set1(0x38800000u), magnitude), m_eq(magnitude, v_set1(0))));
}
static inline unsigned count_float32_subnormals(lanes values) {
  (void)values;
  return 0;
}
static inline unsigned count_bfloat16_subnormals(lanes values) {
  (void)values;
  return 0;
}

/* The same by addition: from a type of which each element is a float32, to codes or to float32. */
#define DEFINE_ADD_LOOP(name, type, source_size, rounding, counting, plain, to_values)             \
  static CF_ALWAYS_INLINE void ISA_NAME(name##_body)(                                              \
      const add_rule *r, const int16_t *bias, size_t bias_step, int block_shift, size_t at,        \
      size_t code_size, const char *source, char *destination, int streaming, cf_flags *flags) {   \
    const lanes scale0 = scales_at(r, bias, bias_step, block_shift, at);                           \
    const lanes scale1 = block_shift != 0 ? scale0 : scales_at(r, bias, bias_step, 0, at + LANES); \
    const lanes x0 = load_##type(source), x1 = load_##type(source + LANES * (source_size));        \
    if (counting)                                                                                  \
      flags->denormal += count_##type##_subnormals(x0) + count_##type##_subnormals(x1);            \
    const lanes result0 =                                                                          \
        round_by_addition(r, rounding, counting, plain, to_values, x0, scale0, flags);             \
    const lanes result1 =                                                                          \
        round_by_addition(r, rounding, counting, plain, to_values, x1, scale1, flags);             \
    if (to_values)                                                                                 \
      store_values(destination, result0, result1, streaming);                                      \
    else                                                                                           \
      store_codes(destination, code_size, result0, result1, streaming);                            \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name##_part)(                                                   \
      const add_rule *r, const int16_t *bias, size_t bias_step, size_t code_size,                  \
      const char *source, char *destination, size_t count, cf_flags *flags) {                      \
    const size_t size = (to_values) ? 4 : code_size;                                               \
    char source_stage[BODY * (source_size)] = {0}, destination_stage[BODY * 4];                    \
    int16_t bias_stage[BODY] = {0};                                                                \
    memcpy(source_stage, source, count * (source_size));                                           \
    if (bias_step != 0) memcpy(bias_stage, bias, count * sizeof *bias);                            \
    ISA_NAME(name##_body)                                                                          \
    (r, bias_stage, bias_step, 0, 0, code_size, source_stage, destination_stage, 0, flags);        \
    memcpy(destination, destination_stage, count * size);                                          \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias,                 \
                                         size_t bias_step, const char *source, char *destination,  \
                                         size_t count, cf_flags *flags) {                          \
    const add_rule r = add_rule_of(rule, *bias, rounding);                                         \
    const size_t code_size = rule->code_size, size = (to_values) ? 4 : code_size;                  \
    const int block_shift = rule->block == 0 ? 0 : cf_log2(rule->block);                           \
    const int before = elements_before_stream(rule->streaming, source, destination, size, count);  \
    const int streaming = before >= 0 && block_shift == 0;                                         \
    const int paired = rule->large && source != destination;                                       \
    const size_t page = PAGE / (source_size);                                                      \
    size_t at = 0;                                                                                 \
    if (streaming && before > 0) {                                                                 \
      at = (size_t)before;                                                                         \
      ISA_NAME(name##_part)(&r, bias, bias_step, code_size, source, destination, at, flags);       \
    }                                                                                              \
    for (; paired && count - at >= 2 * page; at += 2 * page) {                                     \
      for (size_t first = at; first < at + page; first += BODY) {                                  \
        for (size_t i = first; i < at + 2 * page; i += page) {                                     \
          prefetch_ahead(source + i * (source_size), source_size);                                 \
          ISA_NAME(name##_body)                                                                    \
          (&r, bias, bias_step, block_shift, i, code_size, source + i * (source_size),             \
           destination + i * size, streaming, flags);                                              \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
    for (; count - at >= BODY; at += BODY) {                                                       \
      if (paired) prefetch_ahead(source + at * (source_size), source_size);                        \
      ISA_NAME(name##_body)                                                                        \
      (&r, bias, bias_step, block_shift, at, code_size, source + at * (source_size),               \
       destination + at * size, streaming, flags);                                                 \
    }                                                                                              \
    if (at < count) /* never where blocks share biases: they are whole bodies */                   \
      ISA_NAME(name##_part)                                                                        \
    (&r, bias + at * bias_step, bias_step, code_size, source + at * (source_size),                 \
     destination + at * size, count - at, flags);                                                  \
  }

/* Those of formats that are plain, or not. */
#define DEFINE_ADD_LOOPS(name, plain, to_values)                                          \
  DEFINE_ADD_LOOP(name##_even, float32, 4, CF_TIES_TO_EVEN, 0, plain, to_values)          \
  DEFINE_ADD_LOOP(name##_even_counting, float32, 4, CF_TIES_TO_EVEN, 1, plain, to_values) \
  DEFINE_ADD_LOOP(name##_zero, float32, 4, CF_TOWARD_ZERO, 0, plain, to_values)           \
  DEFINE_ADD_LOOP(name##_zero_counting, float32, 4, CF_TOWARD_ZERO, 1, plain, to_values)

#define ADD_LOOPS(name)                                        \
  {                                                            \
    {ISA_NAME(name##_even), ISA_NAME(name##_even_counting)}, { \
      ISA_NAME(name##_zero), ISA_NAME(name##_zero_counting)    \
    }                                                          \
  }

#define DEFINE_ADD(name, to_values)                                                              \
  DEFINE_ADD_LOOPS(name##_plain, 1, to_values)                                                   \
  DEFINE_ADD_LOOPS(name##_other, 0, to_values)                                                   \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,         \
                             const void *source, void *destination, size_t count,                \
                             cf_flags *flags) {                                                  \
    static void (*const loops[2][2][2])(const cf_rule *, const int16_t *, size_t, const char *,  \
                                        char *, size_t, cf_flags *) = {ADD_LOOPS(name##_other),  \
                                                                       ADD_LOOPS(name##_plain)}; \
    const int toward_zero = rule->rounding == CF_TOWARD_ZERO;                                    \
    const uint64_t modes = float_enter(toward_zero);                                             \
    loops[rule->plain][toward_zero][flags != NULL](rule, bias, bias_step, source, destination,   \
                                                   count, flags);                                \
    float_leave(modes);                                                                          \
  }

DEFINE_ADD(add_float32, 0)
DEFINE_ADD(add_round_float32, 1)

/* A slot: the modes that matter most have loops of their own, and each has one that counts; all
 * that for formats that are plain, and for others. */
#define DEFINE_ENCODE_LOOPS(name, operand_of, source_size, rounding, plain, is_round_to) \
  DEFINE_ENCODE_LOOP(name, operand_of, source_size, rounding, 0, plain, is_round_to)     \
  DEFINE_ENCODE_LOOP(name##_counting, operand_of, source_size, rounding, 1, plain, is_round_to)

#define ENCODE_LOOPS(name) {ISA_NAME(name), ISA_NAME(name##_counting)}

#define DEFINE_ENCODE(name, operand_of, source_size, is_round_to)                                  \
  DEFINE_ENCODE_LOOPS(name##_even, operand_of, source_size, CF_TIES_TO_EVEN, 1, is_round_to)       \
  DEFINE_ENCODE_LOOPS(name##_zero, operand_of, source_size, CF_TOWARD_ZERO, 1, is_round_to)        \
  DEFINE_ENCODE_LOOPS(name##_random, operand_of, source_size, CF_STOCHASTIC, 1, is_round_to)       \
  DEFINE_ENCODE_LOOPS(name##_any, operand_of, source_size, -1, 1, is_round_to)                     \
  DEFINE_ENCODE_LOOPS(name##_other_even, operand_of, source_size, CF_TIES_TO_EVEN, 0, is_round_to) \
  DEFINE_ENCODE_LOOPS(name##_other_random, operand_of, source_size, CF_STOCHASTIC, 0, is_round_to) \
  DEFINE_ENCODE_LOOPS(name##_other_any, operand_of, source_size, -1, 0, is_round_to)               \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,           \
                             const void *source, uint64_t position, void *destination,             \
                             size_t count, cf_flags *flags) {                                      \
    static void (*const loops[2][CF_TIES_TO_ZERO + 1][2])(                                         \
        const lane_rule *, const int16_t *, size_t, const char *, uint64_t, char *, size_t,        \
        cf_flags *) = {{[CF_TIES_TO_EVEN] = ENCODE_LOOPS(name##_other_even),                       \
                        [CF_TIES_TO_AWAY] = ENCODE_LOOPS(name##_other_any),                        \
                        [CF_TOWARD_ZERO] = ENCODE_LOOPS(name##_other_any),                         \
                        [CF_TOWARD_POSITIVE] = ENCODE_LOOPS(name##_other_any),                     \
                        [CF_TOWARD_NEGATIVE] = ENCODE_LOOPS(name##_other_any),                     \
                        [CF_STOCHASTIC] = ENCODE_LOOPS(name##_other_random),                       \
                        [CF_TO_ODD] = ENCODE_LOOPS(name##_other_any),                              \
                        [CF_TIES_TO_ZERO] = ENCODE_LOOPS(name##_other_any)},                       \
                       {[CF_TIES_TO_EVEN] = ENCODE_LOOPS(name##_even),                             \
                        [CF_TIES_TO_AWAY] = ENCODE_LOOPS(name##_any),                              \
                        [CF_TOWARD_ZERO] = ENCODE_LOOPS(name##_zero),                              \
                        [CF_TOWARD_POSITIVE] = ENCODE_LOOPS(name##_any),                           \
                        [CF_TOWARD_NEGATIVE] = ENCODE_LOOPS(name##_any),                           \
                        [CF_STOCHASTIC] = ENCODE_LOOPS(name##_random),                             \
                        [CF_TO_ODD] = ENCODE_LOOPS(name##_any),                                    \
                        [CF_TIES_TO_ZERO] = ENCODE_LOOPS(name##_any)}};                            \
    const lane_rule r = lane_rule_of(rule, *bias);                                                 \
    loops[rule->plain][rule->rounding][flags != NULL](&r, bias, bias_step, source, position,       \
                                                      destination, count, flags);                  \
  }

DEFINE_ENCODE(encode_any_float32, float32_operand, 4, 0)
DEFINE_ENCODE(encode_float64, float64_operand, 8, 0)
DEFINE_ENCODE(round_any_float32, float32_operand, 4, 1)

#define DEFINE_SHORTEST(name, by_addition, any_way)                                          \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,     \
                             const void *source, uint64_t position, void *destination,       \
                             size_t count, cf_flags *flags) {                                \
    if (cf_goes_by_addition(rule))                                                           \
      ISA_NAME(by_addition)(rule, bias, bias_step, source, destination, count, flags);       \
    else                                                                                     \
      ISA_NAME(any_way)(rule, bias, bias_step, source, position, destination, count, flags); \
  }
DEFINE_SHORTEST(encode_float32, add_float32, encode_any_float32)
DEFINE_SHORTEST(round_float32, add_round_float32, round_any_float32)

/* From types of 16 bits: most often at once, else as float32, piece by piece. */
enum { WIDEN_PIECE = 1024 };

#define DEFINE_FROM_16_BITS(type)                                                                 \
  DEFINE_ADD_LOOP(add_##type, type, 2, CF_TIES_TO_EVEN, 0, 1, 0)                                  \
  DEFINE_ADD_LOOP(add_##type##_counting, type, 2, CF_TIES_TO_EVEN, 1, 1, 0)                       \
  static void ISA_NAME(encode_##type)(const cf_rule *rule, const int16_t *bias, size_t bias_step, \
                                      const void *source, uint64_t position, void *codes,         \
                                      size_t count, cf_flags *flags) {                            \
    const char *from = source;                                                                    \
    cf_rule staged = *rule;                                                                       \
    char *to = codes;                                                                             \
    if (cf_adds_16_bits(rule)) {                                                                  \
      const uint64_t modes = float_enter(0);                                                      \
      if (flags == NULL)                                                                          \
        ISA_NAME(add_##type)(rule, bias, bias_step, from, to, count, NULL);                       \
      else                                                                                        \
        ISA_NAME(add_##type##_counting)(rule, bias, bias_step, from, to, count, flags);           \
      float_leave(modes);                                                                         \
      return;                                                                                     \
    }                                                                                             \
    staged.large = 0;                                                                             \
    while (count > 0) {                                                                           \
      char stage[WIDEN_PIECE * 4], tail[LANES * 2] = {0};                                         \
      const size_t piece = count < WIDEN_PIECE ? count : WIDEN_PIECE;                             \
      for (size_t i = 0; i < piece; i += LANES) {                                                 \
        const char *next = from + 2 * i;                                                          \
        if (piece - i < LANES) next = memcpy(tail, next, 2 * (piece - i));                        \
        const lanes values = load_##type(next);                                                   \
        v_store(stage + 4 * i, values);                                                           \
        if (flags != NULL) flags->denormal += count_##type##_subnormals(values);                  \
      }                                                                                           \
      ISA_NAME(encode_float32)(&staged, bias, bias_step, stage, position, to, piece, flags);      \
      from += 2 * piece;                                                                          \
      to += rule->code_size * piece;                                                              \
      bias += bias_step * piece;                                                                  \
      position += piece;                                                                          \
      count -= piece;                                                                             \
    }                                                                                             \
  }
DEFINE_FROM_16_BITS(float16)
DEFINE_FROM_16_BITS(bfloat16)

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
    count_raised(flags, nan, m_and(small, m_gt_s(magnitude, zero)), none, none);
  }
  return value;
}

static CF_ALWAYS_INLINE void ISA_NAME(decode_float32_body)(const lane_rule *r, int counting,
                                                           int how, const int16_t *bias,
                                                           size_t bias_step, const char *codes,
                                                           char *values, int streaming,
                                                           cf_flags *flags) {
  const lanes bias0 = biases_at(r, bias, bias_step, 0);
  const lanes bias1 = biases_at(r, bias, bias_step, LANES);
  const lanes code0 = v_load_codes(codes, r->code_size);
  const lanes code1 = v_load_codes(codes + LANES * r->code_size, r->code_size);
  const lanes value0 = unpack_as(r, counting, how, code0, bias0, flags);
  store_values(values, value0, unpack_as(r, counting, how, code1, bias1, flags), streaming);
}

#define DEFINE_DECODE_LOOP(name, counting, how)                                                    \
  static CF_NOINLINE void ISA_NAME(name##_part)(const lane_rule *r, const int16_t *bias,           \
                                                size_t bias_step, const char *codes, char *values, \
                                                size_t count, cf_flags *flags) {                   \
    char code_stage[BODY * 2] = {0}, value_stage[BODY * 4];                                        \
    int16_t bias_stage[BODY] = {0};                                                                \
    memcpy(code_stage, codes, count * r->code_size);                                               \
    if (bias_step != 0) memcpy(bias_stage, bias, count * sizeof *bias);                            \
    ISA_NAME(decode_float32_body)                                                                  \
    (r, counting, how, bias_stage, bias_step, code_stage, value_stage, 0, flags);                  \
    memcpy(values, value_stage, count * 4);                                                        \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name)(const lane_rule *r, const int16_t *bias,                  \
                                         size_t bias_step, const char *codes, char *values,        \
                                         size_t count, cf_flags *flags) {                          \
    const int before = elements_before_stream(r->streaming, codes, values, 4, count);              \
    const int streaming = before >= 0;                                                             \
    if (before > 0) {                                                                              \
      const size_t part = (size_t)before;                                                          \
      ISA_NAME(name##_part)(r, bias, bias_step, codes, values, part, flags);                       \
      codes += part * r->code_size;                                                                \
      values += part * 4;                                                                          \
      bias += part * bias_step;                                                                    \
      count -= part;                                                                               \
    }                                                                                              \
    for (; count >= BODY; count -= BODY) {                                                         \
      ISA_NAME(decode_float32_body)                                                                \
      (r, counting, how, bias, bias_step, codes, values, streaming, flags);                        \
      codes += BODY * r->code_size;                                                                \
      values += BODY * 4;                                                                          \
      bias += BODY * bias_step;                                                                    \
    }                                                                                              \
    if (count > 0) ISA_NAME(name##_part)(r, bias, bias_step, codes, values, count, flags);         \
  }
DEFINE_DECODE_LOOP(decode_float32_plain, 0, UNPACK_PLAIN)
DEFINE_DECODE_LOOP(decode_float32_plain_counting, 1, UNPACK_PLAIN)
DEFINE_DECODE_LOOP(decode_float32_other, 0, UNPACK_OTHER)
DEFINE_DECODE_LOOP(decode_float32_other_counting, 1, UNPACK_OTHER)
DEFINE_DECODE_LOOP(decode_float32_upper, 0, UNPACK_UPPER_HALF)
DEFINE_DECODE_LOOP(decode_float32_upper_counting, 1, UNPACK_UPPER_HALF)

static void ISA_NAME(decode_float32)(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                                     const void *codes, void *values, size_t count,
                                     cf_flags *flags) {
  static void (*const loops[3][2])(const lane_rule *, const int16_t *, size_t, const char *, char *,
                                   size_t, cf_flags *) = {
      [UNPACK_PLAIN] = {ISA_NAME(decode_float32_plain), ISA_NAME(decode_float32_plain_counting)},
      [UNPACK_OTHER] = {ISA_NAME(decode_float32_other), ISA_NAME(decode_float32_other_counting)},
      [UNPACK_UPPER_HALF] = {ISA_NAME(decode_float32_upper),
                             ISA_NAME(decode_float32_upper_counting)}};
  const int how = rule->upper_half ? UNPACK_UPPER_HALF : rule->plain ? UNPACK_PLAIN : UNPACK_OTHER;
  const lane_rule r = lane_rule_of(rule, *bias);
  loops[how][flags != NULL](&r, bias, bias_step, codes, values, count, flags);
}

static void ISA_NAME(stream_end)(void) { v_stream_end(); }

/* Slots that are left out here are the portable ones. */
#define CF_LANE_KERNELS                                      \
  {                                                          \
      .encode = {[CF_FLOAT64] = ISA_NAME(encode_float64),    \
                 [CF_FLOAT32] = ISA_NAME(encode_float32),    \
                 [CF_FLOAT16] = ISA_NAME(encode_float16),    \
                 [CF_BFLOAT16] = ISA_NAME(encode_bfloat16)}, \
      .decode = {[CF_FLOAT32] = ISA_NAME(decode_float32)},   \
      .round_float32 = ISA_NAME(round_float32),              \
      .map_codes = MAP_CODES,                                \
      .any_of = ANY_OF,                                      \
      .stream_end = ISA_NAME(stream_end),                    \
  }

#endif
