/* The double interpreter: memory for every value, the starts, and the loop over the nodes. */
#include "graph/reference.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/topology.h"
#include "graph/passes.h"
#include "graph/precision.h"
#include "graph/schedule.h"

struct reference {
    be_graph *graph; /* lowered */
    double *memory;
    double **data; /* of each value, in `memory`; NULL for one that lowering took away */
    bool *written; /* inputs */
    be_parameter *parameters, *buffers;
    int parameter_count, buffer_count;
    bool train;
    int threads; /* of large products */
    double grid; /* see reference_set_grid */
    bool rounds_results;
};

/* Taken away by lowering: nothing makes it, and it lies in no other value. */
static bool is_gone(const graph_value *value)
{
    return value->kind == VALUE_RESULT && value->producer < 0 && value->alias_of == BE_NONE;
}

static be_status reference_allocate(reference *r, be_error *err)
{
    be_graph *g = r->graph;
    size_t count = g->value_count, elements = 0;
    void *data = NULL, *flags = NULL, *memory = NULL;
    TRY(arena_alloc(g->memory, &data, (count + 1) * sizeof(double *), err));
    TRY(arena_alloc(g->memory, &flags, (count + 1) * sizeof(bool), err));
    r->data = data;
    r->written = flags;
    for (size_t i = 0; i < count; i++)
        if (g->values[i].alias_of == BE_NONE && !is_gone(&g->values[i]))
            elements += (size_t)shape_elements(&g->values[i].shape);
    TRY(memory_alloc(&memory, elements * sizeof(double), "the values of the double reference",
                     err));
    r->memory = memory;
    double *next = r->memory;
    for (size_t i = 0; i < count; i++) {
        if (g->values[i].alias_of != BE_NONE || is_gone(&g->values[i])) continue;
        r->data[i] = next;
        next += shape_elements(&g->values[i].shape);
    }
    return BE_OK;
}

/* Let the values that lie in others point there. */
static void place_aliases(reference *r)
{
    const be_graph *g = r->graph;
    for (size_t i = 0; i < g->value_count; i++) {
        size_t bytes = 0;
        be_value root = (be_value)i;
        for (; g->values[root].alias_of != BE_NONE; root = g->values[root].alias_of)
            bytes += g->values[root].alias_bytes;
        if (root != (be_value)i)
            r->data[i] = r->data[root] + bytes / dtype_bytes(g->values[root].shape.dtype);
    }
}

static be_status fill_weight(reference *r, be_value value, uint32_t index, be_error *err)
{
    void *memory = NULL;
    int64_t count = shape_elements(&r->graph->values[value].shape);
    TRY(memory_alloc(&memory, (size_t)count * sizeof(float), "initial weights", err));
    const float *start = memory;
    graph_fill_start(r->graph, value, index, memory);
    for (int64_t i = 0; i < count; i++) r->data[value][i] = (double)start[i];
    memory_free(memory);
    return BE_OK;
}

/* As devices keep them. */
static be_status fill_rates(reference *r, double rate, be_error *err)
{
    be_value rates = r->graph->lowered.rates;
    void *memory = NULL;
    if (rates == BE_NONE) return BE_OK;
    int64_t count = shape_elements(&r->graph->values[rates].shape);
    TRY(memory_alloc(&memory, (size_t)count * sizeof(float), "the learning rates", err));
    const float *all = memory;
    schedule_fill(&r->graph->recipe.rates, rate, memory);
    for (int64_t i = 0; i < count; i++) r->data[rates][i] = (double)all[i];
    memory_free(memory);
    return BE_OK;
}

static be_status fill_starts(reference *r, be_error *err)
{
    const be_graph *g = r->graph;
    for (size_t i = 0; i < g->value_count; i++) {
        const graph_value *value = &g->values[i];
        if (value->kind == VALUE_STATE && value->start.value != 0.0f)
            for (int64_t e = 0; e < shape_elements(&value->shape); e++)
                r->data[i][e] = (double)value->start.value;
    }
    TRY(graph_list_weights(g, VALUE_PARAMETER, &r->parameters, &r->parameter_count, err));
    TRY(graph_list_weights(g, VALUE_BUFFER, &r->buffers, &r->buffer_count, err));
    for (int p = 0; p < r->parameter_count; p++)
        TRY(fill_weight(r, r->parameters[p].value, (uint32_t)p, err));
    for (int b = 0; b < r->buffer_count; b++)
        TRY(fill_weight(r, r->buffers[b].value, (uint32_t)b, err));
    return fill_rates(r, g->recipe.learning_rate, err);
}

