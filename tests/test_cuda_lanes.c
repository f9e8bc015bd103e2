/* Launches in lanes: each behind all that it waits for, a lane one after the other, no more lanes
 * than asked for, and the longest way not behind what could wait. */
#include <stdbool.h>
#include <string.h>

#include "backend/cuda/cuda_lanes.h"
#include "support.h"

#define NODES 12

typedef struct world {
    unsigned char behind[NODES * NODES];
    int64_t cost[NODES];
    int order[NODES], before[NODES];
} world;

static void wait_for(world *w, int k, int j)
{
    for (int i = 0; i < j; i++) w->behind[k * NODES + i] |= w->behind[j * NODES + i];
    w->behind[k * NODES + j] = 1;
}

/* A backward pass: 0, 2, 4 … follow one another, and 1, 3, 5 … are gradients of weights beside
 * them, which the last node waits for. */
static void fill(world *w)
{
    *w = (world){0};
    for (int k = 0; k < NODES; k++) w->cost[k] = 10;
    for (int k = 2; k < NODES - 1; k++) wait_for(w, k, (k - 1) / 2 * 2);
    for (int k = 0; k < NODES - 1; k++) wait_for(w, NODES - 1, k);
}

static int plan(world *w, int lanes)
{
    be_error err = {0};
    int place[NODES], ends = 0;
    bool is_followed[NODES] = {false};
    const cuda_lanes_job job = {
        .nodes = NODES, .lanes = lanes, .behind = w->behind, .cost = w->cost};
    ASSERT_OK(cuda_lanes_plan(&job, w->order, w->before, &err));
    memset(place, -1, sizeof place);
    for (int n = 0; n < NODES; n++) {
        assert_int_equal(place[w->order[n]], -1);
        place[w->order[n]] = n;
    }
    for (int k = 0; k < NODES; k++) {
        int before = w->before[k];
        for (int j = 0; j < k; j++)
            if (w->behind[k * NODES + j]) assert_true(place[j] < place[k]);
        if (before < 0) continue;
        assert_true(place[before] < place[k]);
        assert_false(is_followed[before]);
        is_followed[before] = true;
    }
    for (int k = 0; k < NODES; k++) ends += !is_followed[k];
    return ends;
}

static void one_lane_is_a_row(void **state)
{
    world w;
    (void)state;
    fill(&w);
    assert_int_equal(plan(&w, 1), 1);
    for (int n = 1; n < NODES; n++) assert_int_equal(w.before[w.order[n]], w.order[n - 1]);
}

/* Gradients of weights that take as long as the way: it never waits for one. */
static void the_longest_way_has_a_lane(void **state)
{
    world w;
    (void)state;
    fill(&w);
    assert_int_equal(plan(&w, 2), 2);
    for (int k = 2; k < NODES - 2; k += 2) assert_int_equal(w.before[k], k - 2);
}

/* What may be beside everything takes the lanes that there are, and no more. */
static void lanes_are_all_used(void **state)
{
    world w = {0};
    (void)state;
    for (int k = 0; k < NODES; k++) w.cost[k] = 1 + k;
    assert_int_equal(plan(&w, 3), 3);
    assert_int_equal(w.order[0], NODES - 1); /* the longest first */
    assert_int_equal(plan(&w, NODES + 1), NODES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_lane_is_a_row),
        cmocka_unit_test(the_longest_way_has_a_lane),
        cmocka_unit_test(lanes_are_all_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
