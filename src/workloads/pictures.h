/* What the workloads that tell the class of a picture share. */
#ifndef WORKLOADS_PICTURES_H
#define WORKLOADS_PICTURES_H

#include "workloads/workload.h"

/* The fields that they read, in the order in which `build` is given them. */
enum { PICTURES_IMAGES, PICTURES_LABELS };

/* u8 pictures [channels, size, size] with the number of a class. */
void pictures_form(data_table *out, int channels, int size, int classes);
be_status pictures_data(const workload *w, const workload_variant *v, dataset_split split,
                        const dataset_options *options, be_dataset **out, be_error *err);
be_status pictures_fit(const workload_variant *v, data_table *t, be_error *err);

/* The loss of these logits. */
void pictures_classify(be_graph *g, be_value logits, const be_value *fields, workload_outputs *out);

#endif
