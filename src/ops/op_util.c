/* See op_util.h. */
#include "ops/op_util.h"

be_status op_expect(const be_shape *found, be_dtype dtype, int rank, const char *name,
                    be_error *err)
{
    char text[64];
    const char *wanted = dtype_name(dtype);
    if (found->dtype == dtype && (rank == OP_ANY_RANK ? found->rank >= 0 : found->rank == rank))
        return BE_OK;
    if (rank == OP_ANY_RANK)
        FAIL(err, BE_USAGE, "%s: expected %s, found %s", name, wanted, shape_text(found, text));
    FAIL(err, BE_USAGE, "%s: expected %s of %d dimensions, found %s", name, wanted, rank,
         shape_text(found, text));
}

be_status op_expect_operand(const be_shape *found, int rank, const char *name, be_error *err)
{
    return op_expect(found, found->dtype == BE_BF16 ? BE_BF16 : BE_F32, rank, name, err);
}

be_status op_expect_same(const be_shape *found, const be_shape *expected, const char *name,
                         be_error *err)
{
    char text[64], wanted[64];
    if (shape_equal(found, expected)) return BE_OK;
    FAIL(err, BE_USAGE, "%s: expected %s, found %s", name, shape_text(expected, wanted),
         shape_text(found, text));
}

double op_bytes(const be_shape *in, const be_shape *out)
{
    double bytes = 0;
    for (int i = 0; i < OP_MAX_IN; i++)
        if (in[i].rank >= 0)
            bytes += (double)shape_elements(&in[i]) * (double)dtype_bytes(in[i].dtype);
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (out[o].rank >= 0)
            bytes += (double)shape_elements(&out[o]) * (double)dtype_bytes(out[o].dtype);
    return bytes;
}

op_cost op_cost_elementwise(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&out[0]), .bytes = op_bytes(in, out)};
}
