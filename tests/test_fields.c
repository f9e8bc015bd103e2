/* A data set of several fields of any type (be_gather): what lies in a batch, and that a network of
 * two inputs learns the same bits whether the set lies on the device or on the host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/gpu/gpu.h"
#include "core/rng.h"
#include "data/order.h"
#include "graph/graph.h"
#include "support.h"

#define COUNT 53
#define BATCH 8
#define EPOCH_STEPS (COUNT / BATCH)
#define EPOCHS 4
#define STEPS (EPOCHS * EPOCH_STEPS)
#define CLASSES 4

enum { LEFT, RIGHT, KIND, TOKENS, RAW, WINDOWS, FIELDS };

/* Of a text: each window begins APART behind the one before. */
#define APART 4
#define WINDOW 9

static uint8_t left[COUNT][2][3][5], raw[COUNT][7];
static float right[COUNT][6];
static int32_t kind[COUNT], tokens[COUNT][9], text[(COUNT - 1) * APART + WINDOW];

static const void *const bytes_of[FIELDS] = {left, right, kind, tokens, raw, text};
static const size_t size_of[FIELDS] = {sizeof left,   sizeof right, sizeof kind,
                                       sizeof tokens, sizeof raw,   sizeof text};

static const be_field fields[FIELDS] = {
    [LEFT] = {.name = "left",
              .count = COUNT,
              .sample = {BE_U8, 3, {2, 3, 5}},
              .normalize = 1,
              .mean = {0.5f, 0.25f},
              .std = {0.25f, 0.5f}},
    [RIGHT] = {.name = "right", .count = COUNT, .sample = {BE_F32, 1, {6}}},
    [KIND] = {.name = "kind", .count = COUNT, .sample = {BE_I32, 0, {0}}, .target = 1},
    [TOKENS] = {.name = "tokens", .count = COUNT, .sample = {BE_I32, 1, {9}}},
    [RAW] = {.name = "raw", .count = COUNT, .sample = {BE_U8, 1, {7}}},
    [WINDOWS] = {
        .name = "windows", .count = COUNT, .sample = {BE_I32, 1, {WINDOW}}, .stride = APART}};

/* The class shows in both inputs. */
static void make_data(void)
{
    rng source = {.key = {.seed = 11, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof left; i++) ((uint8_t *)left)[i] = (uint8_t)rng_next(&source);
    for (size_t i = 0; i < sizeof raw; i++) ((uint8_t *)raw)[i] = (uint8_t)rng_next(&source);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) text[i] = (int32_t)(100 + 7 * i);
    for (int i = 0; i < COUNT; i++) {
        kind[i] = (int32_t)rng_next_below(&source, CLASSES);
        left[i][0][0][kind[i]] = 255;
        for (int k = 0; k < 6; k++) right[i][k] = (float)rng_next_below(&source, 100) / 100;
        right[i][kind[i]] += 1.0f;
        for (int k = 0; k < 9; k++) tokens[i][k] = (int32_t)rng_next_below(&source, 32000);
    }
}

typedef struct network {
    be_graph *graph;
    be_value order, batch[FIELDS];
} network;

static network make_network(bool clip)
{
    network n = {.graph = be_graph_new(3)};
    be_graph *g = n.graph;
    n.order = be_input(g, "order", shape_make(BE_I32, 1, COUNT, 0, 0, 0));
    be_batching batching = {n.order, BATCH, clip};
    for (int f = 0; f < FIELDS; f++) n.batch[f] = be_gather(g, &fields[f], &batching);
    be_value in[OP_MAX_IN] = {
        be_relu(g, be_linear(g, be_flatten(g, n.batch[LEFT]),
                             &(be_linear_options){"left_layer", .features = 8})),
        be_relu(g,
                be_linear(g, n.batch[RIGHT], &(be_linear_options){"right_layer", .features = 8}))};
    be_value both = graph_build(g, &be_op_add, NULL, in, NULL);
    be_value logits = be_linear(g, both, &(be_linear_options){"out", .features = CLASSES});
    be_value loss = be_softmax_cross_entropy(g, logits, n.batch[KIND]);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_ADAM, .learning_rate = 0.02f});
    return n;
}

static be_device *open_device(const char *id)
{
    be_error err = {0};
    be_device *device = NULL;
    ASSERT_OK(be_device_open(id, NULL, &device, &err));
    return device;
}

static void give_data(be_plan *plan, const network *n, const int32_t *order)
{
    be_error err = {0};
    for (int f = 0; f < FIELDS; f++)
        ASSERT_OK(be_plan_bind(plan, be_value_find(n->graph, fields[f].name), bytes_of[f],
                               size_of[f], &err));
    ASSERT_OK(be_plan_bind(plan, n->order, order, COUNT * sizeof *order, &err));
}

/* ---------------------------------------------------------------- what lies in a batch */

