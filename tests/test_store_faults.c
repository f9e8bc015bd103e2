/* Tests of the store's faults: the sentence of each, older databases, and what a killed writer
 * leaves. */
#include "store_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/json.h"
#include "store/schema.h"
#include "store/store_own.h"

#define KILLS 200
#define LONG_BYTES 400000

/* ---------------------------------------------------------------- faults */

static void change(const world *w, const char *statement)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void make_store(const world *w)
{
    be_error err = {0};
    store *s = NULL;
    ASSERT_OK(store_open(&s, w->path, &err));
    int64_t run = plant_run(s, "bench", 1000);
    for (int i = 1; i <= 100; i++) put_record(s, run, "cnn-fashion", i);
    store_close(s);
}

static void a_database_of_another_kind_is_refused(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    make_store(w);
    change(w, "PRAGMA user_version = 99");
    ASSERT_FAILS(store_open(&s, w->path, &err), BE_BAD_DATA, w->path, "version 1 at most",
                 "found version 99 of a newer breakeven");
    ASSERT_FAILS(store_open_to_read(&s, w->path, &err), BE_BAD_DATA, "version 99");
    assert_null(s);
    change(w, "PRAGMA user_version = -67108863"); /* found by fuzzing */
    ASSERT_FAILS(store_open(&s, w->path, &err), BE_BAD_DATA, w->path, "of version 0 to 1",
                 "found version -67108863: it is damaged");
    ASSERT_FAILS(store_open_to_read(&s, w->path, &err), BE_BAD_DATA, "it is damaged");
    change(w, "PRAGMA user_version = 1; PRAGMA application_id = 5");
    ASSERT_FAILS(store_open(&s, w->path, &err), BE_BAD_DATA, "found one of another program");
    support_write_file(w->path,
                       "this is a text, and long enough for a header of a database, "
                       "which would have 100 bytes at least, as this has too.",
                       113);
    ASSERT_FAILS(store_open(&s, w->path, &err), BE_BAD_DATA, "found a damaged one", ".recover");
}

static void a_damaged_database_is_told(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    json_t *lines = json_array();
    store_filter filter = {ALL};
    make_store(w);
    FILE *file = fopen(w->path, "r+");
    assert_non_null(file);
    /* Behind the first pages, which hold the schema. */
    for (long at = 4096 * 5; at < 4096 * 12; at++) {
        fseek(file, at, SEEK_SET);
        fputc(0xA5, file);
    }
    fclose(file);
    ASSERT_OK(store_open_to_read(&s, w->path, &err));
    ASSERT_FAILS(store_read(s, &filter, take_line, lines, &err), BE_BAD_DATA, w->path, "damaged");
    json_decref(lines);
    store_close(s);
}

static void a_full_disk_loses_nothing(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    be_status status = BE_OK;
    int added = 0;
    ASSERT_OK(store_open(&s, w->path, &err));
    int64_t run = plant_run(s, "bench", 1000);
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA max_page_count = 20", NULL, NULL, NULL), 0);
    for (; status == BE_OK && added < 1000; added += status == BE_OK) {
        int64_t id = 0;
        json_t *record = plant_record("cnn-fashion", "cpu", added + 1);
        status = store_add_record(s, run, record, &id, &err);
        json_decref(record);
    }
    assert_int_equal(status, BE_IO);
    assert_non_null(strstr(err.text, "found the disk full; free some"));
    assert_int_equal(count_lines(s, run), added);
    store_close(s);
}

/* Nothing can be prepared: SQLite has no memory left, and another program has taken the table away.
 */
static void a_record_that_cannot_be_written_is_told(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    int64_t id = 0;
    ASSERT_OK(store_open(&s, w->path, &err));
    int64_t run = plant_run(s, "bench", 1000);
    json_t *record = plant_record("cnn-fashion", "cpu", 1);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
    sqlite3_int64 before = sqlite3_hard_heap_limit64(1);
    be_status status = store_add_record(s, run, record, &id, &err);
    sqlite3_hard_heap_limit64(before);
    assert_int_equal(status, BE_NO_MEMORY);
    ASSERT_OK(store_add_record(s, run, record, &id, &err));
    store_close(s);
    change(w, "DROP TABLE record");
    ASSERT_OK(store_open(&s, w->path, &err));
    ASSERT_FAILS(store_add_record(s, run, record, &id, &err), BE_IO, w->path);
    json_decref(record);
    store_close(s);
}

