/* A short training, and a feed of batches, on a device behind OpenCL in which the n-th call of the
 * driver fails, for each n: the status and the text say so, and every object is given back.  The
 * library is tests/faulty_opencl, which forwards to the system's. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/gpu/gpu.h"
#include "backend/opencl/opencl.h"
#include "plan_network.h"

#define FEED_BYTES 64

static struct {
    void (*fail_at)(int, int, int);
    int (*calls)(void), (*live)(void);
    const char *(*last)(void);
    int silent_waits;
    network network;
} world;

static int set_up(void **state)
{
    char path[4096];
    const char *folder = getenv("BREAKEVEN_FAULTY_OPENCL");
    (void)state;
    assert_non_null(folder);
    setenv("BREAKEVEN_OPENCL_LIB_DIR", folder, 1);
    void *library = dlopen(support_path(path, sizeof path, folder, "libOpenCL.so.1"), RTLD_NOW);
    if (!library) fail_msg("%s", dlerror());
    *(void **)&world.fail_at = dlsym(library, "faulty_opencl_fail_at");
    *(void **)&world.calls = dlsym(library, "faulty_opencl_calls");
    *(void **)&world.live = dlsym(library, "faulty_opencl_live");
    *(void **)&world.last = dlsym(library, "faulty_opencl_last");
    world.network = network_new(1, &adam, 0.0f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    be_graph_free(world.network.graph);
    return 0;
}

static be_status train_on(be_device *device, be_error *err)
{
    const network *n = &world.network;
    be_plan *plan = NULL;
    float weight[A_WEIGHT];
    TRY(be_plan_new(n->graph, device, &train, &plan, err));
    be_status status = be_plan_write(plan, n->x, n->data, sizeof n->data, err);
    if (status == BE_OK)
        status = be_plan_write(plan, n->target, n->classes, sizeof n->classes, err);
    if (status == BE_OK) status = be_plan_run(plan, 2, err);
    if (status == BE_OK) status = be_plan_run_checked(plan, 1, err);
    if (status == BE_OK)
        status = be_plan_read(plan, be_plan_parameter(plan, 0).value, weight, sizeof weight, err);
    be_plan_free(plan);
    return status;
}

static be_status train_shortly(void *context, be_error *err)
{
    be_device *device = NULL;
    (void)context;
    TRY(be_device_open("opencl:0", NULL, &device, err));
    be_status status = train_on(device, err);
    be_device_close(device);
    return status;
}

/* Batches as the streamed mode sends them: each slot twice. */
static be_status feed_to(gpu_driver *d, gpu_feed *feed, gpu_buffer buffer, be_error *err)
{
    for (int i = 0; i < 2 * GPU_FEED_SLOTS; i++) {
        void *memory = NULL;
        gpu_copy copy = {.to = buffer, .bytes = FEED_BYTES};
        TRY(d->vtable->feed_claim(d, feed, i % GPU_FEED_SLOTS, &memory, err));
        memset(memory, i, FEED_BYTES);
        TRY(d->vtable->feed_send(d, feed, i % GPU_FEED_SLOTS, &copy, 1, err));
        TRY(d->vtable->feed_release(d, feed, i % GPU_FEED_SLOTS, err));
    }
    return d->vtable->synchronise(d, err);
}

static be_status feed_shortly(void *context, be_error *err)
{
    be_device *device = NULL;
    gpu_feed *feed = NULL;
    gpu_buffer buffer = 0;
    (void)context;
    TRY(be_device_open("opencl:0", NULL, &device, err));
    gpu_driver *d = ((gpu_device *)device)->driver;
    be_status status = d->vtable->alloc(d, FEED_BYTES, "a ring", &buffer, err);
    if (status == BE_OK) status = d->vtable->feed_new(d, FEED_BYTES, GPU_FEED_SLOTS, &feed, err);
    if (status == BE_OK) status = feed_to(d, feed, buffer, err);
    if (feed) d->vtable->feed_free(d, feed);
    if (buffer) d->vtable->free(d, buffer);
    be_device_close(device);
    return status;
}

