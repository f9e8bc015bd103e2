/* The table of a measurement, what stands above it, and what went wrong. */
#include "report/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/contender.h"
#include "report/html.h"
#include "report/warnings.h"
#include "run/record_fields.h"
#include "workloads/workload.h"

#define BARS_SHOWN 16

/* ---------------------------------------------------------------- cells */

static const char *engine_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    snprintf(out, REPORT_TEXT_BYTES, "%s", contender_title(record));
    return out;
}

static const char *threads_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    return contender_is_cpu(record) ? report_count(report_real(record, bench, threads), out)
                                    : strcpy(out, "-");
}

/* "3.21 ±0.04 ms": the median and half of its 95 % interval. */
static const char *step_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double median = report_real(record, bench, step_s.median);
    double half =
        (report_real(record, bench, step_s.high) - report_real(record, bench, step_s.low)) / 2;
    char text[REPORT_TEXT_BYTES];
    if (isnan(median)) return strcpy(out, "failed");
    report_seconds(median, text);
    if (isnan(half)) return strcpy(out, text);
    char *unit = strchr(text, ' ');
    double scale = strtod(text, NULL) / median;
    const char *point = strchr(text, '.');
    int decimals = point && point < unit ? (int)(unit - point) - 1 : 0;
    snprintf(out, REPORT_TEXT_BYTES, "%.*s %s%.*f%s", (int)(unit - text), text,
             report_look.utf8 ? "±" : "+-", decimals, half * scale, unit);
    return out;
}

static const char *versus_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double ratio = report_real(record, bench, versus.ratio);
    const char *verdict = report_string(record, bench, versus.verdict);
    if (isnan(report_real(record, bench, step_s.median))) return strcpy(out, "-");
    if (report_is(record, bench, computes_nothing)) return strcpy(out, "computes nothing");
    if (report_is(record, shown, best)) return strcpy(out, "best");
    if (isnan(ratio)) return strcpy(out, "-");
    if (strcmp(verdict, "SAME") == 0) return strcpy(out, "SAME");
    snprintf(out, REPORT_TEXT_BYTES, "%.*f%s %s", ratio < 9.995 ? 2 : 1, ratio, report_times(),
             strcmp(verdict, "UNSURE") == 0 ? "UNSURE" : "SLOWER");
    return out;
}

/* In 10^9 a second, as limits are told. */
static const char *arithmetic_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double rate = report_real(record, bench, flops_per_s);
    return report_number(contender_only_moves(record) ? (double)NAN : 1e-9 * rate, out);
}

static const char *traffic_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double bytes = report_real(record, bench, bytes_per_step);
    return report_number(1e-9 * bytes / report_real(record, bench, step_s.median), out);
}

/* Of the limit that is nearer. */
static const char *share_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double share = fmax(report_real(record, bench, proof.of_peak),
                        report_real(record, bench, proof.of_bandwidth));
    if (isnan(share)) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, share < 0.0995 ? "%.1f %%" : "%.0f %%", 100 * share);
    return out;
}

static const report_column columns[] = {
    {MEMBER(bench, engine), "engine", UNIT_TEXT, engine_text},
    {MEMBER(bench, device), "device", UNIT_TEXT, NULL},
    {MEMBER(bench, threads), "threads", UNIT_COUNT, threads_text},
    {MEMBER(bench, asked.precision), NULL, UNIT_TEXT, NULL}, /* "type" of several */
    {MEMBER(bench, step_s.median), "step", UNIT_SECONDS, step_text},
    {MEMBER(bench, units_per_s), "samples/s", UNIT_NUMBER, NULL},
    {MEMBER(bench, first_step_s), "step 1", UNIT_SECONDS, NULL},
    {MEMBER(bench, peak_rss_bytes), "memory", UNIT_BYTES, NULL},
    {MEMBER(bench, flops_per_s), NULL, UNIT_FLOPS, NULL},
    {MEMBER(bench, bytes_per_step), NULL, UNIT_BYTES, NULL},
    {MEMBER(bench, proof.of_peak), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.ratio), "vs. best", UNIT_NUMBER, versus_text},
    {MEMBER(bench, workload), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, mode), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, batch), NULL, UNIT_COUNT, NULL},
