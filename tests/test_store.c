/* Tests of the store: what is kept and read again, what an import takes, what a command keeps. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "store/import.h"
#include "store/keeper.h"

/* The numbers of the runs that a filter takes, the newest first: "3 1". */
static const char *listed(store *s, store_filter filter, int64_t *left)
{
    static char text[200];
    be_error err = {0};
    json_t *runs = json_array();
    text[0] = 0;
    ASSERT_OK(store_list(s, &filter, runs, left, &err));
    for (size_t i = 0; i < json_array_size(runs); i++) {
        char number[40];
        snprintf(number, sizeof number, "%s%.0f", i ? " " : "",
                 json_real_at(json_array_get(runs, i), "run"));
        strncat(text, number, sizeof text - strlen(text) - 1);
    }
    json_decref(runs);
    return text;
}

/* ---------------------------------------------------------------- what is kept */

static void a_store_is_made_by_the_first_who_writes(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    int64_t left = 7;
    ASSERT_OK(store_open_to_read(&s, w->path, &err));
    assert_string_equal(listed(s, (store_filter){ALL}, &left), "");
    assert_int_equal(left, 0);
    ASSERT_FAILS(store_check_run(s, 3, &err), BE_USAGE, w->path, "number 3", "breakeven runs");
    store_close(s);
    assert_int_not_equal(access(w->path, F_OK), 0);
    ASSERT_OK(store_open(&s, w->path, &err));
    store_close(s);
    assert_int_equal(access(w->path, F_OK), 0);
}

static void records_come_back_as_they_were(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    int64_t id = 0;
    json_t *record = plant_record("cnn-fashion", "cpu", 1.0 / 3);
    ASSERT_OK(store_open(&s, w->path, &err));
    int64_t run = plant_run(s, "bench", 1000);
    ASSERT_OK(store_add_record(s, run, record, &id, &err));
    assert_true(id > 0);
    /* The same one again is no second one, in another run neither. */
    int64_t again = 9, other = plant_run(s, "bench", 2000);
    ASSERT_OK(store_add_record(s, other, record, &again, &err));
    assert_int_equal(again, 0);
    json_object_set_new(record, "cause", json_string("what the study found"));
    ASSERT_OK(store_complete_record(s, id, record, &err));
    store_close(s);
    ASSERT_OK(store_open_to_read(&s, w->path, &err));
    json_t *lines = lines_of(s, run);
    char *line = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(9));
    assert_int_equal(json_array_size(lines), 1);
    assert_string_equal(json_string_value(json_array_get(lines, 0)), line);
    assert_int_equal(count_lines(s, other), 0);
    free(line);
    json_decref(lines);
    json_decref(record);
    store_close(s);
}

static void runs_are_found_by_what_they_are(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    int64_t left = 0;
    ASSERT_OK(store_open(&s, w->path, &err));
    for (int i = 1; i <= 3; i++) {
        int64_t run = plant_run(s, "bench", i * 1000);
        put_record(s, run, i == 2 ? "mlp-mnist" : "cnn-fashion", i);
    }
    assert_string_equal(listed(s, (store_filter){ALL}, &left), "3 2 1");
    assert_string_equal(listed(s, (store_filter){ALL, .limit = 2}, &left), "3 2");
    assert_int_equal(left, 1);
    assert_string_equal(listed(s, (store_filter){ALL, .workload = "mlp-mnist"}, &left), "2");
    assert_string_equal(listed(s, (store_filter){ALL, .engine = "torch"}, &left), "");
    assert_string_equal(listed(s, (store_filter){ALL, .device = "cuda"}, &left), "3 2 1");
    assert_string_equal(listed(s, (store_filter){ALL, .device = "cuda:0"}, &left), "3 2 1");
    assert_string_equal(listed(s, (store_filter){ALL, .device = "cuda:1"}, &left), "");
    assert_string_equal(listed(s, (store_filter){ALL, .machine = "a proc"}, &left), "3 2 1");
    assert_string_equal(listed(s, (store_filter){ALL, .machine = "xeon"}, &left), "");
    assert_string_equal(listed(s, (store_filter){ALL, .commit = "abc"}, &left), "3 2 1");
    assert_string_equal(listed(s, (store_filter){ALL, .commit = "bc1"}, &left), "");
    assert_string_equal(listed(s, (store_filter){.since_s = 2000, .until_s = -1}, &left), "3 2");
    assert_string_equal(listed(s, (store_filter){.since_s = -1, .until_s = 2000}, &left), "1");
    store_close(s);
}

