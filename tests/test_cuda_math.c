/* cuDNN and cuBLASLt on a CUDA device: found or refused with the reason, and a training on them,
 * with fakes in the place of driver and libraries. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cuda_nccl.h"
#include "core/rng.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/fake_folder.h"

#define FAKES(...) fake_folder((const char *const[]){__VA_ARGS__, NULL})
#define BOTH "libcublasLt.so.13", "libcudnn.so.9"

static const char *const variables[] = {
    "FAKE_CUDNN_VERSION", "FAKE_CUDNN_CUDART",  "FAKE_CUDNN_CREATE", "FAKE_CUDNN_FINALIZE",
    "FAKE_CUDNN_EXECUTE", "FAKE_CUDNN_NONE",    "FAKE_CUDNN_RELU",   "FAKE_CUBLASLT_CREATE",
    "FAKE_CUBLASLT_FAIL", "FAKE_CUBLASLT_NONE", "FAKE_CUDA_VERSION", "CUDA_VISIBLE_DEVICES"};

static struct {
    char *cache;
    void *driver; /* the fake's own library */
    void (*fail_at)(int, int, int);
    int (*calls)(void), (*live)(void);
} world;

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    if (world.fail_at) world.fail_at(0, 0, 0);
    return 0;
}

/* ---------------------------------------------------------------- finding them */

static void open_nccl(char *folder, bool newer, be_status expected, const char *says)
{
    be_error err = {0};
    cuda_nccl nccl;
    cuda_places places = fake_places(folder);
    assert_int_equal(cuda_nccl_open(&nccl, &places, newer, &err), expected);
    if (says) assert_non_null(strstr(err.text, says));
    if (!says) assert_string_equal(nccl.title, "NCCL 2.28.5");
    cuda_nccl_close(&nccl);
    cuda_places_free(&places);
    support_remove_folder(folder);
}

/* What several GPUs need beside the two; NVLink's multicast stays off whatever was set. */
static void nccl_is_found(void **state)
{
    (void)state;
    setenv("NCCL_NVLS_ENABLE", "1", 1);
    open_nccl(FAKES("libnccl.so.2"), true, BE_OK, NULL);
    assert_string_equal(getenv("NCCL_NVLS_ENABLE"), "0");
    open_nccl(FAKES("libcudnn.so.9"), true, BE_UNAVAILABLE, "pip install nvidia-nccl-cu13");
    open_nccl(FAKES("libcudnn.so.9"), false, BE_UNAVAILABLE,
              "libnccl.so.2 not found in the folder of BREAKEVEN_CUDA_LIB_DIR; install it, as by "
              "'pip install nvidia-nccl-cu12'");
    setenv("FAKE_NCCL_VERSION", "20903", 1);
    open_nccl(FAKES("libnccl.so.2"), true, BE_UNAVAILABLE, "found the version number 20903");
    unsetenv("FAKE_NCCL_VERSION");
}

/* Both opened from a folder; `pieces`: it is refused, and they are in the text. */
static void open_from(char *folder, int driver_version, const char *const *pieces)
{
    be_error err = {0};
    cuda_math math;
    cuda_places places = fake_places(folder);
    be_status status = cuda_math_open(&math, &places, driver_version, &err);
    if (pieces)
        support_assert_fails(status, BE_UNAVAILABLE, &err, pieces, __FILE__, __LINE__);
    else
        support_assert_ok(status, &err, "cuda_math_open", __FILE__, __LINE__);
    if (!pieces) assert_string_equal(math.cudnn_title, "cuDNN 9.14.0");
    if (!pieces) assert_string_equal(math.cublaslt_title, "cuBLASLt 13.0.2");
    cuda_math_close(&math);
    cuda_places_free(&places);
    support_remove_folder(folder);
}

#define REFUSES(folder, driver, ...) \
    open_from((folder), (driver), (const char *const[]){__VA_ARGS__, NULL})

static void both_there(void **state)
{
    (void)state;
    open_from(FAKES(BOTH), 13000, NULL);
}

static void something_missing(void **state)
{
    (void)state;
    REFUSES(FAKES("libcublasLt.so.13"), 13000, "libcudnn.so.9 not found in ",
            "; install it, as by 'pip install nvidia-cudnn-cu13'");
    REFUSES(FAKES("libcudnn.so.9"), 13000, "libcublasLt.so.13 not found in ",
            "; install it, as by 'pip install nvidia-cublas'");
    REFUSES(FAKES(BOTH), 12040, "libcublasLt.so.12 not found, only ",
            "libcublasLt.so.13 of another version", "nvidia-cublas-cu12");
}

