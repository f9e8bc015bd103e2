/* Layouts on the host: packing and unpacking one tensor [N, C, H, W] of any element. */
#include <string.h>

#include "graph/device.h"

int64_t layout_block(value_layout layout, const be_shape *shape)
{
    return layout == LAYOUT_CHANNELS_LAST ? shape->dim[1] : (int64_t)layout;
}

/* `bytes` is a constant at each call, so that each element is one load and one store. */
static inline __attribute__((always_inline)) void copy_blocks(const void *from, void *to,
                                                              const be_shape *shape, int64_t block,
                                                              bool is_packing, size_t bytes)
{
    int64_t n_count = shape->dim[0], channels = shape->dim[1];
    int64_t pixels = shape->dim[2] * shape->dim[3], blocks = (channels + block - 1) / block;
    for (int64_t n = 0; n < n_count; n++)
        for (int64_t c = 0; c < channels; c++) {
            size_t plain = (size_t)((n * channels + c) * pixels) * bytes;
            size_t blocked = (size_t)((n * blocks + c / block) * pixels * block + c % block);
            size_t step = (size_t)block * bytes;
            const char *x = (const char *)from + (is_packing ? plain : blocked * bytes);
            char *y = (char *)to + (is_packing ? blocked * bytes : plain);
            for (int64_t i = 0; i < pixels; i++) {
                memcpy(y, x, bytes);
                x += is_packing ? bytes : step;
                y += is_packing ? step : bytes;
            }
        }
}

static void copy_elements(const void *from, void *to, const be_shape *shape, int64_t block,
                          bool is_packing, size_t bytes)
{
    switch (bytes) {
    case 1:
        copy_blocks(from, to, shape, block, is_packing, 1);
        return;
    case 2:
        copy_blocks(from, to, shape, block, is_packing, 2);
        return;
    case 4:
        copy_blocks(from, to, shape, block, is_packing, 4);
        return;
    default:
        MUST(!"elements have 1, 2 or 4 bytes");
    }
}

void layout_pack_bytes(const void *from, void *to, const be_shape *shape, value_layout layout,
                       size_t bytes)
{
    int64_t block = layout_block(layout, shape), blocks = (shape->dim[1] + block - 1) / block;
    memset(to, 0, (size_t)(shape->dim[0] * blocks * block * shape->dim[2] * shape->dim[3]) * bytes);
    copy_elements(from, to, shape, block, true, bytes);
}

void layout_unpack_bytes(const void *from, void *to, const be_shape *shape, value_layout layout,
                         size_t bytes)
{
    copy_elements(from, to, shape, layout_block(layout, shape), false, bytes);
}

void layout_pack(const void *from, void *to, const be_shape *shape, value_layout layout)
{
    layout_pack_bytes(from, to, shape, layout, dtype_bytes(shape->dtype));
}

void layout_unpack(const void *from, void *to, const be_shape *shape, value_layout layout)
{
    layout_unpack_bytes(from, to, shape, layout, dtype_bytes(shape->dtype));
}
