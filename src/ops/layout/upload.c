/* y = x, or its first elements, from the memory of the host to that of the device: what the link
 * between them costs. */
#include "ops/layout/transfer.h"
#include "ops/op_list.h"

/* count: of elements; 0: all. */
typedef struct upload_attrs {
    int64_t count;
} upload_attrs;

static be_status upload_infer(op_infer *call, be_error *err)
{
    int64_t count = ((const upload_attrs *)call->attrs)->count;
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "upload: x", err));
    int64_t most = shape_elements(&call->in[0]);
    if (count < 0 || count > most)
        FAIL(err, BE_USAGE, "upload: count: expected 0 (all) to %lld elements, found %lld",
             (long long)most, (long long)count);
    call->out[0] = count ? shape_make(BE_F32, 1, count, 0, 0, 0) : call->in[0];
    return BE_OK;
}

static const op_case upload_cases[] = {
    {.name = "one", .attrs = &(upload_attrs){0}, .in = {{BE_F32, 1, {1}}}, .low = -1, .high = 1},
    {.name = "odd",
     .attrs = &(upload_attrs){0},
     .in = {{BE_F32, 2, {37, 301}}},
     .low = -1,
     .high = 1},
    {.name = "the first three",
     .attrs = &(upload_attrs){3},
     .in = {{BE_F32, 2, {5, 4}}},
     .low = -1,
     .high = 1},
};

const be_op be_op_upload = {.name = "upload",
                            .attrs_bytes = sizeof(upload_attrs),
                            .inputs = 1,
                            .outputs = 1,
                            .host_in = 1,
                            .is_outside_gradient = true,
                            .infer = upload_infer,
                            .reference = transfer_reference,
                            .cost = transfer_cost,
                            .cases = upload_cases,
                            .case_count = OP_CASES(upload_cases)};

be_value be_upload(be_graph *g, be_value x, int64_t count)
{
    return graph_build(g, &be_op_upload, &(upload_attrs){count}, (be_value[OP_MAX_IN]){x}, NULL);
}
