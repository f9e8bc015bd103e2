/* Precisions: the pass that makes the operands of products narrow, and what tf32 keeps.
 *
 * The pass runs behind the gradients, so that gradient functions see f32 alone, and forward and
 * backward nodes find the same narrow copy of a value. */
#include "graph/precision.h"

#include <math.h>
#include <string.h>

#include "graph/passes.h"

static const char *const names[] = {
#define X(name, text) text,
    BE_PRECISION_LIST(X)
#undef X
};

const char *precision_name(be_precision precision)
{
    return names[precision];
}

be_status precision_find(const char *name, be_precision *out, be_error *err)
{
    for (int i = 0; i < BE_PRECISION_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (be_precision)i;
            return BE_OK;
        }
    FAIL(err, BE_USAGE, "precision: expected fp32, tf32 or bf16, found \"%s\"", name);
}

#define TF32_DIGITS 10 /* behind the point */
#define SUM_DIGITS 19
#define DOUBLE_DIGITS 52

/* So many of a double's digits behind the point stay. */
static double round_to(int digits, double value)
{
    union {
        double value;
        uint64_t bits;
    } x = {.value = value};
    int dropped = DOUBLE_DIGITS - digits;
    if (!isfinite(value)) return value;
    uint64_t is_odd = x.bits >> dropped & 1;
    x.bits += ((UINT64_C(1) << (dropped - 1)) - 1) + is_odd;
    x.bits &= ~((UINT64_C(1) << dropped) - 1);
    return x.value;
}

void precision_round(be_precision precision, double *values, int64_t count)
{
    if (precision != BE_PRECISION_TF32) return;
    for (int64_t i = 0; i < count; i++) values[i] = round_to(TF32_DIGITS, values[i]);
}

void precision_round_sums(double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) values[i] = round_to(SUM_DIGITS, values[i]);
}

be_value graph_wide_input(const be_graph *g, const graph_node *node, int i)
{
    be_value value = node->in[i];
    if (value == BE_NONE || !(node->op->narrow >> i & 1)) return value;
    const graph_value *v = &g->values[value];
    for (size_t i = 0; g->lowered.narrow != BE_NONE && v->alias_of == g->lowered.narrow; i++)
        if (graph_is_weight(g, (be_value)i) &&
            shape_elements(&g->values[i].shape) == shape_elements(&v->shape) &&
            g->values[i].alias_bytes / dtype_bytes(BE_F32) == v->alias_bytes / dtype_bytes(BE_BF16))
            return (be_value)i;
    int producer = v->producer;
    bool is_copy = producer >= 0 && g->nodes[producer].op == node->op->cast;
    return is_copy ? g->nodes[producer].in[0] : value;
}

/* The bf16 copy of a value, made at its first use. */
static be_status narrow_copy(be_graph *g, const be_op *cast, be_value *copies, be_value value,
                             be_value *out, be_error *err)
{
    const be_dtype to = BE_BF16;
    if (copies[value] == BE_NONE) {
        be_value in[OP_MAX_IN] = {value}, made[OP_MAX_OUT];
        MUST(cast->attrs_bytes == sizeof to);
        TRY(graph_add_node(g, cast, &to, in, made, err));
        copies[value] = made[0];
    }
    *out = copies[value];
    return BE_OK;
}

/* The operands of products: the nodes are taken away and put back one by one, each behind the
 * copies that it needs; one that rounds them itself needs none. */
static be_status narrow_operands(be_graph *g, const lower_target *target, const be_op *cast,
                                 be_error *err)
{
    void *memory = NULL, *all = NULL;
    size_t count = g->node_count, values = g->value_count;
    TRY(arena_alloc(g->memory, &memory, (count + 1) * sizeof(graph_node), err));
    TRY(arena_alloc(g->memory, &all, (values + 1) * sizeof(be_value), err));
    graph_node *nodes = memory;
    be_value *copies = all;
    memcpy(nodes, g->nodes, count * sizeof *nodes);
    for (size_t i = 0; i < values; i++) copies[i] = BE_NONE;
    g->node_count = 0;
    for (size_t n = 0; n < count; n++) {
        graph_node *node = &nodes[n];
        bool rounds = target->rounds && target->rounds(target->device, g, node);
        for (int i = 0; i < node->op->inputs && !rounds; i++) {
            be_value x = node->in[i];
            if (x == BE_NONE || !(node->op->narrow >> i & 1)) continue;
            if (g->values[x].shape.dtype == BE_F32)
                TRY(narrow_copy(g, cast, copies, x, &node->in[i], err));
        }
        TRY(memory_grow((void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes,
                        err));
        g->nodes[g->node_count++] = *node;
        TRY(graph_refresh_node(g, g->node_count - 1, err));
    }
    graph_compact(g);
    return BE_OK;
}

/* The op that converts types: ops with operands of products name it. */
static const be_op *find_cast(const be_graph *g)
{
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op && g->nodes[n].op->narrow) return g->nodes[n].op->cast;
    return NULL;
}

static bool is_narrowing(const be_graph *g, const graph_node *node)
{
    return node->op && node->op == find_cast(g) && g->values[node->in[0]].shape.dtype == BE_F32 &&
           g->values[node->out[0]].shape.dtype == BE_BF16;
}

/* Does the reader take a result of the maker as bf16 in its input i?  A cast to that always does.
 */
