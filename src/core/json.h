/* JSON as all rooms use it: values made with null for what is not known, members read with their
 * type and range, texts parsed and printed with errors that say where.
 *
 * Owns nothing.  What is said of the encoding: JSON has UTF-8 alone, names of files are bytes. */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* ---------------------------------------------------------------- making */

/* Each is NULL where there is no memory, which json_pack, json_put and json_add pass on. */
json_t *json_of_real(double value);   /* null where it is not finite */
json_t *json_of_count(int64_t value); /* null where it is negative */
/* A text of unknown encoding: what is no UTF-8 in it becomes U+FFFD, byte by byte.  null for NULL.
 */
json_t *json_of_text(const char *text);
json_t *json_of_known(const char *text); /* the same; null for an empty text too */

/* Put a member into an object, an item at the end of a list, both of which take the value.  Where
 * that fails, or one of the two is NULL already, the whole is released and becomes NULL: one check
 * at the end (json_check) is enough. */
void json_put(json_t **object, const char *name, json_t *value);
void json_add(json_t **list, json_t *value);

/* BE_NO_MEMORY where a value could not be made: "WHAT: no memory left for it; free some". */
BE_CHECKED be_status json_check(const json_t *value, const char *what, be_error *err);

/* ---------------------------------------------------------------- looking */

/* The member at a path of names with points between: "cpu.model"; NULL where there is none. */
json_t *json_at(const json_t *json, const char *path);
double json_real_at(const json_t *json, const char *path);      /* NAN if it is no number */
const char *json_text_at(const json_t *json, const char *path); /* "" if it is no text */

/* ---------------------------------------------------------------- reading */

/* Reads members one after the other and keeps the first complaint, so that one look at `status` is
 * enough.  What was not as it should be reads as 0, NAN or NULL. */
typedef struct json_reader {
    const json_t *json; /* an object */
    const char *about;  /* whose members these are: "answer to run" */
    const char *next;   /* what to do about it */
    be_status fault;    /* the status of a complaint */
    be_status status;   /* BE_OK as long as there is none */
    be_error *err;
} json_reader;

/* "ABOUT: expected "MEMBER" to be EXPECTED, found …; NEXT" */
void json_complain(json_reader *r, const char *member, const char *expected, const json_t *found);

const char *json_read_text(json_reader *r, const char *member);
int64_t json_read_integer(json_reader *r, const char *member, int64_t least, int64_t greatest);
/* A number that is at least `least`, or NAN for null. */
double json_read_real(json_reader *r, const char *member, double least);
json_t *json_read_list(json_reader *r, const char *member);
json_t *json_read_object(json_reader *r, const char *member);

/* What was found, short and fit for a terminal: "nothing" for NULL. */
const char *json_found(const json_t *value, char *out, size_t room);

/* ---------------------------------------------------------------- text */

/* Where a text is from and what it should be, for the error: "NAME: expected EXPECTED, found 12
 * bytes beginning with '…' (line 1, column 9: …); NEXT". */
typedef struct json_source {
    const char *name, *expected, *next;
} json_source;

/* One value; an object may not name a member twice.  BE_BAD_DATA, BE_NO_MEMORY. */
BE_CHECKED be_status json_parse(json_t **out, const char *text, size_t length,
                                const json_source *source, be_error *err);

/* That of a file of at most `most_bytes` bytes. */
BE_CHECKED be_status json_load(json_t **out, const char *path, size_t most_bytes,
                               const json_source *source, be_error *err);

/* As text, to be freed by free; flags are jansson's.  `what` names it if there is no memory. */
BE_CHECKED be_status json_print(char **out, const json_t *value, size_t flags, const char *what,
                                be_error *err);

/* The same with a newline at its end. */
BE_CHECKED be_status json_print_line(char **out, const json_t *value, size_t flags,
                                     const char *what, be_error *err);

#endif
