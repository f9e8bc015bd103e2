/* Tests of src/train: the loop, resuming, checkpoints in every kind of trouble, evaluation. */
#include "support.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/memory.h"
#include "train/loop.h"
#include "train/weights.h"

#define PICTURES 96
#define BATCH 16 /* 6 steps an epoch */

typedef struct fixture {
    be_device *device;
    be_dataset *data, *test;
    char *folder;
    train_options options;
    /* What the watcher saw. */
    int epochs, saved, progress;
    char note[2000], last_saved[FILE_PATH_BYTES];
    volatile sig_atomic_t interrupt;
    int64_t interrupt_at; /* set the flag once so many steps are done; 0: never */
    train_epoch last;
} fixture;

static void see_progress(void *context, const train_progress *p)
{
    fixture *f = context;
    f->progress++;
    assert_true(p->step >= 1 && p->step <= p->steps);
    assert_true(p->accuracy >= 0 && p->accuracy <= 1);
    int64_t done = (p->epoch - 1) * p->steps + p->step;
    if (f->interrupt_at && done >= f->interrupt_at) f->interrupt = SIGINT;
}

static void see_epoch(void *context, const train_epoch *epoch)
{
    fixture *f = context;
    f->epochs++;
    f->last = *epoch;
}

static void see_saved(void *context, const char *path, int64_t step)
{
    fixture *f = context;
    (void)step;
    f->saved++;
    snprintf(f->last_saved, sizeof f->last_saved, "%s", path);
}

static void see_note(void *context, const char *text)
{
    fixture *f = context;
    size_t used = strlen(f->note);
    snprintf(f->note + used, sizeof f->note - used, "%s\n", text);
}

static int set_up(void **state)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = PICTURES};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &f->device, &err));
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->data, &err));
    data.limit = 50;
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TEST, &data, &f->test, &err));
    f->folder = support_make_folder();
    f->options = (train_options){.workload = &workload_mlp_mnist,
                                 .device = f->device,
                                 .data = f->data,
                                 .validation = f->test,
                                 .seed = 5,
                                 .batch = BATCH,
                                 .epochs = 3,
                                 .optimizer = workload_mlp_mnist.optimizer,
                                 .watch = {f, see_progress, see_epoch, see_saved, see_note},
                                 .interrupted = &f->interrupt};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    file_inject((file_faults){0});
    dataset_close(f->data);
    dataset_close(f->test);
    be_device_close(f->device);
    support_remove_folder(f->folder);
    free(f);
    return 0;
}

/* Train with the options as they are and export the weights to NAME; the bytes of the file. */
static be_status train_and_export(fixture *f, const char *name, be_error *err)
{
    trainer t;
    char path[FILE_PATH_BYTES];
    TRY(trainer_open(&t, &f->options, err));
    be_status status = trainer_run(&t, err);
    if (status == BE_OK && name)
        status =
            weights_save(t.plan, support_path(path, sizeof path, f->folder, name), NULL, 0, err);
    trainer_close(&t);
    return status;
}

static void assert_same_files(const fixture *f, const char *first, const char *second)
{
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    void *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;
    ASSERT_OK(
        file_read(&a, &a_bytes, support_path(path, sizeof path, f->folder, first), 1 << 24, &err));
    ASSERT_OK(
        file_read(&b, &b_bytes, support_path(path, sizeof path, f->folder, second), 1 << 24, &err));
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    memory_free(a);
    memory_free(b);
}

static const char *checkpoints_of(fixture *f, char path[FILE_PATH_BYTES])
{
    return support_path(path, FILE_PATH_BYTES, f->folder, "checkpoints");
}

/* "FOLDER/checkpoints/mlp-mnist-STEP.safetensors" */
static const char *checkpoint_at(fixture *f, int step, char path[FILE_PATH_BYTES])
{
    snprintf(path, FILE_PATH_BYTES, "%s/checkpoints/mlp-mnist-%010d.safetensors", f->folder, step);
    return path;
}

/* ---------------------------------------------------------------- the loop */

static void epochs_are_trained_and_validated(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.epochs = 40;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_int_equal(f->epochs, 40);
    assert_true(f->progress >= 40);
    assert_int_equal(f->last.epoch, 40);
    assert_int_equal(f->last.step, 240);
    assert_int_equal(f->last.validation.count, 50);
    assert_true(f->last.loss < 0.5); /* it learns: the loss begins at 2.3 */
    assert_true(f->last.accuracy > 0.9);
    assert_int_equal(f->saved, 0);
}

