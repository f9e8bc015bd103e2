/* Tests of the training loop: its steps, validation, resuming, bad losses, interrupts, weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "data/order.h"
#include "graph/device.h"
#include "train/weights.h"
#include "train_fixture.h"

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
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE,
                 "cnn-cifar reads samples u8 [3, 32, 32] of the field \"images\"",
                 "those of shapes are u8 [1, 28, 28]");
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
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_NUMERIC, "step 1: op ", "not finite",
                 "smaller learning rate");
}

/* ---------------------------------------------------------------- snapshots */

/* A device on which a step and reading a value take so long, by a clock of the test's own. */
static int64_t slow_now, step_ns, read_ns;
static int slow_reads; /* of the largest tensor */
static const device_vtable *real_device;

/* Which pictures each step saw, by a hash of the order: a step done again must see the same. */
#define SLOW_STEPS 400
static int64_t slow_step;
static uint32_t slow_order, slow_orders[SLOW_STEPS];
static int slow_again, slow_wrong; /* steps done again, and those with other pictures */

static int64_t slow_now_ns(void *context)
{
    (void)context;
    return slow_now;
}

static be_status slow_read(program *p, be_value value, void *data, size_t bytes, be_error *err)
{
    slow_now += read_ns;
    slow_reads += bytes == 784 * 128 * sizeof(float);
    return real_device->read(p, value, data, bytes, err);
}

static be_status slow_write(program *p, be_value value, const void *data, size_t bytes,
                            be_error *err)
{
    /* The clock; the learning rate is a float, which is no small number of steps. */
    if (bytes == sizeof(int32_t) && *(const int32_t *)data < SLOW_STEPS)
        slow_step = *(const int32_t *)data;
    if (bytes == PICTURES * sizeof(int32_t)) {
        slow_order = 0;
        for (int i = 0; i < PICTURES; i++)
            slow_order = slow_order * 31 + (uint32_t)((const int32_t *)data)[i];
    }
    return real_device->write(p, value, data, bytes, err);
}

static be_status slow_run(program *p, int64_t steps, bool checked, be_error *err)
{
    slow_now += steps * step_ns;
    for (int64_t s = 0; s < steps; s++, slow_step++) {
        assert_in_range(slow_step, 0, SLOW_STEPS - 1);
        uint32_t *seen = &slow_orders[slow_step];
        slow_again += *seen != 0;
        slow_wrong += *seen != 0 && *seen != slow_order;
        *seen = slow_order;
    }
    return real_device->run(p, steps, checked, err);
}

static be_status train_slowly(fixture *f, double step_s, double read_s, be_error *err)
{
    static const clock_source clock = {.now_ns = slow_now_ns};
    real_device = f->device->vtable;
    device_vtable slow = *real_device;
    slow.read = slow_read;
    slow.run = slow_run;
    slow.write = slow_write;
    f->device->vtable = &slow;
    step_ns = (int64_t)(step_s * 1e9);
    read_ns = (int64_t)(read_s * 1e9);
    slow_reads = slow_again = slow_wrong = 0;
    slow_step = 0;
    memset(slow_orders, 0, sizeof slow_orders);
    slow_now = 0;
    clock_use(&clock);
    be_status status = train_and_export(f, NULL, err);
    clock_use(NULL);
    f->device->vtable = real_device;
    return status;
}

/* 30 steps in 15 blocks of two.  What is copied for the worst case is no training; what was drawn
 * is not copied at all. */
static void copies_of_the_weights_are_rare_and_no_training(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.validation = NULL;
    f->options.epochs = 5;
    ASSERT_OK(train_slowly(f, 0.1, 0.02, &err));
    assert_true(f->epochs == 5 && f->progress >= 15);
    assert_int_equal(slow_reads, 0);
    ASSERT_OK(train_slowly(f, 0.1, 1, &err));
    assert_int_equal(slow_reads, 1);
    char path[FILE_PATH_BYTES];
    ASSERT_OK(train_and_export(f, "learned", &err));
    support_path(path, sizeof path, f->folder, "learned");
    f->options.weights = path;
    ASSERT_OK(train_slowly(f, 0.1, 1, &err));
    assert_int_equal(slow_reads, 1);
    /* The copy falls into the first epoch. */
    f->options.epochs = 1;
    ASSERT_OK(train_slowly(f, 0.1, 1, &err));
    assert_int_equal(slow_reads, 1);
    assert_float_equal(f->last.seconds, 6 * 0.1, 1e-9);
    assert_float_equal(f->last.samples_per_s, BATCH / 0.1, 1e-6);
}

