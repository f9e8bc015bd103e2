/* The contenders of a measurement: engines × devices × numbers of threads. */
#include "study/bench_plan.h"

#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "core/cgroup.h"
#include "core/json.h"
#include "core/text.h"
#include "report/sheet.h"

/* The devices that were named, separated by commas; NULL: all, or more than there is room for. */
static const char *devices_wanted(const study_names *names, char *out, size_t room)
{
    text_buffer b = text_begin(out, room);
    if (!names->count || study_names_have(names, "all")) return NULL;
    for (int i = 0; i < names->count; i++) {
        if (b.used + strlen(names->name[i]) + 2 > room) return NULL;
        text_add(&b, "%s%s", i ? "," : "", names->name[i]);
    }
    return out;
}

static void add_missing(bench_plan *plan, const char *name, const char *reason)
{
    json_array_append_new(plan->missing,
                          json_pack("{s:s, s:o}", "name", name, "reason", json_of_text(reason)));
}

/* What keeps an engine out; those not asked for by name may be missing. */
static be_status leave_out(bench_plan *plan, const study_request *request, const study_watch *watch,
                           const engine_question *q, be_error *err)
{
    const char *name = q->engine->name;
    bool alone = strcmp(name, "native") == 0 || (study_is_own(request) && !engine_form(name));
    if (study_names_have(&request->engines, name) || q->status == BE_INTERRUPTED || alone) {
        *err = q->error;
        return q->status;
    }
    add_missing(plan, engine_title(name), q->error.text);
    if (!request->tells_missing)
        study_note(watch, "%s is left out: %s", engine_title(name), q->error.text);
    return BE_OK;
}

static bool is_wanted(const study_request *request, const char *name)
{
    if (study_is_own(request)) return study_takes_own(request, name);
    if (!study_wants_engine(&request->engines, name)) return false;
    return strcmp(name, "native") == 0 || !request->plan_only; /* others have no such plan */
}

/* An engine that is there, and computes on no device, is as one that is not.  The native one
 * computes on the processor: that it names no device means that those asked for are not here. */
static void refuse_useless(engine_question *q)
{
    if (!q->engine || strcmp(q->engine->name, "native") == 0) return;
    const json_t *others = report_member(q->hello, hello, unusable_devices);
    const char *reason = report_string(json_array_get(others, 0), device, reason);
    if (!q->hello || json_array_size(report_member(q->hello, hello, devices)) > 0 || !*reason)
        return;
    q->status = BE_UNAVAILABLE;
    snprintf(q->error.text, sizeof q->error.text, "engine %s: %s", q->engine->name, reason);
    json_decref(q->hello);
    q->hello = NULL;
}

/* Ask every engine that may take part. */
static void ask_engines(bench_plan *plan, const study_request *request, const study_watch *watch,
                        engine_question questions[ENGINE_COUNT])
{
    char devices[400];
    engine_options asking = {.isa = request->isa,
                             .devices = devices_wanted(&request->devices, devices, sizeof devices),
                             .library = request->library,
                             .pythons = &plan->pythons,
                             .interrupted = watch->stop};
    study_progress(watch, "asking the engines for their devices ...");
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (is_wanted(request, engine_names[e])) questions[e].engine = &plan->engines[e];
    engine_ask(questions, &asking);
}

/* Compiled forms that were not asked for, and are possible here. */
static void tell_forms(const json_t *hello, const study_watch *watch)
{
    const char *name;
    json_t *form;
    json_object_foreach(report_member(hello, hello, forms), name, form)
    {
        if (json_array_size(report_member(form, hello, devices)) > 0)
            study_note(watch,
                       "%s can be measured here too: --engine %s, or all; compiling is part of "
                       "its first step and can take a minute",
                       engine_title(name), name);
    }
}

static be_status take_answers(bench_plan *plan, const study_request *request,
                              const study_watch *watch, engine_question *questions, be_error *err)
{
    for (int e = 0; e < ENGINE_COUNT; e++) refuse_useless(&questions[e]);
    be_status status = BE_OK;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        char text[1200];
        plan->hello[e] = questions[e].hello;
        if (plan->hello[e] && *engine_pythons_text(&plan->engines[e], text, sizeof text))
            study_note(watch, "%s", text);
        if (!request->engines.count && !request->tells_missing) tell_forms(plan->hello[e], watch);
    }
    for (int e = 0; status == BE_OK && e < ENGINE_COUNT; e++)
        if (questions[e].status != BE_OK)
            status = leave_out(plan, request, watch, &questions[e], err);
    return status;
}

