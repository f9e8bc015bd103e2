/* Reading and checking safetensors files. */
#include "data/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/text.h"
#include "data/foreign.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the data is used as it lies in the file");

static const struct {
    const char *name;
    size_t item_bytes;
} dtype_table[] = {
#define X(name, item_bytes) {#name, item_bytes},
    SAFETENSORS_DTYPE_LIST(X)
#undef X
};
#define DTYPE_COUNT ((int)(sizeof dtype_table / sizeof *dtype_table))

struct safetensors {
    const void *mapping; /* NULL: memory of the caller */
    size_t mapping_bytes;
    arena *arena;
    json_t *header; /* owns the names and the metadata */
    const char *name;
    safetensors_tensor *tensors;
    int count;
    safetensors **parts; /* files that were joined, whose tensors these are */
    int part_count;
};

const char *safetensors_dtype_name(safetensors_dtype dtype)
{
    return dtype == SAFETENSORS_OTHER ? "another type" : dtype_table[dtype].name;
}

size_t safetensors_dtype_bytes(safetensors_dtype dtype)
{
    return dtype == SAFETENSORS_OTHER ? 1 : dtype_table[dtype].item_bytes;
}

#define SHOWN_BYTES 81

/* A text from the file as it may be shown: short, and without what a terminal would obey.  It lives
 * to the end of the block. */
#define SHOWN(text) shown((char[SHOWN_BYTES]){0}, (text))

static const char *shown(char out[SHOWN_BYTES], const char *text)
{
    int length = 0;
    for (; text[length] && length < SHOWN_BYTES - 1; length++)
        out[length] = text[length] >= ' ' && text[length] < 127 ? text[length] : '?';
    out[length] = 0;
    return out;
}

static be_status read_dtype(const safetensors *file, safetensors_tensor *t, const json_t *entry,
                            be_error *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text || !*text || text[strspn(text, letters)])
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected a dtype such as F32 or I64, found \"%s\"; write the "
             "file again",
             file->name, SHOWN(t->name), text ? SHOWN(text) : "none");
    t->type = text;
    t->dtype = SAFETENSORS_OTHER;
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(text, dtype_table[i].name) == 0) t->dtype = (safetensors_dtype)i;
    return BE_OK;
}

static be_status read_shape(const safetensors *file, safetensors_tensor *t, const json_t *entry,
                            be_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK_MAX)
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected a shape of at most %d dimensions, found %zu; write the "
             "file again",
             file->name, SHOWN(t->name), SAFETENSORS_RANK_MAX, json_array_size(shape));
    t->rank = (int)json_array_size(shape);
    t->count = 1;
    bool overflow = false;
    for (int i = 0; i < t->rank; i++) {
        const json_t *extent = json_array_get(shape, (size_t)i);
        t->shape[i] = json_integer_value(extent);
        if (!json_is_integer(extent) || t->shape[i] < 0)
            FAIL(err, BE_BAD_DATA,
                 "%s: tensor \"%s\": expected whole numbers from 0 as its shape, found something "
                 "else in dimension %d; write the file again",
                 file->name, SHOWN(t->name), i);
        overflow |= __builtin_mul_overflow(t->count, t->shape[i], &t->count);
    }
    overflow |=
        __builtin_mul_overflow((size_t)t->count, safetensors_dtype_bytes(t->dtype), &t->bytes);
    if (overflow)
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": its shape holds more items than any memory; the file is damaged",
             file->name, SHOWN(t->name));
    return BE_OK;
}

/* A tensor and where it lies, for the check that the data has no holes and no overlaps. */
typedef struct span {
    uint64_t begin, end;
    const char *name;
} span;

