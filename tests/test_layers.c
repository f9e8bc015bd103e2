/* Linear, matmul, pooling, bias and sums beyond what test_ops compares: parameters, fusion, equal
 * and unordered numbers, the same bits for every number of threads, and every refusal. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "breakeven/plan.h"
#include "graph/plan.h"
#include "ops/matmul/linear.h"
#include "ops/matmul/matmul.h"
#include "ops/pool/pool.h"
#include "support.h"

static const char *const libraries[] = {"native", "onednn"};

static be_device *open_device(const char *isa, const char *library, int threads)
{
    be_error err;
    be_device *device = NULL;
    const be_device_options options = {.isa = isa, .library = library, .threads = threads};
    ASSERT_OK(be_device_open("cpu", &options, &device, &err));
    return device;
}

static void linear_makes_its_parameters(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 4, 5, 4, 2, 2));
    be_shape y = be_value_shape(
        g, be_linear(g, be_flatten(g, x), &(be_linear_options){"fc", .features = 7}));
    const graph_value *w = &g->values[be_value_find(g, "fc.weight")];
    const graph_value *b = &g->values[be_value_find(g, "fc.bias")];
    assert_true(shape_equal(&y, &(be_shape){BE_F32, 2, {5, 7}}));
    assert_true(shape_equal(&w->shape, &(be_shape){BE_F32, 2, {7, 16}}));
    assert_true(shape_equal(&b->shape, &(be_shape){BE_F32, 1, {7}}));
    assert_true(w->kind == VALUE_PARAMETER && b->kind == VALUE_PARAMETER);
    assert_true(w->start.value == 0.25f && b->start.value == 0.25f);
    be_graph_free(g);
}

static void linear_takes_the_last_dimension(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 3, 5, 4, 16, 0));
    be_shape y = be_value_shape(g, be_linear(g, x, &(be_linear_options){"a", .features = 7}));
    const be_linear_options options = {.name = "b",
                                       .features = 7,
                                       .input_first = 1,
                                       .start = {BE_NORMAL, 0.02f},
                                       .bias_start = {BE_CONSTANT, 0.0f}};
    be_shape z = be_value_shape(g, be_linear(g, x, &options));
    be_value flat = be_flatten(g, x);
    be_shape row = be_value_shape(g, flat);
    const graph_value *w = &g->values[be_value_find(g, "b.weight")];
    const graph_value *b = &g->values[be_value_find(g, "b.bias")];
    assert_true(shape_equal(&y, &(be_shape){BE_F32, 3, {5, 4, 7}}));
    assert_true(shape_equal(&z, &y));
    assert_true(shape_equal(&w->shape, &(be_shape){BE_F32, 2, {16, 7}}));
    assert_true(w->start.kind == BE_NORMAL && w->start.value == 0.02f);
    assert_true(b->start.kind == BE_CONSTANT && b->start.value == 0.0f);
    assert_true(shape_equal(&row, &(be_shape){BE_F32, 2, {5, 64}}));
    assert_int_equal(be_flatten(g, flat), flat);
    ASSERT_OK(be_graph_check(g, &err));
    be_graph_free(g);
}

/* A weight that is there already makes no parameter, and one without bias none at all. */
static void a_tied_weight_is_one_parameter(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 6, 4, 0, 0));
    be_value w = be_parameter_add(g, "table", shape_make(BE_F32, 2, 9, 4, 0, 0),
                                  (be_start){BE_NORMAL, 0.5f});
    size_t before = g->value_count;
    be_shape y =
        be_value_shape(g, be_linear(g, x, &(be_linear_options){.weight = &w, .no_bias = 1}));
    assert_true(shape_equal(&y, &(be_shape){BE_F32, 2, {6, 9}}));
    assert_int_equal(g->value_count, before + 1);
    be_linear(g, x, &(be_linear_options){"head", .features = 9, .weight = &w});
    assert_int_equal(be_value_find(g, "head.weight"), BE_NONE);
    assert_true(be_value_find(g, "head.bias") != BE_NONE);
    ASSERT_OK(be_graph_check(g, &err));
    be_graph_free(g);
}

#define TIED 3

/* loss = mean(x wᵀ w), w once as it is and once as the transpose: after one step of SGD with the
 * rate 1 it is w − (dhᵀ x + hᵀ dy), where h = x wᵀ, dy = 1/n and dh = dy wᵀ. */
