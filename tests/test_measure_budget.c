/* Tests of a budget of time: whatever its stages wish for, they end in it. */
#include "support.h"

#include <math.h>

#include "measure/budget.h"

/* What a measurement does: each part of each stage takes what it wishes, or its grant. */
static double spend(const budget *b, int contenders, double wish_s, double passed_s)
{
    static const budget_stage per_contender[] = {BUDGET_LIMITS, BUDGET_OPEN, BUDGET_ROUNDS,
                                                 BUDGET_PROVE, BUDGET_APART};
    for (size_t s = 0; s < sizeof per_contender / sizeof *per_contender; s++)
        for (int i = 0; i < contenders; i++)
            passed_s += fmin(wish_s, budget_grant_s(b, per_contender[s], contenders - i, passed_s));
    /* The opposite is tried in the same stages, by two. */
    for (size_t s = 1; s < 4; s++)
        for (int i = 0; i < 2; i++)
            passed_s += fmin(wish_s, budget_grant_s(b, per_contender[s], 2 - i, passed_s));
    return passed_s;
}

static void any_number_of_contenders_ends_in_time(void **state)
{
    (void)state;
    const budget b = {40};
    for (int contenders = 1; contenders <= 64; contenders++)
        for (double wish_s = 0.001; wish_s < 1000; wish_s *= 3)
            for (double passed_s = 0; passed_s <= 40; passed_s += 2.5) {
                double end_s = spend(&b, contenders, wish_s, passed_s);
                if (!(end_s >= passed_s && end_s <= 40 + 1e-9))
                    fail_msg("%d contenders that wish for %g s each after %g s end at %g s",
                             contenders, wish_s, passed_s, end_s);
            }
}

static void who_comes_late_gets_nothing(void **state)
{
    (void)state;
    const budget b = {40};
    for (int s = 0; s < BUDGET_STAGE_COUNT; s++) {
        assert_true(budget_grant_s(&b, (budget_stage)s, 1, 40) == 0);
        assert_true(budget_grant_s(&b, (budget_stage)s, 3, 1e9) == 0);
        assert_true(budget_grant_s(&b, (budget_stage)s, 1, 10) < budget_left_s(&b, 10));
    }
    assert_true(budget_left_s(&b, 41) == 0);
    assert_true(budget_left_s(&b, 10) == 30);
}

static void without_a_budget_there_is_no_end(void **state)
{
    (void)state;
    const budget none = {0};
    assert_true(isinf(budget_left_s(&none, 1e9)));
    for (int s = 0; s < BUDGET_STAGE_COUNT; s++)
        assert_true(isinf(budget_grant_s(&none, (budget_stage)s, 64, 1e9)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_contenders_ends_in_time),
        cmocka_unit_test(who_comes_late_gets_nothing),
        cmocka_unit_test(without_a_budget_there_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
