/* Dropout (Srivastava et al., JMLR 2014): y = 0 with probability p, else x / (1 − p).
 *
 * x f32, clock i32 [1] -> y like x.  The mask is no tensor: element i (index of the plain layout)
 * of step t is kept if word i mod 4 of block t · 2^32 + i / 4 of the stream RNG_DROPOUT says so
 * (dropout.h).  So the gradient is the same op on dy, and every device draws the same mask.  Of a
 * part of a batch, i counts from the start of the whole batch. */
#include "ops/random/dropout.h"
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status dropout_infer(op_infer *call, be_error *err)
{
    const dropout_attrs *attrs = call->attrs;
    be_shape clock = shape_make(BE_I32, 1, 1, 0, 0, 0);
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "dropout: x", err));
    TRY(op_expect_same(&call->in[1], &clock, "dropout: clock", err));
    if (!(attrs->p >= 0.0f && attrs->p < 1.0f))
        FAIL(err, BE_USAGE, "dropout: expected a probability of at least 0 and below 1, found %g",
             (double)attrs->p);
    call->out[0] = call->in[0];
    return BE_OK;
}

static be_status dropout_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->in[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_dropout, call->node->attrs, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static void dropout_reference(const op_reference *call)
{
    const dropout_attrs *attrs = call->attrs;
    int64_t count = shape_elements(&call->in[0]);
    dropout_place place = dropout_at(attrs, (uint32_t)call->x[1][0]);
    int64_t first = dropout_first(attrs, place.part, count);
    uint32_t t = place.step, word[4] = {0};
    double scale = 1.0 / (1.0 - (double)attrs->p);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = first + i;
        if (i == 0 || at % 4 == 0)
            rng_block(dropout_key(attrs), dropout_block(t, (uint32_t)(at / 4)), word);
        double uniform = (double)(word[at % 4] >> 8) / 16777216.0;
        call->y[0][i] = uniform >= (double)attrs->p ? call->x[0][i] * scale : 0.0;
    }
}

static const dropout_attrs quarter = {.seed = 1, .salt = 0, .p = 0.25f};
static const dropout_attrs half = {.seed = 0x123456789abcdefu, .salt = 7, .p = 0.5f};
static const dropout_attrs none = {.seed = 3, .salt = 1, .p = 0.0f};
static const dropout_attrs most = {.seed = 4, .salt = 2, .p = 0.99f};
static const dropout_attrs second = {.seed = 5, .salt = 1, .p = 0.5f, .rank = 1};
static const dropout_attrs fourth = {.seed = 6, .salt = 3, .p = 0.25f, .rank = 3};
static const dropout_attrs turns = {.seed = 7, .salt = 4, .p = 0.5f, .rank = 1, .turns = 3};
static const dropout_attrs cut = {.seed = 7, .salt = 1, .p = 0.5f, .before = 11, .each = 37};

#define DROPOUT_CASE(text, attributes, ...)                                                   \
    {                                                                                         \
        .name = text, .attrs = &attributes, .in = {__VA_ARGS__, {BE_I32, 1, {1}}}, .low = -1, \
        .high = 1, .below = {0, 100000}, .tolerance = 1e-6                                    \
    }

static const op_case dropout_cases[] = {
    DROPOUT_CASE("image", quarter, {BE_F32, 4, {3, 17, 5, 7}}),
    DROPOUT_CASE("rows", half, {BE_F32, 2, {100, 128}}),
    DROPOUT_CASE("odd", half, {BE_F32, 2, {37, 301}}),
    DROPOUT_CASE("one", quarter, {BE_F32, 1, {1}}),
    DROPOUT_CASE("none dropped", none, {BE_F32, 1, {67}}),
    DROPOUT_CASE("most dropped, several threads", most, {BE_F32, 2, {41, 1009}}),
    DROPOUT_CASE("second part", second, {BE_F32, 2, {25, 128}}),
    DROPOUT_CASE("second part, odd", second, {BE_F32, 2, {37, 301}}),
    DROPOUT_CASE("a turn of three, odd", turns, {BE_F32, 2, {23, 301}}),
    DROPOUT_CASE("a part of another size", cut, {BE_F32, 2, {37, 301}}),
    DROPOUT_CASE("fourth part, several threads", fourth, {BE_F32, 2, {41, 1009}}),
};

static void dropout_set_part(void *attrs, int rank, int turns)
{
    ((dropout_attrs *)attrs)->rank = (uint32_t)rank;
    ((dropout_attrs *)attrs)->turns = (uint32_t)turns;
}

static void dropout_set_cut(void *attrs, int64_t before, int64_t each)
{
    ((dropout_attrs *)attrs)->before = (int32_t)before;
    ((dropout_attrs *)attrs)->each = (int32_t)each;
}

const be_op be_op_dropout = {.name = "dropout",
                             .attrs_bytes = sizeof(dropout_attrs),
                             .inputs = 2,
                             .outputs = 1,
                             .in_place = {1},
                             .inferring = &op_passed_through,
                             .set_part = dropout_set_part,
                             .set_cut = dropout_set_cut,
                             .infer = dropout_infer,
                             .gradient = dropout_gradient,
                             .reference = dropout_reference,
                             .cost = op_cost_elementwise,
                             .cases = dropout_cases,
                             .case_count = OP_CASES(dropout_cases),
                             .differentiable = 1};

be_value be_dropout(be_graph *g, be_value x, float p)
{
    if (!g || g->error.status != BE_OK) return BE_NONE;
    dropout_attrs attrs = {.seed = g->seed, .salt = (uint32_t)g->salt++, .p = p};
    return graph_build(g, &be_op_dropout, &attrs, (be_value[OP_MAX_IN]){x, graph_clock(g)}, NULL);
}
