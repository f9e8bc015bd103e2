/* The graph of a step on a CUDA device: which launches wait for which.  Each edge must be there for
 * data or for memory that both touch, launches without an order must touch nothing in common, and
 * what the design wants beside one another must have no order. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/gpu/gpu_run.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/fake_folder.h"
#include "graph/plan.h"
#include "workloads/workload.h"

#define EDGES_MOST 4096

static struct {
    char *cache;
    void *driver; /* the fake's own library */
    void (*watch)(int);
    int (*edges)(int *, int), (*live)(void);
} world;

/* A step, and its graph as the driver was given it. */
typedef struct step {
    be_graph *graph;
    be_device *device;
    be_plan *plan;
    size_t begin; /* launches that begin a run and are of no step */
    const gpu_launch *launches;
    int count, edge_count;
    int edges[3 * EDGES_MOST]; /* from, to, port */
    bool *behind;              /* [count]²: launch k comes after launch j, directly or not */
} step;

static void plan_of(step *s, const workload *w, be_precision precision)
{
    be_error err = {0};
    workload_model model = {0};
    workload_options options = {.seed = 1, .batch = 2, .count = 4};
    be_plan_options planning = {.mode = BE_TRAIN, .precision = precision};
    ASSERT_OK(be_device_open("cuda:0", &(be_device_options){.library = "cudnn"}, &s->device, &err));
    ASSERT_OK(workload_model_new(w, &options, &model, &err));
    s->graph = model.graph;
    ASSERT_OK(be_plan_new(model.graph, s->device, &planning, &s->plan, &err));
    const program *p = s->plan->program;
    s->begin = p->first_launch[p->graph->lowered.begin];
    s->launches = p->recorder.launches + s->begin;
    s->count = (int)(p->recorder.count - s->begin);
}

static void step_close(step *s)
{
    be_plan_free(s->plan);
    be_graph_free(s->graph);
    be_device_close(s->device);
    free(s->behind);
    assert_int_equal(world.live(), 0);
}

static void find_behind(step *s)
{
    size_t n = (size_t)s->count;
    s->behind = calloc(n * n, sizeof(bool));
    assert_non_null(s->behind);
    for (int e = 0; e < s->edge_count; e++) {
        size_t from = (size_t)s->edges[3 * e], to = (size_t)s->edges[3 * e + 1];
        assert_true(from < to && to < n);
        for (size_t j = 0; j < n; j++) s->behind[to * n + j] |= s->behind[from * n + j];
        s->behind[to * n + from] = true;
    }
}

/* Planned twice: the driver is told how many nodes the graph has that is looked at. */
static void step_open(step *s, const workload *w, be_precision precision)
{
    *s = (step){0};
    plan_of(s, w, precision);
    world.watch(s->count);
    step_close(s);
    plan_of(s, w, precision);
    s->edge_count = world.edges(s->edges, EDGES_MOST);
    assert_in_range(s->edge_count, 1, EDGES_MOST - 1);
    find_behind(s);
}

static bool is_behind(const step *s, int k, int j)
{
    return s->behind[(size_t)k * (size_t)s->count + (size_t)j];
}

/* Do two launches touch the same bytes, one of them writing? */
static bool do_meet(const gpu_launch *a, const gpu_launch *b)
{
    for (int i = 0; i < a->argument_count; i++)
        for (int j = 0; j < b->argument_count; j++) {
            const gpu_argument *x = &a->arguments[i], *y = &b->arguments[j];
            if (x->kind != GPU_ARGUMENT_SPAN || y->kind != GPU_ARGUMENT_SPAN) continue;
            if (!x->span.buffer || x->span.buffer != y->span.buffer) continue;
            size_t from = x->span.offset > y->span.offset ? x->span.offset : y->span.offset;
            size_t x_end = x->span.offset + x->span.bytes, y_end = y->span.offset + y->span.bytes;
            if ((x->out || y->out) && from < x_end && from < y_end) return true;
        }
    return false;
}

static const char *name_of(const gpu_launch *launch)
{
    return launch->task ? launch->task->name : "a kernel";
}

/* No edge without a reason, and none missing. */
static void check_edges(const step *s)
{
    for (int e = 0; e < s->edge_count; e++) {
        int from = s->edges[3 * e], to = s->edges[3 * e + 1];
        if (!do_meet(&s->launches[from], &s->launches[to]))
            fail_msg("launch %d (%s) waits for %d (%s) for nothing", to, name_of(&s->launches[to]),
                     from, name_of(&s->launches[from]));
    }
    for (int k = 0; k < s->count; k++)
        for (int j = 0; j < k; j++)
            if (do_meet(&s->launches[j], &s->launches[k]) && !is_behind(s, k, j))
                fail_msg("launches %d and %d touch the same memory and have no order", j, k);
}

