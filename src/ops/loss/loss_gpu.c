/* The loss and the step's end on GPUs: one launch where a group can do it, else two, of which the
 * first gives an item a row, or a group where there are many classes. */
#include "backend/gpu/gpu.h"

#define ONE_GROUP_UP_TO 65536 /* logits */
#define VECTOR_BYTES 16
#define ROW_A_GROUP_FROM 512 /* classes: an item alone would read a row for long, across memory */

extern const gpu_source gpu_source_group_sum, gpu_source_loss;

static int64_t rows_of(const gpu_call *call)
{
    return shape_elements(&call->in_shape[1]);
}

static int64_t classes_of(const gpu_call *call)
{
    return shape_elements(&call->in_shape[0]) / rows_of(call);
}

static bool has_many_classes(const gpu_call *call)
{
    return classes_of(call) >= ROW_A_GROUP_FROM;
}

static bool is_small(const gpu_call *call)
{
    return !has_many_classes(call) && shape_elements(&call->in_shape[0]) <= ONE_GROUP_UP_TO;
}

/* `dlogits`: NULL where there is none. */
static be_status use_kernels(gpu_call *call, int group, be_dtype logits, const be_shape *dlogits,
                             be_error *err)
{
    char words[2][64];
    return gpu_use(call, GPU_SOURCES(&gpu_source_group_sum, &gpu_source_loss), group, err,
                   "GRADIENT=%d %s %s", dlogits != NULL, gpu_type_words("X", logits, words[0]),
                   gpu_type_words("DX", dlogits ? dlogits->dtype : BE_F32, words[1]));
}

static be_status softmax_cross_entropy_prepare(gpu_call *call, be_error *err)
{
    int64_t rows = rows_of(call);
    int group = !is_small(call) ? (has_many_classes(call) ? 256 : 128)
                : rows <= 64    ? 64
                : rows <= 128   ? 128
                                : 512;
    if (!is_small(call)) call->scratch_bytes = (size_t)rows * (sizeof(float) + sizeof(int32_t));
    const be_shape *dlogits = &call->out_shape[2];
    return use_kernels(call, group, call->in_shape[0].dtype, dlogits->rank < 0 ? NULL : dlogits,
                       err);
}

static be_status softmax_cross_entropy_record(const gpu_call *call, gpu_recorder *recorder,
                                              be_error *err)
{
    int64_t rows = rows_of(call), classes = classes_of(call);
    size_t half = (size_t)rows * sizeof(float);
    if (is_small(call))
        return gpu_record(
            recorder, call,
            &(gpu_unit_launch){0, "softmax_cross_entropy", 1,
                               GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                             gpu_writes(call->out[0]), gpu_writes(call->out[1]),
                                             gpu_writes(call->out[2]), gpu_int(rows),
                                             gpu_int(classes))},
            err);
    gpu_span losses = gpu_part(call->scratch, 0, half),
             rights = gpu_part(call->scratch, half, half);
    int group = call->units[0].group;
    bool many = has_many_classes(call);
    bool vectors =
        call->in[0].offset % VECTOR_BYTES == 0 && call->out[2].offset % VECTOR_BYTES == 0;
    gpu_unit_launch launch = {
        .kernel = many ? "softmax_cross_entropy_groups" : "softmax_cross_entropy_rows",
        .groups = many ? gpu_groups(call, rows, 1, 8) : gpu_groups(call, rows, group, 4)};
    int64_t pitch = layout_pitch(call->in_layout[0], &call->in_shape[0]);
    const gpu_argument arguments[] = {
        gpu_reads(call->in[0]), gpu_reads(call->in[1]), gpu_writes(call->out[2]),
        gpu_writes(losses),     gpu_writes(rights),     gpu_int(rows),
        gpu_int(classes),       gpu_int(pitch),         gpu_int(vectors)};
    launch.arguments = arguments;
    launch.argument_count = many ? 9 : 7;
    TRY(gpu_record(recorder, call, &launch, err));
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){0, "softmax_cross_entropy_sum", 1,
                                         GPU_ARGUMENTS(gpu_reads(losses), gpu_reads(rights),
                                                       gpu_writes(call->out[0]),
                                                       gpu_writes(call->out[1]), gpu_int(rows))},
                      err);
}

static be_status advance_prepare(gpu_call *call, be_error *err)
{
    return use_kernels(call, 32, BE_F32, NULL, err);
}

static be_status advance_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "advance", 1,
                           GPU_ARGUMENTS(gpu_writes(call->out[0]), gpu_reads(call->in[1]),
                                         gpu_reads(call->in[2]), gpu_writes(call->out[1]),
                                         gpu_writes(call->out[2]), gpu_int(BE_LOSS_LOG))},
        err);
}

const gpu_kernel GPU_KERNEL(softmax_cross_entropy) = {.implementation = GPU_IMPLEMENTATION,
                                                      .prepare = softmax_cross_entropy_prepare,
                                                      .record = softmax_cross_entropy_record};
const gpu_kernel GPU_KERNEL(softmax_cross_entropy_loss) = {.implementation = GPU_IMPLEMENTATION,
                                                           .prepare = softmax_cross_entropy_prepare,
                                                           .record = softmax_cross_entropy_record};
const gpu_kernel GPU_KERNEL(advance) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = advance_prepare, .record = advance_record};
