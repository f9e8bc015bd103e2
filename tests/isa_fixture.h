/* The processor with each of its instruction sets. */
#ifndef TESTS_ISA_FIXTURE_H
#define TESTS_ISA_FIXTURE_H

#include <string.h>

#include "breakeven/plan.h"
#include "support.h"

static const char *const isas[] = {"generic", "avx2", "avx512"};
#define ISA_COUNT 3

/* NULL if this machine has no such instruction set; every machine has "generic". */
static inline be_device *isa_open(const char *isa, int threads)
{
    be_error err;
    be_device *device = NULL;
    be_device_options options = {.isa = isa, .threads = threads};
    be_status status = be_device_open("cpu", &options, &device, &err);
    if (status == BE_UNAVAILABLE && strcmp(isa, "generic") != 0) return NULL;
    ASSERT_OK(status);
    return device;
}

#endif
