/* See address.h. */
#include "serve/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *address_value(const address *a, const char *name)
{
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->pairs[i].name, name) == 0) return a->pairs[i].value;
    return "";
}

int64_t address_number(const char *text)
{
    char *end = NULL;
    if (*text < '0' || *text > '9') return 0;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    return errno || *end || number < 1 ? 0 : number;
}

int64_t address_part(const char *path, const char *start, const char *end)
{
    char number[24];
    size_t whole = strlen(path), before = strlen(start), after = strlen(end);
    if (whole <= before + after || whole - before - after >= sizeof number) return 0;
    if (strncmp(path, start, before) != 0 || strcmp(path + whole - after, end) != 0) return 0;
    snprintf(number, sizeof number, "%.*s", (int)(whole - before - after), path + before);
    return address_number(number);
}
