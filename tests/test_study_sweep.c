/* Tests of the sweep's logic (src/study/sweep_*.c) on planted times: nothing is started, and no
 * time passes but on the fake clock. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "fake_clock.h"
#include "report/sheet.h"
#include "study/sweep.h"

/* Two settings of the processor and a GPU: 1 thread is the best up to batch 5, 2 threads are up to
 * batch 76, then the GPU. */
enum { ONE_THREAD, TWO_THREADS, GPU, CONTENDERS };
#define EVEN_BATCH 76.0
#define CPU 0
#define CARD 1

/* What a test plants beside the times. */
typedef struct world {
    sweep s;
    study_request request;
    study_watch watch;
    workload workload;
    be_dataset set;
    fake_clock clock;
    int runs, begins;
    double slow_s;          /* what a step takes more at the end of the range */
    int fails_from, fails;  /* this many runs of the GPU fail, from this run on */
    const char *fails_with; /* status */
    double room;            /* the GPU fails above it with NO_MEMORY; 0: never */
    double whole_steps[8];
    int wholes;
    json_t *told; /* the records as they were measured, which who keeps them holds */
} world;

static world *w; /* of the test that runs */

static double step_of(int contender, double x)
{
    static const double fixed[] = {0, 20e-6, 400e-6}, each[] = {10e-6, 6e-6, 1e-6};
    return fixed[contender] + each[contender] * x + (x >= 4096 ? w->slow_s : 0);
}

static json_t *good_record(int contender, double x)
{
    json_t *blocks = json_array();
    double step_s = step_of(contender, x);
    /* Blocks scatter by 1 %, each contender's in its own order. */
    for (int i = 0; i < 12; i++)
        json_array_append_new(blocks,
                              json_real(step_s * (1 + 0.01 * ((i * (contender + 5)) % 7 - 3) / 3)));
    return json_pack("{s:s, s:f, s:o, s:{s:f, s:f, s:f}, s:s, s:s, s:s, s:s, s:f, s:f, s:f}",
                     "status", "OK", "batch", x, "blocks", blocks, "step_s", "median", step_s,
                     "low", 0.99 * step_s, "high", 1.01 * step_s, "error", "", "implementation",
                     "planted", "device_name", contender == GPU ? "a card" : "a processor",
                     "environment", "", "start_s", contender == GPU ? 1.0 : 0.1, "prepare_s", 0.0,
                     "first_step_s", step_s);
}

static json_t *bad_record(double x, const char *status)
{
    return json_pack("{s:s, s:f, s:s, s:n}", "status", status, "batch", x, "error", "planted",
                     "step_s");
}

/* In the place of measurement_run: each contender takes half a second of the fake clock. */
static be_status run(measurement *m, const measurement_point *point, json_t *records, be_error *err)
{
    (void)err;
    double x = (double)point->batch;
    bool has_card = false;
    assert_ptr_equal(m, &w->s.m);
    for (int i = 0; i < point->count; i++) {
        int c = point->contenders[i];
        bool fails = c == GPU && w->runs >= w->fails_from && w->runs < w->fails_from + w->fails;
        has_card |= c == GPU;
        if (c == GPU && w->room > 0 && x > w->room)
            json_array_append_new(records, bad_record(x, "NO_MEMORY"));
        else
            json_array_append_new(records,
                                  fails ? bad_record(x, w->fails_with) : good_record(c, x));
        json_array_append(w->told, json_array_get(records, json_array_size(records) - 1));
        w->clock.now_ns += 500000000 + (int64_t)(10e9 * step_of(c, x));
    }
    w->runs += has_card;
    return BE_OK;
}

static be_status begin(measurement *m, const workload *of, be_error *err)
{
    (void)m, (void)of, (void)err;
    w->begins++;
    return BE_OK;
}

static be_status whole(measurement *m, const measurement_point *point, int64_t steps,
                       double *seconds, be_error *err)
{
    (void)m, (void)err;
    if (w->wholes < 8) w->whole_steps[w->wholes] = (double)steps;
    w->wholes++;
    *seconds = step_of(point->contenders[0], (double)point->batch) * (double)steps;
    return BE_OK;
}

