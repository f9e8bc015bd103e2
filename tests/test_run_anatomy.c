/* Tests of points of calibration: which are kept in a file, and when they are measured again.  The
 * fake runner answers each request with another point. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "fake.h"
#include "run/anatomy.h"
#include "run/machine.h"
#include "support.h"

static char *folder, path[4096];
static json_t *phases;

static int set_up(void **state)
{
    (void)state;
    folder = support_make_folder();
    support_path(path, sizeof path, folder, "points.json");
    phases = json_loads(
        "{\"ok\": true, \"steps\": 1, \"wall_ns\": 10, \"phases\": {\"data\": 1, \"upload\": 0, "
        "\"forward\": 5, \"backward\": 3, \"optimizer\": 1, \"loss_read\": 0, \"idle_host\": null, "
        "\"idle_other\": 0}, \"launches\": 1, \"synchronisations\": 1, \"upload_bytes\": 0, "
        "\"download_bytes\": null, \"work\": {}, \"ops\": [{\"op\": \"nap\", \"name\": \"\", "
        "\"phase\": \"forward\", \"implementation\": \"sleep\", \"launches\": 1, \"ns\": 4, "
        "\"flops\": null, \"bytes\": null}]}",
        0, NULL);
    assert_non_null(phases);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(phases);
    support_remove_folder(folder);
    return 0;
}

/* The time of the one point that the anatomy has, taken for that many seconds and kept there. */
static double point(const char *kept, double seconds)
{
    fake f;
    be_error err = {0};
    anatomy found;
    conductor_contender contender = {.engine = "fake", .argv = FAKE(&f, "--engine", "fake")};
    contender.job = (protocol_job){.device = "cpu",
                                   .threads = 1,
                                   .workload = "cnn-fashion",
                                   .batch = 8,
                                   .precision = "fp32",
                                   .data_on = "device",
                                   .mode = "train",
                                   .seed = 1,
                                   .data = "",
                                   .weights = ""};
    anatomy_options options = {
        .phases = phases, .calibrate_s = seconds, .kept = kept, .calibrate = true};
    ASSERT_OK(anatomy_take(&contender, &options, &found, &err));
    assert_int_equal(found.op_count, 1);
    assert_int_equal(found.point_count, 1);
    double measured = found.points[0].seconds;
    anatomy_clear(&found);
    return measured;
}

/* Changes a member of the file. */
static void change(const char *member, json_t *value)
{
    json_t *file = json_load_file(path, 0, NULL);
    assert_non_null(file);
    json_object_set_new(file, member, value);
    assert_int_equal(json_dump_file(file, path, 0), 0);
    json_decref(file);
}

static void points_are_kept_where_a_file_is_named(void **state)
{
    (void)state;
    double first = point(path, 2);
    assert_true(point(path, 2) == first);
    assert_true(point(path, 1) == first);
    double longer = point(path, 3); /* taken in less time, they are fewer */
    assert_true(longer > first);
    assert_true(point(path, 2) == longer);
    assert_true(point("", 2) > longer);
    assert_true(point(NULL, 2) > longer);
    assert_true(point(path, 2) == longer);
}

static void what_is_old_or_damaged_is_measured_again(void **state)
{
    (void)state;
    json_int_t now = (json_int_t)time(NULL);
    double last = point(path, 2);
    change("unix_s", json_integer(now - MACHINE_EXPIRY_S + 60));
    assert_true(point(path, 2) == last);
    const struct {
        const char *member;
        json_t *value;
    } bad[] = {{"unix_s", json_integer(now - MACHINE_EXPIRY_S - 60)},
               {"unix_s", json_integer(now + 1000)},
               {"schema", json_integer(ANATOMY_SCHEMA + 1)},
               {"points", json_array()}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        change(bad[i].member, bad[i].value);
        double found = point(path, 2);
        assert_true(found > last);
        assert_true(point(path, 2) == found);
        last = found;
    }
    support_write_file(path, "{\"sch", 5);
    assert_true(point(path, 2) > last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_kept_where_a_file_is_named),
        cmocka_unit_test(what_is_old_or_damaged_is_measured_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
