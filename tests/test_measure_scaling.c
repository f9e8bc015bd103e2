/* Tests of the model of workers, against sums that are counted message by message. */
#include "support.h"

#include <math.h>

#include "measure/scaling.h"

static const scaling_link fast = {.bytes_per_s = 1e9, .latency_s = 1e-5};

/* A ring: first every worker sends each part on until one has its sum, then the sums go round. */
static double ring_by_hand(const scaling_link *link, double bytes, int workers)
{
    double s = 0;
    for (int round = 0; round < 2; round++)
        for (int hop = 1; hop < workers; hop++)
            s += link->latency_s + bytes / workers / link->bytes_per_s;
    return s;
}

/* A tree: in each round half of those that are left send all they have to the other half. */
static double tree_by_hand(const scaling_link *link, double bytes, int workers)
{
    double s = 0;
    for (int left = workers; left > 1; left = (left + 1) / 2)
        s += 2 * (link->latency_s + bytes / link->bytes_per_s);
    return s;
}

static void sums_take_the_faster_way(void **state)
{
    (void)state;
    bool rings = false, trees = false;
    for (int workers = 1; workers <= 70; workers++) {
        for (double bytes = 4; bytes < 1e9; bytes *= 10) {
            double ring = ring_by_hand(&fast, bytes, workers);
            double tree = tree_by_hand(&fast, bytes, workers);
            scaling_reduce r = scaling_all_reduce(&fast, bytes, workers);
            assert_float_equal(r.seconds / fmax(fmin(ring, tree), 1e-30), workers > 1, 1e-9);
            rings |= r.by_ring && workers > 2;
            trees |= !r.by_ring;
        }
    }
    assert_true(rings && trees);
}

/* Alone there is nothing to add up, and nothing is gained. */
static void one_worker_is_as_fast_as_one(void **state)
{
    (void)state;
    stats_interval step = {0.1, 0.09, 0.12};
    assert_float_equal(scaling_all_reduce(&fast, 1e6, 1).seconds, 0, 0);
    stats_interval s = scaling_speed_up(&step, &step, 0);
    assert_float_equal(s.point, 1, 1e-12);
    assert_true(s.low < 1 && s.high > 1);
}

static void bounds_are_the_worst_of_both(void **state)
{
    (void)state;
    stats_interval whole = {0.1, 0.09, 0.11}, part = {0.02, 0.01, 0.03};
    stats_interval s = scaling_speed_up(&whole, &part, 0.03);
    assert_float_equal(s.point, 2, 1e-12);
    assert_float_equal(s.low, 0.09 / 0.06, 1e-12);
    assert_float_equal(s.high, 0.11 / 0.04, 1e-12);
}

/* Two workers that have a core each lose nothing; all else is the time of all cores. */
static void cores_are_shared(void **state)
{
    (void)state;
    static const double cases[][4] = {{2, 2, 2, 2}, {4, 2, 2, 4}, {2, 1, 2, 1}, {4, 1, 2, 2},
                                      {2, 8, 8, 2}, {4, 2, 8, 1}, {1, 2, 2, 1}, {1, 4, 2, 1},
                                      {3, 4, 2, 3}, {1, 1, 16, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double *c = cases[i];
        assert_float_equal(scaling_share(c[0], c[1], c[2]), c[3], 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_take_the_faster_way),
        cmocka_unit_test(one_worker_is_as_fast_as_one),
        cmocka_unit_test(cores_are_shared),
        cmocka_unit_test(bounds_are_the_worst_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
