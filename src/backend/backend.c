/* Opening a device by its id: the backend's name, a colon and a number where it has several. */
#include "backend/backend.h"

#include <string.h>

static const struct {
    const char *name;
    be_status (*open)(const be_device_options *, be_device **, be_error *);
} backend_table[] = {
#define X(name, open, text) {#name, open},
    BACKEND_LIST(X)
#undef X
};

be_status be_device_open(const char *id, const be_device_options *options, be_device **out,
                         be_error *err)
{
    static const be_device_options defaults = {0};
    *out = NULL;
    for (size_t i = 0; i < sizeof backend_table / sizeof backend_table[0]; i++)
        if (strcmp(backend_table[i].name, id) == 0)
            return backend_table[i].open(options ? options : &defaults, out, err);
    FAIL(err, BE_UNAVAILABLE,
         "device \"%s\": expected one of those that `breakeven devices` lists (cpu …)", id);
}
