/* A list of launches as a CUDA graph.
 *
 * The edges come from what the kernels read and write, so launches that do not depend on each other
 * may overlap; BREAKEVEN_CUDA_LANES in the environment says in how many lanes, and 1 puts them in a
 * row.  A second graph holds
 * several repetitions: between two graphs the device rests for longer than between two kernels of
 * one.
 *
 * The work of a library is captured: what it hands to the stream becomes a small graph, and that
 * one node of the step's graph, a child; but what is kernels that follow one another becomes just
 * these, for programmatic edges leave kernels alone.
 *
 * A kernel of ours need not have its predecessors ended to begin: it waits for them itself, before
 * it touches memory (OPEN_OUT in dialect_cuda.h).  So an edge from a kernel to one of ours is
 * programmatic: it lets the second one begin as soon as all groups of the first have passed their
 * own wait (ours) or ended (a library's), and the time that a launch takes is hidden.  Whoever
 * comes after the second one is after the first, too, because the second cannot end before its wait
 * has. All other edges are full. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cuda_lanes.h"
#include "backend/cuda/cuda_trials.h"

#define UNROLL_NODES 512 /* most kernels of the graph of several repetitions */
#define UNROLL_MOST 16
#define LANES_MOST 64
#define SOON_MOST 8 /* programmatic edges that lead to a node */
#define WORK_MOST 8 /* kernels of a library's work that become nodes of the step's graph */

/* About how long a launch takes: to order them, no more. */
#define LAUNCH_NS 3000
#define BYTES_A_NS 2000

