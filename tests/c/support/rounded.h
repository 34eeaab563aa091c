/* The value that core/scalar.h rounds a float32 to in a format: what faster ways are checked
 * against. */
#ifndef SUPPORT_ROUNDED_H
#define SUPPORT_ROUNDED_H

#include <string.h>

#include "core/scalar.h"

static inline double rounded(const cf_format *format, int bias, float x) {
  const cf_params params = cf_format_params(format);
  unsigned raised = 0;
  uint32_t bits;
  double value;
  memcpy(&bits, &x, sizeof bits);
  const uint64_t code =
      cf_round_pack(&params, bias, cf_unpack(&CF_FLOAT32_PARAMS, CF_FLOAT32_BIAS, bits),
                    CF_TIES_TO_EVEN, 0, &raised);
  const uint64_t wide = cf_round_pack(&CF_FLOAT64_PARAMS, CF_FLOAT64_BIAS,
                                      cf_unpack(&params, bias, code), CF_TIES_TO_EVEN, 0, &raised);
  memcpy(&value, &wide, sizeof value);
  return value;
}

#endif
