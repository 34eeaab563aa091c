/* The exported interface of the C core.
 *
 * cffi's cdef reads this very file, so it holds declarations and comments and not one preprocessor
 * line; C code includes "cfloat.h" instead.
 *
 * Every function returns CF_OK or a negative cf_status and writes its results through pointers.
 * None prints, aborts or keeps a pointer it was given, and none calls malloc but the matrix
 * products, cf_choose_biases and cf_least_error_of_counts.  All are safe to call from several
 * threads at once, cf_isa_select excepted. */

enum cf_status {
  CF_OK = 0,
  CF_BAD_FORMAT = -1,   /* cf_format_check refuses it */
  CF_BAD_BIAS = -2,     /* a bias outside the format's bias_min..bias_max */
  CF_BAD_ROUNDING = -3, /* not a cf_rounding */
  CF_BAD_TYPE = -4,     /* not a cf_type, or not one that can stand there */
  CF_BAD_LAYOUT = -5,   /* ndim outside 0..CF_MAX_NDIM, or a negative length */
  CF_BAD_ISA = -6,      /* an unknown ISA, or one that this CPU or build lacks */
  CF_NO_MEMORY = -7,    /* there is none for what is packed */
  CF_OTHER_MODES = -8,  /* floating-point modes are not those that are asked for */
  CF_OVERLAP = -9       /* memory that is written overlaps what is yet to be read */
};

enum cf_nonfinite {
  CF_NONFINITE_NONE,     /* every code is a finite number */
  CF_NONFINITE_IEEE,     /* exponent all ones: infinity (mantissa 0) and NaN */
  CF_NONFINITE_NAN_ONLY, /* exponent and mantissa all ones: NaN; no infinity */
  CF_NONFINITE_FNUZ,     /* the code of -0: NaN; no infinity, no -0. Signed formats */
  /* IEEE P3109's extended formats. NaN: the code of -0 if signed, the last one if not; infinity:
   * exponent and mantissa all ones, or the code before NaN's */
  CF_NONFINITE_P3109
};

enum cf_subnormals {
  CF_SUBNORMALS_WHITEPAPER, /* a subnormal's exponent is -bias */
  CF_SUBNORMALS_IEEE,       /* a subnormal's exponent is 1 - bias */
  CF_SUBNORMALS_FLUSH,      /* subnormal operands and results are zero */
  CF_SUBNORMALS_NORMAL      /* an exponent field of 0 is one like any other: there is no zero */
};

enum cf_rounding {
  CF_TIES_TO_EVEN,
  CF_TIES_TO_AWAY,
  CF_TOWARD_ZERO,
  CF_TOWARD_POSITIVE,
  CF_TOWARD_NEGATIVE,
  CF_STOCHASTIC,
  CF_TO_ODD,      /* what is not exact takes the neighbour whose code is odd */
  CF_TIES_TO_ZERO /* nearest */
};

/* How stochastic rounding with N random bits decides, r being those bits as an integer and f how
 * far up the value lies between its neighbours (IEEE P3109): up if
 *   A  floor(f * 2^N) + r >= 2^N
 *   B  floor(f * 2^(N+1)) + 2 * r + 1 >= 2^(N+1)
 *   C  (f * 2^N rounded to nearest, ties to even) + r >= 2^N
 * docs/spec.md 3.12 is A with N = 32. */
enum cf_stochastic { CF_STOCHASTIC_A, CF_STOCHASTIC_B, CF_STOCHASTIC_C };

/* Types of the elements of an operand.  The first four are also what values can be written as. */
enum cf_type {
  CF_FLOAT64,
  CF_FLOAT32,
  CF_FLOAT16,
  CF_BFLOAT16,
  CF_INT64,
  CF_INT32,
  CF_INT16,
  CF_INT8,
  CF_UINT64,
  CF_UINT32,
  CF_UINT16,
  CF_UINT8,
  CF_CODES /* of the format that the operation is about */
};

/* CF_MAX_NDIM is NumPy's own largest number of dimensions; CF_PIECE is the number of elements that
 * are staged at a time; more threads than CF_MAX_THREADS take no part. */
enum cf_limits { CF_MAX_NDIM = 64, CF_PIECE = 1024, CF_MAX_THREADS = 256 };

/* A format of 1..16 bits: most significant first the sign (if any), exponent and mantissa fields.
 * Codes are stored in uint8_t up to 8 bits and in uint16_t above, unused high bits zero. */
typedef struct cf_format {
  int32_t exponent_bits;
  int32_t mantissa_bits;
  int32_t is_signed;
  int32_t nonfinite;  /* enum cf_nonfinite */
  int32_t subnormals; /* enum cf_subnormals */
  int32_t saturating; /* overflow and infinities go to the largest finite value */
  int32_t bias_min;
  int32_t bias_max;
} cf_format;

/* Exception flags as counts of elements (docs/spec.md 4).  Calls add to what is there. */
typedef struct cf_flags {
  uint64_t invalid;
  uint64_t denormal;
  uint64_t overflow;
  uint64_t underflow;
} cf_flags;

/* Where the elements of an N-dimensional operation are: element (i0, i1, ...) of an operand is at
 * base + i0*strides[0] + i1*strides[1] + ...  Strides are bytes; they may be zero or negative.
 * Random words are assigned in row-major order of shape; or, where the elements are a part of a
 * larger array, element (i0, i1, ...) takes word offset + i0*word_strides[0] + i1*word_strides[1] +
 * ..., modulo 2^64. */
