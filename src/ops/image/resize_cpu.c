/* Pictures at another size on the CPU.  A part of the columns at a time, whose places are worked
 * out once for all rows of a picture. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/image/image.h"

#define COLUMNS 256 /* of the smaller or larger side, a part */

typedef struct columns {
    int32_t left[COLUMNS], right[COLUMNS];
    float part[COLUMNS]; /* of right */
} columns;

static void find_columns(int64_t first, int64_t count, int64_t out, int64_t in, columns *c)
{
    for (int64_t j = 0; j < count; j++) {
        resize_place place = resize_place_of(first + j, out, in);
        c->left[j] = (int32_t)place.first;
        c->right[j] = (int32_t)place.first + (place.second > 0);
        c->part[j] = (float)place.second;
    }
}

static int64_t part_of(int64_t first, int64_t width)
{
    return width - first < COLUMNS ? width - first : COLUMNS;
}

static void shrink_row(const columns *c, int64_t count, const float *top, const float *bottom,
                       float part, float *y)
{
    for (int64_t j = 0; j < count; j++) {
        float high = top[c->left[j]] + c->part[j] * (top[c->right[j]] - top[c->left[j]]);
        float low = bottom[c->left[j]] + c->part[j] * (bottom[c->right[j]] - bottom[c->left[j]]);
        y[j] = high + part * (low - high);
    }
}

static void resize_image(const float *x, const be_shape *in, float *y, const be_shape *out)
{
    columns c;
    int64_t width = in->dim[3], height = in->dim[2];
    for (int64_t first = 0; first < out->dim[3]; first += COLUMNS) {
        int64_t count = part_of(first, out->dim[3]);
        find_columns(first, count, out->dim[3], width, &c);
        for (int64_t h = 0; h < out->dim[2]; h++) {
            resize_place place = resize_place_of(h, out->dim[2], height);
            const float *top = x + place.first * width;
            shrink_row(&c, count, top, place.second > 0 ? top + width : top, (float)place.second,
                       y + h * out->dim[3] + first);
        }
    }
}

static be_status resize_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *in = &call->in_shape[0], *out = &call->out_shape[0];
    int64_t whole = in->dim[2] * in->dim[3], made = out->dim[2] * out->dim[3];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < in->dim[0] * in->dim[1]; i++)
        resize_image((const float *)call->in[0] + i * whole, in, (float *)call->out[0] + i * made,
                     out);
    return BE_OK;
}

static void spread_row(const columns *c, int64_t count, const float *dy, float part, float *top,
                       float *bottom)
{
    for (int64_t j = 0; j < count; j++) {
        float low = part * dy[j], high = dy[j] - low;
        top[c->left[j]] += (1 - c->part[j]) * high;
        top[c->right[j]] += c->part[j] * high;
        bottom[c->left[j]] += (1 - c->part[j]) * low;
        bottom[c->right[j]] += c->part[j] * low;
    }
}

static void spread_image(const float *dy, const be_shape *in, float *dx, const be_shape *out)
{
    columns c;
    int64_t width = out->dim[3], height = out->dim[2];
    memset(dx, 0, (size_t)(height * width) * sizeof *dx);
    for (int64_t first = 0; first < in->dim[3]; first += COLUMNS) {
        int64_t count = part_of(first, in->dim[3]);
        find_columns(first, count, in->dim[3], width, &c);
        for (int64_t h = 0; h < in->dim[2]; h++) {
            resize_place place = resize_place_of(h, in->dim[2], height);
            float *top = dx + place.first * width;
            spread_row(&c, count, dy + h * in->dim[3] + first, (float)place.second, top,
                       place.second > 0 ? top + width : top);
        }
    }
}

/* Each picture is one thread's, row by row: the order of a sum is always the same. */
static be_status resize_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const be_shape *in = &call->in_shape[0], *out = &call->out_shape[0];
    int64_t whole = out->dim[2] * out->dim[3], made = in->dim[2] * in->dim[3];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < in->dim[0] * in->dim[1]; i++)
        spread_image((const float *)call->in[0] + i * made, in, (float *)call->out[0] + i * whole,
                     out);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(resize) = {.implementation = CPU_NATIVE, .run = resize_run};
const cpu_kernel CPU_KERNEL(resize_backward) = {.implementation = CPU_NATIVE,
                                                .run = resize_backward_run};
