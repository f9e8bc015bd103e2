/* A list of launches as a CUDA graph.
 *
 * The edges come from what the kernels read and write, so launches that do not depend on each other
 * may overlap; BREAKEVEN_CUDA_SERIAL in the environment puts them in a row.  A second graph holds
 * several repetitions: between two graphs the device rests for longer than between two kernels of
 * one.
 *
 * The work of a library is captured: what it hands to the stream becomes a small graph, and that
 * one node of the step's graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_driver.h"

#define UNROLL_NODES 512 /* most kernels of the graph of several repetitions */
#define UNROLL_MOST 16

struct gpu_sequence {
    int count;  /* launches */
    int unroll; /* repetitions in `many`; 0: there is none */
    cuda_exec one, many;
};

/* ---------------------------------------------------------------- what depends on what */

static bool spans_meet(const gpu_argument *a, const gpu_argument *b)
{
    if (a->kind != GPU_ARGUMENT_SPAN || b->kind != GPU_ARGUMENT_SPAN) return false;
    if (!(a->out || b->out) || !a->span.buffer || a->span.buffer != b->span.buffer) return false;
    return a->span.offset < b->span.offset + b->span.bytes &&
           b->span.offset < a->span.offset + a->span.bytes;
}

/* b comes after a. */
static bool launches_conflict(const gpu_launch *a, const gpu_launch *b)
{
    if (b->alone) return true;
    for (int i = 0; i < a->argument_count; i++)
        for (int j = 0; j < b->argument_count; j++)
            if (spans_meet(&a->arguments[i], &b->arguments[j])) return true;
    return false;
}

typedef struct graph_builder {
    const cuda_driver *driver;
    const gpu_launch *launches;
    cuda_graph *tasks; /* [count]: what a library's work is made of; NULL for kernels */
    int count, repeats;
    bool serial; /* each node after the one before, as in a stream: to compare with */
    cuda_graph graph;
    cuda_node *nodes;      /* [count * repeats] */
    cuda_node *before;     /* of the node being added */
    unsigned char *behind; /* [count * repeats]²: node j comes before node k, directly or not */
} graph_builder;

/* Nodes that node k must wait for, without those that another one of them waits for. */
static size_t find_before(graph_builder *b, int k)
{
    size_t total = (size_t)b->count * (size_t)b->repeats, found = 0;
    unsigned char *mine = b->behind + (size_t)k * total;
    if (b->serial && k > 0) b->before[found++] = b->nodes[k - 1];
    if (b->serial) return found;
    for (int j = k - 1; j >= 0; j--) {
        if (mine[j] || !launches_conflict(&b->launches[j % b->count], &b->launches[k % b->count]))
            continue;
        const unsigned char *theirs = b->behind + (size_t)j * total;
        for (int i = 0; i < j; i++) mine[i] |= theirs[i];
        mine[j] = 1;
        b->before[found++] = b->nodes[j];
    }
    return found;
}

/* `before`: how many nodes of b->before it must wait for. */
static be_status add_kernel(graph_builder *b, int k, size_t before, be_error *err)
{
    const cuda_driver *d = b->driver;
    const gpu_launch *launch = &b->launches[k % b->count];
    cuda_arguments arguments;
    char what[160];
    cuda_arguments_fill(&arguments, launch);
    cuda_kernel_node node = {.function = launch->function->handle,
                             .grid = {(unsigned)launch->groups, 1, 1},
                             .block = {(unsigned)launch->group, 1, 1},
                             .parameters = arguments.pointers};
    snprintf(what, sizeof what, "put kernel %s into the graph of a step", launch->function->name);
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.graph_kernel(&b->nodes[k], b->graph, b->before, before, &node), what);
    return BE_OK;
}

static be_status add_task(graph_builder *b, int k, size_t before, be_error *err)
{
    const cuda_driver *d = b->driver;
    char what[160];
    snprintf(what, sizeof what, "put %s into the graph of a step",
             b->launches[k % b->count].task->name);
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.graph_child(&b->nodes[k], b->graph, b->before, before,
                                          b->tasks[k % b->count]),
             what);
    return BE_OK;
}

static be_status add_nodes(graph_builder *b, be_error *err)
{
    for (int k = 0; k < b->count * b->repeats; k++) {
        size_t before = find_before(b, k);
        bool is_task = b->launches[k % b->count].task != NULL;
        TRY(is_task ? add_task(b, k, before, err) : add_kernel(b, k, before, err));
    }
    return BE_OK;
}

