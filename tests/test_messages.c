/* Tests of groups whose ranks exchange messages: a plugin in the place of an MPI's, in which rank 1
 * of 2 has three times the numbers of this one, rank 0, and lives as the test says. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_clock.h"
#include "group/messages.h"
#include "support.h"

#define MANY 70 /* means: more than may be under way */

static struct {
    int looks;        /* that a call takes; −1: it is never over */
    int left;         /* of the call that was looked at last */
    const char *fail; /* the function that fails */
    bool signs;       /* rank 1 gives one at every look for notes */
    int takes;
    struct {
        int32_t rank, status;
        char words[100];
    } end;                      /* that rank 1 tells; no words: none */
    atomic_int told[MPI_NOTES]; /* by rank 0 */
    char words[MPI_NOTE_BYTES];
    int closed;
} mpi;

static int ends(const char *name, char reason[MPI_REASON_BYTES])
{
    if (!mpi.fail || strcmp(mpi.fail, name) != 0) return 0;
    snprintf(reason, MPI_REASON_BYTES, "%s: the cable is broken", name);
    return 1;
}

static int fake_prepare(char reason[MPI_REASON_BYTES])
{
    return ends("prepare", reason);
}

static int fake_exchange(const void *mine, void *all, size_t bytes, char reason[MPI_REASON_BYTES])
{
    for (int r = 0; r < 2; r++) memcpy((char *)all + (size_t)r * bytes, mine, bytes);
    return ends("exchange", reason);
}

static int fake_swap(int call, const float *x, const int64_t *at, float *all,
                     char reason[MPI_REASON_BYTES])
{
    int64_t own = at[1] - at[0];
    assert_true(call == MPI_SWAP || call == MPI_SWAP_NEXT);
    for (int64_t i = 0; i < own; i++) {
        all[i] = x[i];
        all[own + i] = 3 * x[i];
    }
    return ends("swap", reason);
}

static int fake_gather(float *x, const int64_t *at, char reason[MPI_REASON_BYTES])
{
    for (int64_t i = at[1]; i < at[2]; i++) x[i] = (x[i] + 3 * x[i]) * 0.5f;
    return ends("gather", reason);
}

static int fake_look(int call, int *is_over, char reason[MPI_REASON_BYTES])
{
    (void)call;
    *is_over = mpi.looks >= 0 && mpi.left-- <= 0;
    if (*is_over) mpi.left = mpi.looks;
    return ends("look", reason);
}

static int fake_send(int kind, int rank, const void *note, size_t bytes,
                     char reason[MPI_REASON_BYTES])
{
    assert_int_equal(rank, 1);
    mpi.told[kind]++;
    if (kind == MPI_END) memcpy(mpi.words, note, bytes);
    return ends("send", reason);
}

static int fake_take(int *kind, int *rank, void *note, char reason[MPI_REASON_BYTES])
{
    *rank = -1;
    if (mpi.signs && ++mpi.takes % 2) {
        *rank = 1;
        *kind = MPI_SIGN;
    } else if (mpi.end.words[0]) {
        *rank = 1;
        *kind = MPI_END;
        memcpy(note, &mpi.end, sizeof mpi.end);
        mpi.end.words[0] = 0;
    }
    return ends("take", reason);
}

static void fake_close(void)
{
    mpi.closed++;
}

static const mpi_plugin plugin = {.version = MPI_PLUGIN_VERSION,
                                  .close = fake_close,
                                  .prepare = fake_prepare,
                                  .exchange = fake_exchange,
                                  .swap = fake_swap,
                                  .gather = fake_gather,
                                  .look = fake_look,
                                  .send = fake_send,
                                  .take = fake_take};

static be_group *join(void)
{
    be_error err = {0};
    be_group *group = NULL;
    memset(&mpi, 0, sizeof mpi);
    ASSERT_OK(messages_join(&plugin, 0, 2, &group, &err));
    assert_true(group_is_apart(group));
    return group;
}

/* ---------------------------------------------------------------- means */

static float *numbers_new(int64_t count)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(i % 1021);
    return x;
}

static void check_doubled(const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) assert_true(x[i] == (float)(2 * (i % 1021)));
}

/* One chunk and several, whole and not, at once and after a while. */
static void means_of_any_size(void **state)
{
    static const int64_t counts[] = {1, 16, 17, 5000, 1 << 20, (1 << 20) + 1, (3 << 20) + 77};
    be_group *group = join();
    be_error err = {0};
    (void)state;
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (mpi.looks = 0; mpi.looks < 2; mpi.looks++) {
            float *x = numbers_new(counts[k]);
            ASSERT_OK(group_mean(group, x, counts[k], &err));
            check_doubled(x, counts[k]);
            free(x);
        }
    assert_true(group_take_spent(group).hidden == 0);
    be_group_close(group);
    assert_int_equal(mpi.closed, 1);
}

/* Asked for in another order than they began in, and more of them than may be under way. */
static void means_that_begin_early(void **state)
{
    be_group *group = join();
    be_error err = {0};
    float *x[MANY];
    (void)state;
    for (int m = 0; m < MANY; m++) {
        x[m] = numbers_new(1000 + m);
        ASSERT_OK(group_mean_begin(group, x[m], 1000 + m, &err));
        group_beat(group);
    }
    for (int m = MANY - 1; m >= 0; m--) {
        ASSERT_OK(group_mean(group, x[m], 1000 + m, &err));
        check_doubled(x[m], 1000 + m);
        free(x[m]);
    }
    assert_true(group_take_spent(group).hidden > 0);
    be_group_close(group);
}

