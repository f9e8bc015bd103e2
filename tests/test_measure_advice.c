/* Tests of the advice: interpolation and its held-out error, totals with start-up, the choice, and
 * where it flips. */
#include <math.h>

#include "measure/advice.h"
#include "support.h"

/* A step of a + b × batch, known to ±`width`. */
static void fill(advice_sample *samples, int count, double a, double b, double width)
{
    for (int i = 0; i < count; i++) {
        double batch = 16 << (2 * i), step_s = a + b * batch;
        samples[i] = (advice_sample){.batch = batch,
                                     .step_s = {step_s, step_s * (1 - width), step_s * (1 + width)},
                                     .step_j = 100 * step_s,
                                     .memory_bytes = 1e6 * batch};
    }
}

static advice_candidate candidate(const advice_sample *samples, int count, double start_s)
{
    return (advice_candidate){.start_s = {start_s, start_s, start_s},
                              .samples = samples,
                              .count = count,
                              .memory_limit_bytes = (double)NAN};
}

static void measured_settings_are_taken_as_they_are(void **state)
{
    (void)state;
    advice_sample samples[4];
    advice_estimate e;
    fill(samples, 4, 1e-3, 1e-5, 0.02);
    advice_candidate c = candidate(samples, 4, 0.5);
    advice_question question = {ADVICE_TIME, 64, 6400};
    advice_estimate_of(&c, &question, &e);
    assert_true(e.measured && e.in_range && e.fits);
    assert_float_equal(e.step_s.point, 1.64e-3, 1e-12);
    assert_float_equal(e.step_s.high, 1.64e-3 * 1.02, 1e-12);
    assert_float_equal(e.total_s.point, 0.5 + 100 * 1.64e-3, 1e-9);
    assert_float_equal(e.total_s.low, 0.5 + 100 * 1.64e-3 * 0.98, 1e-9);
    assert_float_equal(e.energy_j, 100 * 0.164, 1e-9);
    assert_float_equal(e.memory_bytes, 64e6, 1);
}

/* What was left out is found again as well as it says, and the interval holds the truth. */
static void interpolated_settings_say_how_well(void **state)
{
    (void)state;
    advice_sample samples[4];
    advice_estimate e;
    fill(samples, 4, 1e-3, 1e-5, 0.02);
    advice_candidate c = candidate(samples, 4, 0);
    advice_question question = {ADVICE_TIME, 128, 128};
    advice_estimate_of(&c, &question, &e);
    double truth_s = 1e-3 + 1e-5 * 128;
    assert_true(!e.measured && e.in_range);
    assert_true(e.held_out > 0.05 && e.held_out < 0.5);
    assert_true(e.step_s.low < truth_s && truth_s < e.step_s.high);
    /* A power law is met exactly. */
    for (int i = 0; i < 4; i++) {
        double step_s = 1e-5 * pow(samples[i].batch, 0.7);
        samples[i].step_s = (stats_interval){step_s, step_s, step_s};
    }
    advice_estimate_of(&c, &question, &e);
    assert_float_equal(e.held_out, 0, 1e-12);
    assert_float_equal(e.step_s.high, 1e-5 * pow(128, 0.7), 1e-12);
}

static void nothing_is_told_outside_the_measured_range(void **state)
{
    (void)state;
    advice_sample samples[4];
    advice_estimate e;
    fill(samples, 4, 1e-3, 1e-5, 0.02);
    advice_candidate c = candidate(samples, 4, 0);
    for (int i = 0; i < 2; i++) {
        advice_question question = {ADVICE_TIME, i ? 4096 : 8, 1e6};
        advice_estimate_of(&c, &question, &e);
        assert_true(!e.in_range && isnan(e.step_s.point) && isnan(e.total_s.point));
    }
    /* Two settings leave none out: the interval has no bounds. */
    c.count = 2;
    advice_question between = {ADVICE_TIME, 32, 1e6};
    advice_estimate_of(&c, &between, &e);
    assert_true(e.in_range && isnan(e.held_out) && isnan(e.step_s.low) && isnan(e.step_s.high));
}

static advice_pair planted[8]; /* what the blocks say, for choose */
static int planted_count;

