/* Tests of data-parallel training: N ranks with equal parts of each batch train as one does with
 * the whole of it, up to the order of the sums.  The ranks are threads, each with a device of its
 * own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "group/transport.h"
#include "group_fixture.h"
#include "train/ranks.h"
#include "train/weights.h"
#include "train_fixture.h"
#include "workloads/pictures.h"

#define RANKS 4

/* One rank's training. */
typedef struct worker {
    const fixture *f;
    train_options options;
    const char *export; /* a file in the fixture's folder for the weights, or NULL */
    double loss;
    evaluation validation;
    int epochs;
    volatile sig_atomic_t interrupt;
    bool interrupts;      /* after the first block */
    const int64_t *parts; /* of both ranks, NULL: equal ones; they stay, or are … */
    bool adapts;          /* … where the training begins */
} worker;

static void worker_epoch(void *context, const train_epoch *e)
{
    worker *w = context;
    w->epochs++;
    w->loss = e->loss;
    w->validation = e->validation;
}

static void worker_progress(void *context, const train_progress *p)
{
    worker *w = context;
    (void)p;
    if (w->interrupts) w->interrupt = SIGINT;
}

static be_status work(rank_thread *m, be_error *err)
{
    worker *w = m->context;
    char path[FILE_PATH_BYTES];
    trainer t;
    TRY(be_device_open("cpu", &(be_device_options){.threads = 1}, &w->options.device, err));
    w->options.group = m->group;
    w->options.interrupted = &w->interrupt;
    w->options.watch =
        (train_watcher){.context = w, .epoch = worker_epoch, .progress = worker_progress};
    if (w->parts) group_cut(m->group, w->parts);
    be_status status = trainer_open(&t, &w->options, err);
    t.shares.stays = !w->adapts;
    if (status == BE_OK) {
        status = trainer_run(&t, err);
        if (status == BE_OK && w->export)
            status = weights_save(t.plan, support_path(path, sizeof path, w->f->folder, w->export),
                                  NULL, 0, err);
        trainer_close(&t);
    }
    be_device_close(w->options.device);
    return status;
}

/* The names of the ranks' files of weights. */
static const char *const files[RANKS] = {"w0", "w1", "w2", "w3"};

static void run(int size, worker *workers, rank_thread *members)
{
    for (int r = 0; r < size; r++) members[r] = (rank_thread){.context = &workers[r], .part = work};
    group_run(size, members);
}

static void prepare(fixture *f, int size, worker *workers)
{
    for (int r = 0; r < size; r++)
        workers[r] = (worker){.f = f, .options = f->options, .export = files[r]};
}

static void check_ok(int size, const rank_thread *members)
{
    for (int r = 0; r < size; r++) {
        be_error err = members[r].err;
        ASSERT_OK(members[r].status);
    }
}

/* The largest difference of two files of weights, relative to the largest weight. */
static double difference(const fixture *f, const char *first, const char *second)
{
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    safetensors *a = NULL, *b = NULL;
    double most = 0, largest = 0;
    ASSERT_OK(safetensors_open(&a, support_path(path, sizeof path, f->folder, first), &err));
    ASSERT_OK(safetensors_open(&b, support_path(path, sizeof path, f->folder, second), &err));
    for (int i = 0; i < safetensors_count(a); i++) {
        const safetensors_tensor *x = safetensors_at(a, i);
        const safetensors_tensor *y = safetensors_find(b, x->name);
        assert_non_null(y);
        for (size_t k = 0; k < x->bytes / sizeof(float); k++) {
            double p = (double)((const float *)x->data)[k], q = (double)((const float *)y->data)[k];
            most = fmax(most, fabs(p - q));
            largest = fmax(largest, fabs(p));
            assert_true(isfinite(p) && isfinite(q));
        }
    }
    safetensors_close(a);
    safetensors_close(b);
    return most / largest;
}

/* Rounding: the sums of a batch are added up in another order, step after step. */
#define ROUNDING 2e-6

