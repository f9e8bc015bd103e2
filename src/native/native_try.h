/* Whether a device computes: a small product, from arrays of the host and back. */
#ifndef NATIVE_NATIVE_TRY_H
#define NATIVE_NATIVE_TRY_H

#include "breakeven/plan.h"
#include "core/status.h"

/* Opens the device, multiplies two matrices of small whole numbers on it and closes it.  BE_OK if
 * every number came out right; BE_NUMERIC if one did not; else what refused.  Compiles kernels. */
BE_CHECKED be_status native_try(const char *id, const be_device_options *options, be_error *err);

#endif
