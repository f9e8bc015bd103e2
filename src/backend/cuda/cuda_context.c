/* What every part of the CUDA driver begins with: the context, the arguments of a launch, and how
 * launches of a step follow one another. */
#include <stdio.h>

#include "backend/cuda/cuda_driver.h"

be_status cuda_enter(const cuda_driver *d, be_error *err)
{
    CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.context_set(d->context),
             "use its context");
    return BE_OK;
}

void cuda_full_edges(cuda_driver *d, const char *why)
{
    d->has_soon = false;
    snprintf(d->base.facts.remark, sizeof d->base.facts.remark, "full edges (%.60s)", why);
}

void cuda_arguments_fill(cuda_arguments *out, const gpu_launch *launch)
{
    MUST(launch->argument_count <= GPU_MAX_ARGUMENTS);
    for (int i = 0; i < launch->argument_count; i++) {
        const gpu_argument *a = &launch->arguments[i];
        out->pointers[i] = &out->values[i];
        if (a->kind == GPU_ARGUMENT_SPAN)
            out->values[i].address = cuda_span_address(a->span);
        else if (a->kind == GPU_ARGUMENT_I32)
            out->values[i].i32 = a->i32;
        else
            out->values[i].f32 = a->f32;
    }
}
