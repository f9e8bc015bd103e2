/* See method.h. */
#include "report/method.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/contender.h"
#include "report/html.h"
#include "report/sentence.h"

#define BARS_SHOWN 16
#define NAME_BYTES 200
#define VALUE_BYTES 600

static json_t *measured_of(const json_t *records)
{
    json_t *benches = json_array(), *record;
    size_t i;
    json_array_foreach(records, i,
                       record) if (strcmp(report_string(record, bench, kind), "bench") == 0)
        json_array_append(benches, record);
    return benches;
}

/* ---------------------------------------------------------------- in words */

static void say_method(const json_t *benches, FILE *out)
{
    char line[900];
    const json_t *first = json_array_get(benches, 0);
    text_buffer b = TEXT_BUFFER(line);
    text_add(&b,
             "Each contender worked in a process of its own, began with the same weights and saw "
             "the same batches (seed %.0f). What each computed was held against a reference in "
             "double precision before it was timed. They took turns, block by block; a time is "
             "the median of its blocks with its 95 %% interval, and a verdict goes by the "
             "interval of the ratio.",
             report_real(first, bench, seed));
    report_paragraph(out, line, 2);
}

static void say_data(const json_t *records, FILE *out)
{
    const json_t *first = NULL;
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const char *source = report_string(record, bench, data_source);
        if (!*source || strcmp(source, report_string(first, bench, data_source)) == 0) continue;
        first = record;
        sentence s = {0};
        sentence_add(&s, "Data of %s: %s.", report_string(record, bench, workload), source);
        sentence_end(&s, out);
    }
}

/* ---------------------------------------------------------------- tables */

static const char *who_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return contender_who(record, out);
}

static const char *parity_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double error = report_real(record, bench, parity.error);
    if (isnan(error)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.1e", error);
    return out;
}

static void write_ways(const json_t *benches, FILE *out)
{
    static const report_column columns[] = {
        {MEMBER(bench, workload), "workload", UNIT_TEXT, NULL},
        {MEMBER(bench, engine), "contender", UNIT_TEXT, who_text},
        {MEMBER(bench, implementation), "ran", UNIT_TEXT, NULL},
        {MEMBER(bench, launch_order), "launches in", UNIT_TEXT, NULL},
        {MEMBER(bench, engine_version), "version", UNIT_TEXT, NULL},
        {MEMBER(bench, batch), "batch", UNIT_COUNT, NULL},
        {MEMBER(bench, step_s.median), "step", UNIT_SECONDS, NULL},
        {MEMBER(bench, step_s.count), "blocks", UNIT_COUNT, NULL},
        {MEMBER(bench, block_steps), "steps each", UNIT_COUNT, NULL},
        {MEMBER(bench, stop_reason), "ended by", UNIT_TEXT, NULL},
        {MEMBER(bench, parity.error), "parity", UNIT_NUMBER, parity_text},
        {MEMBER(bench, peak_rss_bytes), "memory", UNIT_BYTES, NULL},
        {MEMBER(bench, device_memory_bytes), "on the device", UNIT_BYTES, NULL},
        {MEMBER(bench, energy_per_step_j), "joules a step", UNIT_NUMBER, NULL},
    };
    report_sheet sheet = {columns, sizeof columns / sizeof *columns, benches, -1};
    html_fold_begin(out, "how each was measured");
    report_write_html(&sheet, NULL, out);
    html_fold_end(out);
}

static void write_blocks(const json_t *benches, FILE *out)
{
    char who[REPORT_TEXT_BYTES];
    size_t i, b;
    json_t *record, *block;
    html_fold_begin(out, "every block: seconds per step, in the order in which they were measured");
    fprintf(out, "<pre>");
    json_array_foreach(benches, i, record)
    {
        const json_t *blocks = report_member(record, bench, blocks);
        if (!json_array_size(blocks)) continue;
        html_text(out, report_string(record, bench, workload));
        fprintf(out, ", batch %.0f, ", report_real(record, bench, batch));
        html_text(out, contender_who(record, who));
        fputc(':', out);
        json_array_foreach(blocks, b, block) fprintf(out, " %.6g", json_number_value(block));
        fputc('\n', out);
    }
    fprintf(out, "</pre>");
    html_fold_end(out);
}

