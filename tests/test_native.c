/* Tests that a job's settings reach the native engine as they were sent, in every build. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "graph/graph.h"
#include "native/native.h"
#include "ops/optimizer/optimizer.h"
#include "run/material.h"

/* Numbers that single precision does not have. */
#define RATE 0.01
#define MOMENTUM 0.9
#define DECAY 5e-4
#define BETA1 0.87
#define BETA2 0.9991
#define EPSILON 1.1e-8

typedef struct fixture {
    const workload *w;
    be_dataset *set;
    material_options options;
    material files;
    native_session session;
} fixture;

static void fixture_open(fixture *f, const char *workload_name)
{
    be_error err;
    dataset_kind kind;
    *f = (fixture){0};
    ASSERT_OK(workload_find(workload_name, &f->w, &err));
    ASSERT_OK(catalog_find(f->w->dataset, &kind, &err));
    ASSERT_OK(dataset_open(kind, SPLIT_TRAIN,
                           &(dataset_options){.seed = 1, .synthetic = true, .limit = 200}, &f->set,
                           &err));
    f->options = (material_options){.workload = f->w, .set = &f->set->table, .seed = 3};
    ASSERT_OK(material_new(&f->files, &f->options, &err));
}

static void fixture_close(fixture *f)
{
    native_close(&f->session);
    material_free(&f->files);
    dataset_close(f->set);
}

static void open_session(fixture *f, const protocol_optimizer *optimizer)
{
    be_error err;
    protocol_job job = material_job(&f->files, &f->options);
    job.device = "cpu";
    job.optimizer = *optimizer;
    ASSERT_OK(native_open(&f->session, &job, &(be_device_options){0}, &err));
}

/* The bits of two numbers, so that no more precise register helps. */
#define ASSERT_SAME(found, sent)                                  \
    do {                                                          \
        volatile double found_ = (found), sent_ = (sent);         \
        double pair_[2] = {found_, sent_};                        \
        assert_memory_equal(&pair_[0], &pair_[1], sizeof *pair_); \
    } while (0)

static void sgd_is_what_was_sent(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, "mlp-mnist");
    open_session(&f, &(protocol_optimizer){
                         .name = "sgd", .lr = RATE, .momentum = MOMENTUM, .weight_decay = DECAY});
    const be_optimizer *o = &f.session.optimizer;
    ASSERT_SAME(o->learning_rate, RATE);
    ASSERT_SAME(o->momentum, MOMENTUM);
    ASSERT_SAME(o->weight_decay, DECAY);
    const graph_recipe *recipe = &f.session.model.graph->recipe;
    const sgd_attrs *attrs = recipe->optimizer_attrs;
    ASSERT_SAME(recipe->learning_rate, RATE);
    ASSERT_SAME(attrs->momentum, MOMENTUM);
    ASSERT_SAME(attrs->weight_decay, DECAY);
    fixture_close(&f);
}

static void adam_is_what_was_sent(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, "mlp-mnist");
    open_session(&f, &(protocol_optimizer){.name = "adamw",
                                           .lr = RATE,
                                           .weight_decay = DECAY,
                                           .beta1 = BETA1,
                                           .beta2 = BETA2,
                                           .epsilon = EPSILON});
    const be_optimizer *o = &f.session.optimizer;
    ASSERT_SAME(o->beta1, BETA1);
    ASSERT_SAME(o->beta2, BETA2);
    ASSERT_SAME(o->epsilon, EPSILON);
    ASSERT_SAME(o->weight_decay, DECAY);
    const adam_attrs *attrs = f.session.model.graph->recipe.optimizer_attrs;
    ASSERT_SAME(attrs->beta1, BETA1);
    ASSERT_SAME(attrs->beta2, BETA2);
    ASSERT_SAME(attrs->epsilon, EPSILON);
    ASSERT_SAME(attrs->weight_decay, DECAY);
    fixture_close(&f);
}

