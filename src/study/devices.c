/* Every device of every engine, usable or not, and what those of the native engine can do at most.
 */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/topology.h"
#include "machine/sensors.h"
#include "report/sheet.h"
#include "run/engine.h"
#include "run/machine.h"
#include "study/study.h"

/* ---------------------------------------------------------------- devices */

static json_t *device_record(const char *engine_name, const char *device, const char *name)
{
    return json_pack("{s:i, s:s, s:s, s:s}", "schema", 1, "engine", engine_name, "device", device,
                     "device_name", name);
}

/* What an engine told of a device beyond its id and name; its own libraries as
 * device_libraries. */
static void add_facts(json_t *record, const json_t *device)
{
    static const char *const names[] = {"memory_bytes",       "driver", "software", "kind",
                                        "compute_capability", "units",  "bus",      "duplicate_of"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(device, names[i]))
            json_object_set(record, names[i], json_object_get(device, names[i]));
    if (report_member(device, device, libraries))
        json_object_set(record, "device_libraries", report_member(device, device, libraries));
}

/* Which Python the engine is of, and who else has it. */
static void add_pythons(json_t *record, const engine *e)
{
    json_t *pythons = engine_pythons(e);
    if (json_array_size(pythons) > 0) {
        json_object_set(record, "python",
                        report_member(json_array_get(pythons, 0), device, python));
        json_array_remove(pythons, 0);
        json_object_set(record, "other_pythons", pythons);
    }
    json_decref(pythons);
}

/* `found`: the answer to hello, or in it what is told of one of the engine's forms. */
static void add_devices(json_t *records, const engine *e, const char *engine_name,
                        const json_t *hello, const json_t *list)
{
    size_t i;
    json_t *device;
    json_array_foreach(report_member(list, hello, devices), i, device)
    {
        const char *id = report_string(device, device, id);
        json_t *record = device_record(engine_name, id, report_string(device, device, name));
        json_object_set_new(record, "usable", json_true());
        json_object_set(record, "version", report_member(hello, hello, version));
        json_object_set(record, "libraries", report_member(hello, hello, libraries));
        add_pythons(record, e);
        add_facts(record, device);
        if (strcmp(id, "cpu") == 0) {
            json_object_set_new(record, "cores", json_integer(topology_get()->cores));
            json_object_set_new(record, "hardware_threads", json_integer(topology_get()->threads));
        }
        json_array_append_new(records, record);
    }
    json_array_foreach(report_member(list, hello, unusable_devices), i, device)
    {
        json_t *record = device_record(engine_name, report_string(device, device, id),
                                       report_string(device, device, name));
        json_object_set_new(record, "usable", json_false());
        json_object_set(record, "version", report_member(hello, hello, version));
        json_object_set(record, "reason", report_member(device, device, reason));
        json_array_append_new(records, record);
    }
}

static void add_engine(json_t *records, const char *name, const engine_question *question)
{
    if (question->status == BE_OK) {
        const char *form;
        json_t *list;
        add_devices(records, question->engine, name, question->hello, question->hello);
        json_object_foreach(report_member(question->hello, hello, forms), form, list)
            add_devices(records, question->engine, form, question->hello, list);
        return;
    }
    json_t *record = device_record(name, "-", "-");
    json_object_set_new(record, "usable", json_false());
    json_object_set_new(record, "reason", json_of_text(question->error.text));
    json_array_append_new(records, record);
}

/* Of an engine that several Pythons have: which one was taken. */
static void tell_pythons(const engine *engines, json_t *pythons)
{
    char text[1200];
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (engines[e].name && *engine_pythons_text(&engines[e], text, sizeof text))
            json_array_append_new(pythons, json_of_text(text));
}

/* Engines point to the Pythons, and must stay where they are. */
typedef struct asked_engines {
    engine engines[ENGINE_COUNT];
    pythons_known pythons;
} asked_engines;

