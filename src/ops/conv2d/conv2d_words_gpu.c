/* The sizes of a convolution as words of its kernels. */
#include <inttypes.h>
#include <stdio.h>

#include "ops/conv2d/conv2d_gpu.h"

void conv2d_gpu_words(const conv2d_sizes *s, char text[320])
{
    snprintf(text, 320,
             "IMAGES=%" PRId64 " CHANNELS=%" PRId64 " HEIGHT=%" PRId64 " WIDTH=%" PRId64
             " OUTPUTS=%" PRId64 " TAP_ROWS=%" PRId64 " TAPS=%" PRId64
             " STRIDE_H=%d STRIDE_W=%d PADDING_H=%d PADDING_W=%d OUT_HEIGHT=%" PRId64
             " OUT_WIDTH=%" PRId64,
             s->n, s->c, s->h, s->w, s->o, s->k[0], s->k[1], s->stride[0], s->stride[1],
             s->padding[0], s->padding[1], s->oh, s->ow);
}
