/* See native_calibrate.h. */
#include "native/native_calibrate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/rng.h"
#include "graph/plan.h"

#define ROUNDS 5
#define ROUND_NS 4000000 /* wished length of a round */
#define ROUND_STEPS_MAX 30
#define BEGIN_SHARE 0.8 /* of the time: what is left is for more rounds of what has begun */
#define SEED 7
#define ACCELERATOR_TIMES 4 /* the batch of wide networks: small ones leave most units idle */
#define LAYERS 4

/* ---------------------------------------------------------------- the networks */

typedef struct conv {
    int channels, kernel, pool; /* pool 0: none */
} conv;

/* Convolutions (the last with channels 0), then linear layers (the last with 0 features). */
typedef struct network {
    int batch, channels, size, padding;
    conv convs[LAYERS];
    float dropout; /* behind the convolutions */
    bool average;  /* over all pixels, before the linear layers */
    int linears[LAYERS];
    be_optimizer_kind optimizer;
} network;

/* Sizes lie around those of small networks, and between the powers of two and ten that people
 * choose; the order covers all kinds of ops early, because a slow device gets not to the end. */
static const network networks[] = {
    {48, 1, 24, 0, {{12, 3, 2}, {24, 3, 2}}, 0, false, {36, 12}, BE_ADAM},
    {72, 3, 30, 0, {{7, 5, 2}, {14, 5, 2}}, 0, false, {96, 72, 12}, BE_SGD},
    {40, 1, 26, 1, {{24, 3, 2}, {48, 3, 2}, {80, 3, 0}, {112, 3, 2}}, 0, true, {12}, BE_ADAMW},
    {56, 1, 26, 0, {{28, 3, 0}, {56, 3, 2}}, 0.2f, false, {112, 12}, BE_SGD},
    {56, 1, 22, 0, {{0}}, 0, false, {144, 72, 12}, BE_SGD},
    {120, 1, 32, 0, {{20, 3, 2}, {40, 3, 2}}, 0, false, {48, 9}, BE_ADAM},
    {24, 80, 7, 1, {{96, 3, 0}, {144, 3, 2}, {288, 3, 0}}, 0, true, {9}, BE_ADAM},
    {80, 1, 40, 0, {{0}}, 0, false, {224, 96, 14}, BE_ADAM},
    {88, 2, 36, 0, {{6, 5, 2}, {18, 5, 2}}, 0, false, {144, 60, 8}, BE_ADAMW},
    {32, 40, 15, 1, {{72, 3, 2}, {88, 3, 0}, {120, 3, 2}}, 0.3f, true, {15}, BE_SGD},
    {96, 3, 20, 0, {{16, 3, 2}, {32, 3, 2}}, 0.1f, false, {80, 20}, BE_SGD},
    {20, 1, 30, 0, {{36, 3, 0}, {72, 3, 2}}, 0.4f, false, {160, 14}, BE_SGD},
    {40, 1, 36, 0, {{0}}, 0, false, {112, 48, 9}, BE_SGD},
    {144, 1, 22, 0, {{14, 3, 2}, {30, 3, 2}}, 0, false, {30, 14}, BE_ADAM},
    {16, 1, 36, 1, {{40, 3, 2}, {72, 3, 2}, {104, 3, 0}, {144, 3, 2}}, 0, true, {14}, BE_ADAM},
    {12, 112, 8, 1, {{160, 3, 2}, {320, 3, 0}}, 0, true, {20}, BE_SGD},
    {160, 1, 20, 0, {{0}}, 0, false, {80, 40, 7}, BE_ADAM},
    {30, 3, 26, 0, {{10, 5, 2}, {20, 5, 2}}, 0, false, {60, 20}, BE_ADAM},
    {240, 1, 14, 0, {{18, 3, 2}, {36, 3, 2}}, 0, false, {20, 7}, BE_SGD},
    {72, 24, 20, 0, {{48, 3, 2}}, 0.25f, false, {96, 11}, BE_SGD},
    {48, 1, 48, 0, {{0}}, 0, false, {320, 120, 11}, BE_SGD},
    {28, 28, 26, 0, {{60, 3, 2}}, 0.25f, false, {144, 11}, BE_ADAM},
};

