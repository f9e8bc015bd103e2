/* Tests of child processes: lines, deadlines, the end and its reasons, memory, processor time. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "fake_clock.h"
#include "run/child.h"
#include "support.h"

/* A shell whose standard output is where its answers go. */
static child *started(const char *script, const char *const *env, size_t line_max)
{
    be_error err = {0};
    child *c = NULL;
    char whole[400];
    snprintf(whole, sizeof whole, "exec >&$BREAKEVEN_ANSWERS_FD 3>&-; %s", script);
    const char *argv[] = {"sh", "-c", whole, NULL};
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
    assert_true(arrived_ns > 0 && arrived_ns <= clock_now_ns());
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
    be_status status = BE_OK; /* until it is there: the two lines are two writes */
    for (int64_t end_ns = in_s(60); status == BE_OK && clock_now_ns() < end_ns;)
        status = child_expect_silence(c, &err);
    ASSERT_FAILS(status, BE_BAD_DATA, "nobody asked for: 'b '");
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
    const char *env[] = {"CHILD_BOTH=new", "CHILD_NEW=1", NULL},
               *argv[] = {"sh", "-c", "env >&3", NULL};
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
    c = started("trap '' TERM INT; sleep 60 & wait; wait", NULL, 100);
    fake_clock clock = {0};
    fake_clock_use(&clock);
    assert_int_equal(child_stop(c, 5, ending, sizeof ending, NULL), -SIGKILL);
    fake_clock_end();
    assert_string_equal(ending, "was killed because it did not end");
    assert_true(clock.now_ns >= 5000000000);
}

/* Wait until it has written to its log, which takes real time. */
static void await_words(child *c)
{
    char words[100];
    while (!*child_log(c, words, sizeof words)) clock_sleep_ns(1000000);
}

/* An hour passes in no time: whoever has not answered by then hangs, however busy the machine. */
static void silence_ends_at_the_deadline(void **state)
{
    (void)state;
    const char *line;
    size_t length, big = 3000000;
    char *text = calloc(1, big);
    const char *const ways[] = {"echo now it hangs >&2; sleep 60",
                                "echo now it hangs >&2; kill -STOP $$"};
    for (int i = 0; i < 4; i++) {
        be_error err = {0};
        fake_clock clock = {0};
        child *c = started(ways[i % 2], NULL, 100);
        await_words(c);
        fake_clock_use(&clock);
        be_status status = i < 2 ? child_read_line(c, &line, &length, NULL, in_s(3600), &err)
                                 : child_send(c, text, big, in_s(3600), &err);
        fake_clock_end();
        ASSERT_FAILS(status, BE_FAILED, "within 3.6e+03 s", "hung and was killed", "now it hangs");
        assert_true(clock.now_ns >= 3600000000000);
        child_stop(c, 0, NULL, 0, NULL);
    }
    free(text);
}

static void a_closed_output_is_the_end(void **state)
{
    (void)state;
    be_error err = {0};
    fake_clock clock = {0};
    const char *line;
    size_t length;
    child *c = started("exec >&-; echo closed >&2; sleep 60", NULL, 100);
    await_words(c);
    fake_clock_use(&clock);
    be_status status = child_read_line(c, &line, &length, NULL, in_s(3600), &err);
    fake_clock_end();
    ASSERT_FAILS(status, BE_IO, "was killed because it did not end", "closed");
    assert_true(clock.now_ns < 10000000000);
    child_stop(c, 0, NULL, 0, NULL);
}

/* The flag is set while it waits: by the clock, which is asked to wait. */
static volatile sig_atomic_t interrupted;

static int64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static void interrupt(void *context, int64_t ns)
{
    (void)context, (void)ns;
    interrupted = SIGINT;
}