static void notes_stand_beside_a_run_until_it_goes(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    json_t *notes = json_array();
    ASSERT_OK(store_open(&s, w->path, &err));
    int64_t run = plant_run(s, "bench", 1000);
    int64_t kept = plant_run(s, "bench", 1000);
    put_record(s, run, "cnn-fashion", 1);
    put_record(s, kept, "cnn-fashion", 2);
    ASSERT_OK(store_add_note(s, run, "before the fan", 1700000000, &err));
    ASSERT_OK(store_add_note(s, run, "it was the fan", 1700000060, &err));
    ASSERT_OK(store_notes(s, run, notes, &err));
    assert_int_equal(json_array_size(notes), 2);
    assert_string_equal(json_text_at(json_array_get(notes, 1), "text"), "it was the fan");
    assert_string_equal(json_text_at(json_array_get(notes, 0), "time"), "2023-11-14T22:13:20Z");
    ASSERT_OK(store_remove_run(s, run, &err));
    ASSERT_FAILS(store_remove_run(s, run, &err), BE_USAGE, "found none of number 1");
    ASSERT_FAILS(store_add_note(s, run, "late", 1, &err), BE_USAGE, "found none of number 1");
    json_array_clear(notes);
    ASSERT_OK(store_notes(s, run, notes, &err));
    assert_int_equal(json_array_size(notes), 0);
    assert_int_equal(count_lines(s, 0), 1);
    /* The number of a run is never given again. */
    assert_int_equal(plant_run(s, "bench", 1000), kept + 1);
    json_decref(notes);
    store_close(s);
}

/* ---------------------------------------------------------------- imports */

static void write_lines(const world *w, json_t *const *records, int count, const char *end)
{
    FILE *file = fopen(w->file, "w");
    assert_non_null(file);
    for (int i = 0; i < count; i++) {
        assert_int_equal(json_dumpf(records[i], file, JSON_COMPACT | JSON_REAL_PRECISION(9)), 0);
        fputc('\n', file);
    }
    fputs(end, file);
    fclose(file);
}

static void an_import_is_taken_once(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    import_count count;
    json_t *records[3] = {plant_record("cnn-fashion", "cpu", 0.1),
                          plant_record("cnn-fashion", "cpu", 0.2),
                          plant_record("mlp-mnist", "cpu", 0.3)};
    json_object_set_new(records[2], "environment", plant_environment("another", "abc123"));
    write_lines(w, records, 3, "\n");
    ASSERT_OK(store_open(&s, w->path, &err));
    ASSERT_OK(import_file(s, w->file, &count, &err));
    assert_int_equal(count.added, 3);
    assert_int_equal(count.runs, 2); /* two machines */
    ASSERT_OK(import_file(s, w->file, &count, &err));
    assert_int_equal(count.added, 0);
    assert_int_equal(count.known, 3);
    assert_int_equal(count.runs, 0);
    assert_int_equal(count_lines(s, 0), 3);
    /* Not even a number of a run is used up. */
    assert_int_equal(plant_run(s, "bench", 1), 3);
    for (int i = 0; i < 3; i++) json_decref(records[i]);
    store_close(s);
}

/* As it stands where it was printed by breakeven; a line with blanks as breakeven would print it.
 */
static void an_imported_line_is_kept_as_it_was(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    import_count count;
    static const char text[] =
        "{\"schema\":1,\"kind\":\"epoch\",\"workload\":\"a \\\" b\",\"loss\":0.12345678901234}\n"
        "{\"schema\": 1, \"kind\": \"epoch\", \"workload\": \"c\", \"loss\": 0.5}\n";
    ASSERT_OK(store_open(&s, w->path, &err));
    ASSERT_OK(import_text(s, "two", text, sizeof text - 1, &count, &err));
    json_t *lines = lines_of(s, 0);
    assert_int_equal(count.added, 2);
    assert_memory_equal(json_string_value(json_array_get(lines, 0)), text, strcspn(text, "\n"));
    assert_string_equal(json_string_value(json_array_get(lines, 1)),
                        "{\"schema\":1,\"kind\":\"epoch\",\"workload\":\"c\",\"loss\":0.5}");
    json_decref(lines);
    store_close(s);
}

