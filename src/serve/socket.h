/* The socket that the page is served on. */
#ifndef SERVE_SOCKET_H
#define SERVE_SOCKET_H

#include "core/status.h"

/* Listen on an address (NULL: loopback); *port: 0 takes a free one, and becomes that.  BE_USAGE for
 * a text that is no address, BE_UNAVAILABLE for a port in use or a foreign address. */
BE_CHECKED be_status socket_listen(const char *address, int *port, int *fd, be_error *err);

#endif
