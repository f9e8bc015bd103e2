/* What more workers would make of a training, as a table and sentences, made from its JSON object
 * alone. */
#ifndef REPORT_SCALING_H
#define REPORT_SCALING_H

#include "report/sheet.h"

/* The object: shared (whether the workers share the cores of one machine), bytes_per_s and
 * latency_s of the link, gradient_bytes, batch of one worker's step, and points, one for each
 * number of workers: workers, reduce_s, reduce ("ring" or "tree"); of the batch that is split:
 * batch (each worker's part), step_s and speed_up {point, low, high}, null where a worker would
 * have no sample; measured {point, low, high}, the same with that many workers of this machine,
 * where they were asked for; of workers with the batch each: efficiency {point, low, high}. */
BE_CHECKED be_status scaling_write(const json_t *scaling, report_format format, FILE *out,
                                   be_error *err);

#endif
