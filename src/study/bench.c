/* Workloads at batches, each contender beside the others. */
#include "core/memory.h"
#include "study/measurement.h"
#include "study/study.h"
#include "train/ranks.h"

typedef struct bench {
    measurement m;
    const study_watch *watch;
    int64_t batch;
} bench;

static void show_plan(void *context, const be_plan *plan)
{
    const bench *b = context;
    const study_plan view = {b->m.workload, b->batch, b->m.plan.infer, plan};
    if (b->watch->plan) b->watch->plan(b->watch->context, &view);
}

/* A user's own model and an operation alone have no step in several turns. */
static be_status check_turns(const bench *b, const workload *w, int64_t batch, be_error *err)
{
    int turns = b->m.plan.accumulate > 1 ? b->m.plan.accumulate : 1;
    if (turns > 1 && (w->file || w->operate))
        FAIL(err, BE_USAGE,
             "--accumulate: expected a network of the ladder, found %s; leave --accumulate out",
             w->name);
    return ranks_check_turns(w, batch, turns, 1, err);
}

static be_status measure_workload(bench *b, const workload *w, json_t *records, be_error *err)
{
    const study_numbers *batches = &b->m.plan.batches;
    for (int i = 0; i < (batches->count ? batches->count : 1); i++)
        TRY(check_turns(b, w, batches->count ? batches->number[i] : w->batch, err));
    TRY(b->m.hands.begin(&b->m, w, err));
    for (int i = 0; i < (batches->count ? batches->count : 1); i++) {
        b->batch = batches->count ? batches->number[i] : w->batch;
        measurement_point point = {.batch = b->batch};
        if (b->m.request->plan_only)
            TRY(measurement_plan(&b->m, b->batch, show_plan, b, err));
        else
            TRY(b->m.hands.run(&b->m, &point, records, err));
    }
    return BE_OK;
}

static be_status measure_all(bench *b, const study_request *request, json_t *records, be_error *err)
{
    TRY(measurement_open(&b->m, request, b->watch, err));
    b->m.takes_yardstick = true;
    for (int w = 0; w < request->workload_count; w++)
        TRY(measure_workload(b, request->workloads[w], records, err));
    return measurement_check(records, err);
}

be_status study_bench(const study_request *request, const study_watch *watch, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(bench), "a measurement", err));
    bench *b = memory;
    json_t *records = json_array();
    b->watch = watch;
    be_status status = measure_all(b, request, records, err);
    json_decref(records);
    measurement_close(&b->m);
    memory_free(memory);
    return status;
}
