/* What a browser asks for: a path, and settings behind it. */
#ifndef SERVE_ADDRESS_H
#define SERVE_ADDRESS_H

#include <stdint.h>

#define ADDRESS_PAIRS 64

/* An address: its path, and the names and values behind the question mark, decoded. */
typedef struct address {
    const char *path;
    struct {
        const char *name, *value;
    } pairs[ADDRESS_PAIRS];
    int count;
} address;

const char *address_value(const address *a, const char *name); /* "" if it has none */

/* A whole number of at least 1 that is a text, alone; 0: it is none. */
int64_t address_number(const char *text);

/* "/runs/12/note" with the start "/runs/" and the end "/note" is 12; 0: it is not of that form. */
int64_t address_part(const char *path, const char *start, const char *end);

#endif
