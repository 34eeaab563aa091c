/* Codes of 8 bits to bfloat16 by VBMI's permutations of bytes: included by avx512bf16.c, under its
 * target. */
#ifndef CF_MATMUL_KERNELS_WIDEN_INL_H
#define CF_MATMUL_KERNELS_WIDEN_INL_H

/* The lower and upper bytes of 128 bfloat16. */
typedef struct byte_tables {
  __m512i lower[2], upper[2];
} byte_tables;

static inline byte_tables byte_tables_of(const cf_bytes *table) {
  byte_tables tables;
  for (int half = 0; half < 2; ++half) {
    tables.lower[half] = _mm512_loadu_si512(table->lower + 64 * half);
    tables.upper[half] = _mm512_loadu_si512(table->upper + 64 * half);
  }
  return tables;
}

/* 64 codes: of each 16, the lower eight become bfloat16 of the first register, the others of the
 * second. */
static inline void widen_64(const byte_tables *tables, __m512i codes, __m512i *first,
                            __m512i *second) {
  const __m512i lower = _mm512_permutex2var_epi8(tables->lower[0], codes, tables->lower[1]);
  const __m512i upper = _mm512_permutex2var_epi8(tables->upper[0], codes, tables->upper[1]);
  /* upper | codes & 0x80 */
  const __m512i signed_upper =
      _mm512_ternarylogic_epi64(upper, codes, _mm512_set1_epi8(-128), 0xF8);
  *first = _mm512_unpacklo_epi8(lower, signed_upper);
  *second = _mm512_unpackhi_epi8(lower, signed_upper);
}

void cf_widen_avx512bf16(const cf_bytes *table, const uint8_t *codes, int64_t count, uint16_t *to,
                         int64_t step) {
  const __m512i order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
  const byte_tables tables = byte_tables_of(table);
  __m512i first, second;
  for (; count >= 64; count -= 64, codes += 64, to += 2 * step) {
    widen_64(&tables, _mm512_permutexvar_epi64(order, _mm512_loadu_si512(codes)), &first, &second);
    _mm512_store_si512(to, first);
    _mm512_store_si512(to + step, second);
  }
  if (count > 0) { /* the code 0 is 0 */
    const __m512i rest = _mm512_maskz_loadu_epi8(UINT64_MAX >> (64 - count), codes);
    widen_64(&tables, _mm512_permutexvar_epi64(order, rest), &first, &second);
    _mm512_store_si512(to, first);
    if (count > 32) _mm512_store_si512(to + step, second);
  }
}

void cf_widen_columns_avx512bf16(const cf_bytes *table, const uint8_t *codes, int64_t step,
                                 int64_t groups, uint16_t *to0, uint16_t *to1) {
  /* what unpacking twice puts in sequence */
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const byte_tables tables = byte_tables_of(table);
  for (; groups > 0; --groups, codes += 2 * step, to0 += 64, to1 += 64) {
    __m512i even[2], odd[2];
    widen_64(&tables, _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes)), &even[0],
             &even[1]);
    widen_64(&tables, _mm512_permutexvar_epi32(order, _mm512_loadu_si512(codes + step)), &odd[0],
             &odd[1]);
    _mm512_store_si512(to0, _mm512_unpacklo_epi16(even[0], odd[0]));
    _mm512_store_si512(to0 + 32, _mm512_unpackhi_epi16(even[0], odd[0]));
    _mm512_store_si512(to1, _mm512_unpacklo_epi16(even[1], odd[1]));
    _mm512_store_si512(to1 + 32, _mm512_unpackhi_epi16(even[1], odd[1]));
  }
}

/* Few rows */

/* Of 64 codes, those of place 4 * i + q in vector q, as float32: two registers of bfloat16, which
 * shifts and a mask take apart.  Unpacking puts them in sequence, but is one unit's work. */
static inline void widen_to_float32(const byte_tables *tables, __m512i codes, __m512 *values) {
  const __m512i low_bytes = _mm512_set1_epi16(0xFF), upper_half = _mm512_set1_epi32(-65536);
  const __m512i lower = _mm512_permutex2var_epi8(tables->lower[0], codes, tables->lower[1]);
  const __m512i upper = _mm512_permutex2var_epi8(tables->upper[0], codes, tables->upper[1]);
  const __m512i signed_upper =
      _mm512_ternarylogic_epi64(upper, codes, _mm512_set1_epi8(-128), 0xF8);
  /* where low_bytes is set the second, else the third */
  const __m512i even =
      _mm512_ternarylogic_epi64(low_bytes, lower, _mm512_slli_epi16(signed_upper, 8), 0xCA);
  const __m512i odd =
      _mm512_ternarylogic_epi64(low_bytes, _mm512_srli_epi16(lower, 8), signed_upper, 0xCA);
  values[0] = _mm512_castsi512_ps(_mm512_slli_epi32(even, 16));
  values[1] = _mm512_castsi512_ps(_mm512_slli_epi32(odd, 16));
  values[2] = _mm512_castsi512_ps(_mm512_and_si512(even, upper_half));
  values[3] = _mm512_castsi512_ps(_mm512_and_si512(odd, upper_half));
}

