/* Limits of devices, shown. */
#include "cli/devices_limits.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core/file.h"

/* ---------------------------------------------------------------- cells */

/* "118 GFLOP/s" */
static const char *flops_text(double value, char out[REPORT_TEXT_BYTES])
{
    report_flops(value, out);
    return isfinite(value) ? strcat(out, "/s") : out;
}

/* "46.7 GB/s": decimal, as memory and buses are sold. */
static const char *rate_text(double value, char out[REPORT_TEXT_BYTES])
{
    bool tera = value >= 0.9995e12, giga = value >= 0.9995e9;
    double number = value / (tera ? 1e12 : giga ? 1e9 : 1e6);
    if (!(value > 0)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, number < 100 ? "%.3g %sB/s" : "%.0f %sB/s", number,
             tera   ? "T"
             : giga ? "G"
                    : "M");
    return out;
}

static const char *fp32_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return flops_text(report_real(record, device, limits.flops_fp32), out);
}

static const char *memory_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return rate_text(report_real(record, device, limits.memory_bytes_per_s), out);
}

static const char *cache_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return rate_text(report_real(record, device, limits.cache_bytes_per_s), out);
}

/* "cpu, 2 threads" */
static const char *device_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double threads = report_real(record, device, limits.threads);
    snprintf(out, REPORT_TEXT_BYTES, "%.30s", report_string(record, device, device));
    if (report_member(record, device, limits) && threads > 0)
        snprintf(out + strlen(out), REPORT_TEXT_BYTES - strlen(out), ", %.0f thread%s", threads,
                 threads == 1 ? "" : "s");
    return out;
}

static const char *measured_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double unix_s = report_real(record, device, limits.unix_s);
    time_t seconds = isfinite(unix_s) ? (time_t)unix_s : 0;
    struct tm local;
    if (!seconds || !localtime_r(&seconds, &local)) return strcpy(out, "-");
    strftime(out, REPORT_TEXT_BYTES, "%Y-%m-%d %H:%M", &local);
    return out;
}

static const char *up_cell(const json_t *copy, char out[REPORT_TEXT_BYTES])
{
    return rate_text(report_real(copy, copy, bytes) / report_real(copy, copy, up_s), out);
}

static const char *down_cell(const json_t *copy, char out[REPORT_TEXT_BYTES])
{
    return rate_text(report_real(copy, copy, bytes) / report_real(copy, copy, down_s), out);
}

static const char *number_cell(double value, double unit, const char *name,
                               char out[REPORT_TEXT_BYTES])
{
    if (!isfinite(value)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.3g %s", value / unit, name);
    return out;
}

static const char *clock_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return number_cell(report_real(record, device, sensors.clock_hz), 1e9, "GHz", out);
}

static const char *clock_max_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return number_cell(report_real(record, device, sensors.clock_max_hz), 1e9, "GHz", out);
}

static const char *heat_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return number_cell(report_real(record, device, sensors.temperature_c), 1,
                       report_look.utf8 ? "°C" : "C", out);
}

static const char *power_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return number_cell(report_real(record, device, sensors.power_w), 1, "W", out);
}

static const char *energy_cell(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    const char *name = report_string(record, device, sensors.energy_sensor);
    snprintf(out, REPORT_TEXT_BYTES, "%.50s", *name ? name : "-");
    return out;
}

const report_column devices_limits_columns[DEVICES_LIMITS_COLUMNS] = {
    {MEMBER(device, limits.threads), NULL, UNIT_COUNT, NULL},
    {MEMBER(device, limits.flops_fp32), NULL, UNIT_NUMBER, NULL},
    {MEMBER(device, limits.flops_tf32), NULL, UNIT_NUMBER, NULL},
    {MEMBER(device, limits.flops_bf16), NULL, UNIT_NUMBER, NULL},
    {MEMBER(device, limits.memory_bytes_per_s), NULL, UNIT_NUMBER, NULL},
    {MEMBER(device, limits.cache_bytes_per_s), NULL, UNIT_NUMBER, NULL},
    {MEMBER(device, limits.launch_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(device, limits.round_trip_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(device, limits.transfers), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, limits.unix_s), NULL, UNIT_COUNT, NULL},
    {MEMBER(device, limits_cached), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, limits_file), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, limits_reason), NULL, UNIT_TEXT, NULL},
    {MEMBER(device, sensors), NULL, UNIT_TEXT, NULL},
};