static void both_uses_of_a_tied_weight_train_it(void **state)
{
    (void)state;
    be_error err;
    for (int l = 0; l < 2; l++) {
        be_plan *plan = NULL;
        be_device *device = open_device(NULL, libraries[l], 1);
        be_graph *g = be_graph_new(1);
        be_value x = be_input(g, "x", shape_make(BE_F32, 3, 1, 2, TIED, 0));
        be_value w = be_parameter_add(g, "w", shape_make(BE_F32, 2, TIED, TIED, 0, 0),
                                      (be_start){BE_UNIFORM, 0.0f});
        be_value h = be_linear(g, x, &(be_linear_options){.weight = &w, .no_bias = 1});
        be_value y =
            be_linear(g, h, &(be_linear_options){.weight = &w, .no_bias = 1, .input_first = 1});
        be_graph_minimize(g, be_mean(g, y), &(be_optimizer){.kind = BE_SGD, .learning_rate = 1});
        const float xs[2][TIED] = {{1, 2, -1}, {0.5f, -2, 3}};
        const float ws[TIED][TIED] = {{0.5f, 1, -1}, {2, 0, 0.25f}, {-0.5f, 3, 1}};
        float trained[TIED][TIED], hs[2][TIED] = {{0}}, dh[TIED] = {0};
        ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
        ASSERT_OK(be_plan_write(plan, x, xs, sizeof xs, &err));
        ASSERT_OK(be_plan_write(plan, w, ws, sizeof ws, &err));
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(be_plan_read(plan, w, trained, sizeof trained, &err));
        for (int o = 0; o < TIED; o++)
            for (int i = 0; i < TIED; i++) {
                for (int r = 0; r < 2; r++) hs[r][o] += xs[r][i] * ws[o][i];
                dh[o] += ws[o][i] / (2 * TIED);
            }
        for (int o = 0; o < TIED; o++)
            for (int i = 0; i < TIED; i++) {
                float dw = dh[o] * (xs[0][i] + xs[1][i]) + (hs[0][o] + hs[1][o]) / (2 * TIED);
                assert_true(fabsf(trained[o][i] - (ws[o][i] - dw)) < 1e-5f);
            }
        be_plan_free(plan);
        be_graph_free(g);
        be_device_close(device);
    }
}

/* y of x -> linear -> ReLU, and how many nodes the plan has. */
static int run_linear_relu(const char *library, int no_fusion, float y[6])
{
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(NULL, library, 1);
    be_graph *g = be_graph_new(3);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 2, 9, 0, 0));
    be_value relu = be_relu(g, be_linear(g, x, &(be_linear_options){"fc", .features = 3}));
    const be_plan_options options = {
        .mode = BE_INFER, .no_fusion = no_fusion, .keep = &relu, .keep_count = 1};
    float data[18];
    for (int i = 0; i < 18; i++) data[i] = (float)(i % 5) - 2.0f;
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, relu, y, 6 * sizeof *y, &err));
    int nodes = be_plan_describe(plan).nodes;
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
    return nodes;
}

static void relu_is_fused_into_linear(void **state)
{
    (void)state;
    for (int l = 0; l < 2; l++) {
        float fused[6], apart[6];
        int positive = 0;
        assert_int_equal(run_linear_relu(libraries[l], 0, fused), 1);
        assert_int_equal(run_linear_relu(libraries[l], 1, apart), 2);
        for (int i = 0; i < 6; i++) {
            assert_true(fabsf(fused[i] - apart[i]) < 1e-6f);
            positive += fused[i] > 0.0f;
        }
        assert_in_range(positive, 1, 5);
    }
}

typedef struct ending {
    const char *op;
    be_activation kind;
} ending;

/* x [2, 3, 6, 6] -> the op, with a sum behind a batch norm -> the activation -> a linear layer. */
static be_graph *ending_graph(const ending *e, be_value *x, be_value *target, be_value *logits)
{
    be_graph *g = be_graph_new(5);
    be_value v = *x = be_input(g, "x", shape_make(BE_F32, 4, 2, 3, 6, 6));
    *target = be_input(g, "target", shape_make(BE_I32, 1, 2, 0, 0, 0));
    v = be_conv2d(g, v, &(be_conv2d_options){.name = "a", .channels = 3, .kernel = 1});
    if (!strcmp(e->op, "conv2d"))
        v = be_conv2d(g, v, &(be_conv2d_options){.name = "b", .channels = 4, .kernel = 3});
    if (!strcmp(e->op, "batch_norm"))
        v = be_add(g, be_batch_norm(g, v, &(be_batch_norm_options){.name = "b"}), v);
    if (!strcmp(e->op, "linear"))
        v = be_linear(g, be_flatten(g, v), &(be_linear_options){"b", .features = 4});
    v = be_flatten(g, be_activate(g, v, e->kind));
    *logits = be_linear(g, v, &(be_linear_options){"c", .features = 3});
    be_value loss = be_softmax_cross_entropy(g, *logits, *target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.5});
    return g;
}

