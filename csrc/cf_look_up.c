/* Functions of codes, by a table of a result for each. */
#include <string.h>

#include "cfloat.h"
#include "cf_threads.h"

typedef struct look_up {
  const char *table, *codes;
  char *results;
  size_t result_size, code_size;
  int64_t count, share;
  int marking;
  uint8_t used[CF_MAX_THREADS][CF_CODES_MARKED];
} look_up;

#define LOOK_UP(result_type, code_type)                                    \
  do {                                                                     \
    const result_type *table = (const void *)l->table;                     \
    const code_type *codes = (const void *)l->codes;                       \
    result_type *results = (void *)l->results;                             \
    if (used != NULL) /* of 8 bits */                                      \
      for (int64_t i = begin; i < end; ++i) {                              \
        const uint8_t code = (uint8_t)codes[i];                            \
        results[i] = table[code];                                          \
        used[code] = 1;                                                    \
      }                                                                    \
    else                                                                   \
      for (int64_t i = begin; i < end; ++i) results[i] = table[codes[i]]; \
  } while (0)

#define LOOK_UP_CODES(code_type)                  \
  switch (l->result_size) {                       \
    case 1: LOOK_UP(uint8_t, code_type); break;   \
    case 2: LOOK_UP(uint16_t, code_type); break;  \
    case 4: LOOK_UP(uint32_t, code_type); break;  \
    default: LOOK_UP(uint64_t, code_type); break; \
  }

static void look_up_share(void *context, int index) {
  look_up *l = context;
  const int64_t begin = l->share * index;
  const int64_t end = begin + l->share < l->count ? begin + l->share : l->count;
  uint8_t *used = l->marking ? l->used[index] : NULL;
  if (l->code_size == 1)
    LOOK_UP_CODES(uint8_t)
  else
    LOOK_UP_CODES(uint16_t)
}

/* A thread costs some tens of microseconds. */
enum { LOOK_UPS_PER_THREAD = 1 << 18 };

int cf_look_up(const void *table, size_t result_size, const void *codes, size_t code_size, size_t count,
               void *results, uint8_t *used, int threads) {
  if (code_size != 1 && (code_size != 2 || used != NULL)) return CF_BAD_TYPE;
  if (result_size != 1 && result_size != 2 && result_size != 4 && result_size != 8) return CF_BAD_TYPE;
  look_up l;
  l.table = table;
  l.codes = codes;
  l.results = results;
  l.result_size = result_size;
  l.code_size = code_size;
  l.count = (int64_t)count;
  l.marking = used != NULL;
  const int64_t useful = l.count / LOOK_UPS_PER_THREAD;
  if (threads > CF_MAX_THREADS) threads = CF_MAX_THREADS;
  if (threads > useful) threads = (int)useful;
  if (threads < 1) threads = 1;
  l.share = (l.count + threads - 1) / threads;
  for (int i = 0; l.marking && i < threads; ++i) memset(l.used[i], 0, CF_CODES_MARKED);
  if (threads == 1)
    look_up_share(&l, 0);
  else
    cf_run_threads(threads, look_up_share, &l);
  for (int i = 0; l.marking && i < threads; ++i)
    for (int code = 0; code < CF_CODES_MARKED; ++code) used[code] |= l.used[i][code];
  return CF_OK;
}
