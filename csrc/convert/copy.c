/* Copies of evenly spaced elements. */
#include "convert/copy.h"

#include <string.h>

static uint8_t same8(uint8_t n) { return n; }
static uint16_t same16(uint16_t n) { return n; }
static uint32_t same32(uint32_t n) { return n; }
static uint64_t same64(uint64_t n) { return n; }
static uint16_t swap16(uint16_t n) { return (uint16_t)(n << 8 | n >> 8); }
static uint32_t swap32(uint32_t n) {
  return n << 24 | (n & 0xFF00) << 8 | (n >> 8 & 0xFF00) | n >> 24;
}
static uint64_t swap64(uint64_t n) {
  return (uint64_t)swap32((uint32_t)n) << 32 | swap32((uint32_t)(n >> 32));
}

#define COPY_ELEMENTS(type, changed, to_step, from_step)      \
  for (int64_t i = 0; i < count; ++i) {                       \
    type element;                                             \
    memcpy(&element, from + i * (from_step), sizeof element); \
    element = changed(element);                               \
    memcpy(to + i * (to_step), &element, sizeof element);     \
  }                                                           \
  break

void cf_copy_elements(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                      size_t size, int64_t count) {
  switch (size) {
    case 1: COPY_ELEMENTS(uint8_t, same8, to_stride, from_stride);
    case 2: COPY_ELEMENTS(uint16_t, same16, to_stride, from_stride);
    case 4: COPY_ELEMENTS(uint32_t, same32, to_stride, from_stride);
    default: COPY_ELEMENTS(uint64_t, same64, to_stride, from_stride);
  }
}

void cf_copy_swapped(char *to, int64_t to_stride, const char *from, int64_t from_stride,
                     size_t size, int64_t count) {
  const int64_t step = (int64_t)size;
  if (to_stride == step && from_stride == step) { /* loops that a compiler makes vectors of */
    switch (size) {
      case 1: COPY_ELEMENTS(uint8_t, same8, 1, 1);
      case 2: COPY_ELEMENTS(uint16_t, swap16, 2, 2);
      case 4: COPY_ELEMENTS(uint32_t, swap32, 4, 4);
      default: COPY_ELEMENTS(uint64_t, swap64, 8, 8);
    }
    return;
  }
  switch (size) {
    case 1: COPY_ELEMENTS(uint8_t, same8, to_stride, from_stride);
    case 2: COPY_ELEMENTS(uint16_t, swap16, to_stride, from_stride);
    case 4: COPY_ELEMENTS(uint32_t, swap32, to_stride, from_stride);
    default: COPY_ELEMENTS(uint64_t, swap64, to_stride, from_stride);
  }
}