/* The losses of three steps, or the logits; the number of nodes; and whether there is a node of an
 * activation's forward op. */
typedef struct ending_result {
    float values[6];
    int nodes;
    bool is_apart;
} ending_result;

static ending_result run_ending(const ending *e, const char *library, be_mode mode, int no_fusion)
{
    be_error err;
    be_plan *plan = NULL;
    be_value x, target, logits;
    be_device *device = open_device(NULL, library, 2);
    be_graph *g = ending_graph(e, &x, &target, &logits);
    const be_plan_options options = {
        .mode = mode, .no_fusion = no_fusion, .keep = &logits, .keep_count = mode == BE_INFER};
    float data[2 * 3 * 36];
    int32_t right[2] = {0, 2};
    ending_result r = {.nodes = 0};
    for (int i = 0; i < (int)(sizeof data / sizeof *data); i++)
        data[i] = (float)(i * 37 % 23) / 8.0f - 1.4f;
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    r.nodes = be_plan_describe(plan).nodes;
    for (size_t n = 0; n < plan->graph->node_count; n++) {
        const be_op *op = plan->graph->nodes[n].op;
        r.is_apart |= op == &be_op_relu || op == &be_op_activation;
    }
    ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
    ASSERT_OK(be_plan_write(plan, target, right, sizeof right, &err));
    ASSERT_OK(be_plan_run(plan, 3, &err));
    if (mode == BE_INFER)
        ASSERT_OK(be_plan_read(plan, logits, r.values, sizeof r.values, &err));
    else
        ASSERT_OK(be_plan_losses(plan, 3, r.values, NULL, &err));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
    return r;
}

/* Every activation behind every op that ends with one, training and inferring: one node fewer, and
 * the same numbers. */
static void every_activation_is_fused(void **state)
{
    (void)state;
    static const char *const ops[] = {"linear", "conv2d", "batch_norm"};
    for (int k = BE_IDENTITY + 1; k <= BE_GELU_QUICK; k++)
        for (int i = 0; i < 3 * 2 * 2; i++) {
            const ending e = {ops[i / 4], (be_activation)k};
            be_mode mode = i % 2 ? BE_INFER : BE_TRAIN;
            const char *library = libraries[i / 2 % 2];
            ending_result fused = run_ending(&e, library, mode, 0);
            ending_result apart = run_ending(&e, library, mode, 1);
            assert_false(fused.is_apart);
            assert_true(apart.is_apart);
            /* The sum behind the batch norm is fused too. */
            assert_true(fused.nodes < apart.nodes);
            for (int v = 0; v < (mode == BE_INFER ? 6 : 3); v++)
                assert_true(fabsf(fused.values[v] - apart.values[v]) <= 2e-5f);
            assert_true(fused.values[0] != fused.values[1]);
        }
}

/* A network whose weights are no numbers must not look well: the native ReLU passes NaN on.
 * (oneDNN's makes 0 of it.) */
static void relu_keeps_nan(void **state)
{
    (void)state;
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(NULL, "native", 1);
    be_graph *g = be_graph_new(3);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 1, 4, 0, 0));
    be_value relu = be_relu(g, be_linear(g, x, &(be_linear_options){"fc", .features = 20}));
    const be_plan_options options = {.mode = BE_INFER, .keep = &relu, .keep_count = 1};
    float data[4] = {1.0f, NAN, 1.0f, 1.0f}, y[20];
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, relu, y, sizeof y, &err));
    for (int i = 0; i < 20; i++) assert_true(isnan(y[i]));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

#define PRODUCT_M 157
#define PRODUCT_N 1090
#define PRODUCT_K 301

