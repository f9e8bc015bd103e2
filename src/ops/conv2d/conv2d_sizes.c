/* The sizes of one use of a convolution, for its meaning and for its implementations. */
#include "ops/conv2d/conv2d.h"

conv2d_sizes conv2d_size(const conv2d_attrs *attrs, const be_shape *x, const be_shape *w)
{
    conv2d_sizes s = {.n = x->dim[0],
                      .c = x->dim[1],
                      .h = x->dim[2],
                      .w = x->dim[3],
                      .o = w->dim[0],
                      .k = {w->dim[2], w->dim[3]},
                      .stride = {attrs->stride[0], attrs->stride[1]},
                      .padding = {attrs->padding[0], attrs->padding[1]}};
    s.oh = (s.h + 2 * s.padding[0] - s.k[0]) / s.stride[0] + 1;
    s.ow = (s.w + 2 * s.padding[1] - s.k[1]) / s.stride[1] + 1;
    s.ph = s.oh / 2;
    s.pw = s.ow / 2;
    return s;
}

bool conv2d_is_square(const conv2d_attrs *attrs, const be_shape *w)
{
    return attrs->stride[0] == 1 && attrs->stride[1] == 1 && w->dim[2] == w->dim[3] &&
           attrs->padding[0] == attrs->padding[1];
}

bool conv2d_takes_patches(const conv2d_attrs *attrs, const be_shape *in, bool backward)
{
    conv2d_sizes s = conv2d_size(attrs, &in[0], &in[1]);
    int64_t area = s.k[0] * s.k[1];
    bool is_tiled =
        s.stride[0] == s.k[0] && s.stride[1] == s.k[1] && !s.padding[0] && !s.padding[1];
    bool bare = backward ? in[2].rank < 0 && !attrs->need_dx : attrs->activation == BE_IDENTITY;
    return is_tiled && bare && area > 1 && s.c * area % CONV2D_PATCH_STEP == 0;
}