/* People wrote 0.01, 0.9 and 0.1307: so they stand in requests and records. */
static void numbers_are_sent_as_people_wrote_them(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, "mlp-mnist");
    protocol_job job = material_job(&f.files, &f.options);
    ASSERT_SAME(job.optimizer.lr, 0.01);
    ASSERT_SAME(job.optimizer.momentum, 0.9);
    assert_int_equal(job.transform_count, 1);
    const protocol_transform *pictures = &job.transforms[0];
    assert_string_equal(pictures->field, "images");
    for (int c = 0; c < pictures->channels; c++) {
        char text[32];
        snprintf(text, sizeof text, "%.4f", (double)f.set->mean[c]); /* the catalog's digits */
        ASSERT_SAME(pictures->mean[c], strtod(text, NULL));
        snprintf(text, sizeof text, "%.4f", (double)f.set->std[c]);
        ASSERT_SAME(pictures->std[c], strtod(text, NULL));
        assert_true((float)pictures->mean[c] == f.set->mean[c]);
        assert_true((float)pictures->std[c] == f.set->std[c]);
    }
    fixture_close(&f);
}

#define STEPS 5

/* Wherever the session was; momentum is of no step before either. */
static void parity_starts_again(void **state)
{
    (void)state;
    fixture f;
    be_error err;
    float losses[2][STEPS], other[STEPS];
    double last = 0;
    int64_t wall_ns = 0;
    char path[FILE_PATH_BYTES + 8];
    fixture_open(&f, "mlp-mnist");
    snprintf(path, sizeof path, "%s/trace", f.files.folder.path);
    open_session(&f, &(protocol_optimizer){.name = "sgd", .lr = RATE, .momentum = MOMENTUM});
    for (int turn = 0; turn < 2; turn++) {
        ASSERT_OK(native_run(&f.session, STEPS, &wall_ns, losses[turn], &last, &err));
        ASSERT_OK(native_run(&f.session, STEPS, &wall_ns, other, &last, &err));
        ASSERT_OK(native_parity(&f.session, 1, path, &err));
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_memory_not_equal(losses[0], other, sizeof other);
    remove(path);
    fixture_close(&f);
}

/* ---------------------------------------------------------------- windows */

#define STRIDE 2

static void losses_of(fixture *f, const data_table *set, float losses[STEPS])
{
    be_error err;
    double last = 0;
    int64_t wall_ns = 0;
    f->options.set = set;
    ASSERT_OK(material_new(&f->files, &f->options, &err));
    open_session(f, &(protocol_optimizer){.name = "sgd", .lr = RATE});
    ASSERT_OK(native_run(&f->session, STEPS, &wall_ns, losses, &last, &err));
    native_close(&f->session);
    material_free(&f->files);
}

/* A field whose samples are windows goes through the data file and the batches as one whose samples
 * lie one behind the other does: here each label with a stranger behind it. */
static void windows_pass_the_data_file(void **state)
{
    (void)state;
    fixture f;
    float plain[STEPS], apart[STEPS];
    fixture_open(&f, "mlp-mnist");
    material_free(&f.files);
    data_table table = f.set->table;
    int32_t *spread = malloc(sizeof *spread * (size_t)table.count * STRIDE);
    assert_non_null(spread);
    losses_of(&f, &table, plain);
    for (int64_t i = 0; i < table.count; i++) {
        spread[i * STRIDE] = f.set->labels[i];
        spread[i * STRIDE + 1] = 9 - f.set->labels[i];
    }
    table.field[1].bytes = spread;
    table.field[1].form.stride = STRIDE;
    losses_of(&f, &table, apart);
    assert_memory_equal(plain, apart, sizeof plain);
    free(spread);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_is_what_was_sent),
        cmocka_unit_test(adam_is_what_was_sent),
        cmocka_unit_test(numbers_are_sent_as_people_wrote_them),
        cmocka_unit_test(parity_starts_again),
        cmocka_unit_test(windows_pass_the_data_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