static void run_product(int threads, float *y)
{
    static float data[PRODUCT_K * PRODUCT_N];
    be_error err;
    be_plan *plan = NULL;
    be_device *device = open_device(NULL, "native", threads);
    be_graph *g = be_graph_new(3);
    const matmul_attrs attrs = {0, 1};
    be_value a = be_input(g, "a", shape_make(BE_F32, 2, PRODUCT_M, PRODUCT_K, 0, 0));
    be_value b = be_input(g, "b", shape_make(BE_F32, 2, PRODUCT_N, PRODUCT_K, 0, 0));
    be_value product = graph_build(g, &be_op_matmul, &attrs, (be_value[OP_MAX_IN]){a, b}, NULL);
    const be_plan_options options = {.mode = BE_INFER, .keep = &product, .keep_count = 1};
    for (int i = 0; i < PRODUCT_K * PRODUCT_N; i++)
        data[i] = (float)(i % 1009 * 7919 % 1009) / 1009.0f;
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    ASSERT_OK(be_plan_bind(plan, a, data, sizeof(float) * PRODUCT_M * PRODUCT_K, &err));
    ASSERT_OK(be_plan_bind(plan, b, data, sizeof data, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, product, y, sizeof(float) * PRODUCT_M * PRODUCT_N, &err));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

static void threads_do_not_change_the_native_product(void **state)
{
    (void)state;
    static float y[2][PRODUCT_M * PRODUCT_N];
    run_product(1, y[0]);
    for (int threads = 2; threads < 6; threads++) {
        run_product(threads, y[1]);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
    }
}

extern const cpu_kernel cpu_max_pool2d_generic;
#if defined(__x86_64__)
extern const cpu_kernel cpu_max_pool2d_avx2, cpu_max_pool2d_avx512;
#endif

static const cpu_kernel *pool_of(cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa == CPU_AVX512) return &cpu_max_pool2d_avx512;
    if (isa == CPU_AVX2) return &cpu_max_pool2d_avx2;
#endif
    return isa == CPU_GENERIC ? &cpu_max_pool2d_generic : NULL;
}

/* Four windows of 2 × 2 in the image's two rows, the same in all channels. */
static const float pool_x[16] = {1, 1, 0, 2, 3, NAN, -INFINITY, -INFINITY,
                                 1, 1, 2, 2, 9, 5,   -INFINITY, -INFINITY};
static const float pool_y[4] = {1, 2, NAN, -INFINITY};
static const uint8_t pool_index[4] = {0, 1, 1, 0};

static void pool_one_way(cpu_isa isa, value_layout layout)
{
    enum { CHANNELS = 16 };
    be_error err;
    _Alignas(64) float x[CHANNELS * 16], y[CHANNELS * 4];
    _Alignas(64) uint8_t index[CHANNELS * 4];
    int block = layout == LAYOUT_PLAIN ? 1 : (int)layout;
    const pool2d_attrs attrs = {.size = 2, .stride = 2};
    for (int i = 0; i < CHANNELS * 16; i++) x[i] = pool_x[i / block % 16];
    const cpu_call call = {.attrs = &attrs,
                           .in_shape = {shape_make(BE_F32, 4, 1, CHANNELS, 2, 8)},
                           .out_shape = {shape_make(BE_F32, 4, 1, CHANNELS, 1, 4)},
                           .in_layout = {layout},
                           .out_layout = {layout, layout},
                           .in = {x},
                           .out = {y, index},
                           .threads = 1};
    ASSERT_OK(pool_of(isa)->run(&call, &err));
    for (int i = 0; i < CHANNELS * 4; i++) {
        int window = i / block % 4;
        assert_int_equal(index[i], pool_index[window]);
        if (isnan(pool_y[window]))
            assert_true(isnan(y[i]));
        else
            assert_true(y[i] == pool_y[window]);
    }
}

static void max_pool_takes_the_first_of_equals_and_nan(void **state)
{
    (void)state;
    for (int isa = 0; isa <= (int)cpu_isa_detect(); isa++) {
        pool_one_way((cpu_isa)isa, LAYOUT_PLAIN);
        pool_one_way((cpu_isa)isa, isa == CPU_AVX512 ? LAYOUT_BLOCKED16 : LAYOUT_BLOCKED8);
    }
}

