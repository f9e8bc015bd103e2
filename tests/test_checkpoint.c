/* Tests of checkpoints in every kind of trouble: damage, a full disk, other trainings. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/memory.h"
#include "train_fixture.h"

/* A folder with checkpoints of the steps 6, 12 (and so the last two of a training of 12 steps). */
static void make_checkpoints(fixture *f, char folder[FILE_PATH_BYTES])
{
    be_error err = {0};
    f->options.folder = checkpoints_of(f, folder);
    f->options.epochs = 2;
    ASSERT_OK(train_and_export(f, "whole", &err));
    f->options.folder = NULL;
}

static void the_last_two_are_kept(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES], leftover[FILE_PATH_BYTES + 8];
    f->options.folder = checkpoints_of(f, folder);
    ASSERT_OK(file_make_folders(folder, &err));
    snprintf(leftover, sizeof leftover, "%s.tmp", checkpoint_at(f, 5, path));
    support_write_file(leftover, "half", 4); /* of a killed writer */
    support_write_file(support_path(path, sizeof path, folder, "mlp-mnist-note.txt"), "mine", 4);
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_int_equal(f->saved, 3);
    assert_false(file_exists(checkpoint_at(f, 6, path)));
    assert_true(file_exists(checkpoint_at(f, 12, path)));
    assert_true(file_exists(checkpoint_at(f, 18, path)));
    assert_false(file_exists(leftover));
    assert_true(file_exists(support_path(path, sizeof path, folder, "mlp-mnist-note.txt")));
}

/* Beside the last two lies the one of the best validation, from which nothing is resumed. */
static void the_best_is_kept(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trainer t;
    checkpoint c;
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    make_checkpoints(f, folder);
    ASSERT_OK(trainer_open(&t, &f->options, &err));
    t.state =
        (checkpoint_state){.workload = "mlp-mnist", .step = 3, .best = 0.75, .best_loss = 0.5};
    ASSERT_OK(checkpoint_save(t.plan, folder, &t.state, CHECKPOINT_BEST, path, &err));
    t.state.step = 9;
    ASSERT_OK(checkpoint_save(t.plan, folder, &t.state, CHECKPOINT_BEST, path, &err));
    trainer_close(&t);
    assert_non_null(strstr(path, "/mlp-mnist-best.safetensors"));
    assert_true(file_exists(checkpoint_at(f, 6, path)));
    assert_false(file_exists(checkpoint_at(f, 9, path)));
    ASSERT_OK(checkpoint_open(&c, folder, "mlp-mnist", &err));
    assert_int_equal(c.state.step, 12);
    checkpoint_close(&c);
    support_path(path, sizeof path, folder, "mlp-mnist-best.safetensors");
    ASSERT_OK(checkpoint_open(&c, path, "mlp-mnist", &err));
    assert_int_equal(c.state.step, 9);
    assert_true(c.state.best == 0.75 && c.state.best_loss == 0.5);
    checkpoint_close(&c);
}

static void what_was_saved_stays(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trainer t;
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    make_checkpoints(f, folder); /* of the steps 6 and 12 */
    ASSERT_OK(trainer_open(&t, &f->options, &err));
    t.state.step = 1;
    ASSERT_OK(checkpoint_save(t.plan, folder, &t.state, CHECKPOINT_LAST, path, &err));
    trainer_close(&t);
    assert_true(file_exists(checkpoint_at(f, 1, path)));
    assert_true(file_exists(checkpoint_at(f, 12, path)));
}

static void another_training_is_not_overwritten(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    make_checkpoints(f, folder);
    f->options.folder = folder;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "step 12 of another training",
                 "--resume", "empty folder");
}

static void a_checkpoint_of_another_training_is_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    make_checkpoints(f, folder);
    f->options.resume = checkpoint_at(f, 12, path);
    f->options.seed = 6;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the seed 6", "found one with 5",
                 "without --resume");
    f->options.seed = 5;
    const workload *wide = NULL;
    workload room;
    ASSERT_OK(
        workload_vary(f->options.workload, &(workload_variant){.width = 2}, &room, &wide, &err));
    f->options.workload = wide;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the width 2", "found one with 1",
                 "options of that training");
    f->options.workload = &workload_mlp_mnist;
    f->options.batch = 8;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the batch 8", "found one with 16");
    f->options.batch = BATCH;
    f->options.optimizer.learning_rate = 0.02f;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the learning rate 0.0199999996");
    f->options.optimizer = workload_mlp_mnist.optimizer;
    f->options.optimizer.max_gradient_norm = 2;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the largest gradient norm 2",
                 "found one with 0");
    f->options.optimizer = workload_mlp_mnist.optimizer;
    f->options.optimizer.schedule = (be_schedule){BE_RATE_COSINE, 3, 40, 0.25};
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE,
                 "the schedule cosine, 3 steps of warm-up, 40 in all, down to 0.25",
                 "found one with constant, 0 steps of warm-up");
    f->options.optimizer = (be_optimizer){.kind = BE_ADAM, .learning_rate = 0.01f};
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the optimizer adam", "with sgd");
    f->options.optimizer = workload_cnn_fashion.optimizer;
    f->options.workload = &workload_cnn_fashion;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the workload cnn-fashion",
                 "found one with mlp-mnist");
    f->options.resume = folder;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "expected a checkpoint of cnn-fashion",
                 "found none");
}