/* ---------------------------------------------------------------- tables */

static be_status print_table(const cli_options *options, const char *title,
                             const report_column *columns, int count, const json_t *records,
                             be_error *err)
{
    report_sheet sheet = {columns, count, records, -1};
    if (json_array_size(records) == 0) return BE_OK;
    fprintf(cli_results, cli_format(options) == REPORT_MD ? "\n%s\n\n" : "\n%s\n", title);
    return report_write(&sheet, cli_format(options), cli_results, err);
}

#define COLUMNS(columns) columns, (int)(sizeof columns / sizeof columns[0])

/* A row for each size of each device. */
static json_t *list_copies(const json_t *records)
{
    json_t *rows = json_array(), *record, *copy;
    size_t i, c;
    json_array_foreach((json_t *)records, i, record)
    {
        json_array_foreach((json_t *)report_member(record, device, limits.transfers), c, copy)
        {
            json_t *row = json_copy(copy);
            json_object_set(row, "device", report_member(record, device, device));
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

/* When and from where, and what could not be measured. */
static void print_sources(const json_t *records)
{
    char text[REPORT_TEXT_BYTES], line[FILE_PATH_BYTES + 200];
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)records, i, record)
    {
        const char *device = report_string(record, device, device);
        const char *reason = report_string(record, device, limits_reason);
        const char *file = report_string(record, device, limits_file);
        if (*reason)
            snprintf(line, sizeof line, "%s: not measured: %s", device, reason);
        else
            snprintf(line, sizeof line, "%s: measured %s%s%s", device, measured_cell(record, text),
                     report_is(record, device, limits_cached) ? ", read from "
                     : *file                                  ? ", kept in "
                                                              : ", not kept",
                     file);
        fputc('\n', cli_results);
        report_paragraph(cli_results, line, 2);
    }
}

be_status devices_limits_print(const cli_options *options, const json_t *records, be_error *err)
{
    static const report_column peaks[] = {
        {MEMBER(device, device), "device", UNIT_TEXT, device_cell},
        {MEMBER(device, limits.flops_fp32), "fp32", UNIT_NUMBER, fp32_cell},
        {MEMBER(device, limits.memory_bytes_per_s), "memory", UNIT_NUMBER, memory_cell},
        {MEMBER(device, limits.cache_bytes_per_s), "cache", UNIT_NUMBER, cache_cell},
        {MEMBER(device, limits.launch_s), "launch", UNIT_SECONDS, NULL},
        {MEMBER(device, limits.round_trip_s), "round trip", UNIT_SECONDS, NULL},
    };
    static const report_column copies[] = {
        {MEMBER(device, device), "device", UNIT_TEXT, NULL},
        {MEMBER(copy, bytes), "bytes", UNIT_BYTES, NULL},
        {MEMBER(copy, up_s), "to the device", UNIT_SECONDS, NULL},
        {MEMBER(copy, up), "rate", UNIT_NUMBER, up_cell},
        {MEMBER(copy, down_s), "from it", UNIT_SECONDS, NULL},
        {MEMBER(copy, down), "rate", UNIT_NUMBER, down_cell},
    };
    static const report_column states[] = {
        {MEMBER(device, device), "device", UNIT_TEXT, NULL},
        {MEMBER(device, sensors.clock_hz), "clock", UNIT_NUMBER, clock_cell},
        {MEMBER(device, sensors.clock_max_hz), "highest", UNIT_NUMBER, clock_max_cell},
        {MEMBER(device, sensors.temperature_c), "temperature", UNIT_NUMBER, heat_cell},
        {MEMBER(device, sensors.power_w), "power", UNIT_NUMBER, power_cell},
        {MEMBER(device, sensors.energy_sensor), "energy counter", UNIT_TEXT, energy_cell},
    };
    json_t *with_limits = json_array(), *rows = list_copies(records), *record;
    size_t i;
    json_array_foreach((json_t *)records, i, record)
    {
        if (report_member(record, device, limits)) json_array_append(with_limits, record);
    }
    be_status status =
        print_table(options, "What they can do at most", COLUMNS(peaks), with_limits, err);
    if (status == BE_OK)
        status =
            print_table(options, "One copy between host and device", COLUMNS(copies), rows, err);
    if (status == BE_OK)
        status = print_table(options, "Sensors", COLUMNS(states), with_limits, err);
    print_sources(with_limits);
    json_decref(with_limits);
    json_decref(rows);
    return status;
}
