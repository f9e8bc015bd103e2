/* The loss of two towers that look for each other, as CLIP's (Radford et al., "Learning
 * Transferable Visual Models From Natural Language Supervision", 2021, figure 3): the mean of two
 * cross-entropies over a square of similarities, one along its rows and one along its columns,
 * whose targets are the diagonal.
 *
 * logits f32 [B, B] (pictures × captions) -> loss f32 [1], right i32 [1] (rows whose largest is on
 * the diagonal: retrieval at 1 from pictures to captions), right i32 [1] of the columns, dlogits
 * f32 [B, B], which may take the memory of the logits.  Of equal ones the first counts as the
 * largest. */
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status symmetric_cross_entropy_infer(op_infer *call, be_error *err)
{
    char text[64];
    const be_shape *logits = &call->in[0];
    TRY(op_expect(logits, BE_F32, 2, "symmetric_cross_entropy: logits", err));
    if (logits->dim[0] != logits->dim[1])
        FAIL(err, BE_USAGE,
             "symmetric_cross_entropy: logits: expected as many rows as columns, found %s",
             shape_text(logits, text));
    call->out[0] = shape_make(BE_F32, 1, 1, 0, 0, 0);
    call->out[1] = call->out[2] = shape_make(BE_I32, 1, 1, 0, 0, 0);
    call->out[3] = *logits;
    return BE_OK;
}

static be_status symmetric_cross_entropy_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->node->out[3], call->dy[0]}, out[OP_MAX_OUT];
    call->dx[0] = call->node->out[3];
    if (call->is_root) return BE_OK;
    TRY(graph_add_node(call->graph, &be_op_multiply, NULL, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* One line of the square, whose target is its element `at`: adds half of its share of the gradient,
 * and returns its loss. */
static double line_reference(const double *x, double *dx, int64_t count, int64_t step, int64_t at,
                             bool *is_right)
{
    double max = x[0], sum = 0.0;
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (x[i * step] > max) {
            max = x[i * step];
            best = i;
        }
    for (int64_t i = 0; i < count; i++) sum += exp(x[i * step] - max);
    for (int64_t i = 0; i < count; i++)
        dx[i * step] +=
            (exp(x[i * step] - max) / sum - (i == at ? 1.0 : 0.0)) / (2.0 * (double)count);
    *is_right = best == at;
    return log(sum) - (x[at * step] - max);
}

static void symmetric_cross_entropy_reference(const op_reference *call)
{
    int64_t count = call->in[0].dim[0], right[2] = {0, 0};
    double *dx = call->y[3], loss = 0.0;
    for (int64_t i = 0; i < count * count; i++) dx[i] = 0.0;
    for (int64_t i = 0; i < count; i++) {
        bool is_right[2];
        const double *x = call->x[0];
        loss += line_reference(x + i * count, dx + i * count, count, 1, i, &is_right[0]);
        loss += line_reference(x + i, dx + i, count, count, i, &is_right[1]);
        for (int k = 0; k < 2; k++) right[k] += is_right[k];
    }
    call->y[0][0] = loss / (2.0 * (double)count);
    call->y[1][0] = (double)right[0];
    call->y[2][0] = (double)right[1];
}

static op_cost symmetric_cross_entropy_cost(const void *attrs, const be_shape *in,
                                            const be_shape *out)
{
    (void)attrs;
    /* As softmax_cross_entropy, along both sides. */
    return (op_cost){.flops = 10.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define SQUARE_CASE(text, count, least, most)                                          \
    {                                                                                  \
        .name = text, .in = {{BE_F32, 2, {count, count}}}, .low = least, .high = most, \
        .tolerance = 1e-6                                                              \
    }

static const op_case symmetric_cross_entropy_cases[] = {
    SQUARE_CASE("one pair", 1, -3, 3),       SQUARE_CASE("clip's batch", 12, -3, 3),
    SQUARE_CASE("odd", 37, -20, 20),         SQUARE_CASE("far apart", 9, -300, 300),
    SQUARE_CASE("zeros largest", 24, -3, 0), SQUARE_CASE("many pairs", 301, -3, 3),
};

const be_op be_op_symmetric_cross_entropy = {.name = "symmetric_cross_entropy",
                                             .inputs = 1,
                                             .outputs = 4,
                                             .in_place = {[3] = 1},
                                             .auxiliary = 1 << 3,
                                             .makes_loss = true,
                                             .infer = symmetric_cross_entropy_infer,
                                             .gradient = symmetric_cross_entropy_gradient,
                                             .reference = symmetric_cross_entropy_reference,
                                             .cost = symmetric_cross_entropy_cost,
                                             .cases = symmetric_cross_entropy_cases,
                                             .case_count = OP_CASES(symmetric_cross_entropy_cases),
                                             .differentiable = 1};

be_value be_symmetric_cross_entropy(be_graph *g, be_value logits, be_value right[2])
{
    be_value out[OP_MAX_OUT];
    be_value loss =
        graph_build(g, &be_op_symmetric_cross_entropy, NULL, (be_value[OP_MAX_IN]){logits}, out);
    for (int k = 0; right && k < 2; k++) right[k] = out[1 + k];
    return loss;
}
