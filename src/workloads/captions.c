/* Pictures with captions for workloads: see captions.h. */
#include "workloads/captions.h"

#include "data/generated.h"
#include "workloads/pictures.h"
#include "workloads/sequences.h"

void captions_form(const workload_variant *v, data_table *out)
{
    *out = (data_table){.sample = "pair",
                        .unit = "pair",
                        .units_a_sample = 1,
                        .fields = 2,
                        .field = {{.form = {.name = "images",
                                            .sample = {BE_U8, 3, {3, v->size, v->size}},
                                            .normalize = 1}},
                                  {.form = {.name = "tokens", .sample = {BE_I32, 1, {v->seq}}},
                                   .below = v->vocab}}};
}

/* A caption that was cut, or whose vocabulary is smaller, begins and ends as every other. */
static void mark_ends(const workload_variant *v, data_table *t)
{
    const data_field *tokens = table_find(t, "tokens"), *lengths = table_find(t, "lengths");
    for (int64_t i = 0; i < t->count; i++) {
        int32_t *row = (int32_t *)(uintptr_t)field_at(tokens, i);
        row[0] = v->vocab - 2;
        row[((const int32_t *)lengths->bytes)[i] - 1] = v->vocab - 1;
    }
}

be_status captions_fit(const workload_variant *v, data_table *t, be_error *err)
{
    double units = t->units_a_sample;
    TRY(pictures_fit(v, t, err));
    TRY(sequences_fit(v, t, err));
    t->units_a_sample = units;
    mark_ends(v, t);
    return BE_OK;
}

be_status captions_data(const workload *w, const workload_variant *v, dataset_split split,
                        const dataset_options *options, be_dataset **out, be_error *err)
{
    generated_form form = {.size = v->size,
                           .sequence = v->seq,
                           .vocabulary = v->vocab,
                           .train = w->drawn[SPLIT_TRAIN],
                           .test = w->drawn[SPLIT_TEST]};
    return generated_scenes(&form, split, options, out, err);
}
