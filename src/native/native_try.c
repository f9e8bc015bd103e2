/* See native_try.h. */
#include "native/native_try.h"

#include "backend/backend.h"

#define SIDE 8

typedef float matrix[SIDE][SIDE];

/* Whole numbers so small that every precision holds them and their sums, and no two rows or
 * columns of the product are alike. */
static void fill(matrix a, matrix b)
{
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (float)((3 * i + j * j) % 7 - 2);
            b[i][j] = (float)((i * i + 5 * j) % 11 - 4);
        }
}

static be_status compare(matrix a, matrix b, matrix answer, be_error *err)
{
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            float right = 0;
            for (int k = 0; k < SIDE; k++) right += a[i][k] * b[k][j];
            if (answer[i][j] != right)
                FAIL(err, BE_NUMERIC,
                     "expected %g in row %d, column %d of a small product, found %g: the device "
                     "computes wrongly; update its driver, or leave it out by --device",
                     (double)right, i, j, (double)answer[i][j]);
        }
    return BE_OK;
}

static be_status multiply(const be_graph *g, const be_value values[3], be_device *device,
                          be_error *err)
{
    matrix a, b, answer = {{0}};
    be_plan *plan = NULL;
    be_plan_options options = {.mode = BE_INFER, .keep = values + 2, .keep_count = 1};
    fill(a, b);
    TRY(be_plan_new(g, device, &options, &plan, err));
    be_status status = be_plan_write(plan, values[0], a, sizeof a, err);
    if (status == BE_OK) status = be_plan_write(plan, values[1], b, sizeof b, err);
    if (status == BE_OK) status = be_plan_run(plan, 1, err);
    if (status == BE_OK) status = be_plan_read(plan, values[2], answer, sizeof answer, err);
    if (status == BE_OK) status = compare(a, b, answer, err);
    be_plan_free(plan);
    return status;
}

be_status native_try(const char *id, const be_device_options *options, be_error *err)
{
    const be_shape square = {BE_F32, 2, {SIDE, SIDE}};
    be_device *device = NULL;
    be_device_options suited = *options;
    suited.threads = 1; /* how many there are is no question of this one */
    if (!backend_has_library(id, suited.library)) suited.library = NULL;
    TRY(be_device_open(id, &suited, &device, err));
    be_graph *g = be_graph_new(1);
    be_value values[3] = {be_input(g, "a", square), be_input(g, "b", square)};
    values[2] = be_matmul(g, values[0], values[1]);
    be_status status = multiply(g, values, device, err);
    be_graph_free(g);
    be_device_close(device);
    return status;
}