static void trains_as_one(fixture *f, int size)
{
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    be_error err = {0};
    ASSERT_OK(train_and_export(f, "alone", &err));
    prepare(f, size, workers);
    run(size, workers, members);
    check_ok(size, members);
    double found = difference(f, "alone", "w0");
    if (!(found <= ROUNDING)) fail_msg("%d ranks differ from one by %g", size, found);
    /* All ranks have the same weights and tell the same, and a second time gives the same bits. */
    for (int r = 1; r < size; r++) assert_same_files(f, "w0", files[r]);
    for (int r = 0; r < size; r++) {
        assert_true(fabs(workers[r].loss - f->last.loss) <= 1e-5 * f->last.loss);
        assert_int_equal(workers[r].validation.count, f->last.validation.count);
        assert_int_equal(workers[r].validation.correct, f->last.validation.correct);
        assert_true(workers[r].validation.loss == workers[0].validation.loss);
    }
    assert_true(fabs(workers[0].validation.loss - f->last.validation.loss) <=
                1e-5 * f->last.validation.loss);
    workers[0].export = "again";
    run(size, workers, members);
    check_ok(size, members);
    assert_same_files(f, "w0", "again");
}

static void mlp_trains_as_one(void **state)
{
    fixture *f = *state;
    for (int size = 2; size <= RANKS; size += 2) trains_as_one(f, size);
}

/* The masks of dropout are those of the whole batch; the norm that is clipped is the group's. */
static void dropout_and_clipping_are_those_of_the_whole_batch(void **state)
{
    fixture *f = *state;
    f->options.workload = &workload_cnn_mnist;
    f->options.optimizer = workload_cnn_mnist.optimizer;
    f->options.optimizer.max_gradient_norm = 0.5;
    f->options.steps = 3;
    trains_as_one(f, 2);
    f->options.batch =
        12; /* parts of 3: of an odd number of elements nowhere, but of other blocks */
    trains_as_one(f, 4);
}

static void expect_failure(worker *workers, be_status status, const char *piece, const char *other)
{
    rank_thread members[RANKS] = {{0}};
    int told = 0;
    run(2, workers, members);
    for (int r = 0; r < 2; r++) {
        be_error err = members[r].err;
        ASSERT_FAILS(members[r].status, status, piece, other);
        assert_int_equal(workers[r].epochs, 0);
        told += members[r].tells;
    }
    assert_int_equal(told, 1);
}

/* ---------------------------------------------------------------- turns */

/* The weights of a training in turns: those of one without, up to rounding, and the same bits a
 * second time. */
static void trains_in_turns(fixture *f, int turns)
{
    be_error err = {0};
    f->options.accumulate = 0;
    ASSERT_OK(train_and_export(f, "alone", &err));
    train_epoch alone = f->last;
    f->options.accumulate = turns;
    ASSERT_OK(train_and_export(f, "turns", &err));
    double found = difference(f, "alone", "turns");
    if (!(found <= ROUNDING)) fail_msg("%d turns differ from one by %g", turns, found);
    assert_true(fabs(alone.loss - f->last.loss) <= 1e-5 * alone.loss);
    assert_true(alone.accuracy == f->last.accuracy);
    ASSERT_OK(train_and_export(f, "again", &err));
    assert_same_files(f, "turns", "again");
}

static void turns_are_a_step(void **state)
{
    fixture *f = *state;
    trains_in_turns(f, 2);
    trains_in_turns(f, BATCH);
}

/* With the masks and the norm of the whole batch; in turns of 5, each of a number of elements that
 * no block of four divides. */
static void turns_drop_and_clip_as_a_step(void **state)
{
    fixture *f = *state;
    f->options.workload = &workload_cnn_mnist;
    f->options.optimizer = workload_cnn_mnist.optimizer;
    f->options.optimizer.max_gradient_norm = 0.5;
    f->options.steps = 3;
    f->options.batch = 15;
    trains_in_turns(f, 3);
}

static void ranks_take_turns(void **state)
{
    fixture *f = *state;
    f->options.workload = &workload_cnn_mnist;
    f->options.optimizer = workload_cnn_mnist.optimizer;
    f->options.steps = 3;
    f->options.batch = 12;
    be_error err = {0};
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    ASSERT_OK(train_and_export(f, "alone", &err));
    f->options.accumulate = 3;
    prepare(f, 2, workers);
    run(2, workers, members);
    check_ok(2, members);
    assert_same_files(f, "w0", "w1");
    double found = difference(f, "alone", "w0");
    if (!(found <= ROUNDING)) fail_msg("2 ranks in 3 turns differ from one by %g", found);
}

