/* Two tensors element by element on the CPU.  Of one shape they may lie in any layout; else the
 * loop goes by rows of a, along which b has as many elements, or one. */
#include "backend/cpu/cpu.h"
#include "ops/eltwise/broadcast.h"

static void binary_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                           value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    be_shape a = be_value_shape(g, node->in[0]), b = be_value_shape(g, node->in[1]);
    if (shape_equal(&a, &b)) cpu_layouts_of_input(device, g, node, in, out);
}

#define BINARY_RUN(name, f)                                                                        \
    static void name##_same(const cpu_call *call)                                                  \
    {                                                                                              \
        const float *x = call->in[0], *z = call->in[1];                                            \
        float *y = call->out[0];                                                                   \
        int64_t count = call->out_elements;                                                        \
        _Pragma(                                                                                   \
            "omp parallel for simd num_threads(call->threads) schedule(static)") for (int64_t i =  \
                                                                                          0;       \
                                                                                      i < count;   \
                                                                                      i++)         \
        {                                                                                          \
            float a = x[i], b = z[i];                                                              \
            y[i] = f;                                                                              \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void name##_broadcast(const cpu_call *call)                                             \
    {                                                                                              \
        broadcast at = broadcast_of(&call->in_shape[0], &call->in_shape[1]);                       \
        int64_t wide = at.dim[BE_MAX_RANK - 1], rows = call->out_elements / wide;                  \
        int64_t step = at.stride[BE_MAX_RANK - 1];                                                 \
        _Pragma("omp parallel for num_threads(call->threads) schedule(static)") for (int64_t row = \
                                                                                         0;        \
                                                                                     row < rows;   \
                                                                                     row++)        \
        {                                                                                          \
            const float *x = (const float *)call->in[0] + row * wide;                              \
            const float *z = (const float *)call->in[1] + broadcast_index(&at, row * wide);        \
            float *y = (float *)call->out[0] + row * wide;                                         \
            for (int64_t i = 0; i < wide; i++) {                                                   \
                float a = x[i], b = z[i * step];                                                   \
                y[i] = f;                                                                          \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static be_status name##_run(const cpu_call *call, be_error *err)                               \
    {                                                                                              \
        (void)err;                                                                                 \
        if (shape_equal(&call->in_shape[0], &call->in_shape[1]))                                   \
            name##_same(call);                                                                     \
        else                                                                                       \
            name##_broadcast(call);                                                                \
        return BE_OK;                                                                              \
    }                                                                                              \
                                                                                                   \
    const cpu_kernel CPU_KERNEL(name) = {                                                          \
        .implementation = CPU_NATIVE, .layouts = binary_layouts, .run = name##_run};

BINARY_RUN(add, a + b)
BINARY_RUN(subtract, a - b)
BINARY_RUN(multiply, a *b)
