/* Encoding to codes of 8 bits in lanes of 16: twice as many in a register as of 32, and the upper
 * half of a float32 is enough.
 *
 * Rounded to odd (its last bit set where anything is lost), it has 7 bits of mantissa, which round
 * to MANTISSA_MAX or fewer as all 23 do, by every rule but random words.  The arithmetic is
 * convert/round_lanes-inl.h's; places are those there, less their lower halves.
 *
 * An ISA that has lanes of 16 bits with a shift of each by its own count defines, besides what is
 * named there:
 *
 *   HALVES                          how many: 2 * LANES
 *   halves, half_mask
 *   h_set1 h_load                   one vector
 *   h_add h_sub h_and h_min_u h_min_s h_max_u h_max_s
 *   h_and_or(a, b, c)               a and b, or c; h_and_xor
 *   h_slli h_srai                   by a constant; h_sllv h_srlv as v_sllv and v_srlv, 16 bits
 *   h_half(v)                       v / 2, a half upwards
 *   h_select(m, a, b)               m ? a : b
 *   h_sub_if(m, a, b)               a - (m ? b : 0)
 *   hm_gt_u hm_gt_s hm_differ hm_and hm_or hm_andnot hm_any hm_count
 *   hm_lacks(v, bits)               v and bits have none in common
 *   h_split(a, b, low, high)        the lower and upper halves of HALVES uint32_t
 *   v_load_small_float(p, type)     LANES elements of CF_INT16, CF_INT8, CF_UINT16 or CF_UINT8
 *   sign_place                      where a code's sign is, by h_sign_place(sign_mask)
 *   h_store_codes(p, a, b, signs_a, signs_b, place, bare, streaming)
 *                                   2 * HALVES codes of 1 byte, and over them their signs, from
 *                                   the uppermost bits of signs_a and signs_b; if bare, none over 0
 */
#ifndef CF_CONVERT_ROUND_HALVES_INL_H
#define CF_CONVERT_ROUND_HALVES_INL_H

enum { HALF_BODY = 2 * HALVES, MANTISSA_MAX = 5 };

/* Whether a rule is for these loops. */
static inline int goes_by_halves(const cf_rule *rule) {
  const cf_params *params = &rule->params;
  return rule->code_size == 1 && params->mantissa_bits <= MANTISSA_MAX && params->sign_mask != 0 &&
         (params->subnormals == CF_SUBNORMALS_WHITEPAPER ||
          params->subnormals == CF_SUBNORMALS_IEEE) &&
         !rule->reads_subnormals && cf_rounding_mode(rule->rounding) != CF_STOCHASTIC;
}

/* What is the same for all elements, as in round_rule. */
typedef struct half_rule {
  int whitepaper, has_nan, keeps_infinity, bare, special_overflows;
  sign_place sign;
  halves scale, origin, smallest; /* the smallest normal number's place, less one: less a scale */
  halves drop, one_more, offset;  /* of ties, one less is dropped at first */
  halves limit, limit_change, max_subnormal, smallest_normal;
  halves most, most_change, max_code, overflow_code, nan_code;
  halves parity, down; /* of ties: by how much less a magnitude is if its code lacks this bit */
  /* of others, what makes of the least a whole step: in all bits that go (but for
   * CF_TOWARD_ZERO), where signs, if they count, are not `up`, and the last bit that stays is not
   * in `odd` */
  halves reach, odd, sign_counts, up;
  int type; /* of the source */
  size_t size;
  halves subnormal; /* what is not above it, but 0, is a subnormal of the source's type */
  halves all_but_sign, fraction, implicit_one, special, infinity, one, fifteen, sixteen;
} half_rule;

static inline int mode_is_tie(int mode) {
  return mode == CF_TIES_TO_EVEN || mode == CF_TIES_TO_AWAY || mode == CF_TIES_TO_ZERO;
}

