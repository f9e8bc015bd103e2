/* See room.h. */
#include "core/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/cgroup.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

int64_t room_here(void)
{
    int64_t pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    int64_t machine = pages > 0 && page_bytes > 0 ? pages * page_bytes : -1;
    int64_t group = cgroup_read("").memory_bytes;
    return group > 0 && (machine < 0 || group < machine) ? group : machine;
}

int64_t room_turns(int64_t batch, int64_t fits)
{
    int64_t turns = 2;
    while (turns < batch && (batch % turns || batch / turns > fits)) turns++;
    return turns;
}

be_status room_check(const room_need *need, int64_t room, be_error *err)
{
    double needs = need->fixed_bytes + need->batch_bytes;
    if (room < 0 || needs <= (double)room) return BE_OK;
    double rest = (double)room - need->fixed_bytes;
    int64_t fits = rest > 0 ? (int64_t)(rest / need->batch_bytes * (double)need->batch) : 0;
    char turns[64] = "";
    if (fits > 0 && need->turns > 0)
        snprintf(turns, sizeof turns, ", or train it in turns by --accumulate %" PRId64,
                 need->turns * room_turns(need->batch, fits));
    if (fits > 0)
        FAIL(err, BE_NO_MEMORY,
             "%s at batch %" PRId64 ": expected a step to take at most the %.1f GiB of memory "
             "here, found that it takes %.1f GiB; use --batch %" PRId64 " or less%s",
             need->what, need->batch, (double)room / GIB, needs / GIB, fits, turns);
    FAIL(
        err, BE_NO_MEMORY,
        "%s at batch %" PRId64 ": expected a step to take at most the %.1f GiB of memory here, "
        "found that it takes %.1f GiB, %.1f GiB of them at any batch; choose a smaller variant, or "
        "a machine with more memory",
        need->what, need->batch, (double)room / GIB, needs / GIB, need->fixed_bytes / GIB);
}