static be_status reference_prepare(reference *r, const be_graph *g, const be_plan_options *options,
                                   be_error *err)
{
    if (options->share || options->dry_run)
        FAIL(err, BE_USAGE, "the double reference has no shared parameters and no dry run");
    TRY(graph_lower(g, options, &(lower_target){.device = NULL}, &r->graph, err));
    TRY(reference_allocate(r, err));
    place_aliases(r);
    return fill_starts(r, err);
}

be_status reference_new(const be_graph *g, const be_plan_options *options, reference **out,
                        be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(reference), "reference", err));
    reference *r = memory;
    r->train = options->mode == BE_TRAIN;
    r->threads = topology_get()->cores;
    r->grid = 1.0;
    be_status status = reference_prepare(r, g, options, err);
    if (status == BE_OK)
        *out = r;
    else
        reference_free(r);
    return status;
}

void reference_free(reference *r)
{
    if (!r) return;
    memory_free(r->memory);
    be_graph_free(r->graph);
    memory_free(r);
}

void reference_set_grid(reference *r, double grid)
{
    MUST(grid >= 1.0 && grid < 2.0);
    r->grid = grid;
}

static be_status check_value(const reference *r, be_value value, size_t bytes, be_error *err)
{
    char text[64];
    if (value < 0 || (size_t)value >= r->graph->value_count)
        FAIL(err, BE_USAGE, "value %d is not in this reference's graph", (int)value);
    const graph_value *info = &r->graph->values[value];
    size_t expected = (size_t)shape_elements(&info->shape) * dtype_bytes(info->shape.dtype);
    if (!r->data[value])
        FAIL(err, BE_USAGE, "value %d \"%s\" does not exist in this mode; it was lowered away",
             (int)value, info->name);
    if (bytes != expected)
        FAIL(err, BE_USAGE, "value \"%s\" is %s: expected %zu bytes, found %zu", info->name,
             shape_text(&info->shape, text), expected, bytes);
    return BE_OK;
}

be_status reference_write(reference *r, be_value value, const void *data, size_t bytes,
                          be_error *err)
{
    TRY(check_value(r, value, bytes, err));
    const be_shape *shape = &r->graph->values[value].shape;
    r->written[value] = true;
    dtype_to_doubles(shape->dtype, data, shape_elements(shape), r->data[value]);
    return BE_OK;
}

be_status reference_read(const reference *r, be_value value, void *data, size_t bytes,
                         be_error *err)
{
    TRY(check_value(r, value, bytes, err));
    const be_shape *shape = &r->graph->values[value].shape;
    dtype_from_doubles(shape->dtype, r->data[value], shape_elements(shape), data);
    return BE_OK;
}

double *reference_data(const reference *r, be_value value)
{
    if (value < 0 || (size_t)value >= r->graph->value_count) return NULL;
    return r->data[value];
}

static be_status check_inputs(const reference *r, be_error *err)
{
    const be_graph *g = r->graph;
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].kind == VALUE_INPUT && !r->written[i] && graph_use_count(g, (be_value)i))
            FAIL(err, BE_USAGE, "input \"%s\" was never written; write it before the first step",
                 g->values[i].name);
    return BE_OK;
}

/* Products from here on are worth being cut into blocks. */
#define BLOCKED_FROM_FLOPS 1e6

static double node_flops(const reference *r, const graph_node *node)
{
    be_shape in[OP_MAX_IN], out[OP_MAX_OUT];
    for (int i = 0; i < OP_MAX_IN; i++) in[i] = be_value_shape(r->graph, node->in[i]);
    for (int o = 0; o < OP_MAX_OUT; o++) out[o] = be_value_shape(r->graph, node->out[o]);
    return node->op->cost(node->attrs, in, out).flops;
}

static bool is_blocked(const reference *r, const graph_node *node)
{
    return node->op->blocked && node_flops(r, node) >= BLOCKED_FROM_FLOPS;
}

