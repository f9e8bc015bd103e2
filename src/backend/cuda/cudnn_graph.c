/* See cudnn_graph.h. */
#include "backend/cuda/cudnn_graph.h"

#include <string.h>

#include "core/status.h"

static int add(cudnn_graph *g, const cudnn_tensor *tensor, const int64_t *strides)
{
    MUST(g->tensor_count < CUDNN_TENSORS_MOST);
    cudnn_tensor *t = &g->tensors[++g->tensor_count];
    *t = *tensor;
    t->strides[CUDNN_RANK - 1] = 1;
    for (int d = CUDNN_RANK - 2; d >= 0; d--) t->strides[d] = t->dims[d + 1] * t->strides[d + 1];
    if (strides) memcpy(t->strides, strides, sizeof t->strides);
    return g->tensor_count;
}

int cudnn_add_operand(cudnn_graph *g, int operand, int type, const int64_t dims[CUDNN_RANK],
                      const int64_t *strides)
{
    cudnn_tensor t = {.type = type, .operand = operand};
    memcpy(t.dims, dims, sizeof t.dims);
    MUST(operand >= 0 && operand < CUDNN_OPERANDS_MOST);
    return add(g, &t, strides);
}

bool cudnn_is_operand(const cudnn_tensor *tensor)
{
    return !tensor->inner && !tensor->is_number;
}

int cudnn_add_inner(cudnn_graph *g, int type, const int64_t dims[CUDNN_RANK])
{
    cudnn_tensor t = {.type = type, .inner = true};
    memcpy(t.dims, dims, sizeof t.dims);
    return add(g, &t, NULL);
}

int cudnn_add_number(cudnn_graph *g, float number)
{
    cudnn_tensor t = {
        .type = DNN_DATA_FLOAT, .dims = {1, 1, 1, 1}, .is_number = true, .number = number};
    return add(g, &t, NULL);
}

void cudnn_add_operation(cudnn_graph *g, const cudnn_operation *operation)
{
    MUST(g->operation_count < CUDNN_OPERATIONS_MOST);
    g->operations[g->operation_count++] = *operation;
}

int cudnn_add_pointwise(cudnn_graph *g, int mode, int x, int b)
{
    int y = cudnn_add_inner(g, DNN_DATA_FLOAT, g->tensors[x].dims);
    cudnn_add_operation(
        g, &(cudnn_operation){.kind = CUDNN_POINTWISE, .mode = mode, .in = {x, b}, .out = y});
    return y;
}
