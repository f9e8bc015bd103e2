/* Parity: do two engines compute the same training?  Compares traces (protocol/trace.h).
 *
 * The error of a tensor is max |a - b| / max |b| over its elements; of a kind of tensors, the
 * largest of its members. */
#ifndef RUN_PARITY_H
#define RUN_PARITY_H

#include "protocol/trace.h"
#include "run/runner.h"

#define PARITY_LIMIT 1e-4

/* What is always compared, in this order, and what a trace must have of it: the batch, the weights,
 * the outputs that a workload names (a row for each), the loss, the gradients, the losses;
 * and the buffers, where a network has some.
 * its word, prefix (before a dot) or name of its tensors */
#define PARITY_KIND_LIST(X) \
    X("input", "input")     \
    X("target", "target")   \
    X("weights", "param")   \
    X(NULL, NULL)           \
    X("loss", "loss")       \
    X("buffers", "buffer")  \
    X("gradients", "grad")  \
    X("losses", "losses")

#define PARITY_ROWS 16

/* A gradient that rounding alone moves by half of itself may be 0 or twice as large and still pass:
 * it proves nothing.  Only what is wrong grossly is found in it. */
#define PARITY_ROUNDING_TIMES 2
#define PARITY_GROSS_TIMES 8

/* How far off a tensor may be.  Where products round, gradients are judged by their distance in the
 * Frobenius norm: ReLUs and pools of a few samples decide otherwise there, and move single elements
 * by much more than the rounding.  And what rounding alone does to a tensor passes
 * PARITY_ROUNDING_TIMES. */
typedef struct parity_limits {
    double error;          /* of each tensor */
    double gradients;      /* the distance of each gradient; 0: its error, as of the others */
    double losses;         /* the error of the losses; 0: as of the others */
    double widest;         /* that rounding makes of a limit; 0: whatever it does */
    const trace *rounding; /* of the right trace (run/rounding.h), or NULL */
} parity_limits;

/* A limit where rounding alone moves what it is for by this much; NAN: nothing rounds. */
double parity_widened(const parity_limits *limits, double limit, double rounding);

typedef struct parity_row {
    char kind[32]; /* "input"; of an output its name: "logits" */
    int tensors;   /* compared; 0: none of this kind, which breaks parity */
    bool good;     /* each is within its limit */
    /* The one that is nearest to its limit, or farthest beyond. */
    double
        error; /* NAN if a value is not finite; of a gradient its distance, where that is judged */
    double limit;    /* that it must keep */
    double rounding; /* what rounding alone does to it; NAN: nothing rounds */
    char where[96];  /* the tensor, and the element of the largest error */
    int unproven;    /* gradients that prove nothing, and the first of them */
    char unproven_where[96];
} parity_row;

typedef struct parity_result {
    parity_row rows[PARITY_ROWS];
    int count;
    bool good; /* all rows are */
} parity_result;

/* The row of that kind, or NULL. */
const parity_row *parity_find(const parity_result *result, const char *kind);

/* Compare `a` with `b`, which counts as right, under one limit for all errors.  BE_BAD_DATA if a
 * tensor of b is not in a, or has another size. */
BE_CHECKED be_status parity_compare(const trace *a, const trace *b, double limit,
                                    parity_result *out, be_error *err);

/* The same with limits for each tensor. */
BE_CHECKED be_status parity_compare_within(const trace *a, const trace *b,
                                           const parity_limits *limits, parity_result *out,
                                           be_error *err);

/* Have a started and prepared runner write its trace to `path`, and read it. */
BE_CHECKED be_status parity_ask(runner *r, int64_t steps, const char *path, double limit_s,
                                trace *out, be_error *err);

#endif