static be_status fill_graph(graph_builder *b, cuda_exec *out, be_error *err)
{
    const cuda_driver *d = b->driver;
    const cuda_functions *cu = &d->libraries->cu;
    size_t total = (size_t)b->count * (size_t)b->repeats;
    void *nodes = NULL, *before = NULL, *behind = NULL;
    be_status status = memory_alloc(&nodes, total * sizeof(cuda_node), "a graph", err);
    if (status == BE_OK) status = memory_alloc(&before, total * sizeof(cuda_node), "a graph", err);
    if (status == BE_OK) status = memory_alloc(&behind, total * total, "a graph", err);
    b->nodes = nodes;
    b->before = before;
    b->behind = behind;
    if (status == BE_OK) status = add_nodes(b, err);
    memory_free(nodes);
    memory_free(before);
    memory_free(behind);
    TRY(status);
    CUDA_TRY(d->libraries, d->facts.id, cu->graph_instantiate(out, b->graph, 0),
             "make the graph of a step ready");
    CUDA_TRY(d->libraries, d->facts.id, cu->exec_upload(*out, d->stream),
             "give the graph of a step to the device");
    return BE_OK;
}

static be_status build_graph(graph_builder *b, int repeats, cuda_exec *out, be_error *err)
{
    const cuda_driver *d = b->driver;
    b->repeats = repeats;
    CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.graph_new(&b->graph, 0), "make a graph");
    be_status status = fill_graph(b, out, err);
    d->libraries->cu.graph_free(b->graph);
    return status;
}

/* ---------------------------------------------------------------- work of libraries */

/* It runs once before, on memory that holds nothing yet: a library may load its code when it is
 * first used, which is not allowed while its work is captured. */
static be_status capture(gpu_driver *driver, const gpu_task *task, cuda_graph *out, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    char what[160];
    snprintf(what, sizeof what, "record %s", task->name);
    if (task->ready) TRY(task->ready(task, driver, err));
    if (!task->is_counted) TRY(task->start(task, driver, err));
    CUDA_TRY(d->libraries, d->facts.id, cu->capture_begin(d->stream, CUDA_CAPTURE_THREAD_LOCAL),
             what);
    be_status status = task->start(task, driver, err);
    cuda_result result = cu->capture_end(d->stream, out);
    TRY(status);
    CUDA_TRY(d->libraries, d->facts.id, result, what);
    return BE_OK;
}

static be_status capture_tasks(gpu_driver *driver, graph_builder *b, be_error *err)
{
    for (int k = 0; k < b->count; k++)
        if (b->launches[k].task) TRY(capture(driver, b->launches[k].task, &b->tasks[k], err));
    return BE_OK;
}

static void free_tasks(graph_builder *b)
{
    for (int k = 0; k < b->count; k++)
        if (b->tasks[k]) b->driver->libraries->cu.graph_free(b->tasks[k]);
    memory_free(b->tasks);
}

/* ---------------------------------------------------------------- the sequence */

static be_status build_graphs(gpu_driver *driver, graph_builder *b, gpu_sequence *s, be_error *err)
{
    int unroll = UNROLL_NODES / b->count < UNROLL_MOST ? UNROLL_NODES / b->count : UNROLL_MOST;
    TRY(capture_tasks(driver, b, err));
    TRY(build_graph(b, 1, &s->one, err));
    if (unroll <= 1) return BE_OK;
    TRY(build_graph(b, unroll, &s->many, err));
    s->unroll = unroll;
    return BE_OK;
}

be_status cuda_sequence_new(gpu_driver *driver, const gpu_launch *launches, int count,
                            gpu_sequence **out, be_error *err)
{
    graph_builder b = {.driver = (const cuda_driver *)driver,
                       .launches = launches,
                       .count = count,
                       .serial = getenv("BREAKEVEN_CUDA_SERIAL") != NULL};
    void *memory = NULL, *tasks = NULL;
    *out = NULL;
    MUST(count > 0);
    TRY(cuda_enter(b.driver, err));
    TRY(memory_alloc(&tasks, (size_t)count * sizeof(cuda_graph), "a sequence", err));
    b.tasks = tasks;
    be_status status = memory_alloc(&memory, sizeof(gpu_sequence), "a sequence", err);
    gpu_sequence *s = memory;
    if (status == BE_OK) {
        s->count = count;
        status = build_graphs(driver, &b, s, err);
    }
    free_tasks(&b);
    if (status == BE_OK)
        *out = s;
    else
        cuda_sequence_release(driver, s);
    return status;
}

be_status cuda_sequence_replay(gpu_driver *driver, gpu_sequence *s, int64_t times, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    TRY(cuda_enter(d, err));
    for (int64_t done = 0; done < times;) {
        bool many = s->unroll > 0 && times - done >= s->unroll;
        CUDA_TRY(d->libraries, d->facts.id, cu->exec_launch(many ? s->many : s->one, d->stream),
                 "start a step");
        int64_t repeats = many ? s->unroll : 1;
        done += repeats;
        driver->launches += repeats * s->count;
    }
    return BE_OK;
}

void cuda_sequence_release(gpu_driver *driver, gpu_sequence *s)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    if (!s) return;
    d->libraries->cu.context_set(d->context);
    if (s->one) d->libraries->cu.exec_free(s->one);
    if (s->many) d->libraries->cu.exec_free(s->many);
    memory_free(s);
}
