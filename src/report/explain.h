/* A step explained, for people and for programs: phases, bars, ops, prediction and cause, all made
 * from the records alone.
 *
 * The records are those of bench (report/bench.h); those that were taken apart have "explain" as
 * well, and the fastest has "cause".  Times are seconds a step. */
#ifndef REPORT_EXPLAIN_H
#define REPORT_EXPLAIN_H

#include "measure/cause.h"
#include "report/sheet.h"

#define EXPLAIN_SCHEMA 1

BE_CHECKED be_status explain_write(const json_t *records, report_format format, FILE *out,
                                   be_error *err);

/* One bar for each explained record, drawn to one scale, and a legend. */
void explain_bars(const json_t *records, FILE *out);

/* The table of the ops of one record, the longest first. */
void explain_ops(const json_t *record, FILE *out);

/* The cause and what came out of its trial, in sentences. */
void explain_words(const json_t *records, FILE *out);

/* A Chrome trace (the JSON object format of the Trace Event Format) of an average step: a process
 * for each explained record, its phases and its ops end to end.  Free with free; NULL without
 * memory. */
char *explain_trace(const json_t *records);

/* Indexes into records of the fastest with an explanation and of the one to hold against it: the
 * fastest on another device, else of another engine, else any; -1: none. */
void explain_pair(const json_t *records, int *winner, int *loser);

/* What a step is made of; it borrows strings of the record. */
cause_side explain_side(const json_t *record, const json_t *records);

/* The step that was taken apart is about as long as the one that was measured. */
bool explain_is_steady(const json_t *record);

/* How sure it is that `loser` takes longer than `winner`, which ran beside it, by its own "versus":
 * an object of "verdict", "ratio" and "reason". */
json_t *explain_verdict(const json_t *winner, const json_t *loser);

/* The same of two measurements of one contender, one after the other: by the intervals of their
 * medians. */
json_t *explain_verdict_alone(const json_t *before, const json_t *after);

/* The names of the phases, in the order of the schema. */
extern const char *const explain_phase_names[];
enum { EXPLAIN_PHASES = 8 };

static inline bool explain_has(const json_t *record)
{
    return json_is_number(report_member(record, "explain.wall_s"));
}

#endif
