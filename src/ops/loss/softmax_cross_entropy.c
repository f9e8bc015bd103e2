/* Softmax and cross-entropy in one: the loss of a classifier, its gradient, and the right answers.
 *
 * logits f32 [..., C], target i32 [...] -> loss f32 [1], correct i32 [1], dlogits f32 [..., C]. The
 * loss is the mean of log(sum exp(logits[n])) − logits[n][target[n]] over the rows with target >=
 * 0, and 0 if there is none.  A target of C or more belongs to no class: the loss and the row's
 * gradient become NaN, so that it is noticed, and nothing outside the row is read.
 *
 * Of a large vocabulary the logits are the largest tensor of all, so dlogits takes their memory
 * where nobody else reads them, and there is none when inferring: then the op becomes
 * softmax_cross_entropy_loss. */
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status softmax_cross_entropy_infer(op_infer *call, be_error *err)
{
    char text[64];
    const be_shape *logits = &call->in[0];
    TRY(op_expect(logits, BE_F32, OP_ANY_RANK, "softmax_cross_entropy: logits", err));
    if (logits->rank < 2)
        FAIL(
            err, BE_USAGE,
            "softmax_cross_entropy: logits: expected a row of classes for each target, of at least "
            "2 dimensions in all, found %s",
            shape_text(logits, text));
    be_shape rows = *logits;
    rows.dtype = BE_I32;
    rows.rank--;
    TRY(op_expect_same(&call->in[1], &rows, "softmax_cross_entropy: target", err));
    call->out[0] = shape_make(BE_F32, 1, 1, 0, 0, 0);
    call->out[1] = shape_make(BE_I32, 1, 1, 0, 0, 0);
    call->out[2] = *logits;
    call->out[2].dtype = BE_F32;
    return BE_OK;
}

static be_status softmax_cross_entropy_loss_infer(op_infer *call, be_error *err)
{
    TRY(softmax_cross_entropy_infer(call, err));
    call->out[2].rank = -1;
    return BE_OK;
}

