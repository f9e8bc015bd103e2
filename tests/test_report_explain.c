/* Tests of src/report/explain*.c: the bars, the sentences of planted causes, and the trace. */
#include "core/json.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/explain.h"
#include "report/explain_sides.h"

/* That of cmocka lets NAN pass. */
#define ASSERT_NEAR(found, expected, tolerance) \
    assert_true(fabs((found) - (expected)) <= (tolerance))

static be_error err;

/* A contender whose step of 2 ms has half forward, a quarter backward, a quarter waiting. */
static json_t *record_of(const char *engine, const char *device, double scale)
{
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:f, s:{s:f}}", "workload", "toy", "engine",
                  engine, "device", device, "precision", "fp32", "threads", 2, "batch", 32,
                  "status", "OK", "samples_per_s", 16000 / scale, "step_s", "median", 2e-3 * scale);
    json_t *phases =
        json_pack("{s:f, s:n, s:f, s:f, s:f, s:f, s:f, s:f}", "data", 0.0, "upload", "forward",
                  1e-3 * scale, "backward", 0.5e-3 * scale, "optimizer", 0.0, "loss_read", 0.0,
                  "idle_host", 0.46e-3 * scale, "idle_other", 0.0);
    json_t *op = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:s, s:f, s:f}", "op", "conv2d",
                           "name", "conv1", "phase", "forward", "implementation", "own", "seconds",
                           1e-3 * scale, "share", 0.5, "predicted_s", 1e-3, "bound", "arithmetic",
                           "limit_share", 0.25, "floor_s", 0.25e-3);
    json_object_set_new(
        record, "explain",
        json_pack("{s:i, s:f, s:o, s:f, s:f, s:i, s:[o], s:f, s:s, s:f, s:f, s:{s:i, s:f}, s:[], "
                  "s:n}",
                  "schema", 1, "wall_s", 2e-3 * scale, "phases_s", phases, "phases_sum_s",
                  1.96e-3 * scale, "missing", 0.02, "launches", 46, "ops", op, "floor_s", 0.4e-3,
                  "bound", "arithmetic", "predicted_s", 2.2e-3 * scale, "predicted_error", 0.1,
                  "calibration", "points", 200, "left_out", 0.08, "notes", "error"));
    return record;
}

static char *page_of(const json_t *records, report_format format)
{
    char *bytes = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&bytes, &count);
    ASSERT_OK(explain_write(records, format, out, &err));
    fclose(out);
    return bytes;
}

/* The page with all blanks made one, which wrapped sentences are found in. */
static void page_has(const json_t *records, const char *text)
{
    char *page = page_of(records, REPORT_TABLE), *to = page;
    for (char *from = page; *from; from++)
        if (!strchr(" \n", *from) || (to > page && to[-1] != ' '))
            *to++ = *from == '\n' ? ' ' : *from;
    *to = 0;
    if (!strstr(page, text)) fail_msg("expected \"%s\" in: %s", text, page);
    free(page);
}

static json_t *pair_with(const char *kind, double seconds, json_t *tried)
{
    json_t *winner = record_of("native", "cpu", 1), *loser = record_of("native", "cuda:0", 1.25);
    json_object_set_new(winner, "cause",
                        json_pack("{s:s, s:f, s:n, s:s, s:f, s:f, s:{s:f}, s:i, s:o}", "verdict",
                                  "SLOWER", "ratio", 1.27, "reason", "kind", kind, "seconds",
                                  seconds, "share", 1.0, "loser", "launches", 2.1e-3, "loser_index",
                                  1, "tried", tried));
    return json_pack("[o, o]", winner, loser);
}

static json_t *tried(const char *verdict, double ratio, double flip)
{
    return json_pack("{s:s, s:i, s:o, s:s, s:s, s:o, s:s, s:n}", "action", "batch", "batch", 512,
                     "flip_batch", json_of_real(flip), "verdict", verdict, "reason",
                     "3 rounds are too few", "ratio", json_of_real(ratio), "implementation", "own",
                     "error");
}

static void the_page_says_what_adds_up(void **state)
{
    (void)state;
    report_look = (report_style){.utf8 = false};
    json_t *records = pair_with("host", 0.5e-3, json_null());
    page_has(records, "native on 2 threads: phases add up to 1.96 ms of the 2.00 ms step (2.0 % "
                      "missing). Predicted: 2.20 ms, 10 % too long (calibration points predict one "
                      "another to 8.0 %). The hardware's floor is 400 us, set by arithmetic.");
    page_has(records, "conv2d conv1 forward 1.00 ms 50 % 1.00 ms own 25 % arith.");
    json_decref(records);
}