/* Within an epoch, and in other turns. */
static void turns_are_resumed(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.steps = 9;
    f->options.accumulate = 4;
    ASSERT_OK(train_and_export(f, "whole", &err));
    f->options.folder = checkpoints_of(f, folder);
    f->options.steps = 4;
    ASSERT_OK(train_and_export(f, NULL, &err));
    char path[FILE_PATH_BYTES];
    f->options.folder = NULL;
    f->options.resume = checkpoint_at(f, 4, path);
    f->options.steps = 9;
    ASSERT_OK(train_and_export(f, "resumed", &err));
    assert_same_files(f, "whole", "resumed");
    f->options.accumulate = 2;
    ASSERT_OK(train_and_export(f, "others", &err));
    double found = difference(f, "whole", "others");
    if (!(found <= ROUNDING)) fail_msg("other turns after a checkpoint differ by %g", found);
}

static void turns_must_be_equal(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    f->options.accumulate = 3;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE,
                 "expected a batch that 3 turns can cut into equal parts, found 16",
                 "use --batch 15, or another number of turns");
    f->options.accumulate = 17;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE, "17 turns", "use --batch 17,");
    worker workers[RANKS];
    f->options.accumulate = 3;
    prepare(f, 2, workers);
    expect_failure(workers, BE_USAGE, "3 turns of each of 2 workers", "use --batch 12,");
}

/* Parts of any size, which may change: the samples, their masks of dropout and the weights of the
 * parts are those of the whole batch. */
static void unequal_parts_train_as_one(void **state)
{
    fixture *f = *state;
    worker workers[2];
    rank_thread members[2] = {{0}};
    be_error err = {0};
    const int64_t cuts[][2] = {{5, 11}, {15, 1}, {8, 8}};
    f->options.workload = &workload_cnn_mnist;
    f->options.optimizer = workload_cnn_mnist.optimizer;
    f->options.optimizer.max_gradient_norm = 0.5;
    f->options.steps = 5;
    for (int c = 0; c < 3; c++) {
        if (c == 2) f->options.steps = 24; /* time to change them */
        ASSERT_OK(train_and_export(f, "alone", &err));
        prepare(f, 2, workers);
        for (int r = 0; r < 2; r++) {
            workers[r].parts = cuts[c];
            workers[r].adapts = c == 2;
        }
        run(2, workers, members);
        check_ok(2, members);
        double found = difference(f, "alone", "w0");
        if (!(found <= ROUNDING)) fail_msg("parts of cut %d differ by %g", c, found);
        assert_same_files(f, "w0", "w1");
        assert_true(fabs(workers[1].loss - f->last.loss) <= 1e-5 * f->last.loss);
        assert_int_equal(workers[0].validation.count, f->last.validation.count);
        assert_int_equal(workers[0].validation.correct, f->last.validation.correct);
    }
}

/* Batch norm of pictures, with a residual, and of rows. */
static void build_normed(be_graph *g, const be_value *fields, const workload_variant *v,
                         workload_outputs *out)
{
    (void)v;
    be_conv2d_options first = {.name = "c1", .channels = 5, .kernel = 3, .stride = 3},
                      second = {.name = "c2", .channels = 5, .kernel = 3, .padding = 1};
    be_value x = be_conv2d(g, fields[PICTURES_IMAGES], &first);
    x = be_relu(g, be_batch_norm(g, x, &(be_batch_norm_options){.name = "n1"}));
    be_value y = be_batch_norm(g, be_conv2d(g, x, &second), &(be_batch_norm_options){.name = "n2"});
    x = be_flatten(g, be_relu(g, be_add(g, y, x)));
    x = be_linear(g, x, &(be_linear_options){.name = "l1", .features = 20});
    x = be_relu(g, be_batch_norm(g, x, &(be_batch_norm_options){.name = "n3"}));
    pictures_classify(g, be_linear(g, x, &(be_linear_options){.name = "l2", .features = 10}),
                      fields, out);
}

static double train_normed(fixture *f, int size, bool synced)
{
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    prepare(f, size, workers);
    for (int r = 0; r < size; r++) workers[r].options.sync_batch_norm = synced;
    run(size, workers, members);
    check_ok(size, members);
    if (synced)
        for (int r = 1; r < size; r++) assert_same_files(f, "w0", files[r]);
    return difference(f, "alone", "w0");
}

