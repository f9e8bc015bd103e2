/* See group_fixture.h. */
#include "group_fixture.h"

#include <pthread.h>

static void *run_member(void *argument)
{
    rank_thread *m = argument;
    m->status = m->part(m, &m->err);
    if (m->status != BE_OK) group_end(m->group, &m->err);
    m->tells = group_tells(m->group);
    return NULL;
}

void group_run(int size, rank_thread *members)
{
    be_error err = {0};
    be_group *groups[GROUP_MOST];
    pthread_t threads[GROUP_MOST];
    ASSERT_OK(group_of_threads(size, groups, &err));
    for (int r = 0; r < size; r++) {
        members[r].group = groups[r];
        assert_int_equal(pthread_create(&threads[r], NULL, run_member, &members[r]), 0);
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r], NULL);
    for (int r = 0; r < size; r++) be_group_close(groups[r]);
}
