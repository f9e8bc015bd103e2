/* Event streams: how a study stands, told to a browser whenever that changes (server-sent events,
 * WHATWG HTML).
 *
 * An event says all that there is to show, so a browser that reads slowly gets fewer of them and
 * nothing is kept for it.  One that has heard all is suspended, and costs nothing until there is
 * more; that it left is seen at its socket. */
#ifndef SERVE_STREAM_H
#define SERVE_STREAM_H

#include <microhttpd.h>
#include <stdint.h>

#include "serve/queue.h"

#define STREAMS 24

typedef struct stream {
    const queue *queue; /* NULL: this place is free */
    struct MHD_Connection *connection;
    int fd, place;        /* place: among what stream_watch gave; -1: not there */
    int64_t job, version; /* the version of the queue that was told; -1: none */
    int64_t next_ns;      /* the next event not before this time */
    bool asleep, gone;    /* suspended; to be closed */
    char *text;           /* of the event at hand, from `sent` on */
    size_t size, sent;
} stream;

int stream_count(const stream streams[STREAMS]);
stream *stream_find_free(stream streams[STREAMS]); /* NULL: none is */

/* The answer to who asks for the events of a study; NULL without memory. */
struct MHD_Response *stream_open(stream *t, const queue *q, struct MHD_Connection *connection,
                                 int64_t job);

/* Let those go on for which there is something new, or whose browser has left, and say whether
 * there was one: MHD_run has to be called then.  *until_ns is lowered to when the next may. */
bool stream_wake_due(stream streams[STREAMS], int64_t *until_ns);

/* What to wait for to see that one leaves, and a look at what came of it; their number. */
int stream_watch(stream streams[STREAMS], struct pollfd out[STREAMS]);
void stream_look(stream streams[STREAMS], const struct pollfd watched[STREAMS]);

void stream_end_all(stream streams[STREAMS]);

#endif
