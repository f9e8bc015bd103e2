/* See product_clblast.h. */
#include "ops/matmul/product_clblast.h"

static be_status product_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    const clblast_task *t = (const clblast_task *)task;
    return clblast_start((opencl_driver *)driver, &t->product, &t->at, err);
}

be_status clblast_task_prepare(gpu_call *call, const clblast_product *product, clblast_task *out,
                               be_error *err)
{
    const opencl_driver *d = (const opencl_driver *)call->driver;
    be_dtype type = call->in_shape[0].dtype;
    if (type != BE_F32)
        FAIL(err, BE_UNAVAILABLE, "%s: a product: expected operands of f32, found %s",
             d->clblast->title, dtype_name(type));
    *out = (clblast_task){.task = {.name = "a product of CLBlast", .start = product_start},
                          .product = *product};
    TRY(clblast_room(d, product, &out->room_bytes, err));
    /* A buffer is wanted even where nothing of it is used. */
    if (out->room_bytes < sizeof(float)) out->room_bytes = sizeof(float);
    if (out->room_bytes > call->scratch_bytes) call->scratch_bytes = out->room_bytes;
    call->implementation = d->clblast->title;
    return BE_OK;
}

be_status clblast_task_record(const gpu_call *call, gpu_recorder *recorder, clblast_task *t,
                              const clblast_operands *o, be_error *err)
{
    t->at = *o;
    t->at.temporary = gpu_part(call->scratch, 0, t->room_bytes);
    return gpu_record_task(recorder, gpu_is_dry(recorder) ? NULL : &t->task,
                           GPU_ARGUMENTS(gpu_reads(o->a), gpu_reads(o->b), gpu_writes(o->y),
                                         gpu_writes(t->at.temporary)),
                           err);
}
