/* One file fetched by HTTP: resumed, checked by size and SHA-256, and only then put in its place.
 *
 * The bytes gather in PATH.part, which survives an interrupted transfer and is gone on from.
 * May not know what the file holds. */
#ifndef DATA_DOWNLOAD_H
#define DATA_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define DOWNLOAD_STALL_SECONDS 30
#define DOWNLOAD_ATTEMPTS 3

typedef struct download {
    const char *url;    /* http or https */
    const char *path;   /* where it goes; its folder exists */
    int64_t bytes;      /* expected */
    const char *sha256; /* expected, in hexadecimal */
    int stall_seconds;  /* give up after so long without a byte; 0: DOWNLOAD_STALL_SECONDS */
    int attempts;       /* 0: DOWNLOAD_ATTEMPTS */
    bool (*progress)(void *context, int64_t bytes); /* now and then; false stops.  May be NULL */
    void *context;
} download;

/* BE_IO: the transfer failed, and the text says how much is kept.  BE_BAD_DATA: the server has
 * other bytes than the expected ones.  BE_INTERRUPTED: `progress` said stop. */
BE_CHECKED be_status download_file(const download *d, be_error *err);

#endif
