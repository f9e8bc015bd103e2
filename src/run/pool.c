/* See pool.h. */
#include "run/pool.h"

#include <string.h>
#include <unistd.h>

#define POOL_SHARE 0.125 /* of the machine's memory that idle runners may hold */

static struct pool_entry pool_remove(pool *p, int i)
{
    struct pool_entry entry = p->entries[i];
    p->count--;
    memmove(&p->entries[i], &p->entries[i + 1], (size_t)(p->count - i) * sizeof(struct pool_entry));
    return entry;
}

static bool pool_is(const pool_kind *a, const pool_kind *b)
{
    return a->argv == b->argv && a->env == b->env && a->threads == b->threads &&
           strcmp(a->device, b->device) == 0;
}

bool pool_take(pool *p, const pool_kind *kind, runner *out)
{
    for (int i = 0; i < p->count; i++) {
        if (!pool_is(&p->entries[i].kind, kind)) continue;
        *out = pool_remove(p, i).runner;
        return true;
    }
    return false;
}

static bool pool_is_full(const pool *p)
{
    double bytes = 0;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    for (int i = 0; i < p->count; i++) bytes += (double)p->entries[i].bytes;
    return p->count == POOL_MAX || bytes > POOL_SHARE * machine;
}

void pool_give(pool *p, const pool_kind *kind, runner *r)
{
    /* Where the system does not tell, as much as a framework takes. */
    int64_t peak_bytes = child_peak_rss_bytes(r->child);
    int64_t bytes = peak_bytes >= 0 ? peak_bytes : INT64_C(1) << 29;
    while (p->count > 0 && pool_is_full(p)) {
        struct pool_entry oldest = pool_remove(p, 0);
        runner_clear(&oldest.runner);
    }
    p->entries[p->count++] = (struct pool_entry){*kind, *r, bytes};
    *r = (runner){.peak_rss_bytes = -1};
}

void pool_clear(pool *p)
{
    while (p->count > 0) {
        struct pool_entry last = pool_remove(p, p->count - 1);
        runner_clear(&last.runner);
    }
}