static void planted_causes_get_their_sentences(void **state)
{
    (void)state;
    report_look = (report_style){.utf8 = false};
    const struct {
        const char *kind, *text;
    } cases[] = {
        {"launches", "native on cuda:0 loses to native on 2 threads by 1.27x: 46 launches and the "
                     "waiting for them cost 2.10 ms of its 2.50 ms step."},
        {"framework",
         "500 us of the 500 us more are what the framework and its kernels take beyond"},
        {"between ops",
         "500 us of the 500 us more are the framework between its ops, beyond what the native"},
        {"framework kernels", "500 us of the 500 us more are kernels that take longer than those"},
        {"data", "500 us of the 500 us more are gathering and normalising the batch."},
        {"rest", "500 us of the 500 us more are reading losses and other idling."},
        {"more threads", "500 us of the 500 us more are work that more threads share."},
        {"arithmetic", "500 us of the 500 us more are arithmetic at the most that its hardware"},
        {"memory", "500 us of the 500 us more are memory traffic at the most"},
        {"kernels", "500 us of the 500 us more are kernels that stay below"},
        {"upload", "500 us of the 500 us more are copies to the device that nothing hides"},
        {"host", "500 us of the 500 us more are the device idling, waiting for the host"},
        {"fewer threads", "are what sharing so little work among threads costs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *records = pair_with(cases[i].kind, 0.5e-3, json_null());
        page_has(records, cases[i].text);
        json_decref(records);
    }
}

static void what_was_tried_is_told_as_it_came_out(void **state)
{
    (void)state;
    const struct {
        const char *verdict;
        double ratio, flip;
        const char *text;
    } cases[] = {
        {"FASTER", 1 / 3.1, 210,
         "By these numbers it flips at batch 210. Tried: at batch 512 it wins by "
         "3.10x."},
        {"SLOWER", 1.2, 210, "at batch 512 it still loses by 1.20x: the prediction was wrong."},
        {"SLOWER", 1.2, (double)NAN, "Tried: at batch 512 it still loses by 1.20x."},
        {"SAME", 1.01, 210, "at batch 512 both are equally fast."},
        {"UNSURE", 1.2, 210, "Tried: at batch 512 too noisy to tell: 3 rounds are too few."},
        {"UNSURE", 1 / 3.1, (double)NAN, "Tried: at batch 512 too noisy to tell: 3 rounds"},
        {"UNSURE", (double)NAN, 210, "Tried: at batch 512 it could not be measured."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *records =
            pair_with("launches", 0.5e-3, tried(cases[i].verdict, cases[i].ratio, cases[i].flip));
        page_has(records, cases[i].text);
        json_decref(records);
    }
    json_t *records = pair_with("launches", 0.5e-3, tried("SAME", 1, 210));
    json_t *cause = json_object_get(json_array_get(records, 0), "cause");
    json_object_set_new(json_object_get(cause, "tried"), "error", json_string("no memory there"));
    page_has(records, "at batch 512 it failed: no memory there");
    json_decref(records);
}

/* The point estimates alone would name a cause and a winner. */
static void without_a_verdict_there_is_no_cause(void **state)
{
    (void)state;
    json_t *records = pair_with("host", 0.5e-3, json_null());
    json_t *cause = json_object_get(json_array_get(records, 0), "cause");
    json_object_set_new(cause, "kind", json_null());
    json_object_set_new(cause, "verdict", json_string("SAME"));
    json_object_set_new(cause, "ratio", json_real(1.011));
    page_has(records, "why: native on cuda:0 and native on 2 threads are too close to tell why: a "
                      "sample takes the one 1.01x as long as the other.");
    json_object_set_new(cause, "verdict", json_string("UNSURE"));
    json_object_set_new(cause, "reason", json_string("6 rounds are too few"));
    page_has(records, "native on 2 threads are too noisy to tell why: 6 rounds are too few.");
    json_object_set_new(cause, "verdict", json_string("FASTER"));
    json_object_set_new(cause, "reason", json_null());
    page_has(records, "too noisy to tell why: their medians and the ratio of their blocks");
    char *page = page_of(records, REPORT_TABLE);
    assert_null(strstr(page, "loses to"));
    assert_null(strstr(page, "waiting for the host."));
    free(page);
    json_decref(records);
}

/* Also of one alone; and a step that took far longer apart is no step to take a cause from. */
static void a_step_must_be_the_one_that_was_measured(void **state)
{
    (void)state;
    json_t *records = json_pack("[o]", record_of("native", "cpu", 1));
    json_t *record = json_array_get(records, 0);
    assert_true(explain_is_steady(record));
    json_object_set_new(json_object_get(record, "explain"), "wall_s", json_real(2.9e-3));
    assert_true(explain_is_steady(record));
    json_object_set_new(json_object_get(record, "explain"), "wall_s", json_real(3.1e-3));
    assert_false(explain_is_steady(record));
    json_object_set_new(json_object_get(record, "explain"), "wall_s", json_real(1.2e-3));
    assert_false(explain_is_steady(record));
    json_object_set_new(record, "cause",
                        json_pack("{s:n, s:s, s:s, s:i, s:n}", "kind", "verdict", "UNSURE",
                                  "reason", "it took another time", "loser_index", -1, "tried"));
    page_has(records, "why: nothing competes with native on 2 threads, but it is too noisy to tell "
                      "where its time goes: it took another time.");
    json_decref(records);
}

static void kernels_are_not_judged_where_the_arithmetic_is_unknown(void **state)
{
    (void)state;
    json_t *records = json_pack("[o]", record_of("native", "cpu", 1));
    json_t *record = json_array_get(records, 0);
    json_object_set_new(record, "cause",
                        json_pack("{s:s, s:s, s:f, s:i, s:n}", "kind", "kernels", "verdict",
                                  "UNSURE", "seconds", 1e-3, "loser_index", -1, "tried"));
    page_has(records, "1.00 ms of its 2.00 ms step are kernels that stay below what the hardware "
                      "can do; the step is 5.00x the hardware's floor of 400 us.");
    json_object_set_new(json_object_get(record, "explain"), "floor_s", json_null());
    page_has(records, "1.00 ms of its 2.00 ms step are kernels; how far they stay below what the "
                      "hardware can do is not known, as the arithmetic of the step is not.");
    json_decref(records);
}

static json_t *versus(const char *engine, const char *device, int threads, const char *verdict)
{
    return json_pack("{s:s, s:s, s:i, s:f, s:s, s:s}", "engine", engine, "device", device,
                     "threads", threads, "ratio", 1.4, "verdict", verdict, "reason", "noise");
}

/* The number of threads that has no bar of its own. */
static void other_threads_are_told_by_their_verdict(void **state)
{
    (void)state;
    const struct {
        int threads;
        const char *verdict, *text;
        double load;
    } cases[] = {
        {4, "SLOWER",
         "With 4 threads instead of 2, native takes 1.40x as long: sharing so little "
         "work costs more than it brings.",
         0.04},
        {4, "SLOWER",
         "With 4 threads instead of 2, native takes 1.40x as long, "
         "while other programs had 42 % of the processors.",
         0.42},
        {1, "SLOWER", "With 1 thread instead of 2, native takes 1.40x as long.", 0.42},
        {4, "SAME", "With 4 threads instead of 2, native is as fast.", 0},
        {4, "UNSURE", "With 4 threads instead of 2, native may be slower or not: too noisy", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *records = pair_with("host", 0.5e-3, json_null());
        json_t *other = record_of("native", "cpu", 1.4);
        json_array_append_new(records, other);
        json_object_del(other, "explain");
        json_object_set_new(other, "threads", json_integer(cases[i].threads));
        json_object_set_new(other, "other_load", json_real(cases[i].load));
        json_object_set_new(other, "versus", versus("native", "cpu", 2, cases[i].verdict));
        page_has(records, cases[i].text);
        /* Held against another one it says nothing of threads. */
        json_object_set_new(other, "versus", versus("torch", "cpu", 2, cases[i].verdict));
        char *page = page_of(records, REPORT_TABLE);
        assert_null(strstr(page, "instead of"));
        free(page);
        json_decref(records);
    }
}

static void a_verdict_is_that_of_the_two(void **state)
{
    (void)state;
    json_t *winner = record_of("native", "cpu", 1), *loser = record_of("torch", "cpu", 1.4);
    json_object_set_new(loser, "versus", versus("native", "cpu", 2, "SLOWER"));
    json_t *found = explain_verdict(winner, loser);
    assert_string_equal(json_text_at(found, "verdict"), "SLOWER");
    ASSERT_NEAR(json_real_at(found, "ratio"), 1.4, 1e-9);
    assert_string_equal(json_text_at(found, "reason"), "noise");
    json_decref(found);
    const struct {
        const char *engine, *device;
        int threads;
    } others[] = {{"torch", "cpu", 2}, {"native", "cuda:0", 2}, {"native", "cpu", 1}};
    for (size_t i = 0; i < 3; i++) {
        json_object_set_new(
            loser, "versus",
            versus(others[i].engine, others[i].device, others[i].threads, "SLOWER"));
        found = explain_verdict(winner, loser);
        assert_string_equal(json_text_at(found, "verdict"), "UNSURE");
        assert_true(isnan(json_real_at(found, "ratio")));
        json_decref(found);
    }
    json_decref(winner);
    json_decref(loser);
}

/* Another batch is compared by the time of a sample, with both intervals. */
static void alone_the_intervals_decide(void **state)
{
    (void)state;
    const struct {
        double step_s, half;
        const char *verdict;
    } cases[] = {{8e-3, 0.01, "SAME"},
                 {8e-3, 0.04, "UNSURE"},
                 {9e-3, 0.01, "SLOWER"},
                 {9e-3, 0.20, "UNSURE"},
                 {7e-3, 0.01, "FASTER"}};
    json_t *before = record_of("native", "cpu", 1), *after = record_of("native", "cpu", 1);
    json_object_set_new(after, "batch", json_integer(128));
    json_object_set_new(
        before, "step_s",
        json_pack("{s:f, s:f, s:f}", "median", 2e-3, "low", 1.98e-3, "high", 2.02e-3));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double step_s = cases[i].step_s;
        json_object_set_new(after, "step_s",
                            json_pack("{s:f, s:f, s:f}", "median", step_s, "low",
                                      step_s * (1 - cases[i].half), "high",
                                      step_s * (1 + cases[i].half)));
        json_t *found = explain_verdict_alone(before, after);
        assert_string_equal(json_text_at(found, "verdict"), cases[i].verdict);
        ASSERT_NEAR(json_real_at(found, "ratio"), step_s / 8e-3, 1e-9);
        assert_true(*json_text_at(found, "reason") ==
                    (strcmp(cases[i].verdict, "UNSURE") == 0 ? 't' : 0));
        json_decref(found);
    }
    json_decref(before);
    json_decref(after);
}

/* 1 ms forward, 0.5 ms backward, and 1 ms of ops in them. */
static void a_side_is_made_of_its_record(void **state)
{
    (void)state;
    json_t *records = json_pack("[o, o, o]", record_of("torch", "cpu", 1),
                                record_of("native", "cpu", 0.5), record_of("native", "cpu", 0.4));
    json_t *torch = json_array_get(records, 0), *one = json_array_get(records, 1);
    json_object_set_new(json_array_get(records, 2), "threads", json_integer(4));
    cause_side side = explain_side(torch, records);
    assert_false(side.native);
    ASSERT_NEAR(side.step_s, 2e-3, 1e-12);
    ASSERT_NEAR(side.gap_s, 0.5e-3, 1e-12);
    ASSERT_NEAR(side.idle_host_s, 0.46e-3, 1e-12);
    /* As many threads: 1 ms without 0.23 ms of idling; else the best one. */
    ASSERT_NEAR(side.native_s, 0.77e-3, 1e-12);
    json_object_set_new(one, "threads", json_integer(1));
    ASSERT_NEAR(explain_side(torch, records).native_s, 0.8e-3 - 0.184e-3, 1e-12);
    json_object_set_new(json_array_get(records, 2), "device", json_string("cuda:0"));
    ASSERT_NEAR(explain_side(torch, records).native_s, 0.77e-3, 1e-12);
    /* Ops that are longer than their phases tell nothing. */
    json_t *op = json_array_get(json_at(torch, "explain.ops"), 0);
    json_object_set_new(op, "seconds", json_real(1.6e-3));
    assert_true(isnan(explain_side(torch, records).gap_s));
    json_object_set_new(op, "phase", json_string("data"));
    assert_true(isnan(explain_side(torch, records).gap_s));
    json_t *phases = json_object_get(json_object_get(torch, "explain"), "phases_s");
    json_object_set_new(torch, "device", json_string("cuda:0"));
    ASSERT_NEAR(explain_side(torch, records).gap_s, 0, 0);
    json_object_set_new(phases, "idle_host", json_null());
    assert_true(isnan(explain_side(torch, records).gap_s));
    json_decref(records);
}

/* Index of who is held against the first: another device before another engine before threads. */
static void the_pair_differs_as_much_as_it_can(void **state)
{
    (void)state;
    int winner = 0, loser = 0;
    json_t *records = json_pack("[o]", record_of("native", "cpu", 1));
    explain_pair(records, &winner, &loser);
    assert_true(winner == 0 && loser == -1);
    json_array_append_new(records, record_of("native", "cpu", 1.1));
    explain_pair(records, &winner, &loser);
    assert_true(winner == 0 && loser == 1);
    json_array_append_new(records, record_of("torch", "cpu", 1.2));
    json_array_append_new(records, record_of("tensorflow", "cpu", 1.15));
    explain_pair(records, &winner, &loser);
    assert_true(winner == 0 && loser == 3);
    json_array_append_new(records, record_of("torch", "cuda:0", 9));
    json_array_append_new(records, record_of("native", "cuda:0", 8));
    explain_pair(records, &winner, &loser);
    assert_true(winner == 0 && loser == 5);
    json_object_del(json_array_get(records, 0), "explain");
    explain_pair(records, &winner, &loser);
    assert_true(winner == 1 && loser == 5);
    json_decref(records);
}

static void ops_have_names_for_people(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"conv2d_pool_backward", "conv2d_pool bwd conv1 forward"},
        {"aten::max_pool2d_with_indices_backward", "max_pool2d bwd conv1 forward"},
        {"_MklNativeConv2DBackpropFilter", "Conv2D bwd Filter conv1 forward"},
        {"_MklMatMul", " MatMul conv1 forward"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *records = json_pack("[o]", record_of("native", "cpu", 1));
        json_t *op = json_array_get(json_at(json_array_get(records, 0), "explain.ops"), 0);
        json_object_set_new(op, "op", json_string(cases[i][0]));
        page_has(records, cases[i][1]);
        char *json = page_of(records, REPORT_JSON);
        assert_non_null(strstr(json, cases[i][0])); /* ids stay what they are */
        free(json);
        json_decref(records);
    }
}

/* Ten ops of which the later are longer: eight are shown, the longest first, two are summed. */
static void the_longest_ops_are_shown(void **state)
{
    (void)state;
    json_t *records = json_pack("[o]", record_of("native", "cpu", 1));
    json_t *found = json_object_get(json_array_get(records, 0), "explain");
    json_t *ops = json_object_get(found, "ops");
    json_t *first = json_deep_copy(json_array_get(ops, 0));
    json_array_clear(ops);
    for (int i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof name, "op%c", 'a' + i);
        json_t *op = json_deep_copy(first);
        json_object_set_new(op, "op", json_string(name));
        json_object_set_new(op, "seconds", json_real(1e-5 * (i + 3)));
        json_object_set_new(op, "share", json_real(0.01 * (i + 3)));
        json_array_append_new(ops, op);
    }
    json_decref(first);
    page_has(records, "opj conv1 forward 120 us 12 % 1.00 ms own 25 % arith. opi conv1 forward");
    page_has(records, "opc conv1 forward 50.0 us 5.0 % 1.00 ms own 25 % arith. 2 more: 7.0 %");
    json_decref(records);
}

