/* Runners that wait for their next measurement: an engine takes seconds to start, a point of a
 * sweep a fraction of one.
 *
 * Owns the runners in it until one is taken.  They sleep, and hold memory: the oldest one is
 * stopped when all of them together have grown beyond a share of the machine's. */
#ifndef RUN_POOL_H
#define RUN_POOL_H

#include <stdbool.h>

#include "run/runner.h"

#define POOL_MAX 32

/* What a process cannot change once it is there. */
typedef struct pool_kind {
    const char *const *argv, *const *env; /* the same pointers: the same program */
    const char *device;
    int threads;
} pool_kind;

typedef struct pool {
    int count;
    struct pool_entry {
        pool_kind kind;
        runner runner;
        int64_t bytes;
    } entries[POOL_MAX]; /* the oldest first */
} pool;

/* One of that kind, then the caller's; false if there is none. */
bool pool_take(pool *p, const pool_kind *kind, runner *out);

/* Keep one that has answered all that it was asked.  *r is empty afterwards. */
void pool_give(pool *p, const pool_kind *kind, runner *r);

/* Stop all. */
void pool_clear(pool *p);

#endif