struct gpu_sequence {
    int count;  /* launches */
    int unroll; /* repetitions in `many`; 0: there is none */
    int forms;  /* in which the graphs are at hand; the first is taken until it is known which */
    cuda_exec one[CUDA_FORMS], many[CUDA_FORMS];
    cuda_trials trials; /* of `many`, or of `one` if there is none */
    int form;           /* the best; −1: not known yet */
    char order[64];     /* what that is, for people; "" */
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

/* What a library's work is made of. */
typedef struct library_work {
    cuda_graph graph;
    int count; /* if it is kernels that follow one another: how many; else 0 */
    cuda_node kernels[WORK_MOST];
} library_work;

typedef struct graph_builder {
    cuda_driver *driver;
    const gpu_launch *launches;
    library_work *works; /* [count]; empty for our kernels */
    int count, repeats;
    int lanes; /* 0: any number */
    cuda_graph graph;
    cuda_node *nodes;  /* [count * repeats] */
    cuda_node *before; /* of the node being added, by full edges */
    cuda_node *soon;   /* by programmatic ones */
    size_t before_count, soon_count;
    cuda_result refused;   /* what the driver said to a graph with programmatic edges */
    unsigned char *behind; /* [count * repeats]²: whether node j comes before node k; relation */
    int *order;            /* in which nodes are added */
} graph_builder;

typedef enum relation { UNRELATED, INDIRECT, DIRECT } relation;

/* Node k comes after node j. */
static void add_before(graph_builder *b, int k, int j)
{
    const gpu_launch *first = &b->launches[j % b->count];
    bool is_kernel = !first->task || b->works[j % b->count].count > 0;
    if (b->driver->has_soon && is_kernel && !b->launches[k % b->count].task)
        b->soon[b->soon_count++] = b->nodes[j];
    else
        b->before[b->before_count++] = b->nodes[j];
}

/* Who waits for many, as an optimizer does for all gradients, begins no sooner by these edges. */
static void make_full(graph_builder *b)
{
    while (b->soon_count > 0) b->before[b->before_count++] = b->soon[--b->soon_count];
}

static unsigned char *row_of(const graph_builder *b, int k)
{
    return b->behind + (size_t)k * (size_t)b->count * (size_t)b->repeats;
}

/* Node k waits for node j, and so for all that j waits for. */
static void relate(graph_builder *b, int k, int j)
{
    unsigned char *mine = row_of(b, k);
    const unsigned char *theirs = row_of(b, j);
    for (int i = 0; i < b->count * b->repeats; i++)
        if (theirs[i]) mine[i] = INDIRECT;
    mine[j] = DIRECT;
}

/* Nodes that node k must wait for, without those that another one of them waits for. */
static void find_before(graph_builder *b, int k)
{
    for (int j = k - 1; j >= 0; j--)
        if (!row_of(b, k)[j] &&
            launches_conflict(&b->launches[j % b->count], &b->launches[k % b->count]))
            relate(b, k, j);
}

static int64_t cost_of(const gpu_launch *launch)
{
    int64_t bytes = 0;
    for (int i = 0; i < launch->argument_count; i++)
        if (launch->arguments[i].kind == GPU_ARGUMENT_SPAN)
            bytes += (int64_t)launch->arguments[i].span.bytes;
    return LAUNCH_NS + bytes / BYTES_A_NS;
}

/* Each node waits for the one before it in its lane, too; what the others wait for is found anew,
 * because less is left to say. */
static be_status lay_into_lanes(graph_builder *b, int64_t *cost, int *lane_before, be_error *err)
{
    int total = b->count * b->repeats;
    const cuda_lanes_job job = {
        .nodes = total, .lanes = b->lanes, .behind = b->behind, .cost = cost};
    for (int k = 0; k < total; k++) cost[k] = cost_of(&b->launches[k % b->count]);
    TRY(cuda_lanes_plan(&job, b->order, lane_before, err));
    for (int n = 0; n < total; n++) {
        int k = b->order[n];
        unsigned char *mine = row_of(b, k);
        if (lane_before[k] >= 0 && !mine[lane_before[k]]) mine[lane_before[k]] = DIRECT;
        for (int j = 0; j < total; j++)
            if (mine[j] == DIRECT) relate(b, k, j);
    }
    return BE_OK;
}

static be_status find_order(graph_builder *b, be_error *err)
{
    size_t total = (size_t)b->count * (size_t)b->repeats;
    void *cost = NULL, *before = NULL;
    for (int k = 0; k < (int)total; k++) {
        find_before(b, k);
        b->order[k] = k;
    }
    if (!b->lanes) return BE_OK;
    be_status status = memory_alloc(&cost, total * sizeof(int64_t), "a graph", err);
    if (status == BE_OK) status = memory_alloc(&before, total * sizeof(int), "a graph", err);
    if (status == BE_OK) status = lay_into_lanes(b, cost, before, err);
    memory_free(cost);
    memory_free(before);
    return status;
}

/* A driver that knows no such edges, or not these. */
static bool is_refusal(cuda_result result)
{
    return result == CUDA_INVALID_VALUE || result == CUDA_NOT_SUPPORTED;
}

static be_status add_soon(graph_builder *b, int k, be_error *err)
{
    const cuda_driver *d = b->driver;
    const cuda_edge edge = {.from_port = CUDA_PORT_PROGRAMMATIC, .type = CUDA_EDGE_PROGRAMMATIC};
    for (size_t i = 0; i < b->soon_count; i++) {
        cuda_result result =
            d->libraries->cu.graph_edges(b->graph, &b->soon[i], &b->nodes[k], &edge, 1);
        if (is_refusal(result)) b->refused = result;
        CUDA_TRY(d->libraries, d->facts.id, result, "add an edge to the graph of a step");
    }
    return BE_OK;
}

static be_status add_kernel(graph_builder *b, int k, be_error *err)
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
    CUDA_TRY(
        d->libraries, d->facts.id,
        d->libraries->cu.graph_kernel(&b->nodes[k], b->graph, b->before, b->before_count, &node),
        what);
    return add_soon(b, k, err);
}

/* The kernels of a library's work, one behind the other; the last is what others wait for. */
static cuda_result add_chain(graph_builder *b, int k, const library_work *work)
{
    const cuda_functions *cu = &b->driver->libraries->cu;
    cuda_result result = CUDA_OK;
    cuda_node last = NULL;
    for (int i = 0; result == CUDA_OK && i < work->count; i++) {
        cuda_kernel_node node = {0};
        cuda_node made = NULL;
        result = cu->kernel_get(work->kernels[i], &node);
        if (result == CUDA_OK)
            result = cu->graph_kernel(&made, b->graph, i ? &last : b->before,
                                      i ? 1 : b->before_count, &node);
        /* How its groups lie together, and what else a launch may say. */
        if (result == CUDA_OK) result = cu->kernel_copy(made, work->kernels[i]);
        last = made;
    }
    b->nodes[k] = last;
    return result;
}

