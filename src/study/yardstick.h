/* The native engine beside a user's own model: where that is a workload of the ladder, by the names
 * and shapes of its weights, this engine trains the workload in the same rounds.
 *
 * Owns the workload's data, files and reference until yardstick_close. */
#ifndef STUDY_YARDSTICK_H
#define STUDY_YARDSTICK_H

#include <jansson.h>

#include "data/dataset.h"
#include "run/gate.h"
#include "run/material.h"
#include "study/bench_plan.h"

typedef struct yardstick {
    const workload *workload; /* NULL: the model is none of the ladder's */
    struct workload varied;   /* what it points to where the inputs are of another size */
    be_dataset *set;
    material_options options;
    material material;
    gate gate;
} yardstick;

/* Which workload it is; `weights` is a list of {name, shape}, `input` the shape of the first input,
 * as the runner tells of them (docs/runner-protocol.md); either may be NULL.  *room is for a
 * variant that *out may point to; NULL: none. */
BE_CHECKED be_status yardstick_find(const json_t *weights, const json_t *input, workload *room,
                                    const workload **out, be_error *err);

/* Generate the data of out->workload, write the runners' files and compute the reference. */
BE_CHECKED be_status yardstick_open(yardstick *out, const study_request *request,
                                    const study_watch *watch, be_error *err);

/* The native engine joins the contenders: on each device where the model is measured, with each of
 * its numbers of threads. */
BE_CHECKED be_status yardstick_join(const yardstick *y, bench_plan *plan,
                                    const study_request *request, const study_watch *watch,
                                    be_error *err);
void yardstick_close(yardstick *y); /* twice is fine */

#endif
