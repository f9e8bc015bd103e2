/* See graph_fixture.h. */
#include "graph_fixture.h"

be_status same_infer(op_infer *call, be_error *err)
{
    (void)err;
    call->out[0] = call->in[0];
    for (int o = 1; o < OP_MAX_OUT; o++) call->out[o].rank = -1;
    return BE_OK;
}

op_cost no_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs, (void)in, (void)out;
    return (op_cost){0, 0};
}

be_graph *graph_of_rows(be_value *x)
{
    be_graph *g = be_graph_new(1);
    *x = be_input(g, "x", shape_make(BE_F32, 2, 4, 5, 0, 0));
    return g;
}

be_value add(be_graph *g, const be_op *op, be_value a, be_value b)
{
    be_value in[OP_MAX_IN] = {a, b};
    return graph_build(g, op, NULL, in, NULL);
}

int count_op(const be_graph *g, const be_op *op)
{
    int count = 0;
    for (size_t n = 0; n < g->node_count; n++) count += g->nodes[n].op == op;
    return count;
}

be_graph *lower(const be_graph *g, const be_plan_options *options, const lower_target *target)
{
    be_error err;
    be_graph *lowered = NULL;
    static const lower_target plain;
    ASSERT_OK(graph_lower(g, options, target ? target : &plain, &lowered, &err));
    return lowered;
}

void check_order(const be_graph *g)
{
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        assert_non_null(node->op);
        for (int i = 0; i < OP_MAX_IN; i++) {
            if (node->in[i] == BE_NONE) continue;
            const graph_value *value = &g->values[node->in[i]];
            if (value->kind == VALUE_RESULT)
                assert_true(value->producer >= 0 && value->producer < (int)n);
        }
        for (int o = 0; o < OP_MAX_OUT; o++)
            if (node->out[o] != BE_NONE) assert_int_equal(g->values[node->out[o]].producer, (int)n);
    }
}