static inline half_rule half_rule_of(const cf_rule *rule, int bias, int type, size_t size) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits, mode = rule->rounding, is_tie = mode_is_tie(mode);
  const int whitepaper = params->subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0;
  const int lowest = whitepaper ? 126 : 127, one = 0x80;
  half_rule r;
  r.whitepaper = whitepaper;
  r.has_nan = params->has_nan;
  r.keeps_infinity = params->has_infinity && params->overflow_code != params->max_code;
  r.bare = params->no_negative_zero;
  r.special_overflows = rule->special_overflows;
  r.sign = h_sign_place((uint8_t)params->sign_mask);
  r.origin = h_set1(0u - ((uint32_t)lowest << 7));
  r.scale = h_set1(((uint32_t)bias - (uint32_t)lowest) << 7);
  r.drop = h_set1((uint32_t)(7 - m - is_tie));
  r.one_more = h_set1((uint32_t)(8 - m - is_tie));
  r.offset = h_set1(whitepaper ? 1u << m : 0);
  r.smallest = h_set1((uint32_t)(whitepaper ? 2 * one : one) - 1);
  int limit = 2 * one - 1, limit_if_negative = limit;
  const int middle = one + one / 2 - (1 << (6 - m)), hole = one - (1 << (8 - m));
  if (mode == CF_TIES_TO_EVEN || mode == CF_TIES_TO_AWAY) limit = limit_if_negative = middle - 1;
  if (mode == CF_TIES_TO_ZERO) limit = limit_if_negative = middle;
  if (mode == CF_TOWARD_POSITIVE) limit = hole;
  if (mode == CF_TOWARD_NEGATIVE) limit_if_negative = hole;
  r.limit = h_set1((uint32_t)limit);
  r.limit_change = h_set1((uint32_t)(limit ^ limit_if_negative)); /* by a negative sign */
  r.max_subnormal = h_set1((1u << m) - 1);
  r.smallest_normal = h_set1(1u << m);
  r.max_code = h_set1((uint32_t)params->max_code);
  r.overflow_code = h_set1((uint32_t)params->overflow_code);
  const uint64_t most = cf_stops_at_max(mode, 0) ? params->max_code : params->overflow_code;
  const uint64_t least = cf_stops_at_max(mode, 1) ? params->max_code : params->overflow_code;
  r.most = h_set1((uint32_t)most);
  r.most_change = h_set1((uint32_t)(most ^ least));
  r.nan_code = h_set1((uint32_t)(params->has_nan ? params->nan_code : params->max_code));
  r.parity = h_set1(mode == CF_TIES_TO_EVEN ? 2 : 0);
  r.down = h_set1(mode != CF_TIES_TO_AWAY);
  r.reach = h_set1(mode == CF_TOWARD_ZERO ? 0 : 0xFFFF);
  r.odd = h_set1(mode == CF_TO_ODD);
  const int sign_counts = mode == CF_TOWARD_POSITIVE || mode == CF_TOWARD_NEGATIVE;
  r.sign_counts = h_set1(sign_counts ? 0xFFFF : 0);
  r.up = h_set1(mode == CF_TOWARD_NEGATIVE ? 0 : 0xFFFF);
  r.type = type;
  r.size = size;
  /* 2^-14 is float16's smallest normal number; integers have no subnormals */
  r.subnormal = h_set1(type == CF_FLOAT16 ? 0x387F : 0x7F);
  r.all_but_sign = h_set1(0x7FFF);
  r.fraction = h_set1(0x7F);
  r.implicit_one = h_set1(0x80);
  r.special = h_set1(0x7F7F);
  r.infinity = h_set1(0x7F80);
  r.one = h_set1(1);
  r.fifteen = h_set1(15);
  r.sixteen = h_set1(16);
  return r;
}

/* HALVES elements: upper halves with their signs, and 1 or more where more bits are set. */
typedef struct half_source {
  halves upper, rest;
} half_source;

