/* Operations alone: what they compute, what flows back, that nothing is changed, and what is
 * refused. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "graph/graph.h"
#include "protocol/trace.h"
#include "run/parity.h"
#include "workloads/workload.h"

enum { BATCH = 2, STEPS = 2, SAMPLES = 4 };

static const workload *vary(const workload *base, workload_variant variant, workload *room)
{
    be_error err;
    const workload *found = NULL;
    ASSERT_OK(workload_vary(base, &variant, room, &found, &err));
    return found;
}

static workload_model model_of(const workload *w)
{
    be_error err;
    workload_model model;
    workload_options options = {.seed = 7, .batch = BATCH, .count = SAMPLES};
    ASSERT_OK(workload_model_new(w, &options, &model, &err));
    return model;
}

static const int32_t order[SAMPLES] = {0, 1, 2, 3};

static trace_options tracing(const workload_model *model, const data_table *data, bool infer)
{
    return (trace_options){
        .model = model, .data = data, .order = order, .steps = STEPS, .infer = infer};
}

/* Every operation computes on the processor what its reference says, forth and back. */
static void operations_are_their_reference(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
    for (int i = 0; i < OPERATION_COUNT; i++)
        for (int infer = operation_table[i]->link ? 1 : 0; infer < 2; infer++) {
            bool reduced = false;
            workload room;
            trace found, right;
            parity_result result;
            workload_variant small = workload_gate_variant(operation_table[i], &reduced);
            if (small.times) small.times = 2;
            workload_model model = model_of(vary(operation_table[i], small, &room));
            trace_options options = tracing(&model, &model.form, infer);
            assert_true(reduced && model.form.fields == 0);
            ASSERT_OK(trace_of_plan(&found, device, &options, &err));
            ASSERT_OK(trace_of_reference(&right, &options, &err));
            ASSERT_OK(parity_compare(&found, &right, 1e-5, &result, &err));
            assert_non_null(trace_find(&right, "output"));
            for (int k = 0; k < result.count; k++)
                if (!(result.rows[k].tensors == 0 && infer) && !result.rows[k].good)
                    fail_msg("%s: %s: %g at %s", operation_table[i]->name, result.rows[k].kind,
                             result.rows[k].error, result.rows[k].where);
            trace_free(&found);
            trace_free(&right);
            be_graph_free(model.graph);
        }
    be_device_close(device);
}

/* The gradient of a is dy·bᵀ with the drawn dy, not what the logged number would send back. */
static void upstream_flows_back(void **state)
{
    (void)state;
    be_error err;
    workload room;
    trace found;
    enum { SIZE = 5 };
    workload_model model =
        model_of(vary(&workload_op_matmul, (workload_variant){.size = SIZE}, &room));
    trace_options options = tracing(&model, &model.form, false);
    ASSERT_OK(trace_of_reference(&found, &options, &err));
    const double *b = trace_find(&found, "param.b")->values;
    const double *dy = trace_find(&found, "buffer.upstream")->values;
    const trace_tensor *da = trace_find(&found, "grad.a");
    assert_int_equal(da->count, BATCH * SIZE * SIZE);
    for (int r = 0; r < BATCH * SIZE; r++)
        for (int c = 0; c < SIZE; c++) {
            double sum = 0;
            for (int k = 0; k < SIZE; k++) sum += dy[r * SIZE + k] * b[c * SIZE + k];
            assert_true(fabs(sum - da->values[r * SIZE + c]) < 1e-12);
        }
    const trace_tensor *losses = trace_find(&found, "losses");
    assert_true(losses->values[0] == trace_find(&found, "output")->values[0]);
    /* Nothing was changed in between. */
    assert_true(losses->values[0] == losses->values[1]);
    trace_free(&found);
    be_graph_free(model.graph);
}