static be_status build_pool(be_shape x, int size, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_max_pool2d(g, be_input(g, "x", x), &(be_pool2d_options){.size = size});
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static be_status build_pair(const be_op *op, const void *attrs, be_shape a, be_shape b,
                            be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_value in[OP_MAX_IN] = {be_input(g, "a", a), be_input(g, "b", b), BE_NONE, BE_NONE};
    graph_build(g, op, attrs, in, NULL);
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static be_status build_tied(int features, be_shape weight, int input_first, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 6, 4, 0, 0));
    be_value w = be_input(g, "w", weight);
    be_linear(g, x,
              &(be_linear_options){"head", .features = features, .weight = &w,
                                   .input_first = input_first});
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static be_status build_linear(be_shape x, int features, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_linear(g, be_input(g, "x", x), &(be_linear_options){"fc", .features = features});
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

static void convolutions_have_options(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 4, 2, 3, 224, 224));
    const be_conv2d_options stem = {.name = "stem",
                                    .channels = 64,
                                    .kernel = 7,
                                    .stride = 2,
                                    .padding = 3,
                                    .no_bias = 1,
                                    .start = {BE_KAIMING, 1.41421356f}};
    be_value y = be_conv2d(g, x, &stem);
    be_shape pooled = be_value_shape(
        g, be_max_pool2d(g, y, &(be_pool2d_options){.size = 3, .stride = 2, .padding = 1}));
    be_shape oblong = be_value_shape(g, be_conv2d(g, x,
                                                  &(be_conv2d_options){.name = "oblong",
                                                                       .channels = 5,
                                                                       .kernel = 3,
                                                                       .kernel_width = 5,
                                                                       .stride_height = 2,
                                                                       .padding_width = 2}));
    const graph_value *w = &g->values[be_value_find(g, "stem.weight")];
    ASSERT_OK(be_graph_check(g, &err));
    assert_true(shape_equal(&w->shape, &(be_shape){BE_F32, 4, {64, 3, 7, 7}}));
    assert_true(w->start.kind == BE_NORMAL);
    assert_true(fabsf(w->start.value - sqrtf(2.0f / (64 * 7 * 7))) < 1e-7f);
    assert_int_equal(be_value_find(g, "stem.bias"), BE_NONE);
    assert_true(shape_equal(&pooled, &(be_shape){BE_F32, 4, {2, 64, 56, 56}}));
    assert_true(shape_equal(&oblong, &(be_shape){BE_F32, 4, {2, 5, 111, 224}}));
    be_parameter_add(g, "p", (be_shape){BE_F32, 1, {4}}, (be_start){BE_KAIMING, 1.0f});
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "a start BE_KAIMING needs at least 2 dim",
                 "found f32 [4]");
    be_graph_free(g);
}

static be_status build_windows(const be_pool2d_options *options, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_max_pool2d(g, be_input(g, "x", (be_shape){BE_F32, 4, {2, 3, 4, 5}}), options);
    be_status status = be_graph_check(g, err);
    be_graph_free(g);
    return status;
}