/* ---------------------------------------------------------------- ends */

static be_status mean(be_group *group, be_error *err)
{
    float x[100] = {0};
    return group_mean(group, x, 100, err);
}

static void a_rank_that_ends_tells_why(void **state)
{
    be_group *group = join();
    be_error err = {0};
    (void)state;
    mpi.looks = -1;
    mpi.end.rank = 1;
    mpi.end.status = BE_NUMERIC;
    snprintf(mpi.end.words, sizeof mpi.end.words, "the loss is not finite");
    ASSERT_FAILS(mean(group, &err), BE_NUMERIC, "rank 1 of 2 ended: the loss is not finite");
    ASSERT_FAILS(group_wait(group, GROUP_LIMIT_NS, &err), BE_NUMERIC, "rank 1 of 2 ended");
    assert_false(group_tells(group));
    assert_int_equal(mpi.told[MPI_END], 0);
    be_group_close(group);
    assert_int_equal(mpi.closed, 0); /* nobody waits for the others */
}

static void own_ends_are_told(void **state)
{
    be_group *group = join();
    (void)state;
    group_end(group, &(be_error){.status = BE_IO, .text = "the disk is full"});
    assert_true(group_tells(group));
    assert_int_equal(mpi.told[MPI_END], 1);
    assert_string_equal(mpi.words + 8, "the disk is full");
    be_group_close(group);
}

static void a_silent_rank_is_given_up(void **state)
{
    fake_clock clock = {.now_ns = 1, .tick_ns = 1000};
    be_error err = {0};
    (void)state;
    fake_clock_use(&clock);
    be_group *group = join();
    mpi.looks = -1;
    ASSERT_FAILS(mean(group, &err), BE_FAILED,
                 "rank 1 of 2 ended: it hangs, falls behind or cannot be reached: the others have "
                 "waited 8.0 s for a sign of it");
    assert_true(clock.now_ns < INT64_C(9500000000));
    assert_true(group_tells(group));
    assert_int_equal(mpi.told[MPI_END], 1);
    assert_in_range(mpi.told[MPI_SIGN], 30, 40); /* four a second */
    be_group_close(group);
    fake_clock_end();
}

/* However long it takes. */
static void a_rank_that_gives_signs_is_waited_for(void **state)
{
    fake_clock clock = {.now_ns = 1, .tick_ns = 1000};
    be_error err = {0};
    (void)state;
    fake_clock_use(&clock);
    be_group *group = join();
    mpi.looks = mpi.left = 400000;
    mpi.signs = true;
    ASSERT_OK(mean(group, &err));
    assert_true(clock.now_ns > 2 * GROUP_LIMIT_NS);
    be_group_close(group);
    fake_clock_end();
}

static void what_the_library_refuses_is_told(void **state)
{
    static const char *const parts[] = {"swap", "look", "gather", "take", "send"};
    be_error err = {0};
    be_group *group = NULL;
    (void)state;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        char says[80];
        group = join();
        mpi.fail = parts[p];
        mpi.looks = p < 3 ? 0 : -1;
        snprintf(says, sizeof says, "rank 0 of 2 cannot reach the others: %s: the cable", parts[p]);
        ASSERT_FAILS(mean(group, &err), BE_DRIVER, says);
        assert_true(group_tells(group));
        be_group_close(group);
    }
    group = join();
    mpi.fail = "exchange";
    ASSERT_FAILS(group_wait(group, GROUP_LIMIT_NS, &err), BE_DRIVER, "exchange: the cable");
    assert_true(group_tells(group));
    be_group_close(group);
    mpi.fail = "prepare";
    ASSERT_FAILS(messages_join(&plugin, 0, 2, &group, &err), BE_DRIVER, "prepare: the cable");
    assert_null(group);
}

/* ---------------------------------------------------------------- what one does alone */

static be_status write_file(void *context, be_error *err)
{
    (void)context;
    while (mpi.told[MPI_SIGN] < 2) continue; /* by the thread */
    FAIL(err, BE_IO, "the disk is full");
}

static void who_works_alone_gives_signs(void **state)
{
    be_group *group = join();
    be_error err = {0};
    (void)state;
    ASSERT_FAILS(group_alone(group, GROUP_LIMIT_NS, write_file, NULL, &err), BE_IO, "disk is full");
    be_group_close(group);
}

static be_status try_join(void *context, be_error *err)
{
    be_group *group = NULL;
    (void)context;
    TRY(messages_join(&plugin, 0, 2, &group, err));
    be_group_close(group);
    return BE_OK;
}

static void memory_may_fail(void **state)
{
    (void)state;
    memset(&mpi, 0, sizeof mpi);
    support_fail_each_allocation(try_join, NULL, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_of_any_size),
        cmocka_unit_test(means_that_begin_early),
        cmocka_unit_test(a_rank_that_ends_tells_why),
        cmocka_unit_test(own_ends_are_told),
        cmocka_unit_test(a_silent_rank_is_given_up),
        cmocka_unit_test(a_rank_that_gives_signs_is_waited_for),
        cmocka_unit_test(what_the_library_refuses_is_told),
        cmocka_unit_test(who_works_alone_gives_signs),
        cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
