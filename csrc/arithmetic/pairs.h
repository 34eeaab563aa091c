/* Operations on two arrays of codes, in registers from end to end: what they need to know, and the
 * loops of an instruction set. */
#ifndef CF_ARITHMETIC_PAIRS_H
#define CF_ARITHMETIC_PAIRS_H

#include "convert/kernels.h"

enum { CF_MOST_CODES = 4 }; /* of 32 bits */

/* Fewer are done before the rule is made. */
enum { CF_LEAST_PAIRS = 64 };

/* What is the same for all codes of an operand.  Their magnitudes are shifted to where float32 has
 * exponent and mantissa, and are values then but for `exponent`; where they have no leading one,
 * they get one, and the value is that times a factor, and an addend. */
typedef struct cf_pair_source {
  uint32_t
      place[CF_MOST_CODES]; /* by how much each code of 32 bits is shifted up; the last, down */
  uint32_t magnitude, exponent, max, infinity;
  float factor, addend;
  int has_infinity;
} cf_pair_source;

/* And of results, whose magnitudes are float32 before. */
typedef struct cf_pair_rule {
  int function;   /* CF_ADD to CF_DIVIDE */
  int is_watched; /* operands may be neither finite nor zero, or results negative and unsigned */
  int streaming;  /* they bypass the caches */
  size_t code_size;
  cf_pair_source operands[2];
  /* of normal results: to nearest, their last bit, what is less than half a step, and bits less */
  uint32_t last_bit, step, drop, smallest_normal;
  /* up to `upper` those below, which have their units when added to `anchor`, and then are not more
   * than `below` */
  uint32_t upper, below;
  float anchor;
  uint32_t largest, nan_code, negative_code;
  uint32_t sign, sign_code; /* of float32 and of codes; 0 for a format without */
  uint32_t signs;           /* of all codes of 32 bits */
  uint32_t flip, negation;  /* of subtrahends: their signs or, where they have none, float32's */
} cf_pair_rule;

/* results[i] = the function of a[i] and b[i]; results may be an operand.  signals gains cf_signal
 * bits.  In the default modes. */
typedef void cf_pair_loop(const cf_pair_rule *rule, const char *a, const char *b, char *results,
                          size_t count, unsigned *signals);

/* The rule for formats of one size that fill their storage, all with a sign or all without, and
 * that have zeros of each sign that there is; the result's is such as cf_lanes_add has.  Streaming
 * is left out. */
cf_pair_rule cf_pair_rule_of(int function, const cf_format *const *operands, const int *biases,
                             const cf_format *format, int bias);

#endif
