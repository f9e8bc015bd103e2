/* Tests of the comparison (src/study/compare.c) on planted records, and of how its sides are named.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "store/choose.h"
#include "store_fixture.h"
#include "study/compare.h"

#define BLOCKS 12

/* A record whose blocks scatter by 1 % around a step. */
static json_t *measured(const char *device, double step_s, int64_t threads)
{
    json_t *record = plant_record("cnn-fashion", device, step_s), *blocks = json_array();
    for (int i = 0; i < BLOCKS; i++)
        json_array_append_new(blocks, json_real(step_s * (1 + 0.01 * ((i * 5) % 7 - 3) / 3)));
    json_object_set_new(record, "blocks", blocks);
    json_object_set_new(record, "threads", json_integer(threads));
    json_object_set_new(record, "data_count", json_integer(1000));
    json_object_set_new(record, "start_s", json_real(1));
    json_object_set_new(record, "prepare_s", json_real(2));
    json_object_set_new(record, "first_step_s", json_real(step_s));
    return record;
}

static void add(compare_request *request, int side, int64_t run, json_t *record)
{
    static const char *const names[] = {"a", "b", "c"};
    compare_side *s = &request->sides[side];
    if (!s->records)
        *s = (compare_side){
            .name = names[side], .title = names[side], .records = json_array(), .price = NAN};
    if (request->side_count <= side) request->side_count = side + 1;
    json_array_append_new(s->records,
                          json_pack("{s:I, s:o}", "run", (json_int_t)run, "record", record));
}

static json_t *compared(compare_request *request)
{
    be_error err = {0};
    json_t *result = NULL;
    ASSERT_OK(study_compare(request, &result, &err));
    return result;
}

static void end(compare_request *request, json_t *result)
{
    for (int s = 0; s < request->side_count; s++) json_decref(request->sides[s].records);
    json_decref(result);
}

static const json_t *row_at(const json_t *result, size_t row)
{
    return json_array_get(json_object_get(result, "rows"), row);
}

static void verdicts_are_by_the_interval(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN};
    add(&request, 0, 1, measured("cpu", 0.100, 2));
    add(&request, 1, 2, measured("cpu", 0.050, 2));
    add(&request, 2, 3, measured("cpu", 0.101, 2));
    json_t *result = compared(&request);
    const json_t *row = row_at(result, 0);
    assert_int_equal(json_array_size(json_object_get(result, "rows")), 1);
    assert_string_equal(json_text_at(row, "verdict.B"), "FASTER");
    assert_string_equal(json_text_at(row, "verdict.C"), "SAME");
    assert_float_equal(json_real_at(row, "ratio.B"), 0.5, 0.01);
    assert_true(json_real_at(row, "ratio_low.B") < json_real_at(row, "ratio.B"));
    assert_true(json_real_at(row, "ratio_high.B") > json_real_at(row, "ratio.B"));
    assert_null(json_at(row, "ratio.A"));
    json_decref(result);
    request.baseline = 1;
    result = compared(&request);
    assert_string_equal(json_text_at(row_at(result, 0), "verdict.A"), "SLOWER");
    assert_string_equal(json_text_at(result, "baseline"), "B");
    end(&request, result);
}

static void without_blocks_nothing_is_sure(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN};
    json_t *bare = measured("cpu", 0.2, 2);
    json_object_set_new(bare, "blocks", json_null());
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 1, 2, bare);
    json_t *result = compared(&request);
    assert_string_equal(json_text_at(row_at(result, 0), "verdict.B"), "UNSURE");
    assert_float_equal(json_real_at(row_at(result, 0), "ratio.B"), 2, 1e-9);
    assert_true(json_is_null(json_at(row_at(result, 0), "ratio_low.B")));
    json_decref(result);
    request.baseline = 1;
    request.slower = 0; /* nor does it fail for what is not sure */
    result = compared(&request);
    assert_string_equal(json_text_at(row_at(result, 0), "verdict.A"), "UNSURE");
    json_decref(result);
    request.baseline = 0;
    result = compared(&request);
    end(&request, result);
}

