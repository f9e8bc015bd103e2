/* Writing safetensors files: the header from the declared tensors, then their data as it comes. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "data/safetensors.h"

struct safetensors_writer {
    file_writer file;
    uint64_t declared, written; /* bytes of data */
};

/* Bytes of data of a declared tensor. */
static be_status measure(const safetensors_tensor *t, uint64_t *bytes, be_error *err)
{
    uint64_t items = 1;
    bool overflow = false;
    MUST(t->rank >= 0 && t->rank <= SAFETENSORS_RANK_MAX);
    for (int i = 0; i < t->rank; i++) {
        MUST(t->shape[i] >= 0);
        overflow |= __builtin_mul_overflow(items, (uint64_t)t->shape[i], &items);
    }
    overflow |= __builtin_mul_overflow(items, safetensors_dtype_bytes(t->dtype), bytes);
    if (overflow || *bytes > INT64_MAX)
        FAIL(err, BE_USAGE, "tensor \"%.80s\": its shape holds more items than any file; split it",
             t->name);
    return BE_OK;
}

/* The entry of one tensor; NULL when there is no memory. */
static json_t *make_entry(const safetensors_tensor *t, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", safetensors_dtype_name(t->dtype), "shape",
                     shape, "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static be_status add_metadata(json_t *header, const safetensors_layout *layout, be_error *err)
{
    if (layout->metadata_count == 0) return BE_OK;
    json_t *metadata = json_object();
    if (json_object_set_new(header, "__metadata__", metadata))
        FAIL(err, BE_NO_MEMORY, "a safetensors header: no memory left; free some");
    for (int i = 0; i < layout->metadata_count; i++) {
        const safetensors_string *s = &layout->metadata[i];
        if (json_object_set_new(metadata, s->key, json_string(s->value)))
            FAIL(err, BE_USAGE, "metadata \"%.80s\": expected a text in UTF-8, found other bytes",
                 s->key);
    }
    return BE_OK;
}

static be_status add_tensor(json_t *header, const safetensors_tensor *t, uint64_t begin,
                            uint64_t end, be_error *err)
{
    if (strcmp(t->name, "__metadata__") == 0 || json_object_get(header, t->name))
        FAIL(err, BE_USAGE, "tensor \"%.80s\": the name is taken; give each tensor its own",
             t->name);
    json_t *entry = make_entry(t, begin, end);
    if (!entry) FAIL(err, BE_NO_MEMORY, "a safetensors header: no memory left; free some");
    if (json_object_set_new(header, t->name, entry))
        FAIL(err, BE_USAGE, "tensor \"%.80s\": expected a name in UTF-8, found other bytes",
             t->name);
    return BE_OK;
}

/* Write length, JSON and the spaces that make the data begin at a multiple of 8. */
static be_status write_header(safetensors_writer *w, const json_t *header, be_error *err)
{
    char *text = NULL;
    TRY(json_print(&text, header, JSON_COMPACT, "a safetensors header", err));
    size_t length = strlen(text);
    uint64_t padded = (length + 7) / 8 * 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)(padded >> (8 * i));
    be_status status = BE_OK;
    if (padded > SAFETENSORS_HEADER_BYTES_MAX)
        status = status_fail(err, __FILE__, __LINE__, BE_USAGE,
                             "a safetensors header of %" PRIu64
                             " bytes is beyond the format's %d; write fewer tensors a file",
                             padded, SAFETENSORS_HEADER_BYTES_MAX);
    if (status == BE_OK) status = file_write(&w->file, prefix, 8, err);
    if (status == BE_OK) status = file_write(&w->file, text, length, err);
    if (status == BE_OK) status = file_write(&w->file, "        ", padded - length, err);
    free(text);
    return status;
}

/* Give the data its offsets in the order `order` (NULL: as declared), and write the header, whose
 * entries stand as declared. */
static be_status begin_in_order(safetensors_writer *w, const safetensors_layout *layout,
                                const int *order, json_t *header, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)layout->tensor_count * 2 * sizeof(uint64_t),
                     "a safetensors header", err));
    uint64_t(*offsets)[2] = memory;
    be_status status = add_metadata(header, layout, err);
    for (int i = 0; status == BE_OK && i < layout->tensor_count; i++) {
        int index = order ? order[i] : i;
        const safetensors_tensor *t = &layout->tensors[index];
        uint64_t bytes = 0;
        status = measure(t, &bytes, err);
        MUST(w->declared % safetensors_dtype_bytes(t->dtype) == 0);
        offsets[index][0] = w->declared;
        w->declared += bytes;
        offsets[index][1] = w->declared;
    }
    for (int i = 0; status == BE_OK && i < layout->tensor_count; i++)
        status = add_tensor(header, &layout->tensors[i], offsets[i][0], offsets[i][1], err);
    if (status == BE_OK) status = write_header(w, header, err);
    memory_free(memory);
    return status;
}

static be_status begin(safetensors_writer **out, const char *path, const safetensors_layout *layout,
                       const int *order, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(safetensors_writer), "a safetensors writer", err));
    safetensors_writer *w = memory;
    w->file.fd = -1;
    json_t *header = json_object();
    be_status status = file_write_begin(&w->file, path, err);
    if (status == BE_OK) status = begin_in_order(w, layout, order, header, err);
    json_decref(header);
    if (status == BE_OK)
        *out = w;
    else
        safetensors_write_abort(w);
    return status;
}

be_status safetensors_write_begin(safetensors_writer **out, const char *path,
                                  const safetensors_layout *layout, be_error *err)
{
    return begin(out, path, layout, NULL, err);
}

be_status safetensors_write(safetensors_writer *w, const void *data, size_t bytes, be_error *err)
{
    MUST(bytes <= w->declared - w->written);
    TRY(file_write(&w->file, data, bytes, err));
    w->written += bytes;
    return BE_OK;
}

be_status safetensors_write_commit(safetensors_writer *w, be_error *err)
{
    MUST(w->written == w->declared);
    be_status status = file_write_commit(&w->file, err);
    memory_free(w);
    return status;
}

void safetensors_write_abort(safetensors_writer *w)
{
    if (!w) return;
    file_write_abort(&w->file);
    memory_free(w);
}

/* Wider items first, else as declared: every tensor then lies at a multiple of its item. */
static void sort_by_width(const safetensors_layout *layout, int *order)
{
    int placed = 0;
    for (size_t width = 8; width > 0; width /= 2)
        for (int i = 0; i < layout->tensor_count; i++)
            if (safetensors_dtype_bytes(layout->tensors[i].dtype) == width) order[placed++] = i;
    MUST(placed == layout->tensor_count);
}

be_status safetensors_save(const char *path, const safetensors_layout *layout, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)layout->tensor_count * sizeof(int), "a safetensors file",
                     err));
    int *order = memory;
    sort_by_width(layout, order);
    safetensors_writer *w = NULL;
    be_status status = begin(&w, path, layout, order, err);
    for (int i = 0; status == BE_OK && i < layout->tensor_count; i++) {
        const safetensors_tensor *t = &layout->tensors[order[i]];
        uint64_t bytes = 0;
        status = measure(t, &bytes, err);
        if (status == BE_OK) status = safetensors_write(w, t->data, bytes, err);
    }
    memory_free(memory);
    if (status == BE_OK) return safetensors_write_commit(w, err);
    safetensors_write_abort(w);
    return status;
}
