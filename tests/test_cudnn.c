/* cuDNN's graphs without a GPU, with the real library where it is installed: the operation graph of
 * every convolution of the workloads, and of every case of the ops, finalises; and, for the device
 * that h200-cudnn-device.json describes, the heuristics and the plans.  Of every attention of the
 * workloads, and of every convolution of the ResNets in bf16, the engines and their workspaces are
 * those of cudnn_engines.txt, and so are their numerical notes: such engines compile at run time
 * and ask the driver, in whose place a toolkit's stub does; their plans need a device.
 *
 * That file is what cuDNN 9.14 gave on an NVIDIA H200 for
 * CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION; a library older than 9.11 does not know it.  Without
 * the library the test is skipped. */
#include <dlfcn.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cudnn_patterns.h"
#include "backend/cuda/cudnn_plan.h"
#include "ops/attention/attention.h"
#include "ops/conv2d/conv2d_cudnn.h"
#include "support.h"
#include "workloads/workload.h"

#define DESCRIBED 91100 /* the version from which a device may be described by a text */

static struct {
    cuda_places places;
    cuda_math math;
    char device[4096];
    FILE *engines;
    int graphs, plans, asked;
} world;

static void check_plan(const cudnn_convolution_pattern *what, const char *name)
{
    static const char *const directions[] = {"y", "dx", "dw"};
    be_error err = {0};
    cudnn_plan plan;
    cudnn_graph graph;
    if (world.math.dnn.version() < DESCRIBED) return;
    cudnn_place place = {.device_text = world.device};
    cudnn_convolution_graph(what, &graph);
    ASSERT_OK(cudnn_plan_new(&world.math, &place, &graph, &plan, &err));
    const cudnn_choice *choice = plan.choice;
    assert_true(choice->workspace_bytes <= CUDA_MATH_WORKSPACE_MOST);
    print_message("%-36s %-2s %s engine %3" PRId64 ", %6.2f MiB of workspace, %d looked at\n", name,
                  directions[what->direction], what->tf32 ? "tf32" : "fp32", choice->engine,
                  (double)choice->workspace_bytes / 1048576.0, choice->tried);
    cudnn_plan_free(&plan);
    world.plans++;
}

/* In true fp32 and in tf32: both have an engine. */
static void check(const cudnn_convolution_pattern *what, const char *name)
{
    be_error err = {0};
    cudnn_convolution_pattern narrow = *what;
    cudnn_graph graph;
    narrow.tf32 = true;
    cudnn_convolution_graph(what, &graph);
    ASSERT_OK(cudnn_graph_check(&world.math, &graph, &err));
    world.graphs++;
    check_plan(what, name);
    check_plan(&narrow, name);
}

/* Forward with what follows it, and both gradients. */
static void check_node(const conv2d_attrs *attrs, const be_shape *in, bool relu, const char *name)
{
    conv2d_sizes s = conv2d_size(attrs, &in[0], &in[1]);
    cudnn_convolution_pattern what = convolution_pattern(&s, CUDNN_TO_Y);
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
                   ((const conv2d_attrs *)op->cases[k].attrs)->activation == BE_RELU,
                   op->cases[k].name);
    assert_int_equal(world.plans, world.math.dnn.version() < DESCRIBED ? 0 : 2 * world.graphs);
}

/* ---------------------------------------------------------------- engines that ask the driver */

/* A library by the name under which others look for it, from a toolkit. */
static bool load_from_toolkit(const char *name, const char *file)
{
    static const char *const folders[] = {"/usr/local/cuda*/lib*", "/usr/local/cuda*/targets/*/lib",
                                          "/opt/cuda/lib*"};
    void *handle = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    for (size_t f = 0; f < sizeof folders / sizeof *folders && !handle; f++) {
        char pattern[256];
        glob_t found = {0};
        snprintf(pattern, sizeof pattern, "%s/%s", folders[f], file);
        if (glob(pattern, 0, NULL, &found) == 0)
            handle = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
        globfree(&found);
    }
    return handle != NULL;
}

#define LINE_ROOM 512

/* Are there lines of this version? */
static bool knows_version(void)
{
    char line[LINE_ROOM];
    bool is_there = false;
    rewind(world.engines);
    while (!is_there && fgets(line, sizeof line, world.engines))
        is_there = strncmp(line, world.math.cudnn.version, strlen(world.math.cudnn.version)) == 0;
    return is_there;
}

/* The last line of cudnn_engines.txt for the graph, of this version or of any, as its version and
 * what follows the name; false: there is none. */
static bool kept_engines(const char *name, bool of_any, char version[20], char out[LINE_ROOM])
{
    char line[LINE_ROOM];
    bool is_there = false;
    rewind(world.engines);
    while (fgets(line, sizeof line, world.engines)) {
        size_t length = strcspn(line, ":"), end = length + 2 + strlen(name);
        line[strcspn(line, "\n")] = 0;
        if (*line == '#' || length >= 20 || strlen(line) <= end ||
            strncmp(line + length + 2, name, strlen(name)) != 0 || line[end] != ':')
            continue;
        line[length] = 0;
        if (!of_any && strcmp(line, world.math.cudnn.version) != 0) continue;
        is_there = true;
        strcpy(version, line);
        snprintf(out, LINE_ROOM, "%s", line + end + 1);
    }
    return is_there;
}