static be_status add_task(graph_builder *b, int k, be_error *err)
{
    const cuda_driver *d = b->driver;
    const library_work *work = &b->works[k % b->count];
    char what[160];
    snprintf(what, sizeof what, "put %s into the graph of a step",
             b->launches[k % b->count].task->name);
    bool is_chain = d->has_soon && work->count > 0;
    cuda_result result = is_chain ? add_chain(b, k, work)
                                  : d->libraries->cu.graph_child(&b->nodes[k], b->graph, b->before,
                                                                 b->before_count, work->graph);
    if (is_chain && is_refusal(result)) b->refused = result;
    CUDA_TRY(d->libraries, d->facts.id, result, what);
    return BE_OK;
}

static be_status add_nodes(graph_builder *b, be_error *err)
{
    TRY(find_order(b, err));
    for (int n = 0; n < b->count * b->repeats; n++) {
        int k = b->order[n];
        bool is_task = b->launches[k % b->count].task != NULL;
        const unsigned char *mine = row_of(b, k);
        b->before_count = b->soon_count = 0;
        for (int j = b->count * b->repeats - 1; j >= 0; j--)
            if (mine[j] == DIRECT) add_before(b, k, j);
        if (b->soon_count > SOON_MOST) make_full(b);
        TRY(is_task ? add_task(b, k, err) : add_kernel(b, k, err));
    }
    return BE_OK;
}

static be_status fill_graph(graph_builder *b, cuda_exec *out, be_error *err)
{
    const cuda_driver *d = b->driver;
    const cuda_functions *cu = &d->libraries->cu;
    size_t total = (size_t)b->count * (size_t)b->repeats;
    void *nodes = NULL, *behind = NULL, *order = NULL;
    be_status status = memory_alloc(&nodes, 3 * total * sizeof(cuda_node), "a graph", err);
    if (status == BE_OK) status = memory_alloc(&behind, total * total, "a graph", err);
    if (status == BE_OK) status = memory_alloc(&order, total * sizeof(int), "a graph", err);
    b->nodes = nodes;
    b->before = b->nodes + total;
    b->soon = b->before + total;
    b->behind = behind;
    b->order = order;
    if (status == BE_OK) status = add_nodes(b, err);
    memory_free(nodes);
    memory_free(behind);
    memory_free(order);
    TRY(status);
    cuda_result result = cu->graph_instantiate(out, b->graph, 0);
    if (d->has_soon && is_refusal(result)) b->refused = result;
    CUDA_TRY(d->libraries, d->facts.id, result, "make the graph of a step ready");
    CUDA_TRY(d->libraries, d->facts.id, cu->exec_upload(*out, d->stream),
             "give the graph of a step to the device");
    return BE_OK;
}

static be_status build_once(graph_builder *b, cuda_exec *out, be_error *err)
{
    const cuda_driver *d = b->driver;
    CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.graph_new(&b->graph, 0), "make a graph");
    be_status status = fill_graph(b, out, err);
    d->libraries->cu.graph_free(b->graph);
    return status;
}

/* Once more with full edges, where the driver wants no others: that is told, and remembered. */
static be_status build_graph(graph_builder *b, int repeats, cuda_exec *out, be_error *err)
{
    const char *name = NULL;
    b->repeats = repeats;
    be_status status = build_once(b, out, err);
    if (status == BE_OK || !b->refused) return status;
    b->driver->libraries->cu.error_name(b->refused, &name);
    cuda_full_edges(b->driver, name ? name : "refused by the driver");
    b->refused = CUDA_OK;
    return build_once(b, out, err);
}

/* ---------------------------------------------------------------- work of libraries */

/* Kernels that follow one another, by their edges: the first has none that leads to it. */
static void find_chain(library_work *work, const cuda_node *from, const cuda_node *to, int count)
{
    cuda_node first = NULL;
    for (int n = 0; n < count; n++) {
        bool is_first = true;
        for (int e = 0; e < count - 1; e++) is_first &= to[e] != work->kernels[n];
        if (is_first) first = work->kernels[n];
    }
    for (cuda_node at = first; at && work->count < count;) {
        cuda_node next = NULL;
        work->kernels[work->count] = at;
        for (int e = 0; e < count - 1; e++)
            if (from[e] == at) next = to[e];
        work->count++;
        at = next;
    }
    if (work->count < count) work->count = 0;
}

/* Others stay what they are, a graph; so do kernels with edges of other kinds, of which the last
 * may end before the first. */
