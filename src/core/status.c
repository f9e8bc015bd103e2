/* Error records: filling them, prefixing them, and the table of statuses. */
#include "core/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int exit_code;
    const char *text;
} status_table[] = {
#define X(name, exit_code, text) {exit_code, text},
    BE_STATUS_LIST(X)
#undef X
};

int be_status_exit_code(be_status status)
{
    return status_table[status].exit_code;
}

const char *be_status_text(be_status status)
{
    return status_table[status].text;
}

be_status status_fail(be_error *err, const char *file, int line, be_status status,
                      const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        err->status = status;
        err->file = file;
        err->line = line;
        vsnprintf(err->text, sizeof err->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

void status_prefix(be_error *err, const char *format, ...)
{
    if (!err) return;
    char prefix[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    size_t room = sizeof err->text, length = strlen(prefix), tail = strlen(err->text);
    if (tail > room - length - 3) tail = room - length - 3;
    memmove(err->text + length + 2, err->text, tail);
    err->text[length + 2 + tail] = 0;
    memcpy(err->text, prefix, length);
    memcpy(err->text + length, ": ", 2);
}

void status_must_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr,
            "breakeven: internal error at %s:%d: expected (%s) to hold.\n"
            "This is a bug in breakeven; please report it with the command that you ran.\n",
            file, line, condition);
    abort();
}

static const char *const status_names[] = {
#define X(name, exit_code, text) #name,
    BE_STATUS_LIST(X)
#undef X
};

const char *status_name(be_status status)
{
    return status_names[status];
}

int status_find(const char *name)
{
    for (size_t s = 0; s < sizeof status_names / sizeof *status_names; s++)
        if (strcmp(name, status_names[s]) == 0) return (int)s;
    return -1;
}
