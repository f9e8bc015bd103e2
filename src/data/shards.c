/* Reading weights that an index spreads over several files. */
#include "data/shards.h"

#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"

#define FETCH_AGAIN "fetch the index and its files again"

#define SHOWN_BYTES 81

static const char *shown(const char *text, char out[SHOWN_BYTES])
{
    return text_clean(text, strlen(text), false, out, SHOWN_BYTES);
}

/* A name alone, that leads to no other folder. */
static bool is_plain(const char *file)
{
    return *file && !strpbrk(file, "/\\") && strcmp(file, ".") != 0 && strcmp(file, "..") != 0;
}

static be_status take_map(shard_index *index, const char *name, be_error *err)
{
    const char *tensor;
    json_t *value;
    char text[SHOWN_BYTES], about[SHOWN_BYTES];
    json_object_foreach(index->map, tensor, value)
    {
        const char *file = json_string_value(value);
        if (!file || !is_plain(file))
            FAIL(err, BE_BAD_DATA,
                 "%s: tensor \"%s\": expected the name of a file beside the index, found "
                 "%s; " FETCH_AGAIN,
                 name, shown(tensor, about), json_found(value, text, sizeof text));
        if (json_object_get(index->places, file)) continue;
        if (json_object_set_new(index->places, file, json_integer(index->count)))
            FAIL(err, BE_NO_MEMORY, "%s: no memory left for its files; free some", name);
        index->count++;
    }
    if (index->count == 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected tensors in its \"weight_map\", found none; " FETCH_AGAIN, name);
    return BE_OK;
}

be_status shard_index_parse(shard_index *out, const char *text, size_t length, const char *name,
                            be_error *err)
{
    *out = (shard_index){0};
    json_source source = {name, "the index of a model's files, in JSON", FETCH_AGAIN};
    TRY(json_parse(&out->json, text, length, &source, err));
    json_reader reader = {.json = out->json,
                          .about = name,
                          .next = "name the model.safetensors.index.json beside the model's files",
                          .fault = BE_BAD_DATA,
                          .err = err};
    out->map = json_read_object(&reader, "weight_map");
    TRY(reader.status);
    out->places = json_object();
    return take_map(out, name, err);
}

void shard_index_free(shard_index *index)
{
    json_decref(index->json);
    json_decref(index->places);
    *index = (shard_index){0};
}

/* Each tensor is in the file that the index says. */
static be_status check_parts(const shard_index *index, safetensors *const *parts, const char *path,
                             be_error *err)
{
    const char *tensor;
    json_t *value;
    char about[SHOWN_BYTES];
    json_object_foreach(index->map, tensor, value)
    {
        const char *file = json_string_value(value);
        const safetensors *part = parts[json_integer_value(json_object_get(index->places, file))];
        if (!safetensors_find(part, tensor))
            FAIL(err, BE_BAD_DATA,
                 "%s: expected tensor \"%s\" in %s, found none of that name there; " FETCH_AGAIN,
                 path, shown(tensor, about), safetensors_name(part));
    }
    return BE_OK;
}

static be_status open_parts(const shard_index *index, safetensors **parts, const char *path,
                            be_error *err)
{
    const char *file, *slash = strrchr(path, '/');
    json_t *place;
    int folder = slash ? (int)(slash - path) + 1 : 0;
    json_object_foreach(index->places, file, place)
    {
        char file_path[FILE_PATH_BYTES];
        TRY(file_format_path(file_path, err, "%.*s%s", folder, path, file));
        TRY(safetensors_open(&parts[json_integer_value(place)], file_path, err));
    }
    return check_parts(index, parts, path, err);
}

static be_status open_all(safetensors **out, const shard_index *index, const char *path,
                          be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)index->count * sizeof(safetensors *), "the model's files",
                     err));
    safetensors **parts = memory;
    be_status status = open_parts(index, parts, path, err);
    if (status == BE_OK) status = safetensors_join(out, parts, index->count, path, err);
    for (int i = 0; status != BE_OK && i < index->count; i++) safetensors_close(parts[i]);
    memory_free(parts);
    return status;
}

be_status shards_open(safetensors **out, const char *path, be_error *err)
{
    static const char end[] = ".json";
    size_t length = strlen(path), tail = sizeof end - 1;
    if (length < tail || strcmp(path + length - tail, end) != 0)
        return safetensors_open(out, path, err);
    void *text = NULL;
    size_t bytes = 0;
    shard_index index = {0};
    *out = NULL;
    TRY(file_read(&text, &bytes, path, SHARDS_INDEX_BYTES_MAX, err));
    be_status status = shard_index_parse(&index, text, bytes, path, err);
    memory_free(text);
    if (status == BE_OK) status = open_all(out, &index, path, err);
    shard_index_free(&index);
    return status;
}
