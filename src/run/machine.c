/* The kept limits, and the runner that measures them. */
#include "run/machine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_info.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "core/topology.h"
#include "machine/load.h"
#include "run/runner.h"

#define SCHEMA 1
#define FILE_MOST_BYTES ((size_t)1 << 20)
#define START_LIMIT_S 60.0
#define MEASURE_LIMIT_S 120.0 /* beyond the asked-for seconds: drivers start and compile slowly */

/* ---------------------------------------------------------------- what they belong to */

/* The system's own id of this machine, or its name in the network. */
static void machine_id(char *out, size_t room)
{
    void *bytes = NULL;
    size_t count = 0;
    if (gethostname(out, room - 1) != 0) out[0] = 0;
    out[room - 1] = 0;
    if (file_read(&bytes, &count, "/etc/machine-id", 4096, NULL) != BE_OK) return;
    if (count > 0) snprintf(out, room, "%.*s", (int)strcspn(bytes, "\n"), (const char *)bytes);
    memory_free(bytes);
}

/* All that may change them: an object of texts and numbers, or NULL. */
static json_t *machine_key(const engine *native, const json_t *device, int threads)
{
    char machine[128] = "";
    machine_id(machine, sizeof machine);
    const char *driver = json_string_value(json_object_get(device, "driver"));
    json_t *runner = json_array();
    for (int i = 1; native->argv[i]; i++)
        json_array_append_new(runner, json_of_text(native->argv[i]));
    return json_pack("{s:o, s:o, s:O, s:O, s:i, s:s, s:s, s:s, s:s, s:o}", "machine",
                     json_of_text(machine), "cpu", json_of_text(topology_get()->cpu_name), "device",
                     json_object_get(device, "id"), "device_name", json_object_get(device, "name"),
                     "threads", threads, "driver", driver ? driver : "", "version", BUILD_VERSION,
                     "commit", BUILD_COMMIT, "build", BUILD_TYPE " " BUILD_SANITIZERS, "runner",
                     runner);
}

/* "…/breakeven/machine/cuda-0-0123456789abcdef.json" */
static be_status machine_path(char out[FILE_PATH_BYTES], const json_t *key, be_error *err)
{
    char place[FILE_PATH_BYTES], name[32];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    TRY(file_xdg(place, FILE_CACHE, err));
    char *text = NULL;
    TRY(json_print(&text, key, JSON_COMPACT | JSON_SORT_KEYS, "the name of a file", err));
    for (const char *p = text; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3); /* FNV-1a */
    free(text);
    snprintf(name, sizeof name, "%.24s", json_string_value(json_object_get(key, "device")));
    for (char *p = name; *p; p++)
        if (*p == ':') *p = '-';
    return file_format_path(out, err, "%s/machine/%s-%016" PRIx64 ".json", place, name, hash);
}

/* ---------------------------------------------------------------- the file */

static bool machine_load(const char *path, const json_t *key, limits *out)
{
    static const json_source source = {"kept limits", "JSON", "they are measured again"};
    json_t *file = NULL;
    if (!file_exists(path) || json_load(&file, path, FILE_MOST_BYTES, &source, NULL) != BE_OK)
        return false;
    int64_t now_s = clock_unix_s();
    bool good = json_integer_value(json_object_get(file, "schema")) == SCHEMA &&
                json_equal(json_object_get(file, "key"), key) &&
                limits_of_json(json_object_get(file, "limits"), out, NULL) == BE_OK &&
                now_s >= out->unix_s && now_s - out->unix_s < MACHINE_EXPIRY_S;
    json_decref(file);
    return good;
}

/* What was not believed is tried again the next time, so it is not kept. */
static bool machine_is_whole(const limits *l)
{
    bool whole = isfinite(l->flops_fp32) && isfinite(l->memory_bytes_per_s) &&
                 isfinite(l->launch_s) && isfinite(l->round_trip_s);
    for (int i = 0; i < l->transfer_count; i++)
        whole &= isfinite(l->transfers[i].up_s) && isfinite(l->transfers[i].down_s);
    return whole;
}

static be_status machine_store(const char *path, const json_t *key, json_t *record, be_error *err)
{
    char folder[FILE_PATH_BYTES];
    TRY(file_format_path(folder, err, "%.*s", (int)(strrchr(path, '/') - path), path));
    TRY(file_make_folders(folder, err));
    json_t *file =
        json_pack("{s:i, s:O, s:O}", "schema", SCHEMA, "key", (json_t *)key, "limits", record);
    char *text = NULL;
    be_status status = json_print(&text, file, JSON_INDENT(2), "the file of the limits", err);
    json_decref(file);
    TRY(status);
    status = file_write_whole(path, text, strlen(text), err);
    free(text);
    return status;
}

/* ---------------------------------------------------------------- the runner */

/* The device of this id in the answer to hello. */
static be_status machine_find(const json_t *hello, const char *id, const json_t **out,
                              be_error *err)
{
    static const char *const lists[] = {"devices", "unusable_devices"};
    const char *reason = "";
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *device;
        json_array_foreach(json_object_get(hello, lists[l]), i, device)
        {
            const char *name = json_string_value(json_object_get(device, "id"));
            *out = device;
            if (name && strcmp(name, id) == 0 && l == 0) return BE_OK;
            const char *why = json_string_value(json_object_get(device, "reason"));
            if (why) reason = why;
        }
    }
    if (*reason) FAIL(err, BE_UNAVAILABLE, "%s: it is not usable: %.700s", id, reason);
    FAIL(err, BE_UNAVAILABLE, "%s: expected a device that 'breakeven devices' lists, found none",
         id);
}

