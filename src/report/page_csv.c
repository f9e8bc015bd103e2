/* A report as rows. */
#include <string.h>

#include "core/json.h"
#include "report/page.h"

/* Paths of rows that are made here, beside those of records. */
#define ROW(name) #name

static const report_column columns[] = {
    {ROW(run), NULL, UNIT_COUNT, NULL},
    {ROW(kind), NULL, UNIT_TEXT, NULL},
    {ROW(machine), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, workload), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, mode), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, engine), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, device), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, threads), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, precision), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, batch), NULL, UNIT_COUNT, NULL},
    {MEMBER(bench, status), NULL, UNIT_TEXT, NULL},
    {MEMBER(bench, step_s.median), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, step_s.low), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, step_s.high), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, samples_per_s), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, first_step_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(bench, peak_rss_bytes), NULL, UNIT_BYTES, NULL},
    {MEMBER(bench, device_memory_bytes), NULL, UNIT_BYTES, NULL},
    {MEMBER(bench, energy_per_step_j), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.ratio), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.low), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.high), NULL, UNIT_NUMBER, NULL},
    {MEMBER(bench, versus.verdict), NULL, UNIT_TEXT, NULL},
    {MEMBER(epoch, epoch), NULL, UNIT_COUNT, NULL},
    {MEMBER(epoch, step), NULL, UNIT_COUNT, NULL},
    {MEMBER(epoch, loss), NULL, UNIT_NUMBER, NULL},
    {MEMBER(epoch, accuracy), NULL, UNIT_NUMBER, NULL},
    {MEMBER(epoch, validation_loss), NULL, UNIT_NUMBER, NULL},
    {MEMBER(epoch, validation_accuracy), NULL, UNIT_NUMBER, NULL},
    {MEMBER(epoch, seconds), NULL, UNIT_SECONDS, NULL},
    {MEMBER(point, axis), NULL, UNIT_TEXT, NULL},
    {MEMBER(point, x), NULL, UNIT_NUMBER, NULL},
    {MEMBER(point, low), NULL, UNIT_NUMBER, NULL},
    {MEMBER(point, high), NULL, UNIT_NUMBER, NULL},
    {MEMBER(point, first), NULL, UNIT_TEXT, NULL},
    {MEMBER(point, second), NULL, UNIT_TEXT, NULL},
    {MEMBER(point, first_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(point, second_s), NULL, UNIT_SECONDS, NULL},
    {MEMBER(point, ratio), NULL, UNIT_NUMBER, NULL},
    {MEMBER(point, verdict), NULL, UNIT_TEXT, NULL},
    {MEMBER(crossing, faster_below), NULL, UNIT_TEXT, NULL},
    {MEMBER(crossing, faster_above), NULL, UNIT_TEXT, NULL},
    {MEMBER(candidate, total_s.point), NULL, UNIT_SECONDS, NULL},
    {MEMBER(candidate, total_s.low), NULL, UNIT_SECONDS, NULL},
    {MEMBER(candidate, total_s.high), NULL, UNIT_SECONDS, NULL},
    {MEMBER(candidate, standing), NULL, UNIT_TEXT, NULL},
};

/* A row of its own of what is part of a record, with what tells whose it is. */
static void add_row(json_t *rows, const json_t *part, const json_t *of, const char *kind,
                    const json_t *run)
{
    static const char *const columns[] = {MEMBER(point, workload), MEMBER(point, axis),
                                          MEMBER(point, first), MEMBER(point, second)};
    json_t *row = json_copy((json_t *)part);
    for (int m = 0; of && m < 4; m++) {
        json_t *member = json_object_get(of, columns[m]);
        if (member && !json_object_get(row, columns[m])) json_object_set(row, columns[m], member);
    }
    json_object_set_new(row, "kind", json_string(kind));
    json_object_set(row, "run", report_member(run, run, run));
    json_object_set(row, "machine", report_member(run, run, machine));
    json_array_append_new(rows, row);
}

static void add_sweep(json_t *rows, const json_t *sweep, const json_t *run)
{
    size_t p, i;
    json_t *pair, *part;
    json_array_foreach(report_member(sweep, sweep, pairs), p, pair)
    {
        json_t *whose = json_copy(pair);
        json_object_set(whose, "workload", report_member(sweep, sweep, workload));
        json_object_set(whose, "axis", report_member(sweep, sweep, axis));
        json_array_foreach(report_member(pair, pair, points), i, part)
            add_row(rows, part, whose, "point", run);
        json_array_foreach(report_member(pair, pair, crossings), i, part)
            add_row(rows, part, whose, "crossing", run);
        json_decref(whose);
    }
}

static void add_record(json_t *rows, const json_t *record, const json_t *run)
{
    const char *kind = report_string(record, bench, kind);
    size_t i;
    json_t *candidate;
    if (strcmp(kind, "sweep") == 0)
        add_sweep(rows, record, run);
    else if (strcmp(kind, "advice") == 0)
        json_array_foreach(report_member(record, advice, candidates), i, candidate)
            add_row(rows, candidate, record, "candidate", run);
    else
        add_row(rows, record, NULL, kind, run);
}

be_status page_write_csv(const report_page *page, FILE *out, be_error *err)
{
    json_t *rows = json_array(), *each, *record;
    size_t i, r;
    json_array_foreach(page->runs, i, each)
    {
        json_array_foreach(report_member(each, collected, records), r, record)
            add_record(rows, record, report_member(each, collected, run));
    }
    report_sheet sheet = {columns, sizeof columns / sizeof *columns, rows, -1};
    be_status status = report_write(&sheet, REPORT_CSV, out, err);
    json_decref(rows);
    return status;
}