reference_work reference_work_of(const reference *r)
{
    reference_work work = {0};
    for (size_t n = 0; n < r->graph->node_count; n++) {
        const graph_node *node = &r->graph->nodes[n];
        *(is_blocked(r, node) ? &work.blocked_flops : &work.plain_flops) += node_flops(r, node);
    }
    return work;
}

static void multiply(double *values, int64_t count, double factor)
{
    for (int64_t i = 0; factor != 1.0 && i < count; i++) values[i] *= factor;
}

void reference_round_results(reference *r)
{
    r->rounds_results = true;
}

static bool is_product(const graph_node *node, int o)
{
    return node->op->narrow && !(node->op->auxiliary >> o & 1);
}

/* The type that output o has, or that autocast gives it. */
static be_dtype result_type(const reference *r, const graph_node *node, int o)
{
    const be_op *op = node->op;
    be_dtype own = r->graph->values[node->out[o]].shape.dtype;
    bool is_added = op->updates[o] && node->in[op->updates[o] - 1] != BE_NONE;
    bool is_autocast = r->rounds_results && r->graph->precision == BE_PRECISION_BF16;
    return is_autocast && is_product(node, o) && !is_added && own == BE_F32 ? BE_BF16 : own;
}

static void round_result(const reference *r, const graph_node *node, int o, int64_t count,
                         double *values)
{
    be_dtype dtype = result_type(r, node, o);
    bool is_sum = r->rounds_results && r->graph->precision == BE_PRECISION_FP32 &&
                  dtype == BE_F32 && is_product(node, o);
    double grid = is_sum || (dtype_is_real(dtype) && dtype != BE_F32) ? r->grid : 1.0;
    multiply(values, count, grid);
    dtype_round(dtype, values, count);
    if (is_sum) precision_round_sums(values, count);
    multiply(values, count, 1.0 / grid);
}

static be_status compute_node(const reference *r, const graph_node *node, double **x, be_error *err)
{
    be_shape in[OP_MAX_IN], out[OP_MAX_OUT];
    double *y[OP_MAX_OUT];
    for (int i = 0; i < OP_MAX_IN; i++) {
        in[i] = be_value_shape(r->graph, node->in[i]);
        if (!x[i]) x[i] = reference_data(r, node->in[i]);
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        out[o] = be_value_shape(r->graph, node->out[o]);
        y[o] = reference_data(r, node->out[o]);
    }
    op_reference call = {
        .attrs = node->attrs, .in = in, .out = out, .x = x, .y = y, .threads = r->threads};
    if (is_blocked(r, node))
        TRY(node->op->blocked(&call, err));
    else
        node->op->reference(&call);
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (y[o]) round_result(r, node, o, shape_elements(&out[o]), y[o]);
    return BE_OK;
}

/* The operands of a product as its precision sees them: copies, the values themselves stay. */
static be_status round_operands(const reference *r, const graph_node *node, double **x,
                                be_error *err)
{
    for (int i = 0; i < node->op->inputs; i++) {
        void *copy = NULL;
        if (node->in[i] == BE_NONE || !(node->op->narrow >> i & 1)) continue;
        int64_t count = shape_elements(&r->graph->values[node->in[i]].shape);
        TRY(memory_alloc(&copy, (size_t)count * sizeof(double), "a rounded operand", err));
        x[i] = copy;
        memcpy(copy, reference_data(r, node->in[i]), (size_t)count * sizeof(double));
        multiply(x[i], count, r->grid);
        precision_round(r->graph->precision, x[i], count);
        multiply(x[i], count, 1.0 / r->grid);
    }
    return BE_OK;
}

static be_status run_node(const reference *r, const graph_node *node, be_error *err)
{
    double *x[OP_MAX_IN] = {NULL}, *copies[OP_MAX_IN] = {NULL};
    be_status status = BE_OK;
    if (r->graph->precision == BE_PRECISION_TF32) status = round_operands(r, node, copies, err);
    memcpy(x, copies, sizeof x);
    if (status == BE_OK) status = compute_node(r, node, x, err);
    for (int i = 0; i < OP_MAX_IN; i++) memory_free(copies[i]);
    return status;
}

