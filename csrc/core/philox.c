/* The random words of the exported interface. */
#include "core/philox.h"

#include "cfloat.h"

int cf_philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
  cf_philox_block(counter, key, words);
  return CF_OK;
}

int cf_random_words(uint64_t seed, uint64_t offset, uint32_t *words, size_t count) {
  cf_stream stream = cf_stream_at(seed, offset);
  for (size_t i = 0; i < count; ++i) words[i] = cf_stream_next(&stream);
  return CF_OK;
}
