/* The loops over schemes, for AVX2. */
#include "cpu/target.h"
#include "stats/scheme_loops.h"

#if defined(CF_X86_64)
#include <float.h>
#include <string.h>

CF_TARGET_BEGIN(CF_TARGET_AVX2)
#define ISA_NAME(slot) slot##_avx2
#include "stats/scheme_loops-inl.h"
CF_TARGET_END

const cf_scheme_loops cf_scheme_loops_avx2 = SCHEME_LOOPS;

#else
const cf_scheme_loops cf_scheme_loops_avx2 = {.stage = NULL};
#endif
