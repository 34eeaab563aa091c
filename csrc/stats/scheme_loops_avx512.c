/* The loops over schemes, for AVX512. */
#include "cpu/target.h"
#include "stats/scheme_loops.h"

#if defined(CF_X86_64)
#include <float.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX512)
#define ISA_NAME(slot) slot##_avx512
#include "stats/scheme_loops-inl.h"
CF_TARGET_END

const cf_scheme_loops cf_scheme_loops_avx512 = SCHEME_LOOPS;

#else
const cf_scheme_loops cf_scheme_loops_avx512 = {.stage = NULL};
#endif
