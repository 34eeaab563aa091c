/* Philox4x32-10 (core/philox.h) for several counters at a time, over vectors of 64-bit lanes of
 * which an operand's lower half counts (round_lanes-inl.h). */
#ifndef CF_CONVERT_PHILOX_INL_H
#define CF_CONVERT_PHILOX_INL_H

#include "core/philox.h"

typedef struct random_stream {
  wide counters;
  wide keys[CF_PHILOX_ROUNDS][2];
} random_stream;

/* From a position that is a multiple of 4 on. */
static inline random_stream random_stream_at(uint64_t seed, uint64_t position) {
  random_stream stream;
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  stream.counters = w_add(w_set1(position / 4), w_order());
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    stream.keys[round][0] = w_set1(key[0]);
    stream.keys[round][1] = w_set1(key[1]);
    key[0] += CF_PHILOX_WEYL0;
    key[1] += CF_PHILOX_WEYL1;
  }
  return stream;
}

/* The next 2 * LANES words. */
static inline void v_random(random_stream *stream, lanes *a, lanes *b) {
  const wide multiplier0 = w_set1(CF_PHILOX_MULTIPLIER0);
  const wide multiplier1 = w_set1(CF_PHILOX_MULTIPLIER1);
  wide c0 = stream->counters, c1 = w_upper(stream->counters), c2 = w_set1(0), c3 = c2;
  for (int round = 0; round < CF_PHILOX_ROUNDS; ++round) {
    const wide product0 = w_multiply(c0, multiplier0), product1 = w_multiply(c2, multiplier1);
    c0 = w_xor3(w_upper(product1), c1, stream->keys[round][0]);
    c2 = w_xor3(w_upper(product0), c3, stream->keys[round][1]);
    c1 = product1;
    c3 = product0;
  }
  w_words(c0, c1, c2, c3, a, b);
  stream->counters = w_add(stream->counters, w_set1(LANES / 2));
}

#endif