typedef struct cf_layout {
  int32_t ndim;
  int32_t source_swapped; /* the source's elements have the other byte order */
  /* a random word for each element in that order, in place of the stream's; or NULL */
  const uint32_t *words;
  const int64_t *shape;
  const int64_t *source_strides;
  const int64_t *bias_strides;
  const int64_t *destination_strides;
  /* words, not bytes; NULL for row-major order.  Not used where `words` is given */
  const int64_t *word_strides;
} cf_layout;

/* CF_OK if the format is one that this library can represent: 1..16 bits in all, at least one
 * normal number, encodings that exist, and every value at every legal bias exactly a float32. */
int cf_format_check(const cf_format *format);

/* Convert count elements from source_type to destination_type.
 *
 *   value or integer -> CF_CODES  encode: one rounding from the exact value
 *   CF_CODES -> value type        decode: exact in float64 and float32; rounded to nearest, ties to
 *                                 even, in float16 and bfloat16 (rounding is not used)
 *   value or integer -> value     encode and decode in one pass; the flags are those of the encode
 *
 * Any other pair is CF_BAD_TYPE.  rounding is a cf_rounding, to which CF_STOCHASTIC may add 16 *
 * cf_stochastic and 256 * the number of random bits, 1..32; 0 stands for 32.  Element i then takes
 * the upper bits of random word offset + i of the stream of seed; the other modes use neither.  A
 * NaN becomes the format's canonical NaN, with its sign if there is room for one, or the largest
 * finite value where there is none, which is positive; NaN codes give quiet NaNs of their sign.
 * Overflow and infinities follow docs/spec.md 3.4 and 3.9.
 *
 * destination may be the source's own memory (the same first byte) if its elements are not larger;
 * CF_OVERLAP: it overlaps the source in another way; nothing was written.  No pointer needs any
 * alignment.  flags may be NULL: nothing is counted. Up to `threads` threads share the work where
 * it is worth it; nothing in the result depends on it. */
int cf_convert(const cf_format *format, int bias, int source_type, const void *source, int rounding,
               uint64_t seed, uint64_t offset, int destination_type, void *destination,
               size_t count, int threads, cf_flags *flags);

/* The same to nearest, ties to even, and no flags are counted: fewer arguments, for calls of few
 * elements. */
int cf_convert_nearest(const cf_format *format, int bias, int source_type, const void *source,
                       int destination_type, void *destination, size_t count, int threads);

/* As cf_convert, over any layout and with a bias for every element, an int16_t.  source and
 * destination must not overlap, unless they are the same elements with the same strides.  Biases
 * are checked before anything is written; their memory and destination's are apart. */
int cf_convert_strided(const cf_format *format, const int16_t *biases, int source_type,
                       const void *source, int rounding, uint64_t seed, uint64_t offset,
                       int destination_type, void *destination, const cf_layout *layout,
                       int threads, cf_flags *flags);

/* results[i] = table[codes[i]], of a table of CF_CODES8 results of result_size 1, 2, 4 or 8 bytes
 * and codes of 1. asked, which may be NULL, has CF_CODES8 bytes of 0 or 1: those that are 1 at
 * first stay so where that code occurs, and become 0 where it does not.  Tables and results are
 * aligned to their elements, and nothing overlaps, but that results of 1 byte may be the codes. */
enum cf_map_limits { CF_CODES8 = 256 };
int cf_map_codes(const void *table, size_t result_size, const uint8_t *codes, size_t count,
                 void *results, uint8_t *asked, int threads);

/* Widen peaks, `slices` numbers that are finite and not below 0, to the largest finite magnitudes
 * of the slices along the middle axis of contiguous values of outer * slices * inner, of the first
 * four types; values need no alignment.  CF_BAD_TYPE, CF_BAD_LAYOUT: a length is negative; nothing
 * was widened then. */
int cf_add_to_peaks(int source_type, const void *values, int64_t outer, int64_t slices,
                    int64_t inner, double *peaks);

/* Count finite magnitudes, of CF_FLOAT32 or CF_FLOAT64, by binades that are cut at one value of
 * each: with m mantissa bits of the type, counts[(bits of |x| + added) >> m] gains 1, added being
 * below 2^m; counts has 2^e elements for e exponent bits.  *zeros gains how many are 0.  Values are
 * aligned to their type. CF_BAD_TYPE: another type. */
int cf_count_binades(int source_type, const void *values, size_t count, uint64_t added,
                     uint64_t *counts, uint64_t *zeros);

/* Add up count float32 by what is above their lower_bits bits: of those with the same, upper,
 * histogram[3 * upper] counts them, [+ 1] is the sum of their lower bits as integers and [+ 2] the
 * sum of the squares of those.  histogram has 3 * 2^(32 - lower_bits) elements.  They are integers,
 * so that no order and no number of threads matters; those of 2^32 float32 fit.  Infinities and
 * NaNs are added up likewise: their exponent tells them. */
enum cf_histogram_limits { CF_HISTOGRAM_LOWER_MIN = 8, CF_HISTOGRAM_LOWER_MAX = 16 };
int cf_add_to_histogram(const float *values, size_t count, int lower_bits, uint64_t *histogram,
                        int threads);

