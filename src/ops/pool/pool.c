/* What the pools by windows share: which windows there are, and where they lie. */
#include "ops/pool/pool.h"

#include <inttypes.h>

#include "ops/op_util.h"

static be_status check_attrs(const char *name, const pool2d_attrs *attrs, be_error *err)
{
    if (attrs->size < 1 || attrs->size > POOL_SIZE)
        FAIL(err, BE_USAGE, "%s: expected a window of 1 to %d, found %d", name, POOL_SIZE,
             attrs->size);
    if (attrs->stride < 1)
        FAIL(err, BE_USAGE, "%s: expected a stride of at least 1, found %d", name, attrs->stride);
    if (attrs->padding < 0 || attrs->padding > attrs->size / 2)
        FAIL(err, BE_USAGE, "%s: expected a padding of 0 to half of the window, %d, found %d", name,
             attrs->size / 2, attrs->padding);
    return BE_OK;
}

be_status pool2d_infer(const char *name, const pool2d_attrs *attrs, const be_shape *x, be_shape *y,
                       be_error *err)
{
    char text[64], what[64];
    snprintf(what, sizeof what, "%s: x", name);
    TRY(op_expect(x, BE_F32, 4, what, err));
    TRY(check_attrs(name, attrs, err));
    int64_t least = attrs->size - 2 * attrs->padding;
    if (x->dim[2] < least || x->dim[3] < least)
        FAIL(err, BE_USAGE,
             "%s: expected images of at least one window, %d × %d, found %s; use a smaller window",
             name, attrs->size, attrs->size, shape_text(x, text));
    *y = shape_make(BE_F32, 4, x->dim[0], x->dim[1], pool2d_windows(attrs, x->dim[2]),
                    pool2d_windows(attrs, x->dim[3]));
    return BE_OK;
}

be_status pool2d_infer_back(const char *name, const pool2d_attrs *attrs, const be_shape *dy,
                            be_shape *dx, be_error *err)
{
    char text[64], what[64];
    snprintf(what, sizeof what, "%s: dy", name);
    TRY(op_expect(dy, BE_F32, 4, what, err));
    TRY(check_attrs(name, attrs, err));
    int64_t height = pool2d_windows(attrs, attrs->height);
    int64_t width = pool2d_windows(attrs, attrs->width);
    if (dy->dim[2] != height || dy->dim[3] != width)
        FAIL(err, BE_USAGE, "%s: dy: expected images of %" PRId64 " × %" PRId64 ", found %s", name,
             height, width, shape_text(dy, text));
    *dx = shape_make(BE_F32, 4, dy->dim[0], dy->dim[1], attrs->height, attrs->width);
    return BE_OK;
}

int64_t pool2d_pixel(const pool2d_attrs *a, int64_t height, int64_t width, const int64_t at[2],
                     int i)
{
    int64_t row = at[0] * a->stride - a->padding + i / a->size;
    int64_t column = at[1] * a->stride - a->padding + i % a->size;
    bool is_inside = row >= 0 && row < height && column >= 0 && column < width;
    return is_inside ? row * width + column : -1;
}
