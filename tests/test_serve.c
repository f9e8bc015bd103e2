/* The page's own parts: what is taken of a request, who is let in, what is run, and in what order.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/api.h"
#include "serve/door.h"
#include "serve/markup.h"
#include "serve/panel.h"
#include "serve/queue.h"
#include "serve/socket.h"

/* Two devices of the native engine, one that is not usable, one of another engine. */
static json_t *machine(void)
{
    return json_pack("[{s:s,s:s,s:b},{s:s,s:s,s:b},{s:s,s:s,s:b},{s:s,s:s,s:b}]", "engine",
                     "native", "device", "cpu", "usable", 1, "engine", "native", "device",
                     "opencl:0", "usable", 1, "engine", "native", "device", "cuda", "usable", 0,
                     "engine", "torch", "device", "cuda:0", "usable", 1);
}

/* ---------------------------------------------------------------- settings */

static void each_setting_takes_what_it_may(void **state)
{
    json_t *devices = machine();
    settings s = settings_usual();
    be_error err = {0};
    char address[400];
    (void)state;
    const char *const good[][2] = {{"workload", "mlp-mnist"},  {"batch", "64"},
                                   {"epochs", "1000"},         {"rate", "1e-3"},
                                   {"precision", "bf16"},      {"device", "cpu"},
                                   {"device", "cpu,opencl:0"}, {"engine", "torch"},
                                   {"axis", "width"},          {"from", "2"},
                                   {"to", "1000000000000"},    {"seconds", "0.5"},
                                   {"limit", "100"},           {"synthetic", "1"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ASSERT_OK(settings_take(&s, devices, good[i][0], good[i][1], &err));
    settings_address(&s, address, sizeof address);
    assert_string_equal(address, "workload=mlp-mnist&batch=64&epochs=1000&rate=0.001&precision=bf16"
                                 "&device=cpu,opencl:0&engine=torch&axis=width&from=2&"
                                 "to=1000000000000&seconds=0.5&limit=100&synthetic=1");
    ASSERT_OK(settings_take(&s, devices, "batch", "", &err));
    assert_string_equal(s.value[SETTING_BATCH], "100");
    json_decref(devices);
}

static void nothing_else_gets_through(void **state)
{
    json_t *devices = machine();
    settings s = settings_usual();
    be_error err = {0};
    (void)state;
    const char *const bad[][3] = {
        {"workload", "/etc/passwd", "expected one of mlp-mnist, "},
        {"workload", "mymodel.py", "found \"mymodel.py\""},
        {"workload", "os:system", "expected one of"},
        {"batch", "0", "batch: expected a whole number from 1 to 65536, found \"0\""},
        {"batch", "1.5", "whole number"},
        {"batch", "0x10", "found \"0x10\""},
        {"batch", "64 --data=/", "expected a whole"},
        {"batch", "nan", "expected a whole"},
        {"rate", "inf", "expected a number from 1e-06 to 10"},
        {"rate", "-1", "expected a number"},
        {"device", "cpu --help", "device: expected one of cpu, opencl:0, cuda:0, found"},
        {"device", "cuda", "device: expected one of cpu, opencl:0, cuda:0, found \"cuda\""},
        {"workload", "resnet", "resnet18-cifar, resnet18, "},
        {"device", "null", "expected one of"},
        {"engine", "native,perl", "found \"perl\""},
        {"axis", "batch=1", "expected one of batch, steps"},
        {"synthetic", "yes", "synthetic: expected 1 or nothing, found \"yes\""},
        {"data", "/", "expected a setting of a study, found \"data\""},
        {"LD_PRELOAD", "x", "expected a setting"},
        {"<img onerror=x>\n", "x", "found \"<img onerror=x> \""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        settings before = s;
        ASSERT_FAILS(settings_take(&s, devices, bad[i][0], bad[i][1], &err), BE_USAGE, bad[i][2]);
        if (strcmp(bad[i][0], "engine") != 0) assert_memory_equal(&before, &s, sizeof s);
    }
    ASSERT_FAILS(settings_take(&s, NULL, "device", "cpu", &err), BE_UNAVAILABLE,
                 "still being asked for");
    json_decref(devices);
}

static void a_request_is_an_object_of_settings(void **state)
{
    static const char *const others[] = {"study", NULL};
    json_t *devices = machine();
    settings s = settings_usual();
    be_error err = {0};
    (void)state;
    json_t *good =
        json_pack("{s:s,s:s,s:i,s:f,s:[s,s],s:b,s:n}", "study", "try", "workload", "gpt2", "batch",
                  8, "rate", 0.5, "device", "cpu", "opencl:0", "synthetic", 1, "limit");
    ASSERT_OK(settings_read(&s, devices, good, others, &err));
    assert_string_equal(s.value[SETTING_DEVICE], "cpu,opencl:0");
    assert_string_equal(s.value[SETTING_SYNTHETIC], "1");
    json_t *bad = json_pack("{s:[i]}", "device", 1);
    ASSERT_FAILS(settings_read(&s, devices, bad, others, &err), BE_USAGE,
                 "device: expected a list of texts");
    ASSERT_FAILS(settings_read(&s, devices, devices, others, &err), BE_USAGE, "expected an object");
    json_decref(good);
    json_decref(bad);
    json_decref(devices);
}

static void a_command_is_made_of_settings_alone(void **state)
{
    command c;
    settings s = settings_usual();
    be_error err = {0};
    (void)state;
    ASSERT_OK(settings_take(&s, NULL, "limit", "50", &err));
    ASSERT_OK(settings_take(&s, NULL, "synthetic", "1", &err));
    settings_command(&s, "program", "train", ~0u & ~(1u << SETTING_AXIS), "cpu", &c);
    const char *const words[] = {
        "program",          "train",        "cnn-fashion", "--batch=100", "--epochs=3",
        "--precision=fp32", "--device=cpu", "--limit=50",  "--synthetic", "--events"};
    assert_int_equal(c.count, 10);
    for (int i = 0; i < 10; i++) assert_string_equal(c.word[i], words[i]);
    assert_null(c.word[10]);
}

/* ---------------------------------------------------------------- the door */

static door made(const char *listen, const char *token)
{
    door d;
    be_error err = {0};
    ASSERT_OK(door_make(&d, listen, token, &err));
    d.port = 7077;
    return d;
}

static void secrets_are_drawn_and_differ(void **state)
{
    door a = made(NULL, NULL), b = made(NULL, NULL);
    be_error err = {0};
    (void)state;
    assert_int_equal(strlen(a.token), 32);
    assert_int_equal(strlen(a.session), 32);
    assert_string_not_equal(a.token, b.token);
    assert_string_not_equal(a.token, a.session);
    assert_string_not_equal(a.token, a.once);
    ASSERT_FAILS(door_make(&a, "::", "short", &err), BE_USAGE,
                 "--token: expected 16 to 128 characters, found 5");
    ASSERT_FAILS(door_make(&a, "::", "0123456789 abcdefg", &err), BE_USAGE, "found ' ' in it");
}

static void a_token_lets_in_and_one_only_once(void **state)
{
    door d = made(NULL, NULL);
    char once[DOOR_SECRET_BYTES], longer[DOOR_TOKEN_BYTES + 1], header[200];
    (void)state;
    snprintf(once, sizeof once, "%s", d.once);
    snprintf(longer, sizeof longer, "%sx", d.token);
    assert_true(door_takes_token(&d, d.token));
    assert_true(door_takes_token(&d, d.token));
    assert_true(door_takes_token(&d, once));
    assert_false(door_takes_token(&d, once));
    assert_false(door_takes_token(&d, ""));
    assert_false(door_takes_token(&d, longer));
    snprintf(header, sizeof header, "a=b; breakeven-7077=%s; c=d", d.session);
    assert_true(door_has_cookie(&d, header));
    snprintf(header, sizeof header, "breakeven-7078=%s", d.session);
    assert_false(door_has_cookie(&d, header));
    snprintf(header, sizeof header, "breakeven-7077=%s", d.token);
    assert_false(door_has_cookie(&d, header));
    assert_false(door_has_cookie(&d, NULL));
    assert_false(door_has_cookie(&d, "breakeven-7077="));
    snprintf(header, sizeof header, "Bearer %s", d.token);
    assert_true(door_has_bearer(&d, header));
    assert_false(door_has_bearer(&d, "Bearer "));
    assert_false(door_has_bearer(&d, d.token));
}

static void only_our_own_names_are_hosts(void **state)
{
    static const char *const bad[] = {"127.0.0.1",      "evil.example:7077",
                                      "127.0.0.1:7078", "localhost.x:7077",
                                      "10.0.0.1:7077",  "[::1]",
                                      ":7077",          ""};
    door loopback = made(NULL, NULL), any = made("0.0.0.0", NULL), one = made("10.0.0.1", NULL);
    door six = made("fe80::1", NULL);
    (void)state;
    assert_true(door_is_our_host(&loopback, "127.0.0.1:7077"));
    assert_true(door_is_our_host(&loopback, "LocalHost:7077"));
    assert_true(door_is_our_host(&loopback, "[::1]:7077"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(door_is_our_host(&loopback, bad[i]));
    assert_false(door_is_our_host(&loopback, NULL));
    assert_true(door_is_our_host(&any, "10.9.8.7:7077"));
    assert_true(door_is_our_host(&any, "[fe80::1]:7077"));
    assert_false(door_is_our_host(&any, "evil.example:7077"));
    assert_true(door_is_our_host(&one, "10.0.0.1:7077"));
    assert_false(door_is_our_host(&one, "10.0.0.2:7077"));
    assert_true(door_is_our_host(&six, "[fe80::1]:7077"));
}

static void pages_of_others_are_told_from_ours(void **state)
{
    door d = made(NULL, NULL);
    const char *why;
    const char *host = "127.0.0.1:7077", *json = "application/json; charset=utf-8";
    const struct {
        door_headers headers;
        bool changes;
        const char *why; /* NULL: it may */
    } cases[] = {{{host, NULL, NULL, NULL, NULL, NULL}, false, NULL},
                 {{host, NULL, "none", NULL, NULL, NULL}, false, NULL},
                 {{host, "http://127.0.0.1:7077", "same-origin", NULL, NULL, json}, true, NULL},
                 {{host, NULL, NULL, NULL, NULL, "application/json"}, true, NULL},
                 {{"evil.example:7077", NULL, NULL, NULL, NULL, NULL}, false, "Host"},
                 {{host, "http://evil.example", NULL, NULL, NULL, json}, true, "Origin"},
                 {{host, "null", NULL, NULL, NULL, json}, true, "Origin"},
                 {{host, "https://127.0.0.1:7077", NULL, NULL, NULL, json}, true, "Origin"},
                 {{host, NULL, "cross-site", NULL, NULL, NULL}, false, "Sec-Fetch-Site"},
                 {{host, NULL, "same-site", NULL, NULL, NULL}, false, "Sec-Fetch-Site"},
                 {{host, NULL, "none", NULL, NULL, json}, true, "Sec-Fetch-Site"},
                 {{host, NULL, NULL, NULL, NULL, "text/plain"}, true, "Content-Type"},
                 {{host, NULL, NULL, NULL, NULL, "application/jsonp"}, true, "Content-Type"},
                 {{host, NULL, NULL, NULL, NULL, NULL}, true, "Content-Type"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool may = door_is_from_here(&d, &cases[i].headers, cases[i].changes, &why);
        assert_int_equal(may, cases[i].why == NULL);
        if (cases[i].why) assert_non_null(strstr(why, cases[i].why));
    }
}

/* ---------------------------------------------------------------- addresses and text */

static void numbers_of_addresses(void **state)
{
    (void)state;
    assert_int_equal(address_number("12"), 12);
    assert_int_equal(address_number("0"), 0);
    assert_int_equal(address_number("-1"), 0);
    assert_int_equal(address_number(" 1"), 0);
    assert_int_equal(address_number("1x"), 0);
    assert_int_equal(address_number("99999999999999999999"), 0);
    assert_int_equal(address_part("/runs/12/note", "/runs/", "/note"), 12);
    assert_int_equal(address_part("/runs//note", "/runs/", "/note"), 0);
    assert_int_equal(address_part("/runs/note", "/runs/", "/note"), 0);
    assert_int_equal(address_part("/runs/1/2/note", "/runs/", "/note"), 0);
    assert_int_equal(address_part("/runs/../1", "/runs/", ""), 0);
}

static void every_text_is_escaped(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    (void)state;
    markup_put(out, "<b title=\"%s\">%s %d %l %g%%</b>", "\"x\"", "<img onerror=a&b>", 1,
               INT64_C(2), 0.5);
    fclose(out);
    assert_string_equal(text,
                        "<b title=\"&quot;x&quot;\">&lt;img onerror=a&amp;b&gt; 1 2 0.5%</b>");
    free(text);
}

static void bad_addresses_and_ports(void **state)
{
    be_error err = {0};
    int port = 0, again, fd, second;
    char taken[40];
    (void)state;
    ASSERT_FAILS(socket_listen("example.com", &port, &fd, &err), BE_USAGE,
                 "--listen: expected an address");
    ASSERT_OK(socket_listen(NULL, &port, &fd, &err));
    assert_true(port > 0);
    again = port;
    snprintf(taken, sizeof taken, "expected port %d to be free", port);
    ASSERT_FAILS(socket_listen(NULL, &again, &second, &err), BE_UNAVAILABLE, taken);
    close(fd);
}

/* ---------------------------------------------------------------- the queue */

static char *folder;

/* A command that prints the lines of a file named as its first word, then ends with `code`. */
static const char *make_program(const char *body)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/program", folder);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out,
            "#!/bin/sh\nif [ $1 = devices ]; then\n"
            "echo '{\"engine\":\"native\",\"device\":\"cpu\",\"usable\":true}'\n"
            "echo '{\"engine\":\"native\",\"device\":\"opencl:0\",\"usable\":true}'\n"
            "exit 0\nfi\n%s",
            body);
    fclose(out);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static void work_until_ended(queue *q, int64_t id)
{
    const job *j = queue_find(q, id);
    while (j->state == JOB_WAITING || j->state == JOB_RUNNING) {
        struct pollfd fds[2];
        int64_t until_ns = 0;
        int count = queue_watch(q, fds, &until_ns);
        clock_wait_ready(fds, count, 1000000000);
        queue_work(q);
    }
}

static int64_t add(queue *q, job_kind kind, const char *device)
{
    settings s = settings_usual();
    int64_t id = 0;
    be_error err = {0};
    if (device) ASSERT_OK(settings_take(&s, q->machine, "device", device, &err));
    ASSERT_OK(queue_add(q, kind, &s, &id, &err));
    return id;
}

static queue opened(const char *body)
{
    queue q;
    be_error err = {0};
    ASSERT_OK(queue_open(&q, make_program(body), &err));
    work_until_ended(&q, 1);
    assert_int_equal(queue_find(&q, 1)->state, JOB_DONE);
    assert_int_equal(json_array_size(q.machine), 2);
    return q;
}

static void one_study_at_a_time(void **state)
{
    queue q = opened("until [ -e \"${0%/*}/go\" ]; do sleep 0.01; done\n"
                     "echo '{\"event\":\"result\",\"value\":[]}'\n");
    settings s = settings_usual();
    be_error err = {0};
    char go[300];
    int64_t first = add(&q, JOB_EXPLAIN, NULL), second = add(&q, JOB_EXPLAIN, NULL), more = 0;
    (void)state;
    assert_int_equal(queue_find(&q, first)->state, JOB_RUNNING);
    assert_int_equal(queue_find(&q, second)->state, JOB_WAITING);
    assert_int_equal(queue_ahead(&q, second), 1);
    while (queue_waiting(&q) < QUEUE_WAITING) add(&q, JOB_EXPLAIN, NULL);
    ASSERT_FAILS(queue_add(&q, JOB_EXPLAIN, &s, &more, &err), BE_UNAVAILABLE,
                 "8 studies wait already");
    ASSERT_OK(queue_stop(&q, q.last_id, &err));
    assert_int_equal(queue_find(&q, q.last_id)->state, JOB_STOPPED);
    ASSERT_FAILS(queue_stop(&q, q.last_id, &err), BE_USAGE, "has ended");
    ASSERT_FAILS(queue_stop(&q, 99, &err), BE_USAGE, "is none");
    snprintf(go, sizeof go, "%s/go", folder);
    fclose(fopen(go, "w"));
    work_until_ended(&q, second);
    assert_int_equal(queue_find(&q, second)->state, JOB_DONE);
    queue_close(&q);
    remove(go);
}

static void a_try_trains_on_each_device_and_then_measures(void **state)
{
    queue q = opened("if [ $1 = train ]; then for i in 1 2 3; do\n"
                     "echo '{\"event\":\"step\",\"epoch\":1,\"epochs\":2,\"step\":'$i',\"steps\":4,"
                     "\"loss\":1.5,\"accuracy\":null,\"units_per_s\":100,\"unit\":\"picture\","
                     "\"left_s\":2}'\ndone\nfi\n"
                     "echo 'no JSON'\necho '{\"event\":\"progress\",\"text\":\"<b>\"}'\n"
                     "echo '{\"event\":\"note\",\"text\":\"noted\"}'\n");
    int64_t id = add(&q, JOB_TRY, "cpu,opencl:0");
    char *html = NULL;
    size_t size = 0;
    (void)state;
    work_until_ended(&q, id);
    const job *j = queue_find(&q, id);
    assert_int_equal(j->state, JOB_DONE);
    assert_int_equal(j->count, 3);
    assert_string_equal(j->stages[0].device, "cpu");
    assert_string_equal(j->stages[1].device, "opencl:0");
    assert_string_equal(j->stages[2].verb, "bench");
    assert_int_equal(json_array_size(j->stages[1].curve), 3);
    assert_string_equal(j->note, "noted");
    FILE *out = open_memstream(&html, &size);
    panel_write(&q, id, out);
    fclose(out);
    assert_non_null(strstr(html, "steps done on opencl:0"));
    assert_null(strstr(html, "<b>"));
    free(html);
    json_t *whole = api_job(&q, j, true);
    assert_int_equal(json_array_size(json_object_get(whole, "stages")), 3);
    json_decref(whole);
    queue_close(&q);
}

static void a_failure_is_told_in_the_commands_words(void **state)
{
    queue q = opened("echo 'breakeven: first' >&2\necho 'breakeven: no memory left' >&2\nexit 5\n");
    int64_t id = add(&q, JOB_EXPLAIN, NULL);
    (void)state;
    work_until_ended(&q, id);
    assert_int_equal(queue_find(&q, id)->state, JOB_FAILED);
    assert_string_equal(queue_find(&q, id)->stages[0].fault, "no memory left");
    queue_close(&q);
}

static void a_stopped_study_saves_and_ends(void **state)
{
    queue q = opened("trap 'echo saved > \"$0.saved\"; exit 143' TERM\n"
                     "echo '{\"event\":\"progress\",\"text\":\"ready\"}'\n"
                     "while :; do sleep 0.02; done\n");
    int64_t id = add(&q, JOB_EXPLAIN, NULL);
    be_error err = {0};
    char saved[320];
    struct stat found;
    (void)state;
    const job *j = queue_find(&q, id);
    while (strcmp(j->line, "ready") != 0) {
        struct pollfd fds[2];
        int64_t until_ns = 0;
        clock_wait_ready(fds, queue_watch(&q, fds, &until_ns), 1000000000);
        queue_work(&q);
    }
    ASSERT_OK(queue_stop(&q, id, &err));
    work_until_ended(&q, id);
    assert_int_equal(j->state, JOB_STOPPED);
    snprintf(saved, sizeof saved, "%s/program.saved", folder);
    assert_int_equal(stat(saved, &found), 0);
    queue_close(&q);
}

static void a_curve_stays_short(void **state)
{
    queue q = opened("i=0\nwhile [ $i -lt 2000 ]; do i=$((i+1))\n"
                     "echo '{\"event\":\"step\",\"epoch\":1,\"epochs\":1,\"step\":'$i',\"steps\":"
                     "2000,\"loss\":1,\"accuracy\":1,\"units_per_s\":1,\"unit\":\"picture\","
                     "\"left_s\":1}'\ndone\n");
    int64_t id = add(&q, JOB_TRY, "cpu");
    (void)state;
    work_until_ended(&q, id);
    const stage *s = &queue_find(&q, id)->stages[0];
    size_t count = json_array_size(s->curve);
    assert_in_range(count, QUEUE_CURVE / 2, QUEUE_CURVE);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(s->curve, 0), 0)), 1);
    assert_true(json_integer_value(json_array_get(json_array_get(s->curve, count - 1), 0)) > 1990);
    queue_close(&q);
}

static void old_studies_are_forgotten(void **state)
{
    queue q = opened("");
    int64_t last = 0;
    (void)state;
    for (int i = 0; i < QUEUE_KEPT + 3; i++) {
        last = add(&q, JOB_EXPLAIN, NULL);
        work_until_ended(&q, last);
    }
    assert_int_equal(q.count, QUEUE_KEPT);
    assert_null(queue_find(&q, 2));
    assert_non_null(queue_find(&q, last));
    queue_close(&q);
}

static void a_program_that_is_not_there(void **state)
{
    queue q;
    be_error err = {0};
    (void)state;
    ASSERT_OK(queue_open(&q, "/no/such/program", &err));
    assert_int_equal(queue_find(&q, 1)->state, JOB_FAILED);
    assert_non_null(strstr(queue_find(&q, 1)->stages[0].fault, "/no/such/program"));
    queue_close(&q);
}

static void changes_are_checked(void **state)
{
    queue q = opened("");
    json_t *out = NULL;
    be_error err = {0};
    (void)state;
    const char *const bad[][3] = {
        {"/api/jobs", "{", "expected an object in JSON"},
        {"/api/jobs", "[]", "study: expected machine, try"},
        {"/api/jobs", "{\"study\":\"rm\"}", "study: expected machine, try"},
        {"/api/jobs", "{\"study\":\"try\",\"data\":\"/\"}", "found \"data\""},
        {"/api/jobs", "{\"study\":\"breakeven\",\"from\":8,\"to\":8}", "from, to: expected"},
        {"/api/jobs/77/stop", "{}", "is none"},
        {"/api/runs/1/note", "{}", "text: expected a note of 1 to 1000 bytes"},
        {"/api/other", "{}", "there is nothing to change"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ASSERT_FAILS(api_change(&q, bad[i][0], bad[i][1], strlen(bad[i][1]), &out, &err), BE_USAGE,
                     bad[i][2]);
        assert_null(out);
    }
    assert_int_equal(q.last_id, 1);
    queue_close(&q);
}

static int set_up(void **state)
{
    (void)state;
    folder = support_make_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    support_remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_setting_takes_what_it_may),
        cmocka_unit_test(nothing_else_gets_through),
        cmocka_unit_test(a_request_is_an_object_of_settings),
        cmocka_unit_test(a_command_is_made_of_settings_alone),
        cmocka_unit_test(secrets_are_drawn_and_differ),
        cmocka_unit_test(a_token_lets_in_and_one_only_once),
        cmocka_unit_test(only_our_own_names_are_hosts),
        cmocka_unit_test(pages_of_others_are_told_from_ours),
        cmocka_unit_test(numbers_of_addresses),
        cmocka_unit_test(every_text_is_escaped),
        cmocka_unit_test(bad_addresses_and_ports),
        cmocka_unit_test(one_study_at_a_time),
        cmocka_unit_test(a_try_trains_on_each_device_and_then_measures),
        cmocka_unit_test(a_failure_is_told_in_the_commands_words),
        cmocka_unit_test(a_stopped_study_saves_and_ends),
        cmocka_unit_test(a_curve_stays_short),
        cmocka_unit_test(old_studies_are_forgotten),
        cmocka_unit_test(a_program_that_is_not_there),
        cmocka_unit_test(changes_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
