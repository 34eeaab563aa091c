/* The loops of arithmetic/pairs.h in the lanes of an instruction set (convert/round_lanes-inl.h).
 *
 * A lane of 32 bits is read with the codes that lie there, two or four, and each is brought to
 * where float32 has its exponent and mantissa: no code moves to another lane, on the way in or
 * out.  Decoding and rounding are those of cf_unpack and cf_round_pack, to nearest, ties to even,
 * in the fewest operations for the formats that there are. */
#ifndef CF_ARITHMETIC_PAIRS_INL_H
#define CF_ARITHMETIC_PAIRS_INL_H

#include <string.h>

#include "arithmetic/pairs.h"
#include "core/format.h"
#include "cpu/compiler.h"

typedef struct source_lanes {
  lanes place[CF_MOST_CODES], magnitude, exponent, max, infinity, factor, addend;
} source_lanes;

/* The rule spread over lanes: local, so that compilers keep it in registers. */
typedef struct pair_lanes {
  source_lanes operands[2];
  lanes last_bit, step, drop, smallest_normal, upper, anchor, below, largest;
  lanes sign, sign_code, signs, flip, negation, negative_code, smallest_normal_float32;
} pair_lanes;

static CF_ALWAYS_INLINE lanes float_lanes(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return v_set1(bits);
}

static CF_ALWAYS_INLINE source_lanes source_lanes_of(const cf_pair_source *source) {
  source_lanes l;
  for (int i = 0; i < CF_MOST_CODES; ++i) l.place[i] = v_set1(source->place[i]);
  l.magnitude = v_set1(source->magnitude);
  l.exponent = v_set1(source->exponent);
  l.max = v_set1(source->max);
  l.infinity = v_set1(source->infinity);
  l.factor = float_lanes(source->factor);
  l.addend = float_lanes(source->addend);
  return l;
}

static CF_ALWAYS_INLINE pair_lanes pair_lanes_of(const cf_pair_rule *rule) {
  pair_lanes l;
  l.operands[0] = source_lanes_of(&rule->operands[0]);
  l.operands[1] = source_lanes_of(&rule->operands[1]);
  l.last_bit = v_set1(rule->last_bit);
  l.step = v_set1(rule->step);
  l.drop = v_set1(rule->drop);
  l.smallest_normal = v_set1(rule->smallest_normal);
  l.upper = v_set1(rule->upper);
  l.anchor = float_lanes(rule->anchor);
  l.below = v_set1(rule->below);
  l.largest = v_set1(rule->largest);
  l.sign = v_set1(rule->sign);
  l.sign_code = v_set1(rule->sign_code);
  l.signs = v_set1(rule->signs);
  l.flip = v_set1(rule->flip);
  l.negation = v_set1(rule->negation);
  l.negative_code = v_set1(rule->negative_code);
  l.smallest_normal_float32 = v_set1(1u << 23);
  return l;
}

/* What is looked out for: nothing, or results that are neither finite nor zero; or such operands,
 * too, and sums that are negative and of a format without a sign. */
enum watch { WATCH_NOTHING, WATCH_RESULTS, WATCH_ALL };

/* The largest that was seen. */
typedef struct watched {
  lanes operands[2], result;
} watched;

/* Code i of each lane, where float32 has exponent and mantissa. */
static CF_ALWAYS_INLINE lanes placed_code(const source_lanes *s, int i, int bits, lanes codes) {
  const int is_last = (i + 1) * bits == 32;
  return v_and(is_last ? v_srlv(codes, s->place[i]) : v_sllv(codes, s->place[i]), s->magnitude);
}

/* The value of a finite one, without its sign. */
static CF_ALWAYS_INLINE lanes finite_value(const pair_lanes *l, const source_lanes *s,
                                           lanes placed) {
  return v_fma_where(m_gt_s(l->smallest_normal_float32, placed), v_add(placed, s->exponent),
                     s->factor, s->addend);
}

/* The value with the sign that code i of each lane has. */
static CF_ALWAYS_INLINE lanes with_sign(const pair_lanes *l, int i, int bits, lanes codes,
                                        lanes value) {
  const int to_top = 32 - (i + 1) * bits;
  return v_or(value, v_and(to_top != 0 ? v_slli(codes, to_top) : codes, l->sign));
}

static CF_ALWAYS_INLINE lanes operate(int function, lanes x, lanes y) {
  switch (function) {
    case CF_MULTIPLY: return v_mul_floats(x, y);
    case CF_DIVIDE: return v_div_floats(x, y);
    default: return v_add_floats(x, y);
  }
}

