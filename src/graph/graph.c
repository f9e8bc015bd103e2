/* Building graphs: values, nodes, shapes, the first mistake. */
#include "graph/graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

be_graph *be_graph_new(uint64_t seed)
{
    void *memory = NULL;
    if (memory_alloc(&memory, sizeof(be_graph), "graph", NULL) != BE_OK) return NULL;
    be_graph *g = memory;
    if (arena_new(&g->memory, NULL) != BE_OK) {
        memory_free(g);
        return NULL;
    }
    g->seed = seed;
    g->recipe.loss = g->recipe.correct = g->recipe.seeded = g->recipe.seed = BE_NONE;
    g->clock = BE_NONE;
    g->lowered = (graph_lowered){.weights = BE_NONE,
                                 .parameters = BE_NONE,
                                 .gradients = BE_NONE,
                                 .rate = BE_NONE,
                                 .rates = BE_NONE,
                                 .norm_log = BE_NONE,
                                 .clip_factor = BE_NONE,
                                 .loss_log = BE_NONE,
                                 .correct_log = BE_NONE,
                                 .narrow = BE_NONE,
                                 .turns = 1,
                                 .turn = BE_NONE,
                                 .turn_loss = BE_NONE,
                                 .turn_correct = BE_NONE,
                                 .slot = {BE_NONE, BE_NONE}};
    return g;
}

void be_graph_free(be_graph *g)
{
    if (!g) return;
    arena_free(g->memory);
    memory_free_array(g->values);
    memory_free_array(g->nodes);
    memory_free(g);
}

be_status graph_blame(be_graph *g, const be_error *err)
{
    if (g->error.status == BE_OK) g->error = *err;
    return err->status;
}

be_status be_graph_check(const be_graph *g, be_error *err)
{
    if (!g)
        FAIL(err, BE_NO_MEMORY,
             "the graph could not be made: the system has no memory left; free some");
    if (g->error.status != BE_OK && err) *err = g->error;
    return g->error.status;
}

int64_t shape_elements(const be_shape *shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) count *= shape->dim[i];
    return count;
}

bool shape_equal(const be_shape *a, const be_shape *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *shape_text(const be_shape *shape, char text[64])
{
    if (shape->rank < 0) return "none";
    text_buffer b = text_begin(text, 64);
    text_add(&b, "%s [", dtype_name(shape->dtype));
    for (int i = 0; i < shape->rank; i++) text_add(&b, "%s%" PRId64, i ? ", " : "", shape->dim[i]);
    text_add(&b, "]");
    return text;
}

size_t value_bytes(const graph_value *value)
{
    be_shape shape = value->shape;
    if (value->layout == LAYOUT_ROWS_APART) {
        shape.dim[shape.rank - 1] = layout_pitch(value->layout, &shape);
    } else if (value->layout != LAYOUT_PLAIN) {
        int64_t block = layout_block(value->layout, &shape);
        shape.dim[1] = (shape.dim[1] + block - 1) / block * block;
    }
    return (size_t)shape_elements(&shape) * dtype_bytes(shape.dtype);
}

/* Every dimension at least 1, and the whole below 2^31 elements, so that an index fits 32 bits. */
static be_status shape_check(const be_shape *shape, const char *name, be_error *err)
{
    char text[64];
    int64_t count = 1;
    if (!*name) name = "a result";
    if (shape->rank < 0 || shape->rank > BE_MAX_RANK)
        FAIL(err, BE_USAGE, "%s: expected 0 to %d dimensions, found %d", name, BE_MAX_RANK,
             shape->rank);
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 1)
            FAIL(err, BE_USAGE, "%s: expected dimensions of at least 1, found %s", name,
                 shape_text(shape, text));
        if (shape->dim[i] > INT32_MAX / count)
            FAIL(err, BE_USAGE,
                 "%s: expected fewer than 2^31 elements, found %s; use a smaller batch", name,
                 shape_text(shape, text));
        count *= shape->dim[i];
    }
    return BE_OK;
}

