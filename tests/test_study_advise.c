/* The property test of the advice beside the rows that it stands below: blocks are drawn, a run's
 * records and verdicts are made of them as the conductor makes them, and nothing that the page says
 * of the two best may contradict them. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "report/quick.h"
#include "report/text.h"
#include "run/record.h"
#include "study/advise.h"
#include "workloads/workload.h"

#define DRAWS 600
#define CONTENDERS_MOST 4
#define BLOCKS_MOST 24
#define BATCH 100

/* What was drawn of a run. */
typedef struct draw {
    int count;
    bool starts; /* the start-ups are not all 0 */
    double blocks_s[CONTENDERS_MOST][BLOCKS_MOST];
    int64_t batches[CONTENDERS_MOST];
    conductor_result results[CONTENDERS_MOST];
    conductor_report report;
} draw;

static const conductor_contender *contenders(void)
{
    static const char *const argv[] = {"runner", NULL};
    static conductor_contender list[CONTENDERS_MOST];
    static const char *const names[][2] = {
        {"native", "cpu"}, {"torch", "cpu"}, {"native", "cuda:0"}, {"tensorflow", "cpu"}};
    for (int i = 0; i < CONTENDERS_MOST; i++)
        list[i] = (conductor_contender){.engine = names[i][0],
                                        .argv = argv,
                                        .job = {.workload = "cnn-fashion",
                                                .device = names[i][1],
                                                .precision = "fp32",
                                                .mode = "train",
                                                .threads = 2,
                                                .batch = BATCH,
                                                .seed = 42,
                                                .optimizer = {.name = "adam", .lr = 1e-3}}};
    return list;
}

static double one_of(rng *r, const double *values, uint32_t count)
{
    return values[rng_next_below(r, count)];
}

/* Steps near one another, blocks that share the machine's drift, start-ups of all sizes. */
static void draw_run(rng *r, draw *d)
{
    static const double noises[] = {0.002, 0.02, 0.15}, drifts[] = {0, 0.02, 0.2};
    static const double aparts[] = {0.01, 0.05, 0.4}, starts_s[] = {0, 0.1, 3, 30};
    double noise = one_of(r, noises, 3), drift = one_of(r, drifts, 3);
    double apart = one_of(r, aparts, 3), start_s = one_of(r, starts_s, 4), level = 0;
    double steps_s[CONTENDERS_MOST];
    *d = (draw){.count = 2 + (int)rng_next_below(r, CONTENDERS_MOST - 1), .starts = start_s > 0};
    for (int i = 0; i < d->count; i++) {
        double begins = start_s * rng_next_uniform(r);
        steps_s[i] = 2e-3 * exp(apart * rng_next_normal(r));
        d->batches[i] = BATCH;
        d->results[i] = (conductor_result){.threads = 2,
                                           .device_name = "planted",
                                           .precision = "fp32",
                                           .start_s = begins,
                                           .energy_per_step_j = NAN,
                                           .count = 1 + (int)rng_next_below(r, BLOCKS_MOST),
                                           .blocks_s = d->blocks_s[i],
                                           .versus = -1,
                                           .ratio = {NAN, NAN, NAN}};
    }
    for (int b = 0; b < BLOCKS_MOST; b++) {
        level += drift * rng_next_normal(r);
        for (int i = 0; i < d->count; i++)
            d->blocks_s[i][b] = steps_s[i] * exp(level + noise * rng_next_normal(r));
    }
}

/* What the conductor makes of the blocks. */
static void judge_run(draw *d)
{
    be_error err = {0};
    int fastest = 0;
    d->report = (conductor_report){.count = d->count,
                                   .results = d->results,
                                   .seed = 42,
                                   .batches = d->batches,
                                   .other_load = NAN,
                                   .steal = NAN};
    for (int i = 0; i < d->count; i++) {
        conductor_result *result = &d->results[i];
        ASSERT_OK(stats_summarize(result->blocks_s, result->count, 42, &result->step, &err));
        result->samples_per_s = BATCH / result->step.median.point;
        result->first_step_s = result->step.median.point;
        if (result->samples_per_s > d->results[fastest].samples_per_s) fastest = i;
    }
    d->report.fastest = fastest;
    for (int i = 0; i < d->count; i++) {
        conductor_result *result = &d->results[i];
        if (i == fastest) continue;
        result->versus = fastest;
        ASSERT_OK(
            conductor_compare(&d->report, i, fastest, &result->ratio, &result->verdict, &err));
    }
}

