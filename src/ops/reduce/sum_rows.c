/* The sum over all dimensions but the second: x [N, C] or [N, C, H, W] -> y [C]. */
#include "ops/op_list.h"
#include "ops/op_util.h"

static be_status sum_rows_infer(op_infer *call, be_error *err)
{
    char text[64];
    const be_shape *x = &call->in[0];
    TRY(op_expect(x, BE_F32, OP_ANY_RANK, "sum_rows: x", err));
    if (x->rank != 2 && x->rank != 4)
        FAIL(err, BE_USAGE, "sum_rows: x: expected 2 or 4 dimensions, found %s",
             shape_text(x, text));
    call->out[0] = shape_make(BE_F32, 1, x->dim[1], 0, 0, 0);
    return BE_OK;
}

static void sum_rows_reference(const op_reference *call)
{
    const be_shape *x = &call->in[0];
    int64_t channels = x->dim[1], count = shape_elements(x);
    int64_t pixels = count / (x->dim[0] * channels);
    for (int64_t c = 0; c < channels; c++) call->y[0][c] = 0.0;
    for (int64_t i = 0; i < count; i++) call->y[0][i / pixels % channels] += call->x[0][i];
}

static op_cost sum_rows_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    return (op_cost){.flops = (double)shape_elements(&in[0]), .bytes = op_bytes(in, out)};
}

#define SUM_CASE(text, rank, ...)                                                  \
    {                                                                              \
        .name = text, .in = {{BE_F32, rank, {__VA_ARGS__}}}, .low = -1, .high = 1, \
        .tolerance = 2e-6                                                          \
    }

static const op_case sum_rows_cases[] = {
    SUM_CASE("rows", 2, 100, 40),
    SUM_CASE("odd", 2, 37, 301),
    SUM_CASE("many rows", 2, 4099, 10),
    SUM_CASE("one row", 2, 1, 33),
    SUM_CASE("one column", 2, 501, 1),
    SUM_CASE("one", 2, 1, 1),
    SUM_CASE("many rows and columns", 2, 1037, 301),
    SUM_CASE("many rows by words", 2, 301, 264),
    SUM_CASE("parts by words", 2, 8201, 24),
    SUM_CASE("images", 4, 20, 16, 26, 26),
    SUM_CASE("odd images", 4, 3, 17, 5, 7),
};

const be_op be_op_sum_rows = {.name = "sum_rows",
                              .inputs = 1,
                              .outputs = 1,
                              .infer = sum_rows_infer,
                              .reference = sum_rows_reference,
                              .cost = sum_rows_cost,
                              .cases = sum_rows_cases,
                              .case_count = OP_CASES(sum_rows_cases)};
