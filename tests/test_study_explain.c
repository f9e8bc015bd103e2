/* Tests of what explain tries out (src/study/explain_cause.c) on planted records: which trial is
 * run with which contenders, and what is said of it.  Nothing is started. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "report/sheet.h"
#include "study/explain.h"

/* What the planted hand was asked for, and what it answers. */
typedef struct trials {
    measurement m;
    study_request request;
    study_watch watch;
    be_dataset set;
    engine engine;
    int runs, count, contenders[2], threads;
    int64_t batch;
    double longest_s;
    const char *data_on;
    be_status status;
} trials;

static trials *t; /* of the test that runs */

static be_status run(measurement *m, const measurement_point *point, json_t *records, be_error *err)
{
    t->runs++;
    t->batch = point->batch;
    t->count = point->count;
    for (int i = 0; i < point->count; i++) t->contenders[i] = point->contenders[i];
    t->threads = m->plan.contenders[point->contenders[point->count - 1]].threads;
    t->data_on = m->plan.data_on;
    t->longest_s = m->conducting.stop.max_time_s;
    if (t->status != BE_OK) FAIL(err, t->status, "planted");
    for (int i = 0; i < point->count; i++)
        json_array_append_new(records, json_pack("{s:f, s:{s:f, s:f, s:f}, s:s, s:s}", "batch",
                                                 (double)point->batch, "step_s", "median", 2e-3,
                                                 "low", 1.9e-3, "high", 2.1e-3, "error", "",
                                                 "implementation", "planted"));
    return BE_OK;
}

static void plant(trials *out)
{
    t = out;
    *t = (trials){
        .request = {.precision = "fp32"}, .set = {.count = 60000}, .engine = {.name = "native"}};
    t->m.hands.run = run;
    t->m.request = &t->request;
    t->m.watch = &t->watch;
    t->m.set = &t->set;
    t->m.conducting = conductor_options_default();
    t->m.plan.contender_count = 2;
    t->m.plan.contenders[0] =
        (bench_contender){.engine = &t->engine, .device = "cpu", .threads = 2};
    t->m.plan.contenders[1] =
        (bench_contender){.engine = &t->engine, .device = "cuda:0", .threads = 2};
}

/* A step that was taken apart: its data, its launches of 1 us, and the rest kernels. */
static json_t *record_of(const char *device, double step_s, double data_s, int launches)
{
    return json_pack(
        "{s:s, s:s, s:i, s:f, s:f, s:{s:f, s:f, s:f}, s:{s:f, s:{s:f}, s:i, s:{s:f, s:f}}}",
        "engine", "native", "device", device, "threads", 2, "batch", 32.0, "samples_per_s",
        32 / step_s, "step_s", "median", step_s, "low", 0.99 * step_s, "high", 1.01 * step_s,
        "explain", "wall_s", step_s, "phases_s", "data", data_s, "launches", launches, "limits",
        "launch_s", 1e-6, "round_trip_s", 1e-6);
}

static void add_versus(json_t *loser, const json_t *winner, const char *verdict)
{
    json_object_set_new(loser, "versus",
                        json_pack("{s:s, s:O, s:O, s:O, s:f, s:n}", "verdict", verdict, "engine",
                                  json_object_get(winner, "engine"), "device",
                                  json_object_get(winner, "device"), "threads",
                                  json_object_get(winner, "threads"), "ratio", 3.0, "reason"));
}

static void launches_that_cost_are_tried_at_a_larger_batch(void **state)
{
    (void)state;
    trials here;
    be_error err = {0};
    plant(&here);
    json_t *cpu = record_of("cpu", 1e-3, 0, 1), *gpu = record_of("cuda:0", 3e-3, 0, 2500);
    json_t *records = json_pack("[o, o]", cpu, gpu);
    add_versus(gpu, cpu, "SLOWER");
    ASSERT_OK(explain_cause(&here.m, 32, records, &err));
    const json_t *cause = json_object_get(cpu, "cause");
    assert_string_equal(json_text_at(cause, "kind"), "launches");
    assert_int_equal(here.runs, 1);
    assert_int_equal(here.count, 2);
    assert_int_equal(here.contenders[0], 0);
    assert_int_equal(here.contenders[1], 1);
    assert_true(here.batch > 32);
    assert_true(here.longest_s <= 0.5); /* a trial is short */
    assert_string_equal(json_text_at(cause, "tried.action"), "batch");
    assert_true(json_real_at(cause, "tried.batch") == (double)here.batch);
    json_decref(records);
}

