/* The streamed mode of a program: the data set stays in the memory of the host, and the batches
 * that the next steps need are copied to the device while the steps before them run.
 *
 * The device has rings of two slots, each with the batches of some steps; `data_batch` reads them
 * as it would read a whole set in which the order is 0, 1, 2, …  A slot is filled anew when its
 * last step was handed over.  Owns rings, feed and copies of what is written; borrows what is
 * bound. */
#ifndef BACKEND_GPU_GPU_STREAM_H
#define BACKEND_GPU_GPU_STREAM_H

#include "backend/gpu/gpu.h"

typedef struct gpu_stream gpu_stream;

/* For the one data_batch of a graph; `steps` of a slot, 0: as many as fit.  BE_USAGE if there is
 * not exactly one, or if its inputs are used elsewhere too. */
be_status gpu_stream_new(const be_graph *g, int steps, gpu_stream **out, be_error *err);
void gpu_stream_free(gpu_stream *s); /* NULL is fine */

/* The node, and its shapes as they are on the device. */
bool gpu_stream_is_of(const gpu_stream *s, size_t node);
void gpu_stream_shapes(const gpu_stream *s, gpu_call *call);

/* Make rings and feed. */
be_status gpu_stream_open(gpu_stream *s, gpu_driver *driver, be_error *err);

/* Is it an input that stays on the host?  `s` may be NULL. */
bool gpu_stream_has(const gpu_stream *s, be_value value);
gpu_span gpu_stream_span(const gpu_stream *s, be_value value); /* the ring */

/* As those of device_vtable, for such an input.  BE_BAD_DATA for an order that names no sample. */
be_status gpu_stream_write(gpu_stream *s, be_value value, const void *data, size_t bytes,
                           be_error *err);
be_status gpu_stream_bind(gpu_stream *s, be_value value, const void *data, size_t bytes,
                          be_error *err);
void gpu_stream_read(const gpu_stream *s, be_value value, void *data, size_t bytes);

/* Before step t is handed over: its batch is on the device or under way, and so are those of the
 * steps behind it; *steps is how many steps from t on that makes. */
be_status gpu_stream_need(gpu_stream *s, int64_t t, int64_t *steps, be_error *err);

/* Bytes of the batches of that many steps.  Which of them are sent meanwhile is another matter:
 * they go ahead, many steps at once. */
int64_t gpu_stream_bytes(const gpu_stream *s, int64_t steps);

/* After the step before t was handed over: fill the slot that it was the last to need. */
be_status gpu_stream_pass(gpu_stream *s, int64_t t, be_error *err);

#endif
