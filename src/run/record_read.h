/* Records read back: from a file that bench, explain or sweep wrote, from standard input, or from
 * what was just measured.  All of it is checked before any of it is used (run/record_decode.h).
 *
 * Owns the JSON that its records refer to. */
#ifndef RUN_RECORD_READ_H
#define RUN_RECORD_READ_H

#include "run/record_decode.h"

typedef struct record_set {
    json_t *owner; /* a list */
    record_measured *list;
    size_t count, capacity;
} record_set;

/* One record a line, or one list of them; a byte order mark, CRLF and blank lines do no harm.  "-"
 * is standard input.  A sweep's file gives the records of its points.  BE_BAD_DATA names line and
 * member: another schema, a wrong type or an impossible value, records of two machines.  The set is
 * to be freed whatever the status. */
BE_CHECKED be_status record_set_read(record_set *out, const char *path, be_error *err);

/* The same of text that is there already, which error texts call `name`. */
BE_CHECKED be_status record_set_parse(record_set *out, const char *name, const char *text,
                                      size_t length, be_error *err);

/* Records of this process: a list. */
BE_CHECKED be_status record_set_take(record_set *out, json_t *records, be_error *err);

void record_set_free(record_set *set);

/* A line of a sweep's own file, behind its header, whose environment it needs. */
BE_CHECKED be_status record_check_sweep_line(const json_t *line, const json_t *header,
                                             const char *file, size_t number, be_error *err);

#endif
