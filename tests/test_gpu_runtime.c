/* The shared GPU runtime and opening devices: the null device, ids, refusals, plans that share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/gpu/gpu.h"
#include "workloads/workload.h"

static void must(be_status status, const be_error *err)
{
    if (status != BE_OK) fail_msg("%s", err->text);
}

static be_device *open_null(void)
{
    be_error err;
    be_device *device = NULL;
    must(be_device_open("null", NULL, &device, &err), &err);
    return device;
}

static workload_model make_model(const workload *w, int batch)
{
    be_error err;
    workload_model model;
    workload_options options = {.count = 1000, .batch = batch};
    must(workload_model_new(w, &options, &model, &err), &err);
    return model;
}

static void refuses(const char *id, const char *text)
{
    be_error err;
    be_device *device;
    assert_int_equal(be_device_open(id, NULL, &device, &err), BE_UNAVAILABLE);
    if (!strstr(err.text, text)) fail_msg("expected \"%s\" in: %s", text, err.text);
    assert_null(device);
}

static void ids_are_checked(void **state)
{
    (void)state;
    refuses("null:1", "there is one null device");
    refuses("opencl:999", "opencl:0 to opencl:");
    refuses("opencl:", "expected one of those that `breakeven devices` lists");
    refuses("opencl:x", "expected one of those");
    refuses("opencl:0001", "expected one of those");
    refuses("openclx", "expected one of those");
    refuses("gpu", "expected one of those");
}

static void a_cpu_is_called_a_cpu(void **state)
{
    be_error err;
    be_device *device;
    (void)state;
    must(be_device_open("opencl:0", NULL, &device, &err), &err);
    bool is_cpu = ((gpu_device *)device)->driver->facts.is_cpu;
    assert_int_equal(strncmp(be_device_name(device), "CPU behind OpenCL: ", 19) == 0, is_cpu);
    assert_string_equal(be_device_id(device), "opencl:0");
    be_device_close(device);
    backend_entry entries[8];
    int count = opencl_list(entries, 8);
    assert_in_range(count, 1, 64);
    assert_true(entries[0].usable);
    assert_string_equal(entries[0].id, "opencl:0");
    assert_true(entries[0].memory_bytes > 0);
}

/* Few launches are what makes tiny networks fast: they may not grow by accident. */
static void launches_a_step(void **state)
{
    static const struct {
        const workload *workload;
        int most;
    } wanted[] = {{&workload_mlp_mnist, 13},
                  {&workload_cnn_fashion, 18},
                  {&workload_cnn_cifar, 21},
                  {&workload_cnn_mnist, 22},
                  {&workload_cnn5_fashion, 29}};
    be_device *device = open_null();
    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        be_error err;
        be_plan *plan, *dry;
        workload_model model = make_model(wanted[i].workload, 100);
        be_plan_options options = {.mode = BE_TRAIN};
        must(be_plan_new(model.graph, device, &options, &plan, &err), &err);
        options.dry_run = 1;
        must(be_plan_new(model.graph, device, &options, &dry, &err), &err);
        be_plan_facts facts = be_plan_describe(plan), planned = be_plan_describe(dry);
        assert_in_range(facts.launches, 1, wanted[i].most);
        assert_int_equal(planned.launches, facts.launches);
        assert_int_equal(planned.scratch_bytes, facts.scratch_bytes);
        assert_int_equal(facts.reorders, 0);
        assert_string_equal(facts.implementation, "native, null");
        be_plan_free(plan);
        be_plan_free(dry);
        be_graph_free(model.graph);
    }
    be_device_close(device);
}

static void null_counts_and_keeps(void **state)
{
    be_error err;
    be_plan *plan, *infer;
    be_device *device = open_null();
    workload_model model = make_model(&workload_mlp_mnist, 10);
    be_plan_options options = {.mode = BE_TRAIN};
    (void)state;
    must(be_plan_new(model.graph, device, &options, &plan, &err), &err);
    options = (be_plan_options){.mode = BE_INFER, .share = plan};
    must(be_plan_new(model.graph, device, &options, &infer, &err), &err);
    int64_t before = ((gpu_device *)device)->driver->launches;
    assert_int_equal(be_plan_run(plan, 3, &err), BE_USAGE);
    assert_non_null(strstr(err.text, "was never written"));
    size_t image_bytes = 1000 * 784;
    void *images = calloc(1, image_bytes), *numbers = calloc(1000, sizeof(int32_t));
    must(be_plan_bind(plan, be_value_find(model.graph, "images"), images, image_bytes, &err), &err);
    must(be_plan_write(plan, be_value_find(model.graph, "labels"), numbers, 4000, &err), &err);
    must(be_plan_write(plan, model.order, numbers, 4000, &err), &err);
    must(be_plan_run(plan, 3, &err), &err);
    assert_int_equal(((gpu_device *)device)->driver->launches - before,
                     3 * be_plan_describe(plan).launches);
    /* A parameter written in one plan is read in the other, which shares it. */
    be_parameter p = be_plan_parameter(plan, 1), q = be_plan_parameter(infer, 1);
    size_t bytes = (size_t)shape_elements(&p.shape) * sizeof(float);
    float *values = calloc(1, bytes), *found = calloc(1, bytes);
    for (size_t i = 0; i < bytes / sizeof(float); i++) values[i] = (float)i;
    must(be_plan_write(plan, p.value, values, bytes, &err), &err);
    must(be_plan_read(infer, q.value, found, bytes, &err), &err);
    assert_memory_equal(values, found, bytes);
    free(values);
    free(found);
    free(images);
    free(numbers);
    be_plan_free(infer);
    be_plan_free(plan);
    be_graph_free(model.graph);
    be_device_close(device);
}

