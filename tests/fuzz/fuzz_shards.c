/* Fuzzes the reading of the index of a model's files. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "data/shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shard_index index;
    be_error err = {0};
    be_status status = shard_index_parse(&index, (const char *)data, size, "input", &err);
    if (status == BE_OK) {
        const char *name;
        json_t *value;
        MUST(index.count >= 1 && (size_t)index.count <= json_object_size(index.map));
        json_object_foreach(index.map, name, value)
        {
            const char *file = json_string_value(value);
            MUST(file && *file && !strchr(file, '/') && strcmp(file, "..") != 0);
            json_int_t place = json_integer_value(json_object_get(index.places, file));
            MUST(place >= 0 && place < index.count);
        }
    } else {
        MUST(status == BE_BAD_DATA && strstr(err.text, "input: ") == err.text);
    }
    shard_index_free(&index);
    return 0;
}
