/* Activations by formula on the CPU, in any layout that all operands share. */
#include "ops/eltwise/activation_cpu.h"

#include <math.h>

#include "backend/cpu/smooth.h"
#include "ops/reduce/column_sum.h"

#define PARAMETERS(names)
#define DEVICE static inline
#define NUMBER float
#define CONSTANT(c) c##f
#define FLOATS 1
#define TANH smooth_tanh
#define ABS fabsf
#define SELECT smooth_select
#define DECAY(x) smooth_exp(-(x))
#define RECIPROCAL(x) (1.0f / (x))
#include "ops/eltwise/activation_list.gpu.c"

#define PARALLEL_SIMD \
    _Pragma("omp parallel for simd num_threads(threads) schedule(static) if (threads > 1)")

/* A loop for each formula, so that the compiler sees it and makes vector code of it. */
#define X(kind, name)                                                                      \
    static void name##_forward(const float *x, float *y, int64_t count, int threads)       \
    {                                                                                      \
        PARALLEL_SIMD for (int64_t i = 0; i < count; i++) y[i] = name##_f(x[i]);           \
    }                                                                                      \
                                                                                           \
    static void name##_backward(const cpu_call *call)                                      \
    {                                                                                      \
        const float *x = call->in[0], *dy = call->in[1];                                   \
        float *dx = call->out[0];                                                          \
        int64_t count = call->out_elements;                                                \
        int threads = call->threads;                                                       \
        PARALLEL_SIMD for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * name##_df(x[i]); \
    }
ACTIVATION_LIST(X)
#undef X

void ACTIVATION_RUN(be_activation kind, const float *x, float *y, int64_t count, int threads)
{
#define X(id, name) \
    if (kind == BE_##id) name##_forward(x, y, count, threads);
    ACTIVATION_LIST(X)
#undef X
}

static be_status activation_run(const cpu_call *call, be_error *err)
{
    (void)err;
    ACTIVATION_RUN(((const activation_attrs *)call->attrs)->kind, call->in[0], call->out[0],
                   call->out_elements, call->threads);
    return BE_OK;
}

static be_status activation_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    be_activation kind = ((const activation_attrs *)call->attrs)->kind;
#define X(id, name) \
    if (kind == BE_##id) name##_backward(call);
    ACTIVATION_LIST(X)
#undef X
    if (call->out[1]) {
        int64_t columns = call->out_shape[1].dim[0];
        column_sum(call->out_elements / columns, columns, call->out[0], call->out[1],
                   call->threads);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(activation) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = activation_run};

const cpu_kernel CPU_KERNEL(activation_backward) = {
    .implementation = CPU_NATIVE, .layouts = cpu_layouts_of_input, .run = activation_backward_run};
