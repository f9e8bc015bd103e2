/* Gathering and normalising a batch on the CPU: the images in parallel, each a plain run of bytes.
 */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/input/data_batch.h"

#define THREADS_PAY_FROM 32768 /* pixels */

typedef struct batch_view {
    const uint8_t *images;
    const int32_t *labels, *order;
    int64_t count, channels, pixels, order_count;
} batch_view;

static void normalise(const uint8_t *restrict from, float *restrict x, int64_t pixels, float scale,
                      float shift)
{
#pragma omp simd
    for (int64_t k = 0; k < pixels; k++) x[k] = (float)from[k] * scale + shift;
}

/* Fill one place of the batch; returns its target. */
static int32_t fill_place(const batch_view *view, const data_batch_attrs *attrs, int64_t place,
                          float *x)
{
    int64_t image = view->channels * view->pixels;
    int64_t from = place < 0 ? -1 : view->order[place];
    if (from < 0 || from >= view->count) {
        memset(x, 0, (size_t)image * sizeof *x);
        return place < 0 ? -1 : DATA_BATCH_BAD_TARGET;
    }
    for (int64_t c = 0; c < view->channels; c++)
        normalise(view->images + from * image + c * view->pixels, x + c * view->pixels,
                  view->pixels, (float)attrs->scale[c], (float)attrs->shift[c]);
    return view->labels[from];
}

static be_status data_batch_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const data_batch_attrs *attrs = call->attrs;
    const be_shape *shape = &call->in_shape[0];
    batch_view view = {.images = call->in[0],
                       .labels = call->in[1],
                       .order = call->in[2],
                       .count = shape->dim[0],
                       .channels = shape->dim[1],
                       .pixels = shape->dim[2] * shape->dim[3],
                       .order_count = call->in_shape[2].dim[0]};
    int64_t t = *(const int32_t *)call->in[3], image = view.channels * view.pixels;
    float *x = call->out[0];
    int32_t *target = call->out[1];
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (attrs->batch * image >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < attrs->batch; i++)
        target[i] = fill_place(&view, attrs, data_batch_place(attrs, t, i, view.order_count),
                               x + i * image);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(data_batch) = {.implementation = CPU_NATIVE, .run = data_batch_run};
