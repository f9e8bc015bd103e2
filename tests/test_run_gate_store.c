/* Tests of kept references: what is found again, what is not believed, what is not in the way, and
 * the bound of the folder. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "data/dataset.h"
#include "run/gate.h"
#include "run/gate_store.h"

typedef struct fixture {
    char *cache;
    be_dataset *set;
    material_options options;
    gate_options asking;
} fixture;

static int set_up(void **state)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = 64};
    f->cache = support_make_folder();
    setenv("XDG_CACHE_HOME", f->cache, 1);
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->set, &err));
    f->options =
        (material_options){.workload = &workload_cnn_fashion, .set = &f->set->table, .seed = 3};
    f->asking = (gate_options){.material = &f->options, .folder = f->cache};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    dataset_close(f->set);
    support_remove_folder(f->cache);
    free(f);
    return 0;
}

/* Whether the reference was kept already; a hash of all its values. */
static bool ask(const fixture *f, uint64_t *hash)
{
    be_error err = {0};
    gate g;
    ASSERT_OK(gate_new(&g, &f->asking, &err));
    *hash = GATE_STORE_HASH;
    for (int i = 0; i < g.reference.count; i++) {
        const trace_tensor *t = &g.reference.tensors[i];
        *hash = gate_store_hash(*hash, t->name, strlen(t->name));
        *hash = gate_store_hash(*hash, t->values, (size_t)t->count * sizeof *t->values);
    }
    bool was_kept = g.was_kept;
    gate_free(&g);
    return was_kept;
}

/* The only file of the folder. */
static void find_file(const fixture *f, char path[FILE_PATH_BYTES])
{
    char folder[FILE_PATH_BYTES];
    int found = 0;
    snprintf(folder, sizeof folder, "%.3000s/breakeven/reference", f->cache);
    DIR *open = opendir(folder);
    assert_non_null(open);
    for (struct dirent *entry; (entry = readdir(open));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, FILE_PATH_BYTES, "%.3500s/%.255s", folder, entry->d_name);
        found++;
    }
    closedir(open);
    assert_int_equal(found, 1);
}

static void a_reference_is_computed_once(void **state)
{
    const fixture *f = *state;
    uint64_t first, second;
    assert_false(ask(f, &first));
    assert_true(ask(f, &second));
    assert_true(first == second);
}

/* Whatever the reference depends on makes it another one. */
static void another_question_gets_its_own_answer(void **state)
{
    fixture *f = *state;
    uint64_t first, other;
    struct workload wide;
    be_error err;
    assert_false(ask(f, &first));
    f->options.seed = 4;
    assert_false(ask(f, &other));
    assert_true(first != other);
    f->options.seed = 3;
    f->asking.infer = true;
    assert_false(ask(f, &other));
    f->asking.infer = false;
    workload_variant twice = {.width = 2};
    ASSERT_OK(workload_vary(&workload_cnn_fashion, &twice, &wide, &f->options.workload, &err));
    assert_false(ask(f, &other));
    f->options.workload = &workload_cnn_fashion;
    f->set->table.field[0].form.mean[0] += 0.25f;
    assert_false(ask(f, &other));
    f->set->table.field[0].form.mean[0] -= 0.25f;
    for (int64_t i = 0; i < f->set->count * 28 * 28; i++) f->set->images[i] ^= 1;
    assert_false(ask(f, &other));
    for (int64_t i = 0; i < f->set->count * 28 * 28; i++) f->set->images[i] ^= 1;
    for (int64_t i = 0; i < f->set->count; i++) f->set->labels[i] ^= 1;
    assert_false(ask(f, &other));
    for (int64_t i = 0; i < f->set->count; i++) f->set->labels[i] ^= 1;
    assert_true(ask(f, &other));
    assert_true(first == other);
}

/* What rounding does is kept beside the reference, a file for each precision. */
static void a_precision_has_its_own_file(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    uint64_t plain, other;
    gate g, again;
    assert_false(ask(f, &plain));
    f->asking.precisions = 1U << BE_PRECISION_BF16;
    ASSERT_OK(gate_new(&g, &f->asking, &err));
    assert_false(g.was_kept);
    assert_int_equal(g.rounding[BE_PRECISION_BF16].count, g.reference.count);
    ASSERT_OK(gate_new(&again, &f->asking, &err));
    assert_true(again.was_kept);
    for (int i = 0; i < g.rounding[BE_PRECISION_BF16].count; i++)
        assert_memory_equal(g.rounding[BE_PRECISION_BF16].tensors[i].values,
                            again.rounding[BE_PRECISION_BF16].tensors[i].values,
                            2 * sizeof(double));
    gate_free(&g);
    gate_free(&again);
    f->asking.precisions = 1U << BE_PRECISION_TF32;
    assert_false(ask(f, &other));
    assert_true(other == plain); /* the reference is the same */
    f->asking.precisions = 0;
    assert_true(ask(f, &other));
}