static be_value add_layers(be_graph *g, be_value x, const network *n)
{
    char name[24];
    for (int i = 0; i < LAYERS && n->convs[i].channels; i++) {
        const conv *c = &n->convs[i];
        snprintf(name, sizeof name, "conv%d", i + 1);
        x = be_relu(g, be_conv2d(g, x,
                                 &(be_conv2d_options){.name = name,
                                                      .channels = c->channels,
                                                      .kernel = c->kernel,
                                                      .padding = n->padding}));
        if (c->pool) x = be_max_pool2d(g, x, &(be_pool2d_options){.size = c->pool});
    }
    if (n->dropout > 0) x = be_dropout(g, x, n->dropout);
    if (n->average) x = be_global_average_pool(g, x);
    x = be_flatten(g, x);
    for (int i = 0; i < LAYERS && n->linears[i]; i++) {
        bool last = i + 1 == LAYERS || !n->linears[i + 1];
        snprintf(name, sizeof name, "fc%d", i + 1);
        x = be_linear(g, x, &(be_linear_options){name, .features = n->linears[i]});
        if (!last) x = be_relu(g, x);
        if (!last && n->dropout > 0) x = be_dropout(g, x, n->dropout);
    }
    return x;
}

/* Up to four channels are pictures of a data set; more come as an input in floats. */
static be_value add_input(be_graph *g, const network *n, be_value *target)
{
    be_batch_options data = {.count = n->batch,
                             .order_count = n->batch,
                             .batch = n->batch,
                             .channels = n->channels,
                             .height = n->size,
                             .width = n->size,
                             .mean = {0.5f, 0.5f, 0.5f, 0.5f},
                             .std = {0.25f, 0.25f, 0.25f, 0.25f}};
    if (n->channels <= 4) {
        be_batch batch = be_data_batch(g, &data);
        *target = batch.target;
        return batch.x;
    }
    *target = be_input(g, "labels", (be_shape){BE_I32, 1, {n->batch}});
    return be_input(g, "x", (be_shape){BE_F32, 4, {n->batch, n->channels, n->size, n->size}});
}

/* Of many channels: the large end of the sizes. */
static bool is_wide(const network *n)
{
    return n->average || n->dropout > 0;
}

enum { NETWORKS = sizeof networks / sizeof networks[0] };

be_status native_calibrate_network(int index, bool accelerator, be_graph **out, be_error *err)
{
    be_value target = BE_NONE;
    *out = NULL;
    if (index >= NETWORKS) return BE_OK;
    network sized = networks[index];
    const network *n = &sized;
    if (accelerator && is_wide(n)) sized.batch *= ACCELERATOR_TIMES;
    be_graph *g = be_graph_new(SEED);
    if (!g) FAIL(err, BE_NO_MEMORY, "no memory for a calibration network");
    be_value x = add_input(g, n, &target);
    be_value loss = be_softmax_cross_entropy(g, add_layers(g, x, n), target);
    be_optimizer optimizer = {
        .kind = n->optimizer, .learning_rate = 1e-4f, .momentum = n->optimizer == BE_SGD ? 0.9 : 0};
    be_graph_minimize(g, loss, &optimizer);
    be_status status = be_graph_check(g, err);
    if (status == BE_OK)
        *out = g;
    else
        be_graph_free(g);
    return status;
}

/* ---------------------------------------------------------------- what an op works on */

static double elements_of(const be_shape *shape, int from)
{
    double count = 1;
    for (int d = from; d < shape->rank; d++) count *= (double)shape->dim[d];
    return count;
}

/* The weights among the inputs: a parameter with rows and columns. */
static const be_shape *weights_of(const be_graph *g, const graph_node *node)
{
    for (int i = 0; i < OP_MAX_IN; i++) {
        be_value value = graph_wide_input(g, node, i);
        const graph_value *v = value == BE_NONE ? NULL : &g->values[value];
        if (v && graph_is_weight(g, value) && v->shape.rank >= 2) return &v->shape;
    }
    return NULL;
}

