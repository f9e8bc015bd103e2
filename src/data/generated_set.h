/* What all generated sets have in common: opening one, its table, and its fields. */
#ifndef DATA_GENERATED_SET_H
#define DATA_GENERATED_SET_H

#include "data/generated.h"

/* A set: what it is called, and who checks its form and draws it. */
typedef struct generated_set {
    const char *name, *title, *sample; /* "tokens", "generated sequences", "sequence" */
    const char *unit;                  /* of rates, `units_a_sample` in each sample */
    int64_t units_a_sample;
    const void *kind; /* the maker's own */
    be_status (*check)(const void *kind, const char *title, const generated_form *form,
                       be_error *err);
    /* Adds the fields to d->table, which says how many samples, and draws them: sample i from the
     * stream first + i of `seed`. */
    be_status (*draw)(const void *kind, const generated_form *form, uint64_t seed, uint32_t first,
                      be_dataset *d, be_error *err);
} generated_set;

BE_CHECKED be_status generated_open(const generated_set *set, const generated_form *form,
                                    dataset_split split, const dataset_options *options,
                                    be_dataset **out, be_error *err);

/* One more field of zeros (as all memory is), which are padding, for all samples of the table. */
BE_CHECKED be_status generated_add_field(data_table *t, const data_field *field, void **out,
                                         be_error *err);

#endif
