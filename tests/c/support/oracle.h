/* What results must be: the formats' definition as formulas over doubles, and rounding as a search
 * in the sorted list of everything a format can represent.  Nothing here shifts or masks a
 * significand, and every sum and product of doubles is exact. */
#ifndef SUPPORT_ORACLE_H
#define SUPPORT_ORACLE_H

#include "cfloat.h"

enum { ROUNDING_COUNT = CF_STOCHASTIC + 1, TYPE_COUNT = CF_CODES + 1 };

typedef struct format_case {
  const char *name;
  cf_format format;
  int bias; /* the usual one */
} format_case;

/* The four formats of the whitepaper, each under the three readings of its subnormals. */
enum { TESLA_COUNT = 12 };
extern const format_case TESLA[TESLA_COUNT];

/* Formats that other rules hold for: infinities and NaNs, no sign, no mantissa, an extreme
 * width, a hole among the largest integers. */
enum { OTHERS_COUNT = 21 };
extern const format_case OTHERS[OTHERS_COUNT];

const char *rounding_name(int rounding);
const char *type_name(int type);

/* Bytes of an element of a type; only of a code does it depend on the format. */
size_t type_size(const cf_format *format, int type);

/* An element's bits as a number, from memory of any alignment in this machine's byte order;
 * back. */
uint64_t load_bits(const void *memory, size_t size);
void store_bits(void *memory, size_t size, uint64_t bits);

/* The first of count elements that differs between two arrays; count if none does. */
size_t first_difference(const void *a, const void *b, size_t size, size_t count);

/* The bits of element i of an array, for printf. */
unsigned long long bits_at(const void *array, size_t size, size_t i);

/* One operand or result. */
typedef enum kind { FINITE, INFINITE, NOT_A_NUMBER } kind;
typedef struct number {
  kind kind;
  int sign;
  int subnormal; /* was stored as a subnormal of its own format */
  double magnitude;
} number;

int code_bits(const cf_format *format);
unsigned sign_code(const cf_format *format);
unsigned max_code(const cf_format *format);

/* Value of a code without sign as if every code were a number: docs/spec.md 1.3 to 1.5.  Rounding
 * takes place among these; subnormals that are flushed only afterwards have their IEEE values here.
 */
double grid_value(const cf_format *format, int bias, unsigned code);

/* What a code, and an element of a source type other than CF_CODES, stands for. */
number number_of_code(const cf_format *format, int bias, unsigned code);
number number_of_bits(int type, uint64_t bits);

/* The values of a format's codes 0..max_code + 1 at a bias: the last is what an unbounded exponent
 * range would have next. */
typedef struct grid {
  cf_format format;
  int bias;
  unsigned max_code;
  double *values;
} grid;
grid grid_new(const cf_format *format, int bias);
void grid_free(grid *grid);

/* The code of a number, and its exceptions added to *flags: docs/spec.md 3 and 4. */
unsigned encode_number(const grid *grid, number x, int rounding, uint32_t word, cf_flags *flags);

/* The bits of a number in a value type (exact, or to nearest even), and the exceptions. */
uint64_t bits_of_number(int type, number x, cf_flags *flags);

int same_flags(const cf_flags *a, const cf_flags *b);

/* Flags for printf. */
typedef struct flags_string {
  char text[120];
} flags_string;
flags_string flags_text(const cf_flags *flags);

#endif
