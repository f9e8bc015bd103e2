/* What other programs get: JSON below /api, and the figures of /metrics in the text format of
 * Prometheus (docs/api.md). */
#ifndef SERVE_API_H
#define SERVE_API_H

#include "serve/view.h"

/* A GET of a path below /api.  BE_USAGE where there is none. */
BE_CHECKED be_status api_read(const view *p, json_t **out, be_error *err);

/* The lines of the records of a run, as 'runs export' writes them; *missing is set where there is
 * no such run. */
BE_CHECKED be_status api_write_records(int64_t run, bool *missing, FILE *out, be_error *err);

/* A POST: a new study, an end to one, a note.  *out is what it says of it. */
BE_CHECKED be_status api_change(queue *q, const char *path, const char *body, size_t length,
                                json_t **out, be_error *err);

/* A study; `whole`: with curves, records and results. */
json_t *api_job(const queue *q, const job *j, bool whole);

void api_write_metrics(const queue *q, int streams, FILE *out);

#endif