/* A step trains nothing: no optimizer is there, nor a rate to set. */
static void nothing_is_updated(void **state)
{
    (void)state;
    be_error err;
    workload room;
    be_device *device = NULL;
    be_plan *plan = NULL;
    float before[25], after[25];
    workload_model model =
        model_of(vary(&workload_op_matmul, (workload_variant){.size = 5}, &room));
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
    ASSERT_OK(be_plan_new(model.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    be_parameter b = be_plan_parameter(plan, 1);
    ASSERT_OK(be_plan_read(plan, b.value, before, sizeof before, &err));
    ASSERT_OK(be_plan_run(plan, 3, &err));
    ASSERT_OK(be_plan_read(plan, b.value, after, sizeof after, &err));
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(be_plan_slot_count(plan), 0);
    ASSERT_FAILS(be_plan_set_learning_rate(plan, 0.1, &err), BE_USAGE, "has no learning rate");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(model.graph);
}

/* As many products as asked for, and all the arithmetic counted. */
static void repetitions_are_counted(void **state)
{
    (void)state;
    be_error err;
    workload room;
    be_device *device = NULL;
    be_plan *plan = NULL;
    workload_model model =
        model_of(vary(&workload_op_matmul, (workload_variant){.size = 8, .times = 10}, &room));
    be_plan_options options = {.mode = BE_INFER, .dry_run = 1};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
    ASSERT_OK(be_plan_new(model.graph, device, &options, &plan, &err));
    double flops = be_plan_describe(plan).flops_per_step, products = 10.0 * 2 * BATCH * 8 * 8 * 8;
    assert_true(flops >= products && flops < products + 10);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(model.graph);
}

/* By what a file imports; one that is not there is PyTorch's, whose runner says so. */
static void the_library_of_a_users_file(void **state)
{
    (void)state;
    static const struct {
        const char *source, *library;
    } files[] = {{"import torch\n", "torch"},
                 {"x = 1\nimport keras\n", "tensorflow"},
                 {"from tensorflow import keras\n", "tensorflow"},
                 {"def model():\n    import keras\n", "tensorflow"},
                 {"import keras\nfrom torch import nn\n", "torch"},
                 {"import mlx.core as mx\n", "mlx"},
                 {"from mlx import nn\nimport torch\n", "torch"},
                 {"import keras_hub_of_mine\n", "torch"},
                 {"# import keras\n", "torch"},
                 {"", "torch"}};
    char *folder = support_make_folder(), path[400];
    support_path(path, sizeof path, folder, "nets.py");
    assert_string_equal(workload_file_library(path), "torch");
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        support_write_file(path, files[f].source, strlen(files[f].source));
        assert_string_equal(workload_file_library(path), files[f].library);
    }
    char named[420];
    support_write_file(path, "import keras\n", 13);
    snprintf(named, sizeof named, "%.*s:small", (int)strlen(path) - 3, path);
    assert_string_equal(workload_file_library(named), "tensorflow");
    support_remove_folder(folder);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    be_error err;
    const workload *found = NULL;
    workload room;
    workload_model model;
    ASSERT_FAILS(workload_find("op:matmull", &found, &err), BE_USAGE, "op:matmul");
    assert_false(workload_is_file("op:matmull"));
    assert_true(workload_is_file("my_module:model"));
    ASSERT_FAILS(
        workload_vary(&workload_op_matmul, &(workload_variant){.seq = 4}, &room, &found, &err),
        BE_USAGE, "op:matmul has no seq that could be varied; it has size, m, n, k, times");
    ASSERT_FAILS(
        workload_vary(&workload_op_matmul, &(workload_variant){.size = 32769}, &room, &found, &err),
        BE_USAGE, "matrices of 1 to 32768 rows and columns, found 32769");
    ASSERT_FAILS(
        workload_vary(&workload_op_conv2d, &(workload_variant){.size = 2000}, &room, &found, &err),
        BE_USAGE, "pictures of 1 to 1024 pixels, found 2000");
    ASSERT_FAILS(
        workload_vary(&workload_op_conv2d, &(workload_variant){.kernel = 4}, &room, &found, &err),
        BE_USAGE, "expected an odd number, so that pictures keep their size, found 4");
    workload_options options = {.seed = 1, .batch = 3, .count = 3};
    const workload *w = vary(&workload_op_matmul, (workload_variant){.size = 32768}, &room);
    ASSERT_FAILS(workload_model_new(w, &options, &model, &err), BE_USAGE,
                 "a: expected fewer than 2^31 elements, found 3221225472; choose a smaller size");
}

/* Each side by itself, and the others as large as `size`. */
static void products_have_sides(void **state)
{
    (void)state;
    be_error err;
    workload room;
    const workload *w = NULL;
    workload_model model =
        model_of(vary(&workload_op_matmul, (workload_variant){.size = 6, .m = 3, .k = 5}, &room));
    be_shape a = be_value_shape(model.graph, be_value_find(model.graph, "a"));
    be_shape b = be_value_shape(model.graph, be_value_find(model.graph, "b"));
    assert_true(shape_equal(&a, &(be_shape){BE_F32, 2, {BATCH * 3, 5}}));
    assert_true(shape_equal(&b, &(be_shape){BE_F32, 2, {5, 6}}));
    be_graph_free(model.graph);
    ASSERT_FAILS(workload_vary(&workload_op_matmul, &(workload_variant){.n = 4, .times = 2}, &room,
                               &w, &err),
                 BE_USAGE, "times: expected as many columns n as terms k", "found 4 and 512");
}

/* By hand: the middle of two pixels; a picture moved by one row and turned over. */
static void pictures_are_moved(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    be_plan *plan = NULL;
    static const float x[6] = {1, 2, 3, 4, 5, 6}, draws[3] = {1, 0, -0.5f};
    static const float smaller[4] = {1.25f, 2.75f, 4.25f, 5.75f},
                       moved[6] = {2, 1.5f, 1, -1, -1, -1};
    float y[6];
    be_graph *g = be_graph_new(1);
    be_value pictures = be_input(g, "x", (be_shape){BE_F32, 4, {1, 1, 2, 3}});
    be_value keep[2];
    keep[0] = be_resize(g, be_input(g, "row", (be_shape){BE_F32, 4, {1, 1, 1, 6}}), 1, 4);
    keep[1] = be_augment(g, pictures, be_input(g, "draws", (be_shape){BE_F32, 2, {1, 3}}),
                         &(be_augment_options){1, 1, {2}, {2}});
    be_plan_options options = {.mode = BE_INFER, .keep = keep, .keep_count = 2};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, pictures, x, sizeof x, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "row"), x, sizeof x, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(g, "draws"), draws, sizeof draws, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, keep[0], y, sizeof smaller, &err));
    for (int i = 0; i < 4; i++) assert_true(y[i] == smaller[i]);
    ASSERT_OK(be_plan_read(plan, keep[1], y, sizeof moved, &err));
    for (int i = 0; i < 6; i++) assert_true(y[i] == moved[i]);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(g);
}