static void ops_beyond_the_step_are_told(void **state)
{
    (void)state;
    json_t *records = json_pack("[o]", record_of("torch", "cpu", 1));
    json_t *found = json_object_get(json_array_get(records, 0), "explain");
    json_object_set_new(found, "ops_sum_s", json_real(2.03e-3));
    char *page = page_of(records, REPORT_TABLE);
    assert_null(strstr(page, "add up to 102 %"));
    free(page);
    json_object_set_new(found, "ops_sum_s", json_real(5.4e-3));
    page_has(records, "Its ops add up to 270 % of the step, because they overlap or are slowed by "
                      "being watched: their shares are of that sum.");
    json_decref(records);
}

static int count_of(const char *text, char what)
{
    int count = 0;
    for (; *text; text++) count += *text == what;
    return count;
}

static char *bars_of(const json_t *records)
{
    char *bytes = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&bytes, &count);
    explain_bars(records, out);
    fclose(out);
    return bytes;
}

static void bars_are_drawn_to_one_scale(void **state)
{
    (void)state;
    report_look = (report_style){.utf8 = false};
    json_t *records =
        json_pack("[o, o]", record_of("native", "cpu", 1), record_of("torch", "cpu", 2));
    char *page = bars_of(records), lines[3][400];
    assert_int_equal(sscanf(page, "%399[^\n]\n%399[^\n]\n%399[^\n]", lines[0], lines[1], lines[2]),
                     3);
    int forward = count_of(lines[0], 'F');
    assert_true(forward > 5 && abs(count_of(lines[1], 'F') - 2 * forward) <= 1);
    assert_true(abs(forward - 2 * count_of(lines[0], 'B')) <= 1);
    assert_true(strlen(lines[1]) <= 80 && !strstr(page, "are cut"));
    assert_string_equal(lines[2], "F forward  B backward  . waits for host"); /* no others */
    free(page);
    /* A bar is as long as its phases together, also where a part of the step is missing. */
    json_t *half = json_object_get(json_array_get(records, 1), "explain");
    json_object_set_new(half, "wall_s", json_real(8e-3));
    page = bars_of(records);
    assert_int_equal(sscanf(page, "%*[^\n]\n%399[^\n]", lines[0]), 1);
    assert_string_equal(lines[0], lines[1]);
    free(page);
    /* Far apart: cut, and said. */
    json_array_append_new(records, record_of("torch", "slow", 1000));
    page = bars_of(records);
    assert_non_null(strstr(page, "> 1.96 s"));
    assert_non_null(strstr(page, "One scale for all; bars longer than 39.2 ms are cut (>)."));
    free(page);
    report_look.color = report_look.utf8 = true;
    page = bars_of(records);
    assert_non_null(strstr(page, "\033[32m█"));
    free(page);
    report_look = (report_style){.utf8 = false};
    json_decref(records);
}

