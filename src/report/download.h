/* The records of a report, to be saved from it with a click: as they are kept, compressed, within
 * the page. */
#ifndef REPORT_DOWNLOAD_H
#define REPORT_DOWNLOAD_H

#include <jansson.h>
#include <stdio.h>

#include "core/status.h"

/* A paragraph with a link that holds the lines of all runs (choose_collect, store/choose.h), one
 * record a line, as gzip in base64.  BE_NO_MEMORY is the only error; who writes to `out` sees its
 * own. */
BE_CHECKED be_status download_write(const json_t *runs, FILE *out, be_error *err);

#endif
