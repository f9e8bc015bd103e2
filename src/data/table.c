/* Tables of samples. */
#include "data/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "core/text.h"
#include "graph/graph.h"

size_t field_bytes(const data_field *field)
{
    return (size_t)shape_elements(&field->form.sample) * dtype_bytes(field->form.sample.dtype);
}

int64_t field_elements(const data_field *field)
{
    int64_t each = shape_elements(&field->form.sample), stride = field->form.stride;
    if (field->form.count == 0) return 0;
    return (field->form.count - 1) * (stride ? stride : each) + each;
}

size_t field_whole_bytes(const data_field *field)
{
    return (size_t)field_elements(field) * dtype_bytes(field->form.sample.dtype);
}

const void *field_at(const data_field *field, int64_t sample)
{
    size_t stride = (size_t)field->form.stride * dtype_bytes(field->form.sample.dtype);
    return (const char *)field->bytes + (size_t)sample * (stride ? stride : field_bytes(field));
}

const data_field *table_find(const data_table *t, const char *name)
{
    for (int f = 0; f < t->fields; f++)
        if (strcmp(t->field[f].form.name, name) == 0) return &t->field[f];
    return NULL;
}

static const char *list_fields(const data_table *t, char *out, size_t room)
{
    text_buffer b = text_begin(out, room);
    for (int f = 0; f < t->fields; f++) text_add(&b, "%s%s", f ? ", " : "", t->field[f].form.name);
    return out;
}

be_status table_check(const data_table *data, const data_table *form, const char *reader,
                      be_error *err)
{
    char names[200], expected_text[64], actual[64];
    for (int f = 0; f < form->fields; f++) {
        const be_field *expected = &form->field[f].form;
        const data_field *field = table_find(data, expected->name);
        if (!field)
            FAIL(err, BE_USAGE,
                 "%s reads the field \"%s\", which %s does not have; it has %s: name other data",
                 reader, expected->name, data->name, list_fields(data, names, sizeof names));
        if (!shape_equal(&field->form.sample, &expected->sample))
            FAIL(err, BE_USAGE,
                 "%s reads samples %s of the field \"%s\", and those of %s are %s: name other data",
                 reader, shape_text(&expected->sample, expected_text), expected->name, data->name,
                 shape_text(&field->form.sample, actual));
    }
    return BE_OK;
}

be_status field_check(const data_field *field, const data_field *wanted, const char *name,
                      be_error *err)
{
    const int32_t *values = field->bytes;
    int64_t count = field_elements(field);
    if (wanted->below == 0 || !values || field->form.sample.dtype != BE_I32) return BE_OK;
    for (int64_t i = 0; i < count; i++)
        if (values[i] < wanted->from || values[i] >= wanted->below)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected '%s' from %d to %d, found %d at element %" PRId64
                 "; write the data file again",
                 name, field->form.name, wanted->from, wanted->below - 1, values[i], i);
    return BE_OK;
}

static be_status gather_field(const data_field *from, const int32_t *order, int64_t count,
                              data_field *out, be_error *err)
{
    void *memory = NULL;
    size_t each = field_bytes(from);
    TRY(memory_alloc(&memory, (size_t)count * each, from->form.name, err));
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)memory + (size_t)i * each, field_at(from, order[i]), each);
    *out = *from;
    out->form.count = count;
    out->form.stride = 0;
    out->shared = false;
    out->bytes = memory;
    return BE_OK;
}

be_status table_gather(const data_table *from, const int32_t *order, int64_t count, data_table *out,
                       be_error *err)
{
    *out = *from;
    out->count = count;
    out->fields = 0;
    for (int f = 0; f < from->fields; f++) {
        be_status status = gather_field(&from->field[f], order, count, &out->field[f], err);
        if (status != BE_OK) {
            table_free(out);
            return status;
        }
        out->fields++;
    }
    return BE_OK;
}

void table_free(data_table *t)
{
    for (int f = 0; f < t->fields; f++)
        if (!t->field[f].shared) memory_free((void *)(uintptr_t)t->field[f].bytes);
    *t = (data_table){0};
}

static void scale_plane(const uint8_t *from, int64_t height, int64_t width, uint8_t *to, int size)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            to[y * size + x] = from[(y * height / size) * width + x * width / size];
}

be_status field_scale(const data_field *from, int size, data_field *out, be_error *err)
{
    void *memory = NULL;
    const be_shape *sample = &from->form.sample;
    MUST(sample->rank == 3 && sample->dtype == BE_U8);
    int64_t planes = from->form.count * sample->dim[0], plane = sample->dim[1] * sample->dim[2];
    int64_t scaled = (int64_t)size * size;
    TRY(memory_alloc(&memory, (size_t)(planes * scaled), "the pictures at their new size", err));
    for (int64_t i = 0; i < planes; i++)
        scale_plane((const uint8_t *)from->bytes + i * plane, sample->dim[1], sample->dim[2],
                    (uint8_t *)memory + i * scaled, size);
    *out = *from;
    out->bytes = memory;
    out->form.sample.dim[1] = out->form.sample.dim[2] = size;
    return BE_OK;
}
