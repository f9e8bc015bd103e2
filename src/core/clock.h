/* The one clock: whoever reads the time or waits does it here, so that a test can replace both.
 *
 * tools/check_layers.py finds every other way to the system's clocks. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <poll.h>
#include <stdint.h>

/* The clock of all measurements and time limits: monotonic, in nanoseconds. */
int64_t clock_now_ns(void);

/* Seconds since 1970, for what is told and what is kept. */
int64_t clock_unix_s(void);

void clock_sleep_ns(int64_t ns);

/* Wait until one of the descriptors is ready, but not longer than `ns`, which may be rounded up to
 * milliseconds; the result is poll's. */
int clock_wait_ready(struct pollfd *fds, int count, int64_t ns);

/* The cost of one reading, in seconds: the mean of a thousand. */
double clock_read_s(void);

/* Processor time that all threads of a process have used so far (0: of this process); -1 where the
 * system does not tell. */
int64_t clock_cpu_ns(int64_t pid);

/* A clock in the place of the system's. */
typedef struct clock_source {
    int64_t (*now_ns)(void *context);
    int64_t (*unix_s)(void *context);
    void (*sleep_ns)(void *context, int64_t ns);
    void *context;
} clock_source;

/* For tests: from now on this one (which must stay) answers and waits; NULL: the system's. */
void clock_use(const clock_source *source);

#endif
