/* The loops of operations and reductions, for AVX512. */
#include "arithmetic/loops.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <math.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)
#include "convert/lanes_avx512-inl.h"
#define SUM_INTEGERS cf_sum_integers_avx2
#define SUM_WIDE_INTEGERS sum_wide_integers_avx512
#define PAIRS pairs_avx512
#include "arithmetic/pairs-inl.h"

/* Multipliers of exponents are found by permutation, significands multiplied by them and added in
 * pairs of 32 bits, 32 of which are below 2^31: 2 * 2047 * 2^14 each. */
static int64_t sum_wide_integers_avx512(const uint16_t *codes, size_t count,
                                        const cf_integer_rule *rule, int *magnitude) {
  enum { PLANES = 3, GROUP = 32 };
  const __m512i zero = _mm512_setzero_si512(), magnitudes = _mm512_set1_epi16(0x7FFF);
  const __m512i mantissas = _mm512_set1_epi16(0x3FF), hidden = _mm512_set1_epi16(0x400);
  const __m512i exponents = _mm512_set1_epi16(0x7C00);
  __m512i multipliers[PLANES], totals[PLANES], most = zero;
  for (int p = 0; p < PLANES; ++p) {
    multipliers[p] = _mm512_loadu_si512(rule->wide_multipliers[p]);
    totals[p] = zero;
  }
  while (count > 0) {
    __m512i sums[PLANES] = {zero, zero, zero};
    for (int i = 0; i < GROUP && count > 0; ++i) {
      const size_t own = count < 32 ? count : 32;
      CF_PREFETCH((const void *)((uintptr_t)codes + 2048));
      const __m512i code = own == 32 ? _mm512_loadu_si512(codes)
                                     : _mm512_maskz_loadu_epi16(UINT32_MAX >> (32 - own), codes);
      const __m512i fraction = _mm512_and_si512(code, mantissas);
      const __m512i whole = _mm512_mask_add_epi16(fraction, _mm512_test_epi16_mask(code, exponents),
                                                  fraction, hidden);
      const __m512i significand =
          _mm512_mask_sub_epi16(whole, _mm512_movepi16_mask(code), zero, whole);
      const __m512i field = _mm512_srli_epi16(code, 10); /* of which 5 bits count */
      most = _mm512_max_epu16(most, _mm512_and_si512(code, magnitudes));
      for (int p = 0; p < PLANES; ++p) {
        const __m512i multiplier = _mm512_permutexvar_epi16(field, multipliers[p]);
        sums[p] = _mm512_add_epi32(sums[p], _mm512_madd_epi16(significand, multiplier));
      }
      codes += own;
      count -= own;
    }
    for (int p = 0; p < PLANES; ++p) {
      const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums[p]));
      const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums[p], 1));
      totals[p] = _mm512_add_epi64(totals[p], _mm512_add_epi64(low, high));
    }
  }
  int64_t total = 0;
  for (int p = PLANES - 1; p >= 0; --p)
    total = total * (1 << CF_WIDE_PLANE) + _mm512_reduce_add_epi64(totals[p]);
  uint16_t largest[32];
  _mm512_storeu_si512(largest, most);
  for (int i = 0; i < 32; ++i) *magnitude = largest[i] > *magnitude ? largest[i] : *magnitude;
  return total;
}

#include "arithmetic/loops-inl.h"
CF_TARGET_END

const cf_arithmetic_loops cf_arithmetic_loops_avx512 = ARITHMETIC_LOOPS;

#else
const cf_arithmetic_loops cf_arithmetic_loops_avx512 = {.add = NULL};
#endif
