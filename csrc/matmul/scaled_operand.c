/* Operands of matrix products in float32: their decoding, and copies in another order. */
#include "matmul/scaled_operand.h"

#include <math.h>
#include <string.h>

#include "core/format.h"
#include "core/integers.h"
#include "matmul/transpose.h"

/* Powers of two within which the values of an operand are, whatever their biases, so that no
 * product of two leaves float32's range. */
enum { HALF_RANGE = 58 };

static void choose_bias(cf_scaled *scaled, const cf_format *format, int differ) {
  /* exponents at bias 0 */
  const int bottom = cf_format_quantum(format), top = cf_format_max_exponent_field(format) + 1;
  const int lowest = bottom - format->bias_max, highest = top - format->bias_min;
  scaled->decodes_biases = 0;
  scaled->bias = scaled->shift = 0;
  if (!differ && (top - bottom) / 2 <= HALF_RANGE) {
    scaled->is_centred = 1;
    scaled->bias = (top + bottom) / 2;
    scaled->lowest = bottom - scaled->bias;
    return;
  }
  scaled->decodes_biases = 1;
  scaled->is_centred = (highest - lowest) / 2 <= HALF_RANGE;
  if (scaled->is_centred) scaled->shift = -(highest + lowest) / 2;
  scaled->lowest = lowest + scaled->shift;
}

cf_scaled cf_scaled_of(const cf_operand *operand, const cf_matrix *matrix) {
  cf_scaled scaled;
  memset(&scaled, 0, sizeof scaled);
  scaled.of = *operand;
  if (operand->type != CF_CODES) {
    scaled.lowest = -149;
    scaled.significant = operand->type == CF_FLOAT32 ? 24 : 8;
    return scaled;
  }
  scaled.significant = matrix->format->mantissa_bits + 1;
  choose_bias(&scaled, matrix->format, !cf_operand_has_line_biases(operand));
  scaled.decode = scaled.lowest >= -126 ? cf_active_kernels()->decode[CF_FLOAT32] : NULL;
  if (scaled.decode == NULL) scaled.decode = cf_kernels_portable.decode[CF_FLOAT32];
  return scaled;
}

/* Whether all values but zeros and special ones are from 2^low on and below 2^high in magnitude. */
static int are_within(const cf_operand *operand, int low, int high) {
  const cf_direction direction = cf_operand_direction(operand);
  const int by_line = direction == CF_ALONG_LINE;
  const int64_t runs = by_line ? operand->lines : operand->inner,
                length = by_line ? operand->inner : operand->lines;
  if (low >= high) return 0;
  const uint32_t first = (uint32_t)(low + 127) << 23,
                 count_of_bits = ((uint32_t)(high + 127) << 23) - first;
  uint32_t values[CF_RUN_PIECE], beyond = 0;
  for (int64_t run = 0; run < runs && !beyond; ++run)
    for (int64_t at = 0; at < length; at += CF_RUN_PIECE) {
      const size_t count = (size_t)(length - at < CF_RUN_PIECE ? length - at : CF_RUN_PIECE);
      cf_operand_decode(operand, direction, by_line ? run : at, by_line ? at : run, count, values);
      for (size_t i = 0; i < count; ++i) {
        const uint32_t magnitude = values[i] & 0x7FFFFFFFu;
        beyond |= (uint32_t)(magnitude - first >= count_of_bits) & (uint32_t)(magnitude != 0) &
                  (uint32_t)(magnitude < 0x7F800000u);
      }
    }
  return !beyond;
}

void cf_scaled_keep_biases(cf_scaled *scaled, const cf_operand *other) {
  const cf_operand *of = &scaled->of;
  const int64_t step = of->line_bias_stride == 0 ? of->lines : of->line_block;
  int least = INT16_MAX, greatest = INT16_MIN;
  if (of->type != CF_CODES) return;
  if (scaled->decodes_biases) {
    scaled->lowest -= scaled->shift;
    scaled->shift = 0;
  } else {
    const char *own = of->biases;
    for (int64_t line = 0; line < of->lines; line += step, own += of->line_bias_stride) {
      int16_t bias;
      memcpy(&bias, own, sizeof bias);
      if (bias < least) least = bias;
      if (bias > greatest) greatest = bias;
    }
    /* sums of 2^32 products and fewer; decoding each line with its own takes longer */
    if (least != greatest && are_within(other, -126 - scaled->lowest, 127 - 32 + scaled->lowest))
      return;
    scaled->decodes_biases = least != greatest;
    scaled->bias = least;
    scaled->lowest = of->quantum - greatest;
  }
  if (scaled->lowest < -126) scaled->decode = cf_kernels_portable.decode[CF_FLOAT32];
}

