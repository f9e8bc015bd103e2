/* The matrix product on CLBlast. */
#include <inttypes.h>

#include "ops/matmul/matmul.h"
#include "ops/matmul/product_clblast.h"

static be_status matmul_prepare(gpu_call *call, be_error *err)
{
    const matmul_attrs *attrs = call->attrs;
    matmul_sizes s = matmul_sizes_of(attrs, &call->in_shape[0], &call->in_shape[1]);
    /* The library's batched product takes memory of its own while it runs, and none of ours. */
    if (s.batch > 1)
        FAIL(err, BE_UNAVAILABLE,
             "CLBlast multiplies two matrices here, and these are %" PRId64 " products", s.batch);
    clblast_product product = {.rows = s.m,
                               .columns = s.n,
                               .depth = s.k,
                               .transpose_a = attrs->transpose_a != 0,
                               .transpose_b = attrs->transpose_b != 0};
    TRY(arena_alloc(call->memory, &call->state, sizeof(clblast_task), err));
    return clblast_task_prepare(call, &product, call->state, err);
}

static be_status matmul_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    clblast_operands operands = {.a = call->in[0], .b = call->in[1], .y = call->out[0]};
    return clblast_task_record(call, recorder, call->state, &operands, err);
}

const gpu_kernel CLBLAST_KERNEL(matmul) = {
    .implementation = "CLBlast", .prepare = matmul_prepare, .record = matmul_record};