static bool takes_narrow(const be_graph *g, const lower_target *target, const graph_node *maker,
                         const graph_node *reader, int i)
{
    bool is_narrow_by_nature = maker->op->narrow || maker->op->keeps_narrow;
    return is_narrowing(g, reader) || (is_narrow_by_nature && reader->op->narrow_in >> i & 1 &&
                                       target->mixes(target->device, g, reader));
}

/* May output o of node n be bf16?  Somebody reads it, and all that do take it so.  Not what the
 * user reads, what lies in another value, or what others lie in. */
static bool may_be_narrow(const be_graph *g, const lower_target *target, size_t n, int o)
{
    const graph_node *maker = &g->nodes[n];
    be_value value = maker->out[o];
    int readers = 0;
    if (!(maker->op->narrow_out >> o & 1) || value == BE_NONE) return false;
    const graph_value *v = &g->values[value];
    if (v->keep || v->alias_of != BE_NONE || v->kind != VALUE_RESULT) return false;
    if (!target->mixes(target->device, g, maker)) return false;
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].alias_of == value) return false;
    for (size_t k = 0; k < g->node_count; k++)
        for (int i = 0; i < OP_MAX_IN; i++) {
            const graph_node *reader = &g->nodes[k];
            if (!reader->op || reader->in[i] != value) continue;
            if (!takes_narrow(g, target, maker, reader, i)) return false;
            readers++;
        }
    return readers > 0;
}

/* Who read the rounded copies of a value reads it itself: nothing is left for these to do. */
static void drop_copies(be_graph *g, be_value value)
{
    for (size_t k = 0; k < g->node_count; k++) {
        graph_node *copy = &g->nodes[k];
        if (!copy->op || copy->in[0] != value || !is_narrowing(g, copy)) continue;
        for (size_t r = 0; r < g->node_count; r++)
            for (int i = 0; i < OP_MAX_IN; i++)
                if (g->nodes[r].op && g->nodes[r].in[i] == copy->out[0]) g->nodes[r].in[i] = value;
        copy->op = NULL;
        for (int i = 0; i < OP_MAX_IN; i++) copy->in[i] = BE_NONE;
    }
}

/* The copy that a cast makes of output 0, others reading that as it is, is made with it. */
static void make_copy(be_graph *g, graph_node *node)
{
    int o = node->op->narrow_copy - 1;
    be_value value = node->out[0];
    if (o < 0 || value == BE_NONE || g->values[value].shape.dtype == BE_BF16) return;
    for (size_t k = 0; k < g->node_count; k++) {
        graph_node *copy = &g->nodes[k];
        if (!copy->op || copy->in[0] != value || !is_narrowing(g, copy)) continue;
        node->out[o] = copy->out[0];
        node->narrow |= 1u << o;
        *copy = (graph_node){.op = NULL};
        return;
    }
}

/* The inputs that go along with narrow outputs, as copies in front of everything: they are
 * parameters. */
static be_status narrow_along(be_graph *g, size_t n, be_error *err)
{
    for (int i = 0; i < OP_MAX_IN; i++) {
        const be_dtype to = BE_BF16;
        const be_op *op = g->nodes[n].op;
        be_value in[OP_MAX_IN] = {g->nodes[n].in[i]}, made[OP_MAX_OUT];
        if (!(op->narrow_along >> i & 1) || in[0] == BE_NONE) continue;
        if (g->values[in[0]].shape.dtype != BE_F32) continue;
        TRY(graph_add_node(g, op->cast, &to, in, made, err));
        g->nodes[n].in[i] = made[0];
    }
    return BE_OK;
}

/* The nodes from `count` on to the front. */
static be_status move_to_front(be_graph *g, size_t count, be_error *err)
{
    size_t others = g->node_count - count;
    void *memory = NULL;
    if (others == 0) return BE_OK;
    TRY(arena_alloc(g->memory, &memory, others * sizeof(graph_node), err));
    memcpy(memory, g->nodes + count, others * sizeof(graph_node));
    memmove(g->nodes + others, g->nodes, count * sizeof(graph_node));
    memcpy(g->nodes, memory, others * sizeof(graph_node));
    return BE_OK;
}

static be_status narrow_results(be_graph *g, const lower_target *target, be_error *err)
{
    size_t count = g->node_count;
    for (size_t n = 0; n < count; n++) {
        for (int o = 0; o < OP_MAX_OUT; o++) {
            be_value value = g->nodes[n].out[o];
            if (!g->nodes[n].op || !may_be_narrow(g, target, n, o)) continue;
            drop_copies(g, value);
            g->values[value].shape.dtype = BE_BF16;
            g->nodes[n].narrow |= 1u << o;
        }
        if (g->nodes[n].op && g->nodes[n].narrow) TRY(narrow_along(g, n, err));
        if (g->nodes[n].op) make_copy(g, &g->nodes[n]);
    }
    TRY(move_to_front(g, count, err));
    graph_compact(g);
    return BE_OK;
}

be_status pass_precision(be_graph *g, be_precision precision, const lower_target *target,
                         be_error *err)
{
    if ((int)precision < 0 || precision >= BE_PRECISION_COUNT)
        FAIL(err, BE_USAGE, "precision: expected one of be_precision, found %d", (int)precision);
    g->precision = precision;
    const be_op *cast = find_cast(g);
    if (precision != BE_PRECISION_BF16 || !cast) return BE_OK;
    TRY(narrow_operands(g, target, cast, err));
    if (target->mixes) TRY(narrow_results(g, target, err));
    return pass_narrow(g, cast, err);
}
