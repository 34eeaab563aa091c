/* Decoding codes of 16 bits to float16 and bfloat16 in lanes of 16: a normal number's code, its
 * mantissa cut or continued, is its value's but for a constant.  Whatever else there is, but zeros,
 * is left to the 32-bit lanes of convert/decode_loops-inl.h.
 *
 * An ISA defines for it, with half_mask, halves and half_count of its own, and as many halves in a
 * register as BODY:
 *
 *   h_set1 h_load h_add h_sub h_and   h_and_or(a, b, c), a and b, or c; h_store(p, v, streaming)
 *   h_count(n)                        a count for h_sll(v, count) and h_srl(v, count), all lanes
 *   h_clear_if(m, v)                  m ? 0 : v
 *   hm_gt_u hm_andnot hm_any          hm_lacks(v, bits), v and bits have none in common
 */
#ifndef CF_CONVERT_DECODE_HALVES_INL_H
#define CF_CONVERT_DECODE_HALVES_INL_H

/* What is the same for all codes. */
typedef struct half_unpacking {
  int usable, is_signed;
  halves magnitude_mask, all;
  halves lowest, range; /* codes of normal numbers in both formats: lowest, and so many more */
  halves round, odd;    /* what is added before bits are dropped, and whether one more if odd */
  half_count down, up, sign_up;
  halves offset, top;
} half_unpacking;

/* Of one bias, to CF_FLOAT16 or CF_BFLOAT16; usable if there is anything for it to do. */
static inline half_unpacking half_unpacking_of(const cf_rule *rule, int bias, int type) {
  const cf_params *params = &rule->params;
  const int m = params->mantissa_bits, kept = type == CF_FLOAT16 ? 10 : 7;
  const int narrows = type == CF_BFLOAT16, down = narrows ? m - kept : 0;
  const int type_bias = narrows ? CF_BFLOAT16_BIAS : CF_FLOAT16_BIAS;
  half_unpacking u;
  /* bfloat16 has room for all exponents, and to round up (cf_decode_kernel_of) */
  int64_t lowest = (int64_t)1 << m, highest = (int64_t)params->max_code;
  const int64_t round = down > 0 ? (1 << (down - 1)) - 1 : 0;
  if (!narrows) {
    const int64_t first = (int64_t)(bias - 14) * (1 << m), last = (int64_t)(bias + 16) * (1 << m);
    if (lowest < first) lowest = first;
    if (highest > last - 1) highest = last - 1;
  }
  if (highest > 0xFFFF - 1 - round) highest = 0xFFFF - 1 - round; /* sums stay in a lane */
  const int fits = narrows ? m >= kept : m <= kept;
  u.usable = rule->code_size == 2 && rule->plain && fits && lowest <= highest;
  u.is_signed = params->sign_mask != 0;
  u.magnitude_mask = h_set1((uint32_t)params->magnitude_mask);
  u.all = h_set1(0xFFFF);
  u.lowest = h_set1((uint32_t)lowest);
  u.range = h_set1((uint32_t)(highest - lowest));
  u.round = h_set1((uint32_t)round);
  u.odd = h_set1(down > 0);
  u.down = h_count(down > 0 ? (unsigned)down : 0);
  u.up = h_count(!narrows && fits ? (unsigned)(kept - m) : 0);
  u.sign_up = h_count(u.is_signed ? (unsigned)(15 - cf_log2(params->sign_mask)) : 0);
  u.offset = h_set1((uint32_t)(type_bias - bias) << kept);
  u.top = h_set1(0x8000);
  return u;
}

/* BODY codes, if they are all of normal numbers or zeros; nothing is raised then.  Else nothing is
 * written. */
static CF_ALWAYS_INLINE int unpack_halves(const half_unpacking *u, int type, const char *codes,
                                          char *values, int streaming) {
  const halves code = h_load(codes);
  const halves magnitude = h_and(code, u->magnitude_mask);
  const half_mask zero = hm_lacks(magnitude, u->all);
  if (hm_any(hm_andnot(hm_gt_u(h_sub(magnitude, u->lowest), u->range), zero))) return 0;
  halves value;
  if (type == CF_BFLOAT16) {
    const halves last_bit = h_and(h_srl(magnitude, u->down), u->odd);
    value = h_srl(h_add(magnitude, h_add(last_bit, u->round)), u->down);
  } else {
    value = h_sll(magnitude, u->up);
  }
  value = h_clear_if(zero, h_add(value, u->offset));
  if (u->is_signed) value = h_and_or(h_sll(code, u->sign_up), u->top, value);
  h_store(values, value, streaming);
  return 1;
}

#endif