static void a_database_that_is_read_only_is_read(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    make_store(w);
    /* Root may write whatever the permissions say; SQLite's own flag takes their place. */
    ASSERT_OK(store_open(&s, w->path, &err));
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA query_only = 1", NULL, NULL, NULL), 0);
    ASSERT_FAILS(store_add_note(s, 1, "x", 1, &err), BE_IO, "found it read-only",
                 "change its permissions");
    assert_int_equal(count_lines(s, 1), 100);
    store_close(s);
}

static void another_writer_is_waited_for(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL, *other = NULL;
    make_store(w);
    ASSERT_OK(store_open(&s, w->path, &err));
    ASSERT_OK(store_open(&other, w->path, &err));
    ASSERT_OK(store_begin(other, &err));
    sqlite3_busy_timeout(s->db, 0); /* the wait itself is SQLite's */
    ASSERT_FAILS(store_add_note(s, 1, "x", 1, &err), BE_IO, "found another program writing");
    assert_int_equal(count_lines(s, 1), 100); /* who reads does not wait */
    ASSERT_OK(store_end(other, BE_OK, &err));
    ASSERT_OK(store_add_note(s, 1, "x", 1, &err));
    store_close(s);
    store_close(other);
}

/* Every version that there ever was, as it lay on disks. */
static void older_databases_are_brought_up(void **state)
{
    world *w = *state;
    char name[80], path[FILE_PATH_BYTES];
    for (int version = 1; version <= schema_version; version++) {
        be_error err = {0};
        store *s = NULL;
        void *text = NULL;
        size_t count = 0;
        int found = 0;
        snprintf(name, sizeof name, "tests/store/version%d.sql", version);
        support_path(path, sizeof path, getenv("BREAKEVEN_SOURCE"), name);
        ASSERT_OK(file_read(&text, &count, path, 1 << 20, &err));
        snprintf(path, sizeof path, "%s/version%d.db", w->folder, version);
        memcpy(w->path, path, sizeof path);
        change(w, text);
        free(text);
        ASSERT_OK(store_open(&s, w->path, &err));
        ASSERT_OK(schema_check(s->db, w->path, &found, &err));
        assert_int_equal(found, schema_version);
        assert_int_equal(count_lines(s, 1), 1);
        store_close(s);
    }
}

/* ---------------------------------------------------------------- kills */

typedef struct writer {
    pid_t child;
    int go, in; /* a byte for each record that it may write; the numbers that it wrote */
} writer;

/* Writes a record of its own number for each byte, and tells the number of what was acknowledged.
 * The last one, in which it is killed, is long, so that there is time for it. */
static void write_records(const char *path, int first, int most, int go, int out)
{
    be_error err = {0};
    store *s = NULL;
    int64_t run = 0, id = 0;
    store_run facts = {.command = "bench", .began_s = 1};
    char byte, *text = calloc(1, LONG_BYTES);
    memset(text, 'x', LONG_BYTES - 1);
    if (store_open(&s, path, &err) != BE_OK || store_add_run(s, &facts, &run, &err) != BE_OK)
        _exit(1);
    for (int number = first; read(go, &byte, 1) == 1; number++) {
        json_t *record = plant_record("cnn-fashion", "cpu", 1 + number * 1e-6);
        json_object_set_new(record, "seed", json_integer(number));
        if (number == first + most) json_object_set_new(record, "log", json_string(text));
        if (store_add_record(s, run, record, &id, &err) != BE_OK || !id) _exit(1);
        json_decref(record);
        if (write(out, &number, sizeof number) != sizeof number) _exit(1);
    }
    _exit(0);
}

