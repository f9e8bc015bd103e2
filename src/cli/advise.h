/* The advice for a workload's own training, from records that are there already. */
#ifndef CLI_ADVISE_H
#define CLI_ADVISE_H

#include <jansson.h>

#include "cli/options.h"
#include "workloads/workload.h"

/* The object of report/advice.h for the default number of epochs; NULL if nothing can be advised.
 * `records` are those of bench at this batch. */
json_t *advise_from(const cli_options *options, const workload *w, int64_t batch,
                    const json_t *records);

#endif
