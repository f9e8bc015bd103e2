/* The gate of a user's own model, of which there is no reference of ours: its library computes its
 * first steps on the CPU in double precision, and all contenders are held against that.
 *
 * Its runner is also the first to see the file, so that what is wrong with it is told once, before
 * anything is measured; and it writes the initial weights that all contenders load. */
#ifndef RUN_GATE_OWN_H
#define RUN_GATE_OWN_H

#include "run/engine.h"
#include "run/gate.h"

typedef enum gate_draws {
    GATE_DRAWS_NOTHING,
    GATE_DRAWS_DROPOUT, /* which is switched off for the gate */
    GATE_DRAWS_MODEL    /* the model is random in itself: nothing can be compared */
} gate_draws;

typedef struct gate_own_options {
    const engine *engine; /* of its library */
    const material *material;
    const material_options *material_options;
    int64_t batch; /* samples that are computed at most */
    int threads;
    bool infer;
    double limit_s; /* for each answer */
    const volatile sig_atomic_t *interrupted;
} gate_own_options;

typedef struct gate_own_found {
    gate_draws draws;
    json_t *weights, *input; /* as the runner tells of them; NULL: it does not; to be released */
    bool in_single;  /* the model does not compute in double: the reference is single precision */
    be_error reason; /* why */
} gate_own_found;

/* BE_BAD_DATA, BE_NUMERIC or BE_IO with one sentence on what is wrong with the file.  Without a
 * reference (`draws` is GATE_DRAWS_MODEL) *out can compare nothing.  Free with gate_free. */
BE_CHECKED be_status gate_new_own(gate *out, const gate_own_options *options, gate_own_found *shape,
                                  be_error *err);

#endif