be_status graph_add_value(be_graph *g, const graph_value *value, be_value *out, be_error *err)
{
    *out = BE_NONE;
    TRY(shape_check(&value->shape, value->name, err));
    TRY(memory_grow((void **)&g->values, &g->value_capacity, g->value_count + 1, sizeof *g->values,
                    err));
    g->values[g->value_count] = *value;
    *out = (be_value)g->value_count++;
    return BE_OK;
}

static be_status node_infer(const be_graph *g, const graph_node *node, be_shape *out, be_error *err)
{
    const be_op *op = node->op;
    op_infer infer = {.attrs = node->attrs};
    for (int i = 0; i < OP_MAX_IN; i++) {
        be_value in = node->in[i];
        infer.in[i].rank = -1;
        if (i >= op->inputs) continue;
        if (in == BE_NONE && !(op->optional >> i & 1))
            FAIL(err, BE_USAGE, "%s: input %d is missing", op->name, i);
        if (in != BE_NONE && (in < 0 || (size_t)in >= g->value_count))
            FAIL(err, BE_USAGE, "%s: input %d is no value of this graph", op->name, i);
        if (in != BE_NONE) infer.in[i] = g->values[in].shape;
        bool may_be_narrow = (op->narrow_in | op->narrow_along) >> i & 1;
        if (g->precision == BE_PRECISION_BF16 && may_be_narrow && infer.in[i].dtype == BE_BF16)
            infer.in[i].dtype = BE_F32;
    }
    TRY(op->infer(&infer, err));
    memcpy(out, infer.out, sizeof infer.out);
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (!(node->narrow >> o & 1)) continue;
        if (o == op->narrow_copy - 1) out[o] = out[0];
        out[o].dtype = BE_BF16;
    }
    return BE_OK;
}

be_status graph_add_state(be_graph *g, const char *name, be_shape shape, float constant,
                          be_value *out, be_error *err)
{
    return graph_add_value(g,
                           &(graph_value){.name = name,
                                          .shape = shape,
                                          .kind = VALUE_STATE,
                                          .start = {BE_CONSTANT, constant},
                                          .alias_of = BE_NONE,
                                          .producer = -1},
                           out, err);
}

/* Add the values of the outputs that the node does not have yet. */
static be_status node_outputs(be_graph *g, graph_node *node, int index, be_error *err)
{
    be_shape shapes[OP_MAX_OUT];
    TRY(node_infer(g, node, shapes, err));
    for (int o = 0; o < node->op->outputs; o++) {
        if (node->out[o] != BE_NONE || shapes[o].rank < 0) continue;
        graph_value value = {.name = "",
                             .shape = shapes[o],
                             .kind = VALUE_RESULT,
                             .alias_of = BE_NONE,
                             .producer = index};
        if (node->op->updates[o]) value.alias_of = node->in[node->op->updates[o] - 1];
        TRY(graph_add_value(g, &value, &node->out[o], err));
    }
    return BE_OK;
}

be_status graph_refresh_node(be_graph *g, size_t index, be_error *err)
{
    return node_outputs(g, &g->nodes[index], (int)index, err);
}

