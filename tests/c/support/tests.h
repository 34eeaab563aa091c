/* The tests.  Each reports through support/check.h.  Those under the comment about instruction sets
 * run once for each one that this CPU has; the others do not depend on it. */
#ifndef SUPPORT_TESTS_H
#define SUPPORT_TESTS_H

void test_random(void);
void test_sums(void);
void test_binades(void);
void test_choose_biases(void);
void test_histogram(void);
void test_scalar(void);
void test_arithmetic(void);
void test_formats(void);
void test_isa(void);
void test_pool(void);
void test_compensate(void);

/* on each instruction set */
void test_decode(void);
void test_encode(void);
void test_stochastic(void);
void test_lengths(void);
void test_layouts(void);
void test_status(void);
void test_threads(void);
void test_float_modes(void);
void test_map_codes(void);
void test_large(void);
void test_errors(void);
void test_bin_errors(void);
void test_schemes(void);
void test_adamw(void);
void test_sgd(void);
void test_code_loops(void);

/* on each that multiplies matrices in its own way */
void test_matmul(void);
void test_matmul_flat(void);
void test_matmul_exact(void);
void test_matmul_rounded(void);

#endif