/* The launch that writes the gradient of the index-th parameter; the last one of several. */
static int maker_of_gradient(const step *s, int index)
{
    be_value gradient = be_plan_parameter(s->plan, index).gradient;
    gpu_span span = gpu_run_span(s->plan->program, gradient);
    int node = s->plan->graph->values[gradient].producer;
    size_t end = s->plan->program->first_launch[node + 1] - s->begin;
    for (size_t k = s->plan->program->first_launch[node] - s->begin; k < end; k++)
        for (int i = 0; i < s->launches[k].argument_count; i++) {
            const gpu_argument *a = &s->launches[k].arguments[i];
            if (a->out && a->span.buffer == span.buffer && a->span.offset == span.offset)
                return (int)k;
        }
    fail_msg("parameter %d: nothing writes its gradient", index);
    return -1;
}

static int find_parameter(const step *s, const char *name)
{
    for (int i = 0; i < be_plan_parameter_count(s->plan); i++)
        if (strcmp(be_plan_parameter(s->plan, i).name, name) == 0) return i;
    fail_msg("no parameter %s", name);
    return -1;
}

/* These gradients of weights have no order among one another. */
static void check_beside(const step *s, const char *const *names, int count)
{
    for (int a = 0; a < count; a++)
        for (int b = a + 1; b < count; b++) {
            int j = maker_of_gradient(s, find_parameter(s, names[a]));
            int k = maker_of_gradient(s, find_parameter(s, names[b]));
            if (is_behind(s, k > j ? k : j, k > j ? j : k))
                fail_msg("the gradients of %s and %s run one after the other", names[a], names[b]);
        }
}

static void small(const char *name, workload_variant v, workload *room, const workload **out)
{
    be_error err = {0};
    const workload *base = NULL;
    ASSERT_OK(workload_find(name, &base, &err));
    ASSERT_OK(workload_vary(base, &v, room, out, &err));
}

static void gradients_of_a_block_are_branches(void **state)
{
    static const char *const names[] = {
        "transformer.h.0.mlp.c_proj.weight", "transformer.h.0.mlp.c_fc.weight",
        "transformer.h.0.attn.c_proj.weight", "transformer.h.0.attn.c_attn.weight"};
    workload room;
    const workload *w = NULL;
    step s;
    (void)state;
    small("gpt2", (workload_variant){.layers = 2, .width = 32, .heads = 2, .seq = 16, .vocab = 64},
          &room, &w);
    step_open(&s, w, BE_PRECISION_FP32);
    check_edges(&s);
    check_beside(&s, names, 4);
    step_close(&s);
}

/* Nothing of one of CLIP's towers waits for the other, there or back. */
static void towers_are_branches(void **state)
{
    static const char *const names[] = {"vision_model.encoder.layers.0.mlp.fc1.weight",
                                        "text_model.encoder.layers.0.mlp.fc1.weight"};
    workload room;
    const workload *w = NULL;
    step s;
    (void)state;
    small("clip", (workload_variant){.layers = 2, .width = 32, .heads = 2, .size = 32, .seq = 8},
          &room, &w);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        step_open(&s, w, bf16 ? BE_PRECISION_BF16 : BE_PRECISION_FP32);
        check_edges(&s);
        check_beside(&s, names, 2);
        step_close(&s);
    }
}

static int count_kernels(const step *s, const char *name)
{
    int count = 0;
    for (int k = 0; k < s->count; k++) {
        const gpu_function *f = s->launches[k].task ? NULL : s->launches[k].function;
        count += f && strcmp(f->name, name) == 0;
    }
    return count;
}

/* What no layer changes is made by the first of them, for all that follow, there and back. */
static void lengths_are_made_once_a_step(void **state)
{
    workload room;
    const workload *w = NULL;
    step s;
    (void)state;
    small("encoder",
          (workload_variant){.layers = 3, .width = 32, .heads = 2, .seq = 16, .vocab = 64}, &room,
          &w);
    step_open(&s, w, BE_PRECISION_BF16);
    assert_int_equal(count_kernels(&s, "attention_no_keys"), 3);
    assert_int_equal(count_kernels(&s, "attention_lengths"), 1);
    check_edges(&s);
    step_close(&s);
}

/* Where a block is large, its parts wait for their own gradients alone: what comes back first is
 * applied before what comes back last has. */
