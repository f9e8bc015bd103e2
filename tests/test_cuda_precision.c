/* Products in tf32 and of bf16 operands on a CUDA device, with fakes in the place of driver and
 * libraries: which implementation takes them, what is refused, how far the numbers are off — and
 * that a device which multiplies in fp32 while it says tf32 is noticed by it.  The five small
 * networks train in both there, and in bf16 on the processor, or are refused with the reason. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_plan.h"
#include "core/rng.h"
#include "fake_cuda/fake_world.h"
#include "graph/plan.h"
#include "graph/precision.h"
#include "graph/reference.h"
#include "support.h"
#include "workloads/workload.h"

static be_device *open_device(const char *library)
{
    be_device *device = NULL;
    be_error err = {0};
    ASSERT_OK(be_device_open("cuda:0", &(be_device_options){.library = library}, &device, &err));
    return device;
}

static int clean(void **state)
{
    static const char *const variables[] = {"FAKE_CUDNN_EXACT", "FAKE_CUBLASLT_EXACT",
                                            "FAKE_CUDNN_CREATE", "FAKE_CUBLASLT_NONE",
                                            "FAKE_CUDNN_FINALIZE"};
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    cuda_math_forget();
    return 0;
}

/* ---------------------------------------------------------------- one product */

#define ROWS 24
#define DEPTH 512 /* a linear layer of less stays with our own kernels */
#define FEATURES 16
#define OUTPUTS 48
#define CHANNELS 3
#define SIDE 8

typedef struct network {
    be_graph *graph;
    be_value x, y;
    int64_t inputs, outputs;
} network;

static network network_of(be_graph *g, be_value x, be_value y)
{
    be_error err = {0};
    ASSERT_OK(be_graph_check(g, &err));
    be_shape from = be_value_shape(g, x), to = be_value_shape(g, y);
    return (network){g, x, y, shape_elements(&from), shape_elements(&to)};
}

static network linear_new(int depth)
{
    be_graph *g = be_graph_new(5);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, depth}});
    return network_of(g, x, be_linear(g, x, &(be_linear_options){"a", .features = OUTPUTS}));
}

/* With ReLU and a pool behind it or without. */
static network convolution_new(int features, bool pool)
{
    be_graph *g = be_graph_new(5);
    be_conv2d_options options = {.name = "a", .channels = features, .kernel = 3, .padding = 1};
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {4, CHANNELS, SIDE, SIDE}});
    be_value y = be_conv2d(g, x, &options);
    if (pool) y = be_max_pool2d(g, be_relu(g, y), &(be_pool2d_options){.size = 2});
    return network_of(g, x, y);
}

static network network_new(bool is_convolution)
{
    return is_convolution ? convolution_new(FEATURES, false) : linear_new(DEPTH);
}

static network attention_new(void)
{
    be_graph *g = be_graph_new(5);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 3, {2, 70, 3 * 64}});
    be_attention_options options = {
        .q = BE_NONE, .k = BE_NONE, .v = BE_NONE, .qkv = x, .lengths = BE_NONE, .heads = 2};
    return network_of(g, x, be_attention(g, &options));
}

static float *inputs_new(const network *n)
{
    float *x = malloc((size_t)n->inputs * sizeof *x);
    rng r = {.key = {.seed = 7, .stream = RNG_TEST}};
    assert_non_null(x);
    for (int64_t i = 0; i < n->inputs; i++) x[i] = 2.0f * rng_next_uniform(&r) - 1.0f;
    return x;
}

/* y of the device, with the precision's products; and which implementations took part. */
static be_status run_device(const network *n, be_device *device, be_precision precision, float *y,
                            char implementation[256], be_error *err)
{
    be_plan *plan = NULL;
    be_plan_options options = {
        .mode = BE_INFER, .precision = precision, .keep = &n->y, .keep_count = 1};
    float *x = inputs_new(n);
    be_status status = be_plan_new(n->graph, device, &options, &plan, err);
    if (status == BE_OK) snprintf(implementation, 256, "%s", be_plan_describe(plan).implementation);
    if (status == BE_OK) status = be_plan_write(plan, n->x, x, (size_t)n->inputs * sizeof *x, err);
    if (status == BE_OK) status = be_plan_run(plan, 1, err);
    if (status == BE_OK) status = be_plan_read(plan, n->y, y, (size_t)n->outputs * sizeof *y, err);
    be_plan_free(plan);
    free(x);
    return status;
}

