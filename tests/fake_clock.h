/* A clock that moves only when somebody waits on it, or when the test moves it. */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include <stdint.h>

typedef struct fake_clock {
    int64_t now_ns;
    int64_t tick_ns; /* each look at the clock takes it */
    int64_t slept_ns;
    int64_t born_s; /* seconds since 1970 at now_ns 0 */
} fake_clock;

/* Put it in the place of the system's clock; and the system's back.  A
 * process whose clock is a fake must not wait for what takes real time. */
void fake_clock_use(fake_clock *clock);
void fake_clock_end(void);

#endif
