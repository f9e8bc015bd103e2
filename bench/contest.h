/* What the project's own measurements of the conductor share: a workload on generated pictures, and
 * contenders of it on the processor.
 *
 * Owns data, files and reference until contest_close. */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include "data/dataset.h"
#include "run/conductor.h"

typedef struct contest {
    be_dataset *set;
    material_options options;
    material material;
    gate gate;
} contest;

/* contest_close whatever the status. */
BE_CHECKED be_status contest_open(contest *c, const char *workload, be_error *err);
void contest_close(contest *c);

/* The native engine by the runner `argv`, on the processor. */
conductor_contender contest_contender(contest *c, const char *const *argv, int threads);

#endif
