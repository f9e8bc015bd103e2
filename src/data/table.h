/* A data set as what uses it sees it: a table of samples whose columns are named fields of any
 * type.
 *
 * A table borrows its bytes, but for one that table_gather made: table_free frees that.  May not
 * know files, pictures' meaning or models. */
#ifndef DATA_TABLE_H
#define DATA_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakeven/graph.h"
#include "core/status.h"

#define TABLE_FIELDS 6

typedef struct data_field {
    be_field form;       /* name, samples, dtype and dimensions of one, how it is normalised */
    int32_t from, below; /* i32: values are from … below - 1; below 0: any */
    const void *bytes;   /* the samples; NULL: the table is a description alone */
    bool shared;         /* the bytes are another field's, who owns them */
} data_field;

typedef struct data_table {
    const char *name, *source; /* "fashion-mnist"; "Fashion-MNIST, /path" */
    const char *sample;        /* what a sample is: "picture", "sequence" */
    const char *unit;          /* what rates count: "picture", "token" */
    double units_a_sample;
    int64_t count;
    int fields;
    data_field field[TABLE_FIELDS];
} data_table;

/* Bytes of one sample of a field; elements and bytes of all of them, which may overlap. */
size_t field_bytes(const data_field *field);
int64_t field_elements(const data_field *field);
size_t field_whole_bytes(const data_field *field);

/* A sample's elements. */
const void *field_at(const data_field *field, int64_t sample);

const data_field *table_find(const data_table *t, const char *name); /* or NULL */

/* BE_USAGE with one sentence where `data` lacks a field of `form` or has one of another type or
 * with other dimensions; `reader` is who reads it. */
BE_CHECKED be_status table_check(const data_table *data, const data_table *form, const char *reader,
                                 be_error *err);

/* BE_BAD_DATA for a value of an i32 field that is not among those of `wanted`; `name` is of the
 * data. */
BE_CHECKED be_status field_check(const data_field *field, const data_field *wanted,
                                 const char *name, be_error *err);

/* The samples order[0 … count - 1] of another table, one behind the other in each field.  Free with
 * table_free. */
BE_CHECKED be_status table_gather(const data_table *from, const int32_t *order, int64_t count,
                                  data_table *out, be_error *err);
void table_free(data_table *t); /* of a gathered table; twice is fine */

/* The pictures [C, H, W] of a field at `size` × `size`, by the nearest pixel, in memory of their
 * own, to be freed with memory_free.  BE_NO_MEMORY with what they would take. */
BE_CHECKED be_status field_scale(const data_field *from, int size, data_field *out, be_error *err);

#endif
