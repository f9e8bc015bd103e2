/* What the records of explain say of a step, and of two of them: phases, who is held against whom,
 * how sure their difference is. */
#ifndef REPORT_EXPLAIN_SIDES_H
#define REPORT_EXPLAIN_SIDES_H

#include "measure/cause.h"
#include "report/sheet.h"

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
    return json_is_number(report_member(record, explained, explain.wall_s));
}

#endif
