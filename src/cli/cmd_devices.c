/* breakeven devices: every device of every engine, usable or not, and if not why. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/devices_limits.h"
#include "core/text_json.h"
#include "core/topology.h"
#include "run/engine.h"

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
    if (json_object_get(device, "libraries"))
        json_object_set(record, "device_libraries", json_object_get(device, "libraries"));
}

/* Which Python the engine is of, and who else has it. */
static void add_pythons(json_t *record, const engine *e)
{
    json_t *pythons = engine_pythons(e);
    if (json_array_size(pythons) > 0) {
        json_object_set(record, "python", json_object_get(json_array_get(pythons, 0), "python"));
        json_array_remove(pythons, 0);
        json_object_set(record, "other_pythons", pythons);
    }
    json_decref(pythons);
}

static void add_devices(json_t *records, const engine *e, const json_t *hello)
{
    const char *engine_name = e->name;
    size_t i;
    json_t *device;
    json_array_foreach(json_object_get(hello, "devices"), i, device)
    {
        const char *id = report_string(device, "id");
        json_t *record = device_record(engine_name, id, report_string(device, "name"));
        json_object_set_new(record, "usable", json_true());
        json_object_set(record, "version", json_object_get(hello, "version"));
        json_object_set(record, "libraries", json_object_get(hello, "libraries"));
        add_pythons(record, e);
        add_facts(record, device);
        if (strcmp(id, "cpu") == 0) {
            json_object_set_new(record, "cores", json_integer(topology_get()->cores));
            json_object_set_new(record, "hardware_threads", json_integer(topology_get()->threads));
        }
        json_array_append_new(records, record);
    }
    json_array_foreach(json_object_get(hello, "unusable_devices"), i, device)
    {
        json_t *record =
            device_record(engine_name, report_string(device, "id"), report_string(device, "name"));
        json_object_set_new(record, "usable", json_false());
        json_object_set(record, "version", json_object_get(hello, "version"));
        json_object_set(record, "reason", json_object_get(device, "reason"));
        json_array_append_new(records, record);
    }
}

static void add_engine(json_t *records, const char *name, const engine_question *asked)
{
    if (asked->status == BE_OK) {
        add_devices(records, asked->engine, asked->hello);
        return;
    }
    json_t *record = device_record(name, "-", "-");
    json_object_set_new(record, "usable", json_false());
    json_object_set_new(record, "reason", text_json(asked->error.text));
    json_array_append_new(records, record);
}

static engine engines[ENGINE_COUNT]; /* they must stay where they are */

static be_status add_engines(const cli_options *options, json_t *records, be_error *err)
{
    engine_question asked[ENGINE_COUNT] = {{0}};
    engine_options asking = {.interrupted = &cli_signal};
    be_status status = BE_OK;
    cli_progress(options, "asking the engines for their devices ...");
    for (int e = 0; e < ENGINE_COUNT; e++) asked[e].engine = &engines[e];
    engine_ask(asked, &asking);
    for (int e = 0; e < ENGINE_COUNT; e++) {
        if (asked[e].status == BE_INTERRUPTED) {
            status = BE_INTERRUPTED;
            *err = asked[e].error;
        }
        add_engine(records, engine_names[e], &asked[e]);
        json_decref(asked[e].hello);
    }
    return status;
}

static const char *usable_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return strcpy(out, json_is_true(json_object_get(record, "usable")) ? "yes" : "no");
}

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s %s", engine_title(report_string(record, "engine")),
             report_string(record, "version"));
    return out;
}

static const char *library_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    const char *driver = report_string(record, "driver");
    snprintf(out, REPORT_TEXT_BYTES, "%.40s",
             *driver ? driver : report_string(record, "libraries.blas"));
    return out;
}

static const char *name_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    char name[REPORT_TEXT_BYTES], bytes[REPORT_TEXT_BYTES];
    double cores = report_real(record, "cores");
    report_hardware(report_string(record, "device_name"), name);
    snprintf(out, REPORT_TEXT_BYTES, "%.40s", name);
    if (json_object_get(record, "memory_bytes"))
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %s",
                 report_bytes(report_real(record, "memory_bytes"), bytes));
    if (json_object_get(record, "cores"))
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %.0f core%s", cores,
                 cores == 1 ? "" : "s");
    return out;
}