/* The Frobenius norm of the difference to the double reference of fp32, as a part of that norm. */
static double error_of(const network *n, be_device *device, be_precision precision,
                       char implementation[256])
{
    be_error err = {0};
    reference *r = NULL;
    be_plan_options options = {.mode = BE_INFER, .keep = &n->y, .keep_count = 1};
    float *x = inputs_new(n), *y = malloc((size_t)n->outputs * sizeof *y);
    double square = 0.0, whole = 0.0;
    assert_non_null(y);
    ASSERT_OK(run_device(n, device, precision, y, implementation, &err));
    ASSERT_OK(reference_new(n->graph, &options, &r, &err));
    ASSERT_OK(reference_write(r, n->x, x, (size_t)n->inputs * sizeof *x, &err));
    ASSERT_OK(reference_run(r, 1, &err));
    const double *expected = reference_data(r, n->y);
    for (int64_t i = 0; i < n->outputs; i++) {
        square += ((double)y[i] - expected[i]) * ((double)y[i] - expected[i]);
        whole += expected[i] * expected[i];
    }
    reference_free(r);
    free(x);
    free(y);
    return sqrt(square / whole);
}

/* Two operands, each rounded to p bits, of numbers spread over one binade: each is off by about
 * 0.42 · 2^-p of itself, and their product by sqrt(2) times that: 2.3e-3 for bf16 and 2.9e-4 for
 * tf32.  A quarter more or less is the noise of so small a product and its bias. */
static void expect_error(double found, double expected, const char *what)
{
    if (!(found > 0.6 * expected && found < 1.4 * expected))
        fail_msg("%s: expected an error of about %.2g, found %.3g", what, expected, found);
}

#define TF32_ERROR 2.9e-4
#define BF16_ERROR 2.3e-3

static void each_precision_shows_its_error(void **state)
{
    (void)state;
    char text[256];
    be_device *device = open_device(NULL);
    for (int kind = 0; kind < 2; kind++) {
        network n = network_new(kind == 1);
        const char *library = kind == 1 ? "cuDNN 9.14.0" : "cuBLASLt 13.0.2";
        assert_true(error_of(&n, device, BE_PRECISION_FP32, text) < 1e-6);
        assert_null(strstr(text, library)); /* fp32 keeps to our own kernels */
        expect_error(error_of(&n, device, BE_PRECISION_TF32, text), TF32_ERROR, library);
        assert_non_null(strstr(text, library));
        expect_error(error_of(&n, device, BE_PRECISION_BF16, text), BF16_ERROR, library);
        assert_non_null(strstr(text, library));
        be_graph_free(n.graph);
    }
    be_device_close(device);
}

/* The test above would see it: libraries that multiply fp32 numbers as they are. */
static void fp32_in_the_place_of_tf32_is_noticed(void **state)
{
    (void)state;
    char text[256];
    setenv("FAKE_CUDNN_EXACT", "1", 1);
    setenv("FAKE_CUBLASLT_EXACT", "1", 1);
    be_device *device = open_device(NULL);
    for (int kind = 0; kind < 2; kind++) {
        network n = network_new(kind == 1);
        assert_true(error_of(&n, device, BE_PRECISION_TF32, text) < 0.01 * TF32_ERROR);
        be_graph_free(n.graph);
    }
    be_device_close(device);
}

/* ---------------------------------------------------------------- who multiplies */

/* In tf32 our own kernel rounds the operands itself, where the library has no engine for a
 * convolution (as cuDNN 9.19 for three channels and six windows). */
