/* Tests of how a batch is cut for two devices: planted speeds, and no clock. */
#include "train/shares.h"

#include "support.h"

/* Two devices: a step of each takes a while and so long for each sample. */
typedef struct pair {
    double start_s[2], sample_s[2];
} pair;

static double slowest(const pair *p, const int64_t parts[2])
{
    double most = 0;
    for (int r = 0; r < 2; r++) {
        double s = p->start_s[r] + p->sample_s[r] * (double)parts[r];
        if (s > most) most = s;
    }
    return most;
}

/* To the end: how many rounds, and with which parts. */
static shares find(const pair *p, int64_t batch)
{
    shares s = shares_begin(batch);
    int64_t before[2] = {s.parts[0], s.parts[1]};
    while (!s.stays) {
        double seconds[2];
        for (int r = 0; r < 2; r++)
            seconds[r] = p->start_s[r] + p->sample_s[r] * (double)s.parts[r];
        assert_int_equal(s.parts[0] + s.parts[1], batch);
        bool others = shares_next(&s, seconds);
        assert_int_equal(others, s.parts[0] != before[0]);
        before[0] = s.parts[0];
    }
    assert_in_range(s.rounds, 1, SHARES_ROUNDS);
    return s;
}

static void both_end_at_once(void **state)
{
    (void)state;
    const pair pairs[] = {{{0, 0}, {1e-3, 1e-3}},
                          {{0, 0}, {3e-3, 1e-3}},
                          {{1e-3, 20e-3}, {1e-3, 1e-4}},
                          {{0, 5e-3}, {2e-4, 7e-4}}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        shares s = find(&pairs[i], 100);
        double found_s = slowest(&pairs[i], s.parts), best_s = 1e9;
        for (int64_t k = 1; k < 100; k++) {
            double here_s = slowest(&pairs[i], (int64_t[2]){k, 100 - k});
            if (here_s < best_s) best_s = here_s;
        }
        if (!(found_s <= 1.1 * best_s)) fail_msg("pair %zu: %g, at best %g", i, found_s, best_s);
    }
    assert_int_equal(find(&pairs[0], 100).rounds, 1);
    assert_int_equal(find(&pairs[1], 100).parts[0], 25);
}

/* A device that is of no use keeps a sample, for it has a plan. */
static void each_has_a_sample(void **state)
{
    (void)state;
    const pair lame = {{1, 0}, {1, 1e-6}}, other = {{0, 1}, {1e-6, 1}};
    assert_int_equal(find(&lame, 64).parts[0], 1);
    assert_int_equal(find(&other, 64).parts[1], 1);
    assert_int_equal(find(&lame, 2).parts[0], 1);
}

/* Where the last try was no good, an earlier one stays. */
static void the_best_that_was_tried_stays(void **state)
{
    (void)state;
    shares s = shares_begin(100);
    assert_true(shares_next(&s, (double[2]){1, 3}));
    assert_int_equal(s.parts[0], 75);
    assert_true(shares_next(&s, (double[2]){9, 1}));
    for (int round = s.rounds; round < SHARES_ROUNDS; round++) {
        assert_false(s.stays);
        shares_next(&s, (double[2]){round % 2 ? 9 : 8, 5});
    }
    assert_true(s.stays);
    assert_int_equal(s.parts[0], 50);
    assert_false(shares_next(&s, (double[2]){1, 9}));
    assert_int_equal(s.parts[0], 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_end_at_once),
        cmocka_unit_test(each_has_a_sample),
        cmocka_unit_test(the_best_that_was_tried_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
