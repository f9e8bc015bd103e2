/* Pictures as a training sees them, on the CPU: a plane at a time. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/image/image.h"

/* The columns of y that show columns of x: from … to before …; of y's first one x's column, and
 * from one to the next. */
typedef struct columns {
    int64_t from, to, first, step;
} columns;

static columns columns_of(const augment_move *move, int64_t width)
{
    int64_t first = move->column < 0 ? -move->column : 0;
    int64_t right = move->column > 0 ? move->column : 0;
    if (!move->flips) return (columns){first, width - right, move->column + first, 1};
    return (columns){right, width - first, width - 1 + move->column - right, -1};
}

static augment_move move_of(const cpu_call *call, int64_t plane, int64_t channels)
{
    const augment_attrs *attrs = call->attrs;
    const float *draw = (const float *)call->in[1] + plane / channels * 3;
    return augment_move_of(draw[0], draw[1], draw[2], attrs->padding);
}

static be_status augment_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const augment_attrs *attrs = call->attrs;
    const be_shape *shape = &call->in_shape[0];
    int64_t channels = shape->dim[1], height = shape->dim[2], width = shape->dim[3];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < shape->dim[0] * channels; i++) {
        const float *x = (const float *)call->in[0] + i * height * width;
        float *y = (float *)call->out[0] + i * height * width;
        augment_move move = move_of(call, i, channels);
        columns c = columns_of(&move, width);
        float scale = attrs->channels ? 1 / attrs->std[i % channels] : 1;
        float mean = attrs->channels ? attrs->mean[i % channels] : 0, nothing = -mean * scale;
        for (int64_t h = 0; h < height; h++, y += width) {
            bool is_inside = h + move.row >= 0 && h + move.row < height;
            const float *row = x + (is_inside ? h + move.row : 0) * width + c.first;
            for (int64_t w = 0; w < width; w++) y[w] = nothing;
            for (int64_t w = c.from; is_inside && w < c.to; w++)
                y[w] = (row[(w - c.from) * c.step] - mean) * scale;
        }
    }
    return BE_OK;
}

static be_status augment_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const augment_attrs *attrs = call->attrs;
    const be_shape *shape = &call->out_shape[0];
    int64_t channels = shape->dim[1], height = shape->dim[2], width = shape->dim[3];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < shape->dim[0] * channels; i++) {
        const float *dy = (const float *)call->in[0] + i * height * width;
        float *dx = (float *)call->out[0] + i * height * width;
        augment_move move = move_of(call, i, channels);
        columns c = columns_of(&move, width);
        float scale = attrs->channels ? 1 / attrs->std[i % channels] : 1;
        memset(dx, 0, (size_t)(height * width) * sizeof *dx);
        for (int64_t h = 0; h < height; h++, dy += width) {
            if (h + move.row < 0 || h + move.row >= height) continue;
            float *row = dx + (h + move.row) * width + c.first;
            for (int64_t w = c.from; w < c.to; w++) row[(w - c.from) * c.step] = dy[w] * scale;
        }
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(augment) = {.implementation = CPU_NATIVE, .run = augment_run};
const cpu_kernel CPU_KERNEL(augment_backward) = {.implementation = CPU_NATIVE,
                                                 .run = augment_backward_run};
