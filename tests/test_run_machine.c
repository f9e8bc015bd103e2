/* Tests of the kept limits: what is read again, what is measured again, and what is not kept.  The
 * fake runner answers each request with another rate. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"
#include "run/machine.h"
#include "support.h"

static char *cache;

static int set_up(void **state)
{
    (void)state;
    cache = support_make_folder();
    setenv("XDG_CACHE_HOME", cache, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    support_remove_folder(cache);
    return 0;
}

static machine_source source;

/* Of "cpu" by the fake runner with these options, which end with NULL. */
static be_status ask_so(const char *const *options, const machine_options *how, limits *out,
                        be_error *err)
{
    fake f;
    engine native = {.name = "native"};
    fake_fill(&f, options);
    for (int i = 0; i < 7; i++) native.argv[i] = f.argv[i];
    return machine_limits(&native, "cpu", 2, how, out, err);
}

/* However busy the machine is: other tests run beside this one. */
static be_status ask(const char *const *options, bool refresh, limits *out, be_error *err)
{
    machine_options how = {.refresh = refresh, .source = &source, .busy_most = INFINITY};
    return ask_so(options, &how, out, err);
}

#define ASK(refresh, out, ...) ask((const char *[]){__VA_ARGS__, NULL}, (refresh), (out), &err)

static void what_was_measured_is_kept(void **state)
{
    (void)state;
    be_error err = {0};
    limits first, found;
    ASSERT_OK(ASK(false, &first, NULL));
    assert_false(source.cached);
    assert_string_equal(source.note, "");
    assert_int_equal(strncmp(source.path, cache, strlen(cache)), 0);
    assert_non_null(strstr(source.path, "/breakeven/machine/cpu-"));
    ASSERT_OK(ASK(false, &found, NULL));
    assert_true(source.cached);
    assert_true(found.flops_fp32 == first.flops_fp32);
    assert_int_equal(found.threads, 2);
    ASSERT_OK(ASK(true, &found, NULL));
    assert_false(source.cached);
    assert_true(found.flops_fp32 > first.flops_fp32);
    /* Another way to start the runner may give other speeds. */
    ASSERT_OK(ASK(false, &found, "--first", "0"));
    assert_false(source.cached);
}

static void damaged_and_foreign_files_are_measured_again(void **state)
{
    (void)state;
    static const char *const contents[] = {"", "{", "[]", "{\"schema\": 1}",
                                           "{\"schema\": 2, \"key\": {}, \"limits\": {}}"};
    be_error err = {0};
    limits found, last;
    ASSERT_OK(ASK(true, &last, NULL));
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        support_write_file(source.path, contents[i], strlen(contents[i]));
        ASSERT_OK(ASK(false, &found, NULL));
        assert_false(source.cached);
        assert_true(found.flops_fp32 > last.flops_fp32);
        last = found;
    }
    /* Whole, but of another machine. */
    json_t *file = json_load_file(source.path, 0, NULL);
    json_object_set_new(json_object_get(file, "key"), "machine", json_string("another"));
    assert_int_equal(json_dump_file(file, source.path, 0), 0);
    json_decref(file);
    ASSERT_OK(ASK(false, &found, NULL));
    assert_false(source.cached);
    ASSERT_OK(ASK(false, &found, NULL));
    assert_true(source.cached);
}

static void a_week_is_the_end(void **state)
{
    (void)state;
    be_error err = {0};
    limits found;
    const char *const ages[] = {"604700", "604900", "-1000"}; /* the last: from the future */
    for (int i = 0; i < 3; i++) {
        ASSERT_OK(ASK(true, &found, "--age", ages[i]));
        ASSERT_OK(ASK(false, &found, "--age", ages[i]));
        assert_int_equal(source.cached, i == 0);
    }
}

static void what_was_not_believed_is_not_kept(void **state)
{
    (void)state;
    be_error err = {0};
    limits found;
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(ASK(false, &found, "--unknown"));
        assert_false(source.cached);
        assert_true(isnan(found.flops_fp32) && found.launch_s == 1e-6);
        assert_non_null(strstr(source.note, "none was kept"));
    }
}

static void what_was_measured_beside_other_programs_is_not_kept(void **state)
{
    (void)state;
    be_error err = {0};
    limits found;
    machine_options how = {.refresh = true, .source = &source, .busy_most = 0.001, .seconds = 0.3};
    pid_t other = fork();
    if (other == 0) alarm(10); /* should this test end early */
    while (other == 0) {
    }
    ASSERT_OK(ask_so((const char *[]){"--age", "7", NULL}, &how, &found, &err));
    assert_non_null(strstr(source.note, "cpu: others used "));
    assert_non_null(strstr(source.note, " % of the processors meanwhile"));
    how.refresh = false;
    how.busy_most = INFINITY;
    ASSERT_OK(ask_so((const char *[]){"--age", "7", NULL}, &how, &found, &err));
    assert_false(source.cached);
    assert_string_equal(source.note, "");
    ASSERT_OK(ask_so((const char *[]){"--age", "7", NULL}, &how, &found, &err));
    assert_true(source.cached);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}

static void a_folder_that_cannot_be_written_is_a_note(void **state)
{
    (void)state;
    be_error err = {0};
    limits found;
    char path[4096];
    support_write_file(support_path(path, sizeof path, cache, "file"), "x", 1);
    setenv("XDG_CACHE_HOME", path, 1);
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(ASK(false, &found, NULL));
        assert_false(source.cached);
        assert_true(found.flops_fp32 > 0);
        assert_non_null(strstr(source.note, "cpu: the limits could not be kept"));
    }
    setenv("XDG_CACHE_HOME", cache, 1);
}

static void faults_are_told(void **state)
{
    (void)state;
    be_error err = {0};
    limits found;
    ASSERT_FAILS(ASK(true, &found, "--refuse", "UNAVAILABLE:measure"), BE_UNAVAILABLE,
                 "native: measure: expected mercy");
    assert_true(isnan(found.flops_fp32));
    ASSERT_FAILS(ASK(true, &found, "--limits-of", "cuda:0"), BE_BAD_DATA,
                 "expected those of cpu, found those of cuda:0");
    fake f;
    engine native = {.name = "native"};
    fake_fill(&f, (const char *[]){NULL});
    for (int i = 0; i < 7; i++) native.argv[i] = f.argv[i];
    ASSERT_FAILS(machine_limits(&native, "opencl:7", 1, &(machine_options){0}, &found, &err),
                 BE_UNAVAILABLE, "opencl:7", "'breakeven devices' lists");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_measured_is_kept),
        cmocka_unit_test(damaged_and_foreign_files_are_measured_again),
        cmocka_unit_test(a_week_is_the_end),
        cmocka_unit_test(what_was_not_believed_is_not_kept),
        cmocka_unit_test(what_was_measured_beside_other_programs_is_not_kept),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_a_note),
        cmocka_unit_test(faults_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