/* The sums of squared errors of rounding to nearest what a histogram has counted, at every bias of
 * a format: errors[bias - bias_min], bias_max - bias_min + 1 of them.
 *
 * Bin i has counts[i] values of one sign, that of edges[i], which all round as inside[i] does, or
 * lie half-way to another value that is as near. sums[i] is how much further from zero than
 * edges[i] they are in all. What no bias changes, the squares of those distances, is left out: an
 * error may be negative by that. It is infinite or NaN where a value becomes infinite or NaN.
 *
 * The term of bin i is added, in float64, to sum i % 8; those are added up one after the other. So
 * the bits are the same with any instructions and any number of threads. CF_BAD_FORMAT: nothing was
 * written. No bins have errors of 0. */
int cf_errors_of_bins(const cf_format *format, const float *inside, const double *edges,
                      const double *counts, const double *sums, size_t count, double *errors,
                      int threads);

/* Of a matrix of rows x length values, each row cut into groups of `block` values, the last of
 * which may have fewer: for each group the bias of the least sum of squared errors of rounding to
 * nearest, and that sum.  Of equally good biases it is the nearest to default_bias, and of two such
 * the smaller.  biases and errors have rows * ceil(length / block) elements in row-major order.
 *
 * source_type is CF_FLOAT32 or CF_FLOAT64; values of a row are contiguous and aligned, and
 * row_stride is in bytes.  Infinities and NaNs are left out; where a finite value becomes one at
 * every bias, the error is infinite.  Errors of float64 are in units of 4^scale, and each group is
 * scaled by a power of two on the way; scale is not used for float32.
 *
 * A sum is of float64, in this order: of each 4096 values, value i is added to sum i % 8; those are
 * added up as ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)); these one after the other, for 2^20 values
 * at a time; and those likewise.  So neither the instruction set nor the number of threads matters.
 * The least is that of the exact sums, which are compared where roundings could decide.
 *
 * CF_BAD_FORMAT; CF_BAD_TYPE; CF_BAD_BIAS: default_bias is none of the format's; CF_BAD_LAYOUT: a
 * length is negative, or block less than 1. Nothing was written then. */
int cf_least_errors(const cf_format *format, int default_bias, int source_type, const void *values,
                    int64_t rows, int64_t length, int64_t row_stride, int64_t block, int scale,
                    int16_t *biases, double *errors, int threads);

/* The least count, 1 at least, that is so many per cent of `count`, above 0 and at most 100;
 * of the decimal number of up to 15 digits that `percentile` was read from.  Of no elements, 0. */
int cf_count_of_percentile(double percentile, int64_t count, int64_t *needed);

/* A bias for each group of an array's elements, which are at values + i0*strides[0] + ..., strides
 * in bytes; any type but CF_CODES, of the other byte order if `swapped`, and of any alignment.
 * Along axis i each blocks[i] consecutive elements are of one group, the last of which may have
 * fewer: so 1 for each element by itself, and shape[i] for all.  biases has ceil(shape[i] /
 * blocks[i]) elements along axis i, in row-major order.
 *
 * CF_CHOOSE_MSE is the bias of the least error, as of cf_least_errors; of integers as float64. The
 * others go by finite magnitudes, exactly: CF_CHOOSE_MAX by the largest, which is not above the
 * format's largest value; CF_CHOOSE_MX too, but it is in the binade of that value;
 * CF_CHOOSE_PERCENTILE by that of the first, in order, of cf_count_of_percentile.  default_bias is
 * that of zeros, and of what is not finite; others are the nearest that the format allows.
 *
 * CF_BAD_FORMAT; CF_BAD_BIAS: as of cf_least_errors; CF_BAD_TYPE: of source_type or method;
 * CF_BAD_LAYOUT: ndim, a negative length, or a block less than 1.  Nothing was written then.
 * CF_NO_MEMORY: for copies of groups that are not contiguous. */
enum cf_choose { CF_CHOOSE_MSE, CF_CHOOSE_MAX, CF_CHOOSE_MX, CF_CHOOSE_PERCENTILE };
int cf_choose_biases(const cf_format *format, int default_bias, int method, double percentile,
                     int source_type, int swapped, const void *values, int ndim,
                     const int64_t *shape, const int64_t *strides, const int64_t *blocks,
                     int16_t *biases, int threads);

/* The same of one group of values of 16 bits, by how often each occurs: counts[bits] gains the
 * number of values of these bits, which need no alignment; and *bias is what cf_least_errors finds
 * for those of CF_FLOAT16 or CF_BFLOAT16 as float32, less than 2^53 in all.  CF_NO_MEMORY. */
enum cf_count_limits { CF_CODES16 = 65536 };
int cf_count_16_bits(const void *values, size_t count, uint64_t *counts);
int cf_least_error_of_counts(const cf_format *format, int default_bias, int source_type,
                             const uint64_t *counts, int16_t *bias);

/* The sums of squared errors of count values at each bias that a format allows, the smallest first:
 * the numbers that cf_least_errors compares, of one group, whose values are contiguous and aligned.
 * errors has bias_max - bias_min + 1 elements; one is infinite where a finite value becomes an
 * infinity or NaN. CF_BAD_FORMAT, CF_BAD_TYPE: nothing was written. */
int cf_errors_at_biases(const cf_format *format, int source_type, const void *values, size_t count,
                        int scale, double *errors, int threads);

/* What rounding float32 to nearest does to those that are finite.  Sums are of float64: those of
 * each 4096 values as in cf_least_errors, one after the other. */
