/* The CUDA driver on the fake device: memory, copies, kernels, sequences, the cache, faults. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/gpu/gpu.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/fake_folder.h"

#define ALL "libcuda.so.1", "libnvrtc.so.13", "libnvidia-ml.so.1"

/* y = x + by, and with a factor: enough to see an order. */
static const char kernels[] =
    "#define GROUP 1\n#line 1 \"made/test.gpu.c\"\n"
    "\nKERNEL add(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_FLOAT(by))\n"
    "{\n    OPEN_IN(float, x);\n    OPEN_OUT(float, y);\n"
    "    for (int i = GROUP_ID; i < count; i += NUM_GROUPS) y[i] = x[i] + by;\n}\n"
    "\nKERNEL twice(ITEM_ARG ARG_OUT(float, y), ARG_INT(count))\n"
    "{\n    OPEN_OUT(float, y);\n"
    "    for (int i = GROUP_ID; i < count; i += NUM_GROUPS) y[i] *= 2.0f;\n}\n"
    "\nKERNEL nothing(ITEM_ARG ARG_IN(float, x))\n{\n    OPEN_IN(float, x);\n}\n";

static struct {
    char *folder, *cache, *text;
    cuda_places places;
    cuda_libraries libraries;
    void *driver; /* the fake's own library */
    void (*fail_at)(int, int, int);
    int (*calls)(void), (*live)(void), (*replays)(void), (*overlaps)(void);
    const char *(*last)(void);
} world;

