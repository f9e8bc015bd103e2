/* See generated_set.h. */
#include "data/generated_set.h"

#include <inttypes.h>

#define TEST_FIRST 0x40000000u /* index of the first sample of the test split */

be_status generated_add_field(data_table *t, const data_field *field, void **out, be_error *err)
{
    data_field *place = &t->field[t->fields];
    *place = *field;
    place->form.count = t->count;
    place->bytes = NULL;
    TRY(memory_alloc(out, field_whole_bytes(place), field->form.name, err));
    place->bytes = *out;
    t->fields++;
    return BE_OK;
}

static be_status generate(const generated_set *set, const generated_form *form, dataset_split split,
                          const dataset_options *options, be_dataset *d, be_error *err)
{
    if (options->limit < 0)
        FAIL(err, BE_USAGE, "expected a limit of samples from 1 (or 0: all), found %" PRId64,
             options->limit);
    TRY(set->check(set->kind, set->title, form, err));
    TRY(dataset_start(d, set->name, split, err));
    TRY(arena_printf(d->arena, &d->source, err, "%s, seed %" PRIu64, set->title, options->seed));
    d->count = dataset_generated_count(form->train, form->test, split, options->limit);
    d->table = (data_table){.name = d->name,
                            .source = d->source,
                            .sample = set->sample,
                            .unit = set->unit,
                            .units_a_sample = set->units_a_sample,
                            .count = d->count};
    return set->draw(set->kind, form, options->seed, split == SPLIT_TRAIN ? 0 : TEST_FIRST, d, err);
}

be_status generated_open(const generated_set *set, const generated_form *form, dataset_split split,
                         const dataset_options *options, be_dataset **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(be_dataset), "a data set", err));
    be_status status = generate(set, form, split, options, memory, err);
    if (status == BE_OK)
        *out = memory;
    else
        dataset_close(memory);
    return status;
}