typedef struct cf_rounding_stats {
  double signal;  /* of the squares of values */
  double noise;   /* of the squares of errors, where the result is finite; as the next two */
  double product; /* of values times what they are rounded to */
  double rounded; /* of the squares of that */
  double max_abs; /* the largest error; infinite if a result is not finite */
  double max_rel; /* the largest error over its value, of values other than zero */
  uint64_t finite;
  uint64_t overflowed;  /* became infinite or NaN */
  uint64_t saturated;   /* beyond the largest finite value */
  uint64_t underflowed; /* not zero, and became zero */
  uint64_t subnormal;   /* became subnormal numbers */
} cf_rounding_stats;

/* Add those of count values, which are aligned, at a bias to what is there; the maxima are the
 * larger ones. CF_BAD_FORMAT; CF_BAD_BIAS: the format has no such bias. Nothing was added then. */
int cf_rounding_errors(const cf_format *format, int bias, const float *values, size_t count,
                       cf_rounding_stats *found);

/* What a tensor became by rounding: elements that are finite before, x, after, q, and by how much
 * they are off. */
enum cf_error_sum { CF_SIGNAL, CF_NOISE, CF_PRODUCT, CF_ROUNDED, CF_ERROR_SUMS };
enum cf_exact_sum { CF_SUM_ORIGIN = 2300, CF_SUM_BYTES = 576 };
typedef struct cf_errors {
  double max_abs; /* the largest error */
  double max_rel; /* the largest error over its value, of values other than zero */
  uint64_t finite;
  uint64_t overflowed;  /* off by infinity */
  uint64_t saturated;   /* beyond `max` */
  uint64_t underflowed; /* not zero, and became zero */
  uint64_t subnormal;   /* became smaller than smallest_normal, and not zero */
  /* the sums of x * x, of off * off and of x * q and q * q, where off and q are finite: each
   * product is rounded to 53 bits, whatever its exponent, and nothing else, so that no order
   * matters.  They are integers in units of 2^-CF_SUM_ORIGIN, in two's complement, the lowest byte
   * first: bytes below `first` are 0, those from `end` on the sign's, and a 0 has neither. */
  int32_t first[CF_ERROR_SUMS], end[CF_ERROR_SUMS];
  uint8_t sums[CF_ERROR_SUMS][CF_SUM_BYTES];
} cf_errors;

/* Find those of count elements, less than 2^31; x_type and q_type are CF_FLOAT32 or CF_FLOAT64, and
 * elements are aligned.  off[i], whose sign does not matter, is q[i] - x[i] where float64 does not
 * have all of these; or off is NULL.  NaN is taken as infinity.  CF_BAD_TYPE; CF_BAD_LAYOUT: there
 * are more. */
int cf_exact_errors(int x_type, const void *x, int q_type, const void *q, const double *off,
                    size_t count, double max, double smallest_normal, cf_errors *found);

/* How others store a matrix: codes, and scales that elements share.  A value is its code's, of
 * `format` at `bias` (or an integer of integer_bits bits in two's complement, where that is not 0),
 * times a scale. All is float32, each operation rounded once, ties to even; and a value too large
 * saturates. With the peak, the largest magnitude of a group, and max, the largest value of
 * the format, the scale is
 *
 *   CF_SCALE_REAL      peak / max, for integers peak / ((2^integer_bits - 1) / 2), and 2^-23 where
 *                      that is 0; codes are of value / scale (compressed-tensors)
 *   CF_SCALE_POWER     1 / s, s the largest power of two not above max * (1 / peak), that being of
 *                      float64 and then rounded to float32, and the peak at least 1e-12; codes are
 *                      of value * s (torchao)
 *   CF_SCALE_E8M0      2^(floor(log2(peak)) - floor(log2(max))), or 2^-127 where that is less or
 *                      peak is subnormal (OCP MX 1.0)
 *   CF_SCALE_E4M3      E4M3(g * (peak / max)) / g, g = 448 * max * (1 / (the tensor's peak, or
 *                      2^-126 if that is more)), or 1 if that is infinite, and 0.125 where
 *                      E4M3(...), which saturates, is 0; codes are of value / scale
 *                      (compressed-tensors' NVFP4) */
enum cf_scale { CF_SCALE_REAL, CF_SCALE_POWER, CF_SCALE_E8M0, CF_SCALE_E4M3 };

/* Groups of elements that share a scale: all, a row, `block` along a row, or CF_TILE rows of
 * CF_TILE columns; what is left over at an end is a group as well.  block is a multiple of 16 that
 * divides CF_SCHEME_COLUMNS. */
enum cf_granularity { CF_EACH_TENSOR, CF_EACH_ROW, CF_EACH_BLOCK, CF_EACH_TILE };
enum cf_scheme_limits { CF_TILE = 128, CF_SCHEME_COLUMNS = 1024, CF_MAX_SCHEMES = 64 };

typedef struct cf_scheme {
  cf_format format;
  int32_t bias;
  int32_t integer_bits; /* 2 to 8; or 0, and the format counts */
  int32_t scale;        /* enum cf_scale */
  int32_t granularity;  /* enum cf_granularity */
  int32_t block;        /* not used but for CF_EACH_BLOCK */
} cf_scheme;

/* A matrix of float32; or some consecutive rows of one, of which the first's number is a multiple
 * of CF_TILE; or a part of a matrix of one row, from a multiple of CF_SCHEME_COLUMNS on. Infinities
 * and NaNs are taken as zeros. *peaks is the largest finite magnitude of the whole matrix,
 * row_peaks those of these rows (cf_row_peaks); neither is looked at where no scheme needs it. No
 * value needs alignment. */
