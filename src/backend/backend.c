/* Opening a device by its id: the backend's name, a colon and a number where it has several. */
#include "backend/backend.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool numbered;
    be_status (*open)(int, const be_device_options *, be_device **, be_error *);
    void (*list)(json_t *);
} backend_table[] = {
#define X(name, numbered, text) {#name, numbered, name##_open, name##_list},
    BACKEND_LIST(X)
#undef X
};

#define BACKEND_COUNT (sizeof backend_table / sizeof backend_table[0])

/* The number after the colon, −1 if what follows the name is no such thing. */
static int parse_index(const char *rest, bool numbered)
{
    char *end = NULL;
    if (!numbered) return *rest ? -1 : 0;
    if (rest[0] != ':' || !isdigit((unsigned char)rest[1])) return -1;
    long index = strtol(rest + 1, &end, 10);
    return *end || index > 9999 ? -1 : (int)index;
}

be_status be_device_open(const char *id, const be_device_options *options, be_device **out,
                         be_error *err)
{
    static const be_device_options defaults = {0};
    *out = NULL;
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        size_t length = strlen(backend_table[i].name);
        if (strncmp(id, backend_table[i].name, length) != 0) continue;
        int index = parse_index(id + length, backend_table[i].numbered);
        if (index >= 0)
            return backend_table[i].open(index, options ? options : &defaults, out, err);
    }
    FAIL(err, BE_UNAVAILABLE,
         "device \"%s\": expected one of those that `breakeven devices` lists (cpu, cuda:0 …)", id);
}

json_t *backend_list(void)
{
    json_t *devices = json_array();
    for (size_t i = 0; devices && i < BACKEND_COUNT; i++) backend_table[i].list(devices);
    return devices;
}
