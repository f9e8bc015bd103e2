/* Tests of child processes: lines, deadlines, the end and its reasons, memory, processor time. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "fake.h"
#include "run/child.h"
#include "run/runner.h"
#include "support.h"

static child *started(const char *script, const char *const *env, size_t line_max)
{
    be_error err = {0};
    child *c = NULL;
    const char *argv[] = {"sh", "-c", script, NULL};
    ASSERT_OK(
        child_start(&c, &(child_options){.argv = argv, .env = env, .line_max = line_max}, &err));
    return c;
}

static int64_t in_s(double seconds)
{
    return clock_now_ns() + (int64_t)(seconds * 1e9);
}

static void lines_come_one_by_one(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    int64_t arrived_ns = 0;
    child *c = started("echo one; printf 'two\\n\\nlong'; sleep 0.1; echo er", NULL, 100);
    const char *wanted[] = {"one", "two", "", "longer"};
    for (int i = 0; i < 4; i++) {
        ASSERT_OK(child_read_line(c, &line, &length, &arrived_ns, in_s(10), &err));
        assert_string_equal(line, wanted[i]);
        assert_int_equal(length, strlen(wanted[i]));
    }
    assert_true(clock_now_ns() - arrived_ns < 1000000000);
    ASSERT_FAILS(child_read_line(c, &line, &length, NULL, in_s(10), &err), BE_IO, "exited with 0",
                 "last words: none");
    assert_int_equal(child_stop(c, 1, NULL, 0, NULL), 0);
}

static void what_is_sent_arrives(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length, big = 3000000;
    char *text = malloc(big + 1);
    memset(text, 'x', big);
    text[big] = '\n';
    child *c = started("head -c 3000001 | wc -c", NULL, 100);
    ASSERT_OK(child_send(c, text, big + 1, in_s(20), &err));
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(20), &err));
    assert_int_equal(atoi(line), 3000001);
    child_stop(c, 1, NULL, 0, NULL);
    c = started("sleep 30", NULL, 100);
    ASSERT_FAILS(child_send(c, text, big, in_s(0.3), &err), BE_FAILED, "within 0.3 s", "hung");
    child_stop(c, 0, NULL, 0, NULL);
    c = started("exec <&-; exit 4", NULL, 100);
    ASSERT_FAILS(child_send(c, text, big, in_s(10), &err), BE_IO, "exited with 4");
    child_stop(c, 0, NULL, 0, NULL);
    free(text);
}

static void a_longer_line_than_allowed_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    child *c = started("echo 1234567890; echo 12345678901; sleep 30", NULL, 10);
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(10), &err));
    ASSERT_FAILS(child_read_line(c, &line, &length, NULL, in_s(10), &err), BE_BAD_DATA,
                 "at most 10 bytes");
    child_stop(c, 0, NULL, 0, NULL);
}

static void silence_is_checked(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    child *c = started("read x; echo a; echo b; read y", NULL, 100);
    ASSERT_OK(child_expect_silence(c, &err));
    ASSERT_OK(child_send(c, "\n", 1, in_s(10), &err));
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(10), &err));
    usleep(100000);
    ASSERT_FAILS(child_expect_silence(c, &err), BE_BAD_DATA, "nobody asked for: 'b '");
    child_stop(c, 0, NULL, 0, NULL);
}

static void the_environment_is_laid_over_ours(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    setenv("CHILD_OURS", "ours", 1);
    setenv("CHILD_BOTH", "ours", 1);
    const char *env[] = {"CHILD_BOTH=new", "CHILD_NEW=1", NULL}, *argv[] = {"env", NULL};
    child *c = NULL;
    int ours = 0, both = 0, added = 0, all = 0;
    ASSERT_OK(
        child_start(&c, &(child_options){.argv = argv, .env = env, .line_max = 100000}, &err));
    while (child_read_line(c, &line, &length, NULL, in_s(10), &err) == BE_OK) {
        all += !strncmp(line, "CHILD_", 6);
        ours += !strcmp(line, "CHILD_OURS=ours");
        both += !strcmp(line, "CHILD_BOTH=new");
        added += !strcmp(line, "CHILD_NEW=1");
    }
    assert_true(ours == 1 && both == 1 && added == 1 && all == 3);
    child_stop(c, 1, NULL, 0, NULL);
}

static void the_end_has_its_reason(void **state)
{
    (void)state;
    char ending[200];
    child *c = started("exit 7", NULL, 100);
    assert_int_equal(child_stop(c, 5, ending, sizeof ending, NULL), 7);
    assert_string_equal(ending, "exited with 7");
    c = started("kill -SEGV $$", NULL, 100);
    assert_int_equal(child_stop(c, 5, ending, sizeof ending, NULL), -SIGSEGV);
    assert_non_null(strstr(ending, "killed by signal 11 (Segmentation fault); this is a bug of"));
    c = started("kill -ILL $$", NULL, 100);
    child_stop(c, 5, ending, sizeof ending, NULL);
    assert_non_null(strstr(ending, "another processor"));
    int64_t start_ns = clock_now_ns();
    c = started("trap '' TERM INT; sleep 60 & wait; wait", NULL, 100);
    assert_int_equal(child_stop(c, 0.1, ending, sizeof ending, NULL), -SIGKILL);
    assert_string_equal(ending, "was killed because it did not end");
    assert_true(clock_now_ns() - start_ns < 5000000000);
}

/* A kill reaches the whole group: the sleep below would live on with its parent's pipes. */
static void nothing_of_a_child_is_left(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    for (int natural = 0; natural < 2; natural++) {
        child *c = started(natural ? "sleep 60 & echo $!" : "sleep 60 & echo $!; wait", NULL, 100);
        ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(10), &err));
        pid_t pid = atoi(line);
        assert_true(pid > 1);
        child_stop(c, natural ? 5 : 0, NULL, 0, NULL);
        int gone = 0;
        for (int i = 0; i < 500 && !gone; i++) {
            char path[64], word[64] = "";
            snprintf(path, sizeof path, "/proc/%d/stat", pid);
            FILE *file = fopen(path, "r");
            gone = !file || (fscanf(file, "%*d %*s %63s", word) == 1 && word[0] == 'Z');
            if (file) fclose(file);
            if (!gone) usleep(10000);
        }
        assert_true(gone);
    }
}

