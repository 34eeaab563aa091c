/* Transposition of small squares, of elements of 1, 2 and 4 bytes. */
#ifndef CF_MATMUL_TRANSPOSE_H
#define CF_MATMUL_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/target.h"

/* Rows of 16 bytes, as many as elements fit in one.  Each round interleaves row i with the one half
 * a square further down; as many rounds as the square has binary digits transpose it. */
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define CF_CAN_TRANSPOSE 1
typedef __m128i cf_row;
static inline cf_row cf_load_row(const char *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}
static inline void cf_store_row(char *p, cf_row row) {
  _mm_storeu_si128((__m128i *)(void *)p, row);
}
#define CF_ZIP(size, a, b, low, high)              \
  (low = (size) == 1   ? _mm_unpacklo_epi8(a, b)   \
         : (size) == 2 ? _mm_unpacklo_epi16(a, b)  \
                       : _mm_unpacklo_epi32(a, b), \
   high = (size) == 1   ? _mm_unpackhi_epi8(a, b)  \
          : (size) == 2 ? _mm_unpackhi_epi16(a, b) \
                        : _mm_unpackhi_epi32(a, b))

#elif defined(CF_NEON)
#include <arm_neon.h>
#define CF_CAN_TRANSPOSE 1
typedef uint8x16_t cf_row;
static inline cf_row cf_load_row(const char *p) { return vld1q_u8((const uint8_t *)p); }
static inline void cf_store_row(char *p, cf_row row) { vst1q_u8((uint8_t *)p, row); }
#define CF_ZIP_AS(bits, zip, a, b) \
  vreinterpretq_u8_u##bits(        \
      zip##_u##bits(vreinterpretq_u##bits##_u8(a), vreinterpretq_u##bits##_u8(b)))
#define CF_ZIP(size, a, b, low, high)                 \
  (low = (size) == 1   ? vzip1q_u8(a, b)              \
         : (size) == 2 ? CF_ZIP_AS(16, vzip1q, a, b)  \
                       : CF_ZIP_AS(32, vzip1q, a, b), \
   high = (size) == 1   ? vzip2q_u8(a, b)             \
          : (size) == 2 ? CF_ZIP_AS(16, vzip2q, a, b) \
                        : CF_ZIP_AS(32, vzip2q, a, b))

#else
#define CF_CAN_TRANSPOSE 0
#endif

#if CF_CAN_TRANSPOSE
#define CF_DEFINE_TRANSPOSE(size, side)                                                 \
  static inline void cf_transpose_##size(const char *from, int64_t from_step, char *to, \
                                         int64_t to_step) {                             \
    cf_row rows[side], zipped[side];                                                    \
    for (int i = 0; i < (side); ++i) rows[i] = cf_load_row(from + i * from_step);       \
    for (int round = 1; round < (side); round *= 2) {                                   \
      for (int i = 0; i < (side) / 2; ++i)                                              \
        CF_ZIP(size, rows[i], rows[i + (side) / 2], zipped[2 * i], zipped[2 * i + 1]);  \
      for (int i = 0; i < (side); ++i) rows[i] = zipped[i];                             \
    }                                                                                   \
    for (int i = 0; i < (side); ++i) cf_store_row(to + i * to_step, rows[i]);           \
  }
CF_DEFINE_TRANSPOSE(1, 16)
CF_DEFINE_TRANSPOSE(2, 8)
CF_DEFINE_TRANSPOSE(4, 4)
#endif

#endif
