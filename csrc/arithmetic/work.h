/* One call of arithmetic: what is the same for all its elements, and the ways to compute them. */
#ifndef CF_ARITHMETIC_WORK_H
#define CF_ARITHMETIC_WORK_H

#include <string.h>

#include "arithmetic/exact.h"
#include "cpu/threads.h"

enum { CF_MAX_OPERANDS = 3 };

/* Threads of fewer elements are not worth it: of such that go by the definition, and of others. */
enum { CF_ELEMENTS_PER_THREAD = 1 << 13, CF_FAST_ELEMENTS_PER_THREAD = 1 << 15 };

/* An operand, and what is known of its values, which are codes' or a number's: finite ones are
 * multiples of 2^lowest below 2^top, of so many bits.  Nothing is known if digits is 0. */
typedef struct cf_work_operand {
  cf_elements at;
  const cf_format *format; /* of CF_CODES */
  int bias;
  cf_params params;
  int digits, lowest, top;
} cf_work_operand;

/* What is the same for all elements; and what threads have found. */
typedef struct cf_work {
  int function, result_type, rounding; /* the type may be CF_CODES */
  int in_lanes;                        /* cf_takes_lanes */
  int in_pairs;                        /* cf_takes_pairs */
  int may_be_nonfinite;                /* so may results in lanes */
  cf_work_operand operands[CF_MAX_OPERANDS];
  const cf_format *format; /* of results that are codes */
  int bias;
  uint64_t seed, offset;
  char *results;
  int64_t count;
  int threads;
  int counts_flags;
  cf_flags flags[CF_MAX_THREADS];
  unsigned signals[CF_MAX_THREADS];
} cf_work;

static inline int cf_operand_count(int function) {
  switch (function) {
    case CF_FMA: return 3;
    case CF_SQRT:
    case CF_POSITIVE: return 1;
    default: return 2;
  }
}

/* values.c: element i, and a function of elements; zero_sign is that of x - x. */
cf_real cf_load_element(const cf_work_operand *operand, int64_t i);
cf_real cf_compute_element(int function, const cf_real x[3], int zero_sign, unsigned *signals);

/* values.c: elements begin to end - 1 into contiguous results of the work's type, or for codes of
 * float64. */
void cf_compute_values(const cf_work *work, int64_t begin, int64_t end, char *results,
                       cf_flags *flags, unsigned *signals);

/* values.c: the values of codes, of one bias, side by side or a single one. */
void cf_load_floats(const cf_work_operand *operand, int64_t first, int64_t count, float *to);

/* lanes.c: whether float32 has what it takes, for operands of which something is known. */
int cf_takes_lanes(const cf_work *work);

/* lanes.c: elements begin to end - 1, rounded into codes of which results is the first one's place,
 * or as float32 for work that cf_takes_lanes. */
void cf_compute_tiles(const cf_work *work, int64_t begin, int64_t end, char *results,
                      cf_flags *flags, unsigned *signals);

/* pairs.c: whether work that cf_takes_lanes is for the loops of arithmetic/pairs.h; and that. */
int cf_takes_pairs(const cf_work *work);
void cf_compute_pairs(const cf_work *work, int64_t begin, int64_t end, char *results,
                      unsigned *signals);

/* arithmetic.c: choose the way for all elements. */
void cf_choose_way(cf_work *work, int counts_flags);

/* tables.c: the same results by tables, where no flags are counted; 0 where this is not the way. */
int cf_compute_by_table(cf_work *work, int threads, uint32_t *signals);

#endif