static be_status add_one(bench_plan *plan, const bench_contender *one, be_error *err)
{
    if (plan->contender_count == BENCH_CONTENDERS_MAX)
        FAIL(err, BE_USAGE,
             "expected at most %d combinations of engine, device, threads and precision, found "
             "more; name fewer",
             BENCH_CONTENDERS_MAX);
    plan->contenders[plan->contender_count++] = *one;
    return BE_OK;
}

/* In each of the precisions that were given. */
static be_status add_contender(bench_plan *plan, const study_request *request, int engine_index,
                               const char *device, int threads, be_error *err)
{
    bench_contender one = {
        .engine = &plan->engines[engine_index], .device = device, .threads = threads};
    if (!request->precisions.count) return add_one(plan, &one, err);
    for (int p = 0; p < request->precisions.count; p++) {
        one.precision = request->precisions.name[p];
        TRY(add_one(plan, &one, err));
    }
    return BE_OK;
}

/* On the CPU the numbers of threads that were given; without them as many as the program takes by
 * itself, and for the native engine, and for a user's own model, beside it all cores, where a quota
 * leaves fewer, and one: they show what sharing brings. */
static be_status add_device(bench_plan *plan, const study_request *request, int engine_index,
                            const char *device, be_error *err)
{
    const study_numbers *threads = &request->threads;
    int counts[CGROUP_THREAD_COUNTS], usual = request->usual_threads;
    if (strcmp(device, "cpu") != 0)
        return add_contender(plan, request, engine_index, device, usual, err);
    for (int t = 0; t < threads->count; t++)
        TRY(add_contender(plan, request, engine_index, device, (int)threads->number[t], err));
    if (threads->count) return BE_OK;
    bool native = strcmp(engine_names[engine_index], "native") == 0 || study_is_own(request);
    int count = cgroup_thread_counts(usual, request->all_threads, counts);
    for (int t = 0; t < (native ? count : 1); t++)
        TRY(add_contender(plan, request, engine_index, device, counts[t], err));
    return BE_OK;
}

/* Between the memories of host and device nothing is to copy where they are one. */
static bool needs_own_memory(const study_request *request)
{
    bool links = request->workload_count > 0;
    for (int w = 0; w < request->workload_count; w++) links &= request->workloads[w]->link != 0;
    return links;
}

static be_status add_engine(bench_plan *plan, const study_request *request, int e, be_error *err)
{
    const study_names *names = &request->devices;
    bool all = study_names_have(names, "all"), not_cpu = needs_own_memory(request);
    size_t i;
    json_t *device;
    json_array_foreach(report_member(plan->hello[e], hello, devices), i, device)
    {
        const char *id = json_string_value(report_member(device, device, id));
        bool is_named = false, ours = !names->count && !report_member(device, device, duplicate_of);
        for (int w = 0; w < names->count; w++) is_named |= backend_is_named(id, names->name[w]);
        if (not_cpu && !is_named && strcmp(id, "cpu") == 0) continue;
        if (all || ours || is_named) TRY(add_device(plan, request, e, id, err));
    }
    return BE_OK;
}

/* What the engines that were asked say of a device that they cannot use: " (engine: reason)" for
 * each, as far as it fits.  Without an index theirs is of the kind: "cuda". */
static void device_reasons(const bench_plan *plan, const char *device, char *out, size_t size)
{
    text_buffer b = text_begin(out, size);
    size_t kind = strcspn(device, ":"), i;
    json_t *unusable;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        json_array_foreach(report_member(plan->hello[e], hello, unusable_devices), i, unusable)
        {
            const char *id = report_string(unusable, device, id);
            bool same = strcmp(id, device) == 0;
            bool of_kind = strlen(id) == kind && strncmp(id, device, kind) == 0;
            if (same || of_kind)
                text_add(&b, " (%s: %s)", engine_names[e], report_string(unusable, device, reason));
        }
    }
}

/* What the engines that train a user's own model have: " (torch 2.15.0: cpu)". */
static void device_lists(const bench_plan *plan, char *out, size_t size)
{
    text_buffer b = text_begin(out, size);
    size_t i;
    json_t *device;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (!plan->hello[e]) continue;
        text_add(&b, " (%s %s:", engine_names[e], report_string(plan->hello[e], hello, version));
        json_array_foreach(report_member(plan->hello[e], hello, devices), i, device)
            text_add(&b, " %s", report_string(device, device, id));
        text_add(&b, ")");
    }
}