static be_status ask_engines(asked_engines *all, const study_watch *watch, study_devices *out,
                             be_error *err)
{
    engine *engines = all->engines;
    engine_question questions[ENGINE_COUNT] = {{0}};
    engine_options asking = {.pythons = &all->pythons, .interrupted = watch->stop};
    be_status status = BE_OK;
    study_progress(watch, "asking the engines for their devices ...");
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (!engine_form(engine_names[e])) questions[e].engine = &engines[e];
    engine_ask(questions, &asking);
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (!questions[e].engine) continue;
        if (questions[e].status == BE_INTERRUPTED) {
            status = BE_INTERRUPTED;
            *err = questions[e].error;
        }
        if (questions[e].status == BE_OK || engine_is_usual(engine_names[e]))
            add_engine(out->records, engine_names[e], &questions[e]);
        json_decref(questions[e].hello);
    }
    tell_pythons(engines, out->pythons);
    return status;
}

static be_status find_devices(const study_watch *watch, study_devices *out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(asked_engines), "the engines", err));
    be_status status = ask_engines(memory, watch, out, err);
    memory_free(memory);
    return status;
}

/* ---------------------------------------------------------------- limits */

/* A processor behind OpenCL has the processor's sensors. */
static json_t *sensors_of(const sensors *values, const json_t *record, const char *bus)
{
    const sensors_gpu *gpu = *bus ? sensors_gpu_find(values, bus) : NULL;
    bool is_cpu = strcmp(report_string(record, device, device), "cpu") == 0 ||
                  strcmp(report_string(record, device, duplicate_of), "cpu") == 0;
    if (gpu) return sensors_gpu_to_json(gpu);
    return is_cpu ? sensors_cpu_to_json(&values->cpu) : json_null();
}

/* Who asks for limits, and of which engine. */
typedef struct asking {
    const study_limits *wanted;
    const study_watch *watch;
    engine native;
} asking;

static be_status add_limits(const asking *a, json_t *record, be_error *err)
{
    const char *device = report_string(record, device, device);
    machine_source source = {0};
    machine_options how = {.refresh = a->wanted->refresh,
                           .seconds = a->wanted->seconds,
                           .interrupted = a->watch->stop,
                           .source = &source};
    limits peaks;
    json_t *json = NULL;
    be_error reason = {0};
    study_progress(a->watch, "measuring %s ...", device);
    be_status status =
        machine_limits(&a->native, device, a->wanted->threads, &how, &peaks, &reason);
    if (status == BE_INTERRUPTED && err) *err = reason;
    if (status == BE_INTERRUPTED) return status;
    if (status == BE_OK) status = limits_to_json(&peaks, &json, &reason);
    if (status != BE_OK) json_object_set_new(record, "limits_reason", json_of_text(reason.text));
    if (*source.note) study_note(a->watch, "%s", source.note);
    json_object_set_new(record, "limits", json ? json : json_null());
    json_object_set_new(record, "limits_cached", json_boolean(source.cached));
    json_object_set_new(record, "limits_file",
                        *source.path && !*source.note ? json_of_text(source.path) : json_null());
    sensors now;
    sensors_read(NULL, true, &now);
    json_object_set_new(record, "sensors",
                        sensors_of(&now, record, report_string(record, device, bus)));
    return BE_OK;
}

/* To each usable device of the native engine. */
static be_status add_all_limits(asking *a, const json_t *records, be_error *err)
{
    engine_options options = {.interrupted = a->watch->stop};
    size_t i;
    json_t *record;
    TRY(engine_find(&a->native, "native", &options, err));
    json_array_foreach(records, i, record)
    {
        if (strcmp(report_string(record, device, engine), "native") == 0 &&
            report_is(record, device, usable))
            TRY(add_limits(a, record, err));
    }
    return BE_OK;
}

be_status study_find_devices(const study_limits *limits, const study_watch *watch,
                             study_devices *out, be_error *err)
{
    asking a = {.wanted = limits, .watch = watch};
    *out = (study_devices){json_array(), json_array()};
    TRY(find_devices(watch, out, err));
    return limits ? add_all_limits(&a, out->records, err) : BE_OK;
}
