/* A convolution of cuDNN as a task of a plan.  See conv2d_cudnn.h. */
#include "backend/cuda/cudnn_search.h"
#include "ops/conv2d/conv2d_cudnn.h"
#include "ops/reduce/upstream_gpu.h"

#define EACH_GROUP 256
#define EACH_GROUPS_A_UNIT 8

extern const gpu_source gpu_source_conv2d_add;

static be_status convolution_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    (void)driver;
    return cudnn_plan_start(&((const convolution *)task)->plan, err);
}

cudnn_convolution_pattern convolution_pattern(const conv2d_sizes *sizes, cudnn_direction direction)
{
    conv2d_sizes s = *sizes;
    return (cudnn_convolution_pattern){.direction = direction,
                                       .n = s.n,
                                       .c = s.c,
                                       .h = s.h,
                                       .w = s.w,
                                       .o = s.o,
                                       .k = {s.k[0], s.k[1]},
                                       .oh = s.oh,
                                       .ow = s.ow,
                                       .stride = {s.stride[0], s.stride[1]},
                                       .padding = {s.padding[0], s.padding[1]}};
}

be_status convolution_prepare(gpu_call *call, const cudnn_convolution_pattern *what,
                              convolution *out, be_error *err)
{
    static const char *const names[] = {"a convolution of cuDNN",
                                        "a convolution's gradient of x by cuDNN",
                                        "a convolution's gradient of w by cuDNN"};
    cuda_driver *d = (cuda_driver *)call->driver;
    cudnn_place place = {.handle = d->cudnn, .kept = &d->cudnn_choices};
    cudnn_graph graph;
    cudnn_convolution_graph(what, &graph);
    TRY(cuda_enter(d, err));
    if (what->last && what->bf16) TRY(cudnn_search(d, &graph, !call->is_dry, &place.rank, err));
    TRY(cudnn_plan_new(d->math, &place, &graph, &out->plan, err));
    out->what = *what;
    out->task = (gpu_task){.name = names[what->direction], .start = convolution_start};
    out->work_at = gpu_scratch_take(&call->scratch_bytes, out->plan.choice->workspace_bytes);
    call->implementation = d->math->cudnn_title;
    return BE_OK;
}

static gpu_span workspace_of(const gpu_call *call, const convolution *c)
{
    size_t bytes = c->plan.choice->workspace_bytes;
    return bytes ? gpu_part(call->scratch, c->work_at, bytes) : (gpu_span){0};
}

be_status convolution_bind(const gpu_call *call, const gpu_recorder *recorder, convolution *c,
                           const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS], be_error *err)
{
    cuda_address addresses[CUDNN_CONVOLUTION_OPERANDS];
    for (int i = 0; i < CUDNN_CONVOLUTION_OPERANDS; i++)
        addresses[i] = cuda_span_address(operands[i]);
    if (gpu_is_dry(recorder)) return BE_OK;
    return cudnn_plan_bind(&c->plan, addresses, cuda_span_address(workspace_of(call, c)), err);
}

be_status convolution_record(const gpu_call *call, gpu_recorder *recorder, const convolution *c,
                             const gpu_span operands[CUDNN_CONVOLUTION_OPERANDS], be_error *err)
{
    static const int written[] = {
        [CUDNN_TO_Y] = CUDNN_Y, [CUDNN_TO_DX] = CUDNN_X, [CUDNN_TO_DW] = CUDNN_W};
    gpu_argument arguments[CUDNN_CONVOLUTION_OPERANDS + 1];
    for (int i = 0; i < CUDNN_CONVOLUTION_OPERANDS; i++) {
        bool out = i == written[c->what.direction];
        arguments[i] = out ? gpu_writes(operands[i]) : gpu_reads(operands[i]);
    }
    arguments[CUDNN_CONVOLUTION_OPERANDS] = gpu_writes(workspace_of(call, c));
    return gpu_record_task(recorder, gpu_is_dry(recorder) ? NULL : &c->task,
                           CUDNN_CONVOLUTION_OPERANDS + 1, arguments, err);
}

be_status convolution_sum_prepare(gpu_call *call, convolution_sum *out, be_error *err)
{
    const be_shape *sum = &call->in_shape[CONV2D_BACK_SUM], *dx = &call->out_shape[0];
    char text[3][64];
    *out = (convolution_sum){.any = sum->rank >= 0 && dx->rank >= 0, .unit = call->unit_count};
    if (!out->any) return BE_OK;
    out->bytes = (size_t)shape_elements(dx) * dtype_bytes(dx->dtype);
    out->at = gpu_scratch_take(&call->scratch_bytes, out->bytes);
    return gpu_use(call, GPU_SOURCES(&gpu_source_conv2d_add), EACH_GROUP, err, "%s %s %s",
                   gpu_type_words("S", sum->dtype, text[0]),
                   gpu_type_words("X", dx->dtype, text[1]),
                   gpu_type_words("Y", dx->dtype, text[2]));
}

gpu_span convolution_sum_span(const gpu_call *call, const convolution_sum *sum)
{
    return sum->any ? gpu_part(call->scratch, sum->at, sum->bytes) : call->out[0];
}

be_status convolution_sum_record(const gpu_call *call, gpu_recorder *recorder,
                                 const convolution_sum *sum, be_error *err)
{
    int64_t count = shape_elements(&call->out_shape[0]);
    if (!sum->any) return BE_OK;
    int groups =
        gpu_groups(call, (count + 7) / 8, call->units[sum->unit].group, EACH_GROUPS_A_UNIT);
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){sum->unit, "conv2d_add", groups,
                                         GPU_ARGUMENTS(gpu_reads(call->in[CONV2D_BACK_SUM]),
                                                       gpu_reads(convolution_sum_span(call, sum)),
                                                       gpu_writes(call->out[0]), gpu_int(count))},
                      err);
}
