/* Random words: Random123's known answers, and which word of which block an element gets. */
#include <stdlib.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

/* From Random123's file kat_vectors. */
static void known_answers(void) {
  static const struct {
    uint32_t counter[4], key[2], words[4];
  } answers[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (int i = 0; i < 3; ++i) {
    uint32_t words[4];
    const int status = cf_philox4x32_10(answers[i].counter, answers[i].key, words);
    CHECK(status == CF_OK, "status %d", status);
    for (int word = 0; word < 4; ++word)
      CHECK(words[word] == answers[i].words[word], "answer %d, word %d: %08x, expected %08x", i,
            word, (unsigned)words[word], (unsigned)answers[i].words[word]);
  }
}

/* Word number p is word p mod 4 of block p div 4, under the key (low word of the seed, high
 * word). */
static void stream_words(uint64_t seed, uint64_t offset, size_t count) {
  const uint32_t key[2] = {(uint32_t)(seed % 4294967296u), (uint32_t)(seed / 4294967296u)};
  uint32_t *words = allocate(count * sizeof *words);
  const int status = cf_random_words(seed, offset, words, count);
  CHECK(status == CF_OK, "status %d", status);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t block = (offset + i) / 4;
    const uint32_t counter[4] = {(uint32_t)(block % 4294967296u), (uint32_t)(block / 4294967296u),
                                 0, 0};
    uint32_t block_words[4];
    cf_philox4x32_10(counter, key, block_words);
    const uint32_t expected = block_words[(offset + i) % 4];
    CHECK(words[i] == expected, "seed %llx offset %llx element %zu: %08x, expected %08x",
          (unsigned long long)seed, (unsigned long long)offset, i, (unsigned)words[i],
          (unsigned)expected);
  }
  free(words);
}

void test_random(void) {
  static const uint64_t seeds[] = {0, 1, 0xffffffff, 0x100000000, 0x0123456789abcdef, UINT64_MAX};
  /* where the position, and where the number of its block, outgrow 32 bits; the stream's last
   * words */
  static const uint64_t offsets[] = {0, ((uint64_t)1 << 32) - 20, ((uint64_t)1 << 34) - 20,
                                     0 - (uint64_t)64};
  known_answers();
  for (size_t seed = 0; seed < sizeof seeds / sizeof *seeds; ++seed)
    for (size_t offset = 0; offset < sizeof offsets / sizeof *offsets; ++offset)
      for (uint64_t start = 0; start < 8; ++start)
        for (size_t count = 0; count < 40; ++count)
          stream_words(seeds[seed], offsets[offset] + start, count);
  stream_words(42, 3, 10000);
}