static inline half_source load_halves_float32(const half_rule *r, const char *source) {
  (void)r;
  half_source x;
  h_split(v_load(source), v_load(source + LANES * 4), &x.rest, &x.upper);
  return x;
}
static inline half_source load_halves_bfloat16(const half_rule *r, const char *source) {
  (void)r;
  return (half_source){h_load(source), h_set1(0)};
}
/* Types of 16 bits or fewer that are float32 first; which one, a processor foresees. */
static CF_ALWAYS_INLINE half_source load_halves_small(const half_rule *r, const char *source) {
  half_source x;
  lanes a, b;
  if (r->type == CF_FLOAT16) {
    a = load_float16(source);
    b = load_float16(source + LANES * 2);
  } else {
    a = v_load_small_float(source, r->type);
    b = v_load_small_float(source + LANES * r->size, r->type);
  }
  h_split(a, b, &x.rest, &x.upper);
  return x;
}

typedef struct half_codes {
  halves code, signs, magnitude;
  halves unlimited; /* if counting: the code, if there were more of them */
} half_codes;

/* ties (modes to nearest, but toward zero isn't one) and counting are constants in the callers'
 * loops; smallest is half_rule's, less the scale. */
static CF_ALWAYS_INLINE half_codes round_halves(const half_rule *r, int ties, int counting,
                                                half_source x, halves scale, halves smallest,
                                                uint64_t *underflow) {
  half_codes c;
  c.signs = x.upper;
  c.magnitude = h_and_or(x.upper, r->all_but_sign, h_min_u(x.rest, r->one));
  const halves negative = h_srai(x.upper, 15);
  const halves place = h_add(c.magnitude, scale);
  halves significand = h_and_or(c.magnitude, r->fraction, r->implicit_one);
  /* zero is told from what is tiny */
  if (!ties) significand = h_min_u(significand, c.magnitude);
  const halves kept = h_max_s(place, significand);
  halves shift = h_max_s(r->drop, h_sub(r->one_more, h_srai(place, 7))), code;
  if (ties) { /* by one bit less; what is a tie is made a little less, as it may; by one more */
    const half_mask lower = hm_lacks(h_srlv(kept, shift), r->parity);
    code = h_half(h_srlv(h_sub_if(lower, kept, r->down), shift));
  } else {
    shift = h_min_s(shift, r->fifteen); /* what is not zero is still above it */
    const halves odd_goes = h_sub(h_and(h_srlv(kept, shift), r->odd), r->one);
    const halves sign_goes = h_and_xor(negative, r->sign_counts, r->up);
    const halves step = h_srlv(r->reach, h_sub(r->sixteen, shift));
    code = h_srlv(h_add(kept, h_and(step, h_and(odd_goes, sign_goes))), shift);
  }
  if (r->whitepaper) {
    halves limit = r->limit;
    if (!ties) limit = h_and_xor(negative, r->limit_change, limit);
    const halves normal_code = h_max_s(h_sub(code, r->offset), r->smallest_normal);
    code = h_select(hm_gt_s(place, limit), normal_code, h_min_s(code, r->max_subnormal));
  }
  if (counting) {
    /* what is exact comes out again; the codes around the hole are not in its binade (but for one
     * that is rounded up from the hole's first place) */
    const halves again = h_sllv(code, ties ? h_add(shift, r->one) : shift);
    half_mask inexact = hm_differ(kept, again);
    if (!ties && r->whitepaper) inexact = hm_or(inexact, hm_gt_s(place, r->fraction));
    const half_mask small = hm_gt_u(smallest, h_sub(c.magnitude, r->one)); /* and not zero */
    *underflow += hm_count(hm_and(small, inexact));
    c.unlimited = code;
  }
  halves most = r->most;
  if (!ties) most = h_and_xor(negative, r->most_change, most);
  c.code = h_min_s(code, most);
  return c;
}

