/* The edges of a step's graph: programmatic where a kernel waits by itself, full everywhere else,
 * and full alone where the driver or the device knows no others. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cuda_trials.h"
#include "backend/gpu/gpu.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/fake_folder.h"

#define ROW 8
#define LAUNCHES 8
#define NODES 9 /* of them, if works of two kernels are two nodes */
#define EDGES_MOST 64
#define MANY 10
#define UNROLLED 16 /* steps of a graph of several */

static const char kernels[] =
    "#define GROUP 1\n#line 1 \"made/test.gpu.c\"\n"
    "\nKERNEL add(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_FLOAT(by))\n"
    "{\n    OPEN_IN(float, x);\n    OPEN_OUT(float, y);\n"
    "    for (int i = GROUP_ID; i < count; i += NUM_GROUPS) y[i] = x[i] + by;\n}\n";

static struct {
    char *folder, *cache, *text;
    cuda_places places;
    cuda_libraries libraries;
    void *driver; /* the fake's own library */
    void (*watch)(int);
    int (*edges)(int *, int), (*live)(void), (*last_edges)(void);
    int (*host_work)(cuda_stream, void (*)(const void *), const void *, unsigned long);
} world;

static int set_up(void **state)
{
    (void)state;
    be_error err = {0};
    char path[4096];
    world.folder = fake_folder((const char *const[]){"libcuda.so.1", "libnvrtc.so.13", NULL});
    world.cache = support_make_folder();
    setenv("XDG_CACHE_HOME", world.cache, 1);
    world.places = fake_places(world.folder);
    ASSERT_OK(cuda_libraries_open(&world.libraries, &world.places, &world.places, &err));
    world.driver = dlopen(support_path(path, sizeof path, world.folder, "libcuda.so.1"), RTLD_NOW);
    *(void **)&world.watch = dlsym(world.driver, "fake_cuda_watch");
    *(void **)&world.edges = dlsym(world.driver, "fake_cuda_edges");
    *(void **)&world.last_edges = dlsym(world.driver, "fake_cuda_last_edges");
    *(void **)&world.live = dlsym(world.driver, "fake_cuda_live");
    *(void **)&world.host_work = dlsym(world.driver, "fake_cuda_host_work");
    assert_true(asprintf(&world.text, "%s\n%s", gpu_source_dialect_cuda.text, kernels) > 0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"FAKE_CUDA_CC", "FAKE_CUDA_EDGES", "BREAKEVEN_CUDA_EDGES",
                                        "BREAKEVEN_CUDA_LANES"};
    (void)state;
    int live = world.live();
    dlclose(world.driver);
    cuda_libraries_close(&world.libraries);
    cuda_places_free(&world.places);
    support_remove_folder(world.folder);
    support_remove_folder(world.cache);
    free(world.text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
    assert_int_equal(live, 0);
    return 0;
}

/* ---------------------------------------------------------------- the step */

/* A library's: y = 2 x, in so many parts. */
typedef struct doubling {
    gpu_task task; /* first */
    float *x, *y;
    int parts;
    bool is_on_host;
} doubling;

static void twice(const void *data)
{
    const doubling *d = data;
    for (int i = 0; i < ROW / d->parts; i++) d->y[i] = 2 * d->x[i];
}

static void twice_on_host(void *data)
{
    twice(data);
}

static be_status doubling_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    doubling part = *(const doubling *)task;
    if (part.is_on_host) {
        CUDA_TRY(&world.libraries, "cuda:0",
                 world.libraries.cu.host_call(((cuda_driver *)driver)->stream, twice_on_host,
                                              (void *)(uintptr_t)task),
                 "double");
        return BE_OK;
    }
    for (int p = 0; p < part.parts; p++) {
        CUDA_TRY(&world.libraries, "cuda:0",
                 world.host_work(((cuda_driver *)driver)->stream, twice, &part, sizeof part),
                 "double");
        part.x += ROW / part.parts;
        part.y += ROW / part.parts;
    }
    return BE_OK;
}

static gpu_argument row(gpu_buffer buffer, int index, bool out)
{
    gpu_span s = {buffer, (size_t)index * ROW * sizeof(float), ROW * sizeof(float)};
    return out ? gpu_writes(s) : gpu_reads(s);
}

