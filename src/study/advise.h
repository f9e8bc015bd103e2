/* The advice for a workload's own training, from records that are there already. */
#ifndef STUDY_ADVISE_H
#define STUDY_ADVISE_H

#include <jansson.h>

#include "run/candidates.h"
#include "study/request.h"
#include "study/study.h"

/* The object of report/advice.h for the default number of epochs; NULL if nothing can be advised.
 * `records` are those of bench at this batch. */
json_t *advise_from(const study_request *request, const study_watch *watch, const workload *w,
                    int64_t batch, const json_t *records);

/* The object of report/scaling.h: what the workers asked for would make of this candidate; null
 * where none were asked for. */
json_t *advise_workers(const candidate *of, const advice_question *question,
                       const study_training *training);

/* For a local link: *records is the object of report/workers.h, and the training's link is the one
 * in it; else NULL. */
BE_CHECKED be_status advise_measure_workers(const study_request *request, const study_watch *watch,
                                            study_training *training, json_t **records,
                                            be_error *err);

/* Into the points of report/scaling.h what was measured with as many workers. */
void advise_add_measured(json_t *scaling, const json_t *records);

/* The next smaller batch to measure for it, each worker's part of the whole: a quarter of the one
 * before, down to what the most workers have; 0: no more. */
int64_t advise_next_part(int64_t batch, int64_t part, const study_training *training);

#endif