/* A gradient of weights comes out of it; and one of what it read. */
static double passes_of(const be_graph *g, const graph_node *node, const be_shape *weights)
{
    bool backward = false;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->out[o] != BE_NONE)
            backward |= shape_equal(&g->values[node->out[o]].shape, weights);
    return backward && node->out[0] != BE_NONE ? 2 : 1;
}

static double largest_of(const be_graph *g, const graph_node *node)
{
    double largest = 1;
    /* Inputs of the graph are whole data sets, of which an op reads a batch. */
    for (int i = 0; i < OP_MAX_IN; i++) {
        const graph_value *v = node->in[i] == BE_NONE ? NULL : &g->values[node->in[i]];
        if (v && v->kind != VALUE_INPUT && elements_of(&v->shape, 0) > largest)
            largest = elements_of(&v->shape, 0);
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        const graph_value *v = node->out[o] == BE_NONE ? NULL : &g->values[node->out[o]];
        if (v && elements_of(&v->shape, 0) > largest) largest = elements_of(&v->shape, 0);
    }
    return largest;
}

static predict_op op_of(const be_plan *plan, int n)
{
    const be_graph *g = plan->graph;
    const graph_node *node = &g->nodes[n];
    const device_vtable *vt = plan->device->vtable;
    op_cost cost = graph_node_cost(g, node);
    predict_op op = {.out = 1,
                     .in = 1,
                     .kernel = 1,
                     .pixels = 1,
                     .batch = 1,
                     .passes = 1,
                     .elements = largest_of(g, node),
                     .flops = cost.flops,
                     .bytes = cost.bytes,
                     .launches = vt->launches(plan->program, n)};
    const be_shape *weights = weights_of(g, node);
    snprintf(op.op, sizeof op.op, "%s", node->op->name);
    snprintf(op.implementation, sizeof op.implementation, "%s",
             vt->implementation(plan->program, n));
    if (!weights) return op;
    op.out = (double)weights->dim[0];
    op.in = (double)weights->dim[1];
    op.kernel = elements_of(weights, 2);
    op.passes = passes_of(g, node, weights);
    op.batch = (double)g->values[node->in[0]].shape.dim[0];
    double each = 2 * op.out * op.in * op.kernel * op.batch * op.passes;
    op.pixels = cost.flops > each ? cost.flops / each : 1;
    return op;
}

int native_calibrate_ops(const be_plan *plan, predict_op *out)
{
    int count = (int)plan->graph->node_count;
    for (int n = 0; n < count; n++) out[n] = op_of(plan, n);
    return count;
}

json_t *native_calibrate_to_json(const predict_op *op)
{
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:f}", "op",
                     op->op, "implementation", op->implementation, "out", op->out, "in", op->in,
                     "kernel", op->kernel, "pixels", op->pixels, "batch", op->batch, "passes",
                     op->passes, "elements", op->elements, "flops", op->flops, "bytes", op->bytes,
                     "launches", op->launches, "seconds", op->seconds);
}

/* ---------------------------------------------------------------- timing */

/* Pixels and values that are neither all equal nor denormal. */
static be_status write_input(be_plan *plan, const char *name, rng *draws, be_error *err)
{
    void *memory = NULL;
    be_value value = be_value_find(plan->graph, name);
    if (value == BE_NONE) return BE_OK;
    be_shape shape = be_value_shape(plan->graph, value);
    size_t count = (size_t)shape_elements(&shape), bytes = count * dtype_bytes(shape.dtype);
    bool order = strcmp(name, "order") == 0;
    TRY(memory_alloc(&memory, bytes, "inputs of a calibration network", err));
    for (size_t i = 0; i < count; i++) {
        if (shape.dtype == BE_U8)
            ((uint8_t *)memory)[i] = (uint8_t)rng_next(draws);
        else if (shape.dtype == BE_F32)
            ((float *)memory)[i] = rng_next_uniform(draws) - 0.5f;
        else
            ((int32_t *)memory)[i] = order ? (int32_t)i : (int32_t)rng_next_below(draws, 7);
    }
    be_status status = be_plan_write(plan, value, memory, bytes, err);
    memory_free(memory);
    return status;
}

/* A network at work. */
typedef struct trial {
    be_graph *graph;
    be_plan *plan;
    double (*times)[ROUNDS]; /* of each node */
    int rounds;
} trial;