static float normal_of(int sample, int c, int y, int x)
{
    float scale = (float)(1.0 / (255.0 * (double)fields[LEFT].std[c]));
    float shift = (float)(-(double)fields[LEFT].mean[c] / (double)fields[LEFT].std[c]);
    return (float)left[sample][c][y][x] * scale + shift;
}

typedef struct read_batch {
    float pictures[BATCH][2][3][5], numbers[BATCH][6];
    int32_t kinds[BATCH], words[BATCH][9];
    uint8_t bytes[BATCH][7];
    int32_t windows[BATCH][WINDOW];
} read_batch;

/* Place `place` of the batch holds this sample; −1: none. */
static void check_place(const read_batch *b, int place, int sample)
{
    static const uint8_t nothing[64];
    assert_int_equal(b->kinds[place], sample < 0 ? -1 : kind[sample]);
    assert_memory_equal(b->numbers[place], sample < 0 ? (const void *)nothing : right[sample], 24);
    assert_memory_equal(b->words[place], sample < 0 ? (const void *)nothing : tokens[sample], 36);
    assert_memory_equal(b->bytes[place], sample < 0 ? nothing : raw[sample], 7);
    assert_memory_equal(b->windows[place],
                        sample < 0 ? (const void *)nothing : text + (ptrdiff_t)sample * APART,
                        sizeof b->windows[place]);
    for (int c = 0; c < 2; c++)
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 5; x++) {
                float expected = sample < 0 ? 0.0f : normal_of(sample, c, y, x);
                float found = b->pictures[place][c][y][x];
                assert_true(found >= expected - 1e-6f && found <= expected + 1e-6f);
            }
}

/* Each field of each place, on the device and from the host, and the empty places at the end. */
static void a_batch_holds_its_samples(void **state)
{
    be_error err = {0};
    be_device *device = open_device(*state);
    int32_t order[COUNT];
    order_epoch(5, 0, order, COUNT);
    for (int host = 0; host < 2; host++) {
        static read_batch b;
        void *const out[FIELDS] = {b.pictures, b.numbers, b.kinds, b.words, b.bytes, b.windows};
        const size_t sizes[FIELDS] = {sizeof b.pictures, sizeof b.numbers, sizeof b.kinds,
                                      sizeof b.words,    sizeof b.bytes,   sizeof b.windows};
        be_plan *plan = NULL;
        network n = make_network(true);
        be_plan_options options = {
            .mode = BE_INFER, .keep = n.batch, .keep_count = FIELDS, .data_on_host = host};
        ASSERT_OK(be_plan_new(n.graph, device, &options, &plan, &err));
        give_data(plan, &n, order);
        for (int t = 0; t <= EPOCH_STEPS; t++) {
            ASSERT_OK(be_plan_run(plan, 1, &err));
            for (int f = 0; f < FIELDS; f++)
                ASSERT_OK(be_plan_read(plan, n.batch[f], out[f], sizes[f], &err));
            for (int i = 0; i < BATCH; i++) {
                int place = t * BATCH + i;
                check_place(&b, i, place < COUNT ? order[place] : -1);
            }
        }
        be_plan_free(plan);
        be_graph_free(n.graph);
    }
    be_device_close(device);
}

/* ---------------------------------------------------------------- training */

typedef struct outcome {
    float losses[STEPS], weights[3][60 * 8];
    int32_t correct[STEPS];
} outcome;

static void train(be_device *device, bool on_host, int slot_steps, outcome *out)
{
    be_error err = {0};
    be_plan *plan = NULL;
    network n = make_network(false);
    int32_t order[COUNT];
    be_plan_options options = {.mode = BE_TRAIN, .data_on_host = on_host};
    memset(out, 0, sizeof *out);
    if (device->vtable == &gpu_vtable) ((gpu_device *)device)->stream_steps = slot_steps;
    ASSERT_OK(be_plan_new(n.graph, device, &options, &plan, &err));
    order_epoch(5, 0, order, COUNT);
    give_data(plan, &n, order);
    for (int e = 0; e < EPOCHS; e++) {
        order_epoch(5, (uint32_t)e, order, COUNT);
        ASSERT_OK(be_plan_write(plan, n.order, order, sizeof order, &err));
        ASSERT_OK(be_plan_run(plan, EPOCH_STEPS - e, &err));
        ASSERT_OK(be_plan_run(plan, e, &err));
    }
    ASSERT_OK(be_plan_losses(plan, STEPS, out->losses, out->correct, &err));
    static const char *const names[] = {"left_layer.weight", "right_layer.weight", "out.weight"};
    for (int w = 0; w < 3; w++)
        for (int p = 0; p < be_plan_parameter_count(plan); p++) {
            be_parameter parameter = be_plan_parameter(plan, p);
            if (strcmp(parameter.name, names[w]) != 0) continue;
            size_t bytes = (size_t)shape_elements(&parameter.shape) * sizeof(float);
            ASSERT_OK(be_plan_read(plan, parameter.value, out->weights[w], bytes, &err));
        }
    be_plan_free(plan);
    be_graph_free(n.graph);
}