/* Epochs after the last copy of the weights the same op is found as with a copy before each step:
 * what was done since is done again, with the pictures of those epochs. */
static void a_bad_loss_is_found_from_an_old_copy_too(void **state)
{
    fixture *f = *state;
    be_error near = {0}, far = {0};
    f->options.validation = NULL;
    f->options.epochs = 50;
    f->options.optimizer =
        (be_optimizer){.kind = BE_SGD, .learning_rate = 1e-6f, .weight_decay = 2.5e6f};
    assert_int_equal(train_slowly(f, 10, 0, &near), BE_NUMERIC);
    int epochs = f->epochs, copies = slow_reads;
    if (epochs < 3 || copies < 6 * epochs)
        fail_msg("%d epochs, %d copies: %s", epochs, copies, near.text);
    if (!strstr(near.text, "not finite")) fail_msg("%s", near.text);
    /* From the start, of which there is no copy; and from one that is taken after 5 s. */
    for (int copied = 0; copied < 2; copied++) {
        assert_int_equal(train_slowly(f, copied ? 0.1 : 0.01, copied ? 1 : 0, &far), BE_NUMERIC);
        assert_int_equal(slow_reads, copied);
        assert_int_equal(slow_wrong, 0);
        assert_true(slow_again > 2 * 6);
        assert_string_equal(near.text, far.text);
    }
}

/* A plan by hand, over the pictures laid out as order_fill says, gets the same weights. */
static void the_batches_are_those_of_the_order(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    enum { STEPS = 12, PIXELS = 28 * 28 };
    static uint8_t images[STEPS * BATCH * PIXELS];
    int32_t labels[STEPS * BATCH], order[STEPS * BATCH], plain[STEPS * BATCH];
    order_run run = {.seed = f->options.seed,
                     .count = PICTURES,
                     .batch = BATCH,
                     .first_step = 0,
                     .steps = STEPS};
    ASSERT_OK(order_fill(&run, order, &err));
    for (int i = 0; i < STEPS * BATCH; i++) {
        memcpy(images + i * PIXELS, f->data->images + order[i] * PIXELS, PIXELS);
        labels[i] = f->data->labels[order[i]];
        plain[i] = i;
    }
    workload_model model;
    be_plan *plan = NULL;
    char path[FILE_PATH_BYTES];
    data_table seen = f->data->table;
    seen.count = seen.field[0].form.count = seen.field[1].form.count = STEPS * BATCH;
    workload_options options = {
        .seed = f->options.seed, .batch = BATCH, .data = &seen, .optimizer = &f->options.optimizer};
    ASSERT_OK(workload_model_new(&workload_mlp_mnist, &options, &model, &err));
    be_plan_options train = {.mode = BE_TRAIN};
    ASSERT_OK(be_plan_new(model.graph, f->device, &train, &plan, &err));
    ASSERT_OK(
        be_plan_bind(plan, be_value_find(model.graph, "images"), images, sizeof images, &err));
    ASSERT_OK(
        be_plan_bind(plan, be_value_find(model.graph, "labels"), labels, sizeof labels, &err));
    ASSERT_OK(be_plan_bind(plan, model.order, plain, sizeof plain, &err));
    ASSERT_OK(be_plan_run(plan, STEPS, &err));
    support_path(path, sizeof path, f->folder, "by hand");
    ASSERT_OK(weights_save(plan, path, NULL, 0, &err));
    be_plan_free(plan);
    be_graph_free(model.graph);
    f->options.steps = STEPS;
    ASSERT_OK(train_and_export(f, "whole", &err));
    assert_same_files(f, "by hand", "whole");
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
    ASSERT_FAILS(
        checkpoint_save(t.plan, checkpoints_of(f, folder), &s, CHECKPOINT_LAST, saved, &err),
        BE_NUMERIC, "fc3.bias");
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

/* ---------------------------------------------------------------- one folder, one training */

static void a_folder_is_one_trainings(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trainer first, second;
    char folder[FILE_PATH_BYTES], lock[FILE_PATH_BYTES], process[64];
    f->options.folder = checkpoints_of(f, folder);
    support_path(lock, sizeof lock, folder, "mlp-mnist.lock");
    snprintf(process, sizeof process, "that of process %ld since 20", (long)getpid());
    ASSERT_OK(trainer_open(&first, &f->options, &err));
    ASSERT_FAILS(trainer_open(&second, &f->options, &err), BE_FAILED, folder,
                 "expected no other training of this network there", process, "wait for its end",
                 "stop it", "--checkpoint");
    trainer_close(&first);
    assert_false(file_is_folder(folder)); /* nothing was saved */
    ASSERT_OK(file_make_folders(folder, &err));
    support_write_file(lock, "1 1700000000 elsewhere\n", 23); /* a dead one's */
    ASSERT_OK(trainer_open(&second, &f->options, &err));
    ASSERT_OK(trainer_run(&second, &err));
    trainer_close(&second);
    trainer_close(&second);
    assert_false(file_exists(lock));
    assert_true(file_is_folder(folder));
}

static void who_only_reads_needs_no_lock(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trainer first;
    char folder[FILE_PATH_BYTES];
    f->options.folder = checkpoints_of(f, folder);
    f->options.steps = 3;
    ASSERT_OK(trainer_open(&first, &f->options, &err));
    ASSERT_OK(trainer_run(&first, &err));
    f->options.folder = NULL;
    f->options.resume = folder;
    f->options.steps = 4;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_int_equal(f->last.step, 4);
    trainer_close(&first);
}

static void nothing_to_resume_is_a_start(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.folder = f->options.resume = checkpoints_of(f, folder);
    f->options.steps = 3;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_IO, "expected a checkpoint of mlp-mnist");
    f->options.resume_if_any = true;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_non_null(strstr(f->note, "has no checkpoint of mlp-mnist yet: from the start"));
    f->options.steps = 4;
    ASSERT_OK(train_and_export(f, NULL, &err));
    assert_non_null(strstr(f->note, "going on from step 3"));
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
        {.kind = BE_ADAMW, .learning_rate = 1e-3f, .weight_decay = 1e-2f},
        {.kind = BE_ADAMW,
         .learning_rate = 1e-2f,
         .max_gradient_norm = 0.5,
         .schedule = {BE_RATE_COSINE, 2, 17, 0.1}}};
    for (int o = 0; o < 4; o++) {
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

/* A validation may take minutes. */
static void an_interrupt_ends_a_validation(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.rescue_folder = checkpoints_of(f, folder);
    f->options.steps = 1;
    f->interrupt = SIGTERM;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_INTERRUPTED,
                 "stopped by a signal in the validation behind the last step, 1", folder,
                 "'breakeven eval' validates them");
    assert_int_equal(f->saved, 1);
    assert_int_equal(f->last.validation.count, 0);
}

