/* The sizes of one use of a convolution, for its meaning and for its implementations. */
#include "ops/conv2d/conv2d.h"

conv2d_sizes conv2d_size(const conv2d_attrs *attrs, const be_shape *x, const be_shape *w)
{
    conv2d_sizes s = {.n = x->dim[0],
                      .c = x->dim[1],
                      .h = x->dim[2],
                      .w = x->dim[3],
                      .o = w->dim[0],
                      .k = w->dim[2],
                      .stride = attrs->stride,
                      .padding = attrs->padding};
    s.oh = (s.h + 2 * s.padding - s.k) / s.stride + 1;
    s.ow = (s.w + 2 * s.padding - s.k) / s.stride + 1;
    s.ph = s.oh / 2;
    s.pw = s.ow / 2;
    return s;
}