static void a_failed_contender_is_told(void **state)
{
    (void)state;
    json_t *records =
        json_pack("[o, o]", record_of("native", "cpu", 1), record_of("torch", "cuda:0", 1));
    json_t *failed = json_array_get(records, 1);
    json_object_del(failed, "explain");
    json_object_set_new(failed, "error", json_string("it died"));
    page_has(records, "PyTorch on cuda:0 is missing: it died");
    json_decref(records);
}

static void the_trace_has_events_end_to_end(void **state)
{
    (void)state;
    json_t *records = json_pack("[o]", record_of("native", "cpu", 1)), *event;
    char *text = explain_trace(records);
    json_t *trace = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(trace);
    size_t i;
    double end = 0;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, event)
    {
        if (json_real_at(event, "tid") != 1 || strcmp(json_text_at(event, "ph"), "X") != 0)
            continue;
        assert_true(json_real_at(event, "ts") >= end - 1e-6);
        end = json_real_at(event, "ts") + json_real_at(event, "dur");
    }
    ASSERT_NEAR(end, 1960, 1e-6);
    json_decref(trace);
    free(text);
    json_decref(records);
}

static void all_forms_can_be_written(void **state)
{
    (void)state;
    json_t *records = pair_with("host", 0.5e-3, tried("SLOWER", 2, 100));
    char *csv = page_of(records, REPORT_CSV), *md = page_of(records, REPORT_MD);
    assert_non_null(strstr(csv, ",explain.phases_s.upload,explain.phases_s.forward,"));
    assert_non_null(strstr(csv, ",SLOWER,host,batch,2.0,SLOWER"));
    assert_non_null(strstr(md, "| a step | native on 2 threads | native on cuda:0 |"));
    free(csv);
    free(md);
    char *json = page_of(records, REPORT_JSON);
    json_t *again = json_loads(json, 0, NULL);
    assert_true(json_array_size(again) == 2);
    json_decref(again);
    free(json);
    json_decref(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_what_adds_up),
        cmocka_unit_test(planted_causes_get_their_sentences),
        cmocka_unit_test(what_was_tried_is_told_as_it_came_out),
        cmocka_unit_test(without_a_verdict_there_is_no_cause),
        cmocka_unit_test(a_step_must_be_the_one_that_was_measured),
        cmocka_unit_test(kernels_are_not_judged_where_the_arithmetic_is_unknown),
        cmocka_unit_test(other_threads_are_told_by_their_verdict),
        cmocka_unit_test(a_verdict_is_that_of_the_two),
        cmocka_unit_test(alone_the_intervals_decide),
        cmocka_unit_test(a_side_is_made_of_its_record),
        cmocka_unit_test(the_pair_differs_as_much_as_it_can),
        cmocka_unit_test(ops_have_names_for_people),
        cmocka_unit_test(the_longest_ops_are_shown),
        cmocka_unit_test(ops_beyond_the_step_are_told),
        cmocka_unit_test(bars_are_drawn_to_one_scale),
        cmocka_unit_test(a_failed_contender_is_told),
        cmocka_unit_test(the_trace_has_events_end_to_end),
        cmocka_unit_test(all_forms_can_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