static void two_inputs_are_learnt_from(void **state)
{
    static outcome on_device, on_host, on_cpu;
    static const int slots[] = {0, 1, 2, 5};
    be_device *device = open_device(*state), *cpu = open_device("cpu");
    train(cpu, false, 0, &on_cpu);
    train(device, false, 0, &on_device);
    for (int s = 0; s < 4; s++) {
        train(device, true, slots[s], &on_host);
        assert_memory_equal(&on_device, &on_host, sizeof on_host);
    }
    for (int i = 0; i < STEPS; i++) {
        float difference = on_device.losses[i] - on_cpu.losses[i];
        assert_true(difference < 1e-3f && difference > -1e-3f);
    }
    assert_true(on_cpu.losses[STEPS - 1] < 0.5f * on_cpu.losses[0]);
    be_device_close(cpu);
    be_device_close(device);
}

/* ---------------------------------------------------------------- refusals */

static void refuse(const be_field *field, int64_t batch, const char *piece, const char *other)
{
    be_error err = {0};
    be_graph *g = be_graph_new(1);
    be_batching batching = {be_input(g, "order", shape_make(BE_I32, 1, 5, 0, 0, 0)), batch, 0};
    be_gather(g, field, &batching);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, piece, other);
    be_graph_free(g);
}

static void senseless_fields_are_refused(void **state)
{
    (void)state;
    be_field f = {.name = "f", .count = 5, .sample = {BE_F32, 1, {3}}, .normalize = 1};
    refuse(&f, 2, "field \"f\": expected u8 to normalise", "another type");
    f = (be_field){.name = "f", .count = 5, .sample = {BE_F32, 0, {0}}, .target = 1};
    refuse(&f, 2, "field \"f\": expected i32 for targets", "another type");
    f = (be_field){.name = "f", .count = 5, .sample = {BE_I32, 4, {1, 1, 1, 1}}};
    refuse(&f, 2, "samples of 0 to 3 dimensions", "found 4");
    f = (be_field){.name = "f", .count = 5, .sample = {BE_I32, 0, {0}}};
    refuse(&f, 0, "a batch of at least 1", "found 0");
    refuse(&f, 6, "a batch of at most the 5 samples", "found 6");
    f.count = 0;
    refuse(&f, 2, "f: expected dimensions of at least 1", "");
    f = (be_field){.name = "f", .count = 5, .sample = {BE_I32, 1, {3}}, .stride = -1};
    refuse(&f, 2, "field \"f\": expected a stride of at least 1", "found -1");
    f = (be_field){.name = "f", .count = 5, .sample = {BE_U8, 1, {3}}, .normalize = 1, .stride = 2};
    refuse(&f, 2, "none where bytes are normalised", "found 2");
}

static void fields_of_one_order_belong_together(void **state)
{
    (void)state;
    be_error err = {0};
    be_graph *g = be_graph_new(1);
    be_batching batching = {be_input(g, "order", shape_make(BE_I32, 1, 5, 0, 0, 0)), 2, 0};
    be_gather(g, &(be_field){.name = "a", .count = 5, .sample = {BE_I32, 0, {0}}}, &batching);
    be_gather(g, &(be_field){.name = "b", .count = 4, .sample = {BE_I32, 0, {0}}}, &batching);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE,
                 "expected as many samples of field 1 as of the first, 5, found 4");
    be_graph_free(g);
    g = be_graph_new(1);
    batching.order = be_input(g, "order", shape_make(BE_I32, 1, 5, 0, 0, 0));
    for (int i = 0; i < 7; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i);
        be_gather(g, &(be_field){.name = name, .count = 5, .sample = {BE_I32, 0, {0}}}, &batching);
    }
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "at most 6 fields of one order");
    be_graph_free(g);
}

int main(void)
{
#define ON(test, id)                            \
    {                                           \
#test " on " id, test, NULL, NULL, (id) \
    }
    const struct CMUnitTest tests[] = {
        ON(a_batch_holds_its_samples, "cpu"),
        ON(a_batch_holds_its_samples, "opencl:0"),
        ON(two_inputs_are_learnt_from, "cpu"),
        ON(two_inputs_are_learnt_from, "opencl:0"),
#ifdef __linux__
        ON(a_batch_holds_its_samples, "cuda:0"),
        ON(two_inputs_are_learnt_from, "cuda:0"),
#endif
        cmocka_unit_test(senseless_fields_are_refused),
        cmocka_unit_test(fields_of_one_order_belong_together),
    };
    make_data();
    support_quick_kernels();
    setenv("BREAKEVEN_CUDA_LIB_DIR", getenv("BREAKEVEN_FAKE_CUDA"), 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
