/* Arithmetic of 8-bit codes by tables of all of them, or of all pairs. */
#include "arithmetic/work.h"

#include "convert/kernels.h"
#include "cpu/compiler.h"
#if defined(CF_X86_64)
#include <emmintrin.h>
#endif

/* From so many elements on what codes of 8 bits become is looked up: a code, or a pair of them. */
enum { TABULATED_CODES = 1 << 12, TABULATED_PAIRS = 1 << 18 };

/* results[i] = table[256 * a[i] + b[i]], pieces of which may be an operand's. */
typedef struct pairs {
  const uint8_t *table, *a, *b;
  uint8_t *results;
  int64_t count;
  int threads;
} pairs;

/* 16 results. */
static inline void map_16_pairs(const uint8_t *table, const uint8_t *a, const uint8_t *b,
                                uint8_t *results) {
#if defined(CF_X86_64)
  const __m128i x = _mm_loadu_si128((const __m128i *)a);
  const __m128i y = _mm_loadu_si128((const __m128i *)b);
  __m128i four_pairs[4];
  four_pairs[0] = _mm_unpacklo_epi8(y, x);
  four_pairs[1] = _mm_unpackhi_epi64(four_pairs[0], four_pairs[0]);
  four_pairs[2] = _mm_unpackhi_epi8(y, x);
  four_pairs[3] = _mm_unpackhi_epi64(four_pairs[2], four_pairs[2]);
  for (int i = 0; i < 4; ++i, results += 4) {
    const uint64_t pair = (uint64_t)_mm_cvtsi128_si64(four_pairs[i]);
    results[0] = table[pair & 0xFFFF];
    results[1] = table[pair >> 16 & 0xFFFF];
    results[2] = table[pair >> 32 & 0xFFFF];
    results[3] = table[pair >> 48];
  }
#else
  uint8_t found[16];
  for (int i = 0; i < 16; ++i) found[i] = table[a[i] << 8 | b[i]];
  memcpy(results, found, sizeof found);
#endif
}

static void map_pairs_share(void *context, int index) {
  const pairs *p = context;
  int64_t begin, end;
  cf_share_of(p->count, CF_CACHE_LINE, p->threads, index, &begin, &end);
  for (; begin + 16 <= end; begin += 16)
    map_16_pairs(p->table, p->a + begin, p->b + begin, p->results + begin);
  for (; begin < end; ++begin) p->results[begin] = p->table[p->a[begin] << 8 | p->b[begin]];
}

/* Write the results for all codes of the operand `of`, of which the others are single ones. */
static void tabulate(const cf_work *work, int of, uint8_t *table, unsigned *signals) {
  uint8_t codes[CF_CODES8];
  cf_work all = *work;
  for (int i = 0; i < CF_CODES8; ++i) codes[i] = (uint8_t)i;
  all.operands[of].at.elements = codes;
  cf_compute_tiles(&all, 0, CF_CODES8, (char *)table, NULL, signals);
}

/* What code `code` of the operand `of` signals, of which the others are single ones. */
static unsigned signals_of(const cf_work *work, int of, int code) {
  cf_real x[CF_MAX_OPERANDS];
  unsigned signals = 0;
  for (int j = 0; j < cf_operand_count(work->function); ++j)
    x[j] = cf_load_element(&work->operands[j], 0);
  x[of] = cf_unpack(&work->operands[of].params, work->operands[of].bias, (uint64_t)code);
  cf_compute_element(work->function, x, 0, &signals);
  return signals;
}

static int map_one(const cf_work *work, int of, int threads, uint32_t *signals) {
  uint8_t table[CF_CODES8], asked[CF_CODES8] = {0};
  unsigned of_any = 0;
  tabulate(work, of, table, &of_any);
  for (int code = 0; of_any != 0 && code < CF_CODES8; ++code)
    asked[code] = signals_of(work, of, code) != 0;
  const int status = cf_map_codes(table, 1, work->operands[of].at.elements, (size_t)work->count,
                                  work->results, of_any != 0 ? asked : NULL, threads);
  for (int code = 0; code < CF_CODES8; ++code)
    if (of_any != 0 && asked[code]) *signals |= signals_of(work, of, code);
  return status == CF_OK;
}

/* Whether among an operand's codes there are such that something is signalled of no others. */
static int may_signal(const cf_work *work, int of) {
  const cf_work_operand *x = &work->operands[of];
  uint8_t asked[CF_CODES8];
  for (int code = 0; code < CF_CODES8; ++code) {
    const cf_real value = cf_unpack(&x->params, x->bias, (uint64_t)code);
    asked[code] = value.kind == CF_KIND_INFINITE ||
                  (work->function == CF_DIVIDE && of == 1 && cf_is_zero(value));
  }
  return cf_any_code(asked, x->at.elements, (size_t)work->count);
}

static int map_two(const cf_work *work, int threads) {
  uint8_t table[CF_CODES8 * CF_CODES8];
  unsigned of_any = 0;
  cf_work row = *work;
  row.operands[0].at.stride = 0;
  for (int code = 0; code < CF_CODES8; ++code) {
    const uint8_t own = (uint8_t)code;
    row.operands[0].at.elements = &own;
    tabulate(&row, 1, table + code * CF_CODES8, &of_any);
  }
  /* which pairs there are is not known */
  if (of_any != 0 && (may_signal(work, 0) || may_signal(work, 1))) return 0;
  pairs p = {table,
             work->operands[0].at.elements,
             work->operands[1].at.elements,
             (uint8_t *)work->results,
             work->count,
             0};
  p.threads = cf_useful_threads((double)work->count, CF_FAST_ELEMENTS_PER_THREAD, threads);
  cf_run_threads(p.threads, map_pairs_share, &p);
  return 1;
}

/* The same results by tables, where no flags are counted; 0 where this is not the way. */
int cf_compute_by_table(cf_work *work, int threads, uint32_t *signals) {
  int many = 0, of = 0;
  if (cf_rounding_mode(work->rounding) == CF_STOCHASTIC || cf_code_size(work->format) != 1)
    return 0;
  for (int j = 0; j < cf_operand_count(work->function); ++j) {
    if (work->operands[j].at.stride == 0) continue;
    if (work->operands[j].at.stride != 1) return 0;
    of = j;
    ++many;
  }
  cf_choose_way(work, 0);
  if (many == 1 && work->count >= TABULATED_CODES) return map_one(work, of, threads, signals);
  if (many != 2 || cf_operand_count(work->function) != 2 || work->count < TABULATED_PAIRS ||
      work->in_pairs)
    return 0;
  return map_two(work, threads);
}
