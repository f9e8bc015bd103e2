/* What was found for a pair of sides as the members of its record: points, crossings, undecided,
 * winner, least_ratio and least_at, all from one judgement (measure/crossing.h). */
#ifndef REPORT_SWEEP_PAIR_H
#define REPORT_SWEEP_PAIR_H

#include "measure/crossing.h"
#include "report/sheet.h"

/* x, ratio, low, high and verdict of a place; runs and runs_agreeing where it was measured. */
json_t *sweep_place_json(const crossing_place *place);

/* Add the findings to a pair that has the members "first" and "second". */
void sweep_add_findings(json_t *pair, const crossing_result *crossing);

#endif