/* Codes of magnitudes, without a sign. */
static CF_ALWAYS_INLINE lanes result_code(const pair_lanes *l, lanes magnitude) {
  const lanes rounded = v_increment(v_add(magnitude, l->step), m_has(magnitude, l->last_bit));
  const lanes normal = v_max_s(v_srlv(rounded, l->drop), l->smallest_normal);
  const lanes sum = v_min_s(v_add_floats(magnitude, l->anchor), l->below);
  const lanes code = v_select(m_gt_s(magnitude, l->upper), normal, v_sub(sum, l->anchor));
  return v_min_s(code, l->largest);
}

/* The result of code i of each lane, in its place.  Sums alone have their signs. */
static CF_ALWAYS_INLINE lanes pair_code(const pair_lanes *l, int function, int watch, int i,
                                        int bits, lanes a, lanes b, watched *most) {
  const lanes of_a = placed_code(&l->operands[0], i, bits, a);
  const lanes of_b = placed_code(&l->operands[1], i, bits, b);
  lanes x = finite_value(l, &l->operands[0], of_a), y = finite_value(l, &l->operands[1], of_b);
  if (watch == WATCH_ALL) {
    most->operands[0] = v_max_s(most->operands[0], of_a);
    most->operands[1] = v_max_s(most->operands[1], of_b);
  }
  if (function == CF_ADD) {
    x = with_sign(l, i, bits, a, x);
    y = with_sign(l, i, bits, b, y);
    if (watch == WATCH_ALL) y = v_xor(y, l->negation);
  }
  const lanes result = operate(function, x, y);
  const lanes magnitude = function == CF_ADD ? v_andnot(result, l->sign) : result;
  /* sums of finite numbers are finite */
  if (watch != WATCH_NOTHING && function != CF_ADD) most->result = v_max_u(most->result, magnitude);
  lanes code = result_code(l, magnitude);
  if (function == CF_ADD) {
    if (watch == WATCH_ALL) code = v_select(m_gt_s(v_set1(0), magnitude), l->negative_code, code);
    code = v_or(code, v_and(v_srli(result, 32 - bits), l->sign_code));
  }
  return i != 0 ? v_slli(code, i * bits) : code;
}

/* The results of a vector that has what is looked out for; and what is signalled. */
static CF_NOINLINE lanes ISA_NAME(unusual_vector)(const cf_pair_rule *rule, lanes a, lanes b,
                                                  unsigned *signals) {
  const pair_lanes l = pair_lanes_of(rule);
  const lanes zero = v_set1(0), infinity = v_set1(0x7F800000u), sign = v_set1(0x80000000u);
  const int bits = (int)rule->code_size * 8;
  lanes codes = zero;
  for (int i = 0; i < 32 / bits; ++i) {
    lanes values[2];
    mask nan[2];
    for (int j = 0; j < 2; ++j) {
      const source_lanes *s = &l.operands[j];
      const lanes of_lane = j == 0 ? a : b, placed = placed_code(s, i, bits, of_lane);
      const mask special = m_gt_s(placed, s->max);
      nan[j] = rule->operands[j].has_infinity ? m_gt_s(placed, s->infinity) : special;
      lanes value = v_select(special, infinity, finite_value(&l, s, placed));
      value = v_select(nan[j], v_set1(CF_FLOAT32_NAN_BITS), value);
      const lanes top = v_sllv(of_lane, v_set1((uint32_t)(32 - (i + 1) * bits)));
      values[j] = v_or(value, v_and(top, l.sign));
    }
    if (rule->function == CF_SUBTRACT) values[1] = v_xor(values[1], l.negation);
    const lanes result = operate(rule->function, values[0], values[1]);
    const lanes magnitude = v_andnot(result, sign);
    const mask no_number = m_gt_s(magnitude, infinity);
    if (m_any(m_andnot(no_number, m_or(nan[0], nan[1])))) *signals |= CF_SIGNAL_INVALID;
    if (rule->function == CF_DIVIDE) {
      const mask by_zero = m_andnot(m_eq(v_andnot(values[1], sign), zero), no_number);
      const mask finite = m_gt_s(infinity, v_andnot(values[0], sign));
      if (m_any(m_and(by_zero, finite))) *signals |= CF_SIGNAL_DIVIDE_BY_ZERO;
    }
    lanes code = result_code(&l, v_select(no_number, infinity, magnitude));
    if (rule->sign_code == 0) code = v_select(m_gt_s(zero, result), l.negative_code, code);
    code = v_or(code, v_and(v_srlv(result, v_set1((uint32_t)(32 - bits))), l.sign_code));
    code = v_select(no_number, v_set1(rule->nan_code), code);
    codes = v_or(codes, v_sllv(code, v_set1((uint32_t)(i * bits))));
  }
  return codes;
}