typedef struct cf_rows {
  const void *values;
  int64_t rows, length, row_stride; /* row_stride in bytes */
  const float *peaks, *row_peaks;
} cf_rows;

/* The largest finite magnitude of each of the rows, 0 where there is none; of the matrix its values
 * and lengths are looked at alone. CF_BAD_LAYOUT: a length is negative. */
int cf_row_peaks(const cf_rows *matrix, float *peaks, int threads);

/* Add to each scheme's sum the squared differences of its values from the matrix's, and to *signals
 * the squares of these. Each is float64 and so is the sum, in an order that depends on the matrix's
 * shape alone: the sums have the same bits for any number of threads, with any instructions, and if
 * the rows come in several calls.
 *
 * Of a stack, `number` matrices of these rows each, one after the other, each has its own: of
 * peaks, of row_peaks, of the sums as many as there are schemes, and of signals.
 *
 * CF_BAD_TYPE: a scheme is none, or there are more than CF_MAX_SCHEMES; CF_BAD_FORMAT: its format
 * is none, or unsigned, or has no zero; CF_BAD_BIAS: the format has no such bias, or where scales
 * are powers of two its largest value is below 2^2 or not below 2^87; CF_BAD_LAYOUT: no such block,
 * or a length is negative. Nothing was added then. */
int cf_scheme_errors(const cf_scheme *schemes, int count, const cf_rows *matrix, int64_t number,
                     double *sums, double *signals, int threads);

/* Write a scheme's values, rows * length float32 in a row.  A zero's sign is the element's.  The
 * statuses are those of cf_scheme_errors. */
int cf_scheme_values(const cf_scheme *scheme, const cf_rows *matrix, float *results, int threads);

/* Operations that are computed exactly and then rounded once.  CF_POSITIVE gives the operand. */
enum cf_function {
  CF_ADD,
  CF_SUBTRACT,
  CF_MULTIPLY,
  CF_DIVIDE,
  CF_SQRT,
  CF_FMA, /* a * b + c */
  CF_POSITIVE
};

/* Elements of an operand, of native byte order: element i is at elements + i * stride.  type is a
 * cf_type other than CF_CODES, stride is bytes, of any sign or 0, and no alignment is needed. */
typedef struct cf_elements {
  const void *elements;
  int64_t stride;
  int32_t type;
} cf_elements;

/* What happened to any element, IEEE 754's two exceptions that have no flag of their own here:
 * there is no definable result, of operands that are no NaN; or a finite number other than 0 was
 * divided by 0. */
enum cf_signal { CF_SIGNAL_INVALID = 1, CF_SIGNAL_DIVIDE_BY_ZERO = 2 };

/* results[i] = function(operands[0][i], ...), contiguous, no memory of an operand.
 *
 *   CF_FLOAT64  rounded to odd in 53 bits, whatever the exponent: rounding it once more, by
 *               cf_convert to a format in any mode, is rounding the exact result. Results too large
 *               are +-the largest number, and those below the normal numbers are one near the
 *               smallest of them. No flags are counted.
 *   CF_FLOAT32  rounded once, as cf_convert does to a format; flags may be NULL.
 *
 * rounding, seed and offset are as in cf_convert, rounding being the mode of the one rounding; of
 * CF_FLOAT64 it says what an exact x - x is: +0, or toward negative -0.  Infinities, and signs of
 * other zeros, are IEEE 754's; every NaN is positive.  signals gains cf_signal bits.  The same bits
 * on every machine, in every floating-point mode of it and with any number of threads.
 *
 * CF_BAD_TYPE, CF_BAD_ROUNDING: nothing was written. */
int cf_arithmetic(int function, const cf_elements *operands, int result_type, int rounding,
                  uint64_t seed, uint64_t offset, void *results, size_t count, int threads,
                  cf_flags *flags, uint32_t *signals);

/* The same of codes and numbers: results[i] = function(a[i], b[i], c[i]), as many operands as the
 * function has, rounded once into codes of a format at a bias, or, without a format, to float32.
 *
 * An operand is codes of its format at its bias, `count` of them or a single one for all; or, where
 * its format is NULL, a number.  Codes are valid, contiguous and of native byte order, and so are
 * results, which may be the memory of an operand whose codes have their size.  function is CF_ADD
 * to CF_FMA; rounding, seed, offset, flags and signals are as above.
 *
 * Without a format it is IEEE 754's float32, to nearest, of operations with one rounding; and
 * CF_BAD_TYPE where flags are counted, or a result might be subnormal or too large, as far as
 * formats, biases and numbers tell.  Otherwise, too, CF_BAD_TYPE, CF_BAD_ROUNDING, CF_BAD_FORMAT,
 * CF_BAD_BIAS: nothing was written. */
int cf_arithmetic_codes(int function, const cf_format *a_format, int a_bias, const void *a,
                        size_t a_count, double a_number, const cf_format *b_format, int b_bias,
                        const void *b, size_t b_count, double b_number, const cf_format *c_format,
                        int c_bias, const void *c, size_t c_count, double c_number,
                        const cf_format *format, int bias, int rounding, uint64_t seed,
                        uint64_t offset, void *results, size_t count, int threads, cf_flags *flags,
                        uint32_t *signals);

