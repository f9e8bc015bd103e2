/* Who a record is of. */
#include "report/contender.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "run/engine.h"

const char *contender_title(const json_t *record)
{
    return engine_title(report_string(record, bench, engine));
}

const char *contender_model(const json_t *record)
{
    const char *title = report_string(record, bench, title);
    return *title ? title : report_string(record, bench, workload);
}

const char *contender_precisions(const json_t *record)
{
    const char *several = report_string(record, bench, asked.precisions);
    return *several ? several : report_string(record, bench, asked.precision);
}

bool contender_is_cpu(const json_t *record)
{
    return strcmp(report_string(record, bench, device), "cpu") == 0;
}

bool contender_is_gpu(const json_t *record)
{
    static const char cpu[] = "CPU behind OpenCL";
    return !contender_is_cpu(record) && !report_is(record, bench, computes_nothing) &&
           strncmp(report_string(record, bench, device_name), cpu, sizeof cpu - 1) != 0;
}

bool contender_is_hidden_cpu(const json_t *record)
{
    return strncmp(report_string(record, bench, device), "opencl", 6) == 0 &&
           !contender_is_gpu(record) && *report_string(record, bench, device_name);
}

static const char *device_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    const char *device = report_string(record, bench, device);
    snprintf(out, REPORT_TEXT_BYTES, "%.40s%s", device,
             contender_is_hidden_cpu(record) ? " (CPU)" : "");
    return out;
}

const char *contender_who(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double threads = report_real(record, bench, threads); /* what it had, or was to have */
    char device[REPORT_TEXT_BYTES];
    text_buffer b = text_begin(out, REPORT_TEXT_BYTES);
    if (isnan(threads)) threads = report_real(record, bench, asked.threads);
    if (contender_is_cpu(record) && threads >= 1)
        text_add(&b, "%s on %.0f thread%s", contender_title(record), threads,
                 threads == 1 ? "" : "s");
    else
        text_add(&b, "%.16s on %.40s", contender_title(record), device_text(record, device));
    if (*report_string(record, bench, asked.precisions))
        text_add(&b, ", %s", report_string(record, bench, asked.precision));
    return out;
}

#define LEAST_FLOPS_A_BYTE 1e-3

bool contender_only_moves(const json_t *record)
{
    double flops = report_real(record, bench, flops_per_step);
    return flops < LEAST_FLOPS_A_BYTE * report_real(record, bench, bytes_per_step);
}
