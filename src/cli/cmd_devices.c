/* breakeven devices: every device of every engine, usable or not, and if not why. */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/devices_limits.h"
#include "cli/request.h"
#include "core/text.h"
#include "report/contender.h"
#include "study/study.h"

static const char *usable_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return strcpy(out, report_is(record, device, usable) ? "yes" : "no");
}

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s %s", contender_title(record),
             report_string(record, device, version));
    return out;
}

static const char *library_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    const char *driver = report_string(record, device, driver);
    const char *text = *driver ? driver : report_string(record, device, libraries.blas);
    const char *path = strstr(text, " (/"); /* which stands below the table */
    snprintf(out, REPORT_TEXT_BYTES, "%.*s", path ? (int)(path - text) : REPORT_TEXT_BYTES - 1,
             text);
    return out;
}

static const char *name_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    char name[REPORT_TEXT_BYTES], bytes[REPORT_TEXT_BYTES];
    double cores = report_real(record, device, cores);
    report_hardware(report_string(record, device, device_name), name);
    snprintf(out, REPORT_TEXT_BYTES, "%s", name);
    if (report_member(record, device, memory_bytes))
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %s",
                 report_bytes(report_real(record, device, memory_bytes), bytes));
    if (report_member(record, device, cores))
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %.0f core%s", cores,
                 cores == 1 ? "" : "s");
    return out;
}

/* A library with its version, and where it is or why it is not: on one line if the page is wide
 * enough, else what follows the version on lines of its own. */
static void print_library(const json_t *library)
{
    const char *name = report_string(library, library, name),
               *reason = report_string(library, library, reason);
    const char *version = *reason ? "-" : report_string(library, library, version);
    const char *text = *reason ? reason : report_string(library, library, path);
    char line[REPORT_TEXT_BYTES];
    snprintf(line, sizeof line, "  %-20s %-26s ", name, version);
    if ((int)(text_width(line) + text_width(text)) <= report_columns()) {
        fprintf(cli_results, "%s%s\n", line, text);
        return;
    }
    fprintf(cli_results, "  %s %s\n      ", name, version);
    text_wrap(cli_results, text, report_columns(), 6, 6);
}

/* The BLAS of an engine that says where it lies, once. */
static void print_blas(const json_t *records, size_t i)
{
    const json_t *record = json_array_get(records, i);
    const char *blas = report_string(record, device, libraries.blas);
    char line[700];
    for (size_t k = 0; k < i; k++)
        if (strcmp(report_string(json_array_get(records, k), device, libraries.blas), blas) == 0)
            return;
    if (!strstr(blas, " (/")) return;
    snprintf(line, sizeof line, "%s: %s", contender_title(record), blas);
    fputc('\n', cli_results);
    report_paragraph(cli_results, line, 2);
}

/* The libraries of each device below the table, with version and path, or why not. */
static void print_libraries(const json_t *records)
{
    size_t i, l;
    json_t *record, *library;
    char units[REPORT_TEXT_BYTES];
    json_array_foreach(records, i, record)
    {
        json_t *list = report_member(record, device, device_libraries);
        if (json_array_size(list) > 0)
            fprintf(cli_results, "\n%s: compute capability %s, %s multiprocessors\n",
                    report_string(record, device, device),
                    report_string(record, device, compute_capability),
                    report_count(report_real(record, device, units), units));
        json_array_foreach(list, l, library) print_library(library);
        print_blas(records, i);
    }
}

/* The reasons below the table, one per line. */
static void print_reasons(const json_t *records)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const char *reason = report_string(record, device, reason);
        const char *device = report_string(record, device, device);
        char text[1200] = "";
        if (!*reason) continue;
        if (strcmp(device, "-") != 0) /* else the engine is missing, as its reason says */
            snprintf(text, sizeof text, "%s on %s: ", contender_title(record), device);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s", reason);
        fputc('\n', cli_results);
        report_paragraph(cli_results, text, 2);
    }
}

static void print_pythons(const json_t *pythons)
{
    size_t i;
    json_t *text;
    json_array_foreach(pythons, i, text)
    {
        fputc('\n', cli_results);
        report_paragraph(cli_results, json_string_value(text), 2);
    }
}

static const report_column columns[] = {
    {MEMBER(device, engine), "engine", UNIT_TEXT, engine_text},
    {MEMBER(device, device), "device", UNIT_TEXT, NULL},
    {MEMBER(device, usable), "usable", UNIT_TEXT, usable_text},
    {MEMBER(device, device_name), "hardware", UNIT_TEXT, name_text},
    {MEMBER(device, libraries.blas), "library", UNIT_TEXT, library_text},
    {MEMBER(device, version), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, cores), NULL, UNIT_COUNT, NULL},
    {MEMBER(device, memory_bytes), NULL, UNIT_COUNT, NULL},
    {MEMBER(device, driver), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, compute_capability), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, units), NULL, UNIT_COUNT, NULL},
    {MEMBER(device, reason), NULL, UNIT_TEXT, NULL},
};
#define COLUMNS ((int)(sizeof columns / sizeof columns[0]))

static be_status print_devices(const cli_options *options, const study_devices *devices,
                               be_error *err)
{
    const json_t *records = devices->records;
    bool with_limits = options->value[OPTION_MEASURE].is_given;
    report_column all[COLUMNS + DEVICES_LIMITS_COLUMNS];
    report_format format = cli_format(options);
    memcpy(all, columns, sizeof columns);
    memcpy(all + COLUMNS, devices_limits_columns, sizeof devices_limits_columns);
    report_sheet sheet = {all, COLUMNS + (with_limits ? DEVICES_LIMITS_COLUMNS : 0), records, -1};
    TRY(cli_write(options, &sheet, err));
    if (with_limits && (format == REPORT_TABLE || format == REPORT_MD))
        TRY(devices_limits_print(options, records, err));
    if (format == REPORT_TABLE) {
        print_libraries(records);
        print_pythons(devices->pythons);
        print_reasons(records);
    }
    return BE_OK;
}

be_status cmd_devices(const cli_options *options, be_error *err)
{
    const option_value *values = options->value;
    bool measures = values[OPTION_MEASURE].is_given;
    study_limits limits = {.refresh = values[OPTION_REFRESH].is_given,
                           .threads = measures ? cli_default_threads(options) : 0,
                           .seconds = values[OPTION_TIME].real};
    study_devices devices;
    request_listener listener = {.options = options};
    study_watch watch = request_watch(&listener);
    be_status status = study_find_devices(measures ? &limits : NULL, &watch, &devices, err);
    if (status == BE_OK) status = print_devices(options, &devices, err);
    json_decref(devices.records);
    json_decref(devices.pythons);
    return status;
}
