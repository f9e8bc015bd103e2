/* A group: the processes, or threads, that train one network together, each a part of every batch.
 *
 * Every call is made by all ranks in the same order, and is right or ends: a rank that is dead, has
 * ended by an error, or does not come within the limit ends the call on all others, with that rank
 * and its last words.  From then on every call fails with the same text.
 *
 * How the ranks reach one another is a transport (group/transport.h); nothing here knows one. */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakeven/group.h"
#include "core/status.h"

#define GROUP_MOST 256 /* ranks */

/* A rank that is waited for may give no sign of life for so long, or GROUP_PATIENCE times the
 * longest time between two signs of the waiting one since the last call, whichever is more: all do
 * the same work, so a piece of it that takes one of them long takes all of them long. */
#define GROUP_LIMIT_NS INT64_C(8000000000)
#define GROUP_PATIENCE 10

/* The ranks have parts of each batch that are not equal, so many samples each: means are weighted
 * by them.  All ranks say the same, between the same two means.  For devices of one process: nobody
 * is given up for his silence. */
void group_cut(be_group *group, const int64_t *parts);
bool group_is_cut(const be_group *group);

/* This rank's samples of a batch, and how many lie before them. */
int64_t group_part(const be_group *group, int64_t batch, int64_t *before);

double group_weight(const be_group *group, int rank); /* of its part in the batch */

/* A sign of life, after each piece of work: NULL is a group of one. */
void group_beat(be_group *group);

/* While a device works on what needs all ranks: a sign of life, and BE_OK as long as all others
 * live and give theirs.  Meant to be called again and again while this rank waits. */
BE_CHECKED be_status group_check(be_group *group, be_error *err);

/* What this rank has spent in group_mean since the last call of this: seconds, with the waiting for
 * the others, and bytes of its own; both 0 where another way adds up.  `hidden` seconds means were
 * under way beside other work. */
typedef struct group_spent {
    double seconds, hidden, bytes;
} group_spent;

group_spent group_take_spent(be_group *group);

/* All of it since the start, in nanoseconds. */
int64_t group_waited_ns(const be_group *group);

/* Whether its ranks may be on several machines. */
bool group_is_apart(const be_group *group);

/* Whether the group has ended. */
bool group_has_ended(const be_group *group);

/* x[count] becomes the sum over all ranks, added up in their order in single precision, times
 * 1 / size; where they are cut, of each times its weight.  All ranks get the same bits, and the
 * same ones for the same numbers again.  Means are in order among themselves alone: another thread
 * of the rank may ask for them than for all else.
 */
BE_CHECKED be_status group_mean(be_group *group, float *x, int64_t count, be_error *err);

/* A group_mean of these floats will follow: it may begin now, beside other work, and goes on at
 * each group_beat.  Nobody else uses x until then. */
BE_CHECKED be_status group_mean_begin(be_group *group, float *x, int64_t count, be_error *err);

/* all[size · bytes]: what each rank has, by rank. */
BE_CHECKED be_status group_gather(be_group *group, const void *mine, void *all, size_t bytes,
                                  be_error *err);

/* All get what rank 0 has. */
BE_CHECKED be_status group_copy(be_group *group, void *data, size_t bytes, be_error *err);

/* Until all are here; `limit_ns` is how long one may give no sign of life. */
BE_CHECKED be_status group_wait(be_group *group, int64_t limit_ns, be_error *err);

/* Rank 0 does something alone, as writing a file, for which it may take `limit_ns`; then all are
 * here.  `work` may not use the group. */
BE_CHECKED be_status group_alone(be_group *group, int64_t limit_ns,
                                 be_status (*work)(void *context, be_error *err), void *context,
                                 be_error *err);

/* This rank ends by an error: the others learn of it, with its status and text. */
void group_end(be_group *group, const be_error *why);

/* Whether it is for this rank to tell people how the group ended: for the one that ended first, or,
 * where that one is dead, for the first that noticed.  False while the group lives; true without a
 * group. */
bool group_tells(be_group *group);

/* Groups of `size` threads of this process, a handle a rank; each is closed by its thread. */
BE_CHECKED be_status group_of_threads(int size, be_group **out, be_error *err);

#endif