/* Every device that was named must be some engine's. */
static be_status check_devices(const bench_plan *plan, const study_request *request, be_error *err)
{
    const study_names *names = &request->devices;
    char reasons[700];
    for (int w = 0; w < names->count; w++) {
        bool is_known = strcmp(names->name[w], "all") == 0;
        for (int c = 0; c < plan->contender_count; c++)
            is_known |= backend_is_named(plan->contenders[c].device, names->name[w]);
        if (is_known) continue;
        device_reasons(plan, names->name[w], reasons, sizeof reasons);
        if (!*reasons && study_is_own(request)) {
            device_lists(plan, reasons, sizeof reasons);
            FAIL(err, BE_UNAVAILABLE,
                 "device %s: no engine that can train %s has it%s; 'breakeven devices' lists what "
                 "each one has",
                 names->name[w], request->workloads[0]->name, reasons);
        }
        FAIL(err, BE_UNAVAILABLE,
             "device %s: no engine has it here%s; 'breakeven devices' lists those that are",
             names->name[w], reasons);
    }
    return BE_OK;
}

/* The library that was named must be some device's of the native engine; the others keep to their
 * own choice. */
static be_status check_library(const bench_plan *plan, const char *library, be_error *err)
{
    bool is_known = !library;
    for (int c = 0; c < plan->contender_count && !is_known; c++)
        is_known = strcmp(plan->contenders[c].engine->name, "native") == 0 &&
                   backend_has_library(plan->contenders[c].device, library);
    if (!is_known)
        FAIL(err, BE_UNAVAILABLE,
             "library %s: none of the devices has it; leave --library out, or name a device that "
             "does (onednn: cpu, cudnn: cuda:N, clblast: opencl:N)",
             library);
    return BE_OK;
}

/* Threads and instruction sets are the processor's. */
static be_status check_processor(const bench_plan *plan, const study_request *request,
                                 be_error *err)
{
    bool cpu = false, native = false;
    for (int c = 0; c < plan->contender_count; c++) {
        bool on_cpu = strcmp(plan->contenders[c].device, "cpu") == 0;
        cpu |= on_cpu;
        native |= on_cpu && strcmp(plan->contenders[c].engine->name, "native") == 0;
    }
    if (request->threads.count && !cpu)
        FAIL(err, BE_USAGE,
             "--threads: expected the CPU among the devices, found none; leave --threads out");
    if (request->isa && !native)
        FAIL(err, BE_USAGE,
             "--isa: expected the native engine on the CPU among the contenders, found none; leave "
             "--isa out");
    return BE_OK;
}

void bench_plan_begin(bench_plan *plan, const study_request *request)
{
    *plan = (bench_plan){.missing = json_array(),
                         .batches = request->batches,
                         .precision = request->precision,
                         .data_on = request->data_on,
                         .accumulate = request->accumulate,
                         .infer = request->infer,
                         .native_options = {.isa = request->isa, .library = request->library}};
}

be_status bench_plan_take(bench_plan *plan, const study_request *request, const study_watch *watch,
                          engine_question questions[ENGINE_COUNT], be_error *err)
{
    TRY(take_answers(plan, request, watch, questions, err));
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (plan->hello[e]) TRY(add_engine(plan, request, e, err));
    TRY(check_devices(plan, request, err));
    if (!plan->contender_count && needs_own_memory(request))
        FAIL(err, BE_UNAVAILABLE,
             "%s: expected a device with memory of its own, found none of these engines; name one "
             "of those that 'breakeven devices' lists, or measure op:copy",
             request->workloads[0]->name);
    if (!plan->contender_count)
        FAIL(err, BE_UNAVAILABLE, "there is nothing to measure: no engine has such a device here");
    TRY(check_processor(plan, request, err));
    return check_library(plan, request->library, err);
}

be_status bench_plan_make(bench_plan *plan, const study_request *request, const study_watch *watch,
                          be_error *err)
{
    engine_question questions[ENGINE_COUNT] = {{0}};
    bench_plan_begin(plan, request);
    ask_engines(plan, request, watch, questions);
    return bench_plan_take(plan, request, watch, questions, err);
}

const char *bench_plan_bus(const bench_plan *plan, const char *device)
{
    size_t i;
    json_t *item;
    for (int e = 0; e < ENGINE_COUNT; e++)
        json_array_foreach(report_member(plan->hello[e], hello, devices), i, item)
        {
            const char *id = json_string_value(report_member(item, device, id));
            const char *bus = json_string_value(report_member(item, device, bus));
            if (bus && id && strcmp(id, device) == 0) return bus;
        }
    return NULL;
}

void bench_plan_release(bench_plan *plan)
{
    for (int e = 0; e < ENGINE_COUNT; e++) json_decref(plan->hello[e]);
    json_decref(plan->missing);
}
