/* One row of each sample: x [B, T, W] -> y [B, W], y[n] = x[n][index[n]], with index i32 [B], or
 * the same position of all.  An index of −1 is none (a place of the batch without a sample): y is
 * zero.  One below that or of T or more has no row: y is NaN, so that it is noticed, and nothing
 * outside x is read.
 *
 * Back, dx is dy in the row and zero in all others. */
#include <inttypes.h>
#include <math.h>

#include "ops/op_list.h"
#include "ops/op_util.h"
#include "ops/rows/rows.h"

static be_status expect_index(const be_shape *index, int64_t samples, const char *name,
                              be_error *err)
{
    be_shape like = shape_make(BE_I32, 1, samples, 0, 0, 0);
    return index->rank < 0 ? BE_OK : op_expect_same(index, &like, name, err);
}

static be_status gather_rows_infer(op_infer *call, be_error *err)
{
    const gather_rows_attrs *attrs = call->attrs;
    const be_shape *x = &call->in[0];
    char text[64];
    TRY(op_expect(x, BE_F32, 3, "gather_rows: x", err));
    TRY(expect_index(&call->in[1], x->dim[0], "gather_rows: index", err));
    if (call->in[1].rank < 0 && (attrs->position < 0 || attrs->position >= x->dim[1]))
        FAIL(err, BE_USAGE,
             "gather_rows: expected a position of 0 to %" PRId64
             " in the rows of %s, found %" PRId64,
             x->dim[1] - 1, shape_text(x, text), attrs->position);
    call->out[0] = shape_make(BE_F32, 2, x->dim[0], x->dim[2], 0, 0);
    return BE_OK;
}

static be_status gather_rows_gradient(op_gradient *call, be_error *err)
{
    const gather_rows_attrs *attrs = call->node->attrs;
    gather_rows_backward_attrs back = {attrs->position,
                                       be_value_shape(call->graph, call->node->in[0]).dim[1]};
    be_value in[OP_MAX_IN] = {call->dy[0], call->node->in[1]}, out[OP_MAX_OUT];
    TRY(graph_add_node(call->graph, &be_op_gather_rows_backward, &back, in, out, err));
    call->dx[0] = out[0];
    return BE_OK;
}

static int64_t row_of(const op_reference *call, int64_t n, int64_t position)
{
    return call->x[1] ? (int64_t)call->x[1][n] : position;
}

static void gather_rows_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t width = x->dim[2];
    for (int64_t n = 0; n < x->dim[0]; n++) {
        int64_t t = row_of(call, n, ((const gather_rows_attrs *)call->attrs)->position);
        bool is_row = t >= 0 && t < x->dim[1];
        for (int64_t c = 0; c < width; c++)
            call->y[0][n * width + c] = is_row ? call->x[0][(n * x->dim[1] + t) * width + c]
                                        : t == GATHER_ROWS_NONE ? 0.0
                                                                : (double)NAN;
    }
}

static op_cost gather_rows_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    return (op_cost){.bytes = 2.0 * sizeof(float) * (double)shape_elements(&out[0])};
}

static be_status gather_rows_backward_infer(op_infer *call, be_error *err)
{
    const gather_rows_backward_attrs *attrs = call->attrs;
    const be_shape *dy = &call->in[0];
    TRY(op_expect(dy, BE_F32, 2, "gather_rows_backward: dy", err));
    TRY(expect_index(&call->in[1], dy->dim[0], "gather_rows_backward: index", err));
    call->out[0] = shape_make(BE_F32, 3, dy->dim[0], attrs->length, dy->dim[1], 0);
    return BE_OK;
}

static void gather_rows_backward_reference(const op_reference *call)
{
    const gather_rows_backward_attrs *attrs = call->attrs;
    const be_shape *dx = &call->out[0];
    int64_t width = dx->dim[2];
    for (int64_t i = 0; i < shape_elements(dx); i++) {
        int64_t n = i / (attrs->length * width), t = i / width % attrs->length;
        bool is_row = row_of(call, n, attrs->position) == t;
        call->y[0][i] = is_row ? call->x[0][n * width + i % width] : 0.0;
    }
}

static op_cost gather_rows_backward_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

static const gather_rows_attrs first = {0}, fourth = {3};

#define INDEX(count) \
    {                \
        BE_I32, 1,   \
        {            \
            count    \
        }            \
    }
#define GATHER_CASE(text, attributes, B, T, W, index)                                         \
    {                                                                                         \
        .name = text, .attrs = &attributes, .in = {{BE_F32, 3, {B, T, W}}, index}, .low = -1, \
        .high = 1, .below = {0, T}, .ignored = 1u << 1, .tolerance = 0                        \
    }

static const op_case gather_rows_cases[] = {
    GATHER_CASE("class token", first, 5, 17, 64, OP_ABSENT),
    GATHER_CASE("the fourth of each", fourth, 3, 7, 11, OP_ABSENT),
    GATHER_CASE("end of text", first, 12, 13, 33, INDEX(12)),
    GATHER_CASE("one", first, 1, 1, 1, INDEX(1)),
    GATHER_CASE("several threads", first, 37, 3, 1009, INDEX(37)),
};

static const gather_rows_backward_attrs back_first = {0, 17}, back_fourth = {3, 7},
                                        back_index = {0, 13};

#define BACKWARD_CASE(text, attributes, B, W, index)                                       \
    {                                                                                      \
        .name = text, .attrs = &attributes, .in = {{BE_F32, 2, {B, W}}, index}, .low = -1, \
        .high = 1, .below = {0, 15}, .ignored = 1u << 1, .tolerance = 0                    \
    }

/* An index of 13 or 14 is no row of 13. */
static const op_case gather_rows_backward_cases[] = {
    BACKWARD_CASE("class token", back_first, 5, 64, OP_ABSENT),
    BACKWARD_CASE("the fourth of each", back_fourth, 3, 11, OP_ABSENT),
    BACKWARD_CASE("end of text", back_index, 24, 33, INDEX(24)),
    BACKWARD_CASE("several threads", back_index, 5, 1009, INDEX(5)),
};

const be_op be_op_gather_rows = {.name = "gather_rows",
                                 .attrs_bytes = sizeof(gather_rows_attrs),
                                 .inputs = 2,
                                 .outputs = 1,
                                 .optional = 1u << 1,
                                 .infer = gather_rows_infer,
                                 .gradient = gather_rows_gradient,
                                 .reference = gather_rows_reference,
                                 .cost = gather_rows_cost,
                                 .cases = gather_rows_cases,
                                 .case_count = OP_CASES(gather_rows_cases),
                                 .differentiable = 1};

const be_op be_op_gather_rows_backward = {.name = "gather_rows_backward",
                                          .attrs_bytes = sizeof(gather_rows_backward_attrs),
                                          .inputs = 2,
                                          .outputs = 1,
                                          .optional = 1u << 1,
                                          .infer = gather_rows_backward_infer,
                                          .reference = gather_rows_backward_reference,
                                          .cost = gather_rows_backward_cost,
                                          .cases = gather_rows_backward_cases,
                                          .case_count = OP_CASES(gather_rows_backward_cases)};

be_value be_gather_rows(be_graph *g, be_value x, be_value index)
{
    return graph_build(g, &be_op_gather_rows, &(gather_rows_attrs){0},
                       (be_value[OP_MAX_IN]){x, index}, NULL);
}

be_value be_take_row(be_graph *g, be_value x, int64_t position)
{
    return graph_build(g, &be_op_gather_rows, &(gather_rows_attrs){position},
                       (be_value[OP_MAX_IN]){x, BE_NONE}, NULL);
}
