/* See runs.h. */
#include "report/runs.h"

#include <inttypes.h>
#include <string.h>

#include "core/text.h"
#include "report/advice.h"
#include "report/bench.h"

/* "2026-11-30 15:04" */
static const char *time_text(const json_t *run, char out[REPORT_TEXT_BYTES])
{
    const char *time = report_string(run, run, time);
    if (strlen(time) < 16) return strcpy(out, "-");
    snprintf(out, REPORT_TEXT_BYTES, "%.10s %.5s", time, time + 11);
    return out;
}

/* The command; of an import the file. */
static const char *command_text(const json_t *run, char out[REPORT_TEXT_BYTES])
{
    const char *source = report_string(run, run, source), *slash = strrchr(source, '/');
    snprintf(out, REPORT_TEXT_BYTES, "%s%s%.40s", report_string(run, run, command),
             *source ? " " : "", slash ? slash + 1 : source);
    return out;
}

static const report_column columns[] = {
    {MEMBER(run, run), "run", UNIT_COUNT, NULL},
    {MEMBER(run, time), "began (UTC)", UNIT_TEXT, time_text},
    {MEMBER(run, command), "command", UNIT_TEXT, command_text},
    {MEMBER(run, workloads), "workloads", UNIT_TEXT, NULL},
    {MEMBER(run, engines), NULL, UNIT_TEXT, NULL},
    {MEMBER(run, devices), "devices", UNIT_TEXT, NULL},
    {MEMBER(run, machine), "machine", UNIT_TEXT, NULL},
    {MEMBER(run, commit), NULL, UNIT_TEXT, NULL},
    {MEMBER(run, records), "records", UNIT_COUNT, NULL},
    {MEMBER(run, note), "note", UNIT_TEXT, NULL},
};

be_status runs_write(const json_t *runs, int64_t left, report_format format, FILE *out,
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
    if (left && format == REPORT_TABLE)
        fprintf(out, "\n%" PRId64 " older run%s: --last %" PRId64 "\n", left, left == 1 ? "" : "s",
                left + (int64_t)json_array_size(runs));
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
             command_text(run, command), time_text(run, time));
    if (*machine) text_add(&b, ", on %s", machine);
    if (*commit) text_add(&b, ", by build %s", commit);
    report_paragraph(out, line, 2);
    json_array_foreach(notes, i, note)
    {
        text_buffer words = TEXT_BUFFER(line);
        text_add(&words, "note of %s: %s", time_text(note, time), report_string(note, note, text));
        report_paragraph(out, line, 2);
    }
    fprintf(out, "\n");
}

static bool is_kind(const json_t *record, const char *kind)
{
    return strcmp(report_string(record, bench, kind), kind) == 0;
}

static json_t *of_kind(const json_t *records, const char *kind)
{
    json_t *found = json_array(), *record;
    size_t i;
    json_array_foreach(records, i, record) if (is_kind(record, kind))
        json_array_append(found, record);
    return found;
}

static be_status write_epochs(const json_t *epochs, report_format format, FILE *out, be_error *err)
{
    static const report_column of_epochs[] = {
        {MEMBER(epoch, workload), NULL, UNIT_TEXT, NULL},
        {MEMBER(epoch, device), NULL, UNIT_TEXT, NULL},
        {MEMBER(epoch, epoch), "epoch", UNIT_COUNT, NULL},
        {MEMBER(epoch, step), "step", UNIT_COUNT, NULL},
        {MEMBER(epoch, loss), "loss", UNIT_NUMBER, NULL},
        {MEMBER(epoch, accuracy), "accuracy", UNIT_NUMBER, NULL},
        {MEMBER(epoch, validation_loss), "validation loss", UNIT_NUMBER, NULL},
        {MEMBER(epoch, validation_accuracy), "validation accuracy", UNIT_NUMBER, NULL},
        {MEMBER(epoch, seconds), "time", UNIT_SECONDS, NULL},
        {MEMBER(epoch, samples_per_s), "samples/s", UNIT_COUNT, NULL},
    };
    report_sheet sheet = {of_epochs, sizeof of_epochs / sizeof of_epochs[0], epochs, -1};
    return report_write(&sheet, format, out, err);
}

static be_status write_pages(const json_t *records, report_format format, FILE *out, be_error *err)
{
    json_t *measured = of_kind(records, "bench"), *epochs = of_kind(records, "epoch");
    be_status status = BE_OK;
    size_t i;
    json_t *record;
    if (json_array_size(measured)) status = bench_write(measured, format, out, err);
    if (status == BE_OK && json_array_size(epochs)) status = write_epochs(epochs, format, out, err);
    json_decref(measured);
    json_decref(epochs);
    TRY(status);
    json_array_foreach(records, i, record) if (is_kind(record, "advice"))
        advice_write_sentences(record, out);
    return BE_OK;
}

be_status runs_write_one(const json_t *run, const json_t *notes, const json_t *records,
                         report_format format, FILE *out, be_error *err)
{
    report_sheet sheet = {columns, 0, records, -1};
    if (format == REPORT_CSV) return write_pages(records, format, out, err);
    if (format == REPORT_JSON || format == REPORT_JSONL)
        return report_write(&sheet, format, out, err);
    print_head(run, notes, out);
    return write_pages(records, format, out, err);
}
