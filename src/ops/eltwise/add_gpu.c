/* Two tensors element by element on GPUs. */
#include "backend/gpu/gpu.h"
#include "ops/eltwise/broadcast.h"

extern const gpu_source gpu_source_add;

static be_status binary_prepare(gpu_call *call, int operation, be_error *err)
{
    return gpu_use(call, GPU_SOURCES(&gpu_source_add), 256, err, "OPERATION=%d", operation);
}

static be_status add_prepare(gpu_call *call, be_error *err)
{
    return binary_prepare(call, 0, err);
}

static be_status subtract_prepare(gpu_call *call, be_error *err)
{
    return binary_prepare(call, 1, err);
}

static be_status multiply_prepare(gpu_call *call, be_error *err)
{
    return binary_prepare(call, 2, err);
}

#define VECTOR_BYTES 16

/* May words be moved?  b has a's shape, or the last dimensions of it and whole words. */
static bool is_vector(const gpu_call *call)
{
    const be_shape *a = &call->in_shape[0], *b = &call->in_shape[1];
    size_t offsets = call->in[0].offset | call->in[1].offset | call->out[0].offset;
    bool is_last = true;
    for (int d = 1; d <= b->rank; d++)
        is_last = is_last && d <= a->rank && b->dim[b->rank - d] == a->dim[a->rank - d];
    bool is_whole = shape_elements(b) == shape_elements(a) || shape_elements(b) % 8 == 0;
    return is_last && is_whole && offsets % VECTOR_BYTES == 0;
}

static be_status record_eights(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "binary_eights", gpu_groups(call, (count + 7) / 8, call->units[0].group, 8),
            GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_writes(call->out[0]),
                          gpu_int(count), gpu_int(shape_elements(&call->in_shape[1])))},
        err);
}

static be_status binary_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (is_vector(call)) return record_eights(call, recorder, err);
    int64_t count = shape_elements(&call->out_shape[0]);
    broadcast at = broadcast_of(&call->in_shape[0], &call->in_shape[1]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "binary", gpu_groups(call, count, call->units[0].group, 8),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count),
                                         gpu_int(at.dim[1]), gpu_int(at.dim[2]), gpu_int(at.dim[3]),
                                         gpu_int(at.stride[0]), gpu_int(at.stride[1]),
                                         gpu_int(at.stride[2]), gpu_int(at.stride[3]))},
        err);
}

const gpu_kernel GPU_KERNEL(add) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = add_prepare, .record = binary_record};
const gpu_kernel GPU_KERNEL(subtract) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = subtract_prepare, .record = binary_record};
const gpu_kernel GPU_KERNEL(multiply) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = multiply_prepare, .record = binary_record};
