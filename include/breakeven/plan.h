/* Planning a graph for a device, and running it.
 *
 * A plan chooses the implementations, lays out all memory and prepares the device; every refusal
 * happens there, with its reason.  Running neither allocates nor chooses. */
#ifndef BREAKEVEN_PLAN_H
#define BREAKEVEN_PLAN_H

#include <stddef.h>
#include <stdio.h>

#include "breakeven/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct be_device be_device;
typedef struct be_plan be_plan;
typedef struct be_group be_group; /* processes that train one network together */

typedef struct be_device_options {
    int threads;     /* CPU: 0 means all physical cores, as far as quotas and OpenMP allow */
    const char *isa; /* CPU: "generic", "avx2", "avx512"; NULL: the best that the CPU has */
    /* "native" keeps to our own kernels.  CPU: "onednn" keeps to oneDNN's; NULL takes the better
     * one for each op.  CUDA: "cudnn" takes cuDNN's and cuBLASLt's where they can; NULL is
     * "native". */
    const char *library;
} be_device_options;

/* id: "cpu".  options may be NULL.  BE_UNAVAILABLE with the reason if it is not usable, as where
 * fewer threads can be had than were asked for; BE_NUMERIC if oneDNN computes wrongly here. */
BE_CHECKED be_status be_device_open(const char *id, const be_device_options *options,
                                    be_device **out, be_error *err);
void be_device_close(be_device *device);
const char *be_device_id(const be_device *device);
const char *be_device_name(const be_device *device); /* the hardware, for people */
int be_device_threads(const be_device *device);      /* 0 where the word has no meaning */

typedef enum be_mode { BE_INFER, BE_TRAIN } be_mode;

/* How products (layers with weights, matrix products, convolutions, attention) multiply.  FP32: as
 * they are.  TF32: their operands rounded to 11 bits, nothing else changes.  BF16: their operands
 * as bf16, PyTorch's autocast; parameters, optimizer, norms and losses stay f32, and so do the sums
 * that products add up and give. */
#define BE_PRECISION_LIST(X) \
    X(FP32, "fp32")          \
    X(TF32, "tf32")          \
    X(BF16, "bf16")

typedef enum be_precision {
#define X(name, text) BE_PRECISION_##name,
    BE_PRECISION_LIST(X)
#undef X
        BE_PRECISION_COUNT
} be_precision;

typedef struct be_plan_options {
    be_mode mode;
    be_precision precision; /* BE_UNAVAILABLE, with the reason, where the device lacks it */
    be_plan *share;         /* use the weights of this plan (same device, same network), or NULL:
                             * parameters and buffers */
    const be_value *keep;   /* intermediate values that shall stay readable after a step */
    int keep_count;
    int dry_run; /* plan everything, allocate nothing; such a plan can only be printed */
    int no_fusion;
    /* The fields and the order of be_gather stay in the memory of the host, and each batch is
     * copied to the device while the steps before it run; the results are the same bits.  A CPU
     * reads them there anyway.  BE_USAGE on another device if the graph gathers nothing, or by
     * several orders, or uses these inputs elsewhere too. */
    int data_on_host;
    /* BE_TRAIN: each rank of this group plans the same graph and computes its part of every batch:
     * the gradients become the mean over the ranks before they are clipped and applied, so that the
     * weights stay the same everywhere, and dropout draws as for the places that the part has in
     * the whole batch.  It must outlive the plan.  NULL: this plan computes whole batches. */
    be_group *group;
    /* BE_TRAIN: a step is so many turns, each of which computes the graph on the next of its
     * batches; the gradients become the mean over the turns before they are clipped and applied,
     * and so does the loss that is logged.  So N turns with a batch of B train as one with a batch
     * of N * B, up to the order of sums, in the memory of B; batch norm takes its means from a
     * turn. 0, 1: one turn. */
    int accumulate;
    /* With a group: batch norm takes its means and variances from the parts of all ranks together,
     * as from the whole batch.  BE_USAGE without a group, or where the graph has no batch norm.  0:
     * from this rank's part. */
    int sync_batch_norm;
    /* Parameters and buffers begin as zeros and not as their starts say: the caller writes all of
     * them before the first step.  Drawing those of a large network takes seconds. */
    int leave_weights;
} be_plan_options;

/* The graph is copied; the device must outlive the plan. */
BE_CHECKED be_status be_plan_new(const be_graph *g, be_device *device,
                                 const be_plan_options *options, be_plan **out, be_error *err);
void be_plan_free(be_plan *plan);

/* Copy a whole tensor to or from the device, in the plain layout and of exactly its size.  Values
 * that no longer exist after planning (fused away) or share their memory with later ones cannot be
 * read unless they were in `keep`; parameters, buffers, inputs and states always can. */
BE_CHECKED be_status be_plan_write(be_plan *plan, be_value value, const void *data, size_t bytes,
                                   be_error *err);
BE_CHECKED be_status be_plan_read(be_plan *plan, be_value value, void *data, size_t bytes,
                                  be_error *err);

/* Let an input be read from this memory, which must stay as it is until the plan is freed; a device
 * with memory of its own copies it. */
BE_CHECKED be_status be_plan_bind(be_plan *plan, be_value value, const void *data, size_t bytes,
                                  be_error *err);

/* Do `steps` steps and wait for the device.  On the CPU all threads of the device take part, and
 * compute by the usual rules whatever rounding the caller has chosen.  BE_UNAVAILABLE, before
 * anything is computed, where they cannot: inside of an OpenMP parallel region (a device of 1
 * thread runs there, too), beyond its thread limit, or after a fork. */
