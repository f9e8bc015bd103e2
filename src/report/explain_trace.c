/* The Chrome trace of an average step. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/contender.h"
#include "report/explain.h"
#include "report/explain_sides.h"

#define TRACK_PHASES 1
#define TRACK_OPS 2

static void add_name(json_t *events, const char *what, int process, int track, const char *name)
{
    json_array_append_new(events,
                          json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "ph", "M", "name", what, "pid",
                                    process, "tid", track, "args", "name", name));
}

/* A complete event; times are in microseconds. */
static void add_event(json_t *events, const char *name, const int place[2], const double span_s[2],
                      json_t *args)
{
    json_array_append_new(events, json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:o}", "ph", "X",
                                            "cat", place[1] == TRACK_OPS ? "op" : "phase", "name",
                                            name, "pid", place[0], "tid", place[1], "ts",
                                            span_s[0] * 1e6, "dur", span_s[1] * 1e6, "args", args));
}

static void add_phases(json_t *events, const json_t *record, int process)
{
    double at = 0;
    for (int p = 0; p < EXPLAIN_PHASES; p++) {
        char path[64];
        snprintf(path, sizeof path, "explain.phases_s.%s", explain_phase_names[p]);
        double seconds = json_real_at(record, path);
        if (!(seconds > 0)) continue;
        add_event(events, explain_phase_names[p], (int[2]){process, TRACK_PHASES},
                  (double[2]){at, seconds}, json_pack("{s:f}", "seconds", seconds));
        at += seconds;
    }
}

static void add_ops(json_t *events, const json_t *record, int process)
{
    size_t i;
    json_t *op;
    double at = 0;
    json_array_foreach(report_member(record, explained, explain.ops), i, op)
    {
        char name[160];
        double seconds = report_real(op, op, seconds);
        const char *layer = report_string(op, op, name);
        snprintf(name, sizeof name, "%s%s%s", report_string(op, op, op), *layer ? " " : "", layer);
        add_event(events, name, (int[2]){process, TRACK_OPS}, (double[2]){at, seconds},
                  json_copy(op));
        at += seconds;
    }
}

char *explain_trace(const json_t *records)
{
    json_t *events = json_array(), *record;
    char who[REPORT_TEXT_BYTES];
    size_t i;
    json_array_foreach(records, i, record)
    {
        int process = (int)i + 1;
        if (!explain_has(record)) continue;
        add_name(events, "process_name", process, 0, contender_who(record, who));
        add_name(events, "thread_name", process, TRACK_PHASES, "phases");
        add_name(events, "thread_name", process, TRACK_OPS, "ops");
        add_phases(events, record, process);
        add_ops(events, record, process);
    }
    json_t *trace = json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ms");
    char *text = trace ? json_dumps(trace, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(trace);
    return text;
}