int cf_scaled_exponent(const cf_scaled *scaled, int64_t line) {
  if (scaled->of.type != CF_CODES) return 0;
  return scaled->decodes_biases ? -scaled->shift
                                : scaled->bias - cf_operand_bias(&scaled->of, line, 0);
}

/* 2^exponent, or 0 where no float holds that. */
static inline float scale_of(int exponent) {
  const uint32_t bits = exponent < -126 || exponent > 127 ? 0 : (uint32_t)(exponent + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

void cf_scaled_scales(const cf_scaled *scaled, float *scale, int *low, int *high) {
  const cf_operand *of = &scaled->of;
  const int differ = of->type == CF_CODES && !scaled->decodes_biases && of->line_bias_stride != 0;
  const int64_t lines = of->lines, block = differ ? of->line_block : lines;
  int exponent = cf_scaled_exponent(scaled, 0), least = INT16_MAX, greatest = INT16_MIN;
  const char *own = of->biases;
  if (differ && block == 1 && of->line_bias_stride == sizeof(int16_t)) { /* in vectors */
    for (int64_t i = 0; i < lines; ++i) {
      int16_t bias;
      memcpy(&bias, own + i * (int64_t)sizeof bias, sizeof bias);
      exponent = scaled->bias - bias;
      scale[i] = scale_of(exponent);
      least = exponent < least ? exponent : least;
      greatest = exponent > greatest ? exponent : greatest;
    }
  } else {
    for (int64_t i = 0; i < lines;) {
      if (differ) {
        int16_t bias;
        memcpy(&bias, own, sizeof bias);
        exponent = scaled->bias - bias;
        own += of->line_bias_stride;
      }
      const int64_t end = block > lines - i ? lines : i + block;
      const float each = scale_of(exponent);
      if (exponent < least) least = exponent;
      if (exponent > greatest) greatest = exponent;
      for (; i < end; ++i) scale[i] = each;
    }
  }
  *low = least;
  *high = greatest;
  memset(scale + lines, 0, CF_TILE_LINES_MAX * sizeof *scale);
}

int cf_scaled_table(const cf_scaled *scaled, int must_be_finite, cf_bytes *table) {
  const int16_t bias = (int16_t)scaled->bias;
  uint8_t codes[256];
  uint32_t values[256];
  if (scaled->of.type != CF_CODES || scaled->of.size != 1 || scaled->decodes_biases ||
      scaled->significant > 8)
    return 0;
  /* what is subnormal, the kernels of tables take for zero */
  if (scaled->lowest < -126) return 0;
  if (scaled->of.rule.params.sign_mask != 0x80) return 0;
  for (int code = 0; code < 256; ++code) codes[code] = (uint8_t)code;
  scaled->decode(&scaled->of.rule, &bias, 0, codes, values, 256, NULL);
  int fits = values[0] == 0;
  for (int code = 0; code < 128; ++code) {
    const uint32_t value = values[code];
    table->lower[code] = (uint8_t)(value >> 16);
    table->upper[code] = (uint8_t)(value >> 24);
    fits &= values[code + 128] == (value | 0x80000000u);
    fits &= !must_be_finite || (value & 0x7F800000u) != 0x7F800000u;
  }
  return fits;
}

/* Elements whose biases are gathered at a time. */
enum { BIAS_PIECE = 256 };

/* What kernels of bytes need, of codes with a sign and `first` as below. */
static void describe_bytes(const cf_params *params, int first, cf_fields *fields) {
  const int m = params->mantissa_bits, is_ieee = params->subnormals == CF_SUBNORMALS_IEEE;
  fields->in_bytes = 1;
  fields->upper = (uint8_t)(first >> 1);
  fields->upper_shift = (uint8_t)(m + 1);
  fields->byte_exponents = (uint8_t)(0x7F >> m << m);
  for (int code = 0; code < 16; ++code) {
    const float value = ldexpf((float)(code & ((1 << m) - 1)), first + is_ieee - 127 - m);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    fields->lower[code] = (uint8_t)(code << (7 - m));
    fields->subnormal_lower[code] = (uint8_t)(bits >> 16);
    fields->subnormal_upper[code] = (uint8_t)(bits >> 24);
  }
}

int cf_scaled_fields(const cf_scaled *scaled, cf_fields *fields) {
  static const cf_params bfloat16 = CF_IEEE_PARAMS(8, 7);
  const cf_params *params = scaled->of.type == CF_BFLOAT16 ? &bfloat16 : &scaled->of.rule.params;
  const int m = params->mantissa_bits, size = (int)scaled->of.size,
            is_signed = params->sign_mask != 0;
  const int e = 8 * size - is_signed - m;
  const uint32_t unit = (uint32_t)1 << 23, number = (uint32_t)(params->magnitude_mask << (23 - m));
  /* infinity is the first code of all ones in the exponent, and NaNs are those that follow */
  const int is_ieee =
      params->has_infinity && m > 0 && params->max_code + 1 == params->magnitude_mask >> m << m;
  const int moves_infinity = params->has_infinity && !is_ieee;
  if (scaled->of.type == CF_FLOAT32) return 0;
  /* bits above a code are not looked at elsewhere */
  if ((params->sign_mask | params->magnitude_mask) != ((uint64_t)1 << 8 * size) - 1) return 0;
  if (e > 8 || e == 7) return 0;
  /* NaN is then beyond infinity, too */
  if (moves_infinity && params->has_nan && !params->no_negative_zero) return 0;
  /* the greatest exponents that float32 has in the place of its upper bits: about 2^0 */
  const int first = e == 8 ? 0 : ((128 >> e) - 1) << e;
  memset(fields, 0, sizeof *fields);
  fields->size = size;
  fields->bias = 127 - first;
  fields->scale = 1;
  fields->right = (uint32_t)(8 - e + !is_signed);
  fields->sign = is_signed ? (uint32_t)1 << 31 : 0;
  fields->mask = number | fields->sign;
  fields->offset = (uint32_t)first * unit;
  fields->test = number & ~(unit - 1);
  fields->kept = UINT32_MAX;
  fields->one = fields->offset;
  fields->limit = params->has_nan || params->has_infinity
                      ? fields->offset + (uint32_t)(params->max_code << (23 - m))
                      : INT32_MAX;
  fields->special_kept = moves_infinity ? fields->sign : UINT32_MAX;
  fields->special = params->has_infinity ? 0x7F800000u : CF_FLOAT32_NAN_BITS;
  if (params->no_negative_zero) {
    fields->equal = fields->sign | fields->offset;
    fields->instead = CF_FLOAT32_NAN_BITS;
  }
  if (e == 8) { /* float32's own */
    if (params->subnormals != CF_SUBNORMALS_IEEE &&
        !(params->subnormals == CF_SUBNORMALS_NORMAL && m == 0))
      return 0;
    fields->test = UINT32_MAX;
    fields->one = 0;
    if (params->subnormals == CF_SUBNORMALS_NORMAL) fields->instead = unit / 2;
    if (is_ieee) fields->limit = INT32_MAX;
  } else if (params->subnormals == CF_SUBNORMALS_IEEE) {
    fields->set = unit;
    fields->one += unit;
  } else if (params->subnormals == CF_SUBNORMALS_FLUSH) {
    fields->kept = fields->sign;
    fields->set = fields->one;
  } else if (params->subnormals == CF_SUBNORMALS_NORMAL) {
    fields->test = fields->offset; /* never */
  }
  /* of which all bits are 0 in what is not as its fields are, or in 0 alone */
  fields->exponents = e == 8 || params->subnormals == CF_SUBNORMALS_NORMAL
                          ? (uint32_t)params->magnitude_mask
                          : fields->test >> (23 - m);
  fields->magnitudes = (uint32_t)params->magnitude_mask;
  fields->greatest = fields->limit == INT32_MAX ? fields->magnitudes : (uint32_t)params->max_code;
  fields->plain = fields->limit == INT32_MAX && fields->kept == UINT32_MAX && fields->set == 0 &&
                  fields->instead == 0;
  if (size == 1 && is_signed && m <= 3 && e < 8 && fields->limit == INT32_MAX &&
      fields->instead == 0 &&
      (params->subnormals == CF_SUBNORMALS_IEEE || params->subnormals == CF_SUBNORMALS_WHITEPAPER))
    describe_bytes(params, first, fields);
  return 1;
}

void cf_scaled_use_fields(cf_scaled *scaled, cf_decode_fields_kernel *kernel, cf_fields *fields) {
  scaled->fields = NULL;
  if (kernel == NULL || scaled->of.type != CF_CODES || scaled->decodes_biases ||
      !cf_scaled_fields(scaled, fields) || (fields->size == 1 && !fields->in_bytes))
    return;
  /* no value is subnormal, neither as the kernel has it nor scaled */
  const int exponent = fields->bias - scaled->bias;
  if (scaled->lowest < -126 || scaled->lowest - exponent < -126) return;
  fields->scale = scale_of(exponent);
  if (fields->scale == 0) return;
  scaled->fields = fields;
  scaled->decode_fields = kernel;
}

void cf_scaled_decode(const cf_scaled *scaled, cf_direction direction, int64_t line, int64_t k,
                      const char *from, int64_t count, float *to) {
  const cf_operand *of = &scaled->of;
  if (of->type == CF_FLOAT32) {
    memcpy(to, from, (size_t)count * sizeof *to);
    return;
  }
  if (of->type == CF_BFLOAT16) {
    cf_widen_bfloat16(from, (size_t)count, to);
    return;
  }
  if (scaled->fields != NULL) {
    scaled->decode_fields(scaled->fields, (const uint8_t *)from, count, to);
    return;
  }
  const int across = direction == CF_ACROSS_LINES;
  const int64_t block = across ? of->line_block : of->inner_block, place = across ? line : k;
  const int64_t stride = across ? of->line_bias_stride : of->inner_bias_stride;
  int16_t biases[BIAS_PIECE];
  if (!scaled->decodes_biases || stride == 0 || place / block == (place + count - 1) / block) {
    biases[0] = (int16_t)(scaled->decodes_biases ? cf_operand_bias(of, line, k) - scaled->shift
                                                 : scaled->bias);
    scaled->decode(&of->rule, biases, 0, from, to, (size_t)count, NULL);
    return;
  }
  const char *own = of->biases + line / of->line_block * of->line_bias_stride +
                    k / of->inner_block * of->inner_bias_stride;
  int64_t left = block - place % block; /* of the block */
  for (int64_t done = 0; done < count; done += BIAS_PIECE) {
    const int64_t part = cf_at_most(BIAS_PIECE, count - done);
    for (int64_t i = 0; i < part;) {
      int16_t bias;
      memcpy(&bias, own, sizeof bias);
      const int64_t end = i + cf_at_most(left, part - i);
      left -= end - i;
      for (; i < end; ++i) biases[i] = (int16_t)(bias - scaled->shift);
      if (left > 0) continue;
      left = block;
      own += stride;
    }
    scaled->decode(&of->rule, biases, 1, from + (size_t)done * of->size, to + done, (size_t)part,
                   NULL);
  }
}

#define COPY(type, i0, i1, j0, j1)                                                            \
  for (int64_t i = i0; i < (i1); ++i)                                                         \
    for (int64_t j = j0; j < (j1); ++j)                                                       \
  memcpy(to + i * to_step + j * (int64_t)sizeof(type), from + i * row_step + j * column_step, \
         sizeof(type))

#if CF_CAN_TRANSPOSE
/* Where columns are contiguous, squares; what is left at the edges, one by one. */
#define TRANSPOSE(type, size)                                                 \
  const int64_t side = 16 / size, whole_rows = rows - rows % side,            \
                whole_columns = columns - columns % side;                     \
  for (int64_t i = 0; i < whole_rows; i += side)                              \
    for (int64_t j = 0; j < whole_columns; j += side)                         \
      cf_transpose_##size(from + i * row_step + j * column_step, column_step, \
                          to + i * to_step + j * size, to_step);              \
  COPY(type, 0, whole_rows, whole_columns, columns);                          \
  COPY(type, whole_rows, rows, 0, columns)
#else
#define TRANSPOSE(type, size) COPY(type, 0, rows, 0, columns)
#endif

/* Copy rows x columns elements of any strides into contiguous rows. */
#define DEFINE_COPY_ROWS(type, size)                                                       \
  static void copy_rows_##size(const char *from, int64_t row_step, int64_t column_step,    \
                               int64_t rows, int64_t columns, char *to, int64_t to_step) { \
    if (row_step == size) {                                                                \
      TRANSPOSE(type, size);                                                               \
    } else {                                                                               \
      COPY(type, 0, rows, 0, columns);                                                     \
    }                                                                                      \
  }
