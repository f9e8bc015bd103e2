/* What carries a group: one call, by which each rank puts down a few bytes and sees those of all.
 * Inner to src/group. */
#ifndef GROUP_TRANSPORT_H
#define GROUP_TRANSPORT_H

#include <stdatomic.h>

#include "group/group.h"

#define GROUP_CHUNK \
    ((size_t)256 << 10) /* the most bytes of one exchange: they stay in the caches */

typedef struct group_transport {
    /* Put down `bytes` of `mine`, at most GROUP_CHUNK (as many on every rank, or 0), and wait for
     * those of the others as long as they live and are not silent for `limit_ns`: all[r] points to
     * those of rank r until the call after the next one.  On failure group_ended has been told. */
    be_status (*exchange)(be_group *group, const void *mine, size_t bytes, int64_t limit_ns,
                          const void **all, be_error *err);
    /* As group_mean, beside the other calls, with the same limit for a rank that is waited for. */
    be_status (*mean)(be_group *group, float *x, int64_t count, int64_t limit_ns, be_error *err);
    /* As group_mean_begin; NULL: what is done beside other work would take its time from it. */
    be_status (*mean_begin)(be_group *group, float *x, int64_t count, be_error *err);
    /* A sign of life of this rank; any thread may give it to a group of one machine. */
    void (*beat)(be_group *group);
    /* Do the others live, and has none been silent for `limit_ns` of the time in which this was
     * called?  `first`: the first look of a waiting. */
    be_status (*check)(be_group *group, int64_t limit_ns, bool first, be_error *err);
    /* Signs of life from a thread, until the second call or for `limit_ns`, while this one uses the
     * group for nothing.  NULL: the others see at once that a rank is gone. */
    be_status (*signs)(be_group *group, int64_t limit_ns, be_error *err);
    void (*signs_end)(be_group *group);
    void (*end)(be_group *group, const be_error *why);
    bool (*tells)(be_group *group);
    void (*close)(be_group *group);
} group_transport;

/* The first member of every transport's own struct. */
struct be_group {
    const group_transport *transport;
    int rank, size;
    bool is_apart;                               /* as group_is_apart */
    _Atomic int64_t beat_ns;                     /* the last sign of life */
    _Atomic int64_t longest_ns;                  /* between two of them, since the last exchange */
    bool looks;                                  /* the last call was a check */
    _Atomic int64_t mean_ns, mean_bytes;         /* spent in means */
    int64_t hidden_ns;                           /* means under way beside other work */
    int64_t told_ns, told_bytes, told_hidden_ns; /* of it, what somebody has asked for */
    int64_t whole;             /* samples of a batch that is cut; 0: into equal parts */
    int64_t parts[GROUP_MOST]; /* of it */
    be_error end;              /* status BE_OK while the group lives */
};

#endif
