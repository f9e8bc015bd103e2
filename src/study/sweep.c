/* A sweep from its beginning to its end: range, file, search, result. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "core/clock.h"
#include "core/memory.h"
#include "report/sheet.h"
#include "study/study.h"
#include "study/sweep.h"

#define SIDE_S 60.0 /* of searching, for each side */
#define LEAST_S 120.0

/* The workload must exist at both ends of the range. */
static be_status check_ends(const sweep *s, be_error *err)
{
    const int64_t ends[] = {s->range.from, s->range.to};
    for (int e = 0; e < 2 && axis_varies(s->range.axis); e++) {
        struct workload varied;
        const workload *w;
        workload_variant variant = s->m.variant;
        *workload_variant_at(&variant, s->range.axis->dimension) = (int)ends[e];
        TRY(workload_vary(s->workload, &variant, &varied, &w, err));
    }
    return BE_OK;
}

/* Batches are at most the data set's samples: the range ends there. */
static be_status check_range(sweep *s, be_error *err)
{
    const data_table *set = &s->m.set->table;
    int64_t limit = set->count;
    if (!s->range.axis->set) {
        if (s->batch <= limit) return check_ends(s, err);
        FAIL(err, BE_USAGE,
             "%s: expected a batch of at most the %" PRId64 " %ss of %s, found %" PRId64
             "; use a smaller --batch",
             s->workload->name, limit, set->sample, set->name, s->batch);
    }
    if (s->range.from >= limit)
        FAIL(err, BE_USAGE,
             "--over: expected batches below the %" PRId64 " %ss of %s, found %" PRId64 "..%" PRId64
             "; begin lower",
             limit, set->sample, set->name, s->range.from, s->range.to);
    if (s->range.to <= limit) return BE_OK;
    study_note(s->m.watch, "%s has %" PRId64 " %ss: the range ends at batch %" PRId64, set->name,
               limit, set->sample, limit);
    sweep_note(s, "%s has %" PRId64 " %ss, so the range ends at batch %" PRId64, set->name, limit,
               set->sample, limit);
    s->range.to = limit;
    return BE_OK;
}

/* What a resumed sweep must have in common with the one that is asked for. */
static json_t *identity(const sweep *s)
{
    const bench_plan *plan = &s->m.plan;
    const json_t *e = s->m.environment;
    json_t *settings = json_array();
    for (int i = 0; i < s->side_count; i++)
        for (int k = 0; k < s->sides[i].setting_count; k++)
            json_array_append_new(
                settings, json_sprintf("%s: %s", s->sides[i].name, s->sides[i].settings[k].name));
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:s, s:I, s:o}", "workload",
        s->workload->name, "axis", s->range.axis->name, "first value", (json_int_t)s->range.from,
        "last value", (json_int_t)s->range.to, "batch", (json_int_t)s->batch, "mode",
        plan->infer ? "infer" : "train", "precision", plan->precision, "data-on",
        plan->data_on ? plan->data_on : "device", "seed", (json_int_t)s->m.request->seed, "data",
        s->m.set->name, "samples", (json_int_t)s->m.set->count, "contenders", settings);
    json_t *here = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "build", BUILD_COMMIT, "build type",
                             BUILD_TYPE, "processor", report_string(e, environment, cpu.model),
                             "system", report_string(e, environment, system), "processor threads",
                             (json_int_t)report_real(e, environment, cpu.threads), "memory",
                             (json_int_t)report_real(e, environment, memory_bytes));
    json_object_update(object, here);
    json_decref(here);
    /* Their names are words of the command line, "to" among them. */
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++)
        json_object_set_new(
            object, workload_dimension_names[d],
            json_integer(workload_variant_get(&s->m.variant, (workload_dimension)d)));
    return object;
}

static be_status same_sweep(const sweep *s, const json_t *header, json_t *ours, be_error *err)
{
    const json_t *theirs = report_member(header, line, identity);
    const char *name;
    json_t *value;
    be_status status = BE_OK;
    json_object_foreach(ours, name, value)
    {
        const json_t *other = json_object_get(theirs, name);
        if (json_equal(value, other) || status != BE_OK) continue;
        char *a = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        char *b = other ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        status = status_fail(err, __FILE__, __LINE__, BE_USAGE,
                             "--resume %s: expected the sweep of before, found another %s: %.150s "
                             "there, %.150s now; measure anew without --resume",
                             s->log.path, name, b ? b : "none", a ? a : "none");
        free(a);
        free(b);
    }
    return status;
}

