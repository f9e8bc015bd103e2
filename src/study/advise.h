/* The advice for a workload's own training, from records that are there already. */
#ifndef STUDY_ADVISE_H
#define STUDY_ADVISE_H

#include <jansson.h>

#include "study/request.h"

/* The object of report/advice.h for the default number of epochs; NULL if nothing can be advised.
 * `records` are those of bench at this batch. */
json_t *advise_from(const study_request *request, const study_watch *watch, const workload *w,
                    int64_t batch, const json_t *records);

#endif
