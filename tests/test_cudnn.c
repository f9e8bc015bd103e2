/* cuDNN's graphs without a GPU, with the real library where it is installed: the operation graph of
 * every convolution of the five small workloads, and of every case of the ops, finalises; and, for
 * the device that h200-cudnn-device.json describes, the heuristics and the plans.
 *
 * That file is what cuDNN 9.14 gave on an NVIDIA H200 for
 * CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION; a library older than 9.11 does not know it.  Without
 * the library the test is skipped. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_plan.h"
#include "ops/conv2d/conv2d.h"
#include "support.h"
#include "workloads/workload.h"

#define DESCRIBED 91100 /* the version from which a device may be described by a text */

static struct {
    cuda_places places;
    cuda_math math;
    char device[4096];
    int graphs, plans;
} world;

static void check_plan(const cudnn_convolution *what, const char *name)
{
    static const char *const directions[] = {"y", "dx", "dw"};
    be_error err = {0};
    cudnn_plan plan;
    if (world.math.dnn.version() < DESCRIBED) return;
    cudnn_place place = {.device_text = world.device};
    ASSERT_OK(cudnn_plan_new(&world.math, &place, what, &plan, &err));
    assert_true(plan.workspace_bytes <= CUDA_MATH_WORKSPACE_MOST);
    print_message("%-36s %-2s %s engine %3" PRId64 ", %6.2f MiB of workspace, %d looked at\n", name,
                  directions[what->direction], what->tf32 ? "tf32" : "fp32", plan.engine,
                  (double)plan.workspace_bytes / 1048576.0, plan.tried);
    cudnn_plan_free(&plan);
    world.plans++;
}

/* In true fp32 and in tf32: both have an engine. */
static void check(const cudnn_convolution *what, const char *name)
{
    be_error err = {0};
    cudnn_convolution narrow = *what;
    narrow.tf32 = true;
    ASSERT_OK(cudnn_graph_check(&world.math, what, &err));
    world.graphs++;
    check_plan(what, name);
    check_plan(&narrow, name);
}

/* Forward with what follows it, and both gradients. */
static void check_node(const conv2d_attrs *attrs, const be_shape *in, bool relu, const char *name)
{
    conv2d_sizes s = conv2d_size(attrs, &in[0], &in[1]);
    cudnn_convolution what = {.n = s.n,
                              .c = s.c,
                              .h = s.h,
                              .w = s.w,
                              .o = s.o,
                              .k = {s.k[0], s.k[1]},
                              .oh = s.oh,
                              .ow = s.ow,
                              .stride = {s.stride[0], s.stride[1]},
                              .padding = {s.padding[0], s.padding[1]}};
    for (int d = CUDNN_TO_Y; d <= CUDNN_TO_DW; d++) {
        what.direction = (cudnn_direction)d;
        what.bias = d == CUDNN_TO_Y && in[2].rank >= 0;
        what.relu = d == CUDNN_TO_Y && relu;
        check(&what, name);
    }
}

static void workloads(void **state)
{
    (void)state;
    int before = world.graphs;
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        be_error err = {0};
        workload_model model;
        const workload *w = workload_table[i];
        workload_options options = {.count = 128};
        ASSERT_OK(workload_model_new(w, &options, &model, &err));
        const be_graph *g = model.graph;
        for (size_t n = 0; n < g->node_count; n++) {
            const graph_node *node = &g->nodes[n];
            be_shape in[3];
            if (node->op != &be_op_conv2d) continue;
            for (int k = 0; k < 3; k++) in[k] = be_value_shape(g, node->in[k]);
            check_node(node->attrs, in, node->in[2] != BE_NONE, w->name);
        }
        be_graph_free(model.graph);
    }
    assert_true(world.graphs - before >= 3 * 11); /* as many convolutions as there are */
}

static void cases(void **state)
{
    (void)state;
    const be_op *op = &be_op_conv2d;
    for (int k = 0; k < op->case_count; k++)
        check_node(op->cases[k].attrs, op->cases[k].in,
                   ((const conv2d_attrs *)op->cases[k].attrs)->relu, op->cases[k].name);
    assert_int_equal(world.plans, world.math.dnn.version() < DESCRIBED ? 0 : 2 * world.graphs);
}

/* What cannot be is refused, with what cuDNN says about it. */
static void refusals(void **state)
{
    (void)state;
    be_error err = {0};
    cudnn_plan plan;
    cudnn_convolution what = {
        .n = 1, .c = 4, .h = 8, .w = 8, .o = 4, .k = {3, 3}, .oh = 7, .ow = 6, .stride = {1, 1}};
    ASSERT_FAILS(cudnn_graph_check(&world.math, &what, &err), BE_DRIVER, "cuDNN 9.",
                 "the operation of a convolution");
    if (world.math.dnn.version() < DESCRIBED) return;
    what.oh = 6;
    cudnn_place place = {.device_text = "{\"deviceVer\": 1}"};
    assert_true(cudnn_plan_new(&world.math, &place, &what, &plan, &err) != BE_OK);
    assert_non_null(strstr(err.text, "cuDNN 9."));
}

static bool open_library(void)
{
    be_error err = {0};
    char path[4096];
    const char *source = getenv("BREAKEVEN_SOURCE");
    ASSERT_OK(cuda_places_find(&world.places, false, &err));
    be_status status = cuda_math_open(&world.math, &world.places, 0, &err);
    cuda_places_free(&world.places);
    if (status != BE_OK) {
        printf("1..0 # SKIP cuDNN's graphs are NOT checked here: %s\n", err.text);
        fprintf(stderr, "cuDNN's graphs are NOT checked here: %s\n", err.text);
        return false;
    }
    support_path(path, sizeof path, source ? source : ".", "tests/h200-cudnn-device.json");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(world.device, 1, sizeof world.device - 1, file) > 100);
    fclose(file);
    return true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workloads),
        cmocka_unit_test(cases),
        cmocka_unit_test(refusals),
    };
    unsetenv("BREAKEVEN_CUDA_LIB_DIR");
    if (!open_library()) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
