/* In what settings the two measurements of a row differ. */
#ifndef STUDY_COMPARE_SETTINGS_H
#define STUDY_COMPARE_SETTINGS_H

#include "measure/stats.h"
#include "run/record_fields.h"
#include "study/compare.h"

/* One piece of work, as each side has it. */
typedef struct compare_row {
    bool has[COMPARE_SIDES_MAX];
    int64_t run[COMPARE_SIDES_MAX];
    record_measured of[COMPARE_SIDES_MAX];
    stats_interval ratio[COMPARE_SIDES_MAX]; /* to the baseline, of the time of a sample */
    stats_verdict verdict[COMPARE_SIDES_MAX];
} compare_row;

/* A list with an object for each setting in which a side differs from the baseline in some row:
 * setting, letter, value and baseline (as texts, of the first such row), rows, of. */
json_t *compare_differences(const compare_request *request, const compare_row *rows, size_t count);

#endif
