/* A workload of a test's own, whose data is no pictures with a class: it is trained, traced, fed
 * from the host and evaluated by what serves the ladder. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "core/rng.h"
#include "graph/graph.h"
#include "protocol/trace.h"
#include "run/parity.h"
#include "train/loop.h"

#define COUNT 60
#define BATCH 8
#define KINDS 4

static float left[COUNT][6];
static uint8_t right[COUNT][2][3][5];
static int32_t kind[COUNT];

static void pair_form(const workload_variant *v, data_table *out)
{
    (void)v;
    *out = (data_table){
        .sample = "pair",
        .unit = "pair",
        .units_a_sample = 1,
        .fields = 3,
        .field = {
            {.form = {.name = "left", .sample = {BE_F32, 1, {6}}}},
            {.form = {.name = "right", .sample = {BE_U8, 3, {2, 3, 5}}, .normalize = 1}},
            {.form = {.name = "kind", .sample = {BE_I32, 0, {0}}, .target = 1}, .below = KINDS}}};
}

static void pair_build(be_graph *g, const be_value *fields, const workload_variant *v,
                       workload_outputs *out)
{
    (void)v;
    be_value in[OP_MAX_IN] = {
        be_relu(g, be_linear(g, fields[0], &(be_linear_options){"left", .features = 8})),
        be_relu(g, be_linear(g, be_flatten(g, fields[1]),
                             &(be_linear_options){"right", .features = 8}))};
    be_value both = graph_build(g, &be_op_add, NULL, in, NULL);
    be_value scores = be_linear(g, both, &(be_linear_options){"out", .features = KINDS});
    *out = (workload_outputs){.loss = be_softmax_cross_entropy(g, scores, fields[2]),
                              .traced = 2,
                              .trace = {both, scores},
                              .trace_name = {"both", "scores"}};
}

static const workload pairs = {.name = "pairs",
                               .summary = "numbers and pictures",
                               .dataset = "pairs",
                               .form = pair_form,
                               .batch = BATCH,
                               .epochs = 1,
                               .optimizer = {.kind = BE_ADAM, .learning_rate = 0.02f},
                               .own = {.width = 1},
                               .build = pair_build};

/* Its data, with a field that nobody reads, in another order than the workload reads it. */
static data_table make_table(void)
{
    data_table t = workload_form(&pairs, COUNT);
    data_field first = t.field[0];
    t.name = "the pairs";
    t.source = "a test";
    t.field[0] = t.field[2];
    t.field[2] = first;
    t.field[0].bytes = kind;
    t.field[1].bytes = right;
    t.field[2].bytes = left;
    t.field[3] = t.field[2];
    t.field[3].form.name = "other";
    t.fields = 4;
    for (int c = 0; c < 2; c++) {
        t.field[1].form.mean[c] = 0.5f;
        t.field[1].form.std[c] = 0.25f;
    }
    return t;
}

