/* The loops of operations and reductions, for AVX512. */
#include "arithmetic/loops.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <math.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)
#define ISA_NAME(slot) slot##_avx512
#define SUM_INTEGERS cf_sum_integers_avx2
#include "arithmetic/loops-inl.h"
CF_TARGET_END

const cf_arithmetic_loops cf_arithmetic_loops_avx512 = ARITHMETIC_LOOPS;

#else
const cf_arithmetic_loops cf_arithmetic_loops_avx512 = {.add = NULL};
#endif
