/* Philox4x32-10 (core/philox.h) for several counters at a time, over vectors of 64-bit lanes of
 * which an operand's lower half counts (round_lanes-inl.h). */
#ifndef CF_CONVERT_PHILOX_INL_H
#define CF_CONVERT_PHILOX_INL_H

#include "core/philox.h"

/* Vectors of counters are worked on by turns, as each waits for its own products: so many as there
 * are registers for. */
enum { COUNTERS = LANES == 8 ? 2 : 4, RANDOM_WORDS = 2 * COUNTERS * LANES };

typedef struct random_keys {
  wide of_round[CF_PHILOX_ROUNDS][2];
} random_keys;

static inline random_keys random_keys_of(uint64_t seed) {
  random_keys keys;
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    keys.of_round[round][0] = w_set1(key[0]);
    keys.of_round[round][1] = w_set1(key[1]);
    key[0] += CF_PHILOX_WEYL0;
    key[1] += CF_PHILOX_WEYL1;
  }
  return keys;
}

/* Words from number `position`, a multiple of 4, on: `count` and up to RANDOM_WORDS - 1 more.
 *
 * Half of a counter's words are zeros, so that the first round has one product, and of the second
 * round's two the first is the same for all counters with the same upper half. */
static CF_NOINLINE void ISA_NAME(random_words)(const random_keys *keys, uint64_t position,
                                               uint32_t *words, size_t count) {
  enum { LAST = CF_PHILOX_ROUNDS - 1 };
  const wide(*const key)[2] = keys->of_round;
  const wide multiplier0 = w_set1(CF_PHILOX_MULTIPLIER0);
  const wide multiplier1 = w_set1(CF_PHILOX_MULTIPLIER1);
  wide counters = w_add(w_set1(position / 4), w_order());
  const wide ahead = w_set1(LANES / 2);
  for (size_t i = 0; i < count; i += RANDOM_WORDS, words += RANDOM_WORDS) {
    wide c0[COUNTERS], c1[COUNTERS], c2[COUNTERS], c3[COUNTERS];
#pragma GCC unroll 4
    for (int j = 0; j < COUNTERS; ++j) {
      const wide upper = w_multiply(w_xor(w_upper(counters), key[0][0]), multiplier0);
      const wide product0 = w_multiply(counters, multiplier0);
      const wide product1 = w_multiply(w_xor(w_upper(product0), key[0][1]), multiplier1);
      c0[j] = w_xor(w_upper(product1), key[1][0]);
      c1[j] = product1;
      c2[j] = w_xor3(w_upper(upper), product0, key[1][1]);
      c3[j] = upper;
      counters = w_add(counters, ahead);
    }
#pragma GCC unroll 8
    for (int round = 2; round < LAST; ++round) {
#pragma GCC unroll 4
      for (int j = 0; j < COUNTERS; ++j) {
        const wide product0 = w_multiply(c0[j], multiplier0);
        const wide product1 = w_multiply(c2[j], multiplier1);
        c0[j] = w_xor3(w_upper(product1), c1[j], key[round][0]);
        c2[j] = w_xor3(w_upper(product0), c3[j], key[round][1]);
        c1[j] = product1;
        c3[j] = product0;
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < COUNTERS; ++j) {
      const wide product0 = w_multiply(c0[j], multiplier0);
      const wide product1 = w_multiply(c2[j], multiplier1);
      lanes a, b;
      w_words(w_swap_xor(product1, c1[j], key[LAST][0]), w_swap_xor(product0, c3[j], key[LAST][1]),
              &a, &b);
      v_store(words + 2 * LANES * j, a);
      v_store(words + 2 * LANES * j + LANES, b);
    }
  }
}

#endif
