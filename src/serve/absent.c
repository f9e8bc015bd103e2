/* In the place of server.c where the build found no libmicrohttpd. */
#include <stddef.h>

#include "serve/serve.h"

be_status serve_open(serve **out, const serve_options *options, be_error *err)
{
    (void)options;
    *out = NULL;
    FAIL(err, BE_UNAVAILABLE,
         "serve: expected a build with libmicrohttpd, found one without; install "
         "libmicrohttpd-dev (Homebrew: libmicrohttpd) and build again");
}

const char *serve_address(const serve *s, bool once, char out[256])
{
    (void)s;
    (void)once;
    out[0] = 0;
    return out;
}

be_status serve_run(serve *s, be_error *err)
{
    (void)s;
    (void)err;
    return BE_UNAVAILABLE;
}

void serve_close(serve *s)
{
    (void)s;
}
