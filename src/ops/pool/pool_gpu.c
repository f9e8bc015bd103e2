/* Pooling on GPUs. */
#include <inttypes.h>

#include "backend/gpu/gpu.h"
#include "ops/pool/pool.h"

extern const gpu_source gpu_source_pool;

/* `whole` is the unpooled side; both lie in the same layout. */
static be_status pool_use(gpu_call *call, const be_shape *whole, const be_shape *pooled,
                          const pool2d_attrs *attrs, be_error *err)
{
    bool last =
        call->in_layout[0] == LAYOUT_CHANNELS_LAST || call->out_layout[0] == LAYOUT_CHANNELS_LAST;
    int64_t channels = last ? whole->dim[1] : 1;
    return gpu_use(call, GPU_SOURCES(&gpu_source_pool), 128, err,
                   "SIZE=%d STRIDE=%d PADDING=%d HEIGHT=%" PRId64 " WIDTH=%" PRId64
                   " OUT_HEIGHT=%" PRId64 " OUT_WIDTH=%" PRId64 " PIXELS=%" PRId64
                   " LAST=%d CHANNELS=%" PRId64 " STEP=%" PRId64 " LEAVES_PADDING=%d",
                   attrs->size, attrs->stride, attrs->padding, whole->dim[2], whole->dim[3],
                   pooled->dim[2], pooled->dim[3], whole->dim[2] * whole->dim[3], last, channels,
                   channels, attrs->leaves_padding);
}

static be_status pool2d_prepare(gpu_call *call, be_error *err)
{
    return pool_use(call, &call->in_shape[0], &call->out_shape[0], call->attrs, err);
}

static be_status pool2d_backward_prepare(gpu_call *call, be_error *err)
{
    return pool_use(call, &call->out_shape[0], &call->in_shape[0], call->attrs, err);
}

/* The other kernels of the file look at PIXELS alone. */
static const pool2d_attrs average = {.size = 1, .stride = 1};

static be_status average_pool_prepare(gpu_call *call, be_error *err)
{
    return pool_use(call, &call->in_shape[0], &call->in_shape[0], &average, err);
}

static be_status average_pool_backward_prepare(gpu_call *call, be_error *err)
{
    return pool_use(call, &call->out_shape[0], &call->out_shape[0], &average, err);
}

static int groups_of(const gpu_call *call, int64_t items)
{
    return gpu_groups(call, items, call->units[0].group, 16);
}

/* Channels of an item of the maximum's kernels. */
static int64_t wide_of(const gpu_call *call)
{
    bool last = call->in_layout[0] == LAYOUT_CHANNELS_LAST;
    return last && call->in_shape[0].dim[1] % 8 == 0 ? 8 : 1;
}

static be_status max_pool2d_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t items = shape_elements(&call->out_shape[0]) / wide_of(call);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "max_pool", groups_of(call, items),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_writes(call->out[1]), gpu_int(items))},
        err);
}

/* Blocks of pixels along a side, as the kernel cuts them. */
static int64_t blocks_of(const pool2d_attrs *attrs, int64_t pixels)
{
    int side = attrs->stride == 2 ? 2 : 1;
    return (pixels - 1 + attrs->padding) / side - attrs->padding / side + 1;
}

static be_status max_pool2d_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                            be_error *err)
{
    const int64_t *dx = call->out_shape[0].dim;
    int64_t items = dx[0] * dx[1] * blocks_of(call->attrs, dx[2]) * blocks_of(call->attrs, dx[3]) /
                    wide_of(call);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "max_pool_backward", groups_of(call, items),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(items))},
        err);
}

/* All averages: the kernel of this name reads the one operand and writes the other. */
static be_status average_record(const gpu_call *call, gpu_recorder *recorder, const char *kernel,
                                be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, kernel, groups_of(call, shape_elements(&call->out_shape[0])),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(call->out[0]),
                                         gpu_int(shape_elements(&call->out_shape[0])))},
        err);
}

static be_status average_pool2d_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return average_record(call, recorder, "average_windows", err);
}

static be_status average_pool2d_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                                be_error *err)
{
    return average_record(call, recorder, "average_windows_backward", err);
}

static be_status average_pool_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return average_record(call, recorder, "average_pool", err);
}

static be_status average_pool_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                              be_error *err)
{
    return average_record(call, recorder, "average_pool_backward", err);
}

const gpu_kernel GPU_KERNEL(max_pool2d) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = pool2d_prepare, .record = max_pool2d_record};
const gpu_kernel GPU_KERNEL(max_pool2d_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = pool2d_backward_prepare,
                                                    .record = max_pool2d_backward_record};
const gpu_kernel GPU_KERNEL(average_pool2d) = {.implementation = GPU_IMPLEMENTATION,
                                               .prepare = pool2d_prepare,
                                               .record = average_pool2d_record};
const gpu_kernel GPU_KERNEL(average_pool2d_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                        .prepare = pool2d_backward_prepare,
                                                        .record = average_pool2d_backward_record};
const gpu_kernel GPU_KERNEL(global_average_pool) = {.implementation = GPU_IMPLEMENTATION,
                                                    .prepare = average_pool_prepare,
                                                    .record = average_pool_record};
const gpu_kernel GPU_KERNEL(global_average_pool_backward) = {
    .implementation = GPU_IMPLEMENTATION,
    .prepare = average_pool_backward_prepare,
    .record = average_pool_backward_record};