static void wrong_version(void **state)
{
    (void)state;
    char path[4096], *folder = FAKES("libcublasLt.so.13");
    support_write_file(support_path(path, sizeof path, folder, "libcudnn.so.8"), "x", 1);
    REFUSES(folder, 13000, "libcudnn.so.9 not found, only ", "/libcudnn.so.8 of another version",
            "nvidia-cudnn-cu13");
    setenv("FAKE_CUDNN_CUDART", "14000", 1);
    REFUSES(FAKES(BOTH), 13000, "/libcudnn.so.9 is made for CUDA 14, and the driver is for CUDA 13",
            "'pip install nvidia-cudnn-cu13'");
}

/* A library of the right name that is another one. */
static void something_else(void **state)
{
    (void)state;
    char from[4096], to[4096], *folder = FAKES("libcublasLt.so.13");
    support_path(from, sizeof from, getenv("BREAKEVEN_FAKE_CUDA"), "libnvidia-ml.so.1");
    support_path(to, sizeof to, folder, "libcudnn.so.9");
    assert_int_equal(symlink(from, to), 0);
    REFUSES(folder, 13000, "libcudnn.so.9 lacks cudnnCreate; install another one of it");
}

/* ---------------------------------------------------------------- a device with them */

static be_device *open_device(const char *library)
{
    be_device *device = NULL;
    be_error err = {0};
    ASSERT_OK(be_device_open("cuda:0", &(be_device_options){.library = library}, &device, &err));
    return device;
}

#define DEVICE_FAILS(id, word, ...)                                                        \
    do {                                                                                   \
        be_device *device_ = NULL;                                                         \
        be_error err = {0};                                                                \
        ASSERT_FAILS(                                                                      \
            be_device_open((id), &(be_device_options){.library = (word)}, &device_, &err), \
            BE_UNAVAILABLE, __VA_ARGS__);                                                  \
        assert_null(device_);                                                              \
    } while (0)

static void devices_without_them(void **state)
{
    (void)state;
    DEVICE_FAILS("cpu", "cudnn", "library cudnn: the device cpu does not have it");
    DEVICE_FAILS("null:0", "cudnn", "library cudnn: the device null:0 does not have it");
    DEVICE_FAILS("cuda:0", "onednn", "library onednn: the device cuda:0 does not have it",
                 "(onednn: cpu,");
    setenv("FAKE_CUDNN_CREATE", "1001", 1);
    DEVICE_FAILS("cuda:0", "cudnn", "cuda:0: cuDNN 9.14.0 (",
                 "/libcudnn.so.9) does not start: ", "(1001) said by the fake");
    unsetenv("FAKE_CUDNN_CREATE");
    setenv("FAKE_CUBLASLT_CREATE", "1", 1);
    DEVICE_FAILS("cuda:0", "cudnn", "cuda:0: cuBLASLt 13.0.2 (", "does not start: ", "(1)");
    /* Who does not ask for them does not need them. */
    be_device_close(open_device(NULL));
    be_device_close(open_device("native"));
    setenv("FAKE_CUDNN_CUDART", "14000", 1);
    cuda_math_forget();
    DEVICE_FAILS("cuda:0", "cudnn",
                 "cuda:0 is not usable with --library cudnn: ", "is made for CUDA 14");
    be_device_close(open_device(NULL));
    cuda_math_forget();
    assert_int_equal(world.live(), 0);
}

/* ---------------------------------------------------------------- a training */

#define IMAGES 3
#define PIXELS (IMAGES * 2 * 10 * 10)
#define CLASSES 3
#define STEPS 21

typedef struct network {
    be_graph *graph;
    be_value x, target;
} network;

/* A convolution of each kind: with a pool behind it, and with the gradient of x. */
static network network_new(void)
{
    network n = {.graph = be_graph_new(1)};
    be_graph *g = n.graph;
    be_error err = {0};
    n.x = be_input(g, "x", (be_shape){BE_F32, 4, {IMAGES, 2, 10, 10}});
    n.target = be_input(g, "target", (be_shape){BE_I32, 1, {IMAGES}});
    be_value h = be_relu(
        g, be_conv2d(g, n.x,
                     &(be_conv2d_options){
                         .name = "a", .channels = 5, .kernel = 3, .stride = 1, .padding = 1}));
    h = be_max_pool2d(g, h, &(be_pool2d_options){.size = 2});
    h = be_relu(g, be_conv2d(g, h, &(be_conv2d_options){.name = "b", .channels = 4, .kernel = 3}));
    h = be_relu(g, be_linear(g, be_flatten(g, h), &(be_linear_options){"c", .features = 7}));
    be_value loss = be_softmax_cross_entropy(
        g, be_linear(g, h, &(be_linear_options){"d", .features = CLASSES}), n.target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.5f});
    ASSERT_OK(be_graph_check(g, &err));
    return n;
}

