/* Fuzzes the reader that makes no JSON, beside the one that does: what it takes, the other takes
 * too, with the same values. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "run/record_decode.h"

#define NAME_BYTES 64 /* of those that json_at looks up */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every value outside of lists, but below a long name, is the other's. */
static bool compare_value(void *context, const json_path *path, const json_scalar *value)
{
    MUST(path->hash == json_path_hash(path->text));
    if (strchr(path->text, '[') || strlen(path->text) >= NAME_BYTES) return true;
    json_scalar other = json_scalar_of(json_at(context, path->text));
    MUST(value->type == other.type);
    if (value->type == JSON_STRING) MUST(strcmp(value->text, other.text) == 0);
    if (value->type == JSON_INTEGER) MUST(value->integer == other.integer);
    if (value->type == JSON_INTEGER || value->type == JSON_REAL) MUST(value->real == other.real);
    return true;
}

static bool count_value(void *context, const json_path *path, const json_scalar *value)
{
    (void)path;
    (void)value;
    ++*(int *)context;
    return true;
}

/* Without what only the decoder has. */
static json_t *encoded(record_measured r)
{
    json_t *out = NULL;
    r.environment.json = r.environment.warnings = r.asked.program = r.proof.work = NULL;
    r.blocks = r.warnings = r.warned = r.libraries = r.phases_s = NULL;
    MUST(record_encode(&r, &out, NULL) == BE_OK);
    return out;
}

static void compare_records(char *copy, size_t size, const json_t *json)
{
    record_measured scanned, decoded;
    record_place place = {"records", "line", 1, 0};
    record_index index;
    record_index_make(&index);
    if (!record_scan(&index, copy, size, &scanned)) return;
    MUST(record_decode(json, NULL, &place, &decoded, NULL) == BE_OK);
    json_t *first = encoded(scanned), *second = encoded(decoded);
    MUST(json_equal(first, second));
    MUST(strcmp(scanned.environment.cpu.model, decoded.environment.cpu.model) == 0);
    MUST(strcmp(scanned.environment.build.commit, decoded.environment.build.commit) == 0);
    MUST(scanned.environment.cpu.threads == decoded.environment.cpu.threads);
    MUST(scanned.environment.memory_bytes == decoded.environment.memory_bytes);
    json_decref(first);
    json_decref(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *memory = NULL;
    int count = 0;
    MUST(memory_alloc(&memory, size + 1, "a text", NULL) == BE_OK);
    char *copy = memory;
    memcpy(copy, data, size);
    if (json_scan(copy, size, count_value, &count)) {
        json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
        MUST(json && count > 0);
        memcpy(copy, data, size);
        copy[size] = 0;
        MUST(json_scan(copy, size, compare_value, json));
        memcpy(copy, data, size);
        compare_records(copy, size, json);
        json_decref(json);
    }
    memory_free(memory);
    return 0;
}
