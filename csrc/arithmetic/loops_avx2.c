/* The loops of operations and reductions, for AVX2. */
#include "arithmetic/loops.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <math.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)
#include "convert/lanes_avx2-inl.h"
#define SUM_INTEGERS cf_sum_integers_avx2
#define PAIRS pairs_avx2
#include "arithmetic/pairs-inl.h"
#include "arithmetic/loops-inl.h"

/* Multipliers of exponents are found by permutation of bytes, significands multiplied by them and
 * added in pairs of 16 bits: 4 pairs of at most 2 * 31 * 128 before they overflow. */
static inline __m256i sum_planes(const uint8_t *codes, size_t rounds, const cf_integer_rule *rule,
                                 int planes, int halves, __m256i *most) {
  const __m128i shift = _mm_cvtsi32_si128(rule->mantissa_bits);
  const __m256i fields = _mm256_set1_epi8((char)(127 >> rule->mantissa_bits));
  const __m256i mantissas = _mm256_set1_epi8((char)((1 << rule->mantissa_bits) - 1));
  const __m256i low_half = _mm256_set1_epi8(0x70), other_half = _mm256_set1_epi8(0x10);
  const __m256i ones = _mm256_set1_epi16(1), first = _mm256_set1_epi8(1);
  const __m256i magnitude = _mm256_set1_epi8(0x7F);
  __m256i hidden[2], multipliers[4][2], sums[4];
  for (int half = 0; half < 2; ++half) {
    const __m128i own = _mm_loadu_si128((const __m128i *)rule->hidden[half]);
    hidden[half] = _mm256_broadcastsi128_si256(own);
    for (int p = 0; p < planes; ++p) {
      const __m128i of_plane = _mm_loadu_si128((const __m128i *)rule->multipliers[p][half]);
      multipliers[p][half] = _mm256_broadcastsi128_si256(of_plane);
    }
  }
  for (int p = 0; p < planes; ++p) sums[p] = _mm256_setzero_si256();
  for (; rounds > 0; --rounds) {
    __m256i narrow[4];
    for (int i = 0; i < 4; ++i, codes += 32) {
      const __m256i c = _mm256_loadu_si256((const __m256i *)codes);
      const __m256i field = _mm256_and_si256(_mm256_srl_epi16(c, shift), fields);
      /* bytes whose first bit is set become 0 */
      const __m256i low = _mm256_add_epi8(field, low_half);
      const __m256i high =
          _mm256_xor_si256(low, _mm256_or_si256(other_half, _mm256_set1_epi8(-128)));
      __m256i bit = _mm256_shuffle_epi8(hidden[0], low);
      if (halves == 2) bit = _mm256_or_si256(bit, _mm256_shuffle_epi8(hidden[1], high));
      const __m256i plain = _mm256_or_si256(_mm256_and_si256(c, mantissas), bit);
      const __m256i significand = _mm256_sign_epi8(plain, _mm256_or_si256(c, first));
      *most = _mm256_max_epu8(*most, _mm256_and_si256(c, magnitude));
      for (int p = 0; p < planes; ++p) {
        __m256i multiplier = _mm256_shuffle_epi8(multipliers[p][0], low);
        if (halves == 2)
          multiplier = _mm256_or_si256(multiplier, _mm256_shuffle_epi8(multipliers[p][1], high));
        const __m256i product = _mm256_maddubs_epi16(multiplier, significand);
        narrow[p] = i == 0 ? product : _mm256_add_epi16(narrow[p], product);
      }
    }
    for (int p = 0; p < planes; ++p)
      sums[p] = _mm256_add_epi32(sums[p], _mm256_madd_epi16(narrow[p], ones));
  }
  __m256i total = _mm256_setzero_si256();
  for (int p = planes - 1; p >= 0; --p) {
    const __m256i wide =
        _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums[p])),
                         _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums[p], 1)));
    total = _mm256_add_epi64(_mm256_slli_epi64(total, 8), wide);
  }
  return total;
}

int64_t cf_sum_integers_avx2(const uint8_t *codes, size_t count, const cf_integer_rule *rule,
                             int *magnitude) {
  const size_t rounds = count / 128, rest = count % 128;
  uint8_t last[128] = {0}, largest[32];
  __m256i most = _mm256_set1_epi8((char)*magnitude), total = _mm256_setzero_si256();
  int64_t sums[4];
  memcpy(last, codes + rounds * 128, rest);
  for (int part = 0; part < 2; ++part) {
    const uint8_t *from = part == 0 ? codes : last;
    const size_t own = part == 0 ? rounds : rest != 0;
    if (own == 0) continue;
    __m256i sum;
    if (rule->planes <= 2 && rule->mantissa_bits >= 3)
      sum = sum_planes(from, own, rule, 2, 1, &most);
    else
      sum = sum_planes(from, own, rule, 4, 2, &most);
    total = _mm256_add_epi64(total, sum);
  }
  _mm256_storeu_si256((__m256i *)largest, most);
  _mm256_storeu_si256((__m256i *)sums, total);
  for (int i = 0; i < 32; ++i) *magnitude = largest[i] > *magnitude ? largest[i] : *magnitude;
  return sums[0] + sums[1] + sums[2] + sums[3];
}
CF_TARGET_END

const cf_arithmetic_loops cf_arithmetic_loops_avx2 = ARITHMETIC_LOOPS;

#else
const cf_arithmetic_loops cf_arithmetic_loops_avx2 = {.add = NULL};
#endif
