/* Blocked layouts on the host: packing and unpacking one tensor [N, C, H, W]. */
#include <string.h>

#include "graph/device.h"

void layout_pack(const float *from, float *to, const be_shape *shape, value_layout layout)
{
    int64_t n_count = shape->dim[0], channels = shape->dim[1], block = (int64_t)layout;
    int64_t pixels = shape->dim[2] * shape->dim[3], blocks = (channels + block - 1) / block;
    memset(to, 0, (size_t)(n_count * blocks * block * pixels) * sizeof *to);
    for (int64_t n = 0; n < n_count; n++)
        for (int64_t c = 0; c < channels; c++) {
            const float *x = from + (n * channels + c) * pixels;
            float *y = to + (n * blocks + c / block) * pixels * block + c % block;
            for (int64_t i = 0; i < pixels; i++) y[i * block] = x[i];
        }
}

void layout_unpack(const float *from, float *to, const be_shape *shape, value_layout layout)
{
    int64_t n_count = shape->dim[0], channels = shape->dim[1], block = (int64_t)layout;
    int64_t pixels = shape->dim[2] * shape->dim[3], blocks = (channels + block - 1) / block;
    for (int64_t n = 0; n < n_count; n++)
        for (int64_t c = 0; c < channels; c++) {
            const float *x = from + (n * blocks + c / block) * pixels * block + c % block;
            float *y = to + (n * channels + c) * pixels;
            for (int64_t i = 0; i < pixels; i++) y[i] = x[i * block];
        }
}