static json_t *records_of(const draw *d)
{
    be_error err = {0};
    json_t *list = json_array();
    json_t *environment = json_pack("{s:{s:s, s:i}, s:i}", "cpu", "model", "planted", "threads", 2,
                                    "memory_bytes", 1 << 30);
    record_facts facts = {.unix_s = 1, .environment = environment};
    for (int i = 0; i < d->count; i++) {
        json_t *record = NULL;
        ASSERT_OK(record_build(contenders(), &d->report, i, &facts, &record, &err));
        json_object_set_new(record, "data_count", json_integer(10000));
        json_array_append_new(list, record);
    }
    json_decref(environment);
    return list;
}

static char *page_of(const json_t *records, const json_t *advice)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    quick_page page = {.records = records, .advice = advice};
    quick_write(&page, out);
    fclose(out);
    for (char *c = text; *c; c++)
        if (*c == '\n' && c[1] == ' ') *c = ' ';
    return text;
}

/* The record of the candidate with this standing. */
static int index_of(const json_t *records, const json_t *advice, const char *standing)
{
    size_t i, k;
    json_t *candidate, *record;
    json_array_foreach(json_object_get(advice, "candidates"), i, candidate)
    {
        if (strcmp(json_text_at(candidate, "standing"), standing) != 0) continue;
        json_array_foreach(records, k, record)
        {
            if (json_equal(json_object_get(record, "engine"),
                           json_object_get(candidate, "engine")) &&
                json_equal(json_object_get(record, "device"), json_object_get(candidate, "device")))
                return (int)k;
        }
    }
    return -1;
}

static bool is_sure(stats_verdict verdict)
{
    return verdict == STATS_FASTER || verdict == STATS_SLOWER;
}

/* The sentences against the verdicts, whatever the start-ups. */
static void check_words(const json_t *advice, stats_verdict row, const char *page)
{
    bool close = strstr(page, "too close to call") != NULL;
    bool sure = strcmp(json_text_at(advice, "verdict"), "FASTER") == 0;
    if (close && is_sure(row)) fail_msg("too close to call below a sure row:\n%s", page);
    if (close && sure) fail_msg("too close to call, and the record is sure:\n%s", page);
    if (sure && !strstr(page, "The runner-up, ")) fail_msg("no runner-up:\n%s", page);
    if (!is_sure(row) && (strstr(page, "that stays") || strstr(page, "less time per step.") ||
                          strstr(page, "does not change that")))
        fail_msg("a step that is not sure is told as such:\n%s", page);
    if (strstr(page, "However long") && !(sure && row == STATS_SLOWER))
        fail_msg("it stays, and is not sure now:\n%s", page);
    assert_null(strstr(page, "nan"));
}

static void check_draw(const draw *d, const json_t *records, const json_t *advice, int counts[4])
{
    char *page = page_of(records, advice);
    int best = index_of(records, advice, "best"), second = index_of(records, advice, "runner-up");
    assert_true(best >= 0 && second >= 0);
    assert_true(json_is_true(json_at(advice, "step.paired")));
    /* The one of the two that stands below the other has the row that speaks of both, if that one
     * is the fastest of all. */
    bool turned = d->results[best].samples_per_s < d->results[second].samples_per_s;
    const conductor_result *below = &d->results[turned ? best : second];
    if (below->versus == (turned ? second : best)) {
        stats_verdict row = turned ? stats_verdict_of_other(below->verdict) : below->verdict;
        stats_verdict own = stats_verdict_of_other(row); /* of the best */
        assert_string_equal(json_text_at(advice, "step.verdict"), stats_verdict_name(own));
        check_words(advice, row, page);
        counts[is_sure(row)]++;
        if (!d->starts) {
            assert_string_equal(json_text_at(advice, "verdict"), stats_verdict_name(own));
            assert_null(strstr(page, "weigh as much"));
        }
    } else {
        counts[2]++;
    }
    counts[3] += strstr(page, "weigh as much") != NULL;
    if (!d->starts && strstr(page, " fastest\n")) assert_null(strstr(page, "too close"));
    free(page);
}

