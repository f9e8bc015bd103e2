/* Texts for workloads: see texts.h. */
#include "workloads/texts.h"

#include "data/text.h"
#include "workloads/sequences.h"

void texts_form(const workload_variant *v, data_table *out)
{
    be_shape row = {BE_I32, 1, {v->seq}};
    *out = (data_table){
        .sample = "window",
        .unit = "token",
        .units_a_sample = v->seq,
        .fields = 2,
        .field = {{.form = {.name = "tokens", .sample = row}, .below = v->vocab},
                  {.form = {.name = "targets", .sample = row, .target = 1}, .below = v->vocab}}};
}

be_status texts_fit(const workload_variant *v, data_table *t, be_error *err)
{
    return sequences_fit(v, t, err);
}

be_status texts_data(const workload *w, const workload_variant *v, dataset_split split,
                     const dataset_options *options, be_dataset **out, be_error *err)
{
    text_form form = {.sequence = v->seq,
                      .vocabulary = v->vocab,
                      .drawn = {(int)w->drawn[SPLIT_TRAIN], (int)w->drawn[SPLIT_TEST]}};
    return text_open(&form, split, options, out, err);
}
