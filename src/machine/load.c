/* Processor time of everybody, from /proc/stat. */
#include "machine/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"

load_sample load_take(const char *root)
{
    load_sample sample = {.busy_ns = -1, .steal_ns = -1};
    sample.time_ns = clock_now_ns();
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    sample.processors = online > 0 ? (int)online : 1;
#ifdef __linux__
    long long user, nice, system, idle, wait, irq, softirq, steal;
    long long tick_ns = 1000000000LL / sysconf(_SC_CLK_TCK);
    char path[4096];
    snprintf(path, sizeof path, "%s/proc/stat", root ? root : "");
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system,
                       &idle, &wait, &irq, &softirq, &steal) == 8) {
        sample.busy_ns = (user + nice + system + irq + softirq) * tick_ns;
        sample.steal_ns = steal * tick_ns;
    }
    if (file) fclose(file);
#else
    (void)root;
#endif
    return sample;
}

static double load_share(const load_sample *from, const load_sample *to, int64_t used_ns)
{
    double room_ns = (double)(to->time_ns - from->time_ns) * to->processors;
    return room_ns > 0 ? fmax(0, (double)used_ns / room_ns) : (double)NAN;
}

double load_other_share(const load_sample *from, const load_sample *to, int64_t own_ns)
{
    if (from->busy_ns < 0 || to->busy_ns < 0 || own_ns < 0) return NAN;
    return load_share(from, to, to->busy_ns - from->busy_ns - own_ns);
}

double load_steal_share(const load_sample *from, const load_sample *to)
{
    if (from->steal_ns < 0 || to->steal_ns < 0) return NAN;
    return load_share(from, to, to->steal_ns - from->steal_ns);
}

double load_taken_share(const load_sample *from, const load_sample *to, int64_t own_ns)
{
    double other = load_other_share(from, to, own_ns), steal = load_steal_share(from, to);
    return (isnan(other) ? 0 : other) + (isnan(steal) ? 0 : steal);
}

int64_t load_own_cpu_ns(void)
{
    return clock_cpu_ns(0);
}

void load_averages(double out[3])
{
    for (int got = getloadavg(out, 3), i = got < 0 ? 0 : got; i < 3; i++) out[i] = NAN;
}