static void a_convolution_without_an_engine_is_ours(void **state)
{
    (void)state;
    char text[256];
    network n = network_new(true);
    setenv("FAKE_CUDNN_FINALIZE", "3000", 1);
    be_device *device = open_device(NULL);
    expect_error(error_of(&n, device, BE_PRECISION_TF32, text), TF32_ERROR, "our own kernels");
    assert_string_equal(text, "native, CUDA 13.0, sm_90, NVRTC 13.0");
    assert_true(error_of(&n, device, BE_PRECISION_FP32, text) < 1e-6);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* On tensor cores, which cut off what is not rounded: the cases of the op have rounded operands. */
static void attention_rounds_all_that_it_multiplies(void **state)
{
    (void)state;
    char text[256];
    network n = attention_new();
    be_device *device = open_device(NULL);
    expect_error(error_of(&n, device, BE_PRECISION_TF32, text), TF32_ERROR, "attention");
    assert_true(error_of(&n, device, BE_PRECISION_FP32, text) < 1e-6);
    be_device_close(device);
    be_graph_free(n.graph);
}

static int launches_of(const network *n, be_device *device, be_precision precision)
{
    be_plan *plan = NULL;
    be_error err = {0};
    be_plan_options options = {
        .mode = BE_INFER, .precision = precision, .keep = &n->y, .keep_count = 1, .dry_run = 1};
    ASSERT_OK(be_plan_new(n->graph, device, &options, &plan, &err));
    int launches = (int)be_plan_describe(plan).launches;
    be_plan_free(plan);
    return launches;
}

/* With few channels a convolution, its ReLU and its pool are one launch of ours in every precision,
 * which rounds the operands as it loads them; with more, and where the user asks for it, cuDNN's
 * and a pool. */
static void few_channels_stay_one_launch(void **state)
{
    static const double errors[] = {
        [BE_PRECISION_TF32] = TF32_ERROR, [BE_PRECISION_BF16] = BF16_ERROR};
    (void)state;
    char text[256];
    be_device *device = open_device(NULL), *asked = open_device("cudnn");
    network few = convolution_new(32, true), more = convolution_new(33, true);
    assert_true(error_of(&few, device, BE_PRECISION_FP32, text) < 1e-6);
    for (be_precision p = BE_PRECISION_TF32; p <= BE_PRECISION_BF16; p++) {
        expect_error(error_of(&few, device, p, text), errors[p], "few channels");
        assert_string_equal(text, "native, CUDA 13.0, sm_90, NVRTC 13.0");
        assert_int_equal(launches_of(&few, device, p), 1);
        expect_error(error_of(&more, device, p, text), errors[p], "more channels");
        assert_non_null(strstr(text, "cuDNN 9.14.0"));
        expect_error(error_of(&few, asked, p, text), errors[p], "asked for");
        assert_non_null(strstr(text, "cuDNN 9.14.0"));
    }
    be_graph_free(few.graph);
    be_graph_free(more.graph);
    be_device_close(device);
    be_device_close(asked);
}

/* So does a small linear layer that is not deep; its operands have no copies in bf16. */
static void small_products_are_ours(void **state)
{
    static const double errors[] = {
        [BE_PRECISION_TF32] = TF32_ERROR, [BE_PRECISION_BF16] = BF16_ERROR};
    (void)state;
    char text[256];
    be_device *device = open_device(NULL), *asked = open_device("cudnn");
    network n = linear_new(DEPTH - 8);
    for (be_precision p = BE_PRECISION_TF32; p <= BE_PRECISION_BF16; p++) {
        expect_error(error_of(&n, device, p, text), errors[p], "a small product");
        assert_string_equal(text, "native, CUDA 13.0, sm_90, NVRTC 13.0");
        assert_int_equal(launches_of(&n, device, p), launches_of(&n, device, BE_PRECISION_FP32));
        expect_error(error_of(&n, asked, p, text), errors[p], "asked for");
        assert_non_null(strstr(text, "cuBLASLt 13.0.2"));
    }
    be_graph_free(n.graph);
    be_device_close(device);
    be_device_close(asked);
}

static void without_the_libraries(void **state)
{
    (void)state;
    char text[256];
    be_error err = {0};
    float y[4096];
    network n = network_new(true);
    setenv("FAKE_CUDNN_CREATE", "1001", 1);
    be_device *device = open_device(NULL);
    ASSERT_FAILS(run_device(&n, device, BE_PRECISION_TF32, y, text, &err), BE_UNAVAILABLE,
                 "products in tf32 need cuDNN and cuBLASLt", "does not start: ");
    expect_error(error_of(&n, device, BE_PRECISION_BF16, text), BF16_ERROR, "our own kernels");
    assert_string_equal(text, "native, CUDA 13.0, sm_90, NVRTC 13.0");
    be_device_close(device);
    clean(NULL);
    /* Our own kernels were asked for. */
    device = open_device("native");
    ASSERT_FAILS(run_device(&n, device, BE_PRECISION_TF32, y, text, &err), BE_UNAVAILABLE,
                 "op conv2d: native gpu multiplies in fp32 or of bf16 operands, not in tf32",
                 "use --precision fp32");
    expect_error(error_of(&n, device, BE_PRECISION_BF16, text), BF16_ERROR, "our own kernels");
    be_device_close(device);
    be_graph_free(n.graph);
    /* The library is there, and has nothing for this product. */
    n = network_new(false);
    setenv("FAKE_CUBLASLT_NONE", "1", 1);
    device = open_device(NULL);
    expect_error(error_of(&n, device, BE_PRECISION_TF32, text), TF32_ERROR, "our own kernels");
    assert_string_equal(text, "native, CUDA 13.0, sm_90, NVRTC 13.0");
    expect_error(error_of(&n, device, BE_PRECISION_BF16, text), BF16_ERROR, "our own kernels");
    be_device_close(device);
    be_graph_free(n.graph);
}

/* ---------------------------------------------------------------- trainings */

#define SAMPLES 2
#define BATCH 1
#define STEPS 2

typedef struct data {
    uint8_t *images;
    int32_t labels[SAMPLES], order[SAMPLES];
    size_t image_bytes;
} data;

static data data_new(const workload *w)
{
    data_table form = workload_form(w, SAMPLES);
    data d = {.image_bytes = SAMPLES * field_bytes(&form.field[0])};
    rng source = {.key = {.seed = 9, .stream = RNG_TEST}};
    d.images = malloc(d.image_bytes);
    assert_non_null(d.images);
    for (size_t i = 0; i < d.image_bytes; i++) d.images[i] = (uint8_t)rng_next(&source);
    for (int i = 0; i < SAMPLES; i++) {
        d.labels[i] = (int32_t)rng_next_below(&source, (uint32_t)form.field[1].below);
        d.order[i] = SAMPLES - 1 - i;
    }
    return d;
}

static workload_model model_with(const workload *w, const be_optimizer *optimizer)
{
    be_error err = {0};
    workload_model model;
    data_table form = workload_form(w, SAMPLES);
    workload_options options = {.data = &form, .batch = BATCH, .seed = 3, .optimizer = optimizer};
    for (int c = 0; c < 4; c++) {
        form.field[0].form.mean[c] = 0.5f;
        form.field[0].form.std[c] = 0.25f;
    }
    ASSERT_OK(workload_model_new(w, &options, &model, &err));
    return model;
}

static workload_model model_new(const workload *w)
{
    return model_with(w, NULL);
}

static void train(be_plan *plan, const workload_model *model, const data *d, float losses[STEPS])
{
    be_error err = {0};
    const be_graph *g = model->graph;
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "images"), d->images, d->image_bytes, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "labels"), d->labels, sizeof d->labels, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "order"), d->order, sizeof d->order, &err));
    ASSERT_OK(be_plan_run(plan, STEPS, &err));
    ASSERT_OK(be_plan_losses(plan, STEPS, losses, NULL, &err));
}

