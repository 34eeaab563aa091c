/* Tables of functions of codes, and which codes there are. */
#include <stdlib.h>
#include <string.h>

#include "cfloat.h"
#include "support/check.h"
#include "support/tests.h"

enum { GUARD = 16 };

static void map_codes(size_t result_size, size_t count, int threads) {
  uint64_t state = count + result_size;
  unsigned char *table = allocate(CF_CODES8 * result_size);
  unsigned char *codes = allocate(count);
  unsigned char *results = allocate(count * result_size + GUARD);
  for (size_t i = 0; i < CF_CODES8 * result_size; ++i)
    table[i] = (unsigned char)random_bits(&state);
  for (size_t i = 0; i < count; ++i) codes[i] = (unsigned char)random_bits(&state);
  memset(results, 0xA5, count * result_size + GUARD);
  const int status = cf_map_codes(table, result_size, codes, count, results, NULL, threads);
  CHECK(status == CF_OK, "status %d", status);
  size_t wrong = 0;
  for (size_t i = 0; i < count; ++i) {
    wrong += memcmp(results + i * result_size, table + codes[i] * result_size, result_size) != 0;
  }
  for (size_t i = 0; i < GUARD; ++i) wrong += results[count * result_size + i] != 0xA5;
  CHECK(wrong == 0, "%zu wrong: results of %zu bytes, %zu elements, %d threads", wrong, result_size,
        count, threads);
  free(table);
  free(codes);
  free(results);
}

static void in_place(void) {
  uint8_t table[256], codes[1000];
  for (int i = 0; i < 256; ++i) table[i] = (uint8_t)(i * 7 + 3);
  for (int i = 0; i < 1000; ++i) codes[i] = (uint8_t)i;
  CHECK(cf_map_codes(table, 1, codes, 1000, codes, NULL, 1) == CF_OK, "in place");
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) wrong += codes[i] != (uint8_t)((uint8_t)i * 7 + 3);
  CHECK(wrong == 0, "%d wrong in place", wrong);
}

static void asked_codes(size_t result_size, size_t count, int threads) {
  void *table = calloc(CF_CODES8, result_size), *results = allocate(count * result_size);
  uint8_t asked[CF_CODES8] = {0}, *codes = allocate(count);
  for (size_t i = 0; i < count; ++i) codes[i] = (uint8_t)(i % 3 == 0 ? 3 : 255);
  codes[count - 1] = 0;
  asked[0] = asked[3] = asked[7] = 1;
  CHECK(table != NULL, "out of memory");
  CHECK(cf_map_codes(table, result_size, codes, count, results, asked, threads) == CF_OK, "asked");
  for (int i = 0; i < CF_CODES8; ++i)
    CHECK(asked[i] == (i == 0 || i == 3), "code %d of %zu, %d threads", i, count, threads);
  free(table);
  free(results);
  free(codes);
}

/* Each code in each place of a short array, asked for alone. */
static void every_code_asked(void) {
  uint8_t table[CF_CODES8] = {0}, codes[200], results[200], asked[CF_CODES8];
  for (int code = 0; code < CF_CODES8; ++code)
    for (size_t i = 0; i < sizeof codes; i += 13) {
      memset(codes, code ^ 0x50, sizeof codes);
      memset(asked, 0, sizeof asked);
      codes[i] = (uint8_t)code;
      asked[code] = asked[code ^ 0x80] = 1;
      CHECK(cf_map_codes(table, 1, codes, sizeof codes, results, asked, 1) == CF_OK, "code %d",
            code);
      CHECK(asked[code] == 1 && asked[code ^ 0x80] == 0, "code %d at %zu", code, i);
    }
}

static void asked_in_place(void) {
  uint8_t table[CF_CODES8] = {0}, codes[1000], asked[CF_CODES8] = {0};
  memset(codes, 9, sizeof codes);
  asked[9] = 1;
  CHECK(cf_map_codes(table, 1, codes, sizeof codes, codes, asked, 1) == CF_OK, "in place");
  CHECK(asked[9] == 1 && codes[0] == 0, "what was there is what counts");
}

static void nothing_to_look_at(void) {
  uint8_t table[CF_CODES8] = {0}, asked[CF_CODES8] = {1};
  CHECK(cf_map_codes(table, 1, table, 0, table, asked, 1) == CF_OK, "no elements");
  CHECK(asked[0] == 0, "no code occurs");
}

static void wrong_sizes(void) {
  uint8_t byte = 0;
  CHECK(cf_map_codes(&byte, 3, &byte, 0, &byte, NULL, 1) == CF_BAD_TYPE, "results of 3 bytes");
  CHECK(cf_map_codes(&byte, 16, &byte, 0, &byte, NULL, 1) == CF_BAD_TYPE, "results of 16 bytes");
  CHECK(cf_map_codes(&byte, 0, &byte, 0, &byte, NULL, 1) == CF_BAD_TYPE, "results of no bytes");
}

void test_map_codes(void) {
  static const size_t sizes[] = {1, 2, 4, 8};
  static const size_t counts[] = {0, 1, 2, 17, 63, 64, 65, 1000, (3 << 18) + 5, (1 << 23) + 70};
  for (size_t result = 0; result < 4; ++result)
    for (size_t count = 0; count < sizeof counts / sizeof *counts; ++count)
      for (int threads = 1; threads <= 3; ++threads)
        if (counts[count] < 1 << 20 || threads == 2)
          map_codes(sizes[result], counts[count], threads);
  in_place();
  for (size_t result = 0; result < 4; ++result) {
    asked_codes(sizes[result], 4, 1);
    asked_codes(sizes[result], ((size_t)3 << 18) + 5, 3);
  }
  every_code_asked();
  asked_in_place();
  nothing_to_look_at();
  wrong_sizes();
}