static void plant(world *out, const char *axis_name, int64_t from, int64_t to)
{
    static const char *const names[] = {"1 thread", "2 threads", "cuda:0"};
    w = out;
    *w = (world){.request = {.seed = 42, .precision = "fp32"},
                 .workload = {.name = "planted", .batch = 32},
                 .set = {.name = "planted", .source = "planted", .count = 60000}};
    sweep *s = &w->s;
    fake_clock_use(&w->clock);
    w->fails_with = "FAILED";
    s->m.hands = (measurement_hands){begin, run};
    s->whole = whole;
    s->m.request = &w->request;
    s->m.watch = &w->watch;
    s->m.set = &w->set;
    s->m.plan.precision = "fp32";
    s->m.plan.contender_count = CONTENDERS;
    s->m.environment = json_object();
    s->workload = &w->workload;
    s->batch = 32;
    for (int a = 0; a < AXIS_COUNT; a++)
        if (strcmp(axis_table[a].name, axis_name) == 0) s->range.axis = &axis_table[a];
    s->range.from = from;
    s->range.to = to;
    w->told = json_array();
    s->records = json_array();
    s->notes = json_array();
    s->log.fd = -1;
    s->limit_s = 1e6;
    s->sides[CPU] = (sweep_side){.name = "native cpu",
                                 .device = "cpu",
                                 .setting_count = 2,
                                 .is_cpu = true,
                                 .limit = (double)to};
    s->sides[CARD] = (sweep_side){
        .name = "native cuda:0", .device = "cuda:0", .setting_count = 1, .limit = (double)to};
    for (int c = 0; c < CONTENDERS; c++) {
        sweep_setting *setting = &s->sides[c == GPU].settings[c == GPU ? 0 : c];
        setting->contender = c;
        snprintf(setting->name, sizeof setting->name, "%s", names[c]);
    }
    s->side_count = 2;
    s->pairs[0] = (sweep_pair){.first = CPU, .second = CARD, .to = (double)to};
    s->pair_count = 1;
}

static void pull_up(world *of)
{
    json_decref(of->told);
    json_decref(of->s.records);
    json_decref(of->s.notes);
    json_decref(of->s.m.environment);
    fake_clock_end();
}

static json_t *search(void)
{
    be_error err = {0};
    json_t *result = NULL;
    ASSERT_OK(sweep_search(&w->s, &err));
    ASSERT_OK(sweep_result(&w->s, BE_OK, &result, &err));
    return result;
}

static const json_t *pair_of(const json_t *result)
{
    return json_array_get(json_object_get(result, "pairs"), 0);
}

static bool is_noted(const char *piece)
{
    size_t i;
    json_t *note;
    json_array_foreach(w->s.notes, i, note) if (strstr(json_string_value(note), piece)) return true;
    return false;
}

/* ---------------------------------------------------------------- the search */

static void break_even_is_found_between_the_planted_times(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 4096);
    json_t *result = search();
    const json_t *crossings = json_object_get(pair_of(result), "crossings");
    assert_int_equal(json_array_size(crossings), 1);
    const json_t *found = json_array_get(crossings, 0);
    double low = json_real_at(found, "low"), high = json_real_at(found, "high");
    assert_true(low <= EVEN_BATCH && EVEN_BATCH <= high);
    assert_true(high / low <
                1.25); /* 7 % to either side, and what lies between two whole numbers */
    assert_string_equal(json_text_at(result, "ended"), "complete");
    assert_int_equal(json_real_at(result, "batch") == 0, 0);
    json_decref(result);
    pull_up(&here);
}

static void only_settings_within_noise_of_the_best_go_on(void **state)
{
    (void)state;
    world here;
    int out[SWEEP_SETTINGS_MAX];
    be_error err = {0};
    plant(&here, "batch", 1, 4096);
    sweep *s = &here.s;
    assert_int_equal(sweep_candidates(s, &s->sides[CPU], 1, out), 2); /* nothing is known */
    ASSERT_OK(sweep_screen(s, 1, &err));
    ASSERT_OK(sweep_screen(s, 1024, &err));
    assert_int_equal(json_array_size(s->records), 2); /* the GPU has one setting alone */
    ASSERT_OK(sweep_screen(s, 1024, &err));
    assert_int_equal(json_array_size(s->records), 2); /* it is known */
    assert_int_equal(sweep_candidates(s, &s->sides[CPU], 1024, out), 1);
    assert_int_equal(out[0], TWO_THREADS);
    assert_int_equal(sweep_candidates(s, &s->sides[CPU], 1, out), 1);
    assert_int_equal(out[0], ONE_THREAD);
    assert_int_equal(sweep_candidates(s, &s->sides[CPU], 30, out), 2); /* between the two */
    pull_up(&here);
}

/* What a sweep writes into its file leaves things out.  A record that is kept says them all. */
static void records_stay_as_they_were_measured(void **state)
{
    (void)state;
    world here;
    be_error err = {0};
    size_t i;
    json_t *record;
    plant(&here, "batch", 1, 4096);
    ASSERT_OK(sweep_measure(&here.s, 1024, (const int[]){CPU, CARD}, 2, &err));
    assert_int_equal(json_array_size(here.told), CONTENDERS);
    json_array_foreach(here.told, i, record)
    {
        assert_non_null(json_object_get(record, "environment"));
        assert_null(json_object_get(record, "side"));
    }
    json_array_foreach(json_object_get(json_array_get(here.s.records, 0), "contenders"), i, record)
    {
        assert_null(json_object_get(record, "environment"));
        assert_non_null(json_object_get(record, "side"));
    }
    pull_up(&here);
}