BE_CHECKED be_status be_plan_run(be_plan *plan, int64_t steps, be_error *err);

/* As be_plan_run, but looks at every result: BE_NUMERIC with step and op at the first one that is
 * not finite.  Slow. */
BE_CHECKED be_status be_plan_run_checked(be_plan *plan, int64_t steps, be_error *err);

/* Where the time of a step goes.  LOSS_READ: keeping the losses, and reading them once per block.
 * IDLE_HOST: the device waits for the host.  UPLOAD: copies to the device that nothing hides. */
#define BE_PHASE_LIST(X)      \
    X(DATA, "data")           \
    X(UPLOAD, "upload")       \
    X(FORWARD, "forward")     \
    X(BACKWARD, "backward")   \
    X(OPTIMIZER, "optimizer") \
    X(LOSS_READ, "loss_read") \
    X(IDLE_HOST, "idle_host") \
    X(IDLE_OTHER, "idle_other")

typedef enum be_phase {
#define X(name, text) BE_PHASE_##name,
    BE_PHASE_LIST(X)
#undef X
        BE_PHASE_COUNT
} be_phase;

/* One op of the step. */
typedef struct be_op_time {
    const char *op, *name; /* its kind; its layer, "" where it has none */
    const char *implementation;
    be_phase phase;
    int launches;        /* a step */
    int64_t ns;          /* in all steps */
    double flops, bytes; /* a step: arithmetic and least memory traffic of the model's op */
} be_op_time;

typedef struct be_plan_times {
    int64_t steps;
    int64_t wall_ns; /* as be_plan_run takes it, with one reading of the losses a block */
    int64_t phase_ns[BE_PHASE_COUNT]; /* -1: cannot be told apart; the others add up to wall_ns */
    int64_t launches, synchronisations, upload_bytes, download_bytes; /* in all steps */
    /* CUDA: how the launches of a step follow one another, as "2 lanes, programmatic edges"; until
     * be_plan_free.  NULL: that is found out in the first steps, or the device has one way. */
    const char *launch_order;
    int op_count;
    const be_op_time *ops; /* in the order of the step; until the next call, or be_plan_free */
} be_plan_times;

/* Measure where the time of `steps` steps goes.  Weights, states and the number of steps are the
 * same after as before.  On a GPU the step is timed as a whole and up to each of its ops, so this
 * takes longer than the steps. */
BE_CHECKED be_status be_plan_phases(be_plan *plan, int64_t steps, be_plan_times *out,
                                    be_error *err);

/* The losses and the numbers of right answers of the last `count` steps, oldest first; count at
 * most BE_LOSS_LOG.  Either array may be NULL. */
#define BE_LOSS_LOG 4096
BE_CHECKED be_status be_plan_losses(be_plan *plan, int64_t count, float *losses, int32_t *correct,
                                    be_error *err);

/* The lengths of all gradients together, before they were clipped, in the last `count` steps, as
 * be_plan_losses gives its.  BE_USAGE without be_optimizer.max_gradient_norm. */
BE_CHECKED be_status be_plan_gradient_norms(be_plan *plan, int64_t count, float *norms,
                                            be_error *err);

/* Another rate for be_optimizer.learning_rate; its schedule stays. */
BE_CHECKED be_status be_plan_set_learning_rate(be_plan *plan, double rate, be_error *err);

/* The rate of the last step, by the schedule. */
BE_CHECKED be_status be_plan_learning_rate(be_plan *plan, double *rate, be_error *err);

/* Steps done, and its change (a resumed training, or 0 before an evaluation). */
BE_CHECKED be_status be_plan_steps(be_plan *plan, int64_t *steps, be_error *err);
BE_CHECKED be_status be_plan_set_steps(be_plan *plan, int64_t steps, be_error *err);

/* Parameters in the order of the model, by index; name, shape and the two values.  The gradient is
 * that of the last step, BE_NONE when inferring. */
typedef struct be_parameter {
    const char *name;
    be_shape shape;
    be_value value, gradient;
} be_parameter;

int be_plan_parameter_count(const be_plan *plan);
be_parameter be_plan_parameter(const be_plan *plan, int index);

/* The model's buffers (be_buffer_add), in the order of the model, by index; they have no gradient.
 */
int be_plan_buffer_count(const be_plan *plan);
be_parameter be_plan_buffer(const be_plan *plan, int index);

/* The optimizer's state beside the parameters ("momentum", "adam.m", "adam.v"), by index. */
int be_plan_slot_count(const be_plan *plan);
be_parameter be_plan_slot(const be_plan *plan, int index);

/* The part of it that belongs to a parameter, by their indexes: "adam.m.conv1.weight". */
be_parameter be_plan_slot_part(const be_plan *plan, int slot, int parameter);

/* What was planned, in numbers. */
typedef struct be_plan_facts {
    int nodes, launches, reorders;
    int64_t parameters;
    double flops_per_step, bytes_per_step; /* arithmetic and least memory traffic of the model */
    size_t persistent_bytes, activation_bytes, scratch_bytes;
    size_t activation_sum_bytes; /* what the activations would take without reuse */
    const char *counted;         /* what be_plan_losses counts: "accuracy"; "" where nothing is */
    const char *implementation; /* the implementations in use, e.g. "onednn 2.6.3, native avx512" */
    /* GPUs: products whose tiles were tried out now, were known from before, or not all for want of
     * time; and how long that took. */
    int tuned, tuned_before, tuned_partly;
    double tune_seconds;
} be_plan_facts;

be_plan_facts be_plan_describe(const be_plan *plan);

/* The nodes and the memory map, for people. */
void be_plan_print(const be_plan *plan, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