static be_status write_inputs(const network *n, be_plan *plan, be_error *err)
{
    float x[PIXELS];
    int32_t target[IMAGES] = {0, 2, 1};
    rng r = {.key = {.seed = 7, .stream = RNG_TEST}};
    for (int i = 0; i < PIXELS; i++) x[i] = 2.0f * rng_next_uniform(&r) - 1.0f;
    TRY(be_plan_write(plan, n->x, x, sizeof x, err));
    return be_plan_write(plan, n->target, target, sizeof target, err);
}

static be_status train(const network *n, be_device *device, float losses[STEPS], be_error *err)
{
    be_plan *plan = NULL;
    TRY(be_plan_new(n->graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, err));
    be_status status = write_inputs(n, plan, err);
    if (status == BE_OK) status = be_plan_run(plan, STEPS, err);
    if (status == BE_OK) status = be_plan_losses(plan, STEPS, losses, NULL, err);
    be_plan_free(plan);
    return status;
}

static void train_on(const char *library, float losses[STEPS])
{
    be_error err = {0};
    network n = network_new();
    be_device *device = open_device(library);
    ASSERT_OK(train(&n, device, losses, &err));
    be_device_close(device);
    be_graph_free(n.graph);
}

/* Written so that a NaN is never right. */
static void check_losses(const float *found, const float *expected, int count)
{
    for (int s = 0; s < count; s++)
        if (!(fabsf(found[s] - expected[s]) <= 1e-4f))
            fail_msg("step %d: loss %g, expected %g", s, (double)found[s], (double)expected[s]);
}

static void same_training(void **state)
{
    (void)state;
    float own[STEPS], theirs[STEPS], again[STEPS];
    train_on("native", own);
    train_on("cudnn", theirs);
    train_on("cudnn", again);
    assert_memory_equal(theirs, again, sizeof again);
    assert_true(own[STEPS - 1] < 0.5f * own[0]);
    check_losses(own, theirs, STEPS);
    assert_int_equal(world.live(), 0);
}