/* Flip a bit at each of many places, and cut the file. */
static void a_damaged_file_is_not_believed(void **state)
{
    const fixture *f = *state;
    be_error err;
    char path[FILE_PATH_BYTES];
    void *bytes = NULL;
    size_t count;
    uint64_t right, found;
    assert_false(ask(f, &right));
    find_file(f, path);
    ASSERT_OK(file_read(&bytes, &count, path, (size_t)1 << 30, &err));
    for (size_t i = 0; i < 12; i++) {
        size_t at = i < 6 ? i * 97 : count - 1 - i * (count / 16);
        ((char *)bytes)[at] ^= 4;
        support_write_file(path, bytes, count);
        ((char *)bytes)[at] ^= 4;
        ask(f, &found); /* found again only where the bit meant nothing */
        assert_true(found == right);
        assert_true(ask(f, &found));
    }
    support_write_file(path, bytes, count / 2);
    assert_false(ask(f, &found));
    support_write_file(path, "", 0);
    assert_false(ask(f, &found));
    assert_true(found == right);
    memory_free(bytes);
}

/* Under the name of one key, the file of another. */
static void a_foreign_file_is_not_believed(void **state)
{
    fixture *f = *state;
    be_error err;
    char path[FILE_PATH_BYTES], other[FILE_PATH_BYTES];
    uint64_t right, found;
    assert_false(ask(f, &right));
    find_file(f, path);
    snprintf(other, sizeof other, "%.3000s/other", f->cache);
    assert_int_equal(rename(path, other), 0);
    f->options.seed = 4;
    assert_false(ask(f, &found));
    char of_four[FILE_PATH_BYTES];
    find_file(f, of_four);
    assert_int_equal(rename(other, of_four), 0);
    f->options.seed = 4;
    assert_false(ask(f, &found));
    assert_true(found != right);
    trace t;
    json_t *key = json_pack("{s:s}", "workload", "none");
    ASSERT_FAILS(gate_store_load(&t, key, &err), BE_UNAVAILABLE, "none-");
    json_decref(key);
}

/* No folder can be made, the disk is full: the reference is there all the same. */
static void a_place_that_takes_nothing_is_no_obstacle(void **state)
{
    const fixture *f = *state;
    char file[FILE_PATH_BYTES];
    uint64_t right, found;
    file_fail_after(1000);
    assert_false(ask(f, &right));
    file_fail_after(-1);
    assert_false(ask(f, &found));
    assert_true(found == right);
    support_write_file(support_path(file, sizeof file, f->cache, "file"), "x", 1);
    setenv("XDG_CACHE_HOME", file, 1);
    assert_false(ask(f, &found));
    assert_true(found == right);
    assert_false(ask(f, &found));
}

static void processes_may_ask_at_once(void **state)
{
    const fixture *f = *state;
    uint64_t right, found;
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            gate g;
            be_error err;
            _exit(gate_new(&g, &f->asking, &err) == BE_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        waitpid(child[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_true(ask(f, &found));
    assert_int_equal(setenv("XDG_CACHE_HOME", "/dev/null", 1), 0);
    assert_false(ask(f, &right));
    assert_true(found == right);
}

static void what_was_used_longest_ago_goes_first(void **state)
{
    const fixture *f = *state;
    be_error err;
    uint64_t hash;
    char path[FILE_PATH_BYTES];
    assert_false(ask(f, &hash));
    find_file(f, path);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    char folder[FILE_PATH_BYTES], older[FILE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%.3000s/breakeven/reference", f->cache);
    support_write_file(support_path(older, sizeof older, folder, "older"), "0123456789", 10);
    assert_int_equal(utimensat(AT_FDCWD, older, old, 0), 0);
    /* The kept one is older still, until it is used. */
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){{0}, {0}}, 0), 0);
    assert_true(ask(f, &hash));
    ASSERT_OK(gate_store_trim((int64_t)about.st_size + 10, &err));
    assert_true(file_exists(path) && file_exists(older));
    ASSERT_OK(gate_store_trim((int64_t)about.st_size, &err));
    assert_true(file_exists(path) && !file_exists(older));
    ASSERT_OK(gate_store_trim((int64_t)about.st_size - 1, &err));
    assert_false(file_exists(path));
    ASSERT_OK(gate_store_trim(0, &err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reference_is_computed_once),   TEST(another_question_gets_its_own_answer),
        TEST(a_precision_has_its_own_file),   TEST(a_damaged_file_is_not_believed),
        TEST(a_foreign_file_is_not_believed), TEST(a_place_that_takes_nothing_is_no_obstacle),
        TEST(processes_may_ask_at_once),      TEST(what_was_used_longest_ago_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