/* Weights, and the running means and variances, which no optimizer brings together. */
static void synced_batch_norm_is_that_of_the_whole_batch(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    workload normed = workload_mlp_mnist;
    normed.build = build_normed;
    f->options.workload = &normed;
    f->options.optimizer.learning_rate = 0.05;
    f->options.steps = 8;
    ASSERT_OK(train_and_export(f, "alone", &err));
    for (int size = 2; size <= RANKS; size += 2) {
        double synced = train_normed(f, size, true), apart = train_normed(f, size, false);
        if (!(synced <= 5 * ROUNDING)) fail_msg("%d synced ranks differ by %g", size, synced);
        if (!(apart >= 1e-3)) fail_msg("%d ranks apart differ by %g only", size, apart);
    }
}

/* ---------------------------------------------------------------- checkpoints and interrupts */

static void a_checkpoint_goes_on_with_other_ranks(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.steps = 9;
    ASSERT_OK(train_and_export(f, "alone", &err));
    f->options.folder = checkpoints_of(f, folder);
    f->options.steps = 5; /* within an epoch */
    prepare(f, 4, workers);
    run(4, workers, members);
    check_ok(4, members);
    f->options.resume = f->options.folder;
    f->options.steps = 9;
    prepare(f, 2, workers);
    run(2, workers, members);
    check_ok(2, members);
    assert_same_files(f, "w0", "w1");
    double found = difference(f, "alone", "w0");
    if (!(found <= ROUNDING)) fail_msg("resumed ranks differ from one by %g", found);
}

/* A signal to one rank stops all of them after the same step, and rank 0 saves. */
static void a_signal_to_one_stops_all(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    be_error err = {0};
    char folder[FILE_PATH_BYTES];
    f->options.folder = checkpoints_of(f, folder);
    f->options.epochs = 1000;
    prepare(f, 3, workers);
    for (int r = 0; r < 3; r++) workers[r].options.batch = 15;
    workers[2].interrupts = true;
    run(3, workers, members);
    for (int r = 0; r < 3; r++) {
        err = members[r].err;
        ASSERT_FAILS(members[r].status, BE_INTERRUPTED, "stopped by a signal after step ",
                     "of 6000; saved, and --resume ");
        assert_string_equal(members[r].err.text, members[0].err.text);
    }
    bool any = false;
    ASSERT_OK(checkpoint_any(folder, "mlp-mnist", &any, &err));
    assert_true(any);
}

/* The others have theirs done, or leave it too. */
static void a_signal_to_one_ends_the_validation_of_all(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    char folder[FILE_PATH_BYTES];
    f->options.rescue_folder = checkpoints_of(f, folder);
    f->options.steps = 1;
    for (int told = 0; told < 2; told++) {
        prepare(f, 2, workers);
        workers[told].interrupt = SIGTERM;
        run(2, workers, members);
        for (int r = 0; r < 2; r++) {
            be_error err = members[r].err;
            ASSERT_FAILS(members[r].status, BE_INTERRUPTED,
                         "stopped by a signal in the validation behind the last step, 1", folder);
            assert_int_equal(workers[r].epochs, 0);
        }
    }
}

/* ---------------------------------------------------------------- what is refused */

static void parts_must_be_equal(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    f->options.batch = 17;
    prepare(f, 2, workers);
    expect_failure(workers, BE_USAGE, "2 workers can cut into equal parts, found 17",
                   "--batch 16 or 18");
    f->options.batch = 1;
    prepare(f, 2, workers);
    expect_failure(workers, BE_USAGE, "at least a picture for each of the 2 workers, found 1",
                   "fewer workers");
}

static void what_cannot_be_synced_is_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    worker workers[RANKS];
    f->options.sync_batch_norm = true;
    ASSERT_FAILS(train_and_export(f, NULL, &err), BE_USAGE,
                 "--sync-batch-norm: ", "of several workers, found one", "add --workers N");
    prepare(f, 2, workers);
    expect_failure(workers, BE_USAGE, "--sync-batch-norm: ", "this network has no batch norm");
    prepare(f, 2, workers);
    workers[0].options.sync_batch_norm = false;
    expect_failure(workers, BE_USAGE, "rank 1 was asked for another training than rank 0",
                   "batch norm synced");
}