static be_status softmax_cross_entropy_gradient(op_gradient *call, be_error *err)
{
    be_value in[OP_MAX_IN] = {call->node->out[2], call->dy[0]}, out[OP_MAX_OUT];
    call->dx[0] = call->node->out[2];
    if (call->is_root) return BE_OK;
    TRY(graph_add_node(call->graph, &be_op_multiply, NULL, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

/* dx may be NULL. */
static double row_reference(const double *x, double *dx, int64_t classes, int64_t target,
                            double scale)
{
    double max = x[0], sum = 0.0;
    for (int64_t c = 1; c < classes; c++) max = x[c] > max ? x[c] : max;
    for (int64_t c = 0; c < classes; c++) sum += exp(x[c] - max);
    for (int64_t c = 0; dx && c < classes; c++)
        dx[c] = (exp(x[c] - max) / sum - (c == target ? 1.0 : 0.0)) * scale;
    return log(sum) - (x[target] - max);
}

static bool row_is_correct(const double *x, int64_t classes, int64_t target)
{
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++)
        if (x[c] > x[best]) best = c;
    return best == target;
}

static void softmax_cross_entropy_reference(const op_reference *call)
{
    int64_t classes = call->in[0].dim[call->in[0].rank - 1], rows_with_target = 0, correct = 0;
    int64_t rows = shape_elements(&call->in[0]) / classes;
    double loss = 0.0;
    for (int64_t n = 0; n < rows; n++) rows_with_target += call->x[1][n] >= 0.0;
    double scale = rows_with_target ? 1.0 / (double)rows_with_target : 0.0;
    for (int64_t n = 0; n < rows; n++) {
        const double *x = call->x[0] + n * classes;
        double *dx = call->y[2] ? call->y[2] + n * classes : NULL;
        int64_t target = (int64_t)call->x[1][n];
        if (target >= 0 && target < classes) {
            loss += row_reference(x, dx, classes, target, scale);
            correct += row_is_correct(x, classes, target);
            continue;
        }
        for (int64_t c = 0; dx && c < classes; c++) dx[c] = target < 0 ? 0.0 : (double)NAN;
        if (target >= 0) loss = (double)NAN;
    }
    call->y[0][0] = loss * scale;
    call->y[1][0] = (double)correct;
}

static op_cost softmax_cross_entropy_cost(const void *attrs, const be_shape *in,
                                          const be_shape *out)
{
    (void)attrs;
    /* Each logit: the largest, the difference, the exponential, the sum, the quotient. */
    return (op_cost){.flops = 5.0 * (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

static const op_case softmax_cross_entropy_cases[] = {
    {.name = "batch",
     .in = {{BE_F32, 2, {100, 10}}, {BE_I32, 1, {100}}},
     .low = -3,
     .high = 3,
     .below = {0, 10},
     .tolerance = 1e-6},
    {.name = "odd",
     .in = {{BE_F32, 2, {37, 13}}, {BE_I32, 1, {37}}},
     .low = -3,
     .high = 3,
     .below = {0, 13},
     .ignored = 1u << 1,
     .tolerance = 1e-6},
    {.name = "one",
     .in = {{BE_F32, 2, {1, 1}}, {BE_I32, 1, {1}}},
     .low = -3,
     .high = 3,
     .below = {0, 1},
     .tolerance = 1e-6},
    {.name = "far apart",
     .in = {{BE_F32, 2, {9, 33}}, {BE_I32, 1, {9}}},
     .low = -300,
     .high = 300,
     .below = {0, 33},
     .tolerance = 1e-6},
    {.name = "a vocabulary",
     .in = {{BE_F32, 2, {33, 2003}}, {BE_I32, 1, {33}}},
     .low = -3,
     .high = 0, /* zeros among them are the largest: the first of equals wins */
     .below = {0, 3},
     .tolerance = 1e-6},
    {.name = "a word, of a vocabulary",
     .in = {{BE_F32, 2, {1, 5003}}, {BE_I32, 1, {1}}},
     .low = -3,
     .high = 3,
     .below = {0, 5003},
     .tolerance = 1e-6},
    {.name = "sequences",
     .in = {{BE_F32, 3, {5, 7, 523}}, {BE_I32, 2, {5, 7}}},
     .low = -3,
     .high = 3,
     .below = {0, 523},
     .ignored = 1u << 1,
     .tolerance = 1e-6},
    {.name = "a class for each pixel",
     .in = {{BE_F32, 4, {3, 5, 4, 11}}, {BE_I32, 3, {3, 5, 4}}},
     .low = -3,
     .high = 3,
     .below = {0, 11},
     .tolerance = 1e-6},
    {.name = "many rows",
     .in = {{BE_F32, 2, {701, 101}}, {BE_I32, 1, {701}}},
     .low = -3,
     .high = 3,
     .below = {0, 101},
     .tolerance = 1e-6},
    {.name = "many classes, several threads",
     .in = {{BE_F32, 2, {67, 1000}}, {BE_I32, 1, {67}}},
     .low = -3,
     .high = 3,
     .below = {0, 1000},
     .ignored = 1u << 1,
     .tolerance = 1e-6},
};

const be_op be_op_softmax_cross_entropy = {.name = "softmax_cross_entropy",
                                           .inputs = 2,
                                           .outputs = 3,
                                           .auxiliary = 1 << 2,
                                           .makes_loss = true,
                                           .narrow_in = 1,
                                           .narrow_out = 1u << 2,
                                           .inferring = &be_op_softmax_cross_entropy_loss,
                                           .in_place = {[2] = 1},
                                           .infer = softmax_cross_entropy_infer,
                                           .gradient = softmax_cross_entropy_gradient,
                                           .reference = softmax_cross_entropy_reference,
                                           .cost = softmax_cross_entropy_cost,
                                           .cases = softmax_cross_entropy_cases,
                                           .case_count = OP_CASES(softmax_cross_entropy_cases),
                                           .differentiable = 1};

/* When inferring: the same without dlogits. */
const be_op be_op_softmax_cross_entropy_loss = {.name = "softmax_cross_entropy_loss",
                                                .inputs = 2,
                                                .outputs = 2,
                                                .is_outside_gradient = true,
                                                .narrow_in = 1,
                                                .infer = softmax_cross_entropy_loss_infer,
                                                .reference = softmax_cross_entropy_reference,
                                                .cost = softmax_cross_entropy_cost,
                                                .cases = softmax_cross_entropy_cases,
                                                .case_count =
                                                    OP_CASES(softmax_cross_entropy_cases)};

be_value be_softmax_cross_entropy(be_graph *g, be_value logits, be_value target)
{
    be_value out[OP_MAX_OUT];
    graph_clock(g);
    be_value loss = graph_build(g, &be_op_softmax_cross_entropy, NULL,
                                (be_value[OP_MAX_IN]){logits, target}, out);
    if (loss == BE_NONE || g->recipe.loss != BE_NONE) return loss;
    g->recipe.loss = loss;
    g->recipe.correct = out[1];
    g->recipe.counted = "accuracy";
    g->recipe.advance = &be_op_advance;
    return loss;
}
