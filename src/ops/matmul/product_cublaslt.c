/* See product_cublaslt.h. */
#include "ops/matmul/product_cublaslt.h"

#include "backend/cuda/cublaslt_search.h"
#include "ops/reduce/upstream_gpu.h"

#define ROW_BYTES 16          /* where a row has to begin for tensor cores */
#define PITCH_ELEMENTS 64     /* a line of the cache, of bf16 */
#define COPIED_FROM (1 << 18) /* elements: smaller ones are not worth a launch */
#define GROUP_WANTED 256
#define GROUPS_A_UNIT 8

extern const gpu_source gpu_source_pitch;

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

be_status product_rows_prepare(gpu_call *call, bool tensor, product_rows *m, be_error *err)
{
    char words[64];
    int64_t bytes = (int64_t)dtype_bytes(m->type);
    int64_t pitch = (m->columns + PITCH_ELEMENTS - 1) / PITCH_ELEMENTS * PITCH_ELEMENTS;
    m->pitch = 0;
    if (!tensor || m->columns * bytes % ROW_BYTES == 0 || m->rows * m->columns < COPIED_FROM ||
        m->rows * pitch > INT32_MAX)
        return BE_OK;
    m->pitch = pitch;
    m->unit = call->unit_count;
    m->at = gpu_scratch_take(&call->scratch_bytes, (size_t)(m->rows * pitch * bytes));
    return gpu_use(call, GPU_SOURCES(&gpu_source_pitch), GROUP_WANTED, err, "%s",
                   gpu_type_words("X", m->type, words));
}

gpu_span product_rows_apart(const gpu_call *call, const product_rows *m)
{
    return gpu_part(call->scratch, m->at, (size_t)(m->rows * m->pitch) * dtype_bytes(m->type));
}

be_status product_rows_spread(const gpu_call *call, gpu_recorder *recorder, const product_rows *m,
                              gpu_span x, be_error *err)
{
    int64_t count = m->rows * m->columns;
    int groups = gpu_groups(call, count, call->units[m->unit].group, GROUPS_A_UNIT);
    return gpu_record(
        recorder, call,
        &(gpu_step){m->unit, "pitch_rows", groups,
                    GPU_ARGUMENTS(gpu_reads(x), gpu_writes(product_rows_apart(call, m)),
                                  gpu_int(count), gpu_int(m->columns), gpu_int(m->columns),
                                  gpu_int(m->pitch))},
        err);
}

be_status product_rows_close(const gpu_call *call, gpu_recorder *recorder, const product_rows *m,
                             gpu_span y, be_error *err)
{
    int64_t count = m->rows * m->columns;
    int groups = gpu_groups(call, count, call->units[m->unit].group, GROUPS_A_UNIT);
    return gpu_record(recorder, call,
                      &(gpu_step){m->unit, "pitch_rows", groups,
                                  GPU_ARGUMENTS(gpu_reads(product_rows_apart(call, m)),
                                                gpu_writes(y), gpu_int(count), gpu_int(m->columns),
                                                gpu_int(m->pitch), gpu_int(m->columns))},
                      err);
}