static void the_log_keeps_its_last_lines(void **state)
{
    (void)state;
    char log[4096];
    child *c =
        started("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i\" >&2; done", NULL, 100);
    be_error err = {0};
    const char *line;
    size_t length;
    ASSERT_FAILS(child_read_line(c, &line, &length, NULL, in_s(20), &err), BE_IO, "line 3000");
    child_log(c, log, sizeof log);
    assert_int_equal(strncmp(log, "line 2981\nline 2982\n", 20), 0);
    assert_string_equal(log + strlen(log) - 9, "line 3000");
    child_log(c, log, 12);
    assert_string_equal(log, "9\nline 3000");
    child_stop(c, 1, NULL, 0, NULL);
}

static void memory_and_processor_time_are_read(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    child *c =
        started("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read x", NULL, 100);
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(60), &err));
#ifdef __linux__
    assert_true(child_peak_rss_bytes(c) > 100000 && child_peak_rss_bytes(c) < 100000000);
#endif
    assert_true(child_cpu_ns(c) > 10000000);
    int64_t before_ns = child_cpu_ns(c);
    double settled_s = child_settle(c, 5);
    assert_true(settled_s > 0 && settled_s < 5);
    usleep(200000);
    assert_true(child_cpu_ns(c) - before_ns < 20000000);
    int64_t peak_bytes = 0;
    child_stop(c, 5, NULL, 0, &peak_bytes);
    assert_true(peak_bytes > 100000);
}

static void one_that_spins_does_not_settle(void **state)
{
    (void)state;
    child *c = started("ulimit -t 20; while :; do :; done", NULL, 100);
    double settled_s = child_settle(c, 0.02);
    assert_true(settled_s < -0.015 && settled_s > -1);
    child_stop(c, 0, NULL, 0, NULL);
}