be_status graph_add_node(be_graph *g, const be_op *op, const void *attrs, const be_value *in,
                         be_value *out, be_error *err)
{
    graph_node node = {.op = op};
    if (op->attrs_bytes) {
        TRY(arena_alloc(g->memory, &node.attrs, op->attrs_bytes, err));
        memcpy(node.attrs, attrs, op->attrs_bytes);
    }
    for (int i = 0; i < OP_MAX_IN; i++) node.in[i] = i < op->inputs ? in[i] : BE_NONE;
    for (int o = 0; o < OP_MAX_OUT; o++) node.out[o] = BE_NONE;
    TRY(node_outputs(g, &node, (int)g->node_count, err));
    TRY(memory_grow((void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes,
                    err));
    g->nodes[g->node_count++] = node;
    if (out) memcpy(out, node.out, (size_t)op->outputs * sizeof *out);
    return BE_OK;
}

void graph_compact(be_graph *g)
{
    size_t count = 0;
    for (size_t i = 0; i < g->value_count; i++) g->values[i].producer = -1;
    for (size_t i = 0; i < g->node_count; i++) {
        if (!g->nodes[i].op) continue;
        g->nodes[count] = g->nodes[i];
        for (int o = 0; o < OP_MAX_OUT; o++)
            if (g->nodes[count].out[o] != BE_NONE)
                g->values[g->nodes[count].out[o]].producer = (int)count;
        count++;
    }
    g->node_count = count;
}

be_value graph_build(be_graph *g, const be_op *op, const void *attrs, const be_value *in,
                     be_value *out)
{
    be_value made[OP_MAX_OUT];
    be_error err;
    for (int o = 0; o < OP_MAX_OUT; o++) made[o] = BE_NONE;
    if (g && g->error.status == BE_OK && graph_add_node(g, op, attrs, in, made, &err) != BE_OK)
        graph_blame(g, &err);
    if (out) memcpy(out, made, (size_t)op->outputs * sizeof *out);
    return made[0];
}

static be_value build_value(be_graph *g, const graph_value *value)
{
    be_value made = BE_NONE;
    be_error err;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (be_value_find(g, value->name) != BE_NONE) {
        status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                    "two values are named \"%s\"; give each layer and input a name of its own",
                    value->name);
        graph_blame(g, &err);
    } else if (graph_add_value(g, value, &made, &err) != BE_OK) {
        graph_blame(g, &err);
    }
    return made;
}

be_value be_input(be_graph *g, const char *name, be_shape shape)
{
    be_error err;
    graph_value value = {.shape = shape, .kind = VALUE_INPUT, .alias_of = BE_NONE, .producer = -1};
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (arena_printf(g->memory, &value.name, &err, "%s", name) != BE_OK) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    return build_value(g, &value);
}

static be_status check_weight(const graph_value *value, const char *what, const char *name,
                              be_error *err)
{
    char text[64];
    const be_start *start = &value->start;
    TRY(shape_check(&value->shape, name, err));
    if (value->shape.dtype != BE_F32 || value->shape.rank < 0)
        FAIL(err, BE_USAGE, "%s \"%s\": expected f32, found %s", what, name,
             shape_text(&value->shape, text));
    if (start->kind == BE_KAIMING && value->shape.rank < 2)
        FAIL(
            err, BE_USAGE,
            "%s \"%s\": a start BE_KAIMING needs at least 2 dimensions [out, in, …], found %s; use "
            "another start",
            what, name, shape_text(&value->shape, text));
    bool is_known = start->kind == BE_UNIFORM || start->kind == BE_NORMAL ||
                    start->kind == BE_CONSTANT || start->kind == BE_KAIMING ||
                    start->kind == BE_ALTERNATING;
    if (!is_known || !isfinite(start->value) || (start->kind != BE_CONSTANT && start->value < 0.0f))
        FAIL(err, BE_USAGE,
             "%s \"%s\": expected a start BE_UNIFORM, BE_NORMAL or BE_KAIMING with a finite value "
             "of at "
             "least 0, or BE_CONSTANT with a finite one, found kind %d with %g",
             what, name, (int)start->kind, (double)start->value);
    return BE_OK;
}

/* A fan out is that of the shape: from here on it is a normal distribution. */
static void resolve_start(graph_value *value)
{
    be_start *start = &value->start;
    if (start->kind != BE_KAIMING) return;
    double fan_out = (double)shape_elements(&value->shape) / (double)value->shape.dim[1];
    *start = (be_start){BE_NORMAL, (float)((double)start->value / sqrt(fan_out))};
}