static int compare_spans(const void *left, const void *right)
{
    const span *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

static be_status read_span(const safetensors *file, safetensors_tensor *t, span *s,
                           const json_t *entry, uint64_t data_bytes, be_error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected data_offsets [begin, end], found something else; write "
             "the file again",
             file->name, SHOWN(t->name));
    int64_t from = json_integer_value(begin), to = json_integer_value(end);
    if (from < 0 || to < from || (uint64_t)to > data_bytes)
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected offsets within the %" PRIu64
             " bytes of data, found [%" PRId64 ", %" PRId64 "]; the file is truncated or damaged",
             file->name, SHOWN(t->name), data_bytes, from, to);
    if (t->dtype == SAFETENSORS_OTHER) t->bytes = (size_t)(to - from); /* of items unknown here */
    if ((uint64_t)(to - from) != t->bytes)
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected %zu bytes for its shape and dtype, found %" PRId64
             "; the file is damaged",
             file->name, SHOWN(t->name), t->bytes, to - from);
    *s = (span){(uint64_t)from, (uint64_t)to, t->name};
    return BE_OK;
}

static be_status check_spans(const safetensors *file, span *spans, uint64_t data_bytes,
                             be_error *err)
{
    uint64_t next = 0;
    if (file->count) qsort(spans, (size_t)file->count, sizeof *spans, compare_spans);
    for (int i = 0; i < file->count; i++) {
        if (spans[i].begin != next)
            FAIL(err, BE_BAD_DATA,
                 "%s: tensor \"%s\": expected its data at byte %" PRIu64 ", found byte %" PRIu64
                 " (%s); the file is damaged",
                 file->name, SHOWN(spans[i].name), next, spans[i].begin,
                 spans[i].begin < next ? "tensors overlap" : "a hole between tensors");
        next = spans[i].end;
    }
    if (next != data_bytes)
        FAIL(err, BE_BAD_DATA,
             "%s: expected %" PRIu64 " bytes of data, found %" PRIu64
             "; the file has something appended or is damaged",
             file->name, next, data_bytes);
    return BE_OK;
}

static be_status check_metadata(const safetensors *file, be_error *err)
{
    json_t *metadata = json_object_get(file->header, "__metadata__");
    if (!metadata) return BE_OK;
    const char *key;
    json_t *value;
    bool strings = json_is_object(metadata);
    json_object_foreach(metadata, key, value) strings &= json_is_string(value);
    if (!strings)
        FAIL(err, BE_BAD_DATA,
             "%s: expected __metadata__ to hold strings only, found something else; write the file "
             "again",
             file->name);
    return BE_OK;
}

/* Make items of the tensor's type readable through its pointer: where the file's own bytes are not
 * aligned, by a copy.  Only after check_spans, so that the copies are no larger than the file. */
static be_status align_tensor(const safetensors *file, safetensors_tensor *t, be_error *err)
{
    if ((uintptr_t)t->data % safetensors_dtype_bytes(t->dtype) == 0) return BE_OK;
    void *copy = NULL;
    TRY(arena_alloc(file->arena, &copy, t->bytes, err));
    if (t->bytes) memcpy(copy, t->data, t->bytes);
    t->data = copy;
    return BE_OK;
}

static be_status read_tensors(safetensors *file, const char *data, uint64_t data_bytes,
                              be_error *err)
{
    void *memory = NULL;
    size_t entries = json_object_size(file->header);
    TRY(arena_alloc(file->arena, &memory, entries * sizeof *file->tensors, err));
    file->tensors = memory;
    TRY(arena_alloc(file->arena, &memory, entries * sizeof(span), err));
    span *spans = memory;
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        safetensors_tensor *t = &file->tensors[file->count];
        t->name = name;
        TRY(read_dtype(file, t, entry, err));
        TRY(read_shape(file, t, entry, err));
        TRY(read_span(file, t, &spans[file->count], entry, data_bytes, err));
        t->data = data + spans[file->count].begin;
        file->count++;
    }
    TRY(check_spans(file, spans, data_bytes, err));
    for (int i = 0; i < file->count; i++) TRY(align_tensor(file, &file->tensors[i], err));
    return check_metadata(file, err);
}

