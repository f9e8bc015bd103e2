/* What the workloads share that read pictures with captions. */
#ifndef WORKLOADS_CAPTIONS_H
#define WORKLOADS_CAPTIONS_H

#include "workloads/workload.h"

/* images u8 [3, v->size, v->size], tokens i32 [v->seq] below v->vocab: v->vocab - 1 ends the text,
 * 0 follows.  The data has `lengths` too, for who wants it. */
enum { CAPTIONS_IMAGES, CAPTIONS_TOKENS };
void captions_form(const workload_variant *v, data_table *out);
be_status captions_fit(const workload_variant *v, data_table *t, be_error *err);
be_status captions_data(const workload *w, const workload_variant *v, dataset_split split,
                        const dataset_options *options, be_dataset **out, be_error *err);

#endif
