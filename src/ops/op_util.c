/* See op_util.h. */
#include "ops/op_util.h"

be_status op_expect(const be_shape *shape, be_dtype dtype, int rank, const char *name,
                    be_error *err)
{
    char text[64];
    const char *type = dtype_name(dtype);
    if (shape->dtype == dtype && (rank == OP_ANY_RANK ? shape->rank >= 0 : shape->rank == rank))
        return BE_OK;
    if (rank == OP_ANY_RANK)
        FAIL(err, BE_USAGE, "%s: expected %s, found %s", name, type, shape_text(shape, text));
    FAIL(err, BE_USAGE, "%s: expected %s of %d dimensions, found %s", name, type, rank,
         shape_text(shape, text));
}

be_status op_expect_rows(const be_shape *shape, const char *name, be_error *err)
{
    char text[64];
    TRY(op_expect(shape, BE_F32, OP_ANY_RANK, name, err));
    if (shape->rank >= 1) return BE_OK;
    FAIL(err, BE_USAGE, "%s: expected at least 1 dimension, found %s", name,
         shape_text(shape, text));
}

be_status op_expect_operand(const be_shape *shape, int rank, const char *name, be_error *err)
{
    return op_expect(shape, shape->dtype == BE_BF16 ? BE_BF16 : BE_F32, rank, name, err);
}

be_status op_expect_same(const be_shape *shape, const be_shape *expected, const char *name,
                         be_error *err)
{
    char text[64], form[64];
    if (shape_equal(shape, expected)) return BE_OK;
    FAIL(err, BE_USAGE, "%s: expected %s, found %s", name, shape_text(expected, form),
         shape_text(shape, text));
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