DEFINE_COPY_ROWS(uint8_t, 1)
DEFINE_COPY_ROWS(uint16_t, 2)
DEFINE_COPY_ROWS(uint32_t, 4)

static void copy_rows(size_t size, const char *from, int64_t row_step, int64_t column_step,
                      int64_t rows, int64_t columns, char *to, int64_t to_step) {
  if (column_step == (int64_t)size)
    for (int64_t i = 0; i < rows; ++i)
      memcpy(to + i * to_step, from + i * row_step, (size_t)columns * size);
  else
    (size == 1   ? copy_rows_1
     : size == 2 ? copy_rows_2
                 : copy_rows_4)(from, row_step, column_step, rows, columns, to, to_step);
}

void cf_scaled_copy(const cf_scaled *scaled, cf_direction direction, int64_t line,
                    int64_t line_count, int64_t k, int64_t count, char *to, int64_t to_step) {
  const cf_operand *of = &scaled->of;
  const char *from = of->elements + line * of->line_stride + k * of->inner_stride;
  if (direction == CF_ALONG_LINE)
    copy_rows(of->size, from, of->line_stride, of->inner_stride, line_count, count, to, to_step);
  else
    copy_rows(of->size, from, of->inner_stride, of->line_stride, count, line_count, to, to_step);
}
