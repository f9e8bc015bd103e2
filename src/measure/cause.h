/* Why one contender's step is shorter than another's, by the numbers, and what to try to check it.
 *
 * A step is split into terms that add up to it; the cause is the term in which the loser loses
 * most.  Pure decisions on numbers: owns nothing, prints nothing. */
#ifndef MEASURE_CAUSE_H
#define MEASURE_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* id, name in records.  Those before MORE_THREADS split a step. */
#define CAUSE_LIST(X)                         \
    X(LAUNCHES, "launches")                   \
    X(FRAMEWORK, "framework")                 \
    X(BETWEEN, "between ops")                 \
    X(FRAMEWORK_KERNELS, "framework kernels") \
    X(DATA, "data")                           \
    X(ARITHMETIC, "arithmetic")               \
    X(MEMORY, "memory")                       \
    X(KERNELS, "kernels")                     \
    X(UPLOAD, "upload")                       \
    X(HOST, "host")                           \
    X(REST, "rest")                           \
    X(MORE_THREADS, "more threads")           \
    X(FEWER_THREADS, "fewer threads")

typedef enum cause_kind {
#define X(id, text) CAUSE_##id,
    CAUSE_LIST(X)
#undef X
        CAUSE_TERMS = CAUSE_MORE_THREADS
} cause_kind;

const char *cause_name(cause_kind kind);

/* One contender's step; NAN (for launches and waits too) where a number is not known. */
typedef struct cause_side {
    const char *engine, *device;
    int64_t threads; /* -1: unknown */
    double step_s;
    double data_s, upload_s, idle_host_s, rest_s; /* phases; rest: loss read and other idle */
    double launches, launch_s;                    /* a step; what one costs on this device */
    double waits, round_trip_s;
    double arithmetic_s, memory_s; /* the least that the device needs for them */
    /* The native engine's step on the same device without the phases above; with as many threads
     * where it was taken apart with these, else at its best number. */
    double native_s;
    /* Of forward, backward and optimizer: when none of its ops ran.  NAN: then what the framework
     * takes is one term, FRAMEWORK, else BETWEEN or FRAMEWORK_KERNELS. */
    double gap_s;
    bool native, data_on_host;
} cause_side;

/* A step's terms, all at least 0; they add up to step_s. */
void cause_split(const cause_side *side, double out[CAUSE_TERMS]);

typedef enum cause_try { /* the counterfactual */
                         CAUSE_TRY_NOTHING,
                         CAUSE_TRY_BATCH,
                         CAUSE_TRY_ONE_THREAD,
                         CAUSE_TRY_DATA_ON_DEVICE,
                         CAUSE_TRY_LIBRARY
} cause_try;

typedef struct cause {
    cause_kind kind;
    double seconds; /* that this term costs the loser more; alone: that it takes */
    double share;   /* of the whole difference (may exceed 1); alone: of the step */
    cause_try action;
    int64_t batch; /* CAUSE_TRY_BATCH */
    /* BATCH: where the two would change places, if what grows with the batch and what does not
     * keep to themselves; NAN: nowhere in reach. */
    double flip_batch;
} cause;

typedef struct cause_question {
    const cause_side *winner, *loser; /* loser NULL: the winner alone, against its limits */
    int64_t batch, most_batch;
} cause_question;

cause cause_of(const cause_question *question);

#endif