static void train_on_cuda(const workload_model *model, const data *d,
                          const be_plan_options *options, float losses[STEPS])
{
    be_error err = {0};
    be_plan *plan = NULL;
    be_device *device = open_device(NULL);
    ASSERT_OK(be_plan_new(model->graph, device, options, &plan, &err));
    train(plan, model, d, losses);
    be_plan_free(plan);
    be_device_close(device);
}

static void train_reference(const workload_model *model, const data *d,
                            const be_plan_options *options, double losses[STEPS])
{
    be_error err = {0};
    reference *r = NULL;
    const be_graph *g = model->graph;
    ASSERT_OK(reference_new(g, options, &r, &err));
    ASSERT_OK(reference_write(r, be_value_find(g, "images"), d->images, d->image_bytes, &err));
    ASSERT_OK(reference_write(r, be_value_find(g, "labels"), d->labels, sizeof d->labels, &err));
    ASSERT_OK(reference_write(r, be_value_find(g, "order"), d->order, sizeof d->order, &err));
    ASSERT_OK(reference_run(r, STEPS, &err));
    ASSERT_OK(reference_losses(r, STEPS, losses, NULL, &err));
    reference_free(r);
}

/* The reference rounds at the same places, so that the two part only where an error of fp32 tips a
 * rounding: a unit of the precision in one number, which the next steps carry on. */