static gpu_launch add(const gpu_function *f, gpu_argument x, gpu_argument y)
{
    return (gpu_launch){.function = f,
                        .groups = 2,
                        .group = 1,
                        .argument_count = 4,
                        .arguments = {x, y, gpu_int(ROW), gpu_float(1)}};
}

static gpu_launch library(const doubling *d, gpu_buffer buffer, int x, int y)
{
    return (gpu_launch){.task = &d->task,
                        .argument_count = 2,
                        .arguments = {row(buffer, x, false), row(buffer, y, true)}};
}

typedef struct step {
    gpu_driver *driver;
    gpu_module *module;
    const gpu_function *add;
    gpu_buffer rows;
} step;

static void step_open(step *s)
{
    be_error err = {0};
    gpu_text text = {"made/test.gpu.c", world.text};
    ASSERT_OK(cuda_driver_open(&world.libraries, 0, &s->driver, &err));
    const gpu_driver_vtable *vt = s->driver->vtable;
    ASSERT_OK(vt->compile(s->driver, &text, 1, &s->module, &err));
    ASSERT_OK(vt->function(s->driver, s->module, "add", &s->add, &err));
    ASSERT_OK(vt->alloc(s->driver, (LAUNCHES + 1) * ROW * sizeof(float), "rows", &s->rows, &err));
    ASSERT_OK(vt->clear(s->driver, s->rows, 0, (LAUNCHES + 1) * ROW * sizeof(float), &err));
}

/* Once; then what lies in a row. */
static void step_run(step *s, const gpu_launch *launches, int count, int from, float out[ROW])
{
    be_error err = {0};
    gpu_sequence *sequence = NULL;
    const gpu_driver_vtable *vt = s->driver->vtable;
    ASSERT_OK(vt->sequence(s->driver, launches, count, &sequence, &err));
    ASSERT_OK(vt->replay(s->driver, sequence, 1, &err));
    ASSERT_OK(vt->download(s->driver, s->rows, (size_t)from * ROW * sizeof(float), out,
                           ROW * sizeof(float), &err));
    vt->sequence_free(s->driver, sequence);
}

static void step_close(step *s)
{
    s->driver->vtable->free(s->driver, s->rows);
    s->driver->vtable->module_free(s->driver, s->module);
    s->driver->vtable->close(s->driver);
}

/* From row to row, by our kernels and by a library: one kernel (2), two (4), and the host (6). */
static void run_chain(step *s, float out[ROW])
{
    const gpu_function *f = s->add;
    gpu_buffer b = s->rows;
    float *rows = (float *)b; /* the fake's memory is the host's */
    const gpu_task task = {.name = "a doubling", .start = doubling_start};
    const doubling one = {task, rows + 2 * ROW, rows + 3 * ROW, 1, false};
    const doubling two = {task, rows + 4 * ROW, rows + 5 * ROW, 2, false};
    const doubling host = {task, rows + 6 * ROW, rows + 7 * ROW, 1, true};
    const gpu_launch launches[LAUNCHES] = {add(f, row(b, 0, false), row(b, 1, true)),
                                           add(f, row(b, 1, false), row(b, 2, true)),
                                           library(&one, b, 2, 3),
                                           add(f, row(b, 3, false), row(b, 4, true)),
                                           library(&two, b, 4, 5),
                                           add(f, row(b, 5, false), row(b, 6, true)),
                                           library(&host, b, 6, 7),
                                           add(f, row(b, 7, false), row(b, 8, true))};
    step_run(s, launches, LAUNCHES, LAUNCHES, out);
}

/* The ports of the edges, which lead from each node to the next; and what people are told. */
static void check(int nodes, const int *ports, const char *remark)
{
    step s;
    float out[ROW];
    int edges[3 * EDGES_MOST] = {0};
    world.watch(nodes);
    step_open(&s);
    run_chain(&s, out);
    for (int i = 0; i < ROW; i++) assert_float_equal(out[i], 23, 0);
    assert_int_equal(world.edges(edges, EDGES_MOST), nodes - 1);
    for (int e = 0; e < nodes - 1; e++) {
        assert_int_equal(edges[3 * e], e);
        assert_int_equal(edges[3 * e + 1], e + 1);
        if (edges[3 * e + 2] != ports[e])
            fail_msg("the edge from node %d to the next leaves by port %d, expected %d", e,
                     edges[3 * e + 2], ports[e]);
    }
    assert_string_equal(s.driver->facts.remark, remark);
    step_close(&s);
}

