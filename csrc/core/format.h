/* What follows from a format's fields: masks, limits, special codes.  Nothing here depends on a
 * bias, so that one cf_params serves a whole array of biases. */
#ifndef CF_CORE_FORMAT_H
#define CF_CORE_FORMAT_H

#include <math.h>

#include "cfloat.h"

/* Codes are 64 bits wide here, so that float32 and float64 are formats like any other. */
typedef struct cf_params {
  int mantissa_bits;
  int subnormals; /* enum cf_subnormals */
  int has_nan;
  int has_infinity;        /* it is max_code + 1 */
  int no_negative_zero;    /* its code is NaN's, the only one */
  uint64_t sign_mask;      /* 0 for an unsigned format */
  uint64_t magnitude_mask; /* the exponent and mantissa fields */
  uint64_t max_code;       /* largest finite magnitude */
  uint64_t nan_code;       /* canonical NaN, if has_nan */
  uint64_t overflow_code;  /* what a magnitude too large becomes when it rounds away from zero */
} cf_params;

#define CF_IEEE_PARAMS(exponent_bits, fraction_bits)                \
  {(fraction_bits),                                                 \
   CF_SUBNORMALS_IEEE,                                              \
   1,                                                               \
   1,                                                               \
   0,                                                               \
   (uint64_t)1 << ((exponent_bits) + (fraction_bits)),              \
   ((uint64_t)1 << ((exponent_bits) + (fraction_bits))) - 1,        \
   ((((uint64_t)1 << (exponent_bits)) - 1) << (fraction_bits)) - 1, \
   (((uint64_t)2 << (exponent_bits)) - 1) << ((fraction_bits) - 1), \
   (((uint64_t)1 << (exponent_bits)) - 1) << (fraction_bits)}

enum {
  CF_FLOAT64_BIAS = 1023,
  CF_FLOAT32_BIAS = 127,
  CF_FLOAT16_BIAS = 15,
  CF_BFLOAT16_BIAS = 127
};

static const cf_params CF_FLOAT64_PARAMS = CF_IEEE_PARAMS(11, 52);
static const cf_params CF_FLOAT32_PARAMS = CF_IEEE_PARAMS(8, 23);
static const cf_params CF_FLOAT16_PARAMS = CF_IEEE_PARAMS(5, 10);
static const cf_params CF_BFLOAT16_PARAMS = CF_IEEE_PARAMS(8, 7);

/* The one NaN that results of arithmetic are: which of several a sum keeps, and with what sign,
 * depends on the processor. */
#define CF_FLOAT32_NAN ((float)NAN)
#define CF_FLOAT32_NAN_BITS 0x7FC00000u
#define CF_FLOAT64_NAN_BITS ((uint64_t)0x7FF8 << 48)

/* The parameters of a format that passed cf_format_check. */
cf_params cf_format_params(const cf_format *format);

/* The exponent field of the smallest normal number. */
static inline int cf_first_normal_field(int subnormals) {
  return subnormals == CF_SUBNORMALS_NORMAL ? 0 : 1;
}

/* The exponent field of the largest finite value. */
int cf_format_max_exponent_field(const cf_format *format);

/* The exponent, at bias 0, of the unit of which every value is a multiple. */
int cf_format_quantum(const cf_format *format);

/* Bytes of one stored code: 1 or 2. */
static inline size_t cf_code_size(const cf_format *format) {
  return format->exponent_bits + format->mantissa_bits + (format->is_signed != 0) <= 8 ? 1 : 2;
}

/* Bytes of an element of a type, of a format where it is CF_CODES; else it is not looked at. */
size_t cf_element_size(int type, const cf_format *format);

#endif
