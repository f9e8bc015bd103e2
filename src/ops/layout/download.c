/* y = x, from the memory of the device to that of the host. */
#include "ops/layout/transfer.h"
#include "ops/op_list.h"

static be_status download_infer(op_infer *call, be_error *err)
{
    TRY(op_expect(&call->in[0], BE_F32, OP_ANY_RANK, "download: x", err));
    call->out[0] = call->in[0];
    return BE_OK;
}

static const op_case download_cases[] = {
    {.name = "one", .in = {{BE_F32, 1, {1}}}, .low = -1, .high = 1},
    {.name = "odd", .in = {{BE_F32, 2, {37, 301}}}, .low = -1, .high = 1},
};

const be_op be_op_download = {.name = "download",
                              .inputs = 1,
                              .outputs = 1,
                              .host_out = 1,
                              .is_outside_gradient = true,
                              .infer = download_infer,
                              .reference = transfer_reference,
                              .cost = transfer_cost,
                              .cases = download_cases,
                              .case_count = OP_CASES(download_cases)};

be_value be_download(be_graph *g, be_value x)
{
    return graph_build(g, &be_op_download, NULL, (be_value[OP_MAX_IN]){x}, NULL);
}
