/* Layouts on the host: packing and unpacking one tensor of any element. */
#include <string.h>

#include "graph/device.h"

int64_t layout_block(value_layout layout, const be_shape *shape)
{
    return layout == LAYOUT_CHANNELS_LAST ? shape->dim[1] : (int64_t)layout;
}

#define ROW_UNIT 64 /* elements: a line of the cache, of bf16 */

int64_t layout_pitch(value_layout layout, const be_shape *shape)
{
    int64_t columns = shape->dim[shape->rank - 1];
    return layout == LAYOUT_ROWS_APART ? (columns + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT : columns;
}

/* With pitches in bytes. */
static void copy_rows(const void *from, size_t from_pitch, void *to, size_t to_pitch,
                      const be_shape *shape, size_t bytes)
{
    int64_t columns = shape->dim[shape->rank - 1], rows = 1;
    for (int i = 0; i < shape->rank - 1; i++) rows *= shape->dim[i];
    for (int64_t row = 0; row < rows; row++)
        memcpy((char *)to + (size_t)row * to_pitch, (const char *)from + (size_t)row * from_pitch,
               (size_t)columns * bytes);
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
    if (layout == LAYOUT_ROWS_APART) {
        size_t columns = (size_t)shape->dim[shape->rank - 1];
        copy_rows(from, columns * bytes, to, (size_t)layout_pitch(layout, shape) * bytes, shape,
                  bytes);
        return;
    }
    int64_t block = layout_block(layout, shape), blocks = (shape->dim[1] + block - 1) / block;
    memset(to, 0, (size_t)(shape->dim[0] * blocks * block * shape->dim[2] * shape->dim[3]) * bytes);
    copy_elements(from, to, shape, block, true, bytes);
}

void layout_unpack_bytes(const void *from, void *to, const be_shape *shape, value_layout layout,
                         size_t bytes)
{
    if (layout == LAYOUT_ROWS_APART) {
        size_t columns = (size_t)shape->dim[shape->rank - 1];
        copy_rows(from, (size_t)layout_pitch(layout, shape) * bytes, to, columns * bytes, shape,
                  bytes);
        return;
    }
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
