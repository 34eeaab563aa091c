/* The exported conversions: argument checks. */
#include "convert/biases.h"
#include "core/scalar.h"

/* Convert contiguous elements by an operation that was prepared from the other arguments. */
static int convert_contiguous(cf_operation *op, const cf_format *format, int bias, int source_type,
                              const void *source, int rounding, uint64_t seed, uint64_t offset,
                              int destination_type, void *destination, size_t count, int threads,
                              cf_flags *flags) {
  const int16_t one_bias = (int16_t)bias;
  const int64_t length = (int64_t)count, no_stride = 0;
  if (bias < op->bias_min || bias > op->bias_max) return CF_BAD_BIAS;
  cf_operation_set_size(op, count, 0, 0);
  if (count < 2 * CF_ELEMENTS_PER_THREAD || threads <= 1) {
    cf_operation_run(op, (cf_bias_view){&one_bias, 0, 0}, source, offset, destination, count,
                     flags);
    cf_operation_finish(op);
    return CF_OK;
  }
  const int64_t source_stride = (int64_t)op->source_size;
  const int64_t destination_stride = (int64_t)op->destination_size;
  const cf_layout layout = {1,   0, NULL, &length, &source_stride, &no_stride, &destination_stride,
                            NULL};
  return cf_convert_strided(format, &one_bias, source_type, source, rounding, seed, offset,
                            destination_type, destination, &layout, threads, flags);
}

/* Whether to write the destination from its first element on changes what is yet to be read. */
static int overlaps(const cf_operation *op, const void *source, const void *destination,
                    size_t count) {
  const uintptr_t from = (uintptr_t)source, to = (uintptr_t)destination;
  if (from == to && op->destination_size <= op->source_size) return 0;
  return from < to + count * op->destination_size && to < from + count * op->source_size;
}

int cf_convert(const cf_format *format, int bias, int source_type, const void *source, int rounding,
               uint64_t seed, uint64_t offset, int destination_type, void *destination,
               size_t count, int threads, cf_flags *flags) {
  cf_operation op;
  const int status =
      cf_operation_prepare(&op, format, source_type, rounding, seed, NULL, destination_type);
  if (status != CF_OK) return status;
  if (overlaps(&op, source, destination, count)) return CF_OVERLAP;
  return convert_contiguous(&op, format, bias, source_type, source, rounding, seed, offset,
                            destination_type, destination, count, threads, flags);
}

int cf_convert_nearest(const cf_format *format, int bias, int source_type, const void *source,
                       int destination_type, void *destination, size_t count, int threads) {
  cf_operation op;
  const int status =
      cf_operation_prepare(&op, format, source_type, CF_TIES_TO_EVEN, 0, NULL, destination_type);
  if (status != CF_OK) return status;
  if (overlaps(&op, source, destination, count)) return CF_OVERLAP;
  return convert_contiguous(&op, format, bias, source_type, source, CF_TIES_TO_EVEN, 0, 0,
                            destination_type, destination, count, threads, NULL);
}

int cf_convert_strided(const cf_format *format, const int16_t *biases, int source_type,
                       const void *source, int rounding, uint64_t seed, uint64_t offset,
                       int destination_type, void *destination, const cf_layout *layout,
                       int threads, cf_flags *flags) {
  cf_operation op;
  const int status = cf_operation_prepare(&op, format, source_type, rounding, seed, layout->words,
                                          destination_type);
  if (status != CF_OK) return status;
  if (layout->ndim < 0 || layout->ndim > CF_MAX_NDIM) return CF_BAD_LAYOUT;
  int empty = 0;
  for (int i = 0; i < layout->ndim; ++i) {
    if (layout->shape[i] < 0) return CF_BAD_LAYOUT;
    empty |= layout->shape[i] == 0;
  }
  if (empty) return CF_OK;
  cf_walk w;
  w.op = &op;
  w.source = source;
  w.bias = (const char *)biases;
  w.destination = destination;
  w.position = layout->words != NULL ? 0 : offset;
  w.swapped = layout->source_swapped != 0;
  cf_walk_set_axes(&w, layout, cf_rounding_mode(rounding) == CF_STOCHASTIC);
  if (!cf_walk_biases_allowed(&w)) return CF_BAD_BIAS;
  cf_operation_set_size(&op, (size_t)w.size, cf_walk_stages_source(&w),
                        cf_walk_stages_destination(&w));
  cf_walk_all(&w, threads, flags);
  return CF_OK;
}