static void choose(const advice_candidate *both, const advice_question *question,
                   advice_choice *out)
{
    advice_estimate estimates[2];
    for (int i = 0; i < 2; i++) advice_estimate_of(&both[i], question, &estimates[i]);
    advice_choose(estimates, 2, question->goal, out);
    if (out->second < 0) return;
    const advice_candidate *chosen[] = {&both[out->best], &both[out->second]};
    const advice_estimate *of[] = {&estimates[out->best], &estimates[out->second]};
    advice_judge(chosen, of, question, planted, planted_count, out);
}

/* A CPU that starts at once against a GPU that starts in 2 s and is four times as fast. */
static void a_short_training_goes_to_the_quick_starter(void **state)
{
    (void)state;
    advice_sample cpu[4], gpu[4];
    advice_choice choice;
    fill(cpu, 4, 0, 4e-5, 0.01);
    fill(gpu, 4, 0, 1e-5, 0.01);
    advice_candidate both[] = {candidate(cpu, 4, 0), candidate(gpu, 4, 2)};
    advice_question question = {ADVICE_TIME, 64, 6400};
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 0);
    assert_int_equal(choice.verdict, STATS_FASTER);
    /* 2 s / (3e-5 s a picture) */
    assert_float_equal(choice.flip_samples, 2 / 3e-5, 1);
    question.samples = 600000;
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 1);
    assert_float_equal(choice.flip_samples, 2 / 3e-5, 1);
    assert_float_equal(choice.ratio.point, 600000 * 4e-5 / (2 + 600000 * 1e-5), 0.01);
    /* Faster at both: no length flips it. */
    both[1].start_s.point = 0;
    choose(both, &question, &choice);
    assert_true(choice.best == 1 && isnan(choice.flip_samples));
}

static void the_batch_at_which_it_flips_is_found(void **state)
{
    (void)state;
    advice_sample cpu[5], gpu[5];
    advice_choice choice;
    fill(cpu, 5, 0, 2e-5, 0.01);
    fill(gpu, 5, 4e-3, 0.01e-5, 0.01);
    advice_candidate both[] = {candidate(cpu, 5, 0), candidate(gpu, 5, 0)};
    advice_question question = {ADVICE_TIME, 1024, 1e7};
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 1);
    assert_int_equal(choice.flip_count, 1);
    assert_true(choice.flip_batches[0] > 180 && choice.flip_batches[0] < 225);
    assert_float_equal(choice.batch_low, 16, 0);
    assert_float_equal(choice.batch_high, 4096, 0);
    question.batch = 16;
    choose(both, &question, &choice);
    assert_true(choice.best == 0 && choice.flip_count == 1);
}

static void what_is_close_is_called_close(void **state)
{
    (void)state;
    advice_sample a[3], b[3];
    advice_choice choice;
    fill(a, 3, 1e-3, 0, 0.05);
    fill(b, 3, 1.04e-3, 0, 0.05);
    advice_candidate both[] = {candidate(a, 3, 0), candidate(b, 3, 0)};
    advice_question question = {ADVICE_TIME, 64, 1e6};
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 0);
    assert_int_equal(choice.verdict, STATS_UNSURE);
    fill(a, 3, 1e-3, 0, 0.002);
    fill(b, 3, 1.04e-3, 0, 0.002);
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_FASTER);
    fill(b, 3, 1.01e-3, 0, 0.002);
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_SAME);
}

/* Medians that drifted by 10 % together leave it open when each is taken by itself; blocks side by
 * side do not.  Where the start-ups differ as much, the whole is open again. */
