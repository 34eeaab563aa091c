/* Functions of codes, by a table of a result for each. */
#include <string.h>

#include "convert/kernels.h"
#include "cpu/threads.h"

typedef struct map_codes {
  cf_map_kernel *of_results, *of_bytes;
  cf_any_of_kernel *any_of;
  void (*stream_end)(void);
  const void *table;
  const uint8_t *codes;
  char *results;
  const uint8_t *asked;
  size_t result_size, count;
  int threads;
  int streaming;
  uint8_t missing[CF_MAX_THREADS][CF_CODES8]; /* asked for, and not yet seen by a thread */
} map_codes;

/* Codes that are asked about are looked at twice, so they are to stay in cache. */
enum { MAP_PIECE = 1 << 13, CODES_PER_THREAD = 1 << 16 };

/* A set of codes as cf_any_of_kernel takes it. */
static void set_rows(uint8_t *rows, const uint8_t *asked) {
  memset(rows, 0, CF_CODES8 / 8);
  for (int code = 0; code < CF_CODES8; ++code)
    rows[code / 128 * 16 + code % 16] |= (uint8_t)((asked[code] != 0) << (code / 16 % 8));
}

static int any_asked(const map_codes *l, const uint8_t *asked, const uint8_t *rows,
                     const uint8_t *codes, size_t count) {
  uint8_t among[MAP_PIECE];
  if (l->any_of != NULL) return l->any_of(rows, codes, count);
  l->of_bytes(asked, codes, among, count, 0);
  return memchr(among, 1, count) != NULL;
}

static void map_share(void *context, int index) {
  map_codes *l = context;
  int64_t begin, end;
  cf_share_of((int64_t)l->count, 1, l->threads, index, &begin, &end);
  uint8_t rows[CF_CODES8 / 8], *missing = NULL;
  if (l->asked != NULL) {
    missing = memcpy(l->missing[index], l->asked, CF_CODES8);
    set_rows(rows, missing);
  }
  for (size_t i = (size_t)begin; i < (size_t)end;) {
    char *results = l->results + i * l->result_size;
    const size_t past_line = (size_t)((uintptr_t)results % CF_STREAM_ALIGNMENT);
    size_t count = MAP_PIECE;
    if (past_line != 0) count = (CF_STREAM_ALIGNMENT - past_line) / l->result_size;
    if (count > (size_t)end - i) count = (size_t)end - i;
    if (missing != NULL && any_asked(l, missing, rows, l->codes + i, count)) {
      for (size_t j = i; j < i + count; ++j) missing[l->codes[j]] = 0;
      set_rows(rows, missing);
    }
    l->of_results(l->table, l->codes + i, results, count, l->streaming && past_line == 0);
    i += count;
  }
  if (l->streaming && l->stream_end != NULL) l->stream_end();
}

static cf_map_kernel *kernel_of(const cf_kernels *kernels, int log2_size) {
  cf_map_kernel *kernel = kernels->map_codes[log2_size];
  return kernel != NULL ? kernel : cf_kernels_portable.map_codes[log2_size];
}

int cf_map_codes(const void *table, size_t result_size, const uint8_t *codes, size_t count,
                 void *results, uint8_t *asked, int threads) {
  const cf_kernels *kernels = cf_active_kernels();
  map_codes l;
  int log2_size = 0;
  while (log2_size < CF_MAP_SIZES && (size_t)1 << log2_size != result_size) ++log2_size;
  if (log2_size == CF_MAP_SIZES) return CF_BAD_TYPE;
  l.of_results = kernel_of(kernels, log2_size);
  l.of_bytes = kernel_of(kernels, 0);
  l.any_of = kernels->any_of;
  l.stream_end = kernels->stream_end;
  l.table = table;
  l.codes = codes;
  l.results = results;
  l.asked = asked;
  l.result_size = result_size;
  l.count = count;
  l.streaming = count >= CF_STREAMED_BYTES / result_size && results != codes;
  l.threads = cf_useful_threads((double)count, CODES_PER_THREAD, threads);
  cf_run_threads(l.threads, map_share, &l);
  if (asked == NULL) return CF_OK;
  for (int code = 0; code < CF_CODES8; ++code) {
    int seen = 0;
    for (int i = 0; i < l.threads; ++i) seen |= asked[code] != 0 && l.missing[i][code] == 0;
    asked[code] = (uint8_t)seen;
  }
  return CF_OK;
}

int cf_any_code(const uint8_t *asked, const uint8_t *codes, size_t count) {
  cf_any_of_kernel *any_of = cf_active_kernels()->any_of;
  uint8_t rows[CF_CODES8 / 8], found = 0;
  set_rows(rows, asked);
  if (any_of != NULL) return any_of(rows, codes, count);
  for (size_t i = 0; i < count; ++i) found |= asked[codes[i]];
  return found;
}