static void graphs_refuse_what_contradicts(void **state)
{
    (void)state;
    be_error err;
    be_shape shape = {BE_F32, 1, {4}}, other = {BE_F32, 1, {3}};
    const be_start zero = {BE_CONSTANT, 0};
    be_graph *g = be_graph_new(1);
    be_value y = be_parameter_add(g, "y", shape, zero);
    be_graph_seed(g, y, be_buffer_add(g, "dy", other, zero));
    ASSERT_FAILS(
        be_graph_check(g, &err), BE_USAGE,
        "be_graph_seed: expected a gradient f32 of the shape of y, f32 [4], found f32 [3]");
    be_graph_free(g);
    g = be_graph_new(1);
    y = be_parameter_add(g, "y", shape, zero);
    be_graph_minimize(g, be_mean(g, y), &(be_optimizer){.kind = BE_NO_UPDATE, .momentum = 0.5});
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE,
                 "none changes nothing: expected its other settings to be 0, found 0.5");
    be_graph_free(g);
    g = be_graph_new(1);
    y = be_mean(g, be_parameter_add(g, "y", shape, zero));
    be_graph_minimize(g, y, &(be_optimizer){.kind = BE_NO_UPDATE});
    be_graph_minimize(g, y, &(be_optimizer){.kind = BE_SGD, .learning_rate = 1});
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "has an optimizer already (none)");
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_their_reference),
        cmocka_unit_test(upstream_flows_back),
        cmocka_unit_test(nothing_is_updated),
        cmocka_unit_test(repetitions_are_counted),
        cmocka_unit_test(the_library_of_a_users_file),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(products_have_sides),
        cmocka_unit_test(pictures_are_moved),
        cmocka_unit_test(graphs_refuse_what_contradicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
