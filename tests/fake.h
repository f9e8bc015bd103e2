/* How the tests start tests/fake_runner.py and tests/proxy_runner.py. */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H

#include <stdio.h>
#include <stdlib.h>

#define FAKE_ARGUMENTS 20
#define FAKE_PROGRAM 3 /* arguments before the options */

typedef struct fake {
    char path[4096];
    const char *argv[FAKE_ARGUMENTS];
} fake;

/* The program and its options, of which the list ends with NULL. */
#define FAKE(out, ...) fake_fill((out), (const char *[]){__VA_ARGS__, NULL})
#define PROXY(out, ...) script_fill((out), "proxy_runner.py", (const char *[]){__VA_ARGS__, NULL})

static inline const char *const *script_fill(fake *out, const char *script,
                                             const char *const *options)
{
    const char *root = getenv("BREAKEVEN_SOURCE");
    int count = 0;
    snprintf(out->path, sizeof out->path, "%s/tests/%s", root ? root : ".", script);
    out->argv[count++] = "/usr/bin/env";
    out->argv[count++] = "python3";
    out->argv[count++] = out->path;
    while (*options && count < FAKE_ARGUMENTS - 1) out->argv[count++] = *options++;
    out->argv[count] = NULL;
    return out->argv;
}

static inline const char *const *fake_fill(fake *out, const char *const *options)
{
    return script_fill(out, "fake_runner.py", options);
}

#endif