static void the_result_says_which_setting_was_the_best_where(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 1, 4096);
    json_t *result = search();
    const json_t *side = json_array_get(json_object_get(result, "sides"), CPU);
    const json_t *settings = json_object_get(side, "settings");
    assert_true(json_array_size(settings) >= 2);
    const json_t *first = json_array_get(settings, 0);
    const json_t *last = json_array_get(settings, json_array_size(settings) - 1);
    assert_string_equal(json_text_at(first, "setting"), "1 thread");
    assert_string_equal(json_text_at(last, "setting"), "2 threads");
    assert_true(json_real_at(first, "from") == 1 && json_real_at(last, "to") == 4096);
    json_decref(result);
    pull_up(&here);
}

/* ---------------------------------------------------------------- sides that fail */

static void a_side_that_fails_once_stays(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 4096);
    here.fails_from = 2;
    here.fails = 1;
    json_t *result = search();
    assert_false(here.s.sides[CARD].missing);
    assert_int_equal(json_array_size(json_object_get(pair_of(result), "crossings")), 1);
    json_decref(result);
    pull_up(&here);
}

static void a_side_that_fails_twice_in_a_row_drops_out(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 4096);
    here.fails_from = 3;
    here.fails = 1000;
    json_t *result = search();
    assert_true(here.s.sides[CARD].missing);
    assert_true(here.s.pairs[0].is_done);
    assert_string_equal(here.s.sides[CARD].reason, "planted");
    assert_int_equal(here.runs, 5); /* nobody asks it again */
    assert_true(is_noted("native cuda:0 dropped out at batch"));
    assert_true(json_array_size(json_object_get(pair_of(result), "points")) > 0);
    json_decref(result);
    pull_up(&here);
}

static void without_room_the_range_of_its_pairs_ends_below(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 4096);
    here.room = 1000;
    json_t *result = search();
    assert_false(here.s.sides[CARD].missing);
    assert_true(here.s.pairs[0].to <= 1000 && here.s.pairs[0].to > EVEN_BATCH);
    assert_true(here.s.sides[CARD].limit < 4096);
    assert_true(is_noted("has no room for batch"));
    assert_int_equal(json_array_size(json_object_get(pair_of(result), "crossings")), 1);
    json_decref(result);
    pull_up(&here);
}

/* ---------------------------------------------------------------- the time */

static void an_end_that_takes_too_long_is_moved(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 1024);
    sweep *s = &here.s;
    be_error err = {0};
    int both[] = {CPU, CARD};
    /* Known at 8 and 128; what is expected of 1024 takes longer than is left. */
    ASSERT_OK(sweep_measure(s, 8, both, 2, &err));
    ASSERT_OK(sweep_measure(s, 128, both, 2, &err));
    s->limit_s = sweep_elapsed_s(s) + 1.5;
    ASSERT_OK(sweep_search(s, &err));
    assert_true(s->pairs[0].to < 1024);
    assert_true(is_noted("would take about"));
    pull_up(&here);
}

static void the_search_ends_with_its_time_and_says_so(void **state)
{
    (void)state;
    world here;
    plant(&here, "batch", 8, 4096);
    here.s.limit_s = 8;
    json_t *result = search();
    assert_true(here.s.out_of_time);
    assert_string_equal(json_text_at(result, "ended"), "time limit");
    assert_true(sweep_elapsed_s(&here.s) < 2 * here.s.limit_s);
    json_decref(result);
    pull_up(&here);
}

/* ---------------------------------------------------------------- going on */

/* Saved after each number of records, it ends with what one in one go finds. */
static void a_resumed_sweep_finds_what_one_in_one_go_does(void **state)
{
    (void)state;
    world whole_one, again;
    plant(&whole_one, "batch", 8, 4096);
    json_t *expected = search();
    json_t *records = json_incref(whole_one.s.records);
    int all = (int)json_array_size(records);
    pull_up(&whole_one);
    for (int kept = 0; kept <= all; kept += 5) {
        plant(&again, "batch", 8, 4096);
        for (int i = 0; i < kept; i++) sweep_take(&again.s, json_array_get(records, (size_t)i));
        again.s.loaded = kept;
        json_t *result = search();
        assert_true(json_equal(pair_of(expected), pair_of(result)));
        assert_int_equal(json_array_size(again.s.records), all);
        json_decref(result);
        pull_up(&again);
    }
    json_decref(records);
    json_decref(expected);
}

/* ---------------------------------------------------------------- other axes */