static be_value add_weight(be_graph *g, const char *name, graph_value *value)
{
    be_error err;
    bool is_parameter = value->kind == VALUE_PARAMETER;
    value->alias_of = BE_NONE;
    value->producer = -1;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    be_status status = check_weight(value, is_parameter ? "parameter" : "buffer", name, &err);
    if (status == BE_OK) status = arena_printf(g->memory, &value->name, &err, "%s", name);
    if (status != BE_OK) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    resolve_start(value);
    return build_value(g, value);
}

be_value be_parameter_add(be_graph *g, const char *name, be_shape shape, be_start start)
{
    graph_value value = {.shape = shape, .kind = VALUE_PARAMETER, .start = start};
    return add_weight(g, name, &value);
}

be_value be_buffer_add(be_graph *g, const char *name, be_shape shape, be_start start)
{
    graph_value value = {.shape = shape, .kind = VALUE_BUFFER, .start = start};
    return add_weight(g, name, &value);
}

void be_parameter_no_decay(be_graph *g, be_value parameter)
{
    be_error err;
    if (!g || g->error.status != BE_OK) return;
    bool is_there = parameter >= 0 && (size_t)parameter < g->value_count;
    if (is_there && g->values[parameter].kind == VALUE_PARAMETER) {
        g->values[parameter].no_decay = true;
        return;
    }
    status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                "be_parameter_no_decay: expected a parameter, found value %d%s%s; give it what "
                "be_parameter_add returned, or what be_value_find finds by name",
                (int)parameter, is_there ? " " : "", is_there ? g->values[parameter].name : "");
    graph_blame(g, &err);
}

be_value graph_weight(be_graph *g, value_kind kind, const char *layer, const char *suffix,
                      be_shape shape, be_start start)
{
    be_error err;
    const char *name;
    if (!g || g->error.status != BE_OK) return BE_NONE;
    size_t length = layer ? strlen(layer) : 0;
    const char *between = length && layer[length - 1] == '_' ? "" : ".";
    if (arena_printf(g->memory, &name, &err, "%s%s%s", layer ? layer : "", between, suffix) !=
        BE_OK) {
        graph_blame(g, &err);
        return BE_NONE;
    }
    MUST(kind == VALUE_PARAMETER || kind == VALUE_BUFFER);
    return kind == VALUE_PARAMETER ? be_parameter_add(g, name, shape, start)
                                   : be_buffer_add(g, name, shape, start);
}

be_value graph_parameter(be_graph *g, const char *layer, const char *suffix, be_shape shape,
                         be_start start)
{
    return graph_weight(g, VALUE_PARAMETER, layer, suffix, shape, start);
}

be_value graph_clip_factor(const be_graph *g, be_value value)
{
    size_t offset;
    bool is_gradient =
        g->lowered.clip_factor != BE_NONE && graph_root(g, value, &offset) == g->lowered.gradients;
    return is_gradient ? g->lowered.clip_factor : BE_NONE;
}

bool graph_is_weight(const be_graph *g, be_value value)
{
    return g->values[value].kind == VALUE_PARAMETER || g->values[value].kind == VALUE_JOINED;
}

bool graph_begins_with(const be_graph *g, be_value value, be_value parameter)
{
    if (value == BE_NONE) return false;
    return value == parameter || (g->values[value].kind == VALUE_JOINED &&
                                  g->values[value].alias_bytes == g->values[parameter].alias_bytes);
}

be_value graph_root(const be_graph *g, be_value value, size_t *offset)
{
    *offset = 0;
    while (g->values[value].alias_of != BE_NONE) {
        *offset += g->values[value].alias_bytes;
        value = g->values[value].alias_of;
    }
    return value;
}

bool graph_is_in_place(const be_graph *g, const graph_node *node, int o)
{
    if (node->out[o] == BE_NONE) return false;
    be_value memory = g->values[node->out[o]].alias_of;
    for (int i = 0; memory != BE_NONE && i < node->op->inputs; i++)
        if (node->op->in_place[o] >> i & 1 && node->in[i] == memory) return true;
    return false;
}