static void check_losses(const char *what, be_precision precision, const float *found,
                         const double *expected)
{
    double unit = precision == BE_PRECISION_BF16 ? ldexp(1.0, -8) : ldexp(1.0, -11);
    for (int s = 0; s < STEPS; s++)
        if (!(fabs((double)found[s] - expected[s]) <= unit * fabs(expected[s])))
            fail_msg("%s in %s: step %d: expected a loss of %.7g, found %.7g", what,
                     precision_name(precision), s, expected[s], (double)found[s]);
}

static const workload *const small[] = {&workload_mlp_mnist, &workload_cnn_mnist,
                                        &workload_cnn_cifar, &workload_cnn_fashion,
                                        &workload_cnn5_fashion};
#define SMALL (int)(sizeof small / sizeof *small)

/* On small pictures: the fake device computes a thread at a time. */
static const workload *shrunk(const workload *w, workload *room)
{
    be_error err = {0};
    const workload *out = NULL;
    ASSERT_OK(workload_vary(w, &(workload_variant){.size = 20}, room, &out, &err));
    return out;
}

static void networks_train(void **state)
{
    (void)state;
    for (int k = 0; k < SMALL; k++) {
        workload room;
        const workload *w = shrunk(small[k], &room);
        data d = data_new(w);
        workload_model model = model_new(w);
        for (int p = BE_PRECISION_TF32; p <= BE_PRECISION_BF16; p++) {
            float losses[STEPS], again[STEPS];
            double expected[STEPS];
            be_plan_options options = {.mode = BE_TRAIN, .precision = (be_precision)p};
            train_on_cuda(&model, &d, &options, losses);
            /* One tells for all whether a run can be repeated. */
            if (k == 0) {
                train_on_cuda(&model, &d, &options, again);
                assert_memory_equal(losses, again, sizeof again);
            }
            train_reference(&model, &d, &options, expected);
            check_losses(w->name, (be_precision)p, losses, expected);
        }
        be_graph_free(model.graph);
        free(d.images);
    }
}

/* Losses of three steps, in one run or in one each, which begins with casts of all weights. */
static void train_in_runs(be_device *device, const workload_model *model, const data *d, int runs,
                          float losses[3])
{
    be_error err = {0};
    be_plan *plan = NULL;
    float first[STEPS];
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
    ASSERT_OK(be_plan_new(model->graph, device, &options, &plan, &err));
    assert_int_not_equal(plan->graph->lowered.narrow, BE_NONE);
    train(plan, model, d, first); /* writes the data */
    ASSERT_OK(be_plan_set_steps(plan, 0, &err));
    for (int r = 0; r < runs; r++) ASSERT_OK(be_plan_run(plan, 3 / runs, &err));
    ASSERT_OK(be_plan_losses(plan, 3, losses, NULL, &err));
    be_plan_free(plan);
}

/* Not of every processor. */
static bool has_bf16(be_device *device, const workload_model *model)
{
    be_error err = {0};
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16, .dry_run = 1};
    be_status status = be_plan_new(model->graph, device, &options, &plan, &err);
    be_plan_free(plan);
    return status == BE_OK;
}

