/* Rows of float32 or float64, of which biases are chosen, from elements of other types. */
#ifndef CF_STATS_WIDEN_ROWS_H
#define CF_STATS_WIDEN_ROWS_H

#include <stdint.h>

/* CF_FLOAT32, or CF_FLOAT64 where float32 lacks some of the type's values, and for the errors of
 * integers, for a method of cf_choose_biases. */
int cf_type_of_rows(int source_type, int method);

/* From elements of that type, of native byte order and aligned, to those of rows: exactly, but that
 * integers that float64 lacks are rounded to nearest; or to odd, for what goes by magnitudes. */
void cf_widen_rows(int source_type, int method, const char *from, char *to, int64_t count);

#endif