static void trial_end(trial *t)
{
    be_plan_free(t->plan);
    be_graph_free(t->graph);
    memory_free(t->times);
}

static be_status trial_begin(trial *t, int index, be_device *device, be_precision precision,
                             be_error *err)
{
    void *memory = NULL;
    static const char *const names[] = {"images", "labels", "order", "x"};
    rng draws = {.key = {.seed = SEED, .stream = RNG_TUNE}};
    be_plan_options options = {.mode = BE_TRAIN, .precision = precision};
    TRY(native_calibrate_network(index, be_device_threads(device) == 0, &t->graph, err));
    TRY(be_plan_new(t->graph, device, &options, &t->plan, err));
    for (int i = 0; i < 4; i++) TRY(write_input(t->plan, names[i], &draws, err));
    size_t nodes = t->plan->graph->node_count;
    TRY(memory_alloc(&memory, nodes * sizeof *t->times, "times of calibration", err));
    t->times = memory;
    return be_plan_run(t->plan, 1, err);
}

/* One step first: others have had the caches meanwhile. */
static be_status trial_round(trial *t, be_error *err)
{
    be_plan_times times;
    int64_t start_ns = clock_now_ns();
    TRY(be_plan_run(t->plan, 1, err));
    int64_t steps = ROUND_NS / (clock_now_ns() - start_ns + 1);
    steps = steps < 1 ? 1 : steps > ROUND_STEPS_MAX ? ROUND_STEPS_MAX : steps;
    TRY(be_plan_phases(t->plan, steps, &times, err));
    for (int n = 0; n < times.op_count; n++)
        t->times[n][t->rounds] = (double)times.ops[n].ns * 1e-9 / (double)steps;
    t->rounds++;
    return BE_OK;
}

/* What disturbs a round only adds to it: the second least counts, so that most may be disturbed, or
 * the least of two. */
static double undisturbed(const double *times, int count)
{
    double least = INFINITY, second = INFINITY;
    for (int i = 0; i < count; i++) {
        second = fmin(second, fmax(least, times[i]));
        least = fmin(least, times[i]);
    }
    return count > 2 ? second : least;
}

static void trial_points(const trial *t, json_t *points)
{
    for (int n = 0; n < (int)t->plan->graph->node_count; n++) {
        predict_op op = op_of(t->plan, n);
        op.seconds = undisturbed(t->times[n], t->rounds);
        json_array_append_new(points, native_calibrate_to_json(&op));
    }
}

/* The first round of as many networks as there is time for.  One without room in the device's
 * memory is the last. */
static be_status first_rounds(trial *trials, int *count, be_device *device, be_precision precision,
                              int64_t end_ns, be_error *err)
{
    be_error reason;
    while (*count < NETWORKS && clock_now_ns() < end_ns) {
        trial *t = &trials[*count];
        be_status status = trial_begin(t, *count, device, precision, &reason);
        if (status == BE_OK) status = trial_round(t, &reason);
        if (status == BE_OK) {
            (*count)++;
            continue;
        }
        trial_end(t);
        if (status == BE_NO_MEMORY && *count > 0) return BE_OK;
        *err = reason;
        return status;
    }
    return BE_OK;
}

be_status native_calibrate(be_device *device, be_precision precision, double seconds, json_t **out,
                           be_error *err)
{
    trial trials[NETWORKS] = {{0}};
    int count = 0;
    int64_t start_ns = clock_now_ns(), end_ns = start_ns + (int64_t)(seconds * 1e9);
    int64_t begun_ns = start_ns + (int64_t)(BEGIN_SHARE * seconds * 1e9);
    be_status status = first_rounds(trials, &count, device, precision, begun_ns, err);
    /* Rounds of one network lie apart: what slows the machine for a moment spoils few of them. */
    for (int i = count; status == BE_OK && i < ROUNDS * count && clock_now_ns() < end_ns; i++)
        status = trial_round(&trials[i % count], err);
    *out = status == BE_OK ? json_array() : NULL;
    for (int i = 0; i < count; i++) {
        if (*out) trial_points(&trials[i], *out);
        trial_end(&trials[i]);
    }
    return status;
}
