/* The convolution of images with the channels last on GPUs, by our own kernels. */
#include "ops/conv2d/conv2d_gpu.h"

#define GROUP_WANTED 128
#define GROUPS_PER_UNIT 64

extern const gpu_source gpu_source_conv2d_last;

static be_status prepare(gpu_call *call, be_dtype y, be_dtype dy, be_error *err)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    const be_shape *out = &call->out_shape[0];
    const be_shape *sum = &call->in_shape[CONV2D_BACK_SUM];
    char words[320], text[6][64];
    conv2d_gpu_words(&s, words);
    return gpu_use(
        call, GPU_SOURCES(&gpu_source_conv2d_last), GROUP_WANTED, err,
        "%s %s %s %s %s %s %s ADD=%d", words, gpu_type_words("X", call->in_shape[0].dtype, text[0]),
        gpu_type_words("W", call->in_shape[1].dtype, text[1]), gpu_type_words("Y", y, text[2]),
        gpu_type_words("D", dy, text[3]),
        gpu_type_words("S", sum->rank < 0 ? BE_F32 : sum->dtype, text[4]),
        gpu_type_words("DX", out->rank < 0 ? BE_F32 : out->dtype, text[5]), sum->rank >= 0);
}

be_status conv2d_last_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, call->out_shape[0].dtype, BE_F32, err);
}

be_status conv2d_last_backward_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, BE_F32, call->in_shape[3].dtype, err);
}

static int groups_of(const gpu_call *call, int64_t count)
{
    return gpu_groups(call, count, call->units[0].group, GROUPS_PER_UNIT);
}

be_status conv2d_last_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "conv2d_last", groups_of(call, count),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]), gpu_int(count))},
        err);
}

be_status conv2d_last_backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    int64_t taps = shape_elements(&call->out_shape[1]);
    if (call->out_shape[0].rank >= 0) {
        int64_t count = shape_elements(&call->out_shape[0]);
        TRY(gpu_record(
            recorder, call,
            &(gpu_unit_launch){0, "conv2d_last_dx", groups_of(call, count),
                               GPU_ARGUMENTS(gpu_reads(call->in[1]), gpu_reads(call->in[3]),
                                             gpu_reads(call->in[CONV2D_BACK_SUM]),
                                             gpu_writes(call->out[0]), gpu_int(count))},
            err));
    }
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "conv2d_last_dw", groups_of(call, taps),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[3]),
                                         gpu_writes(call->out[1]), gpu_int(taps))},
        err);
}