static void a_row_is_the_fastest_of_the_newest_run(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN};
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 1, 5, measured("cpu", 0.3, 1));
    add(&request, 1, 5, measured("cpu", 0.2, 4));
    add(&request, 1, 5, measured("cpu", 0.4, 8));
    add(&request, 1, 4, measured("cpu", 0.05, 2)); /* an older run */
    json_t *result = compared(&request);
    assert_float_equal(json_real_at(row_at(result, 0), "step_s.B"), 0.2, 1e-12);
    assert_float_equal(json_real_at(row_at(result, 0), "threads.B"), 4, 0);
    assert_float_equal(json_real_at(row_at(result, 0), "run.B"), 5, 0);
    end(&request, result);
}

static const json_t *difference(const json_t *result, const char *setting)
{
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(result, "differences"), i,
                       d) if (strcmp(json_text_at(d, "setting"), setting) == 0) return d;
    return NULL;
}

static void what_is_not_alike_is_told(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN};
    json_t *other = measured("cpu", 0.1, 4);
    json_object_set_new(other, "seed", json_integer(7));
    json_object_set_new(other, "environment", plant_environment("another", "abc123"));
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 0, 1, measured("cuda:0", 0.1, 2));
    add(&request, 1, 2, other);
    add(&request, 1, 2, measured("cuda:0", 0.1, 2));
    json_t *result = compared(&request);
    const json_t *d = difference(result, "threads");
    assert_string_equal(json_text_at(d, "value"), "4");
    assert_string_equal(json_text_at(d, "baseline"), "2");
    assert_string_equal(json_text_at(d, "letter"), "B");
    assert_float_equal(json_real_at(d, "rows"), 1, 0);
    assert_float_equal(json_real_at(d, "of"), 2, 0);
    assert_string_equal(json_text_at(difference(result, "processor"), "value"), "another");
    assert_string_equal(json_text_at(difference(result, "seed"), "value"), "7");
    assert_null(difference(result, "build of breakeven"));
    assert_int_equal(json_array_size(json_object_get(result, "differences")), 3);
    end(&request, result);
}

static void means_are_over_what_all_have(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN};
    json_t *narrow = measured("cuda:1", 0.1, 1);
    json_object_set_new(narrow, "asked", json_pack("{s:s}", "precision", "bf16"));
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 0, 1, measured("cuda:0", 0.1, 2));
    add(&request, 0, 1, measured("cuda:1", 0.1, 2));
    add(&request, 1, 2, measured("cpu", 0.2, 2));
    add(&request, 1, 2, measured("cuda:0", 0.8, 2));
    add(&request, 1, 2, narrow); /* another precision is another row */
    json_t *result = compared(&request);
    const json_t *mean = json_at(result, "means.B");
    assert_int_equal(json_array_size(json_object_get(result, "rows")), 4);
    assert_float_equal(json_real_at(mean, "ratio"), 4, 0.05); /* of 2 and 8 */
    assert_float_equal(json_real_at(mean, "rows"), 2, 0);
    assert_string_equal(json_text_at(mean, "verdict"), "SLOWER");
    assert_true(json_real_at(mean, "low") > 3.8 && json_real_at(mean, "high") < 4.2);
    assert_float_equal(json_real_at(result, "missing.A"), 1, 0);
    assert_float_equal(json_real_at(result, "missing.B"), 1, 0);
    end(&request, result);
}

static void a_training_is_told_in_time_and_money(void **state)
{
    (void)state;
    compare_request request = {.slower = NAN, .epochs = 3};
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 1, 2, measured("cpu", 0.2, 2));
    request.sides[1].price = 36;
    json_t *result = compared(&request);
    /* 3 epochs of 1,000 samples in steps of 10, and 3 s to start */
    assert_float_equal(json_real_at(row_at(result, 0), "epochs_s.A"), 33, 1e-9);
    assert_float_equal(json_real_at(row_at(result, 0), "epochs_s.B"), 63, 1e-9);
    assert_float_equal(json_real_at(row_at(result, 0), "epochs_price.B"), 0.63, 1e-9);
    assert_true(json_is_null(json_at(row_at(result, 0), "epochs_price.A")));
    end(&request, result);
}