static void what_is_not_sure_has_no_cause_and_no_trial(void **state)
{
    (void)state;
    const char *const verdicts[] = {"SAME", "UNSURE", "SLOWER"};
    for (int v = 0; v < 3; v++) {
        trials here;
        be_error err = {0};
        plant(&here);
        json_t *cpu = record_of("cpu", 1e-3, 0, 1), *gpu = record_of("cuda:0", 3e-3, 0, 2500);
        json_t *records = json_pack("[o, o]", cpu, gpu);
        add_versus(gpu, cpu, verdicts[v]);
        /* Taken apart, the step took twice as long as when it was measured. */
        if (v == 2) json_object_set_new(json_object_get(gpu, "explain"), "wall_s", json_real(6e-3));
        ASSERT_OK(explain_cause(&here.m, 32, records, &err));
        assert_int_equal(here.runs, 0);
        assert_string_equal(json_text_at(cpu, "cause.kind"), "");
        assert_true(json_is_null(json_at(cpu, "cause.tried")));
        if (v == 2) assert_string_equal(json_text_at(cpu, "cause.verdict"), "UNSURE");
        json_decref(records);
    }
}

/* Of one alone whose step is its launches: with one thread, and then with its own number again. */
static void a_trial_changes_the_contender_for_itself_alone(void **state)
{
    (void)state;
    trials here;
    be_error err = {0};
    plant(&here);
    json_t *records = json_pack("[o]", record_of("cpu", 1e-3, 0, 900));
    ASSERT_OK(explain_cause(&here.m, 32, records, &err));
    const json_t *cause = json_object_get(json_array_get(records, 0), "cause");
    assert_string_equal(json_text_at(cause, "tried.action"), "one thread");
    assert_int_equal(here.threads, 1);
    assert_int_equal(here.count, 1);
    assert_int_equal(here.m.plan.contenders[0].threads, 2);
    assert_string_equal(json_text_at(cause, "tried.verdict"), "SLOWER"); /* 2 ms after 1 ms */
    json_decref(records);
}

static void data_from_the_host_is_tried_on_the_device(void **state)
{
    (void)state;
    trials here;
    be_error err = {0};
    plant(&here);
    here.m.plan.data_on = "host";
    json_t *cpu = record_of("cpu", 1e-3, 0, 1), *gpu = record_of("cuda:0", 3e-3, 2.5e-3, 1);
    json_object_set_new(gpu, "data_on", json_string("host"));
    json_t *records = json_pack("[o, o]", cpu, gpu);
    add_versus(gpu, cpu, "SLOWER");
    ASSERT_OK(explain_cause(&here.m, 32, records, &err));
    assert_string_equal(json_text_at(cpu, "cause.kind"), "data");
    assert_string_equal(json_text_at(cpu, "cause.tried.action"), "data on device");
    assert_string_equal(here.data_on, "device");
    assert_string_equal(here.m.plan.data_on, "host");
    json_decref(records);
}

static void an_interrupted_trial_ends_the_study_and_keeps_the_cause(void **state)
{
    (void)state;
    trials here;
    be_error err = {0};
    plant(&here);
    here.status = BE_INTERRUPTED;
    json_t *records = json_pack("[o]", record_of("cpu", 1e-3, 0, 900));
    ASSERT_FAILS(explain_cause(&here.m, 32, records, &err), BE_INTERRUPTED, "planted");
    const json_t *cause = json_object_get(json_array_get(records, 0), "cause");
    assert_string_equal(json_text_at(cause, "kind"), "launches");
    assert_true(json_is_null(json_object_get(cause, "tried")));
    assert_int_equal(here.m.plan.contenders[0].threads, 2);
    json_decref(records);
}

static void without_time_nothing_is_tried(void **state)
{
    (void)state;
    trials here;
    be_error err = {0};
    plant(&here);
    here.m.conducting.budget.whole_s = 1;
    json_t *records = json_pack("[o]", record_of("cpu", 1e-3, 0, 900));
    ASSERT_OK(explain_cause(&here.m, 32, records, &err));
    assert_int_equal(here.runs, 0);
    assert_string_equal(json_text_at(json_array_get(records, 0), "cause.kind"), "launches");
    json_decref(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launches_that_cost_are_tried_at_a_larger_batch),
        cmocka_unit_test(what_is_not_sure_has_no_cause_and_no_trial),
        cmocka_unit_test(a_trial_changes_the_contender_for_itself_alone),
        cmocka_unit_test(data_from_the_host_is_tried_on_the_device),
        cmocka_unit_test(an_interrupted_trial_ends_the_study_and_keeps_the_cause),
        cmocka_unit_test(without_time_nothing_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
