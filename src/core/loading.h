/* What the system's loader says of a library that it did not open. */
#ifndef CORE_LOADING_H
#define CORE_LOADING_H

#include <stdbool.h>
#include <string.h>

/* Whether `reason` (of dlerror; may be NULL) means that no library of this name was found.  If not,
 * one was found and is of no use: it is damaged, or lacks what it needs itself; then the missing
 * file that the loader names is another one. */
static inline bool loading_found_none(const char *name, const char *reason)
{
    const char *at = reason ? strstr(reason, name) : NULL;
    if (!reason) return true;
    if (!strstr(reason, "No such file") && !strstr(reason, "no such file")) return false;
    return at && (at[strlen(name)] == ':' || at[strlen(name)] == ',');
}

#endif