#define KEPT_MOST 4 /* engines of a line: convolutions have dozens */

/* " 62 (131; 0 4)": the engine, the bytes of its workspace, the numbers of its notes. */
static void add_answer(const cudnn_answer *answer, char out[LINE_ROOM])
{
    size_t used = strlen(out);
    used += (size_t)snprintf(out + used, LINE_ROOM - used, " %" PRId64 " (%" PRId64, answer->engine,
                             answer->workspace_bytes);
    for (int n = 0; n < 32; n++)
        if (answer->notes >> n & 1)
            used += (size_t)snprintf(out + used, LINE_ROOM - used, "%s %d",
                                     answer->notes & ((1u << n) - 1) ? "" : ";", n);
    snprintf(out + used, LINE_ROOM - used, ")");
}

/* Of a version that the file lacks: the line to add, and whether the last one answered otherwise.
 */
static void tell_new_version(const char *name, const char *found)
{
    char version[20], kept[LINE_ROOM];
    bool is_kept = kept_engines(name, true, version, kept);
    print_message("cudnn_engines.txt lacks this version: %s: %s:%s\n", world.math.cudnn.version,
                  name, found);
    if (is_kept && strcmp(kept, found) != 0)
        print_message("it answers otherwise than %s, which gave%s\n", version, kept);
}

/* The answers for one graph against those that are kept for this version. */
static void check_engines(const cudnn_graph *graph, const char *more)
{
    be_error err = {0};
    cudnn_answer answers[CUDNN_ANSWERS_MOST];
    cudnn_place place = {.device_text = world.device};
    char name[300], version[20], found[LINE_ROOM] = "", kept[LINE_ROOM];
    int count = 0, usable = 0;
    ASSERT_OK(cudnn_graph_check(&world.math, graph, &err));
    ASSERT_OK(cudnn_graph_ask(&world.math, &place, graph, answers, &count, &err));
    for (int i = 0; i < count; i++) {
        if (i < KEPT_MOST) add_answer(&answers[i], found);
        usable +=
            answers[i].may_be_taken && (size_t)answers[i].workspace_bytes <= graph->workspace_most;
    }
    snprintf(name, sizeof name, "%s%s", graph->what, more);
    if (usable == 0) fail_msg("%s: expected an engine that may be taken, found%s", name, found);
    world.asked++;
    if (!knows_version()) {
        tell_new_version(name, found);
        return;
    }
    if (!kept_engines(name, false, version, kept))
        fail_msg("cudnn_engines.txt: expected a line \"%s: %s:%s\"", world.math.cudnn.version, name,
                 found);
    if (strcmp(kept, found) != 0)
        fail_msg("%s: expected the engines%s of cudnn_engines.txt, found%s", name, kept, found);
}

static void check_attention_engines(const cudnn_attention_pattern *what)
{
    char more[40];
    cudnn_graph graph;
    cudnn_attention_graph(what, &graph);
    snprintf(more, sizeof more, "%s%s", what->is_causal ? ", causal" : "",
             what->has_lengths ? ", lengths" : "");
    check_engines(&graph, more);
}

static void check_attention(const graph_node *node, const be_graph *g, int64_t batch)
{
    be_shape in[ATTENTION_LENGTHS];
    for (int i = 0; i < ATTENTION_LENGTHS; i++)
        in[i] = node->in[i] == BE_NONE ? (be_shape){.rank = -1} : be_value_shape(g, node->in[i]);
    attention_sizes s = attention_sizes_of(node->attrs, &in[0], &in[1]);
    cudnn_attention_pattern what = {.batch = batch ? batch : s.batch,
                                    .heads = s.heads,
                                    .queries = s.queries,
                                    .keys = s.keys,
                                    .size = s.size,
                                    .row = s.row[0],
                                    .is_causal = s.causal,
                                    .has_lengths = cudnn_attention_is_masked(
                                        s.queries, s.keys, node->in[ATTENTION_LENGTHS] != BE_NONE),
                                    .scale = (float)s.scale};
    check_attention_engines(&what);
    what.is_backward = true;
    check_attention_engines(&what);
}

static bool same_attention(const graph_node *a, const graph_node *b, const be_graph *g)
{
    be_shape x = be_value_shape(g, a->in[0]), y = be_value_shape(g, b->in[0]);
    return memcmp(a->attrs, b->attrs, sizeof(attention_attrs)) == 0 && shape_equal(&x, &y);
}

