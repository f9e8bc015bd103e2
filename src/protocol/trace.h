/* A trace: everything of the first training step, and the losses of the first steps, by name; from
 * a plan, from the double reference, or from the file that a runner wrote.  Two of them show
 * whether two engines compute the same training.
 *
 * Tensors, in this order: input, target, the outputs of the workload (logits), loss, param.NAME…
 * (before the step), buffer.NAME… (behind it), grad.NAME…, losses.  Of several inputs each is
 * input.FIELD; targets likewise. Values are kept in double whatever they came from.  Owns them
 * until trace_free. */
#ifndef PROTOCOL_TRACE_H
#define PROTOCOL_TRACE_H

#include <signal.h>
#include <stdbool.h>

#include "core/memory.h"
#include "data/safetensors.h"
#include "workloads/workload.h"

typedef struct trace_tensor {
    const char *name;
    int rank;
    int64_t shape[BE_MAX_RANK];
    int64_t count;
    double *values;
    bool whole; /* whole numbers: targets, tokens */
} trace_tensor;

typedef struct trace {
    arena *memory;
    trace_tensor *tensors;
    int count;
} trace;

typedef struct trace_options {
    const workload_model *model;
    const data_table *data; /* which outlives the trace, as the order does */
    const int32_t *order;
    const char *weights;    /* a file; NULL: the model's own start */
    int64_t steps;          /* whose losses are kept, at most BE_LOSS_LOG */
    bool infer;             /* no gradients, no dropout */
    be_precision precision; /* of a plan's products, and of what the reference rounds */
    /* Of the reference's rounding: reference_set_grid, and reference_round_results; 0: 1, and what
     * products give stays f32. */
    double grid;
    /* Of the reference: so many workers, of each of which `model` has the batch, do one step
     * together; 0 and 1: one. */
    int parts;
    bool data_on_host; /* see be_plan_options */
    const volatile sig_atomic_t
        *interrupted; /* ends it between two steps when not 0; may be NULL */
} trace_options;

BE_CHECKED be_status trace_of_plan(trace *out, be_device *device, const trace_options *options,
                                   be_error *err);
/* Of several parts: the mean of their losses and gradients, their batches and outputs one after
 * another, and the buffers of the first. */
BE_CHECKED be_status trace_of_reference(trace *out, const trace_options *options, be_error *err);
BE_CHECKED be_status trace_of_file(trace *out, const char *path, be_error *err);
BE_CHECKED be_status trace_of_safetensors(trace *out, const safetensors *file, be_error *err);

/* Round every value to float, whole numbers apart, as a file would have it. */
void trace_round(trace *t);

/* float32, whole numbers int64, loss without a dimension; `losses` only if wanted. */
BE_CHECKED be_status trace_save(const trace *t, const char *path, bool losses, be_error *err);

/* The same with these strings beside the tensors. */
BE_CHECKED be_status trace_save_with(const trace *t, const char *path, bool losses,
                                     const safetensors_string *metadata, int metadata_count,
                                     be_error *err);

const trace_tensor *trace_find(const trace *t, const char *name); /* or NULL */
void trace_free(trace *t);                                        /* twice is fine */

/* max |a - b| / max |b| over a tensor; b all zero: max |a - b|.  NAN or infinite if a value is not
 * finite.  `where` (may be NULL) is the element of the largest difference. */
double trace_error(const trace_tensor *a, const trace_tensor *b, int64_t *where);

/* |a - b| / |b| in the Frobenius norm: what a few elements hardly move. */
double trace_distance(const trace_tensor *a, const trace_tensor *b);

/* max |t| over a tensor. */
double trace_largest(const trace_tensor *t);

#endif
