/* Counter-based random words: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers:
 * as easy as 1, 2, 3", SC'11), and the stream that stochastic rounding draws from
 * (docs/spec.md 3.14). */
#ifndef CF_CORE_PHILOX_H
#define CF_CORE_PHILOX_H

#include <stdint.h>

enum { CF_PHILOX_ROUNDS = 10 };
#define CF_PHILOX_MULTIPLIER0 0xD2511F53u
#define CF_PHILOX_MULTIPLIER1 0xCD9E8D57u
#define CF_PHILOX_WEYL0 0x9E3779B9u
#define CF_PHILOX_WEYL1 0xBB67AE85u

static inline void cf_philox_block(const uint32_t counter[4], const uint32_t key[2],
                                   uint32_t words[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    const uint64_t product0 = (uint64_t)CF_PHILOX_MULTIPLIER0 * c0;
    const uint64_t product1 = (uint64_t)CF_PHILOX_MULTIPLIER1 * c2;
    c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)product1;
    c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)product0;
    k0 += CF_PHILOX_WEYL0;
    k1 += CF_PHILOX_WEYL1;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/* A reading position in the stream of one seed: the next word is number `position`. */
typedef struct cf_stream {
  uint32_t key[2];
  uint64_t position;
  uint32_t words[4]; /* the block that holds `position`, unless that is its first word */
} cf_stream;

static inline void cf_stream_load(cf_stream *stream) {
  const uint64_t block = stream->position / 4;
  const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, 0};
  cf_philox_block(counter, stream->key, stream->words);
}

static inline cf_stream cf_stream_at(uint64_t seed, uint64_t position) {
  cf_stream stream = {{(uint32_t)seed, (uint32_t)(seed >> 32)}, position, {0, 0, 0, 0}};
  if (position % 4 != 0) cf_stream_load(&stream);
  return stream;
}

static inline uint32_t cf_stream_next(cf_stream *stream) {
  if (stream->position % 4 == 0) cf_stream_load(stream);
  return stream->words[stream->position++ % 4];
}

#endif
