/* Status and error text: how every fallible function of breakeven reports the world's faults.
 *
 * A function that can fail returns be_status and takes a be_error as its last parameter.  The text
 * says what was expected, what was found, where, and what to do next.  Bugs abort instead. */
#ifndef BREAKEVEN_STATUS_H
#define BREAKEVEN_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* name, exit code of the command line, what it means */
#define BE_STATUS_LIST(X)                                             \
    X(OK, 0, "ok")                                                    \
    X(FAILED, 1, "the run failed")                                    \
    X(BAD_DATA, 1, "a file or message is not what it should be")      \
    X(IO, 1, "reading or writing failed")                             \
    X(DRIVER, 1, "a library or driver call failed")                   \
    X(USAGE, 2, "the request is wrong")                               \
    X(UNAVAILABLE, 3, "the device, engine or operation is not there") \
    X(NUMERIC, 4, "the numbers are wrong (NaN, or parity broken)")    \
    X(NO_MEMORY, 5, "out of memory")                                  \
    X(SLOWER, 6, "slower than asked for")                             \
    X(INTERRUPTED, 130, "stopped by a signal")

typedef enum be_status {
#define X(name, exit_code, text) BE_##name,
    BE_STATUS_LIST(X)
#undef X
} be_status;

typedef struct be_error {
    be_status status;
    int line; /* where in our source it was raised, for bug reports */
    const char *file;
    char text[1000];
} be_error;

#define BE_CHECKED __attribute__((warn_unused_result))

/* The exit code of the command line for a status (docs: 0 … 6, 130). */
int be_status_exit_code(be_status status);

/* A short lower-case description of a status, never NULL. */
const char *be_status_text(be_status status);

#ifdef __cplusplus
}
#endif

#endif
