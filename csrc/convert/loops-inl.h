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
#include "cpu/float_modes.h"

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

/* How many elements of a size precede the first aligned body of some, if results are to bypass the
 * caches; -1 if not. */
static inline int elements_before_stream(int streaming, const void *source, const void *destination,
                                         size_t body, size_t size, size_t count) {
  const size_t alignment = body * size, beyond = (uintptr_t)destination % alignment;
  if (!streaming || count < STREAMED_COUNT || source == destination || beyond % size != 0)
    return -1;
  return beyond == 0 ? 0 : (int)((alignment - beyond) / size);
}

/* Fetch a body of so many bytes two pages ahead of time; beyond the end of the array nothing comes
 * of it. */
static inline void prefetch_ahead(const char *source, size_t size) {
  const uintptr_t address = (uintptr_t)source + 2 * PAGE;
  for (size_t line = 0; line < size; line += CF_CACHE_LINE)
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

#ifdef HAS_HALVES
#include "convert/round_halves-inl.h"
#define ENCODE_HALVES(kind, type, size, rule, bias, bias_step, source, codes, count, flags) \
  if (goes_by_halves(rule)) {                                                               \
    ISA_NAME(encode_halves_##kind)                                                          \
    (rule, bias, bias_step, source, type, size, codes, count, flags);                       \
    return;                                                                                 \
  }
#else
#define ENCODE_HALVES(kind, type, size, rule, bias, bias_step, source, codes, count, flags)
#endif
#define ENCODE_HALVES_float32(...) ENCODE_HALVES(float32, CF_FLOAT32, 4, __VA_ARGS__)
#define ENCODE_HALVES_bfloat16(...) ENCODE_HALVES(bfloat16, CF_BFLOAT16, 2, __VA_ARGS__)
#define ENCODE_HALVES_float16(...) ENCODE_HALVES(small, CF_FLOAT16, 2, __VA_ARGS__)

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

/* Ties to even by addition: from a type of which each element is a float32, to codes or to
 * float32. */
#define DEFINE_ADD_LOOP(name, type, source_size, toward_zero, counting, plain, to_values)          \
  static CF_ALWAYS_INLINE void ISA_NAME(name##_body)(                                              \
      const add_rule *r, const int16_t *bias, size_t bias_step, int block_shift, size_t at,        \
      size_t code_size, const char *source, char *destination, int streaming, tally *tally) {      \
    const lanes scale0 = scales_at(r, bias, bias_step, block_shift, at);                           \
    const lanes scale1 = block_shift != 0 ? scale0 : scales_at(r, bias, bias_step, 0, at + LANES); \
    const lanes x0 = load_##type(source), x1 = load_##type(source + LANES * (source_size));        \
    if (counting)                                                                                  \
      tally->flags->denormal += count_##type##_subnormals(x0) + count_##type##_subnormals(x1);     \
    lanes result0, result1;                                                                        \
    if ((counting) && !m_any(m_or(not_usual(r, x0, scale0), not_usual(r, x1, scale1)))) {          \
      result0 = round_by_addition(r, toward_zero, 1, 0, plain, to_values, x0, scale0, tally);      \
      result1 = round_by_addition(r, toward_zero, 1, 0, plain, to_values, x1, scale1, tally);      \
    } else {                                                                                       \
      result0 =                                                                                    \
          round_by_addition(r, toward_zero, 0, counting, plain, to_values, x0, scale0, tally);     \
      result1 =                                                                                    \
          round_by_addition(r, toward_zero, 0, counting, plain, to_values, x1, scale1, tally);     \
    }                                                                                              \
    if (to_values)                                                                                 \
      store_values(destination, result0, result1, streaming);                                      \
    else                                                                                           \
      store_codes(destination, code_size, result0, result1, streaming);                            \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name##_part)(                                                   \
      const add_rule *r, const int16_t *bias, size_t bias_step, size_t code_size,                  \
      const char *source, char *destination, size_t count, tally *tally) {                         \
    const size_t size = (to_values) ? 4 : code_size;                                               \
    char source_stage[BODY * (source_size)] = {0}, destination_stage[BODY * 4];                    \
    int16_t bias_stage[BODY] = {0};                                                                \
    memcpy(source_stage, source, count * (source_size));                                           \
    if (bias_step != 0) memcpy(bias_stage, bias, count * sizeof *bias);                            \
    ISA_NAME(name##_body)                                                                          \
    (r, bias_stage, bias_step, 0, 0, code_size, source_stage, destination_stage, 0, tally);        \
    memcpy(destination, destination_stage, count * size);                                          \
  }                                                                                                \
  static CF_NOINLINE void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias,                 \
                                         size_t bias_step, const char *source, char *destination,  \
                                         size_t count, cf_flags *flags) {                          \
    const add_rule r = add_rule_of(rule, *bias, toward_zero);                                      \
    tally tally = {v_set1(0), flags};                                                              \
    const size_t code_size = rule->code_size, size = (to_values) ? 4 : code_size;                  \
    const int block_shift = rule->block == 0 ? 0 : cf_log2(rule->block);                           \
    const int before =                                                                             \
        elements_before_stream(rule->streaming, source, destination, BODY, size, count);           \
    const int streaming = before >= 0 && block_shift == 0;                                         \
    const int paired = rule->large && source != destination;                                       \
    const size_t page = PAGE / (source_size);                                                      \
    size_t at = 0;                                                                                 \
    if (streaming && before > 0) {                                                                 \
      at = (size_t)before;                                                                         \
      ISA_NAME(name##_part)(&r, bias, bias_step, code_size, source, destination, at, &tally);      \
    }                                                                                              \
    for (; paired && count - at >= 2 * page; at += 2 * page) {                                     \
      for (size_t first = at; first < at + page; first += BODY) {                                  \
        for (size_t i = first; i < at + 2 * page; i += page) {                                     \
          prefetch_ahead(source + i * (source_size), BODY * (source_size));                        \
          ISA_NAME(name##_body)                                                                    \
          (&r, bias, bias_step, block_shift, i, code_size, source + i * (source_size),             \
           destination + i * size, streaming, &tally);                                             \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
    for (; count - at >= BODY; at += BODY) {                                                       \
      if (paired) prefetch_ahead(source + at * (source_size), BODY * (source_size));               \
      ISA_NAME(name##_body)                                                                        \
      (&r, bias, bias_step, block_shift, at, code_size, source + at * (source_size),               \
       destination + at * size, streaming, &tally);                                                \
    }                                                                                              \
    if (at < count) /* never where blocks share biases: they are whole bodies */                   \
      ISA_NAME(name##_part)                                                                        \
    (&r, bias + at * bias_step, bias_step, code_size, source + at * (source_size),                 \
     destination + at * size, count - at, &tally);                                                 \
    if (counting) tally_end(&tally);                                                               \
  }

/* Those of formats that are plain, or not. */
#define DEFINE_ADD(name, to_values)                                                              \
  DEFINE_ADD_LOOP(name##_plain, float32, 4, 0, 0, 1, to_values)                                  \
  DEFINE_ADD_LOOP(name##_plain_counting, float32, 4, 0, 1, 1, to_values)                         \
  DEFINE_ADD_LOOP(name##_other, float32, 4, 0, 0, 0, to_values)                                  \
  DEFINE_ADD_LOOP(name##_other_counting, float32, 4, 0, 1, 0, to_values)                         \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,         \
                             const void *source, void *destination, size_t count,                \
                             cf_flags *flags) {                                                  \
    static void (*const loops[2][2])(const cf_rule *, const int16_t *, size_t, const char *,     \
                                     char *, size_t, cf_flags *) = {                             \
        {ISA_NAME(name##_other), ISA_NAME(name##_other_counting)},                               \
        {ISA_NAME(name##_plain), ISA_NAME(name##_plain_counting)}};                              \
    const uint64_t modes = float_enter();                                                        \
    loops[rule->plain][flags != NULL](rule, bias, bias_step, source, destination, count, flags); \
    float_leave(modes);                                                                          \
  }
DEFINE_ADD(add_float32, 0)
DEFINE_ADD(add_round_float32, 1)

/* Toward zero where nothing is counted. */
DEFINE_ADD_LOOP(add_round_zero_plain, float32, 4, 1, 0, 1, 1)
DEFINE_ADD_LOOP(add_round_zero_other, float32, 4, 1, 0, 0, 1)
static void ISA_NAME(add_round_zero)(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                                     const void *source, void *destination, size_t count) {
  const uint64_t modes = float_enter();
  (rule->plain ? ISA_NAME(add_round_zero_plain) : ISA_NAME(add_round_zero_other))(
      rule, bias, bias_step, source, destination, count, NULL);
  float_leave(modes);
}

/* What the general way reads and writes: float32, and what they have beyond that, which is NULL if
 * it is nothing; to codes or float32. */
typedef struct round_call {
  const cf_rule *rule;
  const int16_t *bias;
  size_t bias_step;
  const char *source;
  const uint32_t *low;
  uint64_t position;
  char *destination;
  size_t count;
  int to_values;
  cf_flags *flags;
} round_call;

/* A loop while it runs. */
typedef struct round_loop {
  round_rule r;
  lane_rule unpacking; /* to_values */
  size_t code_size, bias_step;
  int block_shift, to_values;
  tally tally;
} round_loop;

/* The biases of BODY elements, the first at `at`. */
static inline void biases_of(const round_loop *l, const int16_t *bias, size_t at, lanes *first,
                             lanes *second) {
  if (l->block_shift != 0) {
    *first = *second = v_set1((uint32_t)(int32_t)bias[at >> l->block_shift]);
  } else {
    *first = v_load_biases(bias + at);
    *second = v_load_biases(bias + at + LANES);
  }
}

/* BODY elements, the first at `at` for its bias. */
static CF_ALWAYS_INLINE void round_body(round_loop *l, int rounding, int counting, int plain,
                                        int has_low, const int16_t *bias, size_t at,
                                        const char *source, const uint32_t *low,
                                        const uint32_t *words, char *destination, int streaming) {
  const round_rule *r = &l->r;
  const lanes zero = v_set1(0);
  lanes word0 = zero, word1 = zero, low0 = zero, low1 = zero;
  if (rounding == CF_STOCHASTIC) {
    word0 = v_load(words);
    word1 = v_load(words + LANES);
  }
  if (has_low) {
    low0 = v_load(low);
    low1 = v_load(low + LANES);
  }
  lanes scale0 = r->scale, scale1 = r->scale;
  if (l->bias_step != 0 || l->block_shift != 0) {
    lanes bias0, bias1;
    biases_of(l, bias, at, &bias0, &bias1);
    scale0 = v_add(r->origin, v_slli(bias0, 23));
    scale1 = v_add(r->origin, v_slli(bias1, 23));
  }
  const lanes code0 = round_lanes(r, rounding, counting, plain, v_load(source), has_low, low0,
                                  scale0, word0, &l->tally);
  const lanes code1 = round_lanes(r, rounding, counting, plain, v_load(source + LANES * 4), has_low,
                                  low1, scale1, word1, &l->tally);
  if (l->to_values) {
    const lane_rule *u = &l->unpacking;
    lanes bias0 = u->bias, bias1 = u->bias;
    if (l->bias_step != 0 || l->block_shift != 0) biases_of(l, bias, at, &bias0, &bias1);
    store_values(destination, unpack(u, 0, plain, code0, bias0, NULL),
                 unpack(u, 0, plain, code1, bias1, NULL), streaming);
  } else {
    store_codes(destination, l->code_size, code0, code1, streaming);
  }
}

/* Whole bodies of elements, and zero-padded copies of what is left over and, where results bypass
 * the caches, of what precedes the first aligned one.  Random words are drawn for so many elements
 * at a time. */
enum { WORDS_PIECE = 1024 };

static CF_ALWAYS_INLINE void round_all(const round_call *c, int rounding, int counting, int plain,
                                       int takes_low) {
  const int has_low = takes_low && (plain || c->low != NULL);
  const cf_rule *rule = c->rule;
  const int draws = rounding == CF_STOCHASTIC && rule->words == NULL;
  const size_t count = c->count, bias_step = c->bias_step;
  const size_t size = c->to_values ? 4 : rule->code_size;
  round_loop l;
  l.r = round_rule_of(rule, *c->bias);
  l.unpacking = lane_rule_of(rule, *c->bias);
  l.code_size = rule->code_size;
  l.bias_step = bias_step;
  l.block_shift = rule->block == 0 ? 0 : cf_log2(rule->block);
  l.to_values = c->to_values;
  l.tally.underflow = v_set1(0);
  l.tally.flags = c->flags;
  const int before =
      elements_before_stream(rule->streaming, c->source, c->destination, BODY, size, count);
  const int streaming = before >= 0 && l.block_shift == 0;
  const int far = rule->large && c->source != c->destination;
  uint32_t drawn[WORDS_PIECE + RANDOM_WORDS];
  random_keys keys;
  if (rounding == CF_STOCHASTIC) keys = random_keys_of(rule->seed);
  size_t part = streaming ? (size_t)before : 0; /* so many are staged next, if any */
  for (size_t at = 0; at < count;) {
    char source_stage[BODY * 4], destination_stage[BODY * 4];
    uint32_t low_stage[BODY], word_stage[BODY];
    int16_t bias_stage[BODY];
    size_t bodies = part == 0 ? (count - at) / BODY : 0, first = at;
    if (bodies == 0 && part == 0) part = count - at;
    if (draws && bodies > WORDS_PIECE / BODY) bodies = WORDS_PIECE / BODY;
    const size_t elements = part == 0 ? bodies * BODY : part;
    const char *source = c->source + at * 4;
    const uint32_t *low = has_low ? c->low + at : NULL, *word = NULL;
    const int16_t *bias = c->bias;
    char *destination = c->destination + at * size;
    if (draws) {
      const uint64_t position = c->position + at, lead = position % 4;
      ISA_NAME(random_words)(&keys, position - lead, drawn, elements + lead);
      word = drawn + lead;
    } else if (rounding == CF_STOCHASTIC) {
      word = rule->words + c->position + at;
    }
    if (part != 0) {
      memset(source_stage, 0, sizeof source_stage);
      memset(low_stage, 0, sizeof low_stage);
      memset(word_stage, 0, sizeof word_stage);
      source = memcpy(source_stage, source, part * 4);
      if (low != NULL) low = memcpy(low_stage, low, part * 4);
      if (word != NULL) word = memcpy(word_stage, word, part * 4);
      if (bias_step != 0) {
        memset(bias_stage, 0, sizeof bias_stage);
        bias = memcpy(bias_stage, bias + at, part * sizeof *bias);
      }
      destination = destination_stage;
      first = 0;
      bodies = 1;
    }
    for (; bodies > 0; --bodies) {
      if (far) prefetch_ahead(source, BODY * 4);
      if (far && rounding == CF_STOCHASTIC && !draws) prefetch_ahead((const char *)word, BODY * 4);
      round_body(&l, rounding, counting, plain, has_low, bias, first, source, low, word,
                 destination, streaming && part == 0);
      source += BODY * 4;
      if (low != NULL) low += BODY;
      if (word != NULL) word += BODY;
      destination += BODY * size;
      first += BODY;
    }
    if (part != 0) {
      memcpy(c->destination + at * size, destination_stage, part * size);
      /* where zeros raise a flag, take those of padding away again: exactly one each */
      if (counting && !plain && l.r.no_zero)
        *(l.r.has_nan ? &c->flags->invalid : &c->flags->underflow) -= BODY - part;
      part = 0;
    }
    at += elements;
  }
  if (counting) tally_end(&l.tally);
}

#define DEFINE_ROUND(name, rounding, plain, takes_low)                     \
  static CF_NOINLINE void ISA_NAME(name)(const round_call *c) {            \
    round_all(c, rounding, 0, plain, takes_low);                           \
  }                                                                        \
  static CF_NOINLINE void ISA_NAME(name##_counting)(const round_call *c) { \
    round_all(c, rounding, 1, plain, takes_low);                           \
  }
DEFINE_ROUND(round_even, CF_TIES_TO_EVEN, 1, 0)
DEFINE_ROUND(round_away, CF_TIES_TO_AWAY, 1, 0)
DEFINE_ROUND(round_zero, CF_TOWARD_ZERO, 1, 0)
DEFINE_ROUND(round_up, CF_TOWARD_POSITIVE, 1, 0)
DEFINE_ROUND(round_down, CF_TOWARD_NEGATIVE, 1, 0)
DEFINE_ROUND(round_random, CF_STOCHASTIC, 1, 0)
DEFINE_ROUND(round_long_random, CF_STOCHASTIC, 1, 1)
DEFINE_ROUND(round_odd, CF_TO_ODD, 1, 0)
DEFINE_ROUND(round_ties_to_zero, CF_TIES_TO_ZERO, 1, 0)
DEFINE_ROUND(round_other, -1, 0, 0)
DEFINE_ROUND(round_other_random, CF_STOCHASTIC, 0, 1)

#define ROUND_LOOPS(name) {ISA_NAME(name), ISA_NAME(name##_counting)}

static void ISA_NAME(round_generally)(const round_call *c) {
  static void (*const plain_loops[CF_TIES_TO_ZERO + 1][2])(const round_call *) = {
      [CF_TIES_TO_EVEN] = ROUND_LOOPS(round_even),
      [CF_TIES_TO_AWAY] = ROUND_LOOPS(round_away),
      [CF_TOWARD_ZERO] = ROUND_LOOPS(round_zero),
      [CF_TOWARD_POSITIVE] = ROUND_LOOPS(round_up),
      [CF_TOWARD_NEGATIVE] = ROUND_LOOPS(round_down),
      [CF_STOCHASTIC] = ROUND_LOOPS(round_random),
      [CF_TO_ODD] = ROUND_LOOPS(round_odd),
      [CF_TIES_TO_ZERO] = ROUND_LOOPS(round_ties_to_zero)};
  static void (*const other_loops[2][2])(const round_call *) = {ROUND_LOOPS(round_other),
                                                                ROUND_LOOPS(round_other_random)};
  static void (*const long_loops[2])(const round_call *) = ROUND_LOOPS(round_long_random);
  const cf_params *params = &c->rule->params;
  const int mode = cf_rounding_mode(c->rule->rounding), counting = c->flags != NULL;
  const int usual_words = cf_rounding_bits(c->rule->rounding) == 32 &&
                          cf_rounding_variant(c->rule->rounding) == CF_STOCHASTIC_A;
  const int plain =
      c->rule->plain && params->sign_mask != 0 && params->subnormals != CF_SUBNORMALS_FLUSH;
  if (mode != CF_STOCHASTIC)
    (plain ? plain_loops[mode] : other_loops[0])[counting](c);
  else if (plain && usual_words)
    (c->low != NULL ? long_loops : plain_loops[mode])[counting](c);
  else
    other_loops[1][counting](c);
}

#define DEFINE_SHORTEST(name, added, to_values)                                          \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step, \
                             const void *source, uint64_t position, void *destination,   \
                             size_t count, cf_flags *flags) {                            \
    if (!(to_values)) {                                                                  \
      ENCODE_HALVES_float32(rule, bias, bias_step, source, destination, count, flags)    \
    }                                                                                    \
    if (cf_goes_by_addition(rule)) {                                                     \
      ISA_NAME(added)(rule, bias, bias_step, source, destination, count, flags);         \
    } else if ((to_values) && rule->by_addition && rule->rounding == CF_TOWARD_ZERO &&   \
               flags == NULL) {                                                          \
      ISA_NAME(add_round_zero)(rule, bias, bias_step, source, destination, count);       \
    } else {                                                                             \
      const round_call call = {rule,     bias,        bias_step, source,    NULL,        \
                               position, destination, count,     to_values, flags};      \
      ISA_NAME(round_generally)(&call);                                                  \
    }                                                                                    \
  }
DEFINE_SHORTEST(encode_float32, add_float32, 0)
DEFINE_SHORTEST(round_float32, add_round_float32, 1)

#include "convert/widen_sources-inl.h"

/* What becomes float32 piece by piece. */
enum { WIDEN_PIECE = 1024 };

typedef struct stage {
  uint32_t bits[WIDEN_PIECE], low[WIDEN_PIECE];
  uint64_t subnormals;
  int counting, beyond;
} stage;

/* Vectors of elements, as many as hold `count` from number `first` of the stage on. */
typedef void widen_all(const char *source, size_t first, size_t count, int is_random, stage *s);

/* has_low: the type has elements that are no float32; counts: or subnormals. */
static void encode_widened(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                           const char *source, uint64_t position, char *codes, size_t count,
                           cf_flags *flags, widen_all *widen, size_t size, int has_low,
                           int counts) {
  const int is_random = cf_rounding_mode(rule->rounding) == CF_STOCHASTIC && has_low;
  cf_rule staged = *rule;
  staged.large = staged.streaming = 0;
  while (count > 0) {
    stage s;
    char tail[LANES * 8] = {0};
    const size_t piece = count < WIDEN_PIECE ? count : WIDEN_PIECE, whole = piece / LANES * LANES;
    cf_flags counted = {0, 0, 0, 0}, *counting = flags != NULL ? &counted : NULL;
    s.subnormals = 0;
    s.counting = flags != NULL && counts;
    s.beyond = 0;
    widen(source, 0, whole, is_random, &s);
    if (whole < piece) {
      memcpy(tail, source + whole * size, (piece - whole) * size);
      widen(tail, whole, LANES, is_random, &s);
    }
    if (s.beyond) {
      cf_kernels_portable.encode[CF_FLOAT64](rule, bias, bias_step, source, position, codes, piece,
                                             flags);
    } else if (cf_goes_by_addition(rule)) {
      ISA_NAME(add_float32)(&staged, bias, bias_step, s.bits, codes, piece, counting);
    } else {
      const round_call call = {
          &staged, bias, bias_step, (const char *)s.bits, is_random ? s.low : NULL, position, codes,
          piece,   0,    counting};
      ISA_NAME(round_generally)(&call);
    }
    if (flags != NULL && !s.beyond) {
      counted.denormal = s.subnormals;
      cf_add_flags(flags, &counted);
    }
    source += size * piece;
    codes += rule->code_size * piece;
    bias += bias_step * piece;
    position += piece;
    count -= piece;
  }
}

/* Random words take so long that what is read next would not be on its way otherwise. */
static inline void prefetch_next_piece(const char *source, size_t size) {
  const uintptr_t address = (uintptr_t)source + WIDEN_PIECE * size;
  for (size_t line = 0; line < LANES * size; line += CF_CACHE_LINE)
    CF_PREFETCH((const void *)(address + line));
}

#define DEFINE_ENCODE_WIDENED(name, type, size, has_low, counts)                                 \
  static CF_ALWAYS_INLINE void widen_each_##type(const char *source, size_t first, size_t count, \
                                                 int is_random, int counting, stage *s) {        \
    for (size_t i = first; i < first + count; i += LANES, source += LANES * (size)) {            \
      widened w = widen_##type(source);                                                          \
      if (is_random) prefetch_next_piece(source, size);                                          \
      if (is_random)                                                                             \
        v_store(s->low + i, w.low);                                                              \
      else if (has_low)                                                                          \
        w.bits = v_or(w.bits, v_min_u(w.low, v_set1(1)));                                        \
      v_store(s->bits + i, w.bits);                                                              \
      if (counting) {                                                                            \
        s->subnormals += m_count(w.subnormal);                                                   \
        s->beyond |= m_any(w.beyond);                                                            \
      }                                                                                          \
    }                                                                                            \
  }                                                                                              \
  static CF_NOINLINE void ISA_NAME(widen_all_##type)(const char *source, size_t first,           \
                                                     size_t count, int is_random, stage *s) {    \
    if ((counts) && s->counting)                                                                 \
      widen_each_##type(source, first, count, is_random, 1, s);                                  \
    else if ((has_low) && is_random)                                                             \
      widen_each_##type(source, first, count, 1, 0, s);                                          \
    else                                                                                         \
      widen_each_##type(source, first, count, 0, 0, s);                                          \
  }                                                                                              \
  static void ISA_NAME(name)(const cf_rule *rule, const int16_t *bias, size_t bias_step,         \
                             const void *source, uint64_t position, void *codes, size_t count,   \
                             cf_flags *flags) {                                                  \
    encode_widened(rule, bias, bias_step, source, position, codes, count, flags,                 \
                   ISA_NAME(widen_all_##type), size, has_low, counts);                           \
  }
DEFINE_ENCODE_WIDENED(encode_float64, float64, 8, 1, 1)
DEFINE_ENCODE_WIDENED(encode_int64, int64, 8, 1, 0)
DEFINE_ENCODE_WIDENED(encode_int32, int32, 4, 1, 0)
DEFINE_ENCODE_WIDENED(encode_uint64, uint64, 8, 1, 0)
DEFINE_ENCODE_WIDENED(encode_uint32, uint32, 4, 1, 0)

/* Integers that are a float32, all of them. */
#define DEFINE_FROM_SMALL(type, type_id, size)                                                     \
  DEFINE_ENCODE_WIDENED(encode_widened_##type, type, size, 0, 0)                                   \
  static void ISA_NAME(encode_##type)(const cf_rule *rule, const int16_t *bias, size_t bias_step,  \
                                      const void *source, uint64_t position, void *codes,          \
                                      size_t count, cf_flags *flags) {                             \
    ENCODE_HALVES(small, type_id, size, rule, bias, bias_step, source, codes, count, flags)        \
    ISA_NAME(encode_widened_##type)(rule, bias, bias_step, source, position, codes, count, flags); \
  }
DEFINE_FROM_SMALL(int16, CF_INT16, 2)
DEFINE_FROM_SMALL(int8, CF_INT8, 1)
DEFINE_FROM_SMALL(uint16, CF_UINT16, 2)
DEFINE_FROM_SMALL(uint8, CF_UINT8, 1)

/* Types of 16 bits most often at once. */
#define DEFINE_FROM_16_BITS(type)                                                                 \
  DEFINE_ADD_LOOP(add_##type, type, 2, 0, 0, 1, 0)                                                \
  DEFINE_ADD_LOOP(add_##type##_counting, type, 2, 0, 1, 1, 0)                                     \
  DEFINE_ENCODE_WIDENED(encode_widened_##type, type, 2, 0, 1)                                     \
  static void ISA_NAME(encode_##type)(const cf_rule *rule, const int16_t *bias, size_t bias_step, \
                                      const void *source, uint64_t position, void *codes,         \
                                      size_t count, cf_flags *flags) {                            \
    ENCODE_HALVES_##type(rule, bias, bias_step, source, codes, count,                             \
                         flags) if (!cf_adds_16_bits(rule)) {                                     \
      ISA_NAME(encode_widened_##type)(rule, bias, bias_step, source, position, codes, count,      \
                                      flags);                                                     \
      return;                                                                                     \
    }                                                                                             \
    const uint64_t modes = float_enter();                                                         \
    (flags == NULL ? ISA_NAME(add_##type) : ISA_NAME(add_##type##_counting))(                     \
        rule, bias, bias_step, source, codes, count, flags);                                      \
    float_leave(modes);                                                                           \
  }
DEFINE_FROM_16_BITS(float16)
DEFINE_FROM_16_BITS(bfloat16)

#include "convert/decode_loops-inl.h"

static void ISA_NAME(stream_end)(void) { v_stream_end(); }

/* Slots that are left out here are the portable ones. */
#define CF_LANE_KERNELS                                      \
  {                                                          \
      .encode = {[CF_FLOAT64] = ISA_NAME(encode_float64),    \
                 [CF_FLOAT32] = ISA_NAME(encode_float32),    \
                 [CF_FLOAT16] = ISA_NAME(encode_float16),    \
                 [CF_BFLOAT16] = ISA_NAME(encode_bfloat16),  \
                 [CF_INT64] = ISA_NAME(encode_int64),        \
                 [CF_INT32] = ISA_NAME(encode_int32),        \
                 [CF_INT16] = ISA_NAME(encode_int16),        \
                 [CF_INT8] = ISA_NAME(encode_int8),          \
                 [CF_UINT64] = ISA_NAME(encode_uint64),      \
                 [CF_UINT32] = ISA_NAME(encode_uint32),      \
                 [CF_UINT16] = ISA_NAME(encode_uint16),      \
                 [CF_UINT8] = ISA_NAME(encode_uint8)},       \
      .decode = {[CF_FLOAT64] = ISA_NAME(decode_float64),    \
                 [CF_FLOAT32] = ISA_NAME(decode_float32),    \
                 [CF_FLOAT16] = ISA_NAME(decode_float16),    \
                 [CF_BFLOAT16] = ISA_NAME(decode_bfloat16)}, \
      .round_float32 = ISA_NAME(round_float32),              \
      .map_codes = MAP_CODES,                                \
      .any_of = ANY_OF,                                      \
      .stream_end = ISA_NAME(stream_end),                    \
  }

#endif