static void what_is_slower_than_allowed_fails(void **state)
{
    (void)state;
    be_error err = {0};
    compare_request request = {.slower = 0.05};
    json_t *result = NULL;
    add(&request, 0, 1, measured("cpu", 0.100, 2));
    add(&request, 0, 1, measured("cuda:0", 0.100, 2));
    add(&request, 1, 2, measured("cpu", 0.104, 2));
    add(&request, 1, 2, measured("cuda:0", 0.120, 2));
    ASSERT_FAILS(study_compare(&request, &result, &err), BE_SLOWER, "by more than 5 %",
                 "found 1 row", "cnn-fashion, native on cuda:0, batch 10: 20.", "% slower in b");
    assert_non_null(result); /* it is told all the same */
    json_decref(result);
    request.slower = 0.25;
    ASSERT_OK(study_compare(&request, &result, &err));
    end(&request, result);
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    compare_request request = {.slower = NAN};
    json_t *result = NULL, *failed = measured("cpu", 0.1, 2);
    json_object_set_new(failed, "status", json_string("FAILED"));
    add(&request, 0, 1, measured("cpu", 0.1, 2));
    add(&request, 1, 2, failed);
    ASSERT_FAILS(study_compare(&request, &result, &err), BE_USAGE, "b: expected records of bench",
                 "with a speed, found none");
    add(&request, 1, 2, measured("cuda:0", 0.1, 2));
    ASSERT_FAILS(study_compare(&request, &result, &err), BE_USAGE, "nothing can be compared");
    request.workload = "mlp-mnist";
    ASSERT_FAILS(study_compare(&request, &result, &err), BE_USAGE, "a speed of mlp-mnist");
    json_object_set_new(failed, "batch", json_integer(-1));
    request.workload = NULL;
    ASSERT_FAILS(study_compare(&request, &result, &err), BE_BAD_DATA, "b, record 1",
                 "member \"batch\"");
    assert_null(result);
    end(&request, NULL);
}

/* ---------------------------------------------------------------- names */

static int64_t keep(store *s, const char *machine, const char *commit, double step_s)
{
    be_error err = {0};
    int64_t run = 0, id = 0;
    json_t *record = measured("cpu", step_s, 2);
    store_run facts = {.command = "bench", .machine = machine, .commit = commit, .began_s = 1};
    ASSERT_OK(store_add_run(s, &facts, &run, &err));
    ASSERT_OK(store_add_record(s, run, record, &id, &err));
    json_decref(record);
    return run;
}

static void sides_are_runs_files_builds_or_machines(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    char title[200];
    json_t *records = json_array(), *record = measured("cpu", 7, 2);
    ASSERT_OK(store_open(&s, w->path, &err));
    keep(s, "AMD EPYC, 2 threads", "abc123", 1);
    keep(s, "AMD EPYC, 4 threads", "abc123", 2);
    keep(s, "Intel Xeon, 4 threads", "0123def", 3);
    static const struct {
        const char *name, *title;
        size_t count;
    } cases[] = {{"2", "run 2", 1},
                 {"abc1", "build abc1", 2},
                 {"0123def", "build 0123def", 1},
                 {"xeon", "Intel Xeon, 4 threads", 1},
                 {"epyc, 2", "AMD EPYC, 2 threads", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_array_clear(records);
        ASSERT_OK(choose_records(s, cases[i].name, records, title, &err));
        assert_string_equal(title, cases[i].title);
        assert_int_equal(json_array_size(records), cases[i].count);
    }
    json_array_clear(records);
    assert_int_equal(json_dump_file(record, w->file, JSON_COMPACT), 0);
    ASSERT_OK(choose_records(s, w->file, records, title, &err));
    assert_string_equal(title, "records.jsonl");
    assert_float_equal(json_real_at(json_array_get(records, 0), "record.step_s.median"), 7, 0);
    ASSERT_FAILS(choose_records(s, "epyc", records, title, &err), BE_USAGE,
                 "one machine's name, found it in \"AMD EPYC, 4 threads\" and \"AMD EPYC, 2");
    ASSERT_FAILS(choose_records(s, "nowhere", records, title, &err), BE_USAGE,
                 "the number of a run, a file of records", "found \"nowhere\"");
    ASSERT_FAILS(choose_records(s, "9", records, title, &err), BE_USAGE, "none of number 9");
    json_decref(record);
    json_decref(records);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_by_the_interval),
        cmocka_unit_test(without_blocks_nothing_is_sure),
        cmocka_unit_test(a_row_is_the_fastest_of_the_newest_run),
        cmocka_unit_test(what_is_not_alike_is_told),
        cmocka_unit_test(means_are_over_what_all_have),
        cmocka_unit_test(a_training_is_told_in_time_and_money),
        cmocka_unit_test(what_is_slower_than_allowed_fails),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test_setup_teardown(sides_are_runs_files_builds_or_machines, store_set_up,
                                        store_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
