/* Tests of groups: sums, copies, and how a group ends, with threads as ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_clock.h"
#include "group/board.h"
#include "group/meet.h"
#include "group_fixture.h"

#define MOST 5 /* ranks */

/* ---------------------------------------------------------------- what it computes */

typedef struct numbers {
    int64_t count;
    float *x;
    const int64_t *parts; /* NULL: equal ones */
} numbers;

/* Such that another order of the sum gives other bits. */
static float number_of(int rank, int64_t i)
{
    return (float)((i * 7919 + rank * 104729) % 10007) / 10007.0f * (rank % 2 ? -1e3f : 1.0f);
}

static be_status mean_part(rank_thread *m, be_error *err)
{
    numbers *n = m->context;
    if (n->parts) group_cut(m->group, n->parts);
    for (int64_t i = 0; i < n->count; i++) n->x[i] = number_of(be_group_rank(m->group), i);
    return group_mean(m->group, n->x, n->count, err);
}

static void check_mean(int size, int64_t count)
{
    rank_thread members[MOST] = {{0}};
    numbers n[MOST];
    for (int r = 0; r < size; r++) {
        n[r] = (numbers){count, malloc((size_t)count * sizeof(float)), NULL};
        members[r] = (rank_thread){.context = &n[r], .part = mean_part};
    }
    group_run(size, members);
    for (int r = 0; r < size; r++) assert_int_equal(members[r].status, BE_OK);
    for (int64_t i = 0; i < count; i++) {
        float sum = number_of(0, i);
        for (int r = 1; r < size; r++) sum += number_of(r, i);
        assert_true(n[0].x[i] == sum * (1.0f / (float)size));
    }
    for (int r = 1; r < size; r++)
        assert_memory_equal(n[0].x, n[r].x, (size_t)count * sizeof(float));
    for (int r = 0; r < size; r++) free(n[r].x);
}

/* One chunk and several, whole and not, in the order of the ranks. */
static void means_are_in_the_order_of_the_ranks(void **state)
{
    (void)state;
    int64_t chunk = 32 << 10; /* of a mean */
    const int64_t counts[] = {1, 1003, chunk, 3 * chunk + 7};
    for (int size = 1; size <= MOST; size++)
        for (int c = 0; c < 4; c++) check_mean(size, counts[c]);
}

/* Each rank has its weight; an odd number of samples in all. */
static void means_of_ranks_that_are_cut_are_weighted(void **state)
{
    (void)state;
    const int64_t parts[2] = {3, 8}, count = 100003;
    rank_thread members[2];
    numbers n[2];
    for (int r = 0; r < 2; r++) {
        n[r] = (numbers){count, malloc((size_t)count * sizeof(float)), parts};
        members[r] = (rank_thread){.context = &n[r], .part = mean_part};
    }
    group_run(2, members);
    for (int r = 0; r < 2; r++) assert_int_equal(members[r].status, BE_OK);
    for (int64_t i = 0; i < count; i++) {
        double expected = (3 * (double)number_of(0, i) + 8 * (double)number_of(1, i)) / 11;
        assert_float_equal(n[0].x[i], expected, 1e-4);
    }
    assert_memory_equal(n[0].x, n[1].x, (size_t)count * sizeof(float));
    for (int r = 0; r < 2; r++) free(n[r].x);
}

#define LONG (GROUP_CHUNK + 1001)

static be_status share_part(rank_thread *m, be_error *err)
{
    int rank = be_group_rank(m->group), size = be_group_size(m->group);
    char *mine = malloc(LONG), *all = malloc(LONG * (size_t)size);
    memset(mine, 'a' + rank, LONG);
    be_status status = group_gather(m->group, mine, all, LONG, err);
    for (int r = 0; r < size && status == BE_OK; r++)
        for (size_t i = 0; i < LONG; i++)
            if (all[(size_t)r * LONG + i] != 'a' + r) status = BE_FAILED;
    if (status == BE_OK) status = group_copy(m->group, mine, LONG, err);
    for (size_t i = 0; i < LONG && status == BE_OK; i++)
        if (mine[i] != 'a') status = BE_FAILED;
    if (status == BE_OK) status = group_wait(m->group, GROUP_LIMIT_NS, err);
    free(mine);
    free(all);
    return status;
}

static void all_ranks_see_what_each_has(void **state)
{
    (void)state;
    rank_thread members[3];
    for (int r = 0; r < 3; r++) members[r] = (rank_thread){.part = share_part};
    group_run(3, members);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(members[r].status, BE_OK);
        assert_false(members[r].tells);
    }
}

static void no_group_is_a_group_of_one(void **state)
{
    (void)state;
    be_error err = {0};
    float x = 3, y = 0;
    assert_int_equal(be_group_rank(NULL), 0);
    assert_int_equal(be_group_size(NULL), 1);
    ASSERT_OK(group_mean(NULL, &x, 1, &err));
    ASSERT_OK(group_gather(NULL, &x, &y, sizeof x, &err));
    ASSERT_OK(group_copy(NULL, &x, sizeof x, &err));
    ASSERT_OK(group_wait(NULL, 0, &err));
    group_beat(NULL);
    ASSERT_OK(group_check(NULL, &err));
    assert_true(x == 3 && y == 3 && group_tells(NULL));
    group_end(NULL, &err);
    be_group_close(NULL);
}

