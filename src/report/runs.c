/* See runs.h. */
#include "report/runs.h"

#include <inttypes.h>
#include <string.h>

#include "core/text.h"
#include "report/advice.h"
#include "report/bench.h"
#include "report/contender.h"
#include "report/explain.h"
#include "report/explain_sides.h"
#include "report/sweep.h"
#include "report/training.h"
#include "report/workers.h"

const char *runs_time_text(const json_t *run, char out[REPORT_TEXT_BYTES])
{
    const char *time = report_string(run, run, time);
    if (strlen(time) < 16) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.10s %.5s", time, time + 11);
    return out;
}

const char *runs_command_text(const json_t *run, char out[REPORT_TEXT_BYTES])
{
    const char *source = report_string(run, run, source), *slash = strrchr(source, '/');
    snprintf(out, REPORT_TEXT_BYTES, "%s%s%.40s", report_string(run, run, command),
             *source ? " " : "", slash ? slash + 1 : source);
    return out;
}

static const report_column columns[] = {
    {MEMBER(run, run), "run", UNIT_COUNT, NULL},
    {MEMBER(run, time), "began (UTC)", UNIT_TIME, runs_time_text},
    {MEMBER(run, command), "command", UNIT_TEXT, runs_command_text},
    {MEMBER(run, workloads), "workloads", UNIT_TEXT, NULL},
    {MEMBER(run, engines), NULL, UNIT_TEXT, NULL},
    {MEMBER(run, devices), "devices", UNIT_TEXT, NULL},
    {MEMBER(run, machine), "machine", UNIT_TEXT, NULL},
    {MEMBER(run, commit), NULL, UNIT_TEXT, NULL},
    {MEMBER(run, records), "records", UNIT_COUNT, NULL},
    {MEMBER(run, note), "note", UNIT_TEXT, NULL},
};

be_status runs_write(const json_t *runs, int64_t rest, report_format format, FILE *out,
                     be_error *err)
{
    report_sheet sheet = {columns, sizeof columns / sizeof columns[0], runs, -1};
    if (format == REPORT_TABLE && !json_array_size(runs)) {
        report_paragraph(out,
                         "no run is kept that is asked for; bench, sweep, explain, advise and "
                         "train keep theirs",
                         2);
        return BE_OK;
    }
    TRY(report_write(&sheet, format, out, err));
    if (rest && format == REPORT_TABLE)
        fprintf(out, "\n%" PRId64 " older run%s: --last %" PRId64 "\n", rest, rest == 1 ? "" : "s",
                rest + (int64_t)json_array_size(runs));
    return BE_OK;
}

/* ---------------------------------------------------------------- one run */

static void print_head(const json_t *run, const json_t *notes, FILE *out)
{
    char line[700], time[REPORT_TEXT_BYTES], command[REPORT_TEXT_BYTES];
    const char *machine = report_string(run, run, machine),
               *commit = report_string(run, run, commit);
    text_buffer b = TEXT_BUFFER(line);
    size_t i;
    json_t *note;
    text_add(&b, "run %.0f: %s, began %s UTC", report_real(run, run, run),
             runs_command_text(run, command), runs_time_text(run, time));
    if (*machine) text_add(&b, ", on %s", machine);
    if (*commit) text_add(&b, ", by build %s", commit);
    report_paragraph(out, line, 2);
    json_array_foreach(notes, i, note)
    {
        text_buffer words = TEXT_BUFFER(line);
        text_add(&words, "note of %s: %s", runs_time_text(note, time),
                 report_string(note, note, text));
        report_paragraph(out, line, 2);
    }
    fprintf(out, "\n");
}

static bool is_kind(const json_t *record, const char *kind)
{
    return strcmp(report_string(record, bench, kind), kind) == 0;
}

static bool is_swept(const json_t *sweeps, const json_t *record)
{
    size_t i;
    json_t *sweep;
    json_array_foreach(sweeps, i,
                       sweep) if (strcmp(report_string(sweep, sweep, workload),
                                         report_string(record, bench, workload)) == 0) return true;
    return false;
}