static void steps_end_within_an_epoch(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.steps = 8;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_int_equal(f->epochs, 2);
    assert_int_equal(f->last.step, 8);
    assert_true(f->last.accuracy <= 1);
}

static void bad_requests_are_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.batch = PICTURES + 1;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "1 to the 96 pictures", "found 97",
                 "smaller --batch");
    f->options.batch = BATCH;
    f->options.workload = &workload_cnn_cifar;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "cnn-cifar: expected pictures of 3x32",
                 "shapes of 1x28x28");
    f->options.workload = &workload_mlp_mnist;
    f->options.epochs = 1000000000;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "at most 2^31 - 1 steps", "6000000000");
}

/* The step and the op are named, whatever the length of the block. */
static void a_bad_loss_stops_with_its_op(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.optimizer.learning_rate = 1e30f;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_NUMERIC, "step ", "op ", "not finite",
                 "smaller learning rate");
}

static void weights_that_are_not_finite_are_not_written(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trainer t;
    char path[FILE_PATH_BYTES];
    float bias[10] = {0, 0, 0, (float)NAN};
    ASSERT_OK(trainer_open(&t, &f->options, &err));
    be_parameter last = be_plan_parameter(t.plan, be_plan_parameter_count(t.plan) - 1);
    ASSERT_OK(be_plan_write(t.plan, last.value, bias, sizeof bias, &err));
    support_path(path, sizeof path, f->folder, "weights");
    ASSERT_FAILS(weights_save(t.plan, path, NULL, 0, &err), BE_NUMERIC, "fc3.bias", "element 3",
                 "nothing was written");
    assert_false(file_exists(path));
    checkpoint_state s = {.workload = "mlp-mnist"};
    char saved[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
    ASSERT_FAILS(checkpoint_save(t.plan, checkpoints_of(f, folder), &s, saved, &err), BE_NUMERIC,
                 "fc3.bias");
    assert_false(file_exists(saved));
    trainer_close(&t);
}

static be_status open_and_step(void *context, be_error *err)
{
    fixture *f = context;
    f->options.steps = 1;
    return train_and_export(f, "weights", err);
}

static void allocations_may_fail(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    assert_true(support_fail_each_allocation(open_and_step, f, 3000) > 20);
    ASSERT_OK(open_and_step(f, &err));
}

/* ---------------------------------------------------------------- resuming */

/* Stop at `stop` steps, go on from there: the weights must be those of one training, bit for bit.
 */
static void resume_at(fixture *f, int64_t stop, int64_t save_every)
{
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.folder = checkpoints_of(f, folder);
    f->options.save_every = save_every;
    f->options.resume = NULL;
    f->options.steps = stop;
    ASSERT_OK(train_and_export(f, NULL, &err));
    f->options.steps = 0;
    f->options.resume = folder;
    f->note[0] = 0;
    ASSERT_OK(train_and_export(f, "resumed", &err));
    assert_non_null(strstr(f->note, "going on from step"));
    assert_same_files(f, "whole", "resumed");
    support_remove_folder(strdup(folder));
}

static void resumed_training_is_bit_identical(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    const be_optimizer optimizers[] = {
        {.kind = BE_SGD, .learning_rate = 0.01f, .momentum = 0.9f, .weight_decay = 1e-3f},
        {.kind = BE_ADAM, .learning_rate = 1e-3f},
        {.kind = BE_ADAMW, .learning_rate = 1e-3f, .weight_decay = 1e-2f}};
    for (int o = 0; o < 3; o++) {
        f->options.optimizer = optimizers[o];
        f->options.folder = f->options.resume = NULL;
        ASSERT_OK(train_and_export(f, "whole", &err));
        resume_at(f, 1, 0);  /* within the first epoch */
        resume_at(f, 6, 0);  /* between two epochs */
        resume_at(f, 11, 3); /* within the second, other checkpoints before */
        resume_at(f, 18, 0); /* at the end: nothing is left to do */
    }
}

static void the_running_sums_are_resumed(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.epochs = 1;
    ASSERT_OK(train_and_export(f, NULL, &err));
    train_epoch whole = f->last;
    f->options.folder = checkpoints_of(f, folder);
    f->options.steps = 4;
    ASSERT_OK(train_and_export(f, NULL, &err));
    f->options.steps = 0;
    f->options.resume = folder;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_true(f->last.loss == whole.loss);
    assert_true(f->last.accuracy == whole.accuracy);
    assert_true(f->last.validation.loss == whole.validation.loss);
}

static void an_interrupt_saves_first(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    ASSERT_OK(train_and_export(f, "whole", &err));
    f->options.rescue_folder = checkpoints_of(f, folder);
    f->interrupt_at = 2;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_INTERRUPTED, "stopped by a signal after step",
                 "of 18", "--resume", folder);
    assert_int_equal(f->saved, 1);
    assert_true(file_exists(f->last_saved));
    f->interrupt = 0;
    f->interrupt_at = 0;
    f->options.resume = f->last_saved; /* a file instead of a folder */
    ASSERT_OK(train_and_export(f, "resumed", &err));
    assert_same_files(f, "whole", "resumed");
    f->options.resume = f->options.rescue_folder = NULL;
    f->interrupt = SIGTERM;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_INTERRUPTED, "stopped by a signal");
}