/* As PyTorch's avg_pool2d: by the window's size, or by its pixels that lie in the image. */
static void averages_count_the_padding_or_not(void **state)
{
    (void)state;
    be_error err;
    static const float x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float with[4] = {12 / 9.0f, 16 / 9.0f, 24 / 9.0f, 28 / 9.0f};
    static const float without[4] = {3, 4, 6, 7};
    float y[4];
    for (int leaves = 0; leaves < 2; leaves++) {
        be_device *device = NULL;
        be_plan *plan = NULL;
        be_graph *g = be_graph_new(1);
        be_value in = be_input(g, "x", (be_shape){BE_F32, 4, {1, 1, 3, 3}});
        be_value out = be_average_pool2d(
            g, in, &(be_pool2d_options){3, .stride = 2, .padding = 1, .leave_padding = leaves});
        be_plan_options options = {.mode = BE_INFER, .keep = &out, .keep_count = 1};
        ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
        ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
        ASSERT_OK(be_plan_write(plan, in, x, sizeof x, &err));
        ASSERT_OK(be_plan_run(plan, 1, &err));
        ASSERT_OK(be_plan_read(plan, out, y, sizeof y, &err));
        for (int i = 0; i < 4; i++) assert_true(fabsf(y[i] - (leaves ? without : with)[i]) < 1e-6f);
        be_plan_free(plan);
        be_device_close(device);
        be_graph_free(g);
    }
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    be_error err;
    const be_shape image = {BE_F32, 4, {2, 3, 4, 5}}, row = {BE_F32, 1, {9}};
    const be_shape matrix = {BE_F32, 2, {6, 9}}, bytes = {BE_U8, 4, {2, 3, 4, 5}};
    ASSERT_FAILS(build_pool(image, 5, &err), BE_USAGE, "5 × 5", "found f32 [2, 3, 4, 5]",
                 "use a smaller window");
    ASSERT_FAILS(build_pool(image, 0, &err), BE_USAGE, "window of 1 to 16, found 0");
    ASSERT_FAILS(build_pool(image, 17, &err), BE_USAGE, "window of 1 to 16, found 17");
    ASSERT_FAILS(build_windows(&(be_pool2d_options){.size = 3, .padding = 2}, &err), BE_USAGE,
                 "max_pool2d: expected a padding of 0 to half of the window, 1, found 2");
    ASSERT_FAILS(build_windows(&(be_pool2d_options){.size = 3, .stride = -1}, &err), BE_USAGE,
                 "max_pool2d: expected a stride of at least 1, found -1");
    ASSERT_FAILS(build_pool(matrix, 2, &err), BE_USAGE, "max_pool2d: x: expected f32 of 4");
    ASSERT_FAILS(build_pool(bytes, 2, &err), BE_USAGE, "max_pool2d: x", "found u8 [2, 3, 4, 5]");
    ASSERT_FAILS(build_linear(row, 4, &err), BE_USAGE, "linear: x: expected at least 2 dim",
                 "found f32 [9]");
    ASSERT_FAILS(build_linear(bytes, 4, &err), BE_USAGE, "linear: x", "found u8");
    ASSERT_FAILS(build_linear(image, 0, &err), BE_USAGE, "fc.weight", "at least 1", "[0, 5]");
    ASSERT_FAILS(build_pair(&be_op_linear, &(linear_attrs){0}, image, matrix, &err), BE_USAGE,
                 "linear: w: expected 5 columns", "found f32 [6, 9]");
    ASSERT_FAILS(build_tied(0, matrix, 0, &err), BE_USAGE, "linear: w: expected 4 columns",
                 "found f32 [6, 9]");
    ASSERT_FAILS(build_tied(0, matrix, 1, &err), BE_USAGE, "linear: w: expected 4 rows",
                 "found f32 [6, 9]");
    ASSERT_FAILS(build_tied(0, row, 0, &err), BE_USAGE, "linear: w: expected f32 of 2 dim",
                 "found f32 [9]");
    ASSERT_FAILS(build_tied(3, (be_shape){BE_F32, 2, {9, 4}}, 0, &err), BE_USAGE,
                 "linear \"head\": expected features to be 0 or those of the weight, 9, found 3",
                 "leave them out");
    ASSERT_FAILS(build_pair(&be_op_linear_backward, &(linear_attrs){0}, matrix, matrix, &err),
                 BE_USAGE, "linear_backward: input 3 is missing");
    ASSERT_FAILS(build_pair(&be_op_matmul, &(matmul_attrs){0, 0}, matrix, matrix, &err), BE_USAGE,
                 "matmul: expected as many rows of b as a has columns");
    ASSERT_FAILS(build_pair(&be_op_matmul, &(matmul_attrs){0, 0}, (be_shape){BE_F32, 3, {2, 6, 9}},
                            (be_shape){BE_F32, 3, {3, 9, 6}}, &err),
                 BE_USAGE,
                 "matmul: expected as many matrices of b as of a, found a f32 [2, 6, 9] "
                 "and b f32 [3, 9, 6]");
    ASSERT_FAILS(build_pair(&be_op_add, NULL, matrix, image, &err), BE_USAGE,
                 "add: b: expected f32 whose dimensions are the last ones of f32 [6, 9]",
                 "found f32 [2, 3, 4, 5]");
    ASSERT_FAILS(build_pair(&be_op_bias, NULL, row, row, &err), BE_USAGE,
                 "bias: x: expected 2 or 4 dimensions, found f32 [9]");
    ASSERT_FAILS(build_pair(&be_op_bias, NULL, image, row, &err), BE_USAGE,
                 "bias: b: expected f32 [3], found f32 [9]");
    ASSERT_FAILS(build_pair(&be_op_sum_rows, NULL, row, row, &err), BE_USAGE,
                 "sum_rows: x: expected 2 or 4 dimensions, found f32 [9]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_makes_its_parameters),
        cmocka_unit_test(linear_takes_the_last_dimension),
        cmocka_unit_test(a_tied_weight_is_one_parameter),
        cmocka_unit_test(both_uses_of_a_tied_weight_train_it),
        cmocka_unit_test(relu_is_fused_into_linear),
        cmocka_unit_test(every_activation_is_fused),
        cmocka_unit_test(relu_keeps_nan),
        cmocka_unit_test(threads_do_not_change_the_native_product),
        cmocka_unit_test(max_pool_takes_the_first_of_equals_and_nan),
        cmocka_unit_test(convolutions_have_options),
        cmocka_unit_test(averages_count_the_padding_or_not),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
