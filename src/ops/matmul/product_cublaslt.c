/* See product_cublaslt.h. */
#include "ops/matmul/product_cublaslt.h"

#include "backend/cuda/cublaslt_search.h"
#include "ops/reduce/upstream_gpu.h"

static be_status product_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    return cublaslt_plan_start(&((const product_task *)task)->plan, ((cuda_driver *)driver)->stream,
                               err);
}

be_status product_task_prepare(gpu_call *call, const cublaslt_product *product, product_task *out,
                               be_error *err)
{
    cuda_driver *d = (cuda_driver *)call->driver;
    TRY(cuda_enter(d, err));
    TRY(cublaslt_plan_new(d->math, d->cublaslt, product, &out->plan, err));
    TRY(cublaslt_search(d, product, !call->is_dry, &out->plan, err));
    out->task = (gpu_task){.name = "a product of cuBLASLt", .start = product_start};
    out->work_at = gpu_scratch_take(&call->scratch_bytes, out->plan.workspace_bytes);
    call->implementation = d->math->cublaslt_title;
    return BE_OK;
}

be_status product_task_record(const gpu_call *call, gpu_recorder *recorder, product_task *p,
                              const product_operands *o, be_error *err)
{
    gpu_span work = {0};
    if (p->plan.workspace_bytes > 0)
        work = gpu_part(call->scratch, p->work_at, p->plan.workspace_bytes);
    bool dry = gpu_is_dry(recorder);
    cublaslt_operands at = {.a = cuda_span_address(o->a),
                            .b = cuda_span_address(o->b),
                            .bias = cuda_span_address(o->bias),
                            .y = cuda_span_address(o->y),
                            .workspace = cuda_span_address(work)};
    if (!dry) TRY(cublaslt_plan_bind(&p->plan, &at, err));
    return gpu_record_task(recorder, dry ? NULL : &p->task,
                           GPU_ARGUMENTS(gpu_reads(o->a), gpu_reads(o->b), gpu_reads(o->bias),
                                         gpu_writes(o->y), gpu_writes(work)),
                           err);
}
