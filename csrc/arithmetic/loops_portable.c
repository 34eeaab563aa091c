/* The loops of operations and reductions, for what every CPU of the architecture has. */
#define ISA_NAME(slot) slot##_portable
#include "arithmetic/loops-inl.h"

const cf_arithmetic_loops cf_arithmetic_loops_portable = ARITHMETIC_LOOPS;
