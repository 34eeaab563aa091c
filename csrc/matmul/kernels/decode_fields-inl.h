/* Codes to float32 by their fields, in the order of memory: included after gemv-inl.h by an
 * instruction set's file, which defines
 *
 *   byte_words                     byte_words_of(fields)
 *   bytes_in_order(of, v, values)  the values of 4 * VECTOR codes of a byte
 *   halves_in_order(v, words)      2 * VECTOR codes of two bytes, in upper halves of words */
#ifndef CF_MATMUL_KERNELS_DECODE_FIELDS_INL_H
#define CF_MATMUL_KERNELS_DECODE_FIELDS_INL_H

static CF_ALWAYS_INLINE void values_in_order(const field_words *of, const byte_words *bytes,
                                             words group, int size, int plain, vector *values) {
  words numbers[2];
  if (size == 1) {
    bytes_in_order(bytes, group, values);
    return;
  }
  halves_in_order(group, numbers);
  /* as in values_of */
  int others = words_any_zero(words_and(group, of->exponents));
  if (!plain) others |= words_any_above(words_and(group, of->magnitudes), of->greatest);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    numbers[i] = words_and_or(words_right(numbers[i], of->right), of->mask, of->offset);
  if (CF_UNLIKELY(others))
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) /* of which zeros keep their sign */
      numbers[i] = words_and_or(numbers[i], of->sign, mended(of, numbers[i], plain));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) values[i] = f_of(numbers[i]);
}

static CF_ALWAYS_INLINE void decode_in_order(const cf_fields *fields, const uint8_t *codes,
                                             int64_t count, float *to, int size, int plain,
                                             int scaled) {
  const field_words of = field_words_of(fields);
  const byte_words bytes = byte_words_of(fields);
  const vector scale = f_set1(fields->scale);
  const int places = 4 / size, group = places * VECTOR;
  for (; count > 0; count -= group, codes += 4 * VECTOR, to += group) {
    uint8_t rest[4 * VECTOR] = {0};
    const uint8_t *from = codes;
    vector values[4];
    if (CF_UNLIKELY(count < group)) from = memcpy(rest, codes, (size_t)(count * size));
    values_in_order(&of, &bytes, words_load(from), size, plain, values);
#pragma GCC unroll 4
    for (int i = 0; i < places; ++i)
      f_store(to + i * VECTOR, scaled ? f_multiply(values[i], scale) : values[i]);
  }
}

static CF_ALWAYS_INLINE void decode_scaled(const cf_fields *fields, const uint8_t *codes,
                                           int64_t count, float *to, int scaled) {
  if (fields->size == 1)
    decode_in_order(fields, codes, count, to, 1, 1, scaled);
  else if (fields->plain)
    decode_in_order(fields, codes, count, to, 2, 1, scaled);
  else
    decode_in_order(fields, codes, count, to, 2, 0, scaled);
}

static void decode_fields(const cf_fields *fields, const uint8_t *codes, int64_t count, float *to) {
  if (fields->scale == 1)
    decode_scaled(fields, codes, count, to, 0);
  else
    decode_scaled(fields, codes, count, to, 1);
}

#define CF_DECODE_FIELDS .decode_fields = decode_fields,

#endif