static writer start_writer(const char *path, int first, int most)
{
    int go[2], in[2];
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(in), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(go[1]);
        close(in[0]);
        write_records(path, first, most, go[0], in[1]);
    }
    close(go[0]);
    close(in[1]);
    return (writer){child, go[1], in[0]};
}

static void end_writer(writer *w)
{
    assert_int_equal(waitpid(w->child, NULL, 0), w->child);
    close(w->go);
    close(w->in);
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int *numbers_of(store *s, size_t *count)
{
    json_t *lines = lines_of(s, 0);
    *count = json_array_size(lines);
    int *numbers = calloc(*count + 1, sizeof *numbers);
    for (size_t i = 0; i < *count; i++) {
        json_t *record = json_loads(json_string_value(json_array_get(lines, i)), 0, NULL);
        assert_non_null(record);
        numbers[i] = (int)json_integer_value(json_object_get(record, "seed"));
        json_decref(record);
    }
    json_decref(lines);
    qsort(numbers, *count, sizeof *numbers, by_number);
    return numbers;
}

static void check_sound(store *s)
{
    be_error err = {0};
    bool row = false;
    store_query q = store_ask(s, "read", "PRAGMA integrity_check");
    ASSERT_OK(store_step(&q, &row, &err));
    assert_true(row);
    assert_string_equal((const char *)sqlite3_column_text(q.statement, 0), "ok");
    store_finish(&q);
}

static int64_t count_records(store *s)
{
    be_error err = {0};
    bool row = false;
    store_query q = store_ask(s, "read", "SELECT count(*) FROM record");
    ASSERT_OK(store_step(&q, &row, &err));
    assert_true(row);
    int64_t count = sqlite3_column_int64(q.statement, 0);
    store_finish(&q);
    return count;
}

/* A moment that is longer where `turns` are more: the kill meets another place of the write. */
static void spin(int turns)
{
    for (volatile int i = 0; i < turns; i++) continue;
}

/* Two writers are killed in the middle of a record, after as many as differ from round to round,
 * while a reader looks on: whatever was acknowledged is there. */
static void what_was_acknowledged_survives_a_kill(void **state)
{
    world *w = *state;
    be_error err = {0};
    store *s = NULL;
    int acknowledged[KILLS * 8], count = 0, number;
    ASSERT_OK(store_open(&s, w->path, &err));
    for (int round = 0; round < KILLS / 2; round++) {
        int most = round % 4;
        writer writers[2];
        for (int c = 0; c < 2; c++) {
            writers[c] = start_writer(w->path, (round * 2 + c) * 10, most);
            assert_int_equal(write(writers[c].go, "more", (size_t)most + 1), most + 1);
        }
        for (int c = 0; c < 2; c++)
            for (int k = 0; k < most; k++) {
                assert_int_equal(read(writers[c].in, &number, sizeof number), sizeof number);
                acknowledged[count++] = number;
            }
        assert_true(count_records(s) >= count);
        spin(round % 50 * 20000);
        for (int c = 0; c < 2; c++) kill(writers[c].child, SIGKILL);
        for (int c = 0; c < 2; c++) {
            while (read(writers[c].in, &number, sizeof number) == sizeof number)
                acknowledged[count++] = number;
            end_writer(&writers[c]);
        }
    }
    check_sound(s);
    size_t kept = 0;
    int *numbers = numbers_of(s, &kept);
    for (int i = 0; i < count; i++)
        assert_non_null(bsearch(&acknowledged[i], numbers, kept, sizeof *numbers, by_number));
    free(numbers);
    store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_database_of_another_kind_is_refused),
        TEST(a_damaged_database_is_told),
        TEST(a_full_disk_loses_nothing),
        TEST(a_record_that_cannot_be_written_is_told),
        TEST(a_database_that_is_read_only_is_read),
        TEST(another_writer_is_waited_for),
        TEST(older_databases_are_brought_up),
        TEST(what_was_acknowledged_survives_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