be_value graph_clock(be_graph *g)
{
    if (!g || g->error.status != BE_OK) return BE_NONE;
    if (g->clock == BE_NONE)
        g->clock = build_value(g, &(graph_value){.name = "clock",
                                                 .shape = shape_make(BE_I32, 1, 1, 0, 0, 0),
                                                 .kind = VALUE_STATE,
                                                 .alias_of = BE_NONE,
                                                 .producer = -1});
    return g->clock;
}

be_shape be_value_shape(const be_graph *g, be_value value)
{
    if (!g || value < 0 || (size_t)value >= g->value_count) return (be_shape){.rank = -1};
    return g->values[value].shape;
}

be_value be_value_find(const be_graph *g, const char *name)
{
    if (!g || !*name) return BE_NONE;
    for (size_t i = 0; i < g->value_count; i++)
        if (strcmp(g->values[i].name, name) == 0) return (be_value)i;
    return BE_NONE;
}

int graph_use_count(const be_graph *g, be_value value)
{
    int count = 0;
    for (size_t n = 0; n < g->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++) count += g->nodes[n].in[i] == value;
    return count;
}

static be_status clone_into(const be_graph *g, be_graph *copy, be_error *err)
{
    TRY(memory_grow((void **)&copy->values, &copy->value_capacity, g->value_count + 1,
                    sizeof *g->values, err));
    TRY(memory_grow((void **)&copy->nodes, &copy->node_capacity, g->node_count + 1,
                    sizeof *g->nodes, err));
    for (size_t i = 0; i < g->value_count; i++) {
        copy->values[i] = g->values[i];
        TRY(arena_printf(copy->memory, &copy->values[i].name, err, "%s", g->values[i].name));
    }
    for (size_t i = 0; i < g->node_count; i++) {
        copy->nodes[i] = g->nodes[i];
        size_t bytes = g->nodes[i].op->attrs_bytes;
        if (!bytes) continue;
        TRY(arena_alloc(copy->memory, &copy->nodes[i].attrs, bytes, err));
        memcpy(copy->nodes[i].attrs, g->nodes[i].attrs, bytes);
    }
    copy->value_count = g->value_count;
    copy->node_count = g->node_count;
    copy->salt = g->salt;
    copy->clock = g->clock;
    copy->group = g->group;
    copy->recipe = g->recipe;
    if (g->recipe.counted)
        TRY(arena_printf(copy->memory, &copy->recipe.counted, err, "%s", g->recipe.counted));
    if (g->recipe.optimizer) {
        void *attrs = NULL;
        TRY(arena_alloc(copy->memory, &attrs, g->recipe.optimizer->attrs_bytes, err));
        memcpy(attrs, g->recipe.optimizer_attrs, g->recipe.optimizer->attrs_bytes);
        copy->recipe.optimizer_attrs = attrs;
        if (g->recipe.clip) {
            TRY(arena_alloc(copy->memory, &attrs, g->recipe.clip->attrs_bytes, err));
            memcpy(attrs, g->recipe.clip_attrs, g->recipe.clip->attrs_bytes);
            copy->recipe.clip_attrs = attrs;
        }
    }
    return BE_OK;
}

size_t graph_turn_end(const be_graph *g)
{
    size_t n = 0;
    if (g->lowered.turns == 1) return g->node_count;
    while (g->nodes[n].op != g->recipe.take_turn) n++;
    return n + 1;
}

int graph_node_turns(const be_graph *g, size_t n)
{
    if (n < g->lowered.begin) return 0;
    return n < graph_turn_end(g) ? g->lowered.turns : 1;
}

be_status graph_clone(const be_graph *g, be_graph **out, be_error *err)
{
    *out = NULL;
    be_graph *copy = be_graph_new(g->seed);
    TRY(be_graph_check(copy, err));
    be_status status = clone_into(g, copy, err);
    if (status == BE_OK)
        *out = copy;
    else
        be_graph_free(copy);
    return status;
}