/* For each i in turn, codes[places[i]] = function(codes[places[i]], operand[i]), rounded to
 * nearest: of CF_ADD to CF_DIVIDE, exact, one rounding for every i.  codes are contiguous and valid
 * ones of the format; bias[place * bias_step] is each one's, which the format allows, bias_step 0
 * or 1. flags, which may be NULL, and signals are as above.
 *
 * CF_BAD_TYPE, CF_BAD_FORMAT: nothing was written. */
int cf_arithmetic_at(int function, const cf_format *format, const int16_t *bias, size_t bias_step,
                     void *codes, const int64_t *places, const cf_elements *operand, size_t count,
                     cf_flags *flags, uint32_t *signals);

/* A step of AdamW (Loshchilov and Hutter) on contiguous float32, whose moments are codes.  Each
 * element is computed as
 *
 *   first     = first + first_weight * (gradient - first), the product added in one fused
 * operation; of a first_weight of 0.5 or more, gradient + (first_weight - 1) * (gradient - first)
 *   second    = (second_weight * gradient) * gradient + second * second_decay, the left product
 *               fused with the sum
 *   parameter = parameter * decay - rate * (first / (sqrt(second) * root_scale + eps)), the product
 *               by rate fused with the difference
 *
 * each operation in float32, to nearest, ties to even, and every NaN 0x7FC00000.  A moment's code
 * stands for its value at `bias`; of the second that is the moment times 2^scale. The new ones are
 * encoded at new_bias, of the second after multiplying by 2^new_scale, element i with random word
 * offset + i of its seed. */
enum cf_adamw_limits { CF_ADAMW_MAX_SCALE = 126 };

typedef struct cf_moment {
  const cf_format *format;
  void *codes; /* aligned; read unless has_moments is 0, and written */
  int32_t bias, new_bias;
  uint64_t seed;
} cf_moment;

typedef struct cf_adamw {
  int64_t count;
  const float *gradient;
  float *parameter;
  cf_moment moments[2]; /* first and second; no memory in common */
  uint64_t offset;
  int32_t has_moments; /* or else they are 0, and codes are not read */
  int32_t scale, new_scale;
  int32_t rounding; /* as in cf_convert */
  float first_weight, second_decay, second_weight, decay, rate, root_scale, eps;
} cf_adamw;

/* The largest finite magnitudes of the moments that the step would give, 0 where there is none:
 * peaks[0] of the first, peaks[1] of the second, not multiplied.  Nothing else is written, and
 * new_bias, new_scale, rounding, seed and offset are not looked at; nor is the parameter.
 * cf_adamw_update does the step.  Both give the same bits with any instructions and any number of
 * threads.
 *
 * CF_BAD_FORMAT; CF_BAD_BIAS: a bias that its format has not, or a scale beyond
 * +-CF_ADAMW_MAX_SCALE; CF_BAD_ROUNDING; CF_BAD_LAYOUT: count is negative. Nothing was written
 * then. */
int cf_adamw_peaks(const cf_adamw *step, float *peaks, int threads);
int cf_adamw_update(const cf_adamw *step, int threads);

/* Some columns of rows of weights, rounded to nearest, ties to even, from the last to the first,
 * where the errors of those that were rounded go into the others:
 *
 *   target[k] = weights[k] + (errors[k] + the sum of errors[j] * factor[j][k] for j > k)
 *   codes[k]  = the code of target[k]; of what is beyond the largest finite magnitude, that
 *   errors[k] = weights[k] - the code's value
 *
 * for each row, in float64, the largest j first; products and sums are rounded by themselves, so
 * that nothing depends on instructions or the number of threads.  What errors has at first is what
 * other columns' errors add.  A NaN gets what conversion gives it. Steps count elements, from one
 * row to the next; those of biases, of rows and of columns, may be 0.  All is aligned to its
 * elements, and what is written overlaps nothing. */
typedef struct cf_compensation {
  int64_t rows, columns;
  const double *weights;
  int64_t weights_step;
  const double *factor; /* below its diagonal, columns x columns; the rest is not read */
  int64_t factor_step;
  const int16_t *biases; /* each within the format's range */
  int64_t bias_steps[2];
  double *errors;
  int64_t errors_step;
  void *codes;
  int64_t codes_step;
} cf_compensation;

/* CF_BAD_FORMAT; CF_BAD_LAYOUT: a length is negative.  Nothing was written then. */
int cf_round_compensated(const cf_format *format, const cf_compensation *task, int threads);

/* A step of SGD with momentum on contiguous float32, whose momentum is codes.  Each element is
 * computed as
 *
 *   gradient  = gradient, or if the step maximizes, -gradient
 *   gradient  = gradient + decay * parameter, if decay is not 0
 *   momentum  = weight * gradient + momentum * kept; of none before, gradient
 *   change    = momentum; of Nesterov's, gradient + kept * momentum
 *   parameter = parameter - rate * change
 *
 * where the first product of each sum is fused with it, and the other is rounded; each operation in
 * float32, to nearest, ties to even, and every NaN 0x7FC00000.  Codes are as in cf_adamw. */
typedef struct cf_sgd {
  int64_t count;
  const float *gradient;
  float *parameter;
  cf_moment momentum;
  uint64_t offset;
  int32_t has_momentum; /* or else there is none before, and codes are not read */
  int32_t rounding;     /* as in cf_convert */
  int32_t maximizes, is_nesterov;
  float decay, kept, weight, rate;
} cf_sgd;

/* The largest finite magnitude of the momentum that the step would give, and the step; all that
 * is said of cf_adamw_peaks and cf_adamw_update holds here, but that the peak depends on parameters
 * where decay is not 0. */