#define X(id, member, ...) {#member, NULL, UNIT_COUNT, NULL},
    WORKLOAD_VARIANT_LIST(X)
#undef X
        {MEMBER(bench, precision), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, samples_per_s), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, unit), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, data_on), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, accumulate), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, step_s.low), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, step_s.high), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, versus.low), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.high), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.verdict), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, flops_per_step), NULL, UNIT_FLOPS, NULL},
    {MEMBER(bench, stop_reason), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, implementation), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, engine_version), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, device_name), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, data), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, seed), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, status), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, error), NULL, UNIT_TEXT, NULL},
};

#define COLUMN_COUNT ((int)(sizeof columns / sizeof columns[0]))

/* ---------------------------------------------------------------- groups */

bool bench_is_alike(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {MEMBER(bench, workload), MEMBER(bench, mode),
                                       MEMBER(bench, batch), MEMBER(bench, accumulate),
#define X(id, member, ...) #member,
                                       WORKLOAD_VARIANT_LIST(X)
#undef X
    };
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const json_t *mine = json_object_get(a, keys[k]), *other = json_object_get(b, keys[k]);
        if ((mine || other) && !json_equal(mine, other)) return false;
    }
    return strcmp(contender_precisions(a), contender_precisions(b)) == 0;
}

/* The time of a sample; those that failed or computed nothing are the slowest. */
static double cost_of(const json_t *record)
{
    double samples = report_real(record, bench, samples_per_s);
    return isnan(samples) ? INFINITY : 1 / samples;
}

json_t *bench_take_group(const json_t *records, size_t first, size_t *next)
{
    json_t *group = json_array();
    const json_t *head = json_array_get(records, first);
    for (*next = first; *next < json_array_size(records); ++*next) {
        json_t *record = json_array_get(records, *next);
        if (!bench_is_alike(head, record)) break;
        size_t at = 0;
        while (at < json_array_size(group) && cost_of(json_array_get(group, at)) <= cost_of(record))
            at++;
        json_array_insert(group, at, record);
    }
    json_t *best = json_array_get(group, 0);
    if (isfinite(cost_of(best))) json_object_set_new(best, "best", json_true());
    return group;
}

/* ---------------------------------------------------------------- head */

static void print_machine(const json_t *record, FILE *out)
{
    char name[REPORT_TEXT_BYTES], memory[REPORT_TEXT_BYTES], line[500];
    char count[REPORT_TEXT_BYTES], threads[REPORT_TEXT_BYTES];
    const json_t *e = report_member(record, bench, environment);
    double cores = report_real(e, environment, cpu.cores);
    report_hardware(report_string(e, environment, cpu.model), name);
    snprintf(line, sizeof line, "machine: %s, %s core%s, %s threads, %s; %s", name,
             report_count(cores, count), cores == 1 ? "" : "s",
             report_count(report_real(e, environment, cpu.threads), threads),
             report_bytes(report_real(e, environment, memory_bytes), memory),
             report_string(e, environment, system));
    report_paragraph(out, line, 2);
}

static void print_data(const json_t *record, FILE *out)
{
    char count[REPORT_TEXT_BYTES], units[REPORT_TEXT_BYTES], all[400], line[900];
    double samples = report_real(record, bench, data_count);
    text_buffer b = TEXT_BUFFER(all);
    if (!isnan(samples)) /* a user's own batch() has no end */
        text_add(&b, ", %s %s", report_count(samples, count),
                 report_samples(report_string(record, bench, workload), units));
    snprintf(line, sizeof line, "data: %s%s; the same weights and batches for all, seed %.0f",
             report_string(record, bench, data_source), all, report_real(record, bench, seed));
    report_paragraph(out, line, 2);
}

/* ", a width of 2 times its own, pictures of 40 pixels"; what is its own is not told. */
static const char *tell_variant(const json_t *record, char out[WORKLOAD_TEXT])
{
    workload_variant variant = {0};
    const workload *w = NULL;
    out[0] = 0;
    const char *name = report_string(record, bench, workload);
    workload own = workload_of_file(name);
    if (workload_find(name, &w, NULL) != BE_OK) w = &own;
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++) {
        workload_dimension d = (workload_dimension)i;
        double value = json_real_at(record, workload_dimension_names[d]);
        if (value > 0 && (d != WORKLOAD_WIDTH || (int)value != w->own.width))
            *workload_variant_at(&variant, d) = (int)value;
    }
    return workload_variant_text(w, &variant, ", ", ", ", out);
}