static void make_data(void)
{
    rng source = {.key = {.seed = 11, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof right; i++) ((uint8_t *)right)[i] = (uint8_t)rng_next(&source);
    for (int i = 0; i < COUNT; i++) {
        kind[i] = (int32_t)rng_next_below(&source, KINDS);
        right[i][0][0][kind[i]] = 255;
        for (int k = 0; k < 6; k++) left[i][k] = (float)rng_next_below(&source, 100) / 100;
        left[i][kind[i]] += 1.0f;
    }
}

static be_device *open_device(const char *id)
{
    be_error err = {0};
    be_device *device = NULL;
    ASSERT_OK(be_device_open(id, &(be_device_options){.threads = 1}, &device, &err));
    return device;
}

/* ---------------------------------------------------------------- training */

typedef struct outcome {
    double losses[12], accuracy, validation;
    int epochs;
} outcome;

static void see_epoch(void *context, const train_epoch *epoch)
{
    outcome *out = context;
    out->losses[out->epochs++] = epoch->loss;
    out->accuracy = epoch->accuracy;
    out->validation = epoch->validation.loss;
}

static outcome train(const char *id, bool on_host)
{
    be_error err = {0};
    trainer t;
    outcome out = {0};
    data_table table = make_table();
    be_device *device = open_device(id);
    train_options options = {.workload = &pairs,
                             .device = device,
                             .data = &table,
                             .validation = &table,
                             .seed = 5,
                             .batch = BATCH,
                             .epochs = 12,
                             .optimizer = pairs.optimizer,
                             .data_on_host = on_host,
                             .watch = {.context = &out, .epoch = see_epoch}};
    ASSERT_OK(trainer_open(&t, &options, &err));
    ASSERT_OK(trainer_run(&t, &err));
    trainer_close(&t);
    be_device_close(device);
    return out;
}

static void it_is_trained(void **state)
{
    outcome cpu = train("cpu", false), device = train(*state, false), host = train(*state, true);
    assert_int_equal(cpu.epochs, 12);
    assert_true(cpu.losses[11] < 0.5 * cpu.losses[0] && cpu.accuracy > 0.8);
    assert_memory_equal(&device, &host, sizeof host);
    for (int e = 0; e < 12; e++) {
        double difference = device.losses[e] - cpu.losses[e];
        assert_true(difference < 1e-3 && difference > -1e-3);
    }
}

/* ---------------------------------------------------------------- traces */

/* Its two inputs and its own outputs are compared by name, and a fault in each is found. */
static void it_is_traced(void **state)
{
    (void)state;
    static const char *const names[] = {"input.left", "input.right", "target",
                                        "both",       "scores",      "loss"};
    be_error err = {0};
    int32_t order[COUNT];
    workload_model model;
    trace plan, right_one;
    parity_result result;
    data_table table = make_table();
    be_device *device = open_device("cpu");
    workload_options options = {.seed = 3, .batch = BATCH, .data = &table};
    for (int i = 0; i < COUNT; i++) order[i] = COUNT - 1 - i;
    ASSERT_OK(workload_model_new(&pairs, &options, &model, &err));
    trace_options wanted = {.model = &model, .data = &table, .order = order, .steps = 4};
    ASSERT_OK(trace_of_plan(&plan, device, &wanted, &err));
    ASSERT_OK(trace_of_reference(&right_one, &wanted, &err));
    for (int i = 0; i < 6; i++) assert_string_equal(plan.tensors[i].name, names[i]);
    assert_true(trace_find(&plan, "target")->whole && !trace_find(&plan, "scores")->whole);
    ASSERT_OK(parity_compare(&plan, &right_one, PARITY_LIMIT, &result, &err));
    assert_true(result.good);
    assert_int_equal(parity_find(&result, "input")->tensors, 2);
    assert_int_equal(parity_find(&result, "both")->tensors, 1);
    for (int i = 0; i < 6; i++) {
        double kept = plan.tensors[i].values[0];
        plan.tensors[i].values[0] = kept + 10;
        ASSERT_OK(parity_compare(&plan, &right_one, PARITY_LIMIT, &result, &err));
        assert_false(result.good);
        plan.tensors[i].values[0] = kept;
    }
    trace_free(&plan);
    trace_free(&right_one);
    be_graph_free(model.graph);
    be_device_close(device);
}

/* ---------------------------------------------------------------- refusals */

static void refuse(const data_table *table, const char *first, const char *second)
{
    be_error err = {0};
    workload_model model;
    workload_options options = {.seed = 3, .batch = BATCH, .data = table};
    ASSERT_FAILS(workload_model_new(&pairs, &options, &model, &err), BE_USAGE, first, second);
}

static void data_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    data_table t = make_table();
    t.field[1].form.name = "middle";
    refuse(&t, "pairs reads the field \"right\", which the pairs does not have",
           "it has kind, middle, left, other: name other data");
    t = make_table();
    t.field[2].form.sample.dtype = BE_I32;
    refuse(&t, "pairs reads samples f32 [6] of the field \"left\"",
           "those of the pairs are i32 [6]: name other data");
    t = make_table();
    t.field[1].form.sample.rank = 2;
    refuse(&t, "pairs reads samples u8 [2, 3, 5] of the field \"right\"",
           "those of the pairs are u8 [2, 3]");
    t = make_table();
    t.field[2].form.sample.dim[0] = 7;
    refuse(&t, "pairs reads samples f32 [6] of the field \"left\"",
           "those of the pairs are f32 [7]");
}

int main(void)
{
#define ON(test, id)                            \
    {                                           \
#test " on " id, test, NULL, NULL, (id) \
    }
    const struct CMUnitTest tests[] = {
        ON(it_is_trained, "cpu"),       ON(it_is_trained, "opencl:0"),
#ifdef __linux__
        ON(it_is_trained, "cuda:0"),
#endif
        cmocka_unit_test(it_is_traced), cmocka_unit_test(data_that_does_not_fit_is_refused),
    };
    make_data();
    support_quick_kernels();
    setenv("BREAKEVEN_CUDA_LIB_DIR", getenv("BREAKEVEN_FAKE_CUDA"), 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    return cmocka_run_group_tests_name("workload_fields", tests, NULL, NULL);
}
