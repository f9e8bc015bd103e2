/* Where a token stands: tokens i32 [B, T] -> i32 [B], the first place of `token` in each sample, or
 * −1 where there is none. */
#include "ops/op_list.h"
#include "ops/op_util.h"
#include "ops/rows/rows.h"

static be_status find_token_infer(op_infer *call, be_error *err)
{
    const find_token_attrs *attrs = call->attrs;
    TRY(op_expect(&call->in[0], BE_I32, 2, "find_token: tokens", err));
    if (attrs->token < 0)
        FAIL(err, BE_USAGE, "find_token: expected a token of at least 0, found %d", attrs->token);
    call->out[0] = shape_make(BE_I32, 1, call->in[0].dim[0], 0, 0, 0);
    return BE_OK;
}

static void find_token_reference(const op_reference *call)
{
    const find_token_attrs *attrs = call->attrs;
    int64_t length = call->in[0].dim[1];
    for (int64_t n = 0; n < call->in[0].dim[0]; n++) {
        int64_t t = 0;
        while (t < length && (int64_t)call->x[0][n * length + t] != attrs->token) t++;
        call->y[0][n] = t < length ? (double)t : (double)GATHER_ROWS_NONE;
    }
}

static op_cost find_token_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.bytes = op_bytes(in, out)};
}

static const find_token_attrs third = {3}, zero = {0};

#define FIND_CASE(text, attributes, B, T, many)                                           \
    {                                                                                     \
        .name = text, .attrs = &attributes, .in = {{BE_I32, 2, {B, T}}}, .below = {many}, \
        .tolerance = 0                                                                    \
    }

static const op_case find_token_cases[] = {
    FIND_CASE("often there", third, 37, 13, 7),
    FIND_CASE("seldom there", third, 101, 33, 97),
    FIND_CASE("token 0", zero, 5, 9, 3),
    FIND_CASE("one", third, 9, 1, 4),
};

const be_op be_op_find_token = {.name = "find_token",
                                .attrs_bytes = sizeof(find_token_attrs),
                                .inputs = 1,
                                .outputs = 1,
                                .is_outside_gradient = true,
                                .infer = find_token_infer,
                                .reference = find_token_reference,
                                .cost = find_token_cost,
                                .cases = find_token_cases,
                                .case_count = OP_CASES(find_token_cases)};

be_value be_find_token(be_graph *g, be_value tokens, int32_t token)
{
    return graph_build(g, &be_op_find_token, &(find_token_attrs){token},
                       (be_value[OP_MAX_IN]){tokens}, NULL);
}
