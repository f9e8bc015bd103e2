/* Generated data sets in tests: a field's bytes, and a hash of all. */
#ifndef TESTS_SET_FIXTURE_H
#define TESTS_SET_FIXTURE_H

#include "data/generated_set.h"
#include "support.h"

typedef be_status open_set(const generated_form *form, dataset_split split,
                           const dataset_options *options, be_dataset **out, be_error *error);

static inline const void *set_column(const be_dataset *d, const char *name)
{
    const data_field *field = table_find(&d->table, name);
    assert_non_null(field);
    return field->bytes;
}

static inline uint64_t set_hash(const be_dataset *d)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (int f = 0; f < d->table.fields; f++) {
        const uint8_t *bytes = d->table.field[f].bytes;
        for (size_t i = 0; i < field_whole_bytes(&d->table.field[f]); i++)
            h = (h ^ bytes[i]) * 1099511628211u;
    }
    return h;
}

#endif