static void ranks_must_be_asked_the_same(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    be_error err = {0};
    prepare(f, 2, workers);
    workers[1].options.seed = 6;
    expect_failure(workers, BE_USAGE, "rank 1 was asked for another training than rank 0",
                   "seed 6");
    prepare(f, 2, workers);
    workers[1].options.optimizer.learning_rate = 0.25;
    expect_failure(workers, BE_USAGE, "rank 1 was asked for another training", "0.25");
    /* As many pictures, but others. */
    be_dataset *others = NULL;
    dataset_options data = {.seed = 2, .synthetic = true, .limit = PICTURES};
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &others, &err));
    prepare(f, 2, workers);
    workers[1].options.data = &others->table;
    expect_failure(workers, BE_USAGE, "rank 1 has other data than rank 0: expected 96 pictures",
                   "give all ranks the same files");
    dataset_close(others);
}

static void ranks_must_be_the_same_program(void **state)
{
    (void)state;
    be_error err = {0};
    const rank_job first = {.build = "1 abc", .job = "j", .data = "d"}, same = first;
    const rank_job other = {.build = "1 abd", .job = "j", .data = "d"};
    ASSERT_OK(ranks_compare(&first, &same, 3, &err));
    ASSERT_FAILS(ranks_compare(&first, &other, 3, &err), BE_USAGE,
                 "rank 3 runs another program than rank 0", "expected breakeven 1 abc, found 1 abd",
                 "install the same one");
}

/* The loss is not finite on all ranks at once; the first bad result is told by the rank of it. */
static void a_bad_loss_stops_all(void **state)
{
    fixture *f = *state;
    worker workers[RANKS];
    rank_thread members[RANKS] = {{0}};
    int told = 0;
    f->options.optimizer.learning_rate = 1e30;
    prepare(f, 2, workers);
    run(2, workers, members);
    for (int r = 0; r < 2; r++) {
        be_error err = members[r].err;
        ASSERT_FAILS(members[r].status, BE_NUMERIC, "step 1: op ", "not finite");
        told += members[r].tells;
    }
    assert_int_equal(told, 1);
}

/* Nobody is given up because his part of a validation is long. */
static void an_evaluation_gives_signs_of_life(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    be_group *groups[2];
    evaluation found[2];
    ASSERT_OK(group_of_threads(2, groups, &err));
    for (int k = 0; k < 2; k++) {
        evaluator e;
        evaluator_options options = {.workload = f->options.workload,
                                     .device = f->device,
                                     .batch = 8,
                                     .data = &f->test->table,
                                     .group = k ? groups[0] : NULL};
        groups[0]->beat_ns = 0;
        ASSERT_OK(evaluator_open(&e, &options, &err));
        ASSERT_OK(evaluator_run(&e, &found[k], &err));
        evaluator_close(&e);
        assert_true((groups[0]->beat_ns > 0) == (k == 1));
    }
    assert_true(found[0].loss == found[1].loss && found[0].correct == found[1].correct);
    for (int r = 0; r < 2; r++) be_group_close(groups[r]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(mlp_trains_as_one),
        FIXTURE_TEST(dropout_and_clipping_are_those_of_the_whole_batch),
        FIXTURE_TEST(turns_are_a_step),
        FIXTURE_TEST(turns_drop_and_clip_as_a_step),
        FIXTURE_TEST(ranks_take_turns),
        FIXTURE_TEST(turns_are_resumed),
        FIXTURE_TEST(turns_must_be_equal),
        FIXTURE_TEST(unequal_parts_train_as_one),
        FIXTURE_TEST(synced_batch_norm_is_that_of_the_whole_batch),
        FIXTURE_TEST(a_checkpoint_goes_on_with_other_ranks),
        FIXTURE_TEST(a_signal_to_one_stops_all),
        FIXTURE_TEST(a_signal_to_one_ends_the_validation_of_all),
        FIXTURE_TEST(parts_must_be_equal),
        FIXTURE_TEST(what_cannot_be_synced_is_refused),
        FIXTURE_TEST(ranks_must_be_asked_the_same),
        cmocka_unit_test(ranks_must_be_the_same_program),
        FIXTURE_TEST(a_bad_loss_stops_all),
        FIXTURE_TEST(an_evaluation_gives_signs_of_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
