/* Measuring what a device can do at most: work of known amounts against the clock.
 *
 * The device says what its work is (device_probe); this reads the clock, and believes a figure only
 * where twice the work takes about twice the time.  Frees all that it made. */
#ifndef MACHINE_LIMITS_MEASURE_H
#define MACHINE_LIMITS_MEASURE_H

#include "breakeven/plan.h"
#include "measure/limits.h"

#define LIMITS_SECONDS 1.0 /* of a device, about */

/* Each figure is the best of several repetitions: whatever disturbs can only lower it.  What cannot
 * be measured, or is not believed, is NAN.  BE_UNAVAILABLE with the reason for a device that
 * computes nothing. */
BE_CHECKED be_status limits_measure(be_device *device, double seconds, limits *out, be_error *err);

#endif
