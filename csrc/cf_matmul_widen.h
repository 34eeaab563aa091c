/* Codes of 8 bits to bfloat16 by VBMI's permutations of bytes: included by the files of instruction sets that multiply
 * bfloat16, under their target. */
#ifndef CF_MATMUL_WIDEN_H
#define CF_MATMUL_WIDEN_H

/* The lower and upper bytes of 128 bfloat16. */
typedef struct byte_tables {
  __m512i lower[2], upper[2];
} byte_tables;

static inline byte_tables byte_tables_of(const uint16_t *table) {
  uint8_t lower[128], upper[128];
  byte_tables tables;
  for (int code = 0; code < 128; ++code) {
    lower[code] = (uint8_t)table[code];
    upper[code] = (uint8_t)(table[code] >> 8);
  }
  for (int half = 0; half < 2; ++half) {
    tables.lower[half] = _mm512_loadu_si512(lower + 64 * half);
    tables.upper[half] = _mm512_loadu_si512(upper + 64 * half);
  }
  return tables;
}

/* 64 codes: of each 16, the lower eight become bfloat16 of the first register, the others of the second. */
static inline void widen_64(const byte_tables *tables, __m512i codes, __m512i *first, __m512i *second) {
  const __m512i lower = _mm512_permutex2var_epi8(tables->lower[0], codes, tables->lower[1]);
  const __m512i upper = _mm512_permutex2var_epi8(tables->upper[0], codes, tables->upper[1]);
  /* upper | codes & 0x80 */
  const __m512i signed_upper = _mm512_ternarylogic_epi64(upper, codes, _mm512_set1_epi8(-128), 0xF8);
  *first = _mm512_unpacklo_epi8(lower, signed_upper);
  *second = _mm512_unpackhi_epi8(lower, signed_upper);
}

static void widen(const uint16_t *table, const uint8_t *codes, size_t count, uint16_t *to) {
  const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
  const byte_tables tables = byte_tables_of(table);
  for (; count >= 64; count -= 64, codes += 64, to += 64) {
    __m512i first, second;
    widen_64(&tables, _mm512_permutexvar_epi64(order, _mm512_loadu_si512(codes)), &first, &second);
    _mm512_storeu_si512(to, first);
    _mm512_storeu_si512(to + 32, second);
  }
  for (size_t i = 0; i < count; ++i) to[i] = table[codes[i]];
}

static void widen_columns(const uint16_t *table, const uint8_t *codes, int64_t step, int64_t groups, uint16_t *to0,
                          uint16_t *to1) {
  /* what unpacking twice puts in sequence */
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const byte_tables tables = byte_tables_of(table);
  for (; groups > 0; --groups, codes += 2 * step, to0 += 64, to1 += 64) {
    __m512i even[2], odd[2];
    widen_64(&tables, _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes)), &even[0], &even[1]);
    widen_64(&tables, _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes + step)), &odd[0], &odd[1]);
    _mm512_store_si512(to0, _mm512_unpacklo_epi16(even[0], odd[0]));
    _mm512_store_si512(to0 + 32, _mm512_unpackhi_epi16(even[0], odd[0]));
    _mm512_store_si512(to1, _mm512_unpacklo_epi16(even[1], odd[1]));
    _mm512_store_si512(to1 + 32, _mm512_unpackhi_epi16(even[1], odd[1]));
  }
}

#endif