/* ---------------------------------------------------------------- weights and evaluation */

static char weights_note[WEIGHTS_NOTE_BYTES];

static be_status evaluate_file(fixture *f, const workload *w, const char *path, int batch,
                               evaluation *out, be_error *err)
{
    evaluator e;
    safetensors *file = NULL;
    evaluator_options options = {
        .workload = w, .device = f->device, .batch = batch, .data = &f->test->table};
    TRY(evaluator_open(&e, &options, err));
    be_status status = safetensors_open(&file, path, err);
    if (status == BE_OK) status = weights_load(e.plan, file, WEIGHTS_WHOLE, weights_note, err);
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

/* Write the file again with its names behind `prefix` and its numbers in `dtype`. */
static void rewrite(const char *from, const char *to, const char *prefix, safetensors_dtype dtype)
{
    safetensors *file = NULL;
    be_error err = {0};
    safetensors_tensor tensors[16];
    char names[16][100];
    ASSERT_OK(safetensors_open(&file, from, &err));
    int count = safetensors_count(file);
    for (int t = 0; t < count; t++) {
        safetensors_tensor *tensor = &tensors[t];
        *tensor = *safetensors_at(file, t);
        const float *values = tensor->data;
        size_t item = safetensors_dtype_bytes(dtype);
        unsigned char *out = malloc((size_t)tensor->count * item);
        for (int64_t i = 0; i < tensor->count; i++) {
            double wide = (double)values[i];
            uint32_t bits;
            memcpy(&bits, &values[i], 4);
            uint16_t brain = (uint16_t)(bits >> 16);
            /* Of F16 the weights of the test are normal numbers; what is cut off does not matter.
             */
            int exponent = (int)(bits >> 23 & 255) - 127 + 15;
            uint16_t half = (uint16_t)(bits >> 16 & 0x8000);
            if (exponent > 0) half |= (uint16_t)(exponent << 10 | (bits >> 13 & 1023));
            const void *as = dtype == SAFETENSORS_F64    ? (const void *)&wide
                             : dtype == SAFETENSORS_BF16 ? (const void *)&brain
                             : dtype == SAFETENSORS_F16  ? (const void *)&half
                                                         : (const void *)&values[i];
            memcpy(out + (size_t)i * item, as, item);
        }
        snprintf(names[t], sizeof names[t], "%s%s", prefix, tensor->name);
        tensor->name = names[t];
        tensor->dtype = dtype;
        tensor->data = out;
    }
    ASSERT_OK(safetensors_save(to, &(safetensors_layout){tensors, count, NULL, 0}, &err));
    for (int t = 0; t < count; t++) free((void *)(uintptr_t)tensors[t].data);
    safetensors_close(file);
}

/* As PyTorch's wrappers name them and as smaller files hold them: loaded, and told. */
static void weights_with_prefixes_and_of_other_types_are_read(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char path[FILE_PATH_BYTES], other[FILE_PATH_BYTES];
    evaluation plain, out;
    ASSERT_OK(train_and_export(f, "weights", &err));
    support_path(path, sizeof path, f->folder, "weights");
    support_path(other, sizeof other, f->folder, "other");
    ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, path, 16, &plain, &err));
    assert_string_equal(weights_note, "");
    static const char *const prefixes[] = {"module.", "_orig_mod.", "module._orig_mod."};
    for (int i = 0; i < 3; i++) {
        rewrite(path, other, prefixes[i], SAFETENSORS_F32);
        ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, other, 16, &out, &err));
        assert_true(out.loss == plain.loss);
        assert_non_null(strstr(weights_note, prefixes[i]));
    }
    rewrite(path, other, "", SAFETENSORS_F64);
    ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, other, 16, &out, &err));
    assert_true(out.loss == plain.loss);
    assert_string_equal(weights_note, "6 of 6 tensors are converted from F64 to F32");
    rewrite(path, other, "module.", SAFETENSORS_BF16);
    ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, other, 16, &out, &err));
    assert_true(fabs(out.loss - plain.loss) < 0.05 * plain.loss && out.loss != plain.loss);
    assert_non_null(
        strstr(weights_note, "without \"module.\"; 6 of 6 tensors are converted from BF16"));
    rewrite(path, other, "", SAFETENSORS_F16);
    ASSERT_OK(evaluate_file(f, &workload_mlp_mnist, other, 16, &out, &err));
    assert_true(fabs(out.loss - plain.loss) < 0.01 * plain.loss && out.loss != plain.loss);
    rewrite(path, other, "", SAFETENSORS_I32);
    ASSERT_FAILS(evaluate_file(f, &workload_mlp_mnist, other, 16, &out, &err), BE_BAD_DATA,
                 "fc1.weight", "expected F32 [128, 784], found I32 [128, 784]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(epochs_are_trained_and_validated),
        FIXTURE_TEST(steps_end_within_an_epoch),
        FIXTURE_TEST(bad_requests_are_refused),
        FIXTURE_TEST(a_bad_loss_stops_with_its_op),
        FIXTURE_TEST(the_batches_are_those_of_the_order),
        FIXTURE_TEST(copies_of_the_weights_are_rare_and_no_training),
        FIXTURE_TEST(a_bad_loss_is_found_from_an_old_copy_too),
        FIXTURE_TEST(weights_that_are_not_finite_are_not_written),
        FIXTURE_TEST(allocations_may_fail),
        FIXTURE_TEST(a_folder_is_one_trainings),
        FIXTURE_TEST(who_only_reads_needs_no_lock),
        FIXTURE_TEST(nothing_to_resume_is_a_start),
        FIXTURE_TEST(resumed_training_is_bit_identical),
        FIXTURE_TEST(the_running_sums_are_resumed),
        FIXTURE_TEST(an_interrupt_saves_first),
        FIXTURE_TEST(an_interrupt_ends_a_validation),
        FIXTURE_TEST(every_batch_gives_the_same_evaluation),
        FIXTURE_TEST(weights_of_another_model_are_refused),
        FIXTURE_TEST(weights_with_prefixes_and_of_other_types_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