static void failing_allocations_leave_nothing(void **state)
{
    (void)state;
    be_error err = {0};
    for (size_t n = 1; n < 4; n++) {
        child *c = NULL;
        const char *argv[] = {"sh", "-c", "echo x", NULL}, *line;
        size_t length;
        memory_fail_at(n);
        be_status status = child_start(&c, &(child_options){.argv = argv, .line_max = 100}, &err);
        assert_int_equal(status, n < 3 ? BE_NO_MEMORY : BE_OK);
        if (n == 3) {
            assert_int_equal(child_read_line(c, &line, &length, NULL, in_s(10), &err),
                             BE_NO_MEMORY);
            child_stop(c, 0, NULL, 0, NULL);
        }
        memory_fail_at(0);
    }
}

/* The other requests of the protocol, and a runner that will not go. */
static void a_runner_answers_all_requests(void **state)
{
    (void)state;
    be_error err = {0};
    fake f;
    runner r;
    protocol_answer a;
    char *folder = support_make_folder(), path[4096];
    protocol_job job = {.workload = "cnn-mnist",
                        .device = "cpu",
                        .precision = "fp32",
                        .mode = "infer",
                        .threads = 2,
                        .batch = 8,
                        .seed = 1};
    support_path(path, sizeof path, folder, "out");
    ASSERT_OK(runner_start(
        &r, &(runner_options){.name = "fake cpu", .start_limit_s = 20, .argv = FAKE(&f, "--deaf")},
        &err));
    ASSERT_OK(runner_prepare(&r, &job, 10, &err));
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
        ASSERT_OK(runner_call(&r, &calls[i], 10, &a, &outside_ns, &err));
        assert_true(outside_ns > 0);
        if (calls[i].request == PROTOCOL_EVALUATE) assert_int_equal(a.correct, 900);
        protocol_answer_clear(&a);
    }
    assert_int_equal(access(path, F_OK), 0);
    runner_stop(&r);
    assert_string_equal(r.ending, "was killed because it did not end");
    ASSERT_FAILS(runner_call(&r, &calls[0], 1, &a, NULL, &err), BE_FAILED,
                 "fake cpu: expected a runner that answers");
    runner_clear(&r);
    support_remove_folder(folder);
}

static void a_refusal_leaves_the_runner_usable(void **state)
{
    (void)state;
    be_error err = {0};
    fake f;
    runner r;
    protocol_answer a;
    ASSERT_OK(runner_start(&r,
                           &(runner_options){.name = "fake",
                                             .start_limit_s = 20,
                                             .argv = FAKE(&f, "--refuse", "BAD_DATA:sync")},
                           &err));
    for (int i = 0; i < 2; i++)
        ASSERT_FAILS(
            runner_call(&r, &(protocol_call){.request = PROTOCOL_SYNC}, 10, &a, NULL, &err),
            BE_BAD_DATA, "fake, request sync: sync: expected mercy");
    ASSERT_OK(runner_call(&r, &(protocol_call){.request = PROTOCOL_PHASES, .steps = 1}, 10, &a,
                          NULL, &err));
    protocol_answer_clear(&a);
    runner_clear(&r);
    assert_string_equal(r.ending, "exited with 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_one_by_one),
        cmocka_unit_test(what_is_sent_arrives),
        cmocka_unit_test(a_longer_line_than_allowed_is_refused),
        cmocka_unit_test(silence_is_checked),
        cmocka_unit_test(the_environment_is_laid_over_ours),
        cmocka_unit_test(the_end_has_its_reason),
        cmocka_unit_test(nothing_of_a_child_is_left),
        cmocka_unit_test(the_log_keeps_its_last_lines),
        cmocka_unit_test(memory_and_processor_time_are_read),
        cmocka_unit_test(one_that_spins_does_not_settle),
        cmocka_unit_test(failing_allocations_leave_nothing),
        cmocka_unit_test(a_runner_answers_all_requests),
        cmocka_unit_test(a_refusal_leaves_the_runner_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
