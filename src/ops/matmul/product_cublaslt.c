/* See product_cublaslt.h. */
#include "ops/matmul/product_cublaslt.h"

#include "backend/cuda/cublaslt_search.h"
#include "ops/reduce/upstream_gpu.h"

static be_status product_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    return cublaslt_plan_start(&((const product_part *)task)->plan, ((cuda_driver *)driver)->stream,
                               err);
}

static be_status part_prepare(gpu_call *call, const cublaslt_product *product, product_part *part,
                              be_error *err)
{
    cuda_driver *d = (cuda_driver *)call->driver;
    TRY(cublaslt_plan_new(d->math, d->cublaslt, product, &part->plan, err));
    TRY(cublaslt_search(d, product, !call->is_dry, &part->plan, err));
    part->task = (gpu_task){.name = "a product of cuBLASLt", .start = product_start};
    part->work_at = gpu_scratch_take(&call->scratch_bytes, part->plan.workspace_bytes);
    return BE_OK;
}

/* The side that is cut, of the matrix whose rows lie apart. */
static int64_t *cut_side(cublaslt_product *p)
{
    if (p->y_pitch) return &p->columns;
    if (!p->a_pitch) return NULL;
    return p->transpose_a ? &p->rows : &p->depth;
}

/* Where the operands of the part behind the first `length` of that side begin. */
static void place_behind(const cublaslt_product *p, int64_t length, product_part *part)
{
    size_t bytes = dtype_bytes(p->type), result = dtype_bytes(p->result), cut = (size_t)length;
    if (p->y_pitch) {
        part->b_at = cut * bytes * (p->transpose_b ? (size_t)p->depth : 1);
        part->bias_at = p->bias ? cut * result : 0;
        part->y_at = cut * result;
    } else {
        part->a_at = cut * bytes;
        if (p->transpose_a)
            part->y_at = cut * result * (size_t)p->columns;
        else
            part->b_at = cut * bytes * (p->transpose_b ? 1 : (size_t)p->columns);
    }
}

be_status product_task_prepare(gpu_call *call, const cublaslt_product *product, product_task *out,
                               be_error *err)
{
    cuda_driver *d = (cuda_driver *)call->driver;
    cublaslt_product most = *product, rest = *product;
    int64_t *side = cut_side(&most), whole = side ? *side : 0;
    int64_t unit = CUDA_MATH_ALIGN / (int64_t)dtype_bytes(product->type);
    TRY(cuda_enter(d, err));
    call->implementation = d->math->cublaslt_title;
    *out = (product_task){.parts = 1};
    if (whole > unit && whole % unit) {
        out->parts = 2;
        *cut_side(&rest) = whole % unit;
        *side = whole / unit * unit;
        place_behind(product, *side, &out->part[0]);
        most.add |= side == &most.depth;
        TRY(part_prepare(call, &rest, &out->part[0], err));
    }
    return part_prepare(call, &most, &out->part[out->parts - 1], err);
}

/* NULL stays NULL. */
static cuda_address behind(gpu_span span, size_t bytes)
{
    cuda_address at = cuda_span_address(span);
    return at ? at + bytes : 0;
}

static be_status part_record(const gpu_call *call, gpu_recorder *recorder, product_part *p,
                             const product_operands *o, be_error *err)
{
    gpu_span work = {0};
    if (p->plan.workspace_bytes > 0)
        work = gpu_part(call->scratch, p->work_at, p->plan.workspace_bytes);
    bool dry = gpu_is_dry(recorder);
    cublaslt_operands at = {.a = behind(o->a, p->a_at),
                            .b = behind(o->b, p->b_at),
                            .bias = behind(o->bias, p->bias_at),
                            .sum = cuda_span_address(o->sum),
                            .y = behind(o->y, p->y_at),
                            .workspace = cuda_span_address(work)};
    if (!dry) TRY(cublaslt_plan_bind(&p->plan, &at, err));
    return gpu_record_task(recorder, dry ? NULL : &p->task,
                           GPU_ARGUMENTS(gpu_reads(o->a), gpu_reads(o->b), gpu_reads(o->bias),
                                         gpu_reads(o->sum), gpu_writes(o->y), gpu_writes(work)),
                           err);
}

be_status product_task_record(const gpu_call *call, gpu_recorder *recorder, product_task *p,
                              const product_operands *operands, be_error *err)
{
    MUST(p->parts == 1 || !operands->sum.bytes);
    for (int i = 0; i < p->parts; i++) TRY(part_record(call, recorder, &p->part[i], operands, err));
    return BE_OK;
}

void product_task_free(product_task *p)
{
    for (int i = 0; i < p->parts; i++) cublaslt_plan_free(&p->part[i].plan);
}
