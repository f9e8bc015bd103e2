/* The local page: a server of HTTP on loopback, its pages, its events and its queue of studies.
 *
 * One thread, which sleeps until a connection or the study at hand has something to say; a child
 * that times blocks of steps says nothing.  docs/api.md says what there is; serve/door.h who may
 * come in.  Without libmicrohttpd at build time serve_open says so. */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include <signal.h>
#include <stdbool.h>

#include "core/status.h"

#define SERVE_PORT 7077 /* where nobody says otherwise */

typedef struct serve serve;

typedef struct serve_options {
    const char *program;               /* whose commands are run for studies */
    int port;                          /* 0: a free one */
    const char *listen;                /* an address; NULL: loopback alone */
    const char *token;                 /* NULL: one is drawn; needed with `listen` */
    const volatile sig_atomic_t *stop; /* ends it when not 0 */
} serve_options;

/* Listens and asks for the devices of the machine.  BE_UNAVAILABLE for a port in use and for a
 * build without the library, BE_USAGE for options that cannot stand. */
BE_CHECKED be_status serve_open(serve **out, const serve_options *options, be_error *err);

/* "http://127.0.0.1:7077/?token=…"; `once`: with a token that is good for one time, which may be
 * seen by others of this machine. */
const char *serve_address(const serve *s, bool once, char out[256]);

/* Serve until *stop is set: BE_INTERRUPTED. */
BE_CHECKED be_status serve_run(serve *s, be_error *err);

/* Ends the study at hand and all connections. */
void serve_close(serve *s);

#endif
