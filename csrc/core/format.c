/* Formats: validation, and the masks and limits that follow from a format's fields. */
#include "core/format.h"

/* The range of float32: every value is below 2^128 and a multiple of 2^-149. */
enum { FLOAT32_MAX_EXPONENT = 127, FLOAT32_MIN_QUANTUM = -149 };

static int is_flag(int32_t value) { return value == 0 || value == 1; }

int cf_format_max_exponent_field(const cf_format *format) {
  return (int)(cf_format_params(format).max_code >> format->mantissa_bits);
}

int cf_format_quantum(const cf_format *format) {
  const int m = format->mantissa_bits;
  /* without mantissa bits there are no subnormals to read one way or the other */
  const int finer = format->subnormals == CF_SUBNORMALS_NORMAL ||
                    (format->subnormals == CF_SUBNORMALS_WHITEPAPER && m > 0);
  return (finer ? 0 : 1) - m;
}

int cf_format_check(const cf_format *format) {
  const int e = format->exponent_bits, m = format->mantissa_bits;
  if (e < 1 || e > 16 || m < 0 || m > 15) return CF_BAD_FORMAT;
  if (!is_flag(format->is_signed) || !is_flag(format->saturating)) return CF_BAD_FORMAT;
  if (e + m + format->is_signed > 16) return CF_BAD_FORMAT;
  if (format->subnormals < CF_SUBNORMALS_WHITEPAPER || format->subnormals > CF_SUBNORMALS_NORMAL)
    return CF_BAD_FORMAT;
  switch (format->nonfinite) {
    case CF_NONFINITE_NONE:
      if (!format->saturating) return CF_BAD_FORMAT; /* overflow has nowhere else to go */
      break;
    case CF_NONFINITE_IEEE:
      if (m == 0) return CF_BAD_FORMAT; /* no code is left for NaN */
      break;
    case CF_NONFINITE_NAN_ONLY: break;
    case CF_NONFINITE_FNUZ:
      if (!format->is_signed) return CF_BAD_FORMAT; /* there is no -0 */
      break;
    case CF_NONFINITE_P3109:
      if (!format->is_signed && e + m < 2) return CF_BAD_FORMAT; /* no code is left for numbers */
      break;
    default: return CF_BAD_FORMAT;
  }
  /* where there is no zero, the code of -0 is a number */
  if (format->subnormals == CF_SUBNORMALS_NORMAL && cf_format_params(format).no_negative_zero)
    return CF_BAD_FORMAT;
  const int top = cf_format_max_exponent_field(format);
  if (top < cf_first_normal_field(format->subnormals)) return CF_BAD_FORMAT; /* no normal number */
  if (format->bias_min > format->bias_max) return CF_BAD_FORMAT;
  /* bounds that keep the sums below from overflowing, wide of anything they could accept */
  if (format->bias_min < -1024 || format->bias_max > 1024) return CF_BAD_FORMAT;
  if (top - format->bias_min > FLOAT32_MAX_EXPONENT) return CF_BAD_FORMAT;
  if (cf_format_quantum(format) - format->bias_max < FLOAT32_MIN_QUANTUM) return CF_BAD_FORMAT;
  return CF_OK;
}

cf_params cf_format_params(const cf_format *format) {
  const int m = format->mantissa_bits;
  const int magnitude_bits = format->exponent_bits + m;
  const uint64_t all_ones = ((uint64_t)1 << magnitude_bits) - 1;
  const uint64_t top_exponent = all_ones >> m << m;
  cf_params params;
  params.mantissa_bits = m;
  params.subnormals = format->subnormals;
  params.has_infinity =
      format->nonfinite == CF_NONFINITE_IEEE || format->nonfinite == CF_NONFINITE_P3109;
  params.has_nan = format->nonfinite != CF_NONFINITE_NONE;
  params.no_negative_zero = format->is_signed && (format->nonfinite == CF_NONFINITE_FNUZ ||
                                                  format->nonfinite == CF_NONFINITE_P3109);
  params.sign_mask = format->is_signed ? all_ones + 1 : 0;
  params.magnitude_mask = all_ones;
  switch (format->nonfinite) {
    case CF_NONFINITE_IEEE:
      params.max_code = top_exponent - 1;
      params.nan_code = top_exponent | (uint64_t)1 << (m - 1);
      params.overflow_code = top_exponent;
      break;
    case CF_NONFINITE_NAN_ONLY:
      params.max_code = all_ones - 1;
      params.nan_code = all_ones;
      params.overflow_code = all_ones;
      break;
    case CF_NONFINITE_FNUZ:
      /* whatever the sign that is put to it */
      params.max_code = all_ones;
      params.nan_code = all_ones + 1;
      params.overflow_code = all_ones + 1;
      break;
    case CF_NONFINITE_P3109:
      params.max_code = all_ones - (format->is_signed ? 1 : 2);
      params.nan_code = format->is_signed ? all_ones + 1 : all_ones;
      params.overflow_code = params.max_code + 1;
      break;
    default:
      params.max_code = all_ones;
      params.nan_code = 0;
      params.overflow_code = all_ones;
      break;
  }
  if (format->saturating) params.overflow_code = params.max_code;
  return params;
}

size_t cf_element_size(int type, const cf_format *format) {
  switch (type) {
    case CF_CODES: return cf_code_size(format);
    case CF_FLOAT64:
    case CF_INT64:
    case CF_UINT64: return 8;
    case CF_FLOAT32:
    case CF_INT32:
    case CF_UINT32: return 4;
    case CF_INT8:
    case CF_UINT8: return 1;
    default: return 2;
  }
}