/* The arithmetic of a step, or the bytes of one that only moves them. */
static const char *work_text(const json_t *record, double flops, char out[REPORT_TEXT_BYTES])
{
    return contender_only_moves(record)
               ? report_bytes(report_real(record, bench, bytes_per_step), out)
               : report_flops(flops, out);
}

static void print_group_head(const json_t *record, FILE *out)
{
    char text[REPORT_TEXT_BYTES];
    bool host = strcmp(report_string(record, bench, data_on), "host") == 0;
    char variant[WORKLOAD_TEXT], line[300], size[REPORT_TEXT_BYTES + 20] = "", turns[32] = "";
    double accumulate = report_real(record, bench, accumulate);
    const char *name = contender_model(record);
    double params = report_real(record, bench, params); /* NAN: the first contender failed;
                                                          0: op:upload has a buffer alone */
    double work = report_real(record, bench, flops_per_step);
    tell_variant(record, variant);
    if (params > 0)
        snprintf(size, sizeof size, "%s %s, ", report_count(params, text),
                 report_is_operation(name) ? "numbers" : "parameters");
    if (accumulate > 1) snprintf(turns, sizeof turns, " in %.0f turns", accumulate);
    snprintf(line, sizeof line, "%s%s, batch %.0f%s, %s, %s%s%s", size,
             report_mode(name, report_string(record, bench, mode)),
             report_real(record, bench, batch), turns, contender_precisions(record),
             isnan(work) ? "arithmetic not known" : work_text(record, work, text),
             isnan(work) ? "" : " a step", host ? ", data on the host" : "");
    char head[WORKLOAD_TEXT + 400];
    snprintf(head, sizeof head, "%.60s%s: %s", name, variant, line);
    if (report_heading(out, head)) return;
    fprintf(out, "\n%s%s%s%s: ", report_look.color ? "\033[1m" : "", name,
            report_look.color ? "\033[0m" : "", variant);
    report_wrap(out, line, (int)(text_width(name) + text_width(variant)) + 2, 2);
    fprintf(out, "\n");
}

/* ---------------------------------------------------------------- below the table */

/* What ran, once for each engine. */
static void print_implementations(const json_t *group, FILE *out)
{
    for (size_t i = 0; i < json_array_size(group); i++) {
        const json_t *record = json_array_get(group, i);
        const char *text = report_string(record, bench, implementation);
        char line[500];
        bool is_repeated = !*text;
        for (size_t j = 0; j < i; j++)
            is_repeated |=
                json_equal(report_member(record, bench, implementation),
                           report_member(json_array_get(group, j), bench, implementation));
        if (is_repeated) continue;
        snprintf(line, sizeof line, "%s: %s", contender_title(record), text);
        report_paragraph(out, line, 2);
    }
}

static void print_hidden_cpus(const json_t *group, FILE *out)
{
    size_t i;
    json_t *record;
    char line[500];
    json_array_foreach(group, i, record)
    {
        if (!contender_is_hidden_cpu(record)) continue;
        snprintf(line, sizeof line, "%s is no GPU: %s", report_string(record, bench, device),
                 report_string(record, bench, device_name));
        report_paragraph(out, line, 2);
    }
}

static const char *failure_of(const json_t *record)
{
    return strcmp(report_string(record, bench, status), "OK") == 0
               ? ""
               : report_string(record, bench, error);
}

/* How an operation's columns differ. */
static void name_operation(report_column *column)
{
    static const report_column others[] = {
        {MEMBER(bench, units_per_s), NULL, UNIT_NUMBER, NULL},
        {MEMBER(bench, first_step_s), NULL, UNIT_SECONDS, NULL},
        {MEMBER(bench, peak_rss_bytes), NULL, UNIT_BYTES, NULL},
        {MEMBER(bench, flops_per_s), "GFLOP/s", UNIT_FLOPS, arithmetic_text},
        {MEMBER(bench, bytes_per_step), "GB/s", UNIT_BYTES, traffic_text},
        {MEMBER(bench, proof.of_peak), "of limit", UNIT_NUMBER, share_text},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(column->path, others[i].path) == 0) *column = others[i];
}