/* Each kind of work by which limits are measured, twice. */
static be_status measure_on(be_device *device, be_error *err)
{
    device_probe *probe = NULL;
    be_status status = device->vtable->probe_new(device, &probe, err);
    if (status == BE_OK) probe->transfer_bytes = FEED_BYTES;
    for (int kind = 0; status == BE_OK && kind < PROBE_KIND_COUNT; kind++)
        for (int times = 1; status == BE_OK && times <= 2 && probe->amount[kind] > 0; times++)
            status = device->vtable->probe_run(probe, (probe_kind)kind, times, err);
    device->vtable->probe_free(probe);
    return status;
}

static be_status measure_shortly(void *context, be_error *err)
{
    be_device *device = NULL;
    (void)context;
    TRY(be_device_open("opencl:0", NULL, &device, err));
    gpu_driver *d = ((gpu_device *)device)->driver;
    /* Little memory, so that this is quick. */
    d->facts.is_cpu = false;
    d->facts.memory_bytes = d->facts.cache_bytes = 1 << 20;
    be_status status = measure_on(device, err);
    be_device_close(device);
    return status;
}

/* Calls whose failure hides nothing: they give back, or wait where nothing is asked any more. */
static bool may_be_silent(const char *call)
{
    return strncmp(call, "clRelease", 9) == 0 || strcmp(call, "clGetMemObjectInfo") == 0 ||
           strcmp(call, "clFinish") == 0 || strcmp(call, "clEnqueueUnmapMemObject") == 0;
}

static void check_fault(be_status (*work)(void *, be_error *), int n, cl_int fault, bool sticky)
{
    be_error err = {0};
    char number[16];
    world.fail_at(n, fault, sticky);
    be_status status = work(NULL, &err);
    const char *last = world.last();
    bool looking = strcmp(last, "clGetPlatformIDs") == 0 || strcmp(last, "clGetDeviceIDs") == 0;
    bool asking = strncmp(last, "clGet", 5) == 0;
    be_status expected = looking                            ? BE_UNAVAILABLE
                         : asking                           ? BE_DRIVER
                         : fault == CL_OUT_OF_DEVICE_MEMORY ? BE_NO_MEMORY
                                                            : BE_DRIVER;
    snprintf(number, sizeof number, "%d", fault);
    if (status == BE_OK) {
        if (!may_be_silent(last)) fail_msg("call %d, %s: its failure was not told", n, last);
        world.silent_waits += strcmp(last, "clFinish") == 0;
    } else if (status != expected || !strstr(err.text, "OpenCL: ") || !strstr(err.text, number)) {
        fail_msg("call %d, %s: expected status %d, found %d: %s", n, last, expected, status,
                 err.text);
    }
    if (world.live() != 0)
        fail_msg("call %d, %s: %d objects were not given back", n, last, world.live());
}

static void each_call_fails(void **state)
{
    be_error err = {0};
    (void)state;
    world.fail_at(0, 0, 0);
    ASSERT_OK(train_shortly(NULL, &err));
    assert_int_equal(world.live(), 0);
    int calls = world.calls();
    assert_in_range(calls, 100, 2000);
    for (int n = 1; n <= calls; n++) check_fault(train_shortly, n, CL_OUT_OF_RESOURCES, false);
    /* Before the sequence is freed, and before the queue is. */
    assert_int_equal(world.silent_waits, 2);
    for (int n = 1; n <= calls; n++)
        check_fault(train_shortly, n, n % 2 ? CL_OUT_OF_RESOURCES : CL_OUT_OF_DEVICE_MEMORY, true);
    world.fail_at(0, 0, 0);
    ASSERT_OK(train_shortly(NULL, &err));
}