/* Behind a step, whose last nodes read them as they were: gradients are read as be_plan_read gives
 * them. */
static void clip_read(const reference *r)
{
    be_value gradients = r->graph->lowered.gradients;
    if (gradients == BE_NONE || r->graph->lowered.clip_factor == BE_NONE) return;
    multiply(r->data[gradients], shape_elements(&r->graph->values[gradients].shape),
             r->data[r->graph->lowered.clip_factor][0]);
}

be_status reference_run(reference *r, int64_t steps, be_error *err)
{
    if (steps < 0) FAIL(err, BE_USAGE, "expected 0 or more steps, found %" PRId64, steps);
    TRY(check_inputs(r, err));
    const be_graph *g = r->graph;
    size_t begin = g->lowered.begin, end = graph_turn_end(g);
    for (size_t n = 0; n < begin; n++) TRY(run_node(r, &g->nodes[n], err));
    for (int64_t s = 0; s < steps; s++) {
        for (int turn = 0; turn < g->lowered.turns; turn++)
            for (size_t n = begin; n < end; n++) TRY(run_node(r, &g->nodes[n], err));
        for (size_t n = end; n < g->node_count; n++) TRY(run_node(r, &g->nodes[n], err));
        clip_read(r);
    }
    return BE_OK;
}

static be_status find_clock(const reference *r, double **out, be_error *err)
{
    *out = reference_data(r, r->graph->clock);
    if (!*out) FAIL(err, BE_USAGE, "this reference has no clock and counts no steps");
    return BE_OK;
}

be_status reference_steps(const reference *r, int64_t *steps, be_error *err)
{
    double *clock = NULL;
    *steps = 0;
    TRY(find_clock(r, &clock, err));
    *steps = (int64_t)*clock;
    return BE_OK;
}

be_status reference_set_steps(reference *r, int64_t steps, be_error *err)
{
    double *clock = NULL;
    TRY(find_clock(r, &clock, err));
    if (steps < 0 || steps > INT32_MAX)
        FAIL(err, BE_USAGE, "expected 0 to 2^31 - 1 steps, found %" PRId64, steps);
    *clock = (double)steps;
    if (r->graph->lowered.turns > 1)
        *r->data[r->graph->lowered.turn] = (double)(steps * r->graph->lowered.turns);
    return BE_OK;
}

be_status reference_set_learning_rate(reference *r, double rate, be_error *err)
{
    if (r->graph->lowered.rate == BE_NONE)
        FAIL(err, BE_USAGE, "this reference does not train and has no learning rate");
    *r->data[r->graph->lowered.rate] = (double)(float)rate; /* as devices keep it */
    return fill_rates(r, rate, err);
}

be_status reference_losses(const reference *r, int64_t count, double *losses, int32_t *correct,
                           be_error *err)
{
    int64_t steps = 0;
    if (r->graph->lowered.loss_log == BE_NONE) FAIL(err, BE_USAGE, "this reference has no loss");
    TRY(reference_steps(r, &steps, err));
    if (count < 0 || count > BE_LOSS_LOG || count > steps)
        FAIL(err, BE_USAGE,
             "expected at most %d losses of the %" PRId64 " steps done, asked for %" PRId64,
             BE_LOSS_LOG, steps, count);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = (steps - count + i) % BE_LOSS_LOG;
        if (losses) losses[i] = r->data[r->graph->lowered.loss_log][at];
        if (correct) correct[i] = (int32_t)r->data[r->graph->lowered.correct_log][at];
    }
    return BE_OK;
}

int reference_parameter_count(const reference *r)
{
    return r->parameter_count;
}

be_parameter reference_parameter(const reference *r, int index)
{
    return r->parameters[index];
}

int reference_buffer_count(const reference *r)
{
    return r->buffer_count;
}

be_parameter reference_buffer(const reference *r, int index)
{
    return r->buffers[index];
}

int reference_slot_count(const reference *r)
{
    return r->train ? r->graph->recipe.slots : 0;
}

be_parameter reference_slot(const reference *r, int index)
{
    be_value value = r->graph->lowered.slot[index];
    return (be_parameter){.name = r->graph->values[value].name,
                          .shape = r->graph->values[value].shape,
                          .value = value,
                          .gradient = BE_NONE};
}
