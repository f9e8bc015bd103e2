/* The one clock of all measurements: monotonic, in nanoseconds. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

int64_t clock_now_ns(void);

/* The cost of one reading, in seconds: the mean of a thousand. */
double clock_read_s(void);

#endif
