/* Copies of evenly spaced elements of 1, 2, 4 or 8 bytes, strides in bytes. */
#ifndef CF_CONVERT_COPY_H
#define CF_CONVERT_COPY_H

#include <stddef.h>
#include <stdint.h>

void cf_copy_elements(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                      size_t size, int64_t count);
/* The same in the other byte order. */
void cf_copy_swapped(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                     size_t size, int64_t count);

#endif
