/* See transfer_gpu.h.  The span of what lies with the host has the memory itself for a buffer. */
#include "ops/layout/transfer_gpu.h"

typedef struct transfer {
    gpu_task base;
    bool to_host;
    gpu_span device;
    void *host;
} transfer;

static be_status transfer_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    const transfer *t = (const transfer *)task;
    return driver->vtable->transfer(driver, t->device, t->host, t->to_host, err);
}

be_status transfer_prepare(gpu_call *call, bool to_host, be_error *err)
{
    void *memory = NULL;
    TRY(arena_alloc(call->memory, &memory, sizeof(transfer), err));
    *(transfer *)memory =
        (transfer){.base = {.name = to_host ? "a copy to the host" : "a copy to the device",
                            .start = transfer_start},
                   .to_host = to_host};
    call->state = memory;
    return BE_OK;
}

/* As many bytes as the result has. */
be_status transfer_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    transfer *t = call->state;
    gpu_span from = call->in[0], to = call->out[0];
    from.bytes = to.bytes;
    const gpu_span *host = t->to_host ? &to : &from;
    t->device = t->to_host ? from : to;
    t->host = (char *)host->buffer + host->offset;
    return gpu_record_task(recorder, gpu_is_dry(recorder) ? NULL : &t->base,
                           GPU_ARGUMENTS(gpu_reads(from), gpu_writes(to)), err);
}