/* The optimizer's states stand there by the names of their parameters, each where its weight is. */
static void states_have_the_names_of_their_parameters(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    safetensors *file = NULL;
    make_checkpoints(f, folder);
    ASSERT_OK(safetensors_open(&file, checkpoint_at(f, 12, path), &err));
    int weights = 0, states = 0;
    for (int i = 0; i < safetensors_count(file); i++) {
        const safetensors_tensor *t = safetensors_at(file, i);
        bool is_state = strncmp(t->name, "optimizer.momentum.", 19) == 0;
        weights += !is_state;
        states += is_state;
        for (int k = 0; is_state && k < safetensors_count(file); k++) {
            const safetensors_tensor *weight = safetensors_at(file, k);
            if (strcmp(weight->name, t->name + 19) != 0) continue;
            assert_int_equal(weight->bytes, t->bytes);
            weights += 100;
        }
    }
    assert_int_equal(states, 6);
    assert_int_equal(weights, 606);
    safetensors_close(file);
}

/* Any file that is no checkpoint: weights, an empty file, another format. */
static void other_files_are_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    make_checkpoints(f, folder);
    f->options.resume = support_path(path, sizeof path, f->folder, "whole");
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_BAD_DATA, "expected a checkpoint",
                 "\"format\"");
    support_write_file(path, "", 0);
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_BAD_DATA, "safetensors");
    f->options.resume = "/nowhere/at/all";
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "/nowhere/at/all");
}

/* Cut the newest at `bytes` of its own, or flip a bit there; the one before it must be taken. */
static void damage_and_resume(fixture *f, const char *folder, long bytes, bool cut)
{
    be_error err = {0};
    char path[FILE_PATH_BYTES], damaged[FILE_PATH_BYTES + 16];
    void *good = NULL;
    size_t size = 0;
    ASSERT_OK(file_read(&good, &size, checkpoint_at(f, 12, path), 1 << 24, &err));
    assert_true((size_t)bytes < size);
    if (cut) {
        support_write_file(path, good, (size_t)bytes);
    } else {
        ((char *)good)[bytes] ^= 1;
        support_write_file(path, good, size);
        ((char *)good)[bytes] ^= 1;
    }
    f->options.resume = folder;
    f->note[0] = 0;
    ASSERT_OK(train_and_export(f, "resumed", &err));
    assert_non_null(strstr(f->note, "the newest checkpoint is damaged and was renamed"));
    assert_non_null(strstr(f->note, "going on from step 6"));
    assert_same_files(f, "whole", "resumed");
    snprintf(damaged, sizeof damaged, "%s.damaged", path);
    assert_true(file_exists(damaged));
    assert_int_equal(unlink(damaged), 0);
    support_write_file(path, good, size);
    memory_free(good);
}

static void a_damaged_newest_is_set_aside(void **state)
{
    fixture *f = *state;
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct stat info;
    uint64_t header = 0;
    make_checkpoints(f, folder);
    assert_int_equal(stat(checkpoint_at(f, 12, path), &info), 0);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(&header, 8, 1, file), 1);
    fclose(file);
    long data = 8 + (long)header, size = (long)info.st_size;
    /* In the length, at its end, in the JSON, at the first and in later tensors, the last byte. */
    const long cuts[] = {0,        1,        7,       8,        9,
                         data / 2, data - 1, data,    data + 1, data + 4 * 784,
                         size / 2, size - 4, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        damage_and_resume(f, folder, cuts[i], true);
    const long flips[] = {0, 5, data / 3, data, size / 2, size - 1};
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++)
        damage_and_resume(f, folder, flips[i], false);
}

static void only_damaged_ones_are_an_error(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    make_checkpoints(f, folder);
    support_write_file(checkpoint_at(f, 6, path), "x", 1);
    support_write_file(checkpoint_at(f, 12, path), "x", 1);
    f->options.resume = folder;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "found damaged ones only",
                 "the newest checkpoint is damaged");
}

/* The disk is full after any number of bytes: an error, and the older checkpoint still resumes. */
static void a_full_disk_loses_nothing(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct stat info;
    f->options.epochs = 2;
    ASSERT_OK(train_and_export(f, "whole", &err));
    f->options.epochs = 1;
    f->options.folder = checkpoints_of(f, folder);
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_int_equal(stat(checkpoint_at(f, 6, path), &info), 0);
    f->options.epochs = 2;
    f->options.resume = folder;
    const int64_t rooms[] = {0, 4, 8, 100, info.st_size / 2, info.st_size - 500};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
        file_fail_after(rooms[i]);
        ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "0000000012.safetensors");
        assert_false(file_exists(checkpoint_at(f, 12, path)));
        assert_true(file_exists(checkpoint_at(f, 6, path)));
    }
    file_inject((file_faults){.fail_sync = true});
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "0000000012.safetensors");
    file_inject((file_faults){.fail_rename = true});
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "0000000012.safetensors");
    file_inject((file_faults){0});
    assert_false(file_exists(checkpoint_at(f, 12, path)));
    ASSERT_OK(train_and_export(f, "resumed", &err));
    assert_same_files(f, "whole", "resumed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_last_two_are_kept),
        FIXTURE_TEST(what_was_saved_stays),
        FIXTURE_TEST(the_best_is_kept),
        FIXTURE_TEST(another_training_is_not_overwritten),
        FIXTURE_TEST(a_checkpoint_of_another_training_is_refused),
        FIXTURE_TEST(states_have_the_names_of_their_parameters),
        FIXTURE_TEST(other_files_are_refused),
        FIXTURE_TEST(a_damaged_newest_is_set_aside),
        FIXTURE_TEST(only_damaged_ones_are_an_error),
        FIXTURE_TEST(a_full_disk_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