static inline __mmask64 first_of_64(int64_t count) {
  return count >= 64 ? UINT64_MAX : UINT64_MAX >> (64 - count);
}

enum { ROW_PIECE = 4, UPDATE_PIECE = 8, DOT_PIECE = 16384 };

/* From the order of widen_to_float32: no more than `count`. */
static inline void put_64(const float *from, int64_t count, float *to) {
  for (int64_t i = 0; i < 64 && i < count; ++i) to[i] = from[i % 4 * 16 + i / 4];
}

/* The scale of each element, in any of the vectors of widen_to_float32. */
static inline __m512 scales_of_64(const float *scales) {
  const __m512i order = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(scales)), order);
}

/* 64 codes of a line, or fewer and zeros, of which `scales` are the scales, times some rows. */
static CF_ALWAYS_INLINE void dot_64(const byte_tables *tables, __m512i codes, const float *x,
                                    int64_t x_step, const float *scales, int rows, int scaled,
                                    __m512 (*sums)[2]) {
  __m512 values[4], scale = _mm512_setzero_ps();
  widen_to_float32(tables, codes, values);
  if (scaled) scale = scales_of_64(scales);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    __m512 parts[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) parts[half] = scaled ? _mm512_setzero_ps() : sums[r][half];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q)
      parts[q % 2] =
          _mm512_fmadd_ps(values[q], _mm512_loadu_ps(x + r * x_step + 16 * q), parts[q % 2]);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half)
      sums[r][half] = scaled ? _mm512_fmadd_ps(parts[half], scale, sums[r][half]) : parts[half];
  }
}

/* Some rows times a part of some lines, from k on, a multiple of DOT_PIECE.  The sums are of as
 * many lines as share the elements of x while they are in registers; the same of each line, however
 * many there are.  What is left at the end of lines is done apart: the loop has no conditions. */
static inline void dot_lines(const byte_tables *tables, const cf_gemv *gemv, int64_t k,
                             int64_t count, int64_t line, int lines, int row, int rows,
                             int scaled) {
  const int64_t step = gemv->step, x_step = gemv->x_step, scales_step = gemv->scales_step;
  const uint8_t *codes = gemv->codes + line * step + k, *next = codes + lines * step;
  const float *x = gemv->x + row * x_step + k;
  const float *scales = scaled ? gemv->scales + line * scales_step + k / CF_GEMV_BLOCK : NULL;
  float *to = gemv->sums + row * gemv->sums_step + line;
  __m512 sums[4][ROW_PIECE][2];
#pragma GCC unroll 4
  for (int i = 0; i < lines; ++i)
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) sums[i][r][0] = sums[i][r][1] = _mm512_setzero_ps();
  for (const uint8_t *const end = codes + count / 64 * 64; codes < end;
       codes += 64, next += 64, x += 64) {
#pragma GCC unroll 4
    for (int i = 0; i < lines; ++i) {
      _mm_prefetch((const char *)next + i * step, _MM_HINT_T0);
      dot_64(tables, _mm512_loadu_si512(codes + i * step), x, x_step,
             scaled ? scales + i * scales_step : NULL, rows, scaled, sums[i]);
    }
    if (scaled) scales += 64 / CF_GEMV_BLOCK;
  }
  if (count % 64 > 0)
#pragma GCC unroll 4
    for (int i = 0; i < lines; ++i)
      dot_64(tables, _mm512_maskz_loadu_epi8(first_of_64(count % 64), codes + i * step), x, x_step,
             scaled ? scales + i * scales_step : NULL, rows, scaled, sums[i]);
#pragma GCC unroll 4
  for (int i = 0; i < lines; ++i)
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const float sum = _mm512_reduce_add_ps(_mm512_add_ps(sums[i][r][0], sums[i][r][1]));
      float *whole = to + r * gemv->sums_step + i;
      *whole = k == 0 ? sum : *whole + sum;
    }
}

/* Some rows times 64 neighbouring lines or fewer, `count` places along the inner axis from k on;
 * sums are in the order of widen_to_float32. */
static inline void update_lines(const byte_tables *tables, const cf_gemv *gemv, int64_t k,
                                int64_t count, int64_t line, int64_t lines, int64_t at, int row,
                                int rows, int scaled) {
  const float *scales = scaled ? gemv->scales + k * gemv->scales_step + line / CF_GEMV_BLOCK : NULL;
  const uint8_t *codes = gemv->codes + k * gemv->step + line;
  int64_t step = gemv->step;
  CF_ALIGNED(64) uint8_t padded[UPDATE_PIECE * 64];
  /* a mask costs one row more than it does several */
  const __mmask64 there = first_of_64(lines);
  if (rows == 1 && CF_UNLIKELY(lines < 64)) {
    for (int64_t i = 0; i < count; ++i)
      _mm512_store_si512(padded + 64 * i, _mm512_maskz_loadu_epi8(there, codes + i * step));
    codes = padded;
    step = 64;
  }
  const float *x = gemv->x + row * gemv->x_step + k;
  float *to = gemv->sums + row * gemv->sums_step + at;
  __m512 sums[ROW_PIECE][4], values[4];
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q)
      sums[r][q] =
          k == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(to + r * gemv->sums_step + 16 * q);
  for (int64_t i = 0; i < count; ++i, codes += step) {
    _mm_prefetch((const char *)codes + UPDATE_PIECE * step, _MM_HINT_T0);
    widen_to_float32(tables,
                     rows == 1 ? _mm512_loadu_si512(codes) : _mm512_maskz_loadu_epi8(there, codes),
                     values);
    const __m512 scale =
        scaled ? scales_of_64(scales + i * gemv->scales_step) : _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const __m512 broadcast = _mm512_set1_ps(x[r * gemv->x_step + i]),
                   element = scaled ? _mm512_mul_ps(broadcast, scale) : broadcast;
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) sums[r][q] = _mm512_fmadd_ps(values[q], element, sums[r][q]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) _mm512_storeu_ps(to + r * gemv->sums_step + 16 * q, sums[r][q]);
}

