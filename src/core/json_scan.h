/* Reads JSON without making values of it: for texts so numerous that making and
 * freeing their values would take most of the time.
 *
 * It takes less than JSON: no blank between the parts, no \u, no name that is empty or has a point
 * or a bracket in it, no number whose value two exact numbers do not give, and so much of each.
 * What it takes, json_parse takes too, with the same values (tests/fuzz/fuzz_scan.c); what it does
 * not take is no error, but for json_parse to judge. */
#ifndef CORE_JSON_SCAN_H
#define CORE_JSON_SCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value as its reader sees it, wherever it is from. */
typedef struct json_scalar {
    json_type type;
    const char *text;   /* of a string */
    double real;        /* of a number */
    int64_t integer;    /* of a whole one */
    const json_t *json; /* NULL where none was made */
} json_scalar;

/* Of a value that was made; NULL reads as null. */
json_scalar json_scalar_of(const json_t *value);

/* Where a value stands: the names on the way to it with points between, and "[]" for each list that
 * it is an item of: "step_s.median", "blocks[]".  Equal paths have equal hashes. */
typedef struct json_path {
    const char *text;
    uint64_t hash;
} json_path;

uint64_t json_path_hash(const char *path);

/* Is told every value, an object or a list before what is in it; false ends the scan. */
typedef bool json_scan_take(void *context, const json_path *path, const json_scalar *value);

/* `text` has a zero byte behind its end, and is written over: strings end in it with a zero byte,
 * and stay there.  False: it was not taken, or `take` said no. */
bool json_scan(char *text, size_t length, json_scan_take *take, void *context);

#endif