/* ---------------------------------------------------------------- how it ends */

static be_status fail_part(rank_thread *m, be_error *err)
{
    TRY(group_wait(m->group, GROUP_LIMIT_NS, err));
    if (be_group_rank(m->group) == 1) FAIL(err, BE_NUMERIC, "the loss was nan");
    TRY(group_wait(m->group, GROUP_LIMIT_NS, err));
    FAIL(err, BE_FAILED, "it went on");
}

/* The rank that fails tells it, the others end with its status and words and say nothing. */
static void an_error_of_one_ends_all(void **state)
{
    (void)state;
    be_error err = {0};
    rank_thread members[3];
    for (int r = 0; r < 3; r++) members[r] = (rank_thread){.part = fail_part};
    group_run(3, members);
    for (int r = 0; r < 3; r++) {
        err = members[r].err;
        assert_int_equal(members[r].tells, r == 1);
        if (r == 1) continue;
        ASSERT_FAILS(members[r].status, BE_NUMERIC, "rank 1 of 3 ended (process ",
                     "): the loss was nan");
    }
}

/* Two ranks as threads, under a clock that stands still. */
static void pair_begin(fake_clock *clock, be_group *groups[2])
{
    be_error err = {0};
    *clock = (fake_clock){.now_ns = 1000};
    fake_clock_use(clock);
    ASSERT_OK(group_of_threads(2, groups, &err));
}

static void pair_end(be_group *groups[2])
{
    for (int r = 0; r < 2; r++) be_group_close(groups[r]);
    fake_clock_end();
}

/* Nobody waits longer than the limit; the rank that did not come learns that it is out. */
static void one_that_hangs_is_left_behind(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    fake_clock clock = {.now_ns = 1000};
    float x = 1;
    fake_clock_use(&clock);
    ASSERT_OK(group_of_threads(2, groups, &err));
    ASSERT_FAILS(group_mean(groups[0], &x, 1, &err), BE_FAILED, "rank 1 of 2 ended",
                 "hangs or falls behind", "waited 8.0 s");
    assert_true(clock.slept_ns >= GROUP_LIMIT_NS && clock.slept_ns < GROUP_LIMIT_NS + 3000000);
    assert_true(group_tells(groups[0]));
    /* Every later call fails at once, with the same text. */
    int64_t slept_ns = clock.slept_ns;
    ASSERT_FAILS(group_wait(groups[0], GROUP_LIMIT_NS, &err), BE_FAILED, "waited 8.0 s");
    ASSERT_FAILS(group_wait(groups[1], GROUP_LIMIT_NS, &err), BE_FAILED, "without this one",
                 "rank 1 of 2");
    assert_false(group_tells(groups[1]));
    assert_int_equal(clock.slept_ns, slept_ns);
    pair_end(groups);
}

/* All do the same work: one that has worked for long gives the others time. */
static void slow_steps_are_waited_for(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    fake_clock clock;
    pair_begin(&clock, groups);
    clock.now_ns += 1000000000;
    ASSERT_FAILS(group_wait(groups[0], GROUP_LIMIT_NS, &err), BE_FAILED, "waited 10.0 s");
    pair_end(groups);
}

/* Steps of any length are no silence: the longest piece of one counts. */
static void signs_of_life_are_waited_for(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    fake_clock clock;
    pair_begin(&clock, groups);
    for (int piece = 0; piece < 100; piece++) {
        clock.now_ns += 500000000;
        group_beat(groups[0]);
    }
    ASSERT_FAILS(group_wait(groups[0], GROUP_LIMIT_NS, &err), BE_FAILED, "waited 8.0 s");
    pair_end(groups);
}

/* What its own device still has to do needs nobody who has ended in order. */
static void one_that_has_left_is_not_missed(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    fake_clock clock;
    pair_begin(&clock, groups);
    be_group_close(groups[1]);
    for (int look = 0; look < 1000; look++) {
        clock.now_ns += 100000000;
        ASSERT_OK(group_check(groups[0], &err));
    }
    be_group_close(groups[0]);
    fake_clock_end();
}

/* While a device works: 1000 looks of 100 ms are fine as long as the other rank gives signs. */
static void a_device_is_waited_for_with_the_others(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *groups[2];
    fake_clock clock;
    pair_begin(&clock, groups);
    for (int look = 0; look < 1000; look++) {
        clock.now_ns += 100000000;
        group_beat(groups[1]);
        ASSERT_OK(group_check(groups[0], &err));
    }
    int looks = 0;
    while (group_check(groups[0], &err) == BE_OK && looks < 1000) {
        clock.now_ns += 100000000;
        looks++;
    }
    assert_in_range(looks, 80, 82);
    ASSERT_FAILS(err.status, BE_FAILED, "rank 1 of 2 ended", "hangs or falls behind", "8.1 s");
    assert_true(group_has_ended(groups[0]));
    ASSERT_FAILS(group_check(groups[1], &err), BE_FAILED, "without this one");
    pair_end(groups);
}

