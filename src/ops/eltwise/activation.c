/* Activations by formula: y = f(x), and back dx = dy · f'(x).  The formulas: activation_list.gpu.c.
 */
#include "ops/eltwise/activation.h"

#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

#define PARAMETERS(names)
#define DEVICE static
#define NUMBER double
#define CONSTANT(c) c
#define FLOATS 0
#define TANH tanh
#define ERF erf
#define ABS fabs
#define SELECT(condition, a, b) ((condition) ? (a) : (b))
#define DECAY(x) exp(-(x))
#define RECIPROCAL(x) (1.0 / (x))
#include "ops/eltwise/activation_list.gpu.c"

static be_status activation_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "activation: x", err));
    call->out[0] = call->in[0];
    call->out[0].dtype = BE_F32;
    return BE_OK;
}

static be_status activation_backward_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "activation_backward: x", err));
    call->out[0] = call->in[0];
    call->out[0].dtype = BE_F32;
    TRY(op_expect_same(&call->in[1], &call->out[0], "activation_backward: dy", err));
    const be_shape *dx = &call->out[0];
    call->out[1] = shape_make(BE_F32, 1, dx->dim[dx->rank - 1], 0, 0, 0);
    if (!((const activation_attrs *)call->attrs)->has_sums) call->out[1].rank = -1;
    return BE_OK;
}

static be_status activation_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->node->in[0], call->dy[0]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_activation_backward, call->node->attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

be_activation activation_of(const graph_node *node)
{
    if (node->op == &be_op_relu) return BE_RELU;
    if (node->op != &be_op_activation) return BE_IDENTITY;
    return ((const activation_attrs *)node->attrs)->kind;
}

bool activation_absorb(be_activation *own, const graph_node *next)
{
    if (*own != BE_IDENTITY) return false;
    *own = activation_of(next);
    return *own != BE_IDENTITY;
}

be_status activation_fused_gradient(op_gradient *call, const activation_attrs *attrs, int *keep_z,
                                    int z, be_value made[2], be_error *err)
{
    be_graph *g = call->graph;
    size_t index = (size_t)g->values[call->node->out[0]].producer;
    be_value out[OP_MAX_OUT];
    *keep_z = 1;
    TRY(graph_refresh_node(g, index, err));
    be_value in[OP_MAX_IN] = {g->nodes[index].out[z], call->dy[0]};
    TRY(graph_add_node(g, &be_op_activation_backward, attrs, in, out, err));
    made[0] = out[0];
    made[1] = out[1];
    return BE_OK;
}

typedef double (*formula)(double x);

static double identity_f(double x)
{
    return x;
}

static double relu_f(double x)
{
    return x < 0.0 ? 0.0 : x;
}

static formula find_formula(be_activation kind)
{
    switch (kind) {
#define X(kind, name) \
    case BE_##kind:   \
        return name##_f;
        ACTIVATION_LIST(X)
#undef X
    case BE_IDENTITY:
        return identity_f;
    case BE_RELU:
        return relu_f;
    }
    MUST(!"be_activate makes no other kind");
    return NULL;
}

static formula find_derivative(be_activation kind)
{
#define X(id, name) \
    if (kind == BE_##id) return name##_df;
    ACTIVATION_LIST(X)
#undef X
    MUST(!"be_activate makes no other kind");
    return NULL;
}

void activation_finish(be_activation kind, double *y, double *z, int64_t count)
{
    formula f = find_formula(kind);
    for (int64_t i = 0; i < count; i++) {
        if (z) z[i] = y[i];
        y[i] = f(y[i]);
    }
}

static void activation_reference(const op_reference *call)
{
    formula f = find_formula(((const activation_attrs *)call->attrs)->kind);
    int64_t count = shape_elements(&call->out[0]);
    for (int64_t i = 0; i < count; i++) call->y[0][i] = f(call->x[0][i]);
}

static void activation_backward_reference(const op_reference *call)
{
    formula df = find_derivative(((const activation_attrs *)call->attrs)->kind);
    int64_t count = shape_elements(&call->out[0]);
    int64_t columns = call->out[1].rank < 0 ? 0 : call->out[1].dim[0];
    for (int64_t i = 0; i < columns; i++) call->y[1][i] = 0.0;
    for (int64_t i = 0; i < count; i++) {
        double dx = call->x[1][i] * df(call->x[0][i]);
        if (columns) call->y[1][i % columns] += dx;
        call->y[0][i] = dx;
    }
}

static op_cost activation_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    const activation_attrs *a = attrs;
    double each = activation_flops(a->kind) + (a->has_sums ? 1.0 : 0.0);
    return (op_cost){.flops = each * (double)shape_elements(&out[0]), .bytes = op_bytes(in, out)};
}

