/* The table of elementwise kernels that an instruction set provides.
 *
 * Every slot computes exactly what core/scalar.h defines, on contiguous elements, and adds to
 * *flags what was raised (flags may be NULL).  Pointers need no alignment, but for bias.  An
 * element is written only after it, and everything before it, has been read. */
#ifndef CF_CONVERT_KERNELS_H
#define CF_CONVERT_KERNELS_H

#include "core/format.h"

enum { CF_TYPE_COUNT = CF_UINT8 + 1, CF_VALUE_TYPE_COUNT = CF_BFLOAT16 + 1 };

enum { CF_BLOCK_MIN = 32, CF_BLOCK_MAX = 1024 };

/* What is the same for all elements of a call. */
typedef struct cf_rule {
  cf_params params;
  size_t code_size; /* bytes of a code: 1 or 2 */
  int rounding;     /* as in cf_convert */
  /* 0; or so many consecutive elements share a bias, for kernels that take that */
  size_t block;
  int reads_subnormals;  /* float32's own subnormals matter */
  int by_addition;       /* cf_lanes_add */
  int upper_half;        /* codes are the upper halves of float32 */
  int plain;             /* there are zeros of each sign that there is: what vectors do fastest */
  int special_overflows; /* infinities and NaN of float32 are beyond all codes, at every bias */
  int large;             /* elements come from memory: they are fetched ahead of time */
  int streaming;         /* results bypass the caches */
  int fetching;          /* or, decoded to 4 bytes or 8, are fetched ahead of time instead */
  uint64_t seed;
  const uint32_t *words; /* random words by position, in place of the stream's; or NULL */
} cf_rule;

/* bias[i * bias_step] is element i's bias; bias_step is 0 or 1.  Where rule->block is not 0, it is
 * bias[i / rule->block] instead; that is a power of two from CF_BLOCK_MIN to CF_BLOCK_MAX, count a
 * multiple of it, and the kernel one of an instruction set, from float32 or, by addition
 * (cf_adds_16_bits), from a type of 16 bits.  position is the random word of element 0. */
typedef void cf_encode_kernel(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                              const void *source, uint64_t position, void *codes, size_t count,
                              cf_flags *flags);
typedef void cf_decode_kernel(const cf_rule *rule, const int16_t *bias, size_t bias_step,
                              const void *codes, void *values, size_t count, cf_flags *flags);

/* results[i] = table[codes[i]], of a table of 256 results; results are aligned to their elements
 * and, where streaming, to CF_STREAM_ALIGNMENT, and then bypass the caches.  results of 1 byte may
 * be the codes. */
typedef void cf_map_kernel(const void *table, const uint8_t *codes, void *results, size_t count,
                           int streaming);
/* Whether one of the codes is in a set: code c is in it if bit c / 16 % 8 of rows[c / 128 * 16 + c
 * % 16] is set. */
typedef int cf_any_of_kernel(const uint8_t *rows, const uint8_t *codes, size_t count);
enum { CF_STREAM_ALIGNMENT = 64 };

/* Sizes of what is looked up: 1, 2, 4 and 8 bytes, by the logarithm. */
enum { CF_MAP_SIZES = 4 };

/* Results of so many bytes would not stay in the caches, and a line that is written whole and past
 * them need not be read first. */
enum { CF_STREAMED_BYTES = 1 << 23 };

/* A slot that is NULL is the portable one, which has every slot but round_float32: there, rounding
 * to the grid is encoding and decoding piece by piece. */
typedef struct cf_kernels {
  cf_encode_kernel *encode[CF_TYPE_COUNT];
  cf_decode_kernel *decode[CF_VALUE_TYPE_COUNT];
  cf_encode_kernel *round_float32; /* encode from, and decode to, float32 in one pass */
  cf_map_kernel *map_codes[CF_MAP_SIZES];
  cf_any_of_kernel *any_of; /* NULL: there is no faster way than to look up */
  void (*stream_end)(void); /* call after the last element where results bypass the caches */
} cf_kernels;

/* Without a single slot where the target architecture is another. */
extern const cf_kernels cf_kernels_portable, cf_kernels_neon, cf_kernels_avx2, cf_kernels_avx512;

/* The table in use. */
const cf_kernels *cf_active_kernels(void);

/* Whether one of the codes is asked about: asked has CF_CODES8 bytes of 0 or 1. */
int cf_any_code(const uint8_t *asked, const uint8_t *codes, size_t count);

/* Kernels other than the portable ones work in float32's exponent range.  They take a format whose
 * smallest normal number is a normal float32 for encoding, and one whose subnormals are too for
 * decoding; or, of those without zeros, one whose values are 2^-127 and more.  That leaves out only
 * formats of the user's own with a bias near 127 and beyond, and bfloat16's decoding. */
static inline int cf_lanes_encode(const cf_format *format) {
  return format->bias_max <= (format->subnormals == CF_SUBNORMALS_WHITEPAPER ? 126 : 127);
}
static inline int cf_lanes_decode(const cf_format *format) {
  /* where there is no zero, halving a normal number is all that it takes */
  if (format->subnormals == CF_SUBNORMALS_NORMAL) return format->bias_max <= 127;
  return cf_format_quantum(format) - format->bias_max >= -126;
}
/* Whether anything below 2^-126 can round to other than zero and its neighbour, or be told from it
 * by 32 random bits: 2^-126 is 2^-32 quanta or more. */
static inline int cf_reads_subnormals(const cf_format *format) {
  return format->bias_max + format->mantissa_bits > 93;
}
/* Whether ties to even can be had by adding floats: a code's parity is its
 * significand's, and exponents stay in float32's range with a bias added to them. */
static inline int cf_lanes_add(const cf_format *format) {
  return format->mantissa_bits > 0 && format->exponent_bits <= 6 && format->bias_min >= 0 &&
         format->subnormals != CF_SUBNORMALS_NORMAL && !cf_reads_subnormals(format);
}
/* Whether a rule is for those kernels that do so. */
static inline int cf_goes_by_addition(const cf_rule *rule) {
  return rule->by_addition && rule->rounding == CF_TIES_TO_EVEN;
}
/* Whether a rule is for those of them that read types of 16 bits; else these become float32 first.
 */
static inline int cf_adds_16_bits(const cf_rule *rule) {
  return cf_goes_by_addition(rule) && rule->plain;
}
/* Whether codes are the upper halves of float32, as bfloat16's are, subnormals included. */
static inline int cf_is_upper_half(const cf_format *format) {
  return format->exponent_bits == 8 && format->mantissa_bits == 7 && format->is_signed &&
         format->nonfinite == CF_NONFINITE_IEEE && format->subnormals == CF_SUBNORMALS_IEEE &&
         format->bias_min == CF_BFLOAT16_BIAS && format->bias_max == CF_BFLOAT16_BIAS;
}

#endif
