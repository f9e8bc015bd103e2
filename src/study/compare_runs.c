/* Runs of a document side by side. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/members.h"
#include "study/compare.h"

/* The records of a run as choose_records gives them. */
static json_t *chosen_of(const json_t *run)
{
    json_t *choice = json_array(), *record;
    const json_t *number = json_object_get(json_object_get(run, "run"), "run");
    size_t i;
    json_array_foreach(json_object_get(run, "records"), i, record)
        json_array_append_new(choice, json_pack("{s:O, s:O}", "run", number, "record", record));
    return choice;
}

static bool has_speed(const json_t *run)
{
    size_t i;
    json_t *record;
    json_array_foreach(report_member(run, collected, records), i,
                       record) if (report_real(record, bench, samples_per_s) > 0 &&
                                   strcmp(report_string(record, bench, kind), "bench") ==
                                       0) return true;
    return false;
}

be_status study_compare_runs(const json_t *runs, json_t **out, be_error *err)
{
    compare_request request = {.slower = (double)NAN};
    char titles[COMPARE_SIDES_MAX][200];
    be_status status = BE_OK;
    size_t r;
    json_t *run;
    *out = NULL;
    json_array_foreach(runs, r, run)
    {
        int s = request.side_count;
        if (!has_speed(run) || s == COMPARE_SIDES_MAX) continue;
        snprintf(titles[s], sizeof titles[s], "run %.0f, %.150s",
                 report_real(run, collected, run.run), report_string(run, collected, run.machine));
        request.sides[s] = (compare_side){titles[s], titles[s], chosen_of(run), (double)NAN};
        request.side_count++;
    }
    if (request.side_count > 1) status = study_compare(&request, out, err);
    for (int s = 0; s < request.side_count; s++) json_decref(request.sides[s].records);
    if (status == BE_USAGE) { /* not alike: the document stands without it */
        json_decref(*out);
        *out = NULL;
        return BE_OK;
    }
    return status;
}