/* What the system gave a contender, and what it took of its device. */
static void draw_memory(const json_t *records, FILE *out)
{
    static const char *const parts[] = {"of the system", "of the device"};
    char names[BARS_SHOWN][REPORT_TEXT_BYTES];
    bar list[BARS_SHOWN];
    bars b = {.title = "peak memory",
              .bars = list,
              .parts = parts,
              .letters = "#=",
              .part_count = 2,
              .text = report_bytes};
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        char who[REPORT_TEXT_BYTES];
        double host = report_real(record, bench, peak_rss_bytes);
        double device = report_real(record, bench, device_memory_bytes);
        if (!(host > 0) || b.count == BARS_SHOWN) continue;
        device = device > 0 ? device : 0;
        snprintf(names[b.count], REPORT_TEXT_BYTES, "%.60s, %.100s",
                 report_string(record, bench, workload), contender_who(record, who));
        list[b.count] = (bar){.name = names[b.count],
                              .total = host + device,
                              .low = (double)NAN,
                              .high = (double)NAN,
                              .parts = {host, device}};
        b.count++;
    }
    if (b.count > 1) html_bars(&b, false, out);
}

/* ---------------------------------------------------------------- the machine */

static void write_value(const json_t *value, char out[VALUE_BYTES])
{
    char *text = json_is_string(value)
                     ? NULL
                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    snprintf(out, VALUE_BYTES, "%s",
             text                       ? text
             : json_string_value(value) ? json_string_value(value)
                                        : "");
    free(text);
}

/* A line for each member that is known; those of objects by their path. */
static void write_members(const json_t *object, const char *before, FILE *out)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        char path[NAME_BYTES], text[VALUE_BYTES];
        snprintf(path, sizeof path, "%.120s%s%.60s", before, *before ? "." : "", name);
        if (json_is_object(value) && strlen(before) < NAME_BYTES / 2) {
            write_members(value, path, out);
            continue;
        }
        if (json_is_null(value)) continue;
        write_value(value, text);
        html_element(out, "dt", "", "%s", path);
        html_element(out, "dd", "", "%s", text);
    }
}

/* Of the first record that tells; a run has one. */
static void write_machine(const json_t *records, FILE *out)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const json_t *environment = json_object_get(record, "environment");
        if (!json_is_object(environment)) continue;
        html_fold_begin(out, "all that is known of the machine and the build");
        fprintf(out, "<dl>");
        write_members(environment, "", out);
        fprintf(out, "</dl>");
        html_fold_end(out);
        return;
    }
}

static void say_machine(const json_t *records, FILE *out)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const json_t *e = json_object_get(record, "environment");
        char name[REPORT_TEXT_BYTES], memory[REPORT_TEXT_BYTES];
        sentence s = {0};
        if (!json_is_object(e)) continue;
        sentence_add(&s, "Machine: %s, %.0f threads, %s; %s; breakeven %s, build %s.",
                     report_hardware(report_string(e, environment, cpu.model), name),
                     report_real(e, environment, cpu.threads),
                     report_bytes(report_real(e, environment, memory_bytes), memory),
                     report_string(e, environment, system),
                     report_string(e, environment, build.version),
                     report_string(e, environment, build.commit));
        sentence_end(&s, out);
        return;
    }
}

void method_write(const json_t *records, FILE *out)
{
    json_t *benches = measured_of(records);
    bool any = json_array_size(benches) > 0;
    report_heading(out, "Machine and method");
    say_machine(records, out);
    if (any) say_method(benches, out);
    if (any) say_data(benches, out);
    if (report_look.html) {
        if (any) draw_memory(benches, out);
        if (any) write_ways(benches, out);
        if (any) write_blocks(benches, out);
        write_machine(records, out);
    }
    json_decref(benches);
}
