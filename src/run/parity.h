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

typedef struct parity_row {
    char kind[32];   /* "input"; of an output its name: "logits" */
    int tensors;     /* compared; 0: none of this kind, which breaks parity */
    double error;    /* the largest; NAN if a value is not finite */
    char where[96];  /* tensor and element of the largest error */
    bool good;       /* error <= limit */
    double distance; /* the largest in the Frobenius norm, and its tensor */
    char distant[96];
} parity_row;

typedef struct parity_result {
    parity_row rows[PARITY_ROWS];
    int count;
    bool good; /* all rows are */
} parity_result;

/* The row of that kind, or NULL. */
const parity_row *parity_find(const parity_result *result, const char *kind);

/* Compare `a` with `b`, which counts as right.  BE_BAD_DATA if a tensor of b is not in a, or has
 * another size. */
BE_CHECKED be_status parity_compare(const trace *a, const trace *b, double limit,
                                    parity_result *out, be_error *err);

/* Judge the gradients by their distance in the Frobenius norm, which then is their error: where
 * products round, ReLUs and pools of a few samples decide otherwise, and move single elements by
 * much more than the rounding. */
void parity_judge_distance(parity_result *result, double limit);

/* Have a started and prepared runner write its trace to `path`, and read it. */
BE_CHECKED be_status parity_ask(runner *r, int64_t steps, const char *path, double limit_s,
                                trace *out, be_error *err);

#endif