static be_status load(sweep *s, const char *path, const char *name, json_t *ours, be_error *err)
{
    sweep_log_content before;
    size_t i;
    json_t *record;
    be_status status = sweep_log_open(&s->log, path, name, &before, err);
    if (status == BE_OK) status = same_sweep(s, before.header, ours, err);
    if (status == BE_OK) {
        json_array_foreach(before.records, i, record) sweep_take(s, record);
        s->loaded = (int)json_array_size(before.records);
        study_note(s->m.watch, "%s: going on after %d records%s", s->log.path, s->loaded,
                   before.damaged ? "; its last line was cut off and is measured again" : "");
    }
    json_decref(before.header);
    json_decref(before.records);
    return status;
}

/* Where nobody named a file, a sweep that cannot be kept is measured all the same. */
static be_status begin_log(sweep *s, const study_axis *axis, const char *name, json_t *ours,
                           be_error *err)
{
    be_error reason = {0};
    json_t *header = json_pack("{s:i, s:s, s:I, s:s, s:O, s:O}", "schema", 1, "kind", "sweep",
                               "unix_s", (json_int_t)clock_unix_s(), "version", BUILD_VERSION,
                               "identity", ours, "environment", s->m.environment);
    be_status status = sweep_log_create(&s->log, axis->path, name, header, &reason);
    json_decref(header);
    if (status == BE_OK) {
        if (axis->shown) snprintf(s->log.path, sizeof s->log.path, "%s", axis->shown);
        return BE_OK;
    }
    if (axis->path || status != BE_IO) {
        *err = reason;
        return status;
    }
    s->log.path[0] = 0;
    study_note(s->m.watch,
               "the sweep is not kept, so that --resume will not find it: %s; or name a file by "
               "--output",
               reason.text);
    return BE_OK;
}

static be_status open_log(sweep *s, const study_axis *axis, be_error *err)
{
    char name[96];
    json_t *ours = identity(s);
    snprintf(name, sizeof name, "%s-%s", s->workload->name, s->range.axis->name);
    bool resumes = axis->begin == STUDY_FILE_RESUME ||
                   (axis->begin == STUDY_FILE_RESUME_IF_ANY && sweep_log_exists(axis->path, name));
    be_status status =
        resumes ? load(s, axis->path, name, ours, err) : begin_log(s, axis, name, ours, err);
    json_decref(ours);
    return status;
}

static be_status prepare(sweep *s, const study_request *request, const study_watch *watch,
                         const study_axis *axis, be_error *err)
{
    s->workload = request->workloads[0];
    s->range = axis->range;
    s->batch = study_batch(request, s->workload);
    TRY(measurement_open(&s->m, request, watch, err));
    s->m.plan.batches.count = 0; /* check_range looks at the batches */
    TRY(s->m.hands.begin(&s->m, s->workload, err));
    TRY(check_range(s, err));
    TRY(sweep_find_sides(s, err));
    s->limit_s = isnan(request->most_s) ? fmax(LEAST_S, SIDE_S * s->side_count) : request->most_s;
    return open_log(s, axis, err);
}

/* A side that dropped out makes it fail, after all that the others gave. */
static be_status check_sides(const sweep *s, be_error *err)
{
    for (int i = 0; i < s->side_count; i++)
        if (s->sides[i].missing)
            FAIL(err, BE_FAILED, "%s dropped out: %s", s->sides[i].name, s->sides[i].reason);
    return BE_OK;
}

/* The result is there however it ended, if there is any. */
static be_status search(sweep *s, study_swept *out, be_error *err)
{
    bool searched = axis_is_measured(s->range.axis);
    /* Over the steps a start is what is measured. */
    if (searched) s->m.conducting.pool = &s->m.pool;
    s->m.conducting.phases_s = 0; /* that each works where it says is asked once */
    be_status status = searched ? sweep_search(s, err) : sweep_steps(s, err);
    be_error telling = {0};
    be_status result_status = sweep_result(s, status, &out->result, &telling);
    if (s->log.fd >= 0 && !s->log.stream) snprintf(out->file, sizeof out->file, "%s", s->log.path);
    if (status == BE_OK && result_status != BE_OK) *err = telling;
    if (status == BE_OK) status = result_status;
    return status == BE_OK ? check_sides(s, err) : status;
}

be_status study_sweep(const study_request *request, const study_axis *axis,
                      const study_watch *watch, study_swept *out, be_error *err)
{
    void *memory = NULL;
    *out = (study_swept){0};
    TRY(memory_alloc(&memory, sizeof(sweep), "a sweep", err));
    sweep *s = memory;
    s->records = json_array();
    s->notes = json_array();
    s->log.fd = -1;
    s->began_ns = clock_now_ns();
    s->whole = sweep_whole;
    be_status status = prepare(s, request, watch, axis, err);
    if (status == BE_OK) status = search(s, out, err);
    sweep_log_close(&s->log);
    json_decref(s->records);
    json_decref(s->notes);
    if (s->m.request) measurement_close(&s->m);
    memory_free(memory);
    return status;
}
