/* Tests of the calls to one runner: every request, and every way in which a runner can end, break
 * the protocol or refuse; with real processes (tests/fake_runner.py) and no clock that matters. */
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "fake_clock.h"
#include "run/runner.h"
#include "support.h"

#define LIMIT_S 300 /* for an answer: what hangs is tested without waiting (test_run_child.c) */

static const protocol_job job = {.workload = "cnn-mnist",
                                 .device = "cpu",
                                 .precision = "fp32",
                                 .mode = "infer",
                                 .threads = 2,
                                 .batch = 8,
                                 .seed = 1};

#define START(r, ...) start_fake((r), (const char *[]){__VA_ARGS__, NULL}, &err)
static be_status start_fake(runner *r, const char *const *options, be_error *err)
{
    fake f;
    runner_options how = {.name = "fake cpu", .start_limit_s = LIMIT_S};
    how.argv = fake_fill(&f, options);
    return runner_start(r, &how, err);
}

static be_status call(runner *r, const protocol_call *wanted, protocol_answer *out, be_error *err)
{
    return runner_call(r, wanted, LIMIT_S, out, NULL, err);
}

static void every_request_is_answered(void **state)
{
    (void)state;
    be_error err = {0};
    runner r;
    protocol_answer a;
    char *folder = support_make_folder(), path[4096];
    support_path(path, sizeof path, folder, "out");
    ASSERT_OK(START(&r, "--deaf"));
    ASSERT_OK(runner_prepare(&r, &job, LIMIT_S, &err));
    assert_int_equal(r.prepared.threads, 2);
    const protocol_call calls[] = {
        {.request = PROTOCOL_PARITY, .steps = 10, .path = path},
        {.request = PROTOCOL_EVALUATE, .path = path},
        {.request = PROTOCOL_EXPORT, .path = path},
        {.request = PROTOCOL_PHASES, .steps = 3},
        {.request = PROTOCOL_RUN, .steps = 3, .losses = true},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int64_t outside_ns = 0;
        ASSERT_OK(runner_call(&r, &calls[i], LIMIT_S, &a, &outside_ns, &err));
        assert_true(outside_ns > 0);
        if (calls[i].request == PROTOCOL_EVALUATE) assert_int_equal(a.correct, 900);
        protocol_answer_clear(&a);
    }
    assert_int_equal(access(path, F_OK), 0);
    /* It is deaf to the end: what it is given to go passes at once. */
    fake_clock clock = {0};
    ASSERT_OK(call(&r, &(protocol_call){.request = PROTOCOL_QUIT}, &a, &err));
    protocol_answer_clear(&a);
    fake_clock_use(&clock);
    runner_stop(&r);
    fake_clock_end();
    assert_string_equal(r.ending, "was killed because it did not end");
    ASSERT_FAILS(call(&r, &calls[0], &a, &err), BE_FAILED,
                 "fake cpu: expected a runner that answers");
    runner_clear(&r);
    support_remove_folder(folder);
}

static void a_refusal_leaves_the_runner_usable(void **state)
{
    (void)state;
    be_error err = {0};
    runner r;
    protocol_answer a;
    ASSERT_OK(START(&r, "--refuse", "BAD_DATA:sync"));
    for (int i = 0; i < 2; i++)
        ASSERT_FAILS(call(&r, &(protocol_call){.request = PROTOCOL_SYNC}, &a, &err), BE_BAD_DATA,
                     "fake cpu: sync: expected mercy");
    ASSERT_OK(call(&r, &(protocol_call){.request = PROTOCOL_PHASES, .steps = 1}, &a, &err));
    protocol_answer_clear(&a);
    runner_clear(&r);
    assert_string_equal(r.ending, "exited with 0");
}

/* Starts it, prepares it, and asks for two runs of a step; the status of the first call that fails.
 * Its log is in *r then. */
#define FAILING(r, ...) failing((r), (const char *[]){__VA_ARGS__, NULL}, &err)
static be_status failing(runner *r, const char *const *options, be_error *err)
{
    be_status status = start_fake(r, options, err);
    if (status != BE_OK) return status;
    status = runner_prepare(r, &job, LIMIT_S, err);
    for (int i = 0; i < 2 && status == BE_OK; i++) {
        protocol_answer a;
        status = call(r, &(protocol_call){.request = PROTOCOL_RUN, .steps = 1}, &a, err);
        protocol_answer_clear(&a);
    }
    runner_stop(r);
    return status;
}

static void an_end_is_explained(void **state)
{
    (void)state;
    be_error err = {0};
    runner r;
    ASSERT_FAILS(FAILING(&r, "--fault", "exit"), BE_IO, "fake cpu, request run", "exited with 3",
                 "last words: fake: now exit");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--fault", "kill", "--at", "2"), BE_IO, "killed by signal 9 (Killed)",
                 "run out of memory");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--fault", "halfline"), BE_IO, "exited with 0");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--fault", "chatter", "--at", "2"), BE_IO, "exited with 1",
                 "line 4999 of a long log");
    assert_non_null(strstr(r.log, "line 4980 of"));
    assert_null(strstr(r.log, "line 4979 of"));
    runner_clear(&r);
}

static void a_broken_protocol_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    runner r;
    ASSERT_FAILS(FAILING(&r, "--fault", "rubbish"), BE_BAD_DATA, "one JSON object",
                 "'?[31mEpoch 1/10: loss 2.3'", "nothing else to its standard output");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--fault", "long"), BE_BAD_DATA,
                 "at most 16777216 bytes, found a longer line");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--fault", "babble"), BE_BAD_DATA, "nobody asked for",
                 "'and one more thing '");
    runner_clear(&r);
    ASSERT_FAILS(FAILING(&r, "--schema", "1"), BE_BAD_DATA, "expected \"schema\" to be 2, found 1");
    runner_clear(&r);
}

/* It waits for the next request then, and nothing more would come. */
static void answers_on_standard_output_are_noticed(void **state)
{
    (void)state;
    be_error err = {0};
    runner r;
    ASSERT_FAILS(START(&r, "--astray", "--schema", "1"), BE_BAD_DATA, "fake cpu, request hello",
                 "on standard output: it speaks version 1 of the protocol",
                 "BREAKEVEN_ANSWERS_FD since version 2 (docs/runner-protocol.md)");
    runner_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_answered),
        cmocka_unit_test(a_refusal_leaves_the_runner_usable),
        cmocka_unit_test(an_end_is_explained),
        cmocka_unit_test(a_broken_protocol_is_refused),
        cmocka_unit_test(answers_on_standard_output_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
