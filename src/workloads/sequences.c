/* Tokens for workloads: see sequences.h. */
#include "workloads/sequences.h"

#include <string.h>

#include "core/memory.h"
#include "data/generated.h"

static data_field tokens_field(const char *name, const workload_variant *v, int below)
{
    return (data_field){.form = {.name = name, .sample = {BE_I32, 1, {v->seq}}}, .below = below};
}

static data_field number_field(const char *name, int below, int target)
{
    return (data_field){.form = {.name = name, .sample = {BE_I32, 0, {0}}, .target = target},
                        .below = below};
}

/* Of a sequence without tokens there is no mean, and no key to attend to. */
static data_field lengths_field(const workload_variant *v)
{
    data_field field = number_field("lengths", v->seq + 1, 0);
    field.from = 1;
    return field;
}

void sequences_form(const workload_variant *v, data_table *out, int classes)
{
    *out = (data_table){.sample = "sequence",
                        .unit = "token",
                        .units_a_sample = v->seq,
                        .fields = 3,
                        .field = {tokens_field("tokens", v, v->vocab), lengths_field(v),
                                  number_field("labels", classes, 1)}};
}

void pairs_form(const workload_variant *v, data_table *out, int classes)
{
    *out =
        (data_table){.sample = "pair",
                     .unit = "token",
                     .units_a_sample = v->seq,
                     .fields = 4,
                     .field = {tokens_field("tokens", v, v->vocab), tokens_field("segments", v, 2),
                               lengths_field(v), number_field("labels", classes, 1)}};
}

/* The first tokens of each sample, in memory of their own; `below` 0: of any value. */
static be_status cut_rows(data_field *field, int seq, int below, be_error *err)
{
    void *memory = NULL;
    int64_t count = field->form.count;
    TRY(memory_alloc(&memory, (size_t)(count * seq) * sizeof(int32_t), field->form.name, err));
    int32_t *to = memory;
    for (int64_t i = 0; i < count; i++) {
        const int32_t *from = field_at(field, i);
        for (int k = 0; k < seq; k++, to++)
            *to = below && from[k] >= below ? from[k] % (below - 1) + 1 : from[k];
    }
    if (!field->shared) memory_free((void *)(uintptr_t)field->bytes);
    field->bytes = memory;
    field->shared = false;
    field->form.stride = 0;
    field->form.sample.dim[0] = seq;
    if (below) field->below = below;
    return BE_OK;
}

static be_status cut_lengths(data_field *field, int seq, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, field_whole_bytes(field), field->form.name, err));
    int32_t *to = memory;
    const int32_t *from = field->bytes;
    for (int64_t i = 0; i < field->form.count; i++) to[i] = from[i] < seq ? from[i] : seq;
    if (!field->shared) memory_free((void *)(uintptr_t)field->bytes);
    field->bytes = memory;
    field->shared = false;
    field->below = seq + 1;
    return BE_OK;
}

static be_status fit_field(const workload_variant *v, data_field *field, be_error *err)
{
    const be_shape *sample = &field->form.sample;
    bool words =
        strcmp(field->form.name, "tokens") == 0 || strcmp(field->form.name, "targets") == 0;
    if (sample->rank == 0 && strcmp(field->form.name, "lengths") == 0)
        return cut_lengths(field, v->seq, err);
    if (sample->rank != 1 || sample->dtype != BE_I32 || sample->dim[0] < v->seq ||
        (sample->dim[0] == v->seq && field->below <= v->vocab))
        return BE_OK;
    return cut_rows(field, v->seq, words ? v->vocab : 0, err);
}

be_status sequences_fit(const workload_variant *v, data_table *t, be_error *err)
{
    /* Who reads another field's bytes comes before its owner, who frees them. */
    for (int owner = 0; owner < 2; owner++)
        for (int f = 0; f < t->fields; f++)
            if (t->field[f].shared != owner) TRY(fit_field(v, &t->field[f], err));
    t->units_a_sample = v->seq;
    return BE_OK;
}

static generated_form form_of(const workload *w, const workload_variant *v)
{
    return (generated_form){.sequence = v->seq,
                            .vocabulary = v->vocab,
                            .train = w->drawn[SPLIT_TRAIN],
                            .test = w->drawn[SPLIT_TEST]};
}

be_status sequences_data(const workload *w, const workload_variant *v, dataset_split split,
                         const dataset_options *options, be_dataset **out, be_error *err)
{
    generated_form form = form_of(w, v);
    return generated_sequences(&form, split, options, out, err);
}

be_status pairs_data(const workload *w, const workload_variant *v, dataset_split split,
                     const dataset_options *options, be_dataset **out, be_error *err)
{
    generated_form form = form_of(w, v);
    return generated_pairs(&form, split, options, out, err);
}