static int set_up(void **state)
{
    (void)state;
    be_error err = {0};
    char path[4096];
    world.folder = fake_folder((const char *const[]){ALL, NULL});
    world.cache = support_make_folder();
    setenv("XDG_CACHE_HOME", world.cache, 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    setenv("FAKE_CUDA_MEMORY", "268435456", 1);
    world.places = fake_places(world.folder);
    ASSERT_OK(cuda_libraries_open(&world.libraries, &world.places, &world.places, &err));
    world.driver = dlopen(support_path(path, sizeof path, world.folder, "libcuda.so.1"), RTLD_NOW);
    *(void **)&world.fail_at = dlsym(world.driver, "fake_cuda_fail_at");
    *(void **)&world.calls = dlsym(world.driver, "fake_cuda_calls");
    *(void **)&world.live = dlsym(world.driver, "fake_cuda_live");
    *(void **)&world.replays = dlsym(world.driver, "fake_cuda_replays");
    *(void **)&world.overlaps = dlsym(world.driver, "fake_cuda_overlaps");
    *(void **)&world.last = dlsym(world.driver, "fake_cuda_last");
    world.fail_at(0, 0, 0);
    assert_true(asprintf(&world.text, "%s\n%s", gpu_source_dialect_cuda.text, kernels) > 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    int live = world.live();
    dlclose(world.driver);
    cuda_libraries_close(&world.libraries);
    cuda_places_free(&world.places);
    support_remove_folder(world.folder);
    support_remove_folder(world.cache);
    free(world.text);
    unsetenv("FAKE_NVRTC_FAIL");
    assert_int_equal(live, 0);
    return 0;
}

static gpu_driver *open_driver(void)
{
    gpu_driver *d = NULL;
    be_error err = {0};
    ASSERT_OK(cuda_driver_open(&world.libraries, 0, &d, &err));
    return d;
}

static gpu_module *compile(gpu_driver *d, const char *text)
{
    gpu_module *module = NULL;
    be_error err = {0};
    gpu_text one = {"made/test.gpu.c", text};
    ASSERT_OK(d->vtable->compile(d, &one, 1, &module, &err));
    return module;
}

/* ---------------------------------------------------------------- facts and memory */

static void facts(void **state)
{
    (void)state;
    gpu_driver *d = open_driver();
    assert_string_equal(d->facts.name, "Fake GPU 0");
    assert_string_equal(d->facts.software, "CUDA 13.0, sm_90, NVRTC 13.0");
    assert_int_equal(d->facts.units, 4);
    assert_int_equal(d->facts.local_bytes, 49152);
    assert_false(d->facts.is_cpu);
    d->vtable->close(d);
}

static void memory_is_counted(void **state)
{
    (void)state;
    be_error err = {0};
    gpu_buffer small = 0, large = 0;
    gpu_driver *d = open_driver();
    ASSERT_OK(d->vtable->alloc(d, 0, "nothing", &small, &err));
    assert_true(small != 0);
    ASSERT_FAILS(d->vtable->alloc(d, (size_t)1 << 30, "activations", &large, &err), BE_NO_MEMORY,
                 "activations: expected 1 GiB on cuda:0, found 0.25 GiB free of 0.25 GiB",
                 "use a smaller batch");
    assert_true(large == 0);
    d->vtable->free(d, small);
    d->vtable->free(d, large);
    d->vtable->close(d);
}

static unsigned char pattern(size_t i)
{
    return (unsigned char)((uint32_t)i * 2654435761u >> 24);
}

/* Larger than all stages together, and of no round size; the source is changed at once. */
static void copies(void **state)
{
    (void)state;
    be_error err = {0};
    size_t bytes = CUDA_STAGES * CUDA_STAGE_BYTES * 2 + 12345;
    unsigned char *from = malloc(bytes), *to = malloc(bytes);
    gpu_buffer buffer = 0;
    gpu_driver *d = open_driver();
    for (size_t i = 0; i < bytes; i++) from[i] = pattern(i);
    ASSERT_OK(d->vtable->alloc(d, bytes + 100, "data", &buffer, &err));
    ASSERT_OK(d->vtable->clear(d, buffer, 0, bytes + 100, &err));
    ASSERT_OK(d->vtable->upload(d, buffer, 100, from, bytes, &err));
    memset(from, 0xaa, bytes);
    ASSERT_OK(d->vtable->download(d, buffer, 100, to, bytes, &err));
    for (size_t i = 0; i < bytes; i++)
        if (to[i] != pattern(i)) fail_msg("byte %zu is wrong", i);
    ASSERT_OK(d->vtable->download(d, buffer, 0, to, 100, &err));
    for (size_t i = 0; i < 100; i++) assert_int_equal(to[i], 0);
    ASSERT_FAILS(d->vtable->upload(d, buffer, 200, from, bytes, &err), BE_DRIVER,
                 "cuda:0: cannot copy to the device: CUDA_ERROR_INVALID_VALUE");
    d->vtable->free(d, buffer);
    d->vtable->close(d);
    free(from);
    free(to);
}

/* ---------------------------------------------------------------- kernels */

static gpu_argument span(gpu_buffer buffer, size_t offset, size_t count, bool out)
{
    gpu_span s = {buffer, offset * sizeof(float), count * sizeof(float)};
    return out ? gpu_writes(s) : gpu_reads(s);
}

static gpu_launch add(const gpu_function *f, gpu_argument x, gpu_argument y, float by)
{
    return (gpu_launch){
        .function = f,
        .groups = 3,
        .group = 1,
        .argument_count = 4,
        .arguments = {x, y, gpu_int((int64_t)(x.span.bytes / sizeof(float))), gpu_float(by)}};
}

static void launches(void **state)
{
    (void)state;
    be_error err = {0};
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8];
    gpu_buffer buffer = 0;
    const gpu_function *f = NULL, *again = NULL, *none = NULL;
    gpu_driver *d = open_driver();
    gpu_module *module = compile(d, world.text);
    ASSERT_OK(d->vtable->alloc(d, 64, "data", &buffer, &err));
    ASSERT_OK(d->vtable->upload(d, buffer, 0, x, sizeof x, &err));
    ASSERT_OK(d->vtable->function(d, module, "add", &f, &err));
    ASSERT_OK(d->vtable->function(d, module, "add", &again, &err));
    assert_ptr_equal(f, again);
    ASSERT_FAILS(d->vtable->function(d, module, "subtract", &none, &err), BE_DRIVER,
                 "cuda:0: cannot find kernel subtract in its module: CUDA_ERROR_NOT_FOUND");
    gpu_launch launch = add(f, span(buffer, 2, 6, false), span(buffer, 8, 6, true), 0.5f);
    ASSERT_OK(d->vtable->launch(d, &launch, &err));
    ASSERT_OK(d->vtable->download(d, buffer, sizeof x, y, sizeof y, &err));
    for (int i = 0; i < 6; i++) assert_float_equal(y[i], x[i + 2] + 0.5f, 0);
    assert_int_equal(d->launches, 1);
    launch.group = 2000; /* more than the device has */
    ASSERT_FAILS(d->vtable->launch(d, &launch, &err), BE_DRIVER,
                 "cannot start kernel add (3 groups of 2000): CUDA_ERROR_INVALID_VALUE");
    d->vtable->free(d, buffer);
    d->vtable->module_free(d, module);
    d->vtable->close(d);
}

static void kernel_that_does_not_compile(void **state)
{
    (void)state;
    be_error err = {0};
    char *bad = NULL;
    gpu_module *modules[2] = {NULL, NULL};
    gpu_driver *d = open_driver();
    assert_true(asprintf(&bad, "%s\nKERNEL bad(ITEM_ARG ARG_INT(n))\n{\n    n = nonsense;\n}\n",
                         world.text) > 0);
    gpu_text texts[2] = {{"made/good.gpu.c", world.text}, {"made/test.gpu.c", bad}};
    ASSERT_FAILS(d->vtable->compile(d, texts, 2, modules, &err), BE_DRIVER,
                 "cuda:0: kernel made/test.gpu.c does not compile for sm_90 with NVRTC 13.0",
                 "made/test.gpu.c:22:", "nonsense");
    assert_null(modules[0]);
    assert_null(modules[1]);
    setenv("FAKE_NVRTC_FAIL", "11", 1);
    texts[1].text = kernels;
    ASSERT_FAILS(d->vtable->compile(d, texts, 2, modules, &err), BE_DRIVER,
                 "cannot compile made/test.gpu.c for sm_90: NVRTC_ERROR_INTERNAL_ERROR");
    d->vtable->close(d);
    free(bad);
}

/* ---------------------------------------------------------------- sequences */

#define N 16

/* In one buffer of rows a, b, c, d.  The third launch overwrites what the second has read; the last
 * must wait for two that do not wait for each other; a += 1 each time, so that repetitions depend
 * on each other. */
static int fill_sequence(const gpu_function *f, const gpu_function *twice, gpu_buffer buffer,
                         gpu_launch *out)
{
    gpu_argument a_in = span(buffer, 0, N, false), a_out = span(buffer, 0, N, true);
    gpu_argument b_in = span(buffer, N, N, false), b_out = span(buffer, N, N, true);
    gpu_argument c_in = span(buffer, 2 * N, N, false), c_out = span(buffer, 2 * N, N, true);
    gpu_argument d_out = span(buffer, 3 * N, N, true);
    int n = 0;
    out[n++] = add(f, a_in, b_out, 10);        /* b = a + 10 */
    out[n++] = add(f, b_in, c_out, 100);       /* c = b + 100 */
    out[n++] = (gpu_launch){.function = twice, /* b = 2 b: after c was made */
                            .groups = 2,
                            .group = 1,
                            .argument_count = 2,
                            .arguments = {b_out, gpu_int(N)}};
    out[n++] = add(f, a_in, a_out, 1);    /* a = a + 1: after b was made */
    out[n++] = add(f, c_in, d_out, 0.5f); /* d = c + 0.5 */
    out[n++] = add(f, span(buffer, 3 * N, N, false), b_out, 0.25f); /* b = d + 0.25 */
    return n;
}

static void check_rows(const float *rows, int64_t times)
{
    for (int i = 0; i < N; i++) {
        float a = (float)i + (float)times;
        assert_float_equal(rows[i], a, 0);
        assert_float_equal(rows[N + i], a - 1 + 110.75f, 0);
        assert_float_equal(rows[2 * N + i], a - 1 + 110, 0);
        assert_float_equal(rows[3 * N + i], a - 1 + 110.5f, 0);
    }
}

static void sequences(void **state)
{
    (void)state;
    be_error err = {0};
    float rows[4 * N] = {0};
    gpu_launch list[8];
    gpu_buffer buffer = 0;
    gpu_sequence *sequence = NULL;
    const gpu_function *f = NULL, *twice = NULL;
    gpu_driver *d = open_driver();
    gpu_module *module = compile(d, world.text);
    for (int i = 0; i < N; i++) rows[i] = (float)i;
    ASSERT_OK(d->vtable->alloc(d, sizeof rows, "data", &buffer, &err));
    ASSERT_OK(d->vtable->upload(d, buffer, 0, rows, sizeof rows, &err));
    ASSERT_OK(d->vtable->function(d, module, "add", &f, &err));
    ASSERT_OK(d->vtable->function(d, module, "twice", &twice, &err));
    int count = fill_sequence(f, twice, buffer, list);
    ASSERT_OK(d->vtable->sequence(d, list, count, &sequence, &err));
    memset(list, 0, sizeof list); /* it is not needed any more */
    ASSERT_OK(d->vtable->replay(d, sequence, 1, &err));
    ASSERT_OK(d->vtable->download(d, buffer, 0, rows, sizeof rows, &err));
    check_rows(rows, 1);
    /* 37 times: 2 of 16, and 5. */
    int before = world.replays();
    ASSERT_OK(d->vtable->replay(d, sequence, 37, &err));
    ASSERT_OK(d->vtable->synchronise(d, &err));
    assert_int_equal(world.replays() - before, 7);
    ASSERT_OK(d->vtable->download(d, buffer, 0, rows, sizeof rows, &err));
    check_rows(rows, 38);
    assert_int_equal(d->launches, 38 * count);
    assert_true(world.overlaps() > 0);
    d->vtable->sequence_free(d, sequence);
    d->vtable->free(d, buffer);
    d->vtable->module_free(d, module);
    d->vtable->close(d);
}

/* Two launches that share nothing overlap, unless the second is to begin alone. */
static void launches_alone(void **state)
{
    (void)state;
    be_error err = {0};
    gpu_buffer buffer = 0;
    const gpu_function *f = NULL;
    gpu_driver *d = open_driver();
    gpu_module *module = compile(d, world.text);
    ASSERT_OK(d->vtable->alloc(d, 4 * N * sizeof(float), "data", &buffer, &err));
    ASSERT_OK(d->vtable->function(d, module, "add", &f, &err));
    for (int alone = 0; alone < 2; alone++) {
        gpu_sequence *sequence = NULL;
        gpu_launch list[] = {
            add(f, span(buffer, 0, N, false), span(buffer, N, N, true), 1),
            add(f, span(buffer, 2 * N, N, false), span(buffer, 3 * N, N, true), 1)};
        for (int i = 0; i < 2; i++) list[i].alone = alone;
        int before = world.overlaps();
        ASSERT_OK(d->vtable->sequence(d, list, 2, &sequence, &err));
        ASSERT_OK(d->vtable->replay(d, sequence, 16, &err));
        ASSERT_OK(d->vtable->synchronise(d, &err));
        assert_int_equal(world.overlaps() > before, !alone);
        d->vtable->sequence_free(d, sequence);
    }
    d->vtable->free(d, buffer);
    d->vtable->module_free(d, module);
    d->vtable->close(d);
}

/* ---------------------------------------------------------------- feeds */

#define FEEDS 7

/* Row i of the result is what was sent in turn i: each turn overwrites what the turn before the
 * last one has sent, and the memory that it was sent from. */
static be_status use_feed(gpu_driver *d, const gpu_function *f, gpu_buffer buffer, gpu_feed *feed,
                          be_error *err)
{
    for (int turn = 0; turn < FEEDS; turn++) {
        int slot = turn % GPU_FEED_SLOTS;
        size_t at = (size_t)slot * N;
        void *memory = NULL;
        gpu_copy copies[2] = {{buffer, at * sizeof(float), 0, N / 4 * sizeof(float)},
                              {buffer, (at + N / 4) * sizeof(float), N / 4 * sizeof(float),
                               N / 4 * 3 * sizeof(float)}};
        TRY(d->vtable->feed_claim(d, feed, slot, &memory, err));
        for (int i = 0; i < N; i++) ((float *)memory)[i] = (float)(100 * turn + i);
        TRY(d->vtable->feed_send(d, feed, slot, copies, 2, err));
        gpu_launch launch = add(f, span(buffer, at, N, false),
                                span(buffer, (size_t)(GPU_FEED_SLOTS + turn) * N, N, true), 0.5f);
        TRY(d->vtable->launch(d, &launch, err));
        TRY(d->vtable->feed_release(d, feed, slot, err));
    }
    return BE_OK;
}

static void feeds(void **state)
{
    (void)state;
    be_error err = {0};
    float rows[FEEDS * N];
    gpu_buffer buffer = 0;
    gpu_feed *feed = NULL;
    const gpu_function *f = NULL;
    gpu_driver *d = open_driver();
    gpu_module *module = compile(d, world.text);
    ASSERT_OK(d->vtable->function(d, module, "add", &f, &err));
    ASSERT_OK(d->vtable->alloc(d, sizeof rows + GPU_FEED_SLOTS * N * sizeof(float), "data", &buffer,
                               &err));
    ASSERT_OK(d->vtable->feed_new(d, N * sizeof(float), GPU_FEED_SLOTS, &feed, &err));
    ASSERT_OK(use_feed(d, f, buffer, feed, &err));
    assert_int_equal(d->fed_bytes, FEEDS * N * sizeof(float));
    ASSERT_OK(d->vtable->download(d, buffer, GPU_FEED_SLOTS * N * sizeof(float), rows, sizeof rows,
                                  &err));
    for (int i = 0; i < FEEDS * N; i++)
        assert_float_equal(rows[i], (float)(100 * (i / N) + i % N) + 0.5f, 0);
    d->vtable->feed_free(d, feed);
    d->vtable->free(d, buffer);
    d->vtable->module_free(d, module);
    d->vtable->close(d);
}

/* ---------------------------------------------------------------- the cache */

/* The one file of the cache. */
static void cache_file(char path[4096])
{
    char command[4200];
    snprintf(command, sizeof command, "ls -d %s/breakeven/kernels/*.cuda", world.cache);
    FILE *list = popen(command, "r");
    assert_non_null(fgets(path, 4096, list));
    path[strcspn(path, "\n")] = 0;
    assert_null(fgets(command, sizeof command, list));
    pclose(list);
}

static void cache_of_code(void **state)
{
    (void)state;
    be_error err = {0};
    char path[4096];
    gpu_module *module = NULL;
    gpu_text one = {"made/test.gpu.c", world.text};
    gpu_driver *d = open_driver();
    d->vtable->module_free(d, compile(d, world.text));
    cache_file(path);
    /* From the cache now: nothing is compiled. */
    setenv("FAKE_NVRTC_FAIL", "11", 1);
    d->vtable->module_free(d, compile(d, world.text));
    /* A damaged file is not used, and replaced. */
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -100, SEEK_END), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -100, SEEK_END), 0);
    fputc(byte ^ 1, file);
    fclose(file);
    ASSERT_FAILS(d->vtable->compile(d, &one, 1, &module, &err), BE_DRIVER, "cannot compile");
    unsetenv("FAKE_NVRTC_FAIL");
    d->vtable->module_free(d, compile(d, world.text));
    setenv("FAKE_NVRTC_FAIL", "11", 1);
    d->vtable->module_free(d, compile(d, world.text));
    /* Cut short. */
    support_write_file(path, "BEKERN1\n", 8);
    ASSERT_FAILS(d->vtable->compile(d, &one, 1, &module, &err), BE_DRIVER, "cannot compile");
    d->vtable->close(d);
}

