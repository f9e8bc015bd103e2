/* The gate: no speed without parity.  Before a contender is timed, its runner computes a few steps
 * of a small batch (and of a smaller variant where the workload is large), and they are compared
 * with the reference in double: the first step's logits, loss and gradients, and the losses, once
 * as `parity` writes them and once as `run` tells them.
 *
 * The reference is computed once, whoever takes part, and kept on disk for the next measurement
 * (run/gate_store.h), in floats: that rounding is a thousandth of the narrowest band.  Owns it
 * until gate_free; the folder for the runners' traces is the caller's.  Knows no clock and no
 * verdict. */
#ifndef RUN_GATE_H
#define RUN_GATE_H

#include "run/material.h"
#include "run/parity.h"

#define GATE_LOSSES_MAX 4 /* at least the steps of every workload's gate */

/* precision; largest error that passes (max |a - b| / max |b| over a tensor); largest distance of a
 * gradient in the Frobenius norm (0: as the others); least error of a contender in that precision.
 * fp32: PARITY_LIMIT; sound engines stay below 1e-5, but where a sum over a small batch cancels:
 * there rounding counts as below, up to GATE_FP32_WIDEST.  The others round every operand of a
 * product to 11 bits (tf32, u = 2^-11) or 8 (bf16, u = 2^-8); two operands a product, and ten
 * products one after the other, there and back through five layers, all rounded to the same side:
 * 20 u. Gradients: what a rounding makes ReLUs and pools decide otherwise counts more than itself.
 * Of the five networks in bf16, batch 8, none is further off than 0.16, PyTorch's autocast
 * included; twice that passes.
 * These are floors: a tensor that the rounding alone moves further (run/rounding.h) may be
 * PARITY_ROUNDING_TIMES as far off.  The model is that error of PyTorch's autocast; a reference
 * that rounds the operands and the results that autocast rounds needs no PyTorch, and gives the
 * same bits on every machine.  The least: even one product of operands so rounded is about u / 10
 * off; what is nearer than u / 32 multiplied in a wider precision, whatever it says. */
#define GATE_BAND_LIST(X)                  \
    X("fp32", PARITY_LIMIT, 0, 0)          \
    X("tf32", 1e-2, 0.32, 1.0 / (1 << 16)) \
    X("bf16", 8e-2, 0.32, 1.0 / (1 << 13))

/* Products in tf32 are further off in nearly all tensors, whatever cancels. */
#define GATE_FP32_WIDEST (10 * PARITY_LIMIT)

/* Judge a comparison of traces by the bands of the precision; `rounding` (run/rounding.h) is of
 * `right`; in fp32 it may be NULL. */
BE_CHECKED be_status gate_judge(const char *precision, const trace *found, const trace *right,
                                const trace *rounding, parity_result *out, be_error *err);

/* What is computed in double, and from what. */
typedef struct gate_source {
    const struct workload *workload; /* at the size that was asked for */
    data_table samples;
    int32_t *order;
    const char *weights;          /* a file; NULL: they are drawn */
    uint64_t build, weights_hash; /* build 0: nothing can be kept */
    const volatile sig_atomic_t *interrupted;
} gate_source;

typedef struct gate {
    trace reference;
    /* What each does to every tensor; of what no job has, and of a user's own model empty; of fp32
     * until gate_find_rounding. */
    trace rounding[BE_PRECISION_COUNT];
    gate_source source; /* of a user's own model empty */
    const char *workload;
    uint64_t seed;
    int64_t batch, steps;
    int parts;                            /* see gate_options.workers; 0: all see one batch */
    bool own;                             /* a user's own model: see run/gate_own.h */
    double moved_gradients, moved_losses; /* of it: what rounding does to them, relative */
    bool infer;                           /* no gradients, no losses of `run` */
    bool reduced;                         /* the workload at a smaller size than asked for */
    workload_variant variant;             /* what is computed */
    struct workload varied;               /* … if it is reduced, */
    material material;                    /* and then what runners get for it */
    material sample;                      /* pictures at full size, to infer from */
    bool was_kept;                        /* all that is computed in double comes from the disk */
    char path[FILE_PATH_BYTES];           /* where runners write */
} gate;

typedef struct gate_options {
    const material_options *material; /* workload, set, seed; the workload outlives the gate */
    const char *folder;               /* for the runners' traces */
    /* The weights that all begin with, as material_new wrote them from a file, which outlives the
     * gate; NULL: drawn by the seed, as they are for a reduced workload in any case. */
    const char *weights;
    bool infer;
    /* Of the jobs, which cut each batch; 0 and 1: one.  Those of a network with batch norms take
     * its means from their own parts: there one step is compared, with the mean of the parts'. */
    int workers;
    unsigned precisions;                      /* bit p: there are jobs of be_precision p */
    const volatile sig_atomic_t *interrupted; /* may be NULL */
} gate_options;

typedef struct gate_result {
    double error; /* the nearest to its band, gradients in tf32 and bf16 apart; NAN: none */
    double band;  /* that it must keep */
    char where[96];
    int unproven; /* gradients that rounding moves too far to prove anything, and the first */
    char unproven_where[96];
    int64_t batch, steps;
    /* Of the job at full size, where the gate's is smaller: to be held against others'. */
    int loss_count;
    double losses[GATE_LOSSES_MAX];
} gate_result;

BE_CHECKED be_status gate_new(gate *out, const gate_options *options, be_error *err);
void gate_free(gate *g); /* twice is fine */

/* Have g->rounding[precision], if it is not there.  gate_new did that for the jobs' precisions but
 * fp32, whose rounding hardly ever counts: gate_check asks for it before it refuses a runner. */
BE_CHECKED be_status gate_find_rounding(gate *g, be_precision precision, be_error *err);

/* Have a started runner prepare `job` with the gate's batch and compute.  BE_NUMERIC with tensor,
 * element, error and band if it leaves the band; *out is filled then too.  The runner must prepare
 * again for whatever comes next. */
BE_CHECKED be_status gate_check(gate *g, runner *r, const protocol_job *job, double limit_s,
                                gate_result *out, be_error *err);

/* How far the first loss of a measured job may be from another's, relative to it.  That of a
 * network is a mean of many numbers, in fp32 whatever the precision.  What stands for the loss of
 * an operation is one number of its result, which bf16 rounds as well: where it is small beside the
 * others the relative error is many times that of the whole result, which the gate has judged. */
double gate_first_loss_band(bool operates, const char *precision);

/* BE_NUMERIC if the losses that `name` had at full size are not those of `other`. */
BE_CHECKED be_status gate_compare(const char *name, const gate_result *found, const char *other,
                                  const gate_result *right, be_error *err);

#endif