/* ---------------------------------------------------------------- checkpoints */

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
    f->options.batch = 8;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the batch 8", "found one with 16");
    f->options.batch = BATCH;
    f->options.optimizer.learning_rate = 0.02f;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "the learning rate 0.0199999996");
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
    const int64_t rooms[] = {0, 4, 8, 100, info.st_size / 2, info.st_size - 1};
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

/* ---------------------------------------------------------------- weights and evaluation */

static be_status evaluate_file(fixture *f, const workload *w, const char *path, int batch,
                               evaluation *out, be_error *err)
{
    evaluator e;
    safetensors *file = NULL;
    evaluator_options options = {.workload = w,
                                 .device = f->device,
                                 .batch = batch,
                                 .count = f->test->count,
                                 .images = f->test->images,
                                 .labels = f->test->labels,
                                 .mean = {f->test->mean[0]},
                                 .std = {f->test->std[0]}};
    TRY(evaluator_open(&e, &options, err));
    be_status status = safetensors_open(&file, path, err);
    if (status == BE_OK) status = weights_load(e.plan, file, err);
    if (status == BE_OK) status = evaluator_run(&e, out, err);
    safetensors_close(file);
    evaluator_close(&e);
    return status;
}

/* The last batch is short, and one batch may be larger than the set: the same numbers come out. */
static void every_batch_gives_the_same_evaluation(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    evaluation one, other;
    ASSERT_OK(train_and_export(f, "weights", &err));
    support_path(path, sizeof path, f->folder, "weights");
    ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, path, 1, &one, &err));
    assert_int_equal(one.count, 50);
    const int batches[] = {7, 16, 50, 64};
    for (int i = 0; i < 4; i++) {
        ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, path, batches[i], &other, &err));
        assert_int_equal(other.correct, one.correct);
        assert_true(fabs(other.loss - one.loss) < 1e-5 * one.loss);
    }
    assert_int_equal(f->last.validation.correct, one.correct);
}

static void weights_of_another_model_are_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    evaluation out;
    ASSERT_OK(train_and_export(f, "weights", &err));
    support_path(path, sizeof path, f->folder, "weights");
    ASSERT_FAILS(evaluate_file(f, &workload_cnn_fashion, path, 10, &out, &err), BE_BAD_DATA,
                 "conv1.weight", "found none of that name");
    ASSERT_FAILS(evaluate_file(f, &workload_cnn_fashion, "/nowhere", 10, &out, &err), BE_IO,
                 "/nowhere");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(epochs_are_trained_and_validated),
        TEST(steps_end_within_an_epoch),
        TEST(bad_requests_are_refused),
        TEST(a_bad_loss_stops_with_its_op),
        TEST(weights_that_are_not_finite_are_not_written),
        TEST(allocations_may_fail),
        TEST(resumed_training_is_bit_identical),
        TEST(the_running_sums_are_resumed),
        TEST(an_interrupt_saves_first),
        TEST(the_last_two_are_kept),
        TEST(another_training_is_not_overwritten),
        TEST(a_checkpoint_of_another_training_is_refused),
        TEST(other_files_are_refused),
        TEST(a_damaged_newest_is_set_aside),
        TEST(only_damaged_ones_are_an_error),
        TEST(a_full_disk_loses_nothing),
        TEST(every_batch_gives_the_same_evaluation),
        TEST(weights_of_another_model_are_refused),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
