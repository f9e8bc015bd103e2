/* The runner protocol (docs/runner-protocol.md) as structs: requests to lines, lines to answers.
 *
 * Owns the JSON object behind an answer until protocol_answer_clear.  Every answer is checked
 * member by member before anything of it is used.  May not read, write, wait or start anything. */
#ifndef PROTOCOL_PROTOCOL_H
#define PROTOCOL_PROTOCOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "workloads/workload.h"

#define PROTOCOL_SCHEMA 2
/* Where a runner's answers go: the descriptor, and the variable that tells a runner so. */
#define PROTOCOL_ANSWERS_FD 3
#define PROTOCOL_ANSWERS_VARIABLE "BREAKEVEN_ANSWERS_FD"
#define PROTOCOL_LINE_MAX ((size_t)16 << 20) /* bytes; a million losses fit */
#define PROTOCOL_CHANNELS_MAX 4

#define PROTOCOL_REQUEST_LIST(X) \
    X(HELLO, "hello")            \
    X(PREPARE, "prepare")        \
    X(RUN, "run")                \
    X(SYNC, "sync")              \
    X(PARITY, "parity")          \
    X(EVALUATE, "evaluate")      \
    X(EXPORT, "export")          \
    X(PHASES, "phases")          \
    X(REFERENCE, "reference")    \
    X(MEASURE, "measure")        \
    X(CALIBRATE, "calibrate")    \
    X(QUIT, "quit")

typedef enum protocol_request {
#define X(name, text) PROTOCOL_##name,
    PROTOCOL_REQUEST_LIST(X)
#undef X
} protocol_request;

const char *protocol_request_name(protocol_request request);

/* The request of that name, or -1. */
int protocol_request_find(const char *name);

typedef struct protocol_optimizer {
    const char *name; /* sgd, adam, adamw */
    double lr, momentum, weight_decay, beta1, beta2, epsilon;
    double max_gradient_norm; /* 0: gradients are not clipped */
    bool matrices_decay;      /* weight decay leaves out what has fewer than two dimensions */
    be_schedule schedule;     /* of lr; all 0: constant */
} protocol_optimizer;

/* How a field of the data file becomes floats: (byte / 255 - mean[c]) / std[c]. */
typedef struct protocol_transform {
    const char *field;
    int channels; /* length of mean and std, 1 … PROTOCOL_CHANNELS_MAX */
    double mean[PROTOCOL_CHANNELS_MAX], std[PROTOCOL_CHANNELS_MAX];
} protocol_transform;

/* What a runner is asked to prepare.  Strings are borrowed; data and weights may be NULL (sent as
 * null: the runner then refuses or makes its own, as its engine documents). */
typedef struct protocol_job {
    const char *workload;
    const char *model; /* a user's own: its file, or module:function; NULL: `workload` is known */
    const char *device;
    const char *precision;    /* fp32, tf32, bf16 */
    const char *mode;         /* train, infer */
    const char *data;         /* path of a safetensors file */
    const char *weights;      /* path of a safetensors file */
    const char *dropout;      /* engine, counter; NULL means engine */
    const char *data_on;      /* device, host; NULL means device */
    workload_variant variant; /* a dimension of 0: the workload's own */
    int threads;              /* at least 1; of each worker */
    int workers;              /* that cut each batch; 0 and 1: one */
    int accumulate;           /* turns in which a batch is computed; 0 and 1: one */
    int64_t batch;
    uint64_t seed;                               /* below 2^63: JSON integers are signed here */
    protocol_transform transforms[TABLE_FIELDS]; /* of the fields that are normalised */
    int transform_count;
    protocol_optimizer optimizer;
} protocol_job;

typedef struct protocol_call {
    protocol_request request;
    const char *device; /* hello: list no other device; NULL: list all.  measure: which one */
    bool try_devices;   /* hello: list as usable only those that something was computed on */
    int threads;        /* measure: at least 1 */
    double seconds; /* measure: about so long; 0: as the runner likes; calibrate: 0: only list */
    const protocol_job *job; /* prepare */
    int64_t steps;           /* run, parity, phases */
    bool losses;             /* run: all losses in the answer */
    bool judge;              /* parity: also what is random, and what rounding moves */
    const char *path;        /* parity, export: the file to write; evaluate: the file to read */
} protocol_call;

/* The answer to a call.  Which members are set is said by the request; strings and json_t members
 * are borrowed from `json`. */
typedef struct protocol_answer {
    json_t *json; /* the whole answer, owned */
    bool refused; /* it was {"ok": false}: the runner speaks the protocol, but will not */

    const char *engine, *version; /* hello */
    json_t *libraries;            /* hello: object of strings */
    json_t *devices;              /* hello: list of {id, name} */

    const char *device_name, *implementation, *precision; /* prepare */
    json_t *warnings;                                     /* prepare: list of strings, or NULL */
    int64_t parameters, prepare_ns;                       /* prepare */
    int64_t launches;      /* prepare: a step, 0: not told; phases: of all steps, -1: not known */
    int threads;           /* prepare */
    int64_t device_bytes;  /* prepare: on a device with memory of its own; -1: not told */
    const char *title;     /* prepare: what a user's own model is called, or NULL */
    const char *unit;      /* prepare: what a user's own model counts, NULL: samples … */
    double units_a_sample; /* … and how many a sample has */

    const char *draws;      /* parity: none, dropout, model: what of a step is random; or NULL */
    double moved_gradients; /* parity: how far rounding moves them, relative; 0: not told */
    double moved_losses;    /* likewise */
    json_t *weights; /* parity: of a user's own model, list of {name, shape}; NULL: not told … */
    json_t *input;   /* … and the shape of its first input */
    double flops;    /* phases: arithmetic of a user's own model; NAN: not told */
    int64_t steps;   /* run, parity, phases */
    int64_t wall_ns; /* run, sync, phases, reference */
    double loss;     /* run, evaluate; NAN if the runner sent null */
    json_t *losses;  /* run with losses: list of numbers or null, one per step */
    json_t *limits;  /* measure: object, as measure/limits.h reads it */
    int64_t count, correct; /* evaluate */

    /* phases: sums over all steps; -1: not known */
    const char *launch_order; /* phases: how a step's launches follow one another, or NULL */
    json_t *phases;           /* object with each name of BE_PHASE_LIST: ns, or null */
    json_t *work;             /* object: device id -> {launches, busy_ns or null} */
    json_t *ops;    /* list in the order of the step, or empty; see docs/runner-protocol.md */
    json_t *points; /* calibrate: list like `ops`, of calibration networks */
    int64_t synchronisations, upload_bytes, download_bytes;
} protocol_answer;

/* The request as one line, '\n' included.  Free with free.  BE_USAGE for a call that the protocol
 * does not allow (no job, 0 steps, a seed of 2^63 or more). */
BE_CHECKED be_status protocol_encode(const protocol_call *call, char **line, be_error *err);

/* Check one line (without its '\n') as the answer to `call`.  An answer {"ok": false} returns the
 * runner's own status and text; anything that is not an answer to this call is BE_BAD_DATA with
 * what was expected and what came.  On any error *answer is cleared, but for `refused`. */
BE_CHECKED be_status protocol_parse(const protocol_call *call, const char *line, size_t length,
                                    protocol_answer *answer, be_error *err);

void protocol_answer_clear(protocol_answer *answer);

/* Whether a line looks like an answer to any request: an object with a member "ok". */
bool protocol_is_answer(const char *line, size_t length);

#endif
