/* The system's clocks, or a test's own. */
#include "core/clock.h"

#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <libproc.h>
#include <mach/mach_time.h>
#endif

#define CLOCK_READS 1000
#define SECOND_NS 1000000000

static const clock_source *replaced; /* by clock_use */

static int64_t clock_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec;
}

void clock_use(const clock_source *source)
{
    replaced = source;
}

int64_t clock_now_ns(void)
{
    if (replaced) return replaced->now_ns(replaced->context);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return clock_of(&now);
}

int64_t clock_unix_s(void)
{
    return replaced ? replaced->unix_s(replaced->context) : (int64_t)time(NULL);
}

void clock_sleep_ns(int64_t ns)
{
    if (replaced) {
        replaced->sleep_ns(replaced->context, ns);
    } else if (ns > 0) {
        struct timespec time = {.tv_sec = (time_t)(ns / SECOND_NS),
                                .tv_nsec = (long)(ns % SECOND_NS)};
        nanosleep(&time, NULL);
    }
}

int clock_wait_ready(struct pollfd *fds, int count, int64_t ns)
{
    int64_t ms = (ns + 999999) / 1000000;
    int ready = poll(fds, (nfds_t)count, replaced ? 0 : (int)ms);
    if (replaced && ready == 0) clock_sleep_ns(ns);
    return ready;
}

double clock_read_s(void)
{
    int64_t start = clock_now_ns(), end = start;
    for (int i = 0; i < CLOCK_READS; i++) end = clock_now_ns();
    return (double)(end - start) * 1e-9 / CLOCK_READS;
}

int64_t clock_cpu_ns(int64_t pid)
{
#ifdef __APPLE__
    struct rusage_info_v0 info;
    mach_timebase_info_data_t base;
    pid_t whose = pid ? (pid_t)pid : getpid();
    if (proc_pid_rusage(whose, RUSAGE_INFO_V0, (rusage_info_t *)&info) != 0) return -1;
    if (mach_timebase_info(&base) != 0) return -1;
    return (int64_t)((double)(info.ri_user_time + info.ri_system_time) * base.numer / base.denom);
#else
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
    return clock_of(&time);
#endif
}