static void the_optimizer_begins_while_gradients_come_back(void **state)
{
    workload room;
    const workload *w = NULL;
    step s;
    int first = 0, parts = 0, early = 0;
    (void)state;
    small("encoder",
          (workload_variant){.layers = 3, .width = 64, .heads = 2, .seq = 16, .vocab = 64}, &room,
          &w);
    step_open(&s, w, BE_PRECISION_BF16);
    check_edges(&s);
    for (int i = 0; i < be_plan_parameter_count(s.plan); i++) {
        int maker = maker_of_gradient(&s, i);
        first = maker > first ? maker : first;
    }
    for (int k = 0; k < s.count; k++) {
        const gpu_launch *launch = &s.launches[k];
        if (launch->task || strcmp(launch->function->name, "adam") != 0) continue;
        parts++;
        early += !is_behind(&s, k, first);
    }
    if (parts < 3 || !early || early == parts)
        fail_msg("of %d launches of adam %d do not wait for the last gradient", parts, early);
    step_close(&s);
}

#define DECAYING 150001
#define OTHERS 60001

/* Gives the length of the last gradients, if it is kept. */
static float train_two(const char *device_name, be_optimizer optimizer, float *weights)
{
    be_error err = {0};
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_graph *g = be_graph_new(3);
    const int64_t counts[] = {DECAYING, OTHERS};
    float norm = 1.0f;
    be_value w[2], squares[2];
    for (int i = 0; i < 2; i++) {
        w[i] = be_parameter_add(g, i ? "b" : "a", (be_shape){BE_F32, 1, {counts[i]}},
                                (be_start){BE_UNIFORM, 1.0f});
        squares[i] = be_sum_to(g, be_multiply(g, w[i], w[i]), (be_shape){BE_F32, 1, {1}});
    }
    be_parameter_no_decay(g, w[1]);
    be_graph_minimize(g, be_add(g, squares[0], squares[1]), &optimizer);
    ASSERT_OK(be_device_open(device_name, NULL, &device, &err));
    ASSERT_OK(be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(be_plan_run(plan, 3, &err));
    if (optimizer.max_gradient_norm > 0.0) ASSERT_OK(be_plan_gradient_norms(plan, 1, &norm, &err));
    for (int i = 0; i < 2; i++)
        ASSERT_OK(be_plan_read(plan, w[i], weights + (i ? DECAYING : 0),
                               (size_t)counts[i] * sizeof *weights, &err));
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
    return norm;
}

/* The decay ends within a part, and the last part is no multiple of anything. */
static void parts_of_the_optimizer_are_one_block(void **state)
{
    static float found[DECAYING + OTHERS], expected[DECAYING + OTHERS];
    const be_optimizer optimizers[] = {
        {.kind = BE_SGD, .learning_rate = 0.1, .weight_decay = 0.5},
        {.kind = BE_SGD, .learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.5},
        {.kind = BE_ADAM, .learning_rate = 0.01, .weight_decay = 0.5, .max_gradient_norm = 1},
        {.kind = BE_ADAMW, .learning_rate = 0.01, .weight_decay = 0.5}};
    (void)state;
    for (int o = 0; o < 4; o++) {
        float apart =
            train_two("cuda:0", optimizers[o], found) / train_two("cpu", optimizers[o], expected) -
            1.0f;
        if (!(apart < 1e-5f && apart > -1e-5f))
            fail_msg("optimizer %d: another norm by %g", o, (double)apart);
        for (int i = 0; i < DECAYING + OTHERS; i++)
            if (!(found[i] - expected[i] < 1e-5f && expected[i] - found[i] < 1e-5f))
                fail_msg("optimizer %d, weight %d: expected %.9g, found %.9g", o, i,
                         (double)expected[i], (double)found[i]);
    }
}

static int open_world(void **state)
{
    char path[4096];
    const char *fakes = getenv("BREAKEVEN_FAKE_CUDA");
    (void)state;
    assert_non_null(fakes);
    setenv("BREAKEVEN_CUDA_LIB_DIR", fakes, 1);
    world.cache = support_make_folder();
    setenv("XDG_CACHE_HOME", world.cache, 1);
    setenv("BREAKEVEN_CUDA_LANES", "0", 1); /* one graph, whose nodes are the launches by order */
    world.driver = dlopen(support_path(path, sizeof path, fakes, "libcuda.so.1"), RTLD_NOW);
    assert_non_null(world.driver);
    *(void **)&world.watch = dlsym(world.driver, "fake_cuda_watch");
    *(void **)&world.edges = dlsym(world.driver, "fake_cuda_edges");
    *(void **)&world.live = dlsym(world.driver, "fake_cuda_live");
    return world.watch && world.edges && world.live ? 0 : -1;
}

static int close_world(void **state)
{
    (void)state;
    dlclose(world.driver);
    support_remove_folder(world.cache);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_block_are_branches),
        cmocka_unit_test(towers_are_branches),
        cmocka_unit_test(lengths_are_made_once_a_step),
        cmocka_unit_test(the_optimizer_begins_while_gradients_come_back),
        cmocka_unit_test(parts_of_the_optimizer_are_one_block),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