static void release_nothing(void *context, bool in_order)
{
    (void)context, (void)in_order;
}

/* A process that is gone is noticed without waiting for the limit. */
static void one_that_is_killed_is_noticed(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *group = NULL;
    fake_clock clock = {.now_ns = 1000};
    size_t bytes = board_bytes(2);
    board *b = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(b != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        be_group *mine = NULL;
        _exit(board_join(b, &(board_seat){1, 2, release_nothing, NULL}, &mine, NULL) != BE_OK);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    fake_clock_use(&clock);
    ASSERT_OK(board_join(b, &(board_seat){0, 2, release_nothing, NULL}, &group, &err));
    ASSERT_FAILS(group_wait(group, GROUP_LIMIT_NS, &err), BE_FAILED, "rank 1 of 2 ended (process ",
                 "gone without a word");
    assert_true(clock.slept_ns < GROUP_LIMIT_NS / 10);
    assert_true(group_tells(group));
    be_group_close(group);
    fake_clock_end();
    munmap(b, bytes);
}

static void a_rank_is_there_once(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *group = NULL;
    board *b = aligned_alloc(64, board_bytes(2));
    assert_non_null(b);
    memset(b, 0, board_bytes(2));
    board_expect(b, 0, getpid());
    board_expect(b, 1, getpid() + 1);
    ASSERT_FAILS(board_join(b, &(board_seat){1, 2, release_nothing, NULL}, &group, &err), BE_USAGE,
                 "rank 1 of 2 is there twice", "give each rank its own");
    assert_null(group);
    ASSERT_OK(board_join(b, &(board_seat){0, 2, release_nothing, NULL}, &group, &err));
    assert_false(board_is_told(b));
    err = (be_error){.status = BE_FAILED, .text = "it failed"};
    group_end(group, &err);
    assert_true(board_is_told(b));
    be_group_close(group);
    free(b);
}

/* Whatever started this test was no launcher of its ranks. */
static void who_was_started_alone_joins_nobody(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *group = NULL;
    static const char *const of_launchers[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "WORLD_SIZE",
                                               "SLURM_STEP_NUM_TASKS"};
    for (int i = 0; i < 4; i++) unsetenv(of_launchers[i]);
    ASSERT_OK(be_group_join(&group, &err));
    assert_null(group);
    setenv("BREAKEVEN_WORKER", "2/2/0", 1);
    ASSERT_FAILS(be_group_join(&group, &err), BE_USAGE, "BREAKEVEN_WORKER", "found \"2/2/0\"");
    setenv("BREAKEVEN_WORKER", "0/2/-1", 1);
    ASSERT_FAILS(be_group_join(&group, &err), BE_FAILED, "memory that the workers share");
    assert_null(group);
    unsetenv("BREAKEVEN_WORKER");
}

/* Nobody waits for ever for the last rank. */
static void a_rank_that_does_not_come_is_named(void **state)
{
    (void)state;
    be_error err = {0};
    be_group *group = NULL;
    fake_clock clock = {.now_ns = 1000, .tick_ns = 5000000000};
    char name[MEET_NAME_BYTES];
    snprintf(name, sizeof name, "test/%d", (int)getpid());
    fake_clock_use(&clock);
    ASSERT_FAILS(meet_join(&(meeting){"torchrun", name, 1, 2}, &group, &err), BE_UNAVAILABLE,
                 "rank 0 of 2 did not come within 60 s", "look at what rank 0 said");
    ASSERT_FAILS(meet_join(&(meeting){"torchrun", name, 0, 2}, &group, &err), BE_FAILED,
                 "rank 1 of 2 did not come within 60 s", "look at what rank 1 said");
    fake_clock_end();
    assert_null(group);
}

static be_status open_threads(void *context, be_error *err)
{
    be_group *groups[3];
    (void)context;
    TRY(group_of_threads(3, groups, err));
    for (int r = 0; r < 3; r++) be_group_close(groups[r]);
    return BE_OK;
}

static void short_memory_leaves_nothing(void **state)
{
    (void)state;
    assert_int_equal(support_fail_each_allocation(open_threads, NULL, 10), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_in_the_order_of_the_ranks),
        cmocka_unit_test(means_of_ranks_that_are_cut_are_weighted),
        cmocka_unit_test(all_ranks_see_what_each_has),
        cmocka_unit_test(no_group_is_a_group_of_one),
        cmocka_unit_test(an_error_of_one_ends_all),
        cmocka_unit_test(one_that_hangs_is_left_behind),
        cmocka_unit_test(slow_steps_are_waited_for),
        cmocka_unit_test(signs_of_life_are_waited_for),
        cmocka_unit_test(one_that_has_left_is_not_missed),
        cmocka_unit_test(a_device_is_waited_for_with_the_others),
        cmocka_unit_test(one_that_is_killed_is_noticed),
        cmocka_unit_test(a_rank_is_there_once),
        cmocka_unit_test(who_was_started_alone_joins_nobody),
#ifdef __linux__
        cmocka_unit_test(a_rank_that_does_not_come_is_named),
#endif
        cmocka_unit_test(short_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