static cuda_result look_at_work(const cuda_driver *d, library_work *work)
{
    const cuda_functions *cu = &d->libraries->cu;
    cuda_node from[WORK_MOST], to[WORK_MOST];
    cuda_edge edges[WORK_MOST];
    size_t count = 0, edge_count = 0;
    if (!d->has_soon) return CUDA_OK;
    cuda_result result = cu->graph_nodes(work->graph, NULL, &count);
    if (result != CUDA_OK || count < 1 || count > WORK_MOST) return result;
    result = cu->graph_nodes(work->graph, work->kernels, &count);
    for (size_t n = 0; result == CUDA_OK && n < count; n++) {
        cuda_node_type type = CUDA_NODE_KERNEL;
        result = cu->node_type(work->kernels[n], &type);
        if (result != CUDA_OK || type != CUDA_NODE_KERNEL) return result;
        cuda_kernel_node node = {0};
        result = cu->kernel_get(work->kernels[n], &node);
        if (is_refusal(result)) return CUDA_OK; /* the driver keeps to itself how it is called */
    }
    if (result == CUDA_OK) result = cu->edges_get(work->graph, NULL, NULL, NULL, &edge_count);
    if (result != CUDA_OK || edge_count != count - 1) return result;
    if (edge_count) result = cu->edges_get(work->graph, from, to, edges, &edge_count);
    for (size_t e = 0; result == CUDA_OK && e < edge_count; e++)
        if (edges[e].type != CUDA_EDGE_FULL) return CUDA_OK;
    if (result == CUDA_OK) find_chain(work, from, to, (int)count);
    return result;
}

/* It runs once before, on memory that holds nothing yet: a library may load its code when it is
 * first used, which is not allowed while its work is captured. */
static be_status capture(gpu_driver *driver, const gpu_task *task, library_work *out, be_error *err)
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
    cuda_result result = cu->capture_end(d->stream, &out->graph);
    TRY(status);
    CUDA_TRY(d->libraries, d->facts.id, result, what);
    result = look_at_work(d, out);
    CUDA_TRY(d->libraries, d->facts.id, result, what);
    return BE_OK;
}

static be_status capture_tasks(gpu_driver *driver, graph_builder *b, be_error *err)
{
    for (int k = 0; k < b->count; k++)
        if (b->launches[k].task) TRY(capture(driver, b->launches[k].task, &b->works[k], err));
    return BE_OK;
}

static void free_tasks(graph_builder *b)
{
    for (int k = 0; k < b->count; k++)
        if (b->works[k].graph) b->driver->libraries->cu.graph_free(b->works[k].graph);
    memory_free(b->works);
}

/* ---------------------------------------------------------------- the sequence */

/* In any number of lanes, in a row, and between. */
static const int form_lanes[CUDA_FORMS] = {0, 1, 2, 3};

static void tell_order(const cuda_driver *d, gpu_sequence *s, int lanes)
{
    char number[16] = "any number of";
    if (lanes) snprintf(number, sizeof number, "%d", lanes);
    snprintf(s->order, sizeof s->order, "%s lane%s, %s edges", number, lanes == 1 ? "" : "s",
             d->has_soon ? "programmatic" : "full");
}

static be_status build_graphs(gpu_driver *driver, graph_builder *b, gpu_sequence *s, be_error *err)
{
    int unroll = UNROLL_NODES / b->count < UNROLL_MOST ? UNROLL_NODES / b->count : UNROLL_MOST;
    TRY(capture_tasks(driver, b, err));
    for (int f = 0; f < s->forms; f++) {
        if (s->forms > 1) b->lanes = form_lanes[f];
        TRY(build_graph(b, 1, &s->one[f], err));
        if (unroll > 1) TRY(build_graph(b, unroll, &s->many[f], err));
    }
    if (unroll > 1) s->unroll = unroll;
    if (s->forms == 1) {
        tell_order(b->driver, s, b->lanes);
        return BE_OK;
    }
    s->form = -1;
    return cuda_trials_new(b->driver, s->forms, &s->trials, err);
}

static be_status read_lanes(int *out, be_error *err)
{
    const char *asked = getenv("BREAKEVEN_CUDA_LANES");
    char *end = NULL;
    long lanes = asked ? strtol(asked, &end, 10) : 0;
    if (asked && (end == asked || *end || lanes < 0 || lanes > LANES_MOST))
        FAIL(err, BE_USAGE,
             "BREAKEVEN_CUDA_LANES: expected 0 (any number) to %d lanes for the launches of a "
             "step, found \"%.40s\"; unset it",
             LANES_MOST, asked);
    *out = (int)lanes;
    return BE_OK;
}