/* The columns, with the rate in what the workload counts: "pictures/s", "tokens/s". */
static const report_column *name_rate(const json_t *group, report_column own[COLUMN_COUNT],
                                      char rate[REPORT_TEXT_BYTES + 2])
{
    char units[REPORT_TEXT_BYTES];
    const char *workload = report_string(json_array_get(group, 0), bench, workload), *unit = "";
    size_t i;
    json_t *record;
    json_array_foreach(group, i, record)
    {
        if (!*unit) unit = report_string(record, bench, unit);
    }
    if (*unit) snprintf(units, sizeof units, "%.40ss", unit);
    snprintf(rate, REPORT_TEXT_BYTES + 2, "%s/s", *unit ? units : report_units(workload, units));
    memcpy(own, columns, sizeof columns);
    bool several = strchr(contender_precisions(json_array_get(group, 0)), ',');
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (strcmp(own[c].path, "units_per_s") == 0) own[c].title = rate;
        if (several && strcmp(own[c].path, "asked.precision") == 0) own[c].title = "type";
    }
    for (int c = 0; report_is_operation(workload) && c < COLUMN_COUNT; c++) name_operation(&own[c]);
    return own;
}

/* The steps as bars, the fastest ones, where there are two. */
static void draw_group(const json_t *group, FILE *out)
{
    char names[BARS_SHOWN][REPORT_TEXT_BYTES], steps[BARS_SHOWN][REPORT_TEXT_BYTES];
    char title[REPORT_TEXT_BYTES];
    static const char *const part[] = {"step"};
    bar list[BARS_SHOWN];
    bars b = {.title = title,
              .bars = list,
              .parts = part,
              .letters = "#",
              .part_count = 1,
              .text = report_seconds};
    size_t i;
    json_t *record;
    json_array_foreach(group, i, record)
    {
        double median = report_real(record, bench, step_s.median);
        if (isnan(median) || b.count == BARS_SHOWN) continue;
        list[b.count] = (bar){.name = contender_who(record, names[b.count]),
                              .total = median,
                              .low = report_real(record, bench, step_s.low),
                              .high = report_real(record, bench, step_s.high),
                              .parts = {median},
                              .after = step_text(record, steps[b.count])};
        b.count++;
    }
    snprintf(title, sizeof title, "time of a step, with its 95 %% interval%s",
             json_array_size(group) > BARS_SHOWN ? ": the fastest" : "");
    if (b.count > 1) html_bars(&b, false, out);
}

static be_status write_group(const json_t *group, report_format format, bool first, FILE *out,
                             be_error *err)
{
    char rate[REPORT_TEXT_BYTES + 2];
    report_column own[COLUMN_COUNT];
    report_sheet sheet = {name_rate(group, own, rate), COLUMN_COUNT, group, 0};
    print_group_head(json_array_get(group, 0), out);
    if (report_look.html) draw_group(group, out);
    TRY(report_write(&sheet, format, out, err));
    fprintf(out, "\n");
    print_implementations(group, out);
    print_hidden_cpus(group, out);
    warnings_write_texts(group, failure_of, " failed: ", out);
    warnings_write(group, WARNING_IDLE, first, out);
    bench_write_reasons(group, out);
    return BE_OK;
}

be_status bench_write(const json_t *records, report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {columns, COLUMN_COUNT, records, -1};
    const json_t *before = NULL;
    for (int c = 0; c < COLUMN_COUNT; c++) MUST(record_has_path(columns[c].path));
    if (format != REPORT_TABLE && format != REPORT_MD)
        return report_write(&sheet, format, out, err);
    for (size_t next = 0; next < json_array_size(records);) {
        json_t *head = json_array_get(records, next);
        if (!before && !report_is_document()) print_machine(head, out);
        if (!before || !json_equal(report_member(head, bench, data_source),
                                   report_member(before, bench, data_source)))
            print_data(head, out);
        bool first = !before;
        before = head;
        json_t *group = bench_take_group(records, next, &next);
        be_status status = write_group(group, format, first, out, err);
        json_decref(group);
        TRY(status);
    }
    return BE_OK;
}
