/* What the workloads share that tell the next token of a text. */
#ifndef WORKLOADS_TEXTS_H
#define WORKLOADS_TEXTS_H

#include "workloads/workload.h"

/* tokens i32 [v->seq] below v->vocab, targets i32 [v->seq] (each token's next one).  `build` is
 * given them in this order. */
enum { TEXTS_TOKENS, TEXTS_TARGETS };
void texts_form(const workload_variant *v, data_table *out);

/* The first v->seq tokens of each window; tokens that are not below v->vocab are brought there. */
be_status texts_fit(const workload_variant *v, data_table *t, be_error *err);

/* Windows over a text (data/text.h), none of whose tokens is seen twice in an epoch. */
be_status texts_data(const workload *w, const workload_variant *v, dataset_split split,
                     const dataset_options *options, be_dataset **out, be_error *err);

#endif