static const int full[NODES - 1] = {0};

static void kernels_that_wait_begin_early(void **state)
{
    (void)state;
    check(NODES, (const int[]){1, 0, 1, 0, 0, 1, 0, 0}, "");
}

static void full_edges_to_compare(void **state)
{
    (void)state;
    setenv("BREAKEVEN_CUDA_EDGES", "full", 1);
    check(LAUNCHES, full, "full edges (BREAKEVEN_CUDA_EDGES)");
}

static void other_edges_are_refused(void **state)
{
    (void)state;
    be_error err = {0};
    gpu_driver *driver = NULL;
    setenv("BREAKEVEN_CUDA_EDGES", "soon", 1);
    ASSERT_FAILS(cuda_driver_open(&world.libraries, 0, &driver, &err), BE_USAGE,
                 "BREAKEVEN_CUDA_EDGES: expected \"full\", found \"soon\"; unset it");
}

static void full_edges_of_old_devices(void **state)
{
    (void)state;
    be_error err = {0};
    cuda_libraries_close(&world.libraries);
    setenv("FAKE_CUDA_CC", "80", 1); /* the fake looks there when it is started */
    ASSERT_OK(cuda_libraries_open(&world.libraries, &world.places, &world.places, &err));
    check(LAUNCHES, full, "full edges (kernels for before sm_90)");
}

static void full_edges_of_old_drivers(void **state)
{
    (void)state;
    world.libraries.driver_version = 12020;
    check(LAUNCHES, full, "full edges (a driver before CUDA 12.3)");
}

/* Then what the library does is a child each. */
static void kernels_that_cannot_be_asked(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_EDGES", "kernels", 1);
    check(LAUNCHES, (const int[]){1, 0, 0, 0, 0, 0, 0}, "");
}

/* One launch behind ten that wait for nothing. */
static void many_edges_are_full(void **state)
{
    be_error err = {0};
    gpu_sequence *sequence = NULL;
    gpu_launch launches[MANY + 1];
    gpu_buffer wide = 0;
    int edges[3 * EDGES_MOST] = {0};
    step s;
    (void)state;
    setenv("BREAKEVEN_CUDA_LANES", "0", 1);
    world.watch(MANY + 1);
    step_open(&s);
    const gpu_driver_vtable *vt = s.driver->vtable;
    ASSERT_OK(vt->alloc(s.driver, (MANY + 1) * ROW * sizeof(float), "rows", &wide, &err));
    for (int k = 0; k < MANY; k++)
        launches[k] = add(s.add, row(s.rows, 0, false), row(wide, k, true));
    launches[MANY] = add(s.add, gpu_reads((gpu_span){wide, 0, MANY * ROW * sizeof(float)}),
                         row(wide, MANY, true));
    ASSERT_OK(vt->sequence(s.driver, launches, MANY + 1, &sequence, &err));
    assert_int_equal(world.edges(edges, EDGES_MOST), MANY);
    for (int e = 0; e < MANY; e++) assert_int_equal(edges[3 * e + 2], 0);
    vt->sequence_free(s.driver, sequence);
    vt->free(s.driver, wide);
    step_close(&s);
}

/* Neither the edges nor the graphs that have them. */
static void full_edges_where_others_are_refused(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_EDGES", "none", 1);
    check(LAUNCHES, full, "full edges (CUDA_ERROR_NOT_SUPPORTED)");
    setenv("FAKE_CUDA_EDGES", "graphs", 1);
    check(LAUNCHES, full, "full edges (CUDA_ERROR_NOT_SUPPORTED)");
}

