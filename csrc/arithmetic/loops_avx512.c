/* The loops of operations and reductions, for AVX512. */
#include "arithmetic/loops.h"
#include "core/scalar.h"
#include "cpu/float_modes.h"
#include "cpu/target.h"

#if defined(CF_X86_64)
#include <immintrin.h>
#include <math.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)
#include "convert/lanes_avx512-inl.h"
#define SUM_INTEGERS cf_sum_integers_avx2
#define PAIRS pairs_avx512
#include "arithmetic/pairs-inl.h"
#include "arithmetic/loops-inl.h"
CF_TARGET_END

const cf_arithmetic_loops cf_arithmetic_loops_avx512 = ARITHMETIC_LOOPS;

#else
const cf_arithmetic_loops cf_arithmetic_loops_avx512 = {.add = NULL};
#endif