static be_status sequence_new(gpu_driver *driver, graph_builder *b, int forms, gpu_sequence **out,
                              be_error *err)
{
    void *memory = NULL, *works = NULL;
    *out = NULL;
    MUST(b->count > 0);
    TRY(cuda_enter(b->driver, err));
    TRY(memory_alloc(&works, (size_t)b->count * sizeof(library_work), "a sequence", err));
    b->works = works;
    be_status status = memory_alloc(&memory, sizeof(gpu_sequence), "a sequence", err);
    gpu_sequence *s = memory;
    if (status == BE_OK) {
        *s = (gpu_sequence){.count = b->count, .forms = forms};
        status = build_graphs(driver, b, s, err);
    }
    free_tasks(b);
    if (status == BE_OK)
        *out = s;
    else
        cuda_sequence_release(driver, s);
    return status;
}

be_status cuda_sequence_new(gpu_driver *driver, const gpu_launch *launches, int count,
                            gpu_sequence **out, be_error *err)
{
    graph_builder b = {.driver = (cuda_driver *)driver, .launches = launches, .count = count};
    TRY(read_lanes(&b.lanes, err));
    return sequence_new(driver, &b, 1, out, err);
}

/* One form where the user says in how many lanes, and where others run the same step: what they do
 * together must come in one order. */
be_status cuda_sequence_step(gpu_driver *driver, const gpu_launch *launches, int count,
                             gpu_sequence **out, be_error *err)
{
    graph_builder b = {.driver = (cuda_driver *)driver, .launches = launches, .count = count};
    bool is_fixed = getenv("BREAKEVEN_CUDA_LANES") != NULL;
    for (int k = 0; k < count; k++) is_fixed |= launches[k].task && launches[k].task->is_counted;
    TRY(read_lanes(&b.lanes, err));
    return sequence_new(driver, &b, is_fixed ? 1 : CUDA_FORMS, out, err);
}

static void free_form(const cuda_driver *d, gpu_sequence *s, int f)
{
    if (s->one[f]) d->libraries->cu.exec_free(s->one[f]);
    if (s->many[f]) d->libraries->cu.exec_free(s->many[f]);
    s->one[f] = s->many[f] = NULL;
}

/* The forms that are not needed go, but for the first, which may still run. */
static be_status decide(const cuda_driver *d, gpu_sequence *s, be_error *err)
{
    TRY(cuda_trials_decide(d, &s->trials, &s->form, err));
    for (int f = 1; s->form >= 0 && f < s->forms; f++)
        if (f != s->form) free_form(d, s, f);
    if (s->form < 0) return BE_OK;
    cuda_trials_free(d, &s->trials);
    tell_order(d, s, form_lanes[s->form]);
    return BE_OK;
}

static be_status launch_graph(const cuda_driver *d, gpu_sequence *s, bool many, be_error *err)
{
    const cuda_exec *graphs = many ? s->many : s->one;
    if (s->form < 0 && many == (s->unroll > 0))
        return cuda_trials_launch(d, &s->trials, graphs, err);
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.exec_launch(graphs[s->form < 0 ? 0 : s->form], d->stream),
             "start a step");
    return BE_OK;
}

be_status cuda_sequence_replay(gpu_driver *driver, gpu_sequence *s, int64_t times, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    TRY(cuda_enter(d, err));
    if (s->form < 0) TRY(decide(d, s, err));
    for (int64_t done = 0; done < times;) {
        bool many = s->unroll > 0 && times - done >= s->unroll;
        TRY(launch_graph(d, s, many, err));
        int64_t repeats = many ? s->unroll : 1;
        done += repeats;
        driver->launches += repeats * s->count;
    }
    return BE_OK;
}

const char *cuda_sequence_order(const gpu_driver *driver, const gpu_sequence *s)
{
    (void)driver;
    return *s->order ? s->order : NULL;
}

void cuda_sequence_release(gpu_driver *driver, gpu_sequence *s)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    if (!s) return;
    d->libraries->cu.context_set(d->context);
    for (int f = 0; f < CUDA_FORMS; f++) free_form(d, s, f);
    cuda_trials_free(d, &s->trials);
    memory_free(s);
}