static void blocks_side_by_side_judge_the_steps(void **state)
{
    (void)state;
    advice_sample a[3], b[3];
    advice_choice choice;
    fill(a, 3, 1e-3, 0, 0.1);
    fill(b, 3, 1.06e-3, 0, 0.1);
    advice_candidate both[] = {candidate(a, 3, 0), candidate(b, 3, 0)};
    advice_question question = {ADVICE_TIME, 64, 64e3};
    choose(both, &question, &choice);
    assert_true(!choice.paired && choice.verdict == STATS_UNSURE);
    assert_int_equal(choice.step_verdict, STATS_UNSURE);
    for (int i = 0; i < 3; i++)
        planted[planted_count++] = (advice_pair){16 << (2 * i), {1.06, 1.055, 1.065}, STATS_FASTER};
    choose(both, &question, &choice);
    assert_true(choice.paired && choice.verdict == STATS_FASTER && choice.flips_are_sure);
    assert_int_equal(choice.step_verdict, STATS_FASTER);
    assert_float_equal(choice.ratio.low, 1.055, 1e-12);
    assert_float_equal(choice.ratio.high, 1.065, 1e-12);
    /* 1 s of steps: 0 to 0.1 s of start-up are more than the 0.06 s between the two. */
    for (int i = 0; i < 2; i++) both[i].start_s = (stats_interval){0.05, 0, 0.1};
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_UNSURE);
    assert_int_equal(choice.step_verdict, STATS_FASTER);
    assert_true(!choice.start_is_sure && !choice.flips_are_sure);
    /* Energy is as sure as the time that it was summed over. */
    question.goal = ADVICE_ENERGY;
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_FASTER);
    assert_float_equal(choice.ratio.low, 1.055, 1e-9);
    /* Blocks that the medians deny. */
    for (int i = 0; i < 3; i++)
        planted[i] = (advice_pair){16 << (2 * i), {0.95, 0.94, 0.96}, STATS_UNSURE};
    question.goal = ADVICE_TIME;
    for (int i = 0; i < 2; i++) both[i].start_s = (stats_interval){0, 0, 0};
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_UNSURE);
    assert_float_equal(choice.ratio.high, 1.06, 1e-9);
    /* One block each has no interval, and is not sure for want of one. */
    planted[1].ratio.low = planted[1].ratio.high = (double)NAN;
    choose(both, &question, &choice);
    assert_int_equal(choice.verdict, STATS_UNSURE);
    assert_true(isnan(choice.ratio.low));
    planted_count = 0;
}

static void other_goals_choose_by_their_own_cost(void **state)
{
    (void)state;
    advice_sample a[3], b[3];
    advice_choice choice;
    fill(a, 3, 1e-3, 0, 0.01);
    fill(b, 3, 3e-3, 0, 0.01);
    for (int i = 0; i < 3; i++) b[i].step_j = 1e-3, b[i].memory_bytes = 10;
    advice_candidate both[] = {candidate(a, 3, 0), candidate(b, 3, 0)};
    advice_question question = {ADVICE_ENERGY, 64, 1e6};
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 1);
    assert_float_equal(choice.ratio.point, 100, 1e-6);
    question.goal = ADVICE_MEMORY;
    choose(both, &question, &choice);
    assert_int_equal(choice.best, 1);
    /* What no sensor told is not chosen, and not compared with. */
    question.goal = ADVICE_ENERGY;
    for (int i = 0; i < 3; i++) b[i].step_j = (double)NAN;
    choose(both, &question, &choice);
    assert_true(choice.best == 0 && choice.second == -1);
}

static void what_does_not_fit_is_not_chosen(void **state)
{
    (void)state;
    advice_sample a[3], b[3];
    advice_choice choice;
    fill(a, 3, 1e-3, 0, 0.01);
    fill(b, 3, 3e-3, 0, 0.01);
    advice_candidate both[] = {candidate(a, 3, 0), candidate(b, 3, 0)};
    advice_question question = {ADVICE_TIME, 64, 1e6};
    both[0].memory_limit_bytes = 63e6;
    choose(both, &question, &choice);
    assert_true(choice.best == 1 && choice.second == -1);
    both[1].memory_limit_bytes = 1;
    choose(both, &question, &choice);
    assert_true(choice.best == -1 && choice.second == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_settings_are_taken_as_they_are),
        cmocka_unit_test(interpolated_settings_say_how_well),
        cmocka_unit_test(nothing_is_told_outside_the_measured_range),
        cmocka_unit_test(a_short_training_goes_to_the_quick_starter),
        cmocka_unit_test(the_batch_at_which_it_flips_is_found),
        cmocka_unit_test(what_is_close_is_called_close),
        cmocka_unit_test(blocks_side_by_side_judge_the_steps),
        cmocka_unit_test(other_goals_choose_by_their_own_cost),
        cmocka_unit_test(what_does_not_fit_is_not_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
