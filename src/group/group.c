/* What a group does, made from exchanges. */
#include "group/group.h"

#include <string.h>

#include "core/clock.h"
#include "group/transport.h"

int be_group_rank(const be_group *group)
{
    return group ? group->rank : 0;
}

int be_group_size(const be_group *group)
{
    return group ? group->size : 1;
}

static void beat(be_group *group)
{
    int64_t now_ns = clock_now_ns();
    if (now_ns - group->beat_ns > group->longest_ns) group->longest_ns = now_ns - group->beat_ns;
    group->beat_ns = now_ns;
    group->transport->beat(group);
}

void group_beat(be_group *group)
{
    if (!group) return;
    beat(group);
    group->looks = false;
}

void group_cut(be_group *group, const int64_t *parts)
{
    group->whole = 0;
    for (int r = 0; r < group->size; r++) {
        group->parts[r] = parts[r];
        group->whole += parts[r];
    }
}

bool group_is_cut(const be_group *group)
{
    return group && group->whole > 0;
}

int64_t group_part(const be_group *group, int64_t batch, int64_t *before)
{
    int64_t each = batch / be_group_size(group);
    *before = be_group_rank(group) * each;
    if (!group_is_cut(group)) return each;
    *before = 0;
    for (int r = 0; r < group->rank; r++) *before += group->parts[r];
    return group->parts[group->rank];
}

double group_weight(const be_group *group, int rank)
{
    if (!group_is_cut(group)) return 1.0 / be_group_size(group);
    return (double)group->parts[rank] / (double)group->whole;
}

static int64_t limit_of(const be_group *group, int64_t limit_ns)
{
    if (group_is_cut(group)) return INT64_MAX;
    int64_t patience_ns = GROUP_PATIENCE * group->longest_ns;
    return limit_ns < patience_ns ? patience_ns : limit_ns;
}

be_status group_check(be_group *group, be_error *err)
{
    be_error end = {0};
    if (be_group_size(group) == 1) return BE_OK;
    if (group->end.status == BE_OK) {
        beat(group);
        be_status status =
            group->transport->check(group, limit_of(group, GROUP_LIMIT_NS), !group->looks, &end);
        group->looks = true;
        if (status == BE_OK) return BE_OK;
        group->end = end;
    }
    if (err) *err = group->end;
    return group->end.status;
}

bool group_is_apart(const be_group *group)
{
    return group && group->is_apart;
}

bool group_has_ended(const be_group *group)
{
    return group->end.status != BE_OK;
}

static be_status exchange(be_group *group, const void *mine, size_t bytes, int64_t limit_ns,
                          const void **all, be_error *err)
{
    be_error end = {0};
    if (group->end.status == BE_OK) {
        group_beat(group);
        be_status status =
            group->transport->exchange(group, mine, bytes, limit_of(group, limit_ns), all, &end);
        group->beat_ns = clock_now_ns();
        group->longest_ns = 0;
        if (status == BE_OK) return BE_OK;
        group->end = end;
    }
    if (err) *err = group->end;
    return group->end.status;
}

group_spent group_take_spent(be_group *group)
{
    group_spent time = {.seconds = (double)(group->mean_ns - group->told_ns) * 1e-9,
                        .hidden = (double)(group->hidden_ns - group->told_hidden_ns) * 1e-9,
                        .bytes = (double)(group->mean_bytes - group->told_bytes)};
    group->told_ns = group->mean_ns;
    group->told_hidden_ns = group->hidden_ns;
    group->told_bytes = group->mean_bytes;
    return time;
}

int64_t group_waited_ns(const be_group *group)
{
    return group ? group->mean_ns : 0;
}

be_status group_mean_begin(be_group *group, float *x, int64_t count, be_error *err)
{
    if (be_group_size(group) == 1 || !group->transport->mean_begin) return BE_OK;
    return group->transport->mean_begin(group, x, count, err);
}

be_status group_mean(be_group *group, float *x, int64_t count, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    if (be_group_size(group) == 1) return BE_OK;
    TRY(group->transport->mean(group, x, count, limit_of(group, GROUP_LIMIT_NS), err));
    int64_t end_ns = clock_now_ns();
    group->beat_ns = end_ns;
    group->mean_ns += end_ns - start_ns;
    group->mean_bytes += count * (int64_t)sizeof *x;
    return BE_OK;
}

be_status group_gather(be_group *group, const void *mine, void *all, size_t bytes, be_error *err)
{
    const void *parts[GROUP_MOST];
    int size = be_group_size(group);
    if (size == 1) {
        memcpy(all, mine, bytes);
        return BE_OK;
    }
    for (size_t at = 0; at < bytes; at += GROUP_CHUNK) {
        size_t here = bytes - at < GROUP_CHUNK ? bytes - at : GROUP_CHUNK;
        TRY(exchange(group, (const char *)mine + at, here, GROUP_LIMIT_NS, parts, err));
        for (int r = 0; r < size; r++) memcpy((char *)all + (size_t)r * bytes + at, parts[r], here);
    }
    return BE_OK;
}

be_status group_copy(be_group *group, void *data, size_t bytes, be_error *err)
{
    const void *parts[GROUP_MOST];
    if (be_group_size(group) == 1) return BE_OK;
    for (size_t at = 0; at < bytes; at += GROUP_CHUNK) {
        size_t here = bytes - at < GROUP_CHUNK ? bytes - at : GROUP_CHUNK;
        char *to = (char *)data + at;
        TRY(exchange(group, to, here, GROUP_LIMIT_NS, parts, err));
        if (group->rank) memcpy(to, parts[0], here);
    }
    return BE_OK;
}

be_status group_wait(be_group *group, int64_t limit_ns, be_error *err)
{
    const void *parts[GROUP_MOST];
    return be_group_size(group) == 1 ? BE_OK : exchange(group, NULL, 0, limit_ns, parts, err);
}

be_status group_alone(be_group *group, int64_t limit_ns,
                      be_status (*work)(void *context, be_error *err), void *context, be_error *err)
{
    be_status status = BE_OK;
    bool gives_signs = be_group_size(group) > 1 && group->transport->signs;
    if (be_group_rank(group) == 0) {
        if (gives_signs) TRY(group->transport->signs(group, limit_ns, err));
        status = work(context, err);
        if (gives_signs) group->transport->signs_end(group);
    }
    be_status waited =
        group_wait(group, gives_signs ? GROUP_LIMIT_NS : limit_ns, status == BE_OK ? err : NULL);
    return status == BE_OK ? waited : status;
}

void group_end(be_group *group, const be_error *why)
{
    if (!group || group->end.status != BE_OK) return;
    group->end = *why;
    group->transport->end(group, why);
}

bool group_tells(be_group *group)
{
    return !group || group->transport->tells(group);
}

void be_group_close(be_group *group)
{
    if (group) group->transport->close(group);
}
