/* Who is measured: the contenders that the request and the machine give. */
#ifndef STUDY_BENCH_PLAN_H
#define STUDY_BENCH_PLAN_H

#include <jansson.h>

#include "breakeven/plan.h"
#include "run/engine.h"
#include "study/request.h"

#define BENCH_CONTENDERS_MAX 64

typedef struct bench_contender {
    const engine *engine;
    const char *device; /* in the answer to hello */
    int threads;
    const char *precision; /* NULL: the plan's */
    bool is_yardstick; /* a yardstick: it trains a workload of the ladder, not the user's own model
                        */
} bench_contender;

typedef struct bench_plan {
    engine engines[ENGINE_COUNT];
    pythons_known pythons;
    json_t *hello[ENGINE_COUNT]; /* NULL: not among the contenders */
    json_t *missing;             /* engines that are not there: a list of {name, reason} */
    bench_contender contenders[BENCH_CONTENDERS_MAX];
    int contender_count;
    study_numbers batches; /* of the request; none: the workload's default */
    const char *precision;
    const char *data_on; /* of the request; NULL: device */
    int accumulate;      /* of the request */
    bool infer;
    be_device_options native_options;
} bench_plan;

/* BE_UNAVAILABLE if an engine or device that was asked for by name is not there.  Points into
 * itself and into the request; end with bench_plan_release, whatever the status. */
BE_CHECKED be_status bench_plan_make(bench_plan *plan, const study_request *request,
                                     const study_watch *watch, be_error *err);

/* The two halves of it: without contenders, and those that the engines' answers give, whose
 * questions point to plan->engines.  A test plants answers. */
void bench_plan_begin(bench_plan *plan, const study_request *request);
BE_CHECKED be_status bench_plan_take(bench_plan *plan, const study_request *request,
                                     const study_watch *watch,
                                     engine_question questions[ENGINE_COUNT], be_error *err);

/* Where the device is on the bus, as an engine's hello told; NULL where none did. */
const char *bench_plan_bus(const bench_plan *plan, const char *device);
void bench_plan_release(bench_plan *plan);

#endif