static be_status read_header(safetensors *file, const unsigned char *bytes, size_t count,
                             be_error *err)
{
    uint64_t header_bytes = 0;
    if (count < 9 || bytes[8] != '{')
        TRY(foreign_check(file->name, bytes, count, "a safetensors file", err));
    if (count < 8)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a safetensors file of at least 8 bytes, found %zu; check that it is the "
             "right file",
             file->name, count);
    for (int i = 0; i < 8; i++) header_bytes |= (uint64_t)bytes[i] << (8 * i);
    if (header_bytes > SAFETENSORS_HEADER_BYTES_MAX)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a header of at most %d bytes, found a length of %" PRIu64
             "; it is not a safetensors file or is damaged",
             file->name, SAFETENSORS_HEADER_BYTES_MAX, header_bytes);
    if (header_bytes > count - 8)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a header of %" PRIu64
             " bytes, found %zu bytes after its length; the file is truncated",
             file->name, header_bytes, count - 8);
    json_error_t problem;
    const char *text = (const char *)bytes + 8;
    file->header = json_loadb(text, header_bytes, JSON_REJECT_DUPLICATES, &problem);
    if (!file->header && json_error_code(&problem) == json_error_out_of_memory)
        FAIL(err, BE_NO_MEMORY, "%s: no memory left for its header; free some", file->name);
    if (!json_is_object(file->header) || text[0] != '{')
        FAIL(err, BE_BAD_DATA,
             "%s: expected a JSON object as its header, found %s; it is not a safetensors file or "
             "is damaged",
             file->name, file->header ? "something else" : SHOWN(problem.text));
    return read_tensors(file, text + header_bytes, count - 8 - header_bytes, err);
}

static be_status new_file(safetensors **out, const char *name, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(safetensors), "a safetensors file", err));
    safetensors *file = memory;
    be_status status = arena_new(&file->arena, err);
    if (status == BE_OK) status = arena_printf(file->arena, &file->name, err, "%s", name);
    if (status == BE_OK)
        *out = file;
    else
        safetensors_close(file);
    return status;
}

be_status safetensors_parse(safetensors **out, const void *bytes, size_t count, const char *name,
                            be_error *err)
{
    TRY(new_file(out, name, err));
    be_status status = read_header(*out, bytes, count, err);
    if (status != BE_OK) {
        safetensors_close(*out);
        *out = NULL;
    }
    return status;
}

be_status safetensors_open(safetensors **out, const char *path, be_error *err)
{
    const void *mapping;
    size_t bytes;
    *out = NULL;
    TRY(file_map(&mapping, &bytes, path, err));
    be_status status = safetensors_parse(out, mapping, bytes, path, err);
    if (status != BE_OK) {
        file_unmap(mapping, bytes);
        return status;
    }
    (*out)->mapping = mapping;
    (*out)->mapping_bytes = bytes;
    return BE_OK;
}

void safetensors_close(safetensors *file)
{
    if (!file) return;
    for (int i = 0; i < file->part_count; i++) safetensors_close(file->parts[i]);
    json_decref(file->header);
    arena_free(file->arena);
    file_unmap(file->mapping, file->mapping_bytes);
    memory_free(file);
}

static be_status join(safetensors *file, safetensors *const *parts, int count, be_error *err)
{
    void *memory = NULL;
    size_t total = 0;
    for (int p = 0; p < count; p++) total += (size_t)parts[p]->count;
    TRY(arena_alloc(file->arena, &memory, total * sizeof *file->tensors, err));
    file->tensors = memory;
    TRY(arena_alloc(file->arena, &memory, (size_t)count * sizeof(safetensors *), err));
    file->parts = memory;
    file->header = json_object();
    for (int p = 0; p < count; p++)
        for (int i = 0; i < parts[p]->count; i++) {
            const safetensors_tensor *t = &parts[p]->tensors[i];
            if (json_object_get(file->header, t->name))
                FAIL(
                    err, BE_BAD_DATA,
                    "%s: expected each tensor in one file, found \"%s\" in %s too; fetch the files "
                    "again",
                    file->name, SHOWN(t->name), parts[p]->name);
            if (json_object_set_new(file->header, t->name, json_null()))
                FAIL(err, BE_NO_MEMORY, "%s: no memory left for its tensors; free some",
                     file->name);
            file->tensors[file->count++] = *t;
        }
    for (int p = 0; p < count; p++) file->parts[p] = parts[p];
    file->part_count = count;
    return BE_OK;
}

