/* What the page shows of a study: while it waits, while it runs, and what came out.  Made anew at
 * each event from what the queue knows. */
#ifndef SERVE_PANEL_H
#define SERVE_PANEL_H

#include <stdio.h>

#include "serve/queue.h"

/* HTML; of a job that is not there a sentence. */
void panel_write(const queue *q, int64_t job, FILE *out);

/* Records of any kinds in HTML, as the commands show them. */
void panel_records(const json_t *records, FILE *out);

#endif
