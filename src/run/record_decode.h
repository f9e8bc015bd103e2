/* The one decoder of a record's JSON: its members by the table of run/record_fields.h, and how they
 * fit together. */
#ifndef RUN_RECORD_DECODE_H
#define RUN_RECORD_DECODE_H

#include "run/record_fields.h"

/* Check and read one record.  `environment` stands in for a missing one of its own (a sweep's file
 * has it once); NULL: there is none.  BE_BAD_DATA names file, line and member, what was expected
 * and what was found. */
BE_CHECKED be_status record_decode(const json_t *json, const json_t *environment,
                                   const record_place *place, record_measured *out, be_error *err);

/* The same of a text that record_decode would take, without making JSON of it: false where that is
 * not sure (core/json_scan.h), and record_decode has to tell.  The text is written over, and *out
 * points into it; members that are JSON are NULL.  It has an environment of its own. */
bool record_scan(const record_index *index, char *text, size_t length, record_measured *out);

#endif
