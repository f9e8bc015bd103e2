/* Parity: do two engines compute the same training?  Compares traces (protocol/trace.h).
 *
 * The error of a tensor is max |a - b| / max |b| over its elements; of a kind of tensors, the
 * largest of its members. */
#ifndef RUN_PARITY_H
#define RUN_PARITY_H

#include "protocol/trace.h"
#include "run/runner.h"

#define PARITY_LIMIT 1e-4

/* name of a kind, what it is, prefix or name of its tensors */
#define PARITY_KIND_LIST(X)       \
    X(INPUT, "input", "input")    \
    X(TARGET, "target", "target") \
    X(PARAM, "weights", "param.") \
    X(LOGITS, "logits", "logits") \
    X(LOSS, "loss", "loss")       \
    X(GRAD, "gradients", "grad.") \
    X(LOSSES, "losses", "losses")

typedef enum parity_kind {
#define X(name, text, prefix) PARITY_##name,
    PARITY_KIND_LIST(X)
#undef X
        PARITY_KINDS
} parity_kind;

const char *parity_kind_text(parity_kind kind);

typedef struct parity_row {
    int tensors;    /* compared; 0: none of this kind, which breaks parity */
    double error;   /* the largest; NAN if a value is not finite */
    char where[96]; /* tensor and element of the largest error */
    bool good;      /* error <= limit */
} parity_row;

typedef struct parity_result {
    parity_row rows[PARITY_KINDS];
    bool good; /* all rows are */
} parity_result;

/* Compare `a` with `b`, which counts as right.  BE_BAD_DATA if a tensor of b is not in a, or has
 * another size. */
BE_CHECKED be_status parity_compare(const trace *a, const trace *b, double limit,
                                    parity_result *out, be_error *err);

/* Have a started and prepared runner write its trace to `path`, and read it. */
BE_CHECKED be_status parity_ask(runner *r, int64_t steps, const char *path, double limit_s,
                                trace *out, be_error *err);

#endif
