/* What rounding cost, by sums of products of float64 that lose nothing but each product's own
 * rounding. */
#include <math.h>
#include <string.h>

#include "cfloat.h"
#include "cpu/compiler.h"
#include "cpu/float_modes.h"
#include "stats/error_kernels.h"

enum {
  MANTISSA_BITS = 52,
  EXPONENT_BIAS = 1075 /* of the mantissa as an integer */
};

static int exponent_field(uint64_t bits) { return (int)(bits >> MANTISSA_BITS & 0x7FF); }

/* A finite number other than zero as one of magnitude 1 to 2 times 2^*exponent. */
static double normalised(double x, int *exponent) {
  const double scale = 18446744073709551616.0; /* 2^64 */
  int scaled = 0;
  if (exponent_field(cf_double_to_bits(x)) == 0) {
    x *= scale;
    scaled = 64;
  }
  uint64_t bits = cf_double_to_bits(x);
  *exponent = exponent_field(bits) - 1023 - scaled;
  return cf_bits_to_double((bits & ~((uint64_t)0x7FF << MANTISSA_BITS)) | (uint64_t)1023
                                                                              << MANTISSA_BITS);
}

/* A product that was rounded to 53 bits, whatever its exponent: mantissa * 2^(bin - CF_SUM_ORIGIN),
 * the mantissa of 53 bits; or of 0. */
typedef struct product {
  int64_t mantissa;
  int64_t sign; /* -1 or 0 */
  int bin;
} product;

static product product_of_bits(uint64_t bits, int exponent) {
  const uint64_t one = 1;
  product result;
  result.mantissa = (int64_t)((bits & ((one << MANTISSA_BITS) - 1)) | one << MANTISSA_BITS);
  result.sign = -(int64_t)(bits >> 63);
  result.bin = exponent_field(bits) - EXPONENT_BIAS + exponent + CF_SUM_ORIGIN;
  return result;
}

static product product_of(double a, double b) {
  const uint64_t bits = cf_double_to_bits(a * b);
  const int field = exponent_field(bits);
  /* one in the first binade of normal numbers may have been rounded up to it from below */
  if (field > 1 && field != 0x7FF) return product_of_bits(bits, 0);
  if (a == 0 || b == 0) return (product){0, 0, CF_SUM_ORIGIN};
  int exponent_a, exponent_b; /* below or above the normal numbers */
  const double mantissas = normalised(a, &exponent_a) * normalised(b, &exponent_b);
  return product_of_bits(cf_double_to_bits(mantissas), exponent_a + exponent_b);
}

/* A sum by words of 64 bits, in two's complement, and what is yet to be added to it, on its way in
 * registers: recent products that lie within 64 bins, as an integer of 128 bits in units of
 * 2^(base - CF_SUM_ORIGIN). */
enum { WORD_BITS = 64, SUM_WORDS = CF_SUM_BYTES / 8, RECENT_BINS = 64, RECENT_PRODUCTS = 1024 };
typedef struct exact_sum {
  uint64_t lower, upper;
  int base, count;
  int first, last; /* of the words at which something was added */
  uint64_t words[SUM_WORDS];
} exact_sum;

/* Add an integer of 128 bits in two's complement, of magnitude below 2^126, times 2^bin. */
static void add_at(exact_sum *sum, uint64_t lower, uint64_t upper, int bin) {
  enum { PARTS = 3 };
  const int first = bin / WORD_BITS, shift = bin % WORD_BITS;
  const uint64_t sign = upper >> 63 ? ~(uint64_t)0 : 0;
  const uint64_t parts[PARTS] = {lower << shift, upper << shift | lower >> 1 >> (63 - shift),
                                 sign << shift | upper >> 1 >> (63 - shift)};
  uint64_t *word = sum->words + first, carried = 0;
  for (int i = 0; i < PARTS; ++i, ++word) {
    const uint64_t with_part = *word + parts[i];
    *word = with_part + carried;
    carried = (uint64_t)(with_part < parts[i]) | (uint64_t)(*word < carried);
  }
  /* all further parts are the sign: with a carry, nothing; else 1 is added or taken */
  for (; word < sum->words + SUM_WORDS && carried != (sign & 1); ++word) {
    const uint64_t before = *word;
    *word += sign + carried;
    carried = sign ? before != 0 : *word == 0;
  }
  if (first < sum->first) sum->first = first;
  if (first > sum->last) sum->last = first;
}

static CF_NOINLINE void add_recent(exact_sum *sum) {
  if ((sum->lower | sum->upper) != 0) add_at(sum, sum->lower, sum->upper, sum->base);
  sum->lower = sum->upper = 0;
  sum->count = 0;
}

static void add(product p, exact_sum *sum) {
  const uint64_t mantissa = (uint64_t)p.mantissa, flip = (uint64_t)p.sign, one = flip & 1;
  unsigned shift = (unsigned)(p.bin - sum->base);
  if (mantissa == 0) return;
  if (shift >= RECENT_BINS || sum->count == RECENT_PRODUCTS) {
    add_recent(sum);
    sum->base = p.bin < RECENT_BINS / 2 ? 0 : p.bin - RECENT_BINS / 2;
    shift = (unsigned)(p.bin - sum->base);
  }
  ++sum->count;
  const uint64_t lower = (mantissa << shift) ^ flip;
  const uint64_t upper = (mantissa >> 1 >> (RECENT_BINS - 1 - shift)) ^ flip;
  sum->lower += lower;
  sum->upper += upper + (sum->lower < lower);
  sum->lower += one;
  sum->upper += sum->lower < one;
}

