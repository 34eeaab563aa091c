/* float32 to planes of bfloat16, in plain C that compilers turn into vectors: included by
 * avx512bf16.c, under its target. */
#ifndef CF_MATMUL_KERNELS_SPLIT_INL_H
#define CF_MATMUL_KERNELS_SPLIT_INL_H

/* The upper 8 bits of a significand; the rest remains.  What is beyond these limits may lose bits
 * or become a NaN. */
static inline uint32_t take_plane(float *rest) {
  uint32_t bits;
  float taken;
  memcpy(&bits, rest, sizeof bits);
  bits &= 0xFFFF0000u;
  memcpy(&taken, &bits, sizeof taken);
  *rest -= taken;
  return bits;
}

static inline uint32_t is_out_of(cf_plane_range range, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits &= 0x7FFFFFFFu;
  return (uint32_t)(bits != 0) & (uint32_t)(bits - range.low >= range.high - range.low);
}

#define DEFINE_SPLIT(count_of_planes)                                                              \
  static uint32_t split_##count_of_planes(const float *values, size_t count, cf_plane_range range, \
                                          uint16_t *const *to) {                                   \
    uint16_t *to0 = to[0], *to1 = to[(count_of_planes) > 1 ? 1 : 0],                               \
             *to2 = to[(count_of_planes) > 2 ? 2 : 0];                                             \
    uint32_t beyond_planes = 0;                                                                    \
    for (size_t i = 0; i < count; ++i) {                                                           \
      float rest = values[i];                                                                      \
      beyond_planes |= is_out_of(range, rest);                                                     \
      to0[i] = (uint16_t)(take_plane(&rest) >> 16);                                                \
      if ((count_of_planes) > 1) to1[i] = (uint16_t)(take_plane(&rest) >> 16);                     \
      if ((count_of_planes) > 2) to2[i] = (uint16_t)(take_plane(&rest) >> 16);                     \
    }                                                                                              \
    return beyond_planes;                                                                          \
  }                                                                                                \
  static uint32_t split_pairs_##count_of_planes(const float *even, const float *odd, size_t count, \
                                                cf_plane_range range, uint16_t *const *to) {       \
    uint16_t *planes[CF_PLANES_MAX] = {to[0], to[(count_of_planes) > 1 ? 1 : 0],                   \
                                       to[(count_of_planes) > 2 ? 2 : 0]};                         \
    uint32_t beyond_planes = 0;                                                                    \
    for (size_t i = 0; i < count; ++i) {                                                           \
      float rest0 = even[i], rest1 = odd[i];                                                       \
      beyond_planes |= is_out_of(range, rest0) | is_out_of(range, rest1);                          \
      for (int p = 0; p < (count_of_planes); ++p) {                                                \
        const uint32_t pair = take_plane(&rest0) >> 16 | take_plane(&rest1);                       \
        memcpy(planes[p] + 2 * i, &pair, sizeof pair);                                             \
      }                                                                                            \
    }                                                                                              \
    return beyond_planes;                                                                          \
  }
DEFINE_SPLIT(1)
DEFINE_SPLIT(2)
DEFINE_SPLIT(3)

int cf_split_avx512bf16(const float *values, size_t count, int planes, cf_plane_range range,
                        uint16_t *const *to) {
  if (planes == 1) return split_1(values, count, range, to) == 0;
  return (planes == 2 ? split_2(values, count, range, to) : split_3(values, count, range, to)) == 0;
}

int cf_split_pairs_avx512bf16(const float *even, const float *odd, size_t count, int planes,
                              cf_plane_range range, uint16_t *const *to) {
  if (planes == 1) return split_pairs_1(even, odd, count, range, to) == 0;
  return (planes == 2 ? split_pairs_2(even, odd, count, range, to)
                      : split_pairs_3(even, odd, count, range, to)) == 0;
}

#endif
