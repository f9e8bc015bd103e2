/* The native engine in the role of a runner: answers the requests of docs/runner-protocol.md. */
#ifndef NATIVE_NATIVE_RUNNER_H
#define NATIVE_NATIVE_RUNNER_H

#include <stdio.h>

#include "breakeven/plan.h"

/* Answer each line of `requests` on `answers` until quit or the end.  `device` (may be NULL) gives
 * isa and library.  BE_IO if the answers cannot be written: nobody is left to tell. */
BE_CHECKED be_status native_runner_serve(FILE *requests, FILE *answers,
                                         const be_device_options *device, be_error *err);

#endif