/* Whole vectors.  function (CF_ADD for both sums) may be a constant; watch and bits are. */
static CF_ALWAYS_INLINE void pair_loop(const cf_pair_rule *rule, int function, int watch, int bits,
                                       const char *a, const char *b, char *results, size_t bytes,
                                       int streaming, unsigned *signals) {
  enum { VECTOR = LANES * 4, AHEAD = 1024 };
  const pair_lanes l = pair_lanes_of(rule);
  const lanes zero = v_set1(0), largest = v_set1(0x7F7FFFFFu);
  for (; bytes > 0; bytes -= VECTOR, a += VECTOR, b += VECTOR, results += VECTOR) {
    CF_PREFETCH((const void *)((uintptr_t)a + AHEAD));
    CF_PREFETCH((const void *)((uintptr_t)b + AHEAD));
    const lanes x = v_load(a), loaded = v_load(b);
    const lanes y = function == CF_ADD ? v_xor(loaded, l.flip) : loaded;
    watched most = {{zero, zero}, zero};
    lanes codes = v_or(pair_code(&l, function, watch, 0, bits, x, y, &most),
                       pair_code(&l, function, watch, 1, bits, x, y, &most));
    if (bits == 8) {
      codes = v_or(codes, pair_code(&l, function, watch, 2, bits, x, y, &most));
      codes = v_or(codes, pair_code(&l, function, watch, 3, bits, x, y, &most));
    }
    if (function != CF_ADD) codes = v_or(codes, v_and(v_xor(x, y), l.signs));
    if (watch != WATCH_NOTHING) {
      mask found = m_gt_u(most.result, largest);
      if (watch == WATCH_ALL)
        found = m_or(found, m_or(m_gt_s(most.operands[0], l.operands[0].max),
                                 m_gt_s(most.operands[1], l.operands[1].max)));
      if (CF_UNLIKELY(m_any(found))) codes = ISA_NAME(unusual_vector)(rule, x, y, signals);
    }
    if (streaming)
      v_stream(results, codes);
    else
      v_store(results, codes);
  }
}

typedef void pair_loop_of(const cf_pair_rule *rule, const char *a, const char *b, char *results,
                          size_t bytes, int streaming, unsigned *signals);

#define DEFINE_PAIRS(name, function, watch, bits)                                          \
  static CF_NOINLINE void ISA_NAME(name##bits)(const cf_pair_rule *rule, const char *a,    \
                                               const char *b, char *results, size_t bytes, \
                                               int streaming, unsigned *signals) {         \
    pair_loop(rule, function, watch, bits, a, b, results, bytes, streaming, signals);      \
  }
#define ANY_FUNCTION (rule->function == CF_SUBTRACT ? CF_ADD : rule->function)
#define DEFINE_PAIRS_OF(bits)                                    \
  DEFINE_PAIRS(add_pairs, CF_ADD, WATCH_NOTHING, bits)           \
  DEFINE_PAIRS(multiply_pairs, CF_MULTIPLY, WATCH_NOTHING, bits) \
  DEFINE_PAIRS(divide_pairs, CF_DIVIDE, WATCH_RESULTS, bits)     \
  DEFINE_PAIRS(any_pairs, ANY_FUNCTION, WATCH_ALL, bits)
DEFINE_PAIRS_OF(8)
DEFINE_PAIRS_OF(16)

static void ISA_NAME(pairs)(const cf_pair_rule *rule, const char *a, const char *b, char *results,
                            size_t count, unsigned *signals) {
  static pair_loop_of *const loops[2][4] = {{ISA_NAME(add_pairs8), ISA_NAME(multiply_pairs8),
                                             ISA_NAME(divide_pairs8), ISA_NAME(any_pairs8)},
                                            {ISA_NAME(add_pairs16), ISA_NAME(multiply_pairs16),
                                             ISA_NAME(divide_pairs16), ISA_NAME(any_pairs16)}};
  enum { VECTOR = LANES * 4 };
  const size_t size = rule->code_size;
  const int finite = rule->function == CF_DIVIDE ? 2 : rule->function == CF_MULTIPLY;
  pair_loop_of *const loop = loops[size - 1][rule->is_watched ? 3 : finite];
  const int streaming = rule->streaming && (uintptr_t)results % size == 0;
  size_t bytes = count * size, part = streaming ? (0 - (uintptr_t)results) % VECTOR : 0;
  while (bytes > 0) {
    if (part == 0 && bytes >= VECTOR) {
      part = bytes / VECTOR * VECTOR;
      loop(rule, a, b, results, part, streaming, signals);
    } else {
      /* filled up by the first, which has no result of its own */
      char stage[3][VECTOR];
      if (part == 0 || part > bytes) part = bytes;
      for (size_t i = 0; i < VECTOR; i += size) {
        memcpy(stage[0] + i, i < part ? a + i : a, size);
        memcpy(stage[1] + i, i < part ? b + i : b, size);
      }
      loop(rule, stage[0], stage[1], stage[2], VECTOR, 0, signals);
      memcpy(results, stage[2], part);
    }
    a += part;
    b += part;
    results += part;
    bytes -= part;
    part = 0;
  }
  if (streaming) v_stream_end();
}

#endif
