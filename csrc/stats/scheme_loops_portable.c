/* The loops over schemes, for what every CPU of the architecture has. */
#define ISA_NAME(slot) slot##_portable
#include "stats/scheme_loops-inl.h"

const cf_scheme_loops cf_scheme_loops_portable = SCHEME_LOOPS;