int cf_sgd_peak(const cf_sgd *step, float *peak, int threads);
int cf_sgd_update(const cf_sgd *step, int threads);

/* sums[o * inner + i], of the values of codes[(o * length + k) * inner + i] for all k: of codes of
 * one format at one bias, contiguous, of outer * length * inner.  Divided by `divisor` they are
 * rounded to results, and *others becomes whether any is neither +0 nor a normal number below
 * 2^127.
 *
 * Of formats whose values are multiples of the smallest one of less than 2^42 times it, sums are
 * exact, and rounded to odd.  Of others additions are of float64, in this order.  Where inner
 * is not 1, one after the other.  Else, of each 4096 values, value k is added to sum k % 16; those
 * are added up as sums 0 to 7 + sums 8 to 15, and so on by halves; these one after the other, for
 * 2^20 values at a time; and those likewise.  All of them begin at -0.  So neither the instruction
 * set nor the number of threads matters.
 *
 * CF_BAD_FORMAT, CF_BAD_BIAS; CF_BAD_LAYOUT: a length is negative, or that of the axis 0.  Nothing
 * was written then. */
int cf_sum_codes(const cf_format *format, int bias, const void *codes, int64_t outer,
                 int64_t length, int64_t inner, double divisor, double *sums, float *results,
                 int *others, int threads);

/* results[o * inner + i], the code of the largest of those values, or of the smallest; of zeros -0
 * is the smaller.  16-bit codes are aligned.  *nans becomes whether there is any NaN: then results
 * are of no use.  As cf_sum_codes; CF_BAD_FORMAT also for formats without a -0 of their own. */
int cf_largest_codes(const cf_format *format, int smallest, const void *codes, int64_t outer,
                     int64_t length, int64_t inner, void *results, int *nans, int threads);

enum { CF_EQUAL, CF_NOT_EQUAL, CF_LESS, CF_LESS_EQUAL };

/* results[i] = whether the values of a[i] and b[i] compare so, of codes of one format at one bias,
 * 16-bit ones aligned: 0 or 1.  -0 is 0, and NaN is not equal to anything, nor less. CF_BAD_FORMAT;
 * CF_BAD_TYPE: no comparison.  Nothing was written then. */
int cf_compare_codes(int comparison, const cf_format *format, const void *a, const void *b,
                     uint8_t *results, size_t count, int threads);

/* A stack of matrices: the operands of matrix products.  The arrays of strides count the axes of
 * the stack first, then rows, then columns. */
typedef struct cf_matrix {
  /* CF_CODES, CF_FLOAT32 or CF_BFLOAT16; values are of native byte order */
  int32_t type;
  const cf_format *format;     /* of codes */
  const void *elements;        /* aligned to their size */
  const int64_t *strides;      /* bytes; they may be zero or negative */
  const int16_t *biases;       /* of codes, each within the format's range */
  const int64_t *bias_strides; /* bytes; from one block to the next along rows and columns */
  /* so many consecutive rows, and columns, share a bias: 1 or more */
  int64_t bias_block[2];
} cf_matrix;

/* results = a @ b for each pair of matrices of a stack: a of rows x inner, b of inner x columns. */
typedef struct cf_product {
  cf_matrix a, b;
  void *results;                 /* float32, if nothing else is said; no memory of an operand */
  const int64_t *result_strides; /* bytes, multiples of an element's */
  int32_t stack_ndim;            /* 0..CF_MAX_NDIM - 2 */
  const int64_t *stack_shape;
  int64_t rows, inner, columns;
} cf_product;

/* Products in float32 (docs/spec.md 5.4).  |result - exact| <= inner * 2^-23 * (|a| @ |b|), where
 * nothing leaves float32's range; infinities and NaNs as IEEE 754 says.  An inner of 0 gives zeros.
 * Nothing in the result depends on the number of threads.  CF_NO_MEMORY: nothing of use was
 * written. */
int cf_matmul(const cf_product *product, int threads);

/* The float32 next to the exact sum of the products, ties to even: one rounding.  The same bits on
 * every machine. Sums of zero are +0, whatever the signs of what was summed; what rounds to 2^128
 * or more is an infinity; and where there are infinities or NaNs among the operands, IEEE 754's sum
 * of products is it, with every NaN 0x7FC00000.  CF_BAD_BIAS or CF_NO_MEMORY: nothing of use was
 * written. */
int cf_matmul_exact(const cf_product *product, int threads);

/* The same with results of float64, each the exact sum rounded to odd: the neighbour toward zero,
 * with its last bit set where that is not the sum.  No sum is too large or too small for float64;
 * so what rounds a result to a format, in whatever mode, rounds the sum itself, and raises its
 * flags.  NaNs are 0x7FF8000000000000. */
int cf_matmul_exact_to_odd(const cf_product *product, int threads);

/* cf_matmul, or cf_matmul_exact, for one pair of matrices whose codes have one bias each, without
 * descriptions to fill in: results = a @ b, a of rows x inner, b of inner x columns.
 *
 * accumulate is a cf_accumulate.  a_type is CF_CODES, CF_FLOAT32 or CF_BFLOAT16.  a_format, which
 * may be NULL otherwise, and a_bias are those of codes.  a is the element in the first row and
 * column, aligned to its size; strides are bytes, of any sign or 0, from one row and from one
 * column to the next.  The same for b.  results are aligned to 4, no memory of an operand, and
 * their strides are multiples of 4.
 *
 * CF_BAD_TYPE: accumulate or an operand's type is none of these.  CF_BAD_BIAS: a bias of codes is
 * outside its format's range.  CF_BAD_FORMAT.  CF_BAD_LAYOUT: a length is negative.  Nothing was
 * written then.  CF_NO_MEMORY: nothing of use was written. */
