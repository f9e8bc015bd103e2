/* What several workers make of a training, as it was measured: a table and sentences, made from its
 * JSON object alone. */
#ifndef REPORT_WORKERS_H
#define REPORT_WORKERS_H

#include "report/sheet.h"

/* The object: workload, device, precision, batch, cores; `each`: every worker has that batch, else
 * they cut it; gradient_bytes a step, and bytes_per_s and latency_s of the link, null where they
 * are not known; and points, one for each number of workers: workers, batch (of each), step_s,
 * speed_up and efficiency {point, low, high} against one worker; reduce_s, what of a step nothing
 * hides of adding up gradients and of waiting for the others; model_reduce_s, what the link alone
 * would take; part_s, a step of one worker with the part and the threads of each; predicted_s, the
 * sum of the two.  `peers`: of each engine beside the native one its name, implementation, and
 * points of its own, each with versus_native, its step by that of as many native workers. */
void workers_write_sentences(const json_t *result, FILE *out);

BE_CHECKED be_status workers_write(const json_t *result, report_format format, FILE *out,
                                   be_error *err);

#endif