static void a_sweep_is_taken_with_its_environment(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    import_count count;
    json_t *contender = plant_record("cnn-fashion", "cpu", 0.1);
    json_object_del(contender, "environment");
    json_t *lines[2] = {
        json_pack("{s:i, s:s, s:o}", "schema", 1, "kind", "sweep", "environment",
                  plant_environment("a third", "def")),
        json_pack("{s:s, s:f, s:[O]}", "kind", "point", "x", 10.0, "contenders", contender)};
    write_lines(w, lines, 2, "");
    ASSERT_OK(store_open(&s, w->path, &err));
    ASSERT_OK(import_file(s, w->file, &count, &err));
    assert_int_equal(count.added, 1);
    int64_t left = 0;
    assert_string_equal(listed(s, (store_filter){ALL, .machine = "a third, 4"}, &left), "1");
    json_decref(lines[0]);
    json_decref(lines[1]);
    json_decref(contender);
    store_close(s);
}

static void of_a_bad_file_nothing_is_taken(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    import_count count;
    json_t *good = plant_record("cnn-fashion", "cpu", 0.1), *bad = json_deep_copy(good);
    static const struct {
        const char *end, *said;
    } cases[] = {{"{\"kind\": \n", "line 2: expected a record in JSON"},
                 {"{\"kind\": \"bill\"}\n", "line 2, member \"kind\": expected bench, point"},
                 {"{\"kind\": \"epoch\", \"schema\": 2}\n", "member \"schema\": expected 1"},
                 {"{\"kind\": \"epoch\", \"schema\": 1}\n", "member \"workload\": expected a text"},
                 {"{\"kind\": \"point\", \"x\": 1}\n", "member \"contenders\": expected a list"},
                 {"7\n", "line 2"}};
    ASSERT_OK(store_open(&s, w->path, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_lines(w, &good, 1, cases[i].end);
        ASSERT_FAILS(import_file(s, w->file, &count, &err), BE_BAD_DATA, w->file, cases[i].said);
        assert_int_equal(count.added, 0);
    }
    json_object_set_new(bad, "batch", json_integer(-3));
    json_t *both[2] = {good, bad};
    write_lines(w, both, 2, "");
    ASSERT_FAILS(import_file(s, w->file, &count, &err), BE_BAD_DATA, "line 2, member \"batch\"");
    ASSERT_FAILS(import_file(s, "/none/here", &count, &err), BE_IO, "/none/here");
    assert_int_equal(count_lines(s, 0), 0);
    int64_t left = 0;
    assert_string_equal(listed(s, (store_filter){ALL}, &left), "");
    json_decref(good);
    json_decref(bad);
    store_close(s);
}

/* ---------------------------------------------------------------- what a command keeps */

static void a_command_keeps_what_it_measures(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    char place[FILE_PATH_BYTES];
    keeper k = {.command = "explain"};
    json_t *record = plant_record("cnn-fashion", "cpu", 0.1);
    assert_int_equal(setenv("XDG_DATA_HOME", w->folder, 1), 0);
    assert_null(keeper_add(&k, record, NULL));
    /* It is there before the command has ended. */
    ASSERT_OK(store_open_to_read(&s, NULL, &err));
    assert_int_equal(count_lines(s, 1), 1);
    json_object_set_new(record, "cause", json_true());
    assert_null(keeper_end(&k));
    json_t *lines = lines_of(s, 1);
    assert_non_null(strstr(json_string_value(json_array_get(lines, 0)), "\"cause\":true"));
    int64_t left = 0;
    assert_string_equal(listed(s,
                               (store_filter){ALL, .machine = "a processor, 4 threads, 8.0 GiB",
                                              .commit = "abc123"},
                               &left),
                        "1");
    json_decref(lines);
    store_close(s);
    keeper none = {.command = NULL};
    assert_null(keeper_add(&none, record, NULL));
    assert_null(keeper_end(&none));
    /* A folder that cannot be made is told once. */
    support_path(place, sizeof place, w->folder, "a file");
    support_write_file(place, "x", 1);
    assert_int_equal(setenv("XDG_DATA_HOME", place, 1), 0);
    keeper lost = {.command = "bench"};
    const char *reason = keeper_add(&lost, record, NULL);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "the results are not kept (--no-store leaves this out): "));
    assert_non_null(strstr(reason, "a file"));
    assert_non_null(strstr(reason, "Not a directory"));
    assert_null(keeper_add(&lost, record, NULL));
    assert_null(keeper_end(&lost));
    json_decref(record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_is_made_by_the_first_who_writes),
        TEST(records_come_back_as_they_were),
        TEST(runs_are_found_by_what_they_are),
        TEST(notes_stand_beside_a_run_until_it_goes),
        TEST(an_import_is_taken_once),
        TEST(an_imported_line_is_kept_as_it_was),
        TEST(a_sweep_is_taken_with_its_environment),
        TEST(of_a_bad_file_nothing_is_taken),
        TEST(a_command_keeps_what_it_measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