enum cf_accumulate { CF_ACCUMULATE_FLOAT32, CF_ACCUMULATE_EXACT };
int cf_matmul_flat(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns, int32_t a_type,
                   const cf_format *a_format, int a_bias, const void *a, int64_t a_row_stride,
                   int64_t a_column_stride, int32_t b_type, const cf_format *b_format, int b_bias,
                   const void *b, int64_t b_row_stride, int64_t b_column_stride, void *results,
                   int64_t result_row_stride, int64_t result_column_stride, int threads);

/* The same of so many matrices, 0 or more, times as many: all are contiguous, row by row and matrix
 * by matrix. */
int cf_matmul_contiguous(int32_t accumulate, int64_t matrices, int64_t rows, int64_t inner,
                         int64_t columns, int32_t a_type, const cf_format *a_format, int a_bias,
                         const void *a, int32_t b_type, const cf_format *b_format, int b_bias,
                         const void *b, void *results, int threads);

/* The same as cf_matmul_flat of codes that may have several biases each: a_biases are NULL, and
 * a_bias is that of all, or as those of cf_matrix, with strides in bytes from one block of rows,
 * and of columns, to the next, and so many rows and columns in a block, 1 or more; they are within
 * the format's range.  CF_BAD_LAYOUT also where a block has none. */
int cf_matmul_biased(int32_t accumulate, int64_t rows, int64_t inner, int64_t columns,
                     int32_t a_type, const cf_format *a_format, int a_bias, const void *a,
                     int64_t a_row_stride, int64_t a_column_stride, const int16_t *a_biases,
                     int64_t a_bias_row_stride, int64_t a_bias_column_stride, int64_t a_block_rows,
                     int64_t a_block_columns, int32_t b_type, const cf_format *b_format, int b_bias,
                     const void *b, int64_t b_row_stride, int64_t b_column_stride,
                     const int16_t *b_biases, int64_t b_bias_row_stride,
                     int64_t b_bias_column_stride, int64_t b_block_rows, int64_t b_block_columns,
                     void *results, int64_t result_row_stride, int64_t result_column_stride,
                     int threads);

/* Products as hardware has them whose accumulator is of a format.  For each result a sum starts at
 * +0 and gains the products of k = 0, 1, ... in this order; after every `every` of them, which is 1
 * or more, and after the last, it is rounded to the format at `bias`, and the result is its value.
 * With `every` of 1 each rounding is that of the exact sum; with more, what is added in between is
 * rounded to odd in float64, of 53 bits.
 *
 * rounding and seed are as in cf_convert.  Results are numbered in row-major order of all the
 * stack's, and for the step-th rounding, counted from 0, result p takes random word offset + step *
 * words + p, `words` being the number of results, or, where these are some of more, of all.
 * Overflow is the format's, as is rounding an infinity or NaN; the NaN of a sum is a positive one,
 * and every NaN result is 0x7FC00000.  CF_BAD_LAYOUT also where `every` is less than 1;
 * CF_NO_MEMORY: nothing of use was written. */
int cf_matmul_rounded(const cf_product *product, const cf_format *accumulator, int bias,
                      int rounding, uint64_t seed, uint64_t offset, uint64_t words, int64_t every,
                      int threads);

/* Philox4x32-10 (Salmon et al., SC'11): the four output words of one counter under one key. */
int cf_philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);

/* count words of the stream of seed from position offset on: what CF_STOCHASTIC uses.  The caller
 * sees to it that offset + count does not exceed 2^64, here and in cf_convert. */
int cf_random_words(uint64_t seed, uint64_t offset, uint32_t *words, size_t count);

/* The instruction sets this build knows, worst first (index 0, 1, ...; CF_BAD_ISA past the last),
 * and whether this CPU and operating system run it; the active one, portable at first; and a change
 * of the active one, to the best available for NULL, which is meant for start-up and for tests: do
 * not call it while another thread converts. */
int cf_isa_list(int index, const char **name, int *available);
int cf_isa_name(const char **name);
int cf_isa_select(const char *name);

/* The floating-point modes of the calling thread.  Functions above compute under the default ones
 * (nothing traps, subnormals count, sums are rounded to nearest) whatever the caller has; these are
 * for a caller who computes as well.
 *
 * cf_float_modes_check: CF_OK where they are the default ones, and else CF_OTHER_MODES.
 * cf_float_modes_enter makes them those, and writes what cf_float_modes_leave takes to make them
 * what they were.  What operations have raised is no mode: neither looks at it, and leaving brings
 * back what it was.
 *
 * cf_float_modes_set is for tests: another direction of rounding, and whether subnormals are taken
 * for zero and written as zero; CF_OTHER_MODES where this processor has none of these.  On
 * processors other than x86-64 and arm64 none does anything. */
enum cf_float_mode { CF_MODE_NEAREST, CF_MODE_UPWARD, CF_MODE_DOWNWARD, CF_MODE_TOWARD_ZERO };
int cf_float_modes_check(void);
int cf_float_modes_enter(uint64_t *before);
int cf_float_modes_leave(uint64_t before);
int cf_float_modes_set(int direction, int flushing);