#define X(kind, name) \
    static const activation_attrs name##_attrs = {BE_##kind, 0}, name##_sums = {BE_##kind, 1};
ACTIVATION_LIST(X)
#undef X

#define ACTIVATION_CASE(text, attributes, ...)                                         \
    {                                                                                  \
        .name = text, .attrs = &attributes, .in = {__VA_ARGS__}, .low = -6, .high = 6, \
        .tolerance = 1e-6                                                              \
    }
#define ROWS        \
    {               \
        BE_F32, 2,  \
        {           \
            37, 301 \
        }           \
    }
#define PICTURES        \
    {                   \
        BE_F32, 4,      \
        {               \
            3, 17, 5, 7 \
        }               \
    }

#define WORDS          \
    {                  \
        BE_F32, 3,     \
        {              \
            5, 223, 24 \
        }              \
    }

static const op_case activation_cases[] = {
#define X(kind, name)                                   \
    ACTIVATION_CASE(#name " rows", name##_attrs, ROWS), \
        ACTIVATION_CASE(#name " pictures", name##_attrs, PICTURES),
    ACTIVATION_LIST(X)
#undef X
};

static const op_case activation_backward_cases[] = {
#define X(kind, name)                                                         \
    ACTIVATION_CASE(#name " rows", name##_attrs, ROWS, ROWS),                 \
        ACTIVATION_CASE(#name " pictures", name##_attrs, PICTURES, PICTURES), \
        ACTIVATION_CASE(#name " rows and sums", name##_sums, ROWS, ROWS),     \
        ACTIVATION_CASE(#name " words and sums", name##_sums, WORDS, WORDS),
    ACTIVATION_LIST(X)
#undef X
};

const be_op be_op_activation = {.name = "activation",
                                .attrs_bytes = sizeof(activation_attrs),
                                .inputs = 1,
                                .outputs = 1,
                                .narrow_in = 1,
                                .narrow_out = 1,
                                .in_place = {1},
                                .infer = activation_infer,
                                .gradient = activation_gradient,
                                .reference = activation_reference,
                                .cost = activation_cost,
                                .cases = activation_cases,
                                .case_count = OP_CASES(activation_cases),
                                .differentiable = 1};

const be_op be_op_activation_backward = {.name = "activation_backward",
                                         .attrs_bytes = sizeof(activation_attrs),
                                         .inputs = 2,
                                         .outputs = 2,
                                         .narrow_in = 3,
                                         .narrow_out = 1,
                                         .in_place = {3},
                                         .infer = activation_backward_infer,
                                         .reference = activation_backward_reference,
                                         .cost = activation_cost,
                                         .cases = activation_backward_cases,
                                         .case_count = OP_CASES(activation_backward_cases)};

be_value be_activate(be_graph *g, be_value x, be_activation kind)
{
    be_error err;
    switch (kind) {
    case BE_IDENTITY:
        return x;
    case BE_RELU:
        return be_relu(g, x);
#define X(kind, name) case BE_##kind:
        ACTIVATION_LIST(X)
#undef X
        return graph_build(g, &be_op_activation, &(activation_attrs){kind, 0},
                           (be_value[OP_MAX_IN]){x}, NULL);
    }
    status_fail(&err, __FILE__, __LINE__, BE_USAGE,
                "be_activate: expected a kind of be_activation, found %d", (int)kind);
    if (g) graph_blame(g, &err);
    return BE_NONE;
}