static void cache_by_device(void **state)
{
    (void)state;
    be_error err = {0};
    gpu_module *module = NULL;
    gpu_text one = {"made/test.gpu.c", world.text};
    gpu_driver *d = open_driver();
    d->vtable->module_free(d, compile(d, world.text));
    setenv("FAKE_NVRTC_FAIL", "11", 1);
    snprintf(((cuda_driver *)d)->facts.name, sizeof((cuda_driver *)d)->facts.name, "Another GPU");
    ASSERT_FAILS(d->vtable->compile(d, &one, 1, &module, &err), BE_DRIVER, "cannot compile");
    d->vtable->close(d);
}

/* Without a place for a cache kernels are compiled each time. */
static void cache_that_cannot_be(void **state)
{
    (void)state;
    char path[4096];
    support_write_file(support_path(path, sizeof path, world.cache, "breakeven"), "", 0);
    gpu_driver *d = open_driver();
    d->vtable->module_free(d, compile(d, world.text));
    d->vtable->close(d);
}

/* ---------------------------------------------------------------- faults */

typedef struct used {
    gpu_buffer buffer, ring;
    gpu_module *module;
    gpu_sequence *sequence;
    gpu_feed *feed;
} used;

/* All that a short training does with a driver. */
static be_status use_opened(gpu_driver *d, used *u, be_error *err)
{
    float rows[4 * N] = {0};
    gpu_launch list[8];
    gpu_text one = {"made/test.gpu.c", world.text};
    const gpu_function *f = NULL, *twice = NULL;
    TRY(d->vtable->compile(d, &one, 1, &u->module, err));
    TRY(d->vtable->alloc(d, sizeof rows, "data", &u->buffer, err));
    TRY(d->vtable->clear(d, u->buffer, 0, sizeof rows, err));
    TRY(d->vtable->upload(d, u->buffer, 0, rows, sizeof rows, err));
    TRY(d->vtable->function(d, u->module, "add", &f, err));
    TRY(d->vtable->function(d, u->module, "twice", &twice, err));
    int count = fill_sequence(f, twice, u->buffer, list);
    TRY(d->vtable->step(d, list, count, &u->sequence, err));
    TRY(d->vtable->alloc(d, (FEEDS + GPU_FEED_SLOTS) * N * sizeof(float), "ring", &u->ring, err));
    TRY(d->vtable->feed_new(d, N * sizeof(float), GPU_FEED_SLOTS, &u->feed, err));
    TRY(use_feed(d, f, u->ring, u->feed, err));
    assert_null(d->vtable->order(d, u->sequence));
    TRY(d->vtable->replay(d, u->sequence, 20 + 16 * 16, err)); /* until the fastest form is known */
    TRY(d->vtable->synchronise(d, err));
    TRY(d->vtable->replay(d, u->sequence, 20, err));
    assert_non_null(d->vtable->order(d, u->sequence));
    TRY(d->vtable->synchronise(d, err));
    TRY(d->vtable->launch(d, &list[0], err));
    return d->vtable->download(d, u->buffer, 0, rows, sizeof rows, err);
}

