/* Measuring for explain and the quick verdict: a moment for each contender, then its step taken
 * apart, then the cause. */
#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "report/sheet.h"
#include "study/explain.h"
#include "study/study.h"

#define MEASURE_MAX_S 0.8
#define MEASURE_MIN_S 0.3
#define PHASES_S 0.3
#define WARM_UP_S 0.15

static bool has_speed(const json_t *record)
{
    return !isnan(report_real(record, bench, samples_per_s));
}

/* Where no threads were given each engine's better number of threads on the CPU speaks for it. */
static bool is_outdone(const study_request *request, const json_t *records, size_t i)
{
    const json_t *record = json_array_get(records, i);
    if (request->threads.count) return false;
    for (size_t k = 0; k < json_array_size(records); k++) {
        const json_t *other = json_array_get(records, k);
        if (strcmp(report_string(other, bench, engine), report_string(record, bench, engine)) ==
                0 &&
            strcmp(report_string(other, bench, device), report_string(record, bench, device)) ==
                0 &&
            report_real(other, bench, samples_per_s) > report_real(record, bench, samples_per_s))
            return true;
    }
    return false;
}

static bool is_apart(const study_request *request, const json_t *records, size_t i)
{
    return has_speed(json_array_get(records, i)) && !is_outdone(request, records, i);
}

/* `answers` (a list) gets what the runners answered to `phases`. */
static be_status measure(measurement *m, const workload *w, json_t *answers, json_t *records,
                         be_error *err)
{
    const study_request *request = m->request;
    int64_t batch = study_batch(request, w);
    conductor_contender contenders[BENCH_CONTENDERS_MAX];
    measurement_times(m, MEASURE_MIN_S, MEASURE_MAX_S);
    measurement_point point = {.batch = batch};
    TRY(m->hands.begin(m, w, err));
    m->conducting.answers = answers;
    m->conducting.phases_s = fmin(PHASES_S, m->conducting.stop.max_time_s);
    m->conducting.warm_up_s = WARM_UP_S;
    m->conducting.pool = &m->pool; /* for what is tried later */
    TRY(m->hands.run(m, &point, records, err));
    m->conducting.answers = NULL;
    m->conducting.phases_s = 0; /* of what is tried later nothing is taken apart */
    measurement_contenders(m, &point, contenders);
    int parts = 0;
    for (size_t i = 0; i < json_array_size(records); i++) parts += is_apart(request, records, i);
    double end_s = measurement_left_s(m) - measurement_grant_s(m, BUDGET_APART, 1);
    for (size_t i = 0; i < json_array_size(records); i++) {
        if (!is_apart(request, records, i)) continue;
        double limit_s = isnan(end_s) ? (double)INFINITY : (measurement_left_s(m) - end_s) / parts;
        const explain_question question = {m, &contenders[i], json_array_get(answers, i), limit_s};
        TRY(explain_take_apart(&question, json_array_get(records, i), err));
        parts--;
    }
    return explain_cause(m, batch, records, err);
}

be_status explain_measure(measurement *m, const workload *w, json_t *records, be_error *err)
{
    json_t *answers = json_array();
    be_status status = measure(m, w, answers, records, err);
    m->conducting.answers = NULL;
    json_decref(answers);
    return status;
}

be_status study_explain(const study_request *request, const study_watch *watch, json_t *records,
                        be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(measurement), "a measurement", err));
    measurement *m = memory;
    be_status status = measurement_open(m, request, watch, err);
    if (status == BE_OK) status = explain_measure(m, request->workloads[0], records, err);
    if (status == BE_OK) status = measurement_check(records, err);
    measurement_close(m);
    memory_free(memory);
    return status;
}
