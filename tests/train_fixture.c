/* The small training of the tests. */
#include "train_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "train/weights.h"

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

int fixture_set_up(void **state)
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
                                 .data = &f->data->table,
                                 .validation = &f->test->table,
                                 .seed = 5,
                                 .batch = BATCH,
                                 .epochs = 3,
                                 .optimizer = workload_mlp_mnist.optimizer,
                                 .watch = {f, see_progress, see_epoch, see_saved, see_note},
                                 .interrupted = &f->interrupt};
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
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

be_status train_and_export(fixture *f, const char *name, be_error *err)
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

void assert_same_files(const fixture *f, const char *first, const char *second)
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

const char *checkpoints_of(fixture *f, char path[FILE_PATH_BYTES])
{
    return support_path(path, FILE_PATH_BYTES, f->folder, "checkpoints");
}

const char *checkpoint_at(fixture *f, int step, char path[FILE_PATH_BYTES])
{
    snprintf(path, FILE_PATH_BYTES, "%s/checkpoints/mlp-mnist-%010d.safetensors", f->folder, step);
    return path;
}