static void another_width_is_another_workload(void **state)
{
    (void)state;
    world here;
    measurement_point point = {.batch = 32};
    be_error err = {0};
    plant(&here, "width", 1, 16);
    sweep *s = &here.s;
    ASSERT_OK(sweep_go_to(s, 4, &point, &err));
    assert_int_equal(s->m.variant.width, 4);
    ASSERT_OK(sweep_go_to(s, 4, &point, &err));
    assert_int_equal(here.begins, 1); /* once for each width */
    ASSERT_OK(sweep_go_to(s, 8, &point, &err));
    assert_int_equal(here.begins, 2);
    assert_int_equal(point.batch, 32);
    pull_up(&here);
}

/* 1 s of start-up more, 0.18 ms a step less: they meet at 5556 steps, and both sides of that place
 * are run as a whole. */
static void totals_cross_where_the_start_is_paid_for(void **state)
{
    (void)state;
    world here;
    be_error err = {0};
    json_t *result = NULL;
    plant(&here, "steps", 10, 100000);
    sweep *s = &here.s;
    for (int r = 0; r < SWEEP_STEPS_RUNS; r++) {
        static const double start_s[] = {0.1, 1.1}, step_s[] = {0.40e-3, 0.22e-3};
        json_t *contenders = json_array();
        for (int side = 0; side < 2; side++)
            json_array_append_new(contenders, json_pack("{s:s, s:s, s:f, s:f, s:f, s:{s:f}}",
                                                        "side", s->sides[side].name, "setting",
                                                        s->sides[side].settings[0].name, "start_s",
                                                        start_s[side] + 0.001 * r, "prepare_s", 0.0,
                                                        "first_step_s", step_s[side], "step_s",
                                                        "median", step_s[side]));
        json_t *record =
            json_pack("{s:s, s:f, s:o}", "kind", "point", "x", 32.0, "contenders", contenders);
        sweep_take(s, record);
        json_decref(record);
    }
    ASSERT_OK(sweep_steps(s, &err));
    ASSERT_OK(sweep_result(s, BE_OK, &result, &err));
    const json_t *found = json_array_get(json_object_get(pair_of(result), "crossings"), 0);
    assert_true(json_real_at(found, "low") < 5556 && 5556 < json_real_at(found, "high"));
    assert_int_equal(here.wholes, 4);
    assert_true(here.whole_steps[0] < 5556 && here.whole_steps[3] > 5556);
    const json_t *run = json_array_get(s->records, json_array_size(s->records) - 4);
    assert_string_equal(json_text_at(run, "side"), "native cpu");
    double expected_s = 0.1 + 0.0025 + json_real_at(run, "x") * 0.40e-3; /* with the mean start */
    assert_true(fabs(json_real_at(run, "expected_s") - expected_s) < 1e-3);
    json_decref(result);
    pull_up(&here);
}

/* What was told of a sweep while it went on. */
typedef struct told {
    int count;
    double measured, curves;
} told;

static void count_told(void *context, const json_t *result)
{
    told *t = context;
    t->count++;
    t->measured = json_real_at(result, "measured");
    t->curves += json_array_size(json_object_get(pair_of(result), "points")) > 0;
}

/* A page shows the curve as it grows, whatever the axis. */
static void every_point_is_told_as_it_comes(void **state)
{
    (void)state;
    static const char *const axes[] = {"batch", "steps"};
    for (int a = 0; a < 2; a++) {
        world here;
        told t = {0};
        be_error err = {0};
        plant(&here, axes[a], 10, 4096);
        here.watch.so_far = count_told;
        here.watch.context = &t;
        ASSERT_OK(a ? sweep_steps(&here.s, &err) : sweep_search(&here.s, &err));
        assert_true(t.count > 2);
        assert_true(t.measured == t.count);
        assert_true(t.curves >= t.count - 1);
        pull_up(&here);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(break_even_is_found_between_the_planted_times),
        cmocka_unit_test(only_settings_within_noise_of_the_best_go_on),
        cmocka_unit_test(records_stay_as_they_were_measured),
        cmocka_unit_test(the_result_says_which_setting_was_the_best_where),
        cmocka_unit_test(a_side_that_fails_once_stays),
        cmocka_unit_test(a_side_that_fails_twice_in_a_row_drops_out),
        cmocka_unit_test(without_room_the_range_of_its_pairs_ends_below),
        cmocka_unit_test(an_end_that_takes_too_long_is_moved),
        cmocka_unit_test(the_search_ends_with_its_time_and_says_so),
        cmocka_unit_test(a_resumed_sweep_finds_what_one_in_one_go_does),
        cmocka_unit_test(another_width_is_another_workload),
        cmocka_unit_test(totals_cross_where_the_start_is_paid_for),
        cmocka_unit_test(every_point_is_told_as_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
