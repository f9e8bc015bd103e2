/* The macros by which the engine raises and passes on errors, and states what must hold.
 * May include nothing but the public status header. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include <stdarg.h>

#include "breakeven/status.h"

/* Fill *err (may be NULL) and return status.  Use through FAIL. */
be_status status_fail(be_error *err, const char *file, int line, be_status status,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Put "context: " in front of the text of an error that is being passed on. */
void status_prefix(be_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "BAD_DATA", as records and the runner protocol write it; the status of such a name, or -1. */
const char *status_name(be_status status);
int status_find(const char *name);

_Noreturn void status_must_failed(const char *file, int line, const char *condition);

#define FAIL(err, status, ...) return status_fail((err), __FILE__, __LINE__, (status), __VA_ARGS__)

#define TRY(call)                                     \
    do {                                              \
        be_status try_status_ = (call);               \
        if (try_status_ != BE_OK) return try_status_; \
    } while (0)

/* A bug of ours if it does not hold: aborts with the place, in every build. */
#define MUST(condition) ((condition) ? (void)0 : status_must_failed(__FILE__, __LINE__, #condition))

#endif
