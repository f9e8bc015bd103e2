/* Conversion of types on the CPU: by way of f32.  Works on any layout. */
#include "backend/cpu/cpu.h"
#include "core/half.h"

#define PARALLEL 65536 /* elements; below, starting threads costs more than it saves */

static float load(be_dtype dtype, const void *x, int64_t i)
{
    if (dtype == BE_F32) return ((const float *)x)[i];
    uint16_t bits = ((const uint16_t *)x)[i];
    return dtype == BE_F16 ? half_to_float(bits) : brain_to_float(bits);
}

static void store(be_dtype dtype, void *y, int64_t i, float value)
{
    if (dtype == BE_F32)
        ((float *)y)[i] = value;
    else
        ((uint16_t *)y)[i] = dtype == BE_F16 ? half_from_float(value) : brain_from_float(value);
}

/* What each step of a training in bf16 does: a loop that becomes vectors. */
static void narrow(const float *x, uint16_t *y, int64_t count, int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static) if (count >= PARALLEL)
    for (int64_t i = 0; i < count; i++) y[i] = brain_from_float(x[i]);
}

static be_status cast_run(const cpu_call *call, be_error *err)
{
    be_dtype from = call->in_shape[0].dtype, to = call->out_shape[0].dtype;
    int64_t count = call->out_elements;
    (void)err;
    if (from == BE_F32 && to == BE_BF16) {
        narrow(call->in[0], call->out[0], count, call->threads);
        return BE_OK;
    }
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) store(to, call->out[0], i, load(from, call->in[0], i));
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(cast) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = cast_run};