/* Whether there is anything to do for end_seldom. */
static inline int has_seldom(const half_rule *r, int counting, const half_codes *a,
                             const half_codes *b) {
  const half_mask special = hm_gt_u(h_max_u(a->magnitude, b->magnitude), r->special);
  if (!counting) return hm_any(special);
  const halves less = h_min_u(h_sub(a->magnitude, r->one), h_sub(b->magnitude, r->one));
  const half_mask seldom =
      hm_or(hm_gt_u(r->subnormal, less), hm_gt_s(h_max_s(a->unlimited, b->unlimited), r->max_code));
  return r->special_overflows ? hm_any(seldom) : hm_any(hm_or(seldom, special));
}

/* What is special is put right after the rest, and flags but underflow are counted. */
static inline void end_seldom(const half_rule *r, int counting, half_codes *c, cf_flags *flags) {
  const half_mask invalid = hm_gt_u(c->magnitude, r->infinity);
  const half_mask special = hm_gt_u(c->magnitude, r->special);
  if (!r->has_nan) c->signs = h_select(invalid, h_set1(0), c->signs);
  c->code = h_select(special, r->overflow_code, c->code);
  c->code = h_select(invalid, r->nan_code, c->code);
  if (counting) {
    const half_mask overflow = hm_or(special, hm_gt_s(c->unlimited, r->max_code));
    flags->invalid += hm_count(invalid);
    flags->denormal += hm_count(hm_gt_u(r->subnormal, h_sub(c->magnitude, r->one)));
    flags->overflow += hm_count(hm_andnot(overflow, r->keeps_infinity ? special : invalid));
  }
}

static inline halves half_scale_at(const half_rule *r, const int16_t *bias, size_t bias_step,
                                   int block_shift, size_t i) {
  if (block_shift != 0) return h_add(r->origin, h_set1((uint32_t)bias[i >> block_shift] << 7));
  return bias_step == 0 ? r->scale : h_add(r->origin, h_slli(h_load(bias + i), 7));
}

/* `count` elements, whole bodies; far: they are fetched ahead of time. */
#define DEFINE_HALVES_LOOP(name, kind, step, ties, counting)                                       \
  static CF_NOINLINE void ISA_NAME(name)(                                                          \
      const half_rule *rule, const int16_t *bias, size_t bias_step, int block_shift, size_t at,    \
      const char *source, char *codes, size_t count, int far, int streaming, cf_flags *flags) {    \
    const half_rule own = *rule, *r = &own; /* what is written is nowhere in it */                 \
    halves scale0 = r->scale, scale1 = r->scale;                                                   \
    halves smallest0 = h_sub(r->smallest, scale0), smallest1 = smallest0;                          \
    const int varies = bias_step != 0 || block_shift != 0;                                         \
    uint64_t underflow = 0;                                                                        \
    for (size_t end = at + count; at < end; at += HALF_BODY) {                                     \
      if (varies) {                                                                                \
        scale0 = half_scale_at(r, bias, bias_step, block_shift, at);                               \
        scale1 = half_scale_at(r, bias, bias_step, block_shift, at + HALVES);                      \
        smallest0 = h_sub(r->smallest, scale0);                                                    \
        smallest1 = h_sub(r->smallest, scale1);                                                    \
      }                                                                                            \
      half_codes a = round_halves(r, ties, counting, load_halves_##kind(r, source), scale0,        \
                                  smallest0, &underflow);                                          \
      half_codes b =                                                                               \
          round_halves(r, ties, counting, load_halves_##kind(r, source + HALVES * (step)), scale1, \
                       smallest1, &underflow);                                                     \
      if (far) prefetch_ahead(source, HALF_BODY * (step));                                         \
      if (has_seldom(r, counting, &a, &b)) {                                                       \
        end_seldom(r, counting, &a, flags);                                                        \
        end_seldom(r, counting, &b, flags);                                                        \
      }                                                                                            \
      h_store_codes(codes, a.code, b.code, a.signs, b.signs, r->sign, r->bare, streaming);         \
      source += HALF_BODY * (step);                                                                \
      codes += HALF_BODY;                                                                          \
    }                                                                                              \
    if (counting) flags->underflow += underflow;                                                   \
  }