static be_status use_driver(void *context, be_error *err)
{
    gpu_driver *d = NULL;
    used u = {0};
    (void)context;
    TRY(cuda_driver_open(&world.libraries, 0, &d, err));
    be_status status = use_opened(d, &u, err);
    d->vtable->feed_free(d, u.feed);
    d->vtable->sequence_free(d, u.sequence);
    d->vtable->module_free(d, u.module);
    d->vtable->free(d, u.ring);
    d->vtable->free(d, u.buffer);
    d->vtable->close(d);
    return status;
}

/* Every call of the driver fails once: the status and the text say so, and all is given back. */
static void faults_of_calls(void **state)
{
    (void)state;
    be_error err = {0};
    ASSERT_OK(use_driver(NULL, &err)); /* the cache is filled */
    world.fail_at(0, 0, 0);
    ASSERT_OK(use_driver(NULL, &err));
    int total = world.calls(), told = 0;
    assert_true(total > 40);
    for (int n = 1; n <= total; n++)
        for (int sticky = 0; sticky < 2; sticky++) {
            err = (be_error){0};
            world.fail_at(n, CUDA_LAUNCH_FAILED, sticky);
            be_status status = use_driver(NULL, &err);
            if (status != BE_OK) {
                told++;
                assert_int_equal(status, BE_DRIVER);
                if (!strstr(err.text, "cuda:0: cannot ") ||
                    !strstr(err.text, "CUDA_ERROR_LAUNCH_FAILED"))
                    fail_msg("call %d, %s: the text says \"%s\"", n, world.last(), err.text);
            } else if (!strstr(world.last(), "Destroy") && !strstr(world.last(), "Free") &&
                       !strstr(world.last(), "Unload") && !strstr(world.last(), "Release") &&
                       !strstr(world.last(), "Synchronize") && !strstr(world.last(), "SetCurrent"))
                fail_msg("call %d, %s: its failure was not told", n, world.last());
            if (world.live() != 0)
                fail_msg("call %d, %s: %d objects were not given back", n, world.last(),
                         world.live());
        }
    world.fail_at(0, 0, 0);
    assert_true(told > total);
}

