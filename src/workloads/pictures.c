/* Workloads that tell the class of a picture: what they read, and their loss. */
#include "workloads/pictures.h"

#include "core/memory.h"
#include "data/generated.h"
#include "data/shapes.h"

void pictures_form(data_table *out, int channels, int size, int classes)
{
    *out =
        (data_table){.sample = "picture",
                     .unit = "picture",
                     .units_a_sample = 1,
                     .fields = 2,
                     .field = {{.form = {.name = "images",
                                         .sample = {BE_U8, 3, {channels, size, size}},
                                         .normalize = 1}},
                               {.form = {.name = "labels", .sample = {BE_I32, 0, {0}}, .target = 1},
                                .below = classes}}};
}

/* Of more classes than any set of the catalog has: drawn, whatever is on the machine. */
static be_status generate_large(const workload *w, const data_table *like, dataset_split split,
                                const dataset_options *options, be_dataset **out, be_error *err)
{
    const be_shape *sample = &like->field[PICTURES_IMAGES].form.sample;
    generated_form form = {.size = (int)sample->dim[1],
                           .classes = like->field[PICTURES_LABELS].below,
                           .train = w->drawn[SPLIT_TRAIN],
                           .test = w->drawn[SPLIT_TEST]};
    MUST(sample->dim[0] == 3);
    return generated_pictures(&form, split, options, out, err);
}

be_status pictures_data(const workload *w, const workload_variant *v, dataset_split split,
                        const dataset_options *options, be_dataset **out, be_error *err)
{
    dataset_kind kind;
    data_table form;
    w->form(v, &form);
    if (form.field[PICTURES_LABELS].below > SHAPES_CLASSES)
        return generate_large(w, &form, split, options, out, err);
    TRY(catalog_find(w->dataset, &kind, err));
    TRY(dataset_open(kind, split, options, out, err));
    be_status status = pictures_fit(v, &(*out)->table, err);
    if (status == BE_OK) return BE_OK;
    dataset_close(*out);
    *out = NULL;
    return status;
}

be_status pictures_fit(const workload_variant *v, data_table *t, be_error *err)
{
    for (int f = 0; f < t->fields; f++) {
        data_field *field = &t->field[f], scaled;
        const be_shape *sample = &field->form.sample;
        if (sample->rank != 3 || (sample->dim[1] == v->size && sample->dim[2] == v->size)) continue;
        TRY(field_scale(field, v->size, &scaled, err));
        memory_free((void *)(uintptr_t)field->bytes);
        *field = scaled;
    }
    return BE_OK;
}

void pictures_classify(be_graph *g, be_value logits, const be_value *fields, workload_outputs *out)
{
    *out = (workload_outputs){
        .loss = be_softmax_cross_entropy(g, logits, fields[PICTURES_LABELS]),
        .traced = 1,
        .trace = {logits},
        .trace_name = {"logits"},
    };
}
