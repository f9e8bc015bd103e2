/* A server whose studies run the program that the test names: serve_fixture PROGRAM [PORT]. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/serve.h"

static volatile sig_atomic_t stop;

static void take_signal(int number)
{
    stop = number;
}

int main(int count, char **words)
{
    char address[256], once[256];
    serve *s = NULL;
    be_error err = {0};
    serve_options options = {.program = count > 1 ? words[1] : "",
                             .port = count > 2 ? atoi(words[2]) : 0,
                             .stop = &stop};
    signal(SIGTERM, take_signal);
    signal(SIGPIPE, SIG_IGN);
    if (serve_open(&s, &options, &err) != BE_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s %s\n", serve_address(s, false, address), serve_address(s, true, once));
    fflush(stdout);
    bool ended = serve_run(s, &err) == BE_INTERRUPTED;
    serve_close(s);
    return ended ? 0 : 1;
}