/* What the optimizer writes for the next step are the bits that a cast makes of the parameters. */
static void narrow_weights_are_those_of_casts(void **state)
{
    static const be_optimizer optimizers[] = {
        {.kind = BE_SGD, .learning_rate = 0.1},
        {.kind = BE_SGD, .learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01},
        {.kind = BE_ADAMW, .learning_rate = 0.01, .weight_decay = 0.1}};
    static const char *const ids[] = {"cuda:0", "cpu"};
    be_error err = {0};
    workload room;
    const workload *w = shrunk(&workload_mlp_mnist, &room);
    data d = data_new(w);
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        be_device *device = NULL;
        /* So small products are ours elsewhere, and have no copies. */
        be_device_options with = {.threads = 1, .library = i == 0 ? "cudnn" : NULL};
        ASSERT_OK(be_device_open(ids[i], &with, &device, &err));
        for (size_t o = 0; o < sizeof optimizers / sizeof *optimizers; o++) {
            float whole[3] = {0}, apart[3] = {0};
            workload_model model = model_with(w, &optimizers[o]);
            if (has_bf16(device, &model)) {
                train_in_runs(device, &model, &d, 1, whole);
                train_in_runs(device, &model, &d, 3, apart);
            }
            if (memcmp(whole, apart, sizeof whole) != 0)
                fail_msg("%s, optimizer %zu: other bits in a run of three steps", ids[i], o);
            be_graph_free(model.graph);
        }
        be_device_close(device);
    }
    free(d.images);
}

/* By oneDNN, where the processor multiplies bf16; elsewhere each network says what is missing. */
static void networks_train_in_bf16_on_the_processor(void **state)
{
    (void)state;
    be_device *device = NULL;
    be_error err = {0};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 2}, &device, &err));
    for (int k = 0; k < SMALL; k++) {
        be_plan *plan = NULL;
        workload room;
        const workload *w = shrunk(small[k], &room);
        data d = data_new(w);
        workload_model model = model_new(w);
        be_plan_options options = {.mode = BE_TRAIN, .precision = BE_PRECISION_BF16};
        be_status status = be_plan_new(model.graph, device, &options, &plan, &err);
        if (status == BE_OK) {
            float losses[STEPS];
            double expected[STEPS];
            train(plan, &model, &d, losses);
            train_reference(&model, &d, &options, expected);
            check_losses(w->name, BE_PRECISION_BF16, losses, expected);
        } else {
            ASSERT_FAILS(be_plan_new(model.graph, device, &options, &plan, &err), BE_UNAVAILABLE,
                         "the cpu device cannot run op ", "multiplies in fp32 alone, not in bf16",
                         "oneDNN computes in bf16 on processors with AVX512-BF16 or AMX alone",
                         "use --precision fp32");
        }
        be_plan_free(plan);
        be_graph_free(model.graph);
        free(d.images);
    }
    be_device_close(device);
}

/* ---------------------------------------------------------------- the peak */

static void products_to_measure(void **state)
{
    (void)state;
    be_error err = {0};
    for (int there = 0; there < 2; there++) {
        device_probe *probe = NULL;
        if (!there) setenv("FAKE_CUBLASLT_NONE", "1", 1);
        be_device *device = open_device(NULL);
        ASSERT_OK(device->vtable->probe_new(device, &probe, &err));
        for (probe_kind kind = PROBE_TF32; kind <= PROBE_BF16; kind++) {
            double side = 4 * 64; /* 64 of each multiprocessor of the fake device */
            assert_true(probe->amount[kind] == (there ? 2.0 * side * side * side : 0.0));
            if (there) ASSERT_OK(device->vtable->probe_run(probe, kind, 1, &err));
        }
        device->vtable->probe_free(probe);
        be_device_close(device);
        clean(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_precision_shows_its_error, clean),
        cmocka_unit_test_setup(fp32_in_the_place_of_tf32_is_noticed, clean),
        cmocka_unit_test_setup(a_convolution_without_an_engine_is_ours, clean),
        cmocka_unit_test_setup(few_channels_stay_one_launch, clean),
        cmocka_unit_test_setup(small_products_are_ours, clean),
        cmocka_unit_test_setup(attention_rounds_all_that_it_multiplies, clean),
        cmocka_unit_test_setup(without_the_libraries, clean),
        cmocka_unit_test_setup(networks_train, clean),
        cmocka_unit_test_setup(narrow_weights_are_those_of_casts, clean),
        cmocka_unit_test_setup(networks_train_in_bf16_on_the_processor, clean),
        cmocka_unit_test_setup(products_to_measure, clean),
    };
    return cmocka_run_group_tests(tests, fake_world_open, fake_world_close);
}