static void an_interruption_ends_a_wait(void **state)
{
    (void)state;
    be_error err = {0};
    child *c = NULL;
    const char *argv[] = {"sleep", "60", NULL}, *line;
    size_t length;
    clock_source source = {.now_ns = no_time, .unix_s = no_time, .sleep_ns = interrupt};
    child_options options = {.argv = argv, .line_max = 100, .interrupted = &interrupted};
    ASSERT_OK(child_start(&c, &options, &err));
    clock_use(&source);
    be_status status = child_read_line(c, &line, &length, NULL, INT64_MAX, &err);
    clock_use(NULL);
    ASSERT_FAILS(status, BE_INTERRUPTED, "stopped by a signal");
    child_stop(c, 0, NULL, 0, NULL);
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
        for (int i = 0; i < 6000 && !gone; i++) {
            char path[64], word[64] = "";
            snprintf(path, sizeof path, "/proc/%d/stat", pid);
            FILE *file = fopen(path, "r");
            gone = !file || (fscanf(file, "%*d %*s %63s", word) == 1 && word[0] == 'Z');
            if (file) fclose(file);
            if (!gone) clock_sleep_ns(10000000);
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

/* What is printed, to either stream and however much, is the log, and nobody waits for a reader. */
static void what_is_printed_is_no_answer(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    char log[4096];
    size_t length;
    static const char script[] = "exec 4>&3 3>&-; yes printed | head -c 1000000 >&1; "
                                 "yes logged | head -c 1000000 >&2; echo answer >&4; read x; "
                                 "yes later | head -c 1000000; exit 7";
    const char *argv[] = {"sh", "-c", script, NULL};
    child *c = NULL;
    ASSERT_OK(child_start(&c, &(child_options){.argv = argv, .line_max = 100}, &err));
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(60), &err));
    assert_string_equal(line, "answer");
    ASSERT_OK(child_expect_silence(c, &err));
    assert_non_null(strstr(child_log(c, log, sizeof log), "logged"));
    assert_int_equal(child_stop(c, 60, NULL, 0, NULL), 7);
}

/* Without an end: a deadline is met all the same. */
static void a_flood_holds_no_deadline_up(void **state)
{
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    child *c = started("while :; do echo flood >&2; done", NULL, 100);
    ASSERT_FAILS(child_read_line(c, &line, &length, NULL, in_s(0.3), &err), BE_FAILED,
                 "last words: flood");
    child_stop(c, 0, NULL, 0, NULL);
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
    double settled_s = child_settle(c, 60); /* it waits for a line */
    assert_true(settled_s > 0);
    assert_true(child_cpu_ns(c) >= before_ns);
    int64_t peak_bytes = 0;
    child_stop(c, 5, NULL, 0, &peak_bytes);
    assert_true(peak_bytes > 100000);
}

/* One that only starts another has the time of that one too. */
static void the_time_of_a_group_is_that_of_all(void **state)
{
#ifndef __linux__
    skip();
#endif
    (void)state;
    be_error err = {0};
    const char *line;
    size_t length;
    child *c = started("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read x; :'",
                       NULL, 100);
    ASSERT_OK(child_read_line(c, &line, &length, NULL, in_s(60), &err));
    assert_true(child_group_cpu_ns(c) > child_cpu_ns(c) + 10000000);
    child_stop(c, 0, NULL, 0, NULL);
}

static void one_that_spins_does_not_settle(void **state)
{
    (void)state;
    child *c = started("ulimit -t 20; while :; do :; done", NULL, 100);
    double settled_s = child_settle(c, 0.02);
    assert_true(settled_s < -0.015);
    child_stop(c, 0, NULL, 0, NULL);
}

static void failing_allocations_leave_nothing(void **state)
{
    (void)state;
    be_error err = {0};
    for (size_t n = 1; n < 4; n++) {
        child *c = NULL;
        const char *argv[] = {"sh", "-c", "echo x >&3", NULL}, *line;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_one_by_one),
        cmocka_unit_test(what_is_sent_arrives),
        cmocka_unit_test(a_longer_line_than_allowed_is_refused),
        cmocka_unit_test(silence_is_checked),
        cmocka_unit_test(the_environment_is_laid_over_ours),
        cmocka_unit_test(the_end_has_its_reason),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(a_closed_output_is_the_end),
        cmocka_unit_test(an_interruption_ends_a_wait),
        cmocka_unit_test(nothing_of_a_child_is_left),
        cmocka_unit_test(the_log_keeps_its_last_lines),
        cmocka_unit_test(what_is_printed_is_no_answer),
        cmocka_unit_test(a_flood_holds_no_deadline_up),
        cmocka_unit_test(memory_and_processor_time_are_read),
        cmocka_unit_test(the_time_of_a_group_is_that_of_all),
        cmocka_unit_test(one_that_spins_does_not_settle),
        cmocka_unit_test(failing_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
