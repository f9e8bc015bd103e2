#include "core/clock.h"

#include <time.h>

#define CLOCK_READS 1000

int64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

double clock_read_s(void)
{
    int64_t start = clock_now_ns(), end = start;
    for (int i = 0; i < CLOCK_READS; i++) end = clock_now_ns();
    return (double)(end - start) * 1e-9 / CLOCK_READS;
}
