/* The list of backends, opening a device by its id, and listing all devices. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <jansson.h>

#include "graph/device.h"

/* The library behind the CPU's primitives, with its version: "oneDNN 2.6.3". */
const char *cpu_library_version(void);

/* name in ids, has it a number ("cuda:0"), what it is; NAME_open and NAME_list are its functions.
 */
#define BACKEND_LIST(X)            \
    X(cpu, false, "the processor") \
    X(cuda, true, "NVIDIA GPUs")

/* Open device `index` of the backend.  Add an object for each device to a list: `id`, `name`,
 * `usable`, and either what is known of it (memory_bytes, driver, compute_capability, units,
 * libraries: a list of name, version, path) or the `reason`, which says what to do.  A backend with
 * nothing usable adds one object with its reason.  Listing never fails. */
#define X(name, numbered, text)                                                         \
    be_status name##_open(int index, const be_device_options *options, be_device **out, \
                          be_error *err);                                               \
    void name##_list(json_t *devices);
BACKEND_LIST(X)
#undef X

/* A new list of all devices of all backends; NULL without memory. */
json_t *backend_list(void);

#endif