typedef void halves_loop(const half_rule *r, const int16_t *bias, size_t bias_step, int block_shift,
                         size_t at, const char *source, char *codes, size_t count, int far,
                         int streaming, cf_flags *flags);

/* Whole bodies by a loop, and zero-padded copies of what is left over and, where results bypass
 * the caches, of what precedes the first aligned one. */
static CF_NOINLINE void ISA_NAME(encode_halves)(const cf_rule *rule, const int16_t *bias,
                                                size_t bias_step, const char *source, int type,
                                                size_t size, char *codes, size_t count,
                                                cf_flags *flags, halves_loop *loop) {
  const half_rule r = half_rule_of(rule, *bias, type, size);
  const int block_shift = rule->block == 0 ? 0 : cf_log2(rule->block);
  const int before = elements_before_stream(rule->streaming, source, codes, HALF_BODY, 1, count);
  const int streaming = before >= 0 && block_shift == 0;
  const int far = rule->large && source != codes;
  size_t part = streaming ? (size_t)before : 0; /* so many are staged next, if any */
  for (size_t at = 0; at < count;) {
    const size_t whole = part == 0 ? (count - at) / HALF_BODY * HALF_BODY : 0;
    const char *from = source + at * size;
    if (whole != 0) {
      loop(&r, bias, bias_step, block_shift, at, from, codes + at, whole, far, streaming, flags);
      at += whole;
      continue;
    }
    if (part == 0) part = count - at;
    char source_stage[HALF_BODY * 4] = {0}, code_stage[HALF_BODY];
    int16_t bias_stage[HALF_BODY] = {0};
    memcpy(source_stage, from, part * size);
    if (bias_step != 0) memcpy(bias_stage, bias + at, part * sizeof *bias);
    if (block_shift != 0) bias_stage[0] = bias_stage[1] = bias[at >> block_shift];
    loop(&r, bias_stage, bias_step, block_shift, 0, source_stage, code_stage, HALF_BODY, 0, 0,
         flags);
    memcpy(codes + at, code_stage, part);
    at += part;
    part = 0;
  }
}

/* step: from one element to the next, as the loops know it */
#define DEFINE_HALVES(kind, step)                                                               \
  DEFINE_HALVES_LOOP(halves_##kind##_directed, kind, step, 0, 0)                                \
  DEFINE_HALVES_LOOP(halves_##kind##_directed_counting, kind, step, 0, 1)                       \
  DEFINE_HALVES_LOOP(halves_##kind##_ties, kind, step, 1, 0)                                    \
  DEFINE_HALVES_LOOP(halves_##kind##_ties_counting, kind, step, 1, 1)                           \
  static void ISA_NAME(encode_halves_##kind)(                                                   \
      const cf_rule *rule, const int16_t *bias, size_t bias_step, const void *source, int type, \
      size_t size, void *codes, size_t count, cf_flags *flags) {                                \
    static halves_loop *const loops[2][2] = {                                                   \
        {ISA_NAME(halves_##kind##_directed), ISA_NAME(halves_##kind##_directed_counting)},      \
        {ISA_NAME(halves_##kind##_ties), ISA_NAME(halves_##kind##_ties_counting)}};             \
    ISA_NAME(encode_halves)(rule, bias, bias_step, source, type, size, codes, count, flags,     \
                            loops[mode_is_tie(rule->rounding)][flags != NULL]);                 \
  }
DEFINE_HALVES(float32, 4)
DEFINE_HALVES(bfloat16, 2)
DEFINE_HALVES(small, r->size)

#endif
