/* What the workloads that read tokens share: the forms of their data, and how it is had. */
#ifndef WORKLOADS_SEQUENCES_H
#define WORKLOADS_SEQUENCES_H

#include "workloads/workload.h"

/* Sequences with the number of a class: tokens i32 [v->seq] below v->vocab, lengths i32, labels i32
 * (target).  `build` is given the fields in this order. */
enum { SEQUENCES_TOKENS, SEQUENCES_LENGTHS, SEQUENCES_LABELS };
void sequences_form(const workload_variant *v, data_table *out, int classes);

/* Sentence pairs: the same with segments i32 [v->seq], 0 or 1. */
enum { PAIRS_TOKENS, PAIRS_SEGMENTS, PAIRS_LENGTHS, PAIRS_LABELS };
void pairs_form(const workload_variant *v, data_table *out, int classes);

/* Cut what is longer than v->seq, and bring tokens that are not below v->vocab there. */
be_status sequences_fit(const workload_variant *v, data_table *t, be_error *err);

/* The generated sets (data/generated.h) at the variant's length and vocabulary. */
be_status sequences_data(const workload *w, const workload_variant *v, dataset_split split,
                         const dataset_options *options, be_dataset **out, be_error *err);
be_status pairs_data(const workload *w, const workload_variant *v, dataset_split split,
                     const dataset_options *options, be_dataset **out, be_error *err);

#endif