/* Whatever allocation fails while a plan is made, it is said, and nothing is lost. */
static void allocations_fail(void **state)
{
    be_error err;
    be_plan *plan;
    be_device *device = open_null();
    workload_model model = make_model(&workload_cnn_fashion, 10);
    be_plan_options options = {.mode = BE_TRAIN};
    (void)state;
    memory_fail_at(0);
    must(be_plan_new(model.graph, device, &options, &plan, &err), &err);
    size_t count = memory_fail_at(0);
    be_plan_free(plan);
    assert_true(count > 10);
    for (size_t n = 1; n <= count; n++) {
        memory_fail_at(n);
        be_status status = be_plan_new(model.graph, device, &options, &plan, &err);
        memory_fail_at(0);
        assert_int_equal(status, BE_NO_MEMORY);
        assert_null(plan);
    }
    be_graph_free(model.graph);
    be_device_close(device);
}

/* One op's case on the null device, with all that is done while planning. */
static be_status plan_case(be_device *device, const be_op *op, const op_case *c,
                           be_precision precision, be_error *err)
{
    be_graph *g = be_graph_new(1);
    be_value in[OP_MAX_IN], out[OP_MAX_OUT];
    memory_map map;
    program *made = NULL;
    const program_options options = {0};
    g->precision = precision;
    for (int i = 0; i < OP_MAX_IN; i++) {
        in[i] = BE_NONE;
        if (i >= op->inputs || c->in[i].rank < 0) continue;
        graph_value value = {.name = "x",
                             .shape = c->in[i],
                             .kind = VALUE_INPUT,
                             .alias_of = BE_NONE,
                             .producer = -1};
        for (int o = 0; o < OP_MAX_OUT; o++)
            if (op->updates[o] == i + 1) value.kind = VALUE_STATE;
        if (precision == BE_PRECISION_BF16 && op->narrow >> i & 1) value.shape.dtype = BE_BF16;
        must(graph_add_value(g, &value, &in[i], err), err);
    }
    must(graph_add_node(g, op, c->attrs, in, out, err), err);
    must(memory_plan(g, 0, &map, err), err);
    be_status status = device->vtable->build(device, g, &map, &options, &made, err);
    if (made) device->vtable->free(made);
    be_graph_free(g);
    return status;
}

static void every_host_side_gives_what_its_kernels_test(void **state)
{
    (void)state;
    be_device *device = open_null();
    int planned = 0;
    for (int i = 0; i < OP_COUNT; i++) {
        const be_op *op = op_table[i];
        if (!device->vtable->has(device, BE_PRECISION_FP32, NULL, NULL, op) || op == &be_op_reorder)
            continue;
        for (int k = 0; k < op->case_count; k++)
            for (int narrow = 0; narrow < (op->narrow ? 2 : 1); narrow++, planned++) {
                be_error err;
                must(plan_case(device, op, &op->cases[k],
                               narrow ? BE_PRECISION_BF16 : BE_PRECISION_FP32, &err),
                     &err);
            }
    }
    assert_true(planned > 500);
    be_device_close(device);
}

/* The status of gpu_use for a file of this text and these words, and the text of its error. */
static void check_words(const char *text, const char *words, const char *expected)
{
    be_error err = {0};
    const gpu_facts facts = {.group_max = 64};
    const gpu_source source = {"some.gpu.c", text};
    gpu_call call = {.facts = &facts};
    for (int i = 0; i < OP_MAX_IN; i++) call.in_shape[i].rank = -1;
    for (int o = 0; o < OP_MAX_OUT; o++) call.out_shape[o].rank = -1;
    must(arena_new(&call.memory, &err), &err);
    be_status status = gpu_use(&call, GPU_SOURCES(&source), 64, &err, "%s", words);
    assert_int_equal(status, expected ? BE_FAILED : BE_OK);
    if (expected && !strstr(err.text, expected))
        fail_msg("expected \"%s\" in: %s", expected, err.text);
    arena_free(call.memory);
}

static void a_parameter_that_is_not_given_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "/* … */\nPARAMETERS(ROWS X_T\n           PART)\n\n#if ROWS\n#endif\n";
    check_words(text, "ROWS=3 X_T=float X_TYPE=F32 PART(c)=c##f", NULL);
    check_words(text, "ROSW=3 X_T=float PART=1",
                "kernel file some.gpu.c: expected a value for each of its PARAMETERS from its host "
                "side, found none for ROWS; give it in the call of gpu_use");
    check_words(text, "ROWS=3 X_TYPE=F32 PART=1", "found none for X_T;");
    check_words(text, "ROWS=3 X_T=float PARTS=1", "found none for PART;");
}

static void a_name_behind_if_that_nobody_gives_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "/* … */\nPARAMETERS(ROWS ROW)\n#define EACH_ROW ROW\n#if ROWS > 2 && EACH_ROW\n#endif\n";
    check_words(text, "ROWS=3 ROW=1", NULL);
    check_words("#if GROUP > 2\n#endif\n", "", NULL);
    check_words("#if 0\n#elif ROWS2\n#endif\n", "ROWS2=3",
                "kernel file some.gpu.c: expected each name behind #if among the PARAMETERS or "
                "defined by a file of its unit, found ROWS2; add it to them, or correct it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_checked),
        cmocka_unit_test(a_cpu_is_called_a_cpu),
        cmocka_unit_test(launches_a_step),
        cmocka_unit_test(null_counts_and_keeps),
        cmocka_unit_test(allocations_fail),
        cmocka_unit_test(every_host_side_gives_what_its_kernels_test),
        cmocka_unit_test(a_parameter_that_is_not_given_is_refused),
        cmocka_unit_test(a_name_behind_if_that_nobody_gives_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