static json_t *all_of_kind(const json_t *records, const char *kind)
{
    json_t *matches = json_array(), *record;
    size_t i;
    json_array_foreach(records, i, record) if (is_kind(record, kind))
        json_array_append(matches, record);
    return matches;
}

/* Another form of a contender that was taken apart, which explain tried: its cause tells of it. */
static bool is_tried(const json_t *explained, const json_t *record)
{
    char who[REPORT_TEXT_BYTES], other[REPORT_TEXT_BYTES];
    size_t i;
    json_t *own;
    json_array_foreach(explained, i, own)
    {
        if (!explain_has(record) && bench_is_alike(own, record) &&
            strcmp(contender_who(own, other), contender_who(record, who)) == 0)
            return true;
    }
    return false;
}

json_t *runs_of_kind(const json_t *records, const char *kind)
{
    json_t *all = all_of_kind(records, kind), *record;
    if (strcmp(kind, "bench") != 0) return all;
    json_t *sweeps = all_of_kind(records, "sweep"), *matches = json_array();
    json_t *explained = json_array();
    size_t i;
    json_array_foreach(all, i, record) if (explain_has(record))
        json_array_append(explained, record);
    json_array_foreach(all, i, record)
    {
        if (!is_swept(sweeps, record) && !is_tried(explained, record))
            json_array_append(matches, record);
    }
    json_decref(explained);
    json_decref(sweeps);
    json_decref(all);
    return matches;
}

/* The next group as it was measured, for a cause names its loser by its place; NULL where none of
 * it was taken apart. */
static json_t *explained_group(const json_t *benches, size_t *next)
{
    size_t first = *next;
    bool any = false;
    json_t *group = json_array();
    json_decref(bench_take_group(benches, first, next));
    for (size_t i = first; i < *next; i++) {
        json_array_append(group, json_array_get(benches, i));
        any |= explain_has(json_array_get(benches, i));
    }
    if (any) return group;
    json_decref(group);
    return NULL;
}

static be_status write_measured(const json_t *benches, report_format format, FILE *out,
                                be_error *err)
{
    TRY(bench_write(benches, format, out, err));
    if (format == REPORT_CSV) return BE_OK;
    for (size_t next = 0; next < json_array_size(benches);) {
        json_t *group = explained_group(benches, &next);
        if (!group) continue;
        fprintf(out, "\n");
        be_status status = explain_write(group, format, out, err);
        json_decref(group);
        TRY(status);
    }
    return BE_OK;
}

be_status runs_write_records(const json_t *records, report_format format, FILE *out, be_error *err)
{
    bool all = format == REPORT_CSV;
    json_t *benches = all ? all_of_kind(records, "bench") : runs_of_kind(records, "bench");
    json_t *epochs = runs_of_kind(records, "epoch"), *record;
    be_status status = BE_OK;
    size_t i;
    if (json_array_size(benches)) status = write_measured(benches, format, out, err);
    if (status == BE_OK && json_array_size(epochs))
        status = training_write(epochs, format, out, err);
    json_decref(benches);
    json_decref(epochs);
    if (format == REPORT_CSV) return status;
    json_array_foreach(records, i, record)
    {
        if (status == BE_OK && is_kind(record, "sweep"))
            status = sweep_write(record, format, out, err);
        if (status == BE_OK && is_kind(record, "workers"))
            status = workers_write(record, format, out, err);
        if (status == BE_OK && is_kind(record, "advice"))
            status = advice_write(record, format, out, err);
    }
    return status;
}

be_status runs_write_one(const json_t *run, const json_t *notes, const json_t *records,
                         report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {columns, 0, records, -1};
    if (format == REPORT_CSV) return runs_write_records(records, format, out, err);
    if (format == REPORT_JSON || format == REPORT_JSONL)
        return report_write(&sheet, format, out, err);
    print_head(run, notes, out);
    return runs_write_records(records, format, out, err);
}