/* What runs is named; the numbers of a plan, without and with a device's memory. */
static void names(void **state)
{
    (void)state;
    be_error err = {0};
    network n = network_new();
    be_device *device = open_device("cudnn");
    for (int dry = 0; dry < 2; dry++) {
        be_plan *plan = NULL;
        be_plan_options options = {.mode = BE_TRAIN, .dry_run = dry};
        ASSERT_OK(be_plan_new(n.graph, device, &options, &plan, &err));
        be_plan_facts facts = be_plan_describe(plan);
        assert_string_equal(
            facts.implementation,
            "cuDNN 9.14.0 + native + cuBLASLt 13.0.2, CUDA 13.0, sm_90, NVRTC 13.0");
        assert_int_equal(facts.launches, 24);
        assert_true(facts.scratch_bytes >= 2 * 4096);
        be_plan_free(plan);
    }
    be_device_close(device);
    device = open_device("native");
    be_plan *plan = NULL;
    ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    assert_string_equal(be_plan_describe(plan).implementation,
                        "native, CUDA 13.0, sm_90, NVRTC 13.0");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* A step whose parts are started one by one: looked at, and timed. */
static void other_runs(void **state)
{
    (void)state;
    be_error err = {0};
    float losses[2], own[STEPS];
    be_plan_times times;
    network n = network_new();
    be_device *device = open_device("cudnn");
    be_plan *plan = NULL;
    train_on("native", own);
    ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(write_inputs(&n, plan, &err));
    ASSERT_OK(be_plan_run_checked(plan, 1, &err));
    ASSERT_OK(be_plan_phases(plan, 2, &times, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_losses(plan, 2, losses, NULL, &err));
    check_losses(losses, own, 2);
    /* On a busy machine noise takes the first ops' time away; they add up all the same. */
    int64_t sum_ns = 0;
    for (int p = 0; p < BE_PHASE_COUNT; p++)
        if (times.phase_ns[p] > 0) sum_ns += times.phase_ns[p];
    assert_true(times.wall_ns > 0 && sum_ns > 0.99 * (double)times.wall_ns);
    setenv("FAKE_CUDNN_EXECUTE", "5000", 1);
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_DRIVER,
                 "cuDNN 9.14.0: a convolution of images ", "(5000): said by the fake");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
    assert_int_equal(world.live(), 0);
}

/* An op that they refuse gets our own kernel, and the plan says so; what is broken is an error. */
static void refused_ops(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan *plan = NULL;
    network n = network_new();
    be_device *device = open_device("cudnn");
    float losses[STEPS];
    setenv("FAKE_CUDNN_NONE", "1", 1);
    ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    assert_string_equal(be_plan_describe(plan).implementation,
                        "native + cuBLASLt 13.0.2, CUDA 13.0, sm_90, NVRTC 13.0");
    be_plan_free(plan);
    setenv("FAKE_CUBLASLT_NONE", "1", 1);
    ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    assert_string_equal(be_plan_describe(plan).implementation,
                        "native, CUDA 13.0, sm_90, NVRTC 13.0");
    be_plan_free(plan);
    clean(NULL);
    setenv("FAKE_CUDNN_FINALIZE", "1008", 1);
    ASSERT_FAILS(train(&n, device, losses, &err), BE_DRIVER, "device cuda:0: op conv2d: ",
                 "cuDNN 9.14.0: an operation graph: ", "(1008): said by the fake");
    clean(NULL);
    setenv("FAKE_CUBLASLT_FAIL", "13", 1);
    ASSERT_FAILS(train(&n, device, losses, &err), BE_DRIVER,
                 "cuBLASLt 13.0.2: a product: ", "(13)");
    be_device_close(device);
    be_graph_free(n.graph);
    assert_int_equal(world.live(), 0);
}

/* Where cuDNN's ReLU would make a NaN 0, our own kernels do it. */
static void relu_that_loses_nan(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan *plan = NULL;
    float own[STEPS], theirs[STEPS];
    network n = network_new();
    train_on("native", own);
    setenv("FAKE_CUDNN_RELU", "1", 1);
    train_on("cudnn", theirs);
    check_losses(theirs, own, STEPS);
    be_device *device = open_device("cudnn");
    ASSERT_OK(be_plan_new(n.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    assert_int_equal(be_plan_describe(plan).launches, 24 + 2);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
    assert_int_equal(world.live(), 0);
}

/* ---------------------------------------------------------------- faults */

static be_status open_and_train(void *context, be_error *err)
{
    const network *n = context;
    be_device *device = NULL;
    float losses[STEPS];
    TRY(be_device_open("cuda:0", &(be_device_options){.library = "cudnn"}, &device, err));
    be_status status = train(n, device, losses, err);
    be_device_close(device);
    return status;
}

/* The device is lost at each call in turn: it is told, and all is given back. */
static void faults_of_calls(void **state)
{
    (void)state;
    be_error err = {0};
    network n = network_new();
    ASSERT_OK(open_and_train(&n, &err)); /* the cache is filled */
    world.fail_at(0, 0, 0);
    ASSERT_OK(open_and_train(&n, &err));
    int total = world.calls(), told = 0;
    assert_true(total > 200);
    for (int call = 1; call <= total; call++) {
        world.fail_at(call, CUDA_LAUNCH_FAILED, 1);
        be_status status = open_and_train(&n, &err);
        assert_int_equal(world.live(), 0);
        if (status == BE_OK) continue; /* while it was giving back */
        assert_true(status == BE_DRIVER);
        assert_true(strstr(err.text, "CUDA_ERROR_LAUNCH_FAILED") || strstr(err.text, "(13)") ||
                    strstr(err.text, "(5000)"));
        told++;
    }
    assert_true(told > total * 3 / 4);
    be_graph_free(n.graph);
}

static void faults_of_memory(void **state)
{
    (void)state;
    network n = network_new();
    int failed = support_fail_each_allocation(open_and_train, &n, 2000);
    assert_true(failed > 30);
    assert_int_equal(world.live(), 0);
    be_graph_free(n.graph);
}

static int open_world(void **state)
{
    char path[4096];
    const char *fakes = getenv("BREAKEVEN_FAKE_CUDA");
    (void)state;
    setenv("BREAKEVEN_CUDA_LIB_DIR", fakes, 1);
    world.cache = support_make_folder();
    setenv("BREAKEVEN_CUDA_LANES", "0", 1); /* one graph of a step: fewer calls to let fail */
    setenv("XDG_CACHE_HOME", world.cache, 1);
    world.driver = dlopen(support_path(path, sizeof path, fakes, "libcuda.so.1"), RTLD_NOW);
    assert_non_null(world.driver);
    *(void **)&world.fail_at = dlsym(world.driver, "fake_cuda_fail_at");
    *(void **)&world.calls = dlsym(world.driver, "fake_cuda_calls");
    *(void **)&world.live = dlsym(world.driver, "fake_cuda_live");
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    cuda_math_forget();
    cuda_libraries_forget();
    dlclose(world.driver);
    support_remove_folder(world.cache);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nccl_is_found),
        cmocka_unit_test_setup(both_there, clean),
        cmocka_unit_test_setup(something_missing, clean),
        cmocka_unit_test_setup(wrong_version, clean),
        cmocka_unit_test_setup(something_else, clean),
        cmocka_unit_test_setup(devices_without_them, clean),
        cmocka_unit_test_setup(same_training, clean),
        cmocka_unit_test_setup(names, clean),
        cmocka_unit_test_setup(other_runs, clean),
        cmocka_unit_test_setup(refused_ops, clean),
        cmocka_unit_test_setup(relu_that_loses_nan, clean),
        cmocka_unit_test_setup(faults_of_calls, clean),
        cmocka_unit_test_setup(faults_of_memory, clean),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
