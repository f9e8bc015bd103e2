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

/* By its bits: 10 of the 52 digits behind the point stay. */
static double round_to_tf32(double value)
{
    union {
        double value;
        uint64_t bits;
    } x = {.value = value};
    if (!isfinite(value)) return value;
    uint64_t is_odd = x.bits >> 42 & 1;
    x.bits = (x.bits + ((UINT64_C(1) << 41) - 1) + is_odd) & ~((UINT64_C(1) << 42) - 1);
    return x.value;
}

void precision_round(be_precision precision, double *values, int64_t count)
{
    if (precision != BE_PRECISION_TF32) return;
    for (int64_t i = 0; i < count; i++) values[i] = round_to_tf32(values[i]);
}

be_value graph_wide_input(const be_graph *g, const graph_node *node, int i)
{
    be_value value = node->in[i];
    if (value == BE_NONE || !(node->op->narrow >> i & 1)) return value;
    int producer = g->values[value].producer;
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

static be_status narrow_node(be_graph *g, graph_node *node, be_value *copies, be_error *err)
{
    for (int i = 0; i < node->op->inputs; i++) {
        bool is_operand = node->in[i] != BE_NONE && node->op->narrow >> i & 1;
        if (!is_operand || g->values[node->in[i]].shape.dtype != BE_F32) continue;
        TRY(narrow_copy(g, node->op->cast, copies, node->in[i], &node->in[i], err));
    }
    return BE_OK;
}

/* The nodes are taken away and put back one by one, each behind the copies that it needs. */
static be_status narrow_all(be_graph *g, be_error *err)
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
        TRY(narrow_node(g, &nodes[n], copies, err));
        TRY(memory_grow((void **)&g->nodes, &g->node_capacity, g->node_count + 1, sizeof *g->nodes,
                        err));
        g->nodes[g->node_count++] = nodes[n];
        TRY(graph_refresh_node(g, g->node_count - 1, err));
    }
    graph_compact(g);
    return BE_OK;
}

be_status pass_precision(be_graph *g, be_precision precision, be_error *err)
{
    if ((int)precision < 0 || precision >= BE_PRECISION_COUNT)
        FAIL(err, BE_USAGE, "precision: expected one of be_precision, found %d", (int)precision);
    g->precision = precision;
    return precision == BE_PRECISION_BF16 ? narrow_all(g, err) : BE_OK;
}
