/* The ranks of a group as threads of a test. */
#ifndef TESTS_GROUP_FIXTURE_H
#define TESTS_GROUP_FIXTURE_H

#include "group/group.h"
#include "support.h"

/* One rank: its part of a test, and how that ended.  cmocka's checks are the main thread's. */
typedef struct rank_thread {
    be_group *group;
    void *context;
    be_status (*part)(struct rank_thread *member, be_error *err);
    be_status status;
    be_error err;
    bool tells;
} rank_thread;

/* Run `part` on each rank of a new group of threads, and close it.  A part that fails ends the
 * group, as a process does. */
void group_run(int size, rank_thread *members);

#endif
