/* Tests of evaluation where samples are compared with one another: every batch is a full one. */
#include <math.h>
#include <string.h>

#include "support.h"
#include "train/evaluate.h"

enum { PAIRS = 24, BATCH = 16 };

typedef struct fixture {
    be_device *device;
    be_dataset *data;
    workload varied;
    const workload *workload;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    be_error err = {0};
    const workload_variant small = {
        .layers = 1, .width = 16, .heads = 2, .seq = 24, .size = 16, .vocab = 600};
    f = (fixture){0};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &f.device, &err));
    ASSERT_OK(workload_vary(&workload_clip, &small, &f.varied, &f.workload, &err));
    dataset_options options = {.seed = 1, .synthetic = true};
    ASSERT_OK(workload_data(f.workload, SPLIT_TEST, &options, &f.data, &err));
    assert_int_equal(f.data->table.count, PAIRS);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    dataset_close(f->data);
    be_device_close(f->device);
    return 0;
}

/* The samples from `first` on, as a set of their own. */
static data_table part_of(const data_table *whole, int64_t first, int64_t count)
{
    data_table part = *whole;
    part.count = count;
    for (int f = 0; f < part.fields; f++) {
        part.field[f].bytes = field_at(&whole->field[f], first);
        part.field[f].form.count = count;
    }
    return part;
}

static evaluation evaluate(const fixture *f, const data_table *data, int batch)
{
    be_error err = {0};
    evaluator e;
    evaluation out;
    evaluator_options options = {
        .workload = f->workload, .device = f->device, .batch = batch, .data = data};
    ASSERT_OK(evaluator_open(&e, &options, &err));
    ASSERT_OK(evaluator_run(&e, &out, &err));
    evaluator_close(&e);
    return out;
}

static void the_last_batch_of_pairs_is_full(void **state)
{
    const fixture *f = *state;
    data_table first = part_of(&f->data->table, 0, BATCH);
    data_table last = part_of(&f->data->table, PAIRS - BATCH, BATCH);
    evaluation a = evaluate(f, &first, BATCH), b = evaluate(f, &last, BATCH);
    evaluation both = evaluate(f, &f->data->table, BATCH);
    assert_string_equal(both.counted, "retrieval at 1");
    assert_int_equal(both.count, PAIRS);
    assert_int_equal(both.answers, 2 * BATCH);
    assert_int_equal(both.correct, a.correct + b.correct);
    assert_true(a.loss != b.loss);
    assert_float_equal(both.loss, (a.loss + b.loss) / 2, 1e-6);
}

static void a_set_smaller_than_a_batch_is_one_batch(void **state)
{
    const fixture *f = *state;
    evaluation all = evaluate(f, &f->data->table, PAIRS);
    evaluation more = evaluate(f, &f->data->table, 1000);
    assert_int_equal(more.answers, PAIRS);
    assert_true(more.loss == all.loss);
}

static void a_signal_ends_it(void **state)
{
    const fixture *f = *state;
    be_error err = {0};
    evaluator e;
    evaluation out;
    const volatile sig_atomic_t came = SIGINT;
    evaluator_options options = {.workload = f->workload,
                                 .device = f->device,
                                 .batch = BATCH,
                                 .data = &f->data->table,
                                 .interrupted = &came};
    ASSERT_OK(evaluator_open(&e, &options, &err));
    ASSERT_FAILS(evaluator_run(&e, &out, &err), BE_INTERRUPTED, "stopped by a signal",
                 "in an evaluation, 1 of 2 batches done");
    evaluator_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_batch_of_pairs_is_full),
                                       cmocka_unit_test(a_set_smaller_than_a_batch_is_one_batch),
                                       cmocka_unit_test(a_signal_ends_it)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