/* The number of rows is a constant to the functions above. */
#define IN_ROWS(call)                                                               \
  for (int row = 0; row < gemv->rows; row += ROW_PIECE) switch (gemv->rows - row) { \
      case 1: call(1); break;                                                       \
      case 2: call(2); break;                                                       \
      case 3: call(3); break;                                                       \
      default: call(4); break;                                                      \
    }

/* So much of the rows as stays in a near cache, times all lines: four at a time, which memory
 * delivers in as many streams, or two where more rows' sums take the registers. */
void cf_dot_codes_avx512bf16(const cf_gemv *gemv) {
  const byte_tables tables = byte_tables_of(gemv->table);
#define DOT_LINES(lines, rows)                                   \
  if (gemv->scales == NULL)                                      \
    dot_lines(&tables, gemv, k, count, at, lines, row, rows, 0); \
  else                                                           \
    dot_lines(&tables, gemv, k, count, at, lines, row, rows, 1)
#define DOT(rows)                                                     \
  for (int64_t at = line; at < line + 4; at += (rows) <= 2 ? 4 : 2) { \
    DOT_LINES((rows) <= 2 ? 4 : 2, rows);                             \
  }
#define DOT_ONE(rows)        \
  {                          \
    const int64_t at = line; \
    DOT_LINES(1, rows);      \
  }
  for (int64_t k = 0; k < gemv->inner; k += DOT_PIECE) {
    const int64_t rest = gemv->inner - k, count = rest < DOT_PIECE ? rest : DOT_PIECE;
    int64_t line = 0;
    for (; line + 4 <= gemv->lines; line += 4) IN_ROWS(DOT)
    for (; line < gemv->lines; ++line) IN_ROWS(DOT_ONE)
  }
}

/* Some rows of codes at a time, each from its first line to its last: memory is read in as many
 * streams. */
void cf_update_codes_avx512bf16(const cf_gemv *gemv) {
  const byte_tables tables = byte_tables_of(gemv->table);
#define UPDATE(rows)                                                      \
  if (gemv->scales == NULL)                                               \
    update_lines(&tables, gemv, k, count, line, lines, at, row, rows, 0); \
  else                                                                    \
    update_lines(&tables, gemv, k, count, line, lines, at, row, rows, 1)
  for (int64_t k = 0; k < gemv->inner; k += UPDATE_PIECE) {
    const int64_t rest = gemv->inner - k, count = rest < UPDATE_PIECE ? rest : UPDATE_PIECE;
    int64_t line = 0, at = 0, lines;
    for (; line < gemv->lines; line += lines, at += 64) {
      lines = cf_gemv_lines_together(gemv, line, 1, 64);
      IN_ROWS(UPDATE)
    }
  }
  for (int row = 0; row < gemv->rows; ++row) {
    float *sums = gemv->sums + row * gemv->sums_step, ordered[64];
    for (int64_t line = 0, at = 0, lines; line < gemv->lines; line += lines, at += 64) {
      lines = cf_gemv_lines_together(gemv, line, 1, 64);
      memcpy(ordered, sums + at, sizeof ordered);
      put_64(ordered, lines, sums + line);
    }
  }
}

void cf_decode_panel_codes_avx512bf16(const cf_gemv *gemv, const uint8_t *codes, int64_t lines,
                                      int64_t count, const float *scales, float *panel) {
  const byte_tables tables = byte_tables_of(gemv->table);
  for (int64_t i = 0; i < lines; ++i, codes += gemv->step, panel += gemv->panel_step)
    for (int64_t at = 0; at < count; at += 64) {
      __m512 values[4];
      _mm_prefetch((const char *)codes + at + gemv->ahead, _MM_HINT_T0);
      widen_to_float32(&tables, _mm512_maskz_loadu_epi8(first_of_64(count - at), codes + at),
                       values);
      if (scales != NULL) {
        const __m512 scale = scales_of_64(scales + i * gemv->scales_step + at / CF_GEMV_BLOCK);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) values[q] = _mm512_mul_ps(values[q], scale);
      }
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) _mm512_storeu_ps(panel + at + 16 * q, values[q]);
    }
}

#endif