/* The libraries of each device below the table, with version and path, or why not. */
static void print_libraries(const json_t *records)
{
    size_t i, l;
    json_t *record, *library;
    char units[REPORT_TEXT_BYTES];
    json_array_foreach(records, i, record)
    {
        json_t *list = json_object_get(record, "device_libraries");
        if (json_array_size(list) > 0)
            fprintf(cli_results, "\n%s: compute capability %s, %s multiprocessors\n",
                    report_string(record, "device"), report_string(record, "compute_capability"),
                    report_count(report_real(record, "units"), units));
        json_array_foreach(list, l, library)
        {
            const char *reason = report_string(library, "reason");
            fprintf(cli_results, "  %-20s %-26s %s\n", report_string(library, "name"),
                    *reason ? "-" : report_string(library, "version"),
                    *reason ? reason : report_string(library, "path"));
        }
    }
}

/* The reasons below the table, one a line. */
static void print_reasons(const json_t *records)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const char *reason = report_string(record, "reason");
        const char *device = report_string(record, "device");
        char text[1200] = "";
        if (!*reason) continue;
        if (strcmp(device, "-") != 0) /* else the engine is missing, as its reason says */
            snprintf(text, sizeof text, "%s on %s: ", engine_title(report_string(record, "engine")),
                     device);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s", reason);
        fputc('\n', cli_results);
        report_paragraph(cli_results, text, 2);
    }
}

/* Of an engine that several Pythons have: which one was taken. */
static void print_pythons(void)
{
    char text[1200];
    for (int e = 0; e < ENGINE_COUNT; e++)
        if (engines[e].name && *engine_pythons_text(&engines[e], text, sizeof text)) {
            fputc('\n', cli_results);
            report_paragraph(cli_results, text, 2);
        }
}

static const report_column columns[] = {
    {"engine", "engine", UNIT_TEXT, engine_text},
    {"device", "device", UNIT_TEXT, NULL},
    {"usable", "usable", UNIT_TEXT, usable_text},
    {"device_name", "hardware", UNIT_TEXT, name_text},
    {"libraries.blas", "library", UNIT_TEXT, library_text},
    {"version", NULL, UNIT_TEXT, NULL},
    {"cores", NULL, UNIT_COUNT, NULL},
    {"memory_bytes", NULL, UNIT_COUNT, NULL},
    {"driver", NULL, UNIT_TEXT, NULL},
    {"compute_capability", NULL, UNIT_TEXT, NULL},
    {"units", NULL, UNIT_COUNT, NULL},
    {"reason", NULL, UNIT_TEXT, NULL},
};
#define COLUMNS ((int)(sizeof columns / sizeof columns[0]))

static be_status print_devices(const cli_options *options, const json_t *records, be_error *err)
{
    bool measured = options->value[OPTION_MEASURE].given;
    report_column all[COLUMNS + DEVICES_LIMITS_COLUMNS];
    report_format format = cli_format(options);
    memcpy(all, columns, sizeof columns);
    memcpy(all + COLUMNS, devices_limits_columns, sizeof devices_limits_columns);
    report_sheet sheet = {all, COLUMNS + (measured ? DEVICES_LIMITS_COLUMNS : 0), records, -1};
    TRY(cli_write(options, &sheet, err));
    if (measured && (format == REPORT_TABLE || format == REPORT_MD))
        TRY(devices_limits_print(options, records, err));
    if (format == REPORT_TABLE) {
        print_libraries(records);
        print_pythons();
        print_reasons(records);
    }
    return BE_OK;
}

be_status cmd_devices(const cli_options *options, be_error *err)
{
    json_t *records = json_array();
    be_status status = add_engines(options, records, err);
    if (status == BE_OK && options->value[OPTION_MEASURE].given)
        status = devices_limits_add(options, records, err);
    if (status == BE_OK) status = print_devices(options, records, err);
    json_decref(records);
    return status;
}