/* As each network of the ladder is trained, as its gate computes it, and of larger batches. */
static void attentions(void **state)
{
    (void)state;
    if (world.math.dnn.version() < DESCRIBED) skip();
    if (!load_from_toolkit("libcuda.so.1", "stubs/libcuda.so") ||
        !load_from_toolkit("libnvrtc.so.13", "libnvrtc.so.1[23]")) {
        print_message(
            "attention's engines are NOT asked for here: no toolkit with the driver's stub "
            "and NVRTC\n");
        skip();
    }
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        be_error err = {0};
        workload_model model;
        workload_options options = {.count = 128};
        const graph_node *last = NULL;
        ASSERT_OK(workload_model_new(workload_table[i], &options, &model, &err));
        const be_graph *g = model.graph;
        for (size_t n = 0; n < g->node_count; n++) {
            const graph_node *node = &g->nodes[n];
            if (node->op != &be_op_attention || (last && same_attention(last, node, g))) continue;
            check_attention(node, g, 0);
            check_attention(node, g, 2);
            check_attention(node, g, 16);
            last = node;
        }
        be_graph_free(model.graph);
    }
    assert_true(world.asked >= 2 * 3 * 6);
}

static bool same_convolution(const graph_node *a, const graph_node *b, const be_graph *g)
{
    for (int i = 0; i < 2; i++) {
        be_shape x = be_value_shape(g, a->in[i]), y = be_value_shape(g, b->in[i]);
        if (!shape_equal(&x, &y)) return false;
    }
    return memcmp(a->attrs, b->attrs, sizeof(conv2d_attrs)) == 0;
}

static bool is_convolution_without_bias(const graph_node *node)
{
    return node->op == &be_op_conv2d && node->in[2] == BE_NONE;
}

/* Forward and both gradients of each convolution of a ResNet, in bf16 with the channels last; of
 * the first no gradient of the pictures. */
static void check_resnet(const be_graph *g)
{
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        bool is_new = is_convolution_without_bias(node);
        for (size_t m = 0; m < n && is_new; m++)
            is_new = !is_convolution_without_bias(&g->nodes[m]) ||
                     !same_convolution(&g->nodes[m], node, g);
        if (!is_new) continue;
        be_shape x = be_value_shape(g, node->in[0]), w = be_value_shape(g, node->in[1]);
        conv2d_sizes s = conv2d_size(node->attrs, &x, &w);
        for (int d = CUDNN_TO_Y; d <= CUDNN_TO_DW; d++) {
            cudnn_graph graph;
            if (d == CUDNN_TO_DX && s.c == 3) continue;
            cudnn_convolution_pattern what =
                convolution_pattern_last(&s, (cudnn_direction)d, BE_BF16);
            cudnn_convolution_graph(&what, &graph);
            char more[40];
            snprintf(more, sizeof more, ", strides of %" PRId64, what.stride[0]);
            check_engines(&graph, more);
        }
    }
}

static void resnets(void **state)
{
    static const char *const names[] = {"resnet18-cifar", "resnet18", "resnet50"};
    int before = world.asked;
    (void)state;
    if (world.math.dnn.version() < DESCRIBED) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        be_error err = {0};
        workload_model model;
        workload_options options = {.count = 128};
        const workload *w = NULL;
        for (int k = 0; k < WORKLOAD_COUNT; k++)
            if (strcmp(workload_table[k]->name, names[i]) == 0) w = workload_table[k];
        assert_non_null(w);
        ASSERT_OK(workload_model_new(w, &options, &model, &err));
        check_resnet(model.graph);
        be_graph_free(model.graph);
    }
    assert_true(world.asked - before >= 3 * 20);
}

/* What cannot be is refused, with what cuDNN says about it. */
static void refusals(void **state)
{
    (void)state;
    be_error err = {0};
    cudnn_plan plan;
    cudnn_graph graph;
    cudnn_convolution_pattern what = {
        .n = 1, .c = 4, .h = 8, .w = 8, .o = 4, .k = {3, 3}, .oh = 7, .ow = 6, .stride = {1, 1}};
    cudnn_convolution_graph(&what, &graph);
    ASSERT_FAILS(cudnn_graph_check(&world.math, &graph, &err), BE_DRIVER, "cuDNN 9.",
                 "the operation of a convolution");
    if (world.math.dnn.version() < DESCRIBED) return;
    what.oh = 6;
    cudnn_convolution_graph(&what, &graph);
    cudnn_place place = {.device_text = "{\"deviceVer\": 1}"};
    assert_true(cudnn_plan_new(&world.math, &place, &graph, &plan, &err) != BE_OK);
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
    support_path(path, sizeof path, source ? source : ".", "tests/cudnn_engines.txt");
    world.engines = fopen(path, "r");
    assert_non_null(world.engines);
    return true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workloads),  cmocka_unit_test(cases),   cmocka_unit_test(refusals),
        cmocka_unit_test(attentions), cmocka_unit_test(resnets),
    };
    unsetenv("BREAKEVEN_CUDA_LIB_DIR");
    if (!open_library()) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
