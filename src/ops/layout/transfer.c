/* See transfer.h. */
#include "ops/layout/transfer.h"

void transfer_reference(const op_reference *call)
{
    for (int64_t i = 0; i < shape_elements(&call->out[0]); i++) call->y[0][i] = call->x[0][i];
}

op_cost transfer_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)in;
    return (op_cost){.flops = 0.0, .bytes = (double)shape_elements(&out[0]) * sizeof(float)};
}