/* Two ways from row 0, of two launches each, in so many lanes: the edges. */
static void check_lanes(const char *lanes, int count, const int *expected)
{
    step s;
    float out[ROW];
    int edges[3 * EDGES_MOST] = {0};
    setenv("BREAKEVEN_CUDA_LANES", lanes, 1);
    world.watch(4);
    step_open(&s);
    gpu_buffer b = s.rows;
    const gpu_launch launches[4] = {add(s.add, row(b, 0, false), row(b, 1, true)),
                                    add(s.add, row(b, 0, false), row(b, 2, true)),
                                    add(s.add, row(b, 1, false), row(b, 3, true)),
                                    add(s.add, row(b, 2, false), row(b, 4, true))};
    step_run(&s, launches, 4, 4, out);
    for (int i = 0; i < ROW; i++) assert_float_equal(out[i], 2, 0);
    assert_int_equal(world.edges(edges, EDGES_MOST), count);
    for (int e = 0; e < count; e++) {
        assert_int_equal(edges[3 * e], expected[2 * e]);
        assert_int_equal(edges[3 * e + 1], expected[2 * e + 1]);
    }
    step_close(&s);
}

/* What is launched in a step: three ways from row 0 that come together, so that a row has 4 edges
 * and any number of lanes 6. */
static void fill_fan(const step *s, gpu_launch out[5])
{
    gpu_buffer b = s->rows;
    gpu_argument all = gpu_reads((gpu_span){b, 2 * ROW * sizeof(float), 3 * ROW * sizeof(float)});
    out[0] = add(s->add, row(b, 0, false), row(b, 1, true));
    for (int k = 1; k < 4; k++) out[k] = add(s->add, row(b, 1, false), row(b, 1 + k, true));
    out[4] = add(s->add, all, row(b, 5, true));
}

/* The first replays take all forms in turn; then the fastest one stays. */
static void fastest_form_of_a_step(void **state)
{
    be_error err = {0};
    gpu_sequence *sequence = NULL;
    gpu_launch launches[5];
    step s;
    (void)state;
    step_open(&s);
    const gpu_driver_vtable *vt = s.driver->vtable;
    fill_fan(&s, launches);
    ASSERT_OK(vt->step(s.driver, launches, 5, &sequence, &err));
    int seen[CUDA_FORMS] = {0}, live = world.live();
    for (int k = 0; k < CUDA_FORMS * CUDA_ROUNDS; k++) {
        ASSERT_OK(vt->replay(s.driver, sequence, UNROLLED, &err));
        ASSERT_OK(vt->synchronise(s.driver, &err));
        seen[k % CUDA_FORMS] = world.last_edges();
    }
    assert_int_equal(seen[1], 5 * UNROLLED - 1); /* a row */
    assert_true(seen[0] > seen[1] && seen[2] > seen[1] && seen[3] > seen[1]);
    ASSERT_OK(vt->replay(s.driver, sequence, UNROLLED, &err));
    ASSERT_OK(vt->synchronise(s.driver, &err));
    assert_int_equal(world.last_edges(), 5 * UNROLLED - 1);
    assert_true(world.live() < live); /* the other forms are gone */
    ASSERT_OK(vt->replay(s.driver, sequence, 1, &err));
    ASSERT_OK(vt->synchronise(s.driver, &err));
    assert_int_equal(world.last_edges(), 4);
    vt->sequence_free(s.driver, sequence);
    step_close(&s);
}

static void launches_in_lanes(void **state)
{
    be_error err = {0};
    gpu_sequence *sequence = NULL;
    gpu_driver *d = NULL;
    (void)state;
    check_lanes("1", 3, (const int[]){0, 1, 1, 2, 2, 3});
    check_lanes("2", 2, (const int[]){0, 2, 1, 3});
    check_lanes("0", 2, (const int[]){0, 2, 1, 3});
    setenv("BREAKEVEN_CUDA_LANES", "many", 1);
    ASSERT_OK(cuda_driver_open(&world.libraries, 0, &d, &err));
    ASSERT_FAILS(d->vtable->sequence(d, &(gpu_launch){0}, 1, &sequence, &err), BE_USAGE,
                 "BREAKEVEN_CUDA_LANES: expected 0 (any number) to 64 lanes", "found \"many\"");
    d->vtable->close(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(kernels_that_wait_begin_early),
        TEST(full_edges_to_compare),
        TEST(other_edges_are_refused),
        TEST(full_edges_of_old_devices),
        TEST(full_edges_of_old_drivers),
        TEST(full_edges_where_others_are_refused),
        TEST(launches_in_lanes),
        TEST(kernels_that_cannot_be_asked),
        TEST(many_edges_are_full),
        TEST(fastest_form_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