/* One question. */
typedef struct machine_job {
    runner r;
    const engine *native;
    const char *device;
    int threads;
    const machine_options *options;
    machine_source *source;
    bool is_cpu;
} machine_job;

static double machine_limit_s(const machine_options *options, double usual_s)
{
    return options->limit_s > 0 ? fmin(options->limit_s, usual_s) : usual_s;
}

static be_status machine_measure(machine_job *j, protocol_answer *answer, limits *out,
                                 be_error *err)
{
    protocol_call call = {.request = PROTOCOL_MEASURE,
                          .device = j->device,
                          .threads = j->threads,
                          .seconds = j->options->seconds};
    double limit_s = machine_limit_s(j->options, MEASURE_LIMIT_S + j->options->seconds);
    TRY(runner_call(&j->r, &call, limit_s, answer, NULL, err));
    TRY(limits_of_json(answer->limits, out, err));
    if (strcmp(out->device, j->device) != 0)
        FAIL(err, BE_BAD_DATA, "limits of a device: expected those of %s, found those of %s",
             j->device, out->device);
    return BE_OK;
}

static int64_t machine_cpu_ns(const machine_job *j)
{
    int64_t runner_ns = child_cpu_ns(j->r.child);
    return runner_ns < 0 ? -1 : runner_ns + load_own_cpu_ns();
}

/* Measure, and keep it where it is whole and nothing else was at work. */
static be_status machine_renew(machine_job *j, const json_t *key, limits *out, be_error *err)
{
    machine_source *source = j->source;
    protocol_answer answer = {0};
    be_error reason = {0};
    double limit = j->options->busy_most > 0 ? j->options->busy_most : LOAD_BUSY;
    load_sample from = load_take(NULL);
    int64_t from_ns = machine_cpu_ns(j);
    be_status status = machine_measure(j, &answer, out, err);
    load_sample to = load_take(NULL);
    int64_t own_ns = from_ns < 0 ? -1 : machine_cpu_ns(j) - from_ns;
    double others = load_taken_share(&from, &to, own_ns);
    if (status == BE_OK && !machine_is_whole(out))
        snprintf(source->note, sizeof source->note,
                 "%s: not every figure could be believed, so none was kept; measure again when "
                 "fewer other programs run",
                 j->device);
    else if (status == BE_OK && j->is_cpu && others > limit)
        snprintf(source->note, sizeof source->note,
                 "%s: others used %.0f %% of the processors meanwhile, so the limits were "
                 "not kept; measure again when fewer run",
                 j->device, 100 * others);
    else if (status == BE_OK && source->path[0] &&
             machine_store(source->path, key, answer.limits, &reason) != BE_OK)
        snprintf(source->note, sizeof source->note,
                 "%s: the limits could not be kept and will be measured again: %.480s", j->device,
                 reason.text);
    protocol_answer_clear(&answer);
    return status;
}

static be_status machine_answer(machine_job *j, limits *out, be_error *err)
{
    machine_source *source = j->source;
    const json_t *device = NULL;
    be_error reason = {0};
    TRY(machine_find(j->r.hello.json, j->device, &device, err));
    const char *bus = json_string_value(json_object_get(device, "bus"));
    snprintf(source->bus, sizeof source->bus, "%s", bus ? bus : "");
    bool cpu = strcmp(j->device, "cpu") == 0;
    j->is_cpu = cpu || json_is_true(json_object_get(device, "is_cpu"));
    json_t *key = machine_key(j->native, device, cpu ? j->threads : 0);
    if (!key) FAIL(err, BE_NO_MEMORY, "no memory left to look for a file; free some");
    if (machine_path(source->path, key, &reason) != BE_OK) {
        source->path[0] = 0;
        snprintf(source->note, sizeof source->note,
                 "%s: the limits are not kept and will be measured again: %.480s", j->device,
                 reason.text);
    }
    be_status status = BE_OK;
    source->cached =
        !j->options->refresh && source->path[0] && machine_load(source->path, key, out);
    if (!source->cached) status = machine_renew(j, key, out, err);
    json_decref(key);
    return status;
}

be_status machine_limits(const engine *native, const char *device, int threads,
                         const machine_options *options, limits *out, be_error *err)
{
    machine_source unused;
    machine_job j = {.native = native,
                     .device = device,
                     .threads = threads,
                     .options = options,
                     .source = options->source ? options->source : &unused};
    runner_options start = {.name = "native",
                            .argv = native->argv,
                            .env = native->env,
                            .device = device,
                            .start_limit_s = machine_limit_s(options, START_LIMIT_S),
                            .interrupted = options->interrupted};
    *out = limits_unknown();
    *j.source = (machine_source){0};
    TRY(runner_start(&j.r, &start, err));
    be_status status = machine_answer(&j, out, err);
    if (status != BE_OK) *out = limits_unknown();
    runner_clear(&j.r);
    return status;
}