/* Products of any numbers, one by one. */
static CF_NOINLINE void add_one_by_one(exact_sum *sum, const double *a, const double *b,
                                       size_t count) {
  for (size_t i = 0; i < count; ++i) add(product_of(a[i], b[i]), sum);
  add_recent(sum);
}

/* floor(log2(x)) of a number above 0, or the least there is of a subnormal one. */
static int least_exponent(double x) {
  return exponent_field(cf_double_to_bits(x)) == 0 ? -1074 : cf_exponent_of(x);
}

/* Products of two staged arrays, in vectors where their exponents are near enough. */
static void add_products(const cf_error_kernels *kernels, exact_sum *sum, const cf_staged *staged,
                         enum cf_staged_array a, enum cf_staged_array b) {
  enum { LEAST = -1022, MOST = 1023, PRODUCTS = 8 };
  static const int choices[] = {2, 3, 4, CF_EXACT_LEVELS};
  if (!(staged->peak[a] > 0) || !(staged->peak[b] > 0)) return; /* all are zero */
  const int least = least_exponent(staged->least[a]) + least_exponent(staged->least[b]);
  int exponent = cf_exponent_of(staged->peak[a]) + cf_exponent_of(staged->peak[b]) + PRODUCTS;
  /* products below 2^(LEAST + 1) may have lost bits, or were rounded up to it */
  if (least > LEAST && exponent < MOST) {
    for (size_t i = 0; i < sizeof choices / sizeof *choices; ++i) {
      const int levels = choices[i], below = (levels - 1) * CF_EXACT_STEP;
      if (exponent - below > least) continue;
      int64_t sums[CF_EXACT_LEVELS];
      if (exponent - below < LEAST) exponent = LEAST + below;
      kernels->add_products(staged->of[a], staged->of[b], staged->count, exponent, levels, sums);
      for (int k = 0; k < levels; ++k)
        if (sums[k] != 0)
          add_at(sum, (uint64_t)sums[k], sums[k] < 0 ? ~(uint64_t)0 : 0,
                 exponent - MANTISSA_BITS - k * CF_EXACT_STEP + CF_SUM_ORIGIN);
      return;
    }
  }
  add_one_by_one(sum, staged->of[a], staged->of[b], staged->count);
}

/* The bytes of a sum, and where those are that say all. */
static void write_bytes(const exact_sum *sum, uint8_t *bytes, int32_t *first, int32_t *end) {
  /* 2^31 integers of 191 bits, from the last word on, are fewer than so many */
  enum { BEYOND = 4 };
  if (sum->last < sum->first) return;
  const int last = sum->last + BEYOND < SUM_WORDS ? sum->last + BEYOND : SUM_WORDS;
  for (int i = sum->first; i < last; ++i)
    for (int j = 0; j < 8; ++j) bytes[8 * i + j] = (uint8_t)(sum->words[i] >> 8 * j & 0xFF);
  if (sum->words[SUM_WORDS - 1] >> 63)
    memset(bytes + 8 * last, 0xFF, (size_t)(8 * (SUM_WORDS - last)));
  *first = 8 * sum->first;
  *end = 8 * last;
}

int cf_exact_errors(int x_type, const void *x, int q_type, const void *q, const double *off,
                    size_t count, double max, double smallest_normal, cf_errors *found) {
  if (x_type != CF_FLOAT32 && x_type != CF_FLOAT64) return CF_BAD_TYPE;
  if (q_type != CF_FLOAT32 && q_type != CF_FLOAT64) return CF_BAD_TYPE;
  if (count >= (size_t)1 << 31) return CF_BAD_LAYOUT;
  const cf_error_kernels *kernels = cf_active_error_kernels();
  exact_sum sums[CF_ERROR_SUMS];
  cf_staged staged;
  memset(found, 0, sizeof *found);
  memset(sums, 0, sizeof sums);
  for (int i = 0; i < CF_ERROR_SUMS; ++i) {
    sums[i].first = SUM_WORDS;
    sums[i].last = -1;
  }
  cf_before_after piece = {x, q,   x_type == CF_FLOAT64, q_type == CF_FLOAT64, off,
                           0, max, smallest_normal};
  const size_t x_size = piece.x_is_float64 ? sizeof(double) : sizeof(float);
  const size_t q_size = piece.q_is_float64 ? sizeof(double) : sizeof(float);
  const uint64_t modes = cf_set_default_float_modes();
  for (size_t begin = 0; begin < count; begin += CF_EXACT_PIECE) {
    piece.x = (const char *)x + begin * x_size;
    piece.q = (const char *)q + begin * q_size;
    piece.off = off == NULL ? NULL : off + begin;
    piece.count = count - begin < CF_EXACT_PIECE ? count - begin : CF_EXACT_PIECE;
    kernels->stage(&piece, &staged, found);
    add_products(kernels, &sums[CF_SIGNAL], &staged, CF_STAGED_X, CF_STAGED_X);
    add_products(kernels, &sums[CF_NOISE], &staged, CF_STAGED_OFF, CF_STAGED_OFF);
    add_products(kernels, &sums[CF_PRODUCT], &staged, CF_STAGED_X, CF_STAGED_Q);
    add_products(kernels, &sums[CF_ROUNDED], &staged, CF_STAGED_Q, CF_STAGED_Q);
  }
  cf_restore_float_modes(modes);
  for (int i = 0; i < CF_ERROR_SUMS; ++i)
    write_bytes(&sums[i], found->sums[i], &found->first[i], &found->end[i]);
  return CF_OK;
}