static void no_sentence_contradicts_a_row(void **state)
{
    (void)state;
    be_error err = {0};
    const workload *w = NULL;
    int counts[4] = {0}; /* row unsure, row sure, no row of the two, start-ups decide */
    study_request request = {.precision = "fp32"};
    study_watch watch = {0};
    ASSERT_OK(workload_find("cnn-fashion", &w, &err));
    request.workloads[0] = w;
    rng r = {.key = {.seed = 10, .stream = RNG_TEST}};
    for (int i = 0; i < DRAWS; i++) {
        draw d;
        draw_run(&r, &d);
        judge_run(&d);
        json_t *records = records_of(&d);
        json_t *advice = advise_from(&request, &watch, w, BATCH, records);
        assert_non_null(advice);
        check_draw(&d, records, advice, counts);
        json_decref(advice);
        json_decref(records);
    }
    for (int i = 0; i < 4; i++) assert_true(counts[i] > 5);
}

/* ---------------------------------------------------------------- workers */

/* Steps of 20 and 12 ms for 100 and 50 samples by two threads, and sums that take no time: `out`
 * are the steps and speed-ups of 2 and 4 workers. */
static bool tell_workers(const char *device, bool is_local, double cores, double out[2][2])
{
    static const int64_t workers[] = {2, 4};
    const advice_sample samples[] = {{.batch = 25, .step_s = {7e-3, 7e-3, 7e-3}},
                                     {.batch = 50, .step_s = {12e-3, 12e-3, 12e-3}},
                                     {.batch = 100, .step_s = {20e-3, 20e-3, 20e-3}}};
    json_t *json = json_pack("{s:i}", "threads", 2);
    record_measured record = {.device = device, .params = 1000, .json = json};
    candidate of = {.record = &record, .advice = {.samples = samples, .count = 3}};
    advice_question question = {.batch = 100, .samples = 1000};
    study_training training = {.workers = workers,
                               .worker_count = 2,
                               .link = {.bytes_per_s = 1e15},
                               .link_is_local = is_local,
                               .cores = cores};
    advice_estimate_of(&of.advice, &question, &of.estimate);
    json_t *told = advise_workers(&of, &question, &training);
    for (size_t i = 0; i < 2; i++) {
        json_t *point = json_array_get(json_object_get(told, "points"), i);
        out[i][0] = json_real_at(point, "step_s.point");
        out[i][1] = json_real_at(point, "speed_up.point");
    }
    bool is_shared = json_is_true(json_object_get(told, "shared"));
    json_decref(told);
    json_decref(json);
    return is_shared;
}

/* Those of a machine each have its cores, those of one machine share them, and a GPU is a worker's
 * own. */
static void local_workers_share_the_cores(void **state)
{
    (void)state;
    double told[2][2];
    assert_false(tell_workers("cpu", false, 0, told));
    assert_float_equal(told[0][0], 12e-3, 1e-9);
    assert_float_equal(told[1][1], 20.0 / 7, 1e-6);
    assert_true(tell_workers("cpu", true, 2, told));
    assert_float_equal(told[0][0], 24e-3, 1e-9);
    assert_float_equal(told[1][0], 28e-3, 1e-9);
    assert_float_equal(told[1][1], 20.0 / 28, 1e-6);
    assert_true(tell_workers("cpu", true, 4, told));
    assert_float_equal(told[0][0], 12e-3, 1e-9);
    assert_float_equal(told[1][0], 14e-3, 1e-9);
    assert_false(tell_workers("cuda:0", true, 2, told));
    assert_float_equal(told[1][0], 7e-3, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_sentence_contradicts_a_row),
                                       cmocka_unit_test(local_workers_share_the_cores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
