/* The convolution on cuDNN: forward with bias and ReLU in one graph; backward as two convolutions,
 * with our own kernels for what ReLU stopped and for the bias. */
#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cudnn_plan.h"
#include "ops/conv2d/conv2d.h"
#include "ops/reduce/upstream_gpu.h"

/* A plan of cuDNN's as a task. */
typedef struct convolution {
    gpu_task task; /* first */
    cudnn_plan plan;
    size_t work_at; /* its workspace in scratch */
} convolution;

static be_status convolution_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    (void)driver;
    return cudnn_plan_start(&((const convolution *)task)->plan, err);
}

static cudnn_convolution convolution_of(const gpu_call *call, cudnn_direction direction)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    bool forward = direction == CUDNN_TO_Y;
    return (cudnn_convolution){.direction = direction,
                               .n = s.n,
                               .c = s.c,
                               .h = s.h,
                               .w = s.w,
                               .o = s.o,
                               .k = s.k,
                               .oh = s.oh,
                               .ow = s.ow,
                               .stride = s.stride,
                               .padding = s.padding,
                               .bias = forward && call->in_shape[2].rank >= 0,
                               .relu = forward && attrs->relu};
}

static be_status convolution_prepare(gpu_call *call, cudnn_direction direction, convolution *out,
                                     be_error *err)
{
    static const char *const names[] = {"a convolution of cuDNN",
                                        "a convolution's gradient of x by cuDNN",
                                        "a convolution's gradient of w by cuDNN"};
    const cuda_driver *d = (const cuda_driver *)call->driver;
    cudnn_convolution what = convolution_of(call, direction);
    TRY(cuda_enter(d, err));
    TRY(cudnn_plan_new(d->math, &(cudnn_place){.handle = d->cudnn}, &what, &out->plan, err));
    out->task = (gpu_task){.name = names[direction], .start = convolution_start};
    out->work_at = gpu_scratch_take(&call->scratch_bytes, out->plan.workspace_bytes);
    call->implementation = d->math->cudnn_title;
    return BE_OK;
}

/* x, w, y and b are the operands or their gradients; `direction` says which of them is written. */
static be_status convolution_record(const gpu_call *call, gpu_recorder *recorder, convolution *c,
                                    const gpu_span operands[CUDNN_OPERANDS], be_error *err)
{
    static const cudnn_operand written[] = {
        [CUDNN_TO_Y] = CUDNN_Y, [CUDNN_TO_DX] = CUDNN_X, [CUDNN_TO_DW] = CUDNN_W};
    gpu_argument arguments[CUDNN_OPERANDS + 1];
    cuda_address addresses[CUDNN_OPERANDS];
    gpu_span work = {0};
    for (int i = 0; i < CUDNN_OPERANDS; i++) {
        bool out = (cudnn_operand)i == written[c->plan.what.direction];
        arguments[i] = out ? gpu_writes(operands[i]) : gpu_reads(operands[i]);
        addresses[i] = cuda_span_address(operands[i]);
    }
    if (c->plan.workspace_bytes > 0)
        work = gpu_part(call->scratch, c->work_at, c->plan.workspace_bytes);
    arguments[CUDNN_OPERANDS] = gpu_writes(work);
    bool dry = gpu_is_dry(recorder);
    if (!dry) TRY(cudnn_plan_bind(&c->plan, addresses, cuda_span_address(work), err));
    return gpu_record_task(recorder, dry ? NULL : &c->task, CUDNN_OPERANDS + 1, arguments, err);
}

/* ---------------------------------------------------------------- forward */

static void forward_release(void *state)
{
    cudnn_plan_free(&((convolution *)state)->plan);
}

static be_status forward_prepare(gpu_call *call, be_error *err)
{
    TRY(arena_alloc(call->memory, &call->state, sizeof(convolution), err));
    call->release = forward_release;
    return convolution_prepare(call, CUDNN_TO_Y, call->state, err);
}

static be_status forward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const gpu_span operands[CUDNN_OPERANDS] = {[CUDNN_X] = call->in[0],
                                               [CUDNN_W] = call->in[1],
                                               [CUDNN_Y] = call->out[0],
                                               [CUDNN_B] = call->in[2]};
    return convolution_record(call, recorder, call->state, operands, err);
}

/* ---------------------------------------------------------------- backward */

typedef struct backward_plan {
    gpu_upstream upstream;
    convolution dx, dw;
} backward_plan;

static void backward_release(void *state)
{
    backward_plan *plan = state;
    cudnn_plan_free(&plan->dx.plan);
    cudnn_plan_free(&plan->dw.plan);
}

static be_status backward_prepare(gpu_call *call, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    call->release = backward_release;
    plan->upstream = (gpu_upstream){
        .shape = call->in_shape[3], .mask = attrs->relu ? "relu_backward" : NULL, .summed = true};
    TRY(gpu_upstream_prepare(call, &plan->upstream, &call->scratch_bytes, err));
    if (attrs->need_dx) TRY(convolution_prepare(call, CUDNN_TO_DX, &plan->dx, err));
    return convolution_prepare(call, CUDNN_TO_DW, &plan->dw, err);
}

static be_status backward_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    backward_plan *plan = call->state;
    gpu_span dz;
    TRY(gpu_upstream_record(call, recorder, &plan->upstream, &dz, err));
    const gpu_span dx[CUDNN_OPERANDS] = {
        [CUDNN_X] = call->out[0], [CUDNN_W] = call->in[1], [CUDNN_Y] = dz};
    const gpu_span dw[CUDNN_OPERANDS] = {
        [CUDNN_X] = call->in[0], [CUDNN_W] = call->out[1], [CUDNN_Y] = dz};
    if (attrs->need_dx) TRY(convolution_record(call, recorder, &plan->dx, dx, err));
    return convolution_record(call, recorder, &plan->dw, dw, err);
}

const gpu_kernel CUDNN_KERNEL(conv2d) = {"cuDNN", forward_prepare, forward_record};
const gpu_kernel CUDNN_KERNEL(conv2d_backward) = {"cuDNN", backward_prepare, backward_record};
