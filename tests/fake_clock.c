/* See fake_clock.h. */
#include "fake_clock.h"

#include <sched.h>

#include "core/clock.h"

static int64_t now_ns(void *context)
{
    fake_clock *clock = context;
    return clock->now_ns += clock->tick_ns;
}

static int64_t unix_s(void *context)
{
    const fake_clock *clock = context;
    return clock->born_s + clock->now_ns / 1000000000;
}

/* A process that was killed needs a moment of the processor to be gone. */
static void sleep_ns(void *context, int64_t ns)
{
    fake_clock *clock = context;
    if (ns > 0) clock->now_ns += ns;
    if (ns > 0) clock->slept_ns += ns;
    sched_yield();
}

void fake_clock_use(fake_clock *clock)
{
    static clock_source source;
    source = (clock_source){now_ns, unix_s, sleep_ns, clock};
    clock_use(&source);
}

void fake_clock_end(void)
{
    clock_use(NULL);
}