static void each_call_of_a_feed_fails(void **state)
{
    be_error err = {0};
    (void)state;
    world.fail_at(0, 0, 0);
    ASSERT_OK(feed_shortly(NULL, &err));
    assert_int_equal(world.live(), 0);
    int calls = world.calls();
    assert_in_range(calls, 60, 200);
    for (int n = 1; n <= calls; n++) {
        check_fault(feed_shortly, n, CL_OUT_OF_RESOURCES, false);
        check_fault(feed_shortly, n, CL_OUT_OF_DEVICE_MEMORY, true);
    }
}

static void each_call_of_a_probe_fails(void **state)
{
    be_error err = {0};
    (void)state;
    world.fail_at(0, 0, 0);
    ASSERT_OK(measure_shortly(NULL, &err));
    assert_int_equal(world.live(), 0);
    int calls = world.calls();
    assert_in_range(calls, 100, 400);
    for (int n = 1; n <= calls; n++)
        check_fault(measure_shortly, n, n % 2 ? CL_OUT_OF_RESOURCES : CL_OUT_OF_DEVICE_MEMORY,
                    n % 4 < 2);
    world.fail_at(0, 0, 0);
    assert_true(support_fail_each_allocation(measure_shortly, NULL, 100) > 5);
}

/* The allocations of the host on the way, too. */
static void each_allocation_fails(void **state)
{
    (void)state;
    world.fail_at(0, 0, 0);
    assert_true(support_fail_each_allocation(train_shortly, NULL, 1000) > 20);
    assert_true(support_fail_each_allocation(feed_shortly, NULL, 100) > 2);
    assert_int_equal(world.live(), 0);
}

static gpu_driver *open_driver(be_device **device)
{
    be_error err = {0};
    world.fail_at(0, 0, 0);
    ASSERT_OK(be_device_open("opencl:0", NULL, device, &err));
    return ((gpu_device *)*device)->driver;
}

static void kernel_that_does_not_compile(void **state)
{
    be_error err = {0};
    be_device *device;
    gpu_module *modules[2] = {NULL, NULL};
    gpu_driver *d = open_driver(&device);
    char *good = NULL, *bad = NULL;
    (void)state;
    assert_true(asprintf(&good, "%s\n#define GROUP 1\nKERNEL good(ITEM_ARG ARG_INT(n))\n{\n}\n",
                         d->dialect) > 0);
    assert_true(asprintf(&bad,
                         "%s\n#define GROUP 1\n#line 1 \"made/test.gpu.c\"\n\n"
                         "KERNEL bad(ITEM_ARG ARG_INT(n))\n{\n    n = nonsense;\n}\n",
                         d->dialect) > 0);
    gpu_text texts[2] = {{"made/good.gpu.c", good}, {"made/test.gpu.c", bad}};
    ASSERT_FAILS(d->vtable->compile(d, texts, 2, modules, &err), BE_DRIVER,
                 "kernel made/test.gpu.c does not compile (-11)", "made/test.gpu.c:4:", "nonsense");
    be_device_close(device);
    assert_int_equal(world.live(), 0);
    free(good);
    free(bad);
}

static void buffers_have_a_limit(void **state)
{
    be_error err = {0};
    be_device *device;
    gpu_buffer buffer = 0;
    gpu_driver *d = open_driver(&device);
    (void)state;
    d->facts.buffer_max_bytes = 1 << 20;
    ASSERT_FAILS(d->vtable->alloc(d, 3 << 20, "activations", &buffer, &err), BE_NO_MEMORY,
                 "activations need 3.0 MiB, and a buffer of this device has at most 1.0 MiB",
                 "use a smaller batch");
    assert_true(buffer == 0);
    be_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails),       cmocka_unit_test(each_call_of_a_feed_fails),
        cmocka_unit_test(each_allocation_fails), cmocka_unit_test(kernel_that_does_not_compile),
        cmocka_unit_test(buffers_have_a_limit),  cmocka_unit_test(each_call_of_a_probe_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
