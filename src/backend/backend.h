/* The list of backends, and opening a device by its id. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "graph/device.h"

be_status cpu_open(const be_device_options *options, be_device **out, be_error *err);

/* The library behind the CPU's primitives, with its version: "oneDNN 2.6.3". */
const char *cpu_library_version(void);

/* name in ids, opening function, what it is */
#define BACKEND_LIST(X) X(cpu, cpu_open, "the processor")

#endif