static void faults_of_memory(void **state)
{
    (void)state;
    be_error err = {0};
    ASSERT_OK(use_driver(NULL, &err));
    setenv("OMP_NUM_THREADS", "1", 1);
    assert_true(support_fail_each_allocation(use_driver, NULL, 200) > 8);
    assert_int_equal(world.live(), 0);
}

/* A device that another process has, and one without memory. */
static void statuses(void **state)
{
    (void)state;
    be_error err = {0};
    gpu_driver *d = NULL;
    world.fail_at(0, 0, 0);
    d = open_driver();
    int opening = world.calls();
    d->vtable->close(d);
    int found = 0;
    for (int n = 1; n <= opening; n++) {
        world.fail_at(n, CUDA_DEVICE_UNAVAILABLE, 0);
        be_status status = cuda_driver_open(&world.libraries, 0, &d, &err);
        assert_int_equal(status, BE_UNAVAILABLE);
        found += strcmp(world.last(), "cuDevicePrimaryCtxRetain") == 0 &&
                 strstr(err.text, "cuda:0: cannot make a context on it") &&
                 strstr(err.text, "another process has it for itself");
        world.fail_at(n, CUDA_OUT_OF_MEMORY, 0);
        ASSERT_FAILS(cuda_driver_open(&world.libraries, 0, &d, &err), BE_NO_MEMORY,
                     "CUDA_ERROR_OUT_OF_MEMORY", "use a smaller batch");
    }
    assert_int_equal(found, 1);
    world.fail_at(0, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(facts),
        TEST(memory_is_counted),
        TEST(copies),
        TEST(launches),
        TEST(kernel_that_does_not_compile),
        TEST(sequences),
        TEST(launches_alone),
        TEST(feeds),
        TEST(cache_of_code),
        TEST(cache_by_device),
        TEST(cache_that_cannot_be),
        TEST(faults_of_calls),
        TEST(faults_of_memory),
        TEST(statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
