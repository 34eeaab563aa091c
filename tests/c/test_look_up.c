/* Tables of functions of codes, and which codes there are. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "check.h"
#include "tests.h"

enum { GUARD = 16 };

static void look_up(size_t result_size, size_t code_size, size_t count, int threads) {
  const size_t table_count = code_size == 1 ? 256 : 65536;
  uint64_t state = count + result_size;
  unsigned char *table = allocate(table_count * result_size);
  unsigned char *codes = allocate(count * code_size);
  unsigned char *results = allocate(count * result_size + GUARD);
  for (size_t i = 0; i < table_count * result_size; ++i) table[i] = (unsigned char)random_bits(&state);
  for (size_t i = 0; i < count * code_size; ++i) codes[i] = (unsigned char)random_bits(&state);
  memset(results, 0xA5, count * result_size + GUARD);
  const int status = cf_look_up(table, result_size, codes, code_size, count, results, NULL, threads);
  CHECK(status == CF_OK, "status %d", status);
  size_t wrong = 0;
  for (size_t i = 0; i < count; ++i) {
    uint16_t wide;
    size_t code = codes[i];
    if (code_size == 2) {
      memcpy(&wide, codes + 2 * i, sizeof wide);
      code = wide;
    }
    wrong += memcmp(results + i * result_size, table + code * result_size, result_size) != 0;
  }
  for (size_t i = 0; i < GUARD; ++i) wrong += results[count * result_size + i] != 0xA5;
  CHECK(wrong == 0, "%zu wrong: results of %zu bytes, codes of %zu, %zu elements, %d threads", wrong,
        result_size, code_size, count, threads);
  free(table);
  free(codes);
  free(results);
}

static void in_place(void) {
  uint8_t table[256], codes[1000];
  for (int i = 0; i < 256; ++i) table[i] = (uint8_t)(i * 7 + 3);
  for (int i = 0; i < 1000; ++i) codes[i] = (uint8_t)i;
  CHECK(cf_look_up(table, 1, codes, 1, 1000, codes, NULL, 1) == CF_OK, "in place");
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) wrong += codes[i] != (uint8_t)((uint8_t)i * 7 + 3);
  CHECK(wrong == 0, "%d wrong in place", wrong);
}

static void used_codes(size_t count, int threads) {
  uint32_t table[256] = {0}, *results = allocate(count * sizeof *results);
  uint8_t used[256] = {0}, *codes = allocate(count);
  for (size_t i = 0; i < count; ++i) codes[i] = (uint8_t)(i % 3 == 0 ? 3 : 255);
  codes[count - 1] = 0;
  used[7] = 1;
  CHECK(cf_look_up(table, 4, codes, 1, count, results, used, threads) == CF_OK, "marking");
  for (int i = 0; i < 256; ++i)
    CHECK(used[i] == (i == 0 || i == 3 || i == 7 || i == 255), "code %d of %zu, %d threads", i, count,
          threads);
  free(results);
  free(codes);
}

static void wrong_sizes(void) {
  uint8_t byte = 0;
  CHECK(cf_look_up(&byte, 3, &byte, 1, 0, &byte, NULL, 1) == CF_BAD_TYPE, "results of 3 bytes");
  CHECK(cf_look_up(&byte, 1, &byte, 4, 0, &byte, NULL, 1) == CF_BAD_TYPE, "codes of 4 bytes");
  CHECK(cf_look_up(&byte, 1, &byte, 2, 0, &byte, &byte, 1) == CF_BAD_TYPE, "marking 16 bits");
}

void test_look_up(void) {
  static const size_t sizes[] = {1, 2, 4, 8};
  static const size_t counts[] = {0, 1, 2, 17, 1000, (3 << 18) + 5};
  for (size_t result = 0; result < 4; ++result)
    for (size_t code_size = 1; code_size <= 2; ++code_size)
      for (size_t count = 0; count < sizeof counts / sizeof *counts; ++count)
        for (int threads = 1; threads <= 3; ++threads)
          look_up(sizes[result], code_size, counts[count], threads);
  in_place();
  used_codes(4, 1);
  used_codes(((size_t)3 << 18) + 5, 3);
  wrong_sizes();
}