be_status safetensors_join(safetensors **out, safetensors *const *parts, int count,
                           const char *name, be_error *err)
{
    TRY(new_file(out, name, err));
    be_status status = join(*out, parts, count, err);
    if (status == BE_OK) return BE_OK;
    safetensors_close(*out);
    *out = NULL;
    return status;
}

const char *safetensors_name(const safetensors *file)
{
    return file->name;
}

int safetensors_count(const safetensors *file)
{
    return file->count;
}

const safetensors_tensor *safetensors_at(const safetensors *file, int index)
{
    MUST(index >= 0 && index < file->count);
    return &file->tensors[index];
}

const safetensors_tensor *safetensors_find(const safetensors *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

const char *safetensors_metadata(const safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

void safetensors_describe(char *out, size_t room, const safetensors_tensor *t)
{
    const char *type =
        t->dtype == SAFETENSORS_OTHER ? SHOWN(t->type) : safetensors_dtype_name(t->dtype);
    text_buffer b = text_begin(out, room);
    text_add(&b, "%s [", type);
    for (int i = 0; i < t->rank; i++) text_add(&b, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    text_add(&b, "]");
}

be_status safetensors_expect_only(const safetensors *file,
                                  bool (*is_known)(const void *context, const char *name),
                                  const void *context, be_error *err)
{
    for (int i = 0; i < file->count; i++)
        if (!is_known(context, file->tensors[i].name))
            FAIL(err, BE_BAD_DATA,
                 "%s: expected the tensors of this model alone, found \"%s\" too; check that the "
                 "file belongs to this model, or take that tensor out of it",
                 file->name, SHOWN(file->tensors[i].name));
    return BE_OK;
}

be_status safetensors_expect(const safetensors *file, const safetensors_tensor *like,
                             const void **data, be_error *err)
{
    const safetensors_tensor *tensor = safetensors_find(file, like->name);
    *data = NULL;
    if (!tensor)
        FAIL(err, BE_BAD_DATA,
             "%s: expected a tensor \"%s\", found none of that name among its %d; check that the "
             "file belongs to this model",
             file->name, SHOWN(like->name), file->count);
    bool same = tensor->dtype == like->dtype;
    if (like->rank >= 0) {
        same &= tensor->rank == like->rank;
        for (int i = 0; same && i < like->rank; i++) same = tensor->shape[i] == like->shape[i];
    }
    if (!same) {
        char expected[200], actual[200];
        safetensors_describe(expected, sizeof expected, like);
        safetensors_describe(actual, sizeof actual, tensor);
        if (tensor->dtype == SAFETENSORS_OTHER)
            FAIL(err, BE_BAD_DATA,
                 "%s: tensor \"%s\": expected %s, found %s, a type that is not read here; convert "
                 "the tensor to %s and save the file again",
                 file->name, SHOWN(like->name),
                 like->rank >= 0 ? expected : safetensors_dtype_name(like->dtype), actual,
                 safetensors_dtype_name(like->dtype));
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\": expected %s, found %s; check that the file belongs to this "
             "model",
             file->name, SHOWN(like->name),
             like->rank >= 0 ? expected : safetensors_dtype_name(like->dtype), actual);
    }
    *data = tensor->data;
    return BE_OK;
}
