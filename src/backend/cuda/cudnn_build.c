/* See cudnn_build.h.  The attributes and their meaning: NVIDIA's "cuDNN backend API" reference. */
#include "backend/cuda/cudnn_build.h"

be_status cudnn_refuse(const cuda_math *math, const char *what, cudnn_status status, be_error *err)
{
    char detail[256] = "";
    math->dnn.last_error(detail, sizeof detail);
    detail[sizeof detail - 1] = 0;
    /* What cuDNN cannot do, our own kernels may; a library that is broken is told. */
    bool refused = status / 1000 == DNN_STATUS_NOT_SUPPORTED / 1000;
    FAIL(err, refused ? BE_UNAVAILABLE : BE_DRIVER, "%s: %s: %s (%d)%s%.200s", math->cudnn_title,
         what, math->dnn.error_string(status), (int)status, *detail ? ": " : "", detail);
}

be_status cudnn_make(cudnn_builder *b, cudnn_kind kind, cudnn_descriptor *out, be_error *err)
{
    MUST(b->count < CUDNN_DESCRIPTORS_MOST);
    *out = NULL;
    cudnn_status status = b->math->dnn.descriptor_new(kind, out);
    if (status != DNN_STATUS_SUCCESS) return cudnn_refuse(b->math, "a descriptor", status, err);
    b->owned[b->count++] = *out;
    return BE_OK;
}

void cudnn_drop(cudnn_builder *b)
{
    b->math->dnn.descriptor_free(b->owned[--b->count]);
}

void cudnn_drop_all(cudnn_builder *b)
{
    while (b->count > 0) cudnn_drop(b);
}

be_status cudnn_set_all(cudnn_builder *b, cudnn_descriptor d, const cudnn_setting *settings,
                        int count, const char *what, be_error *err)
{
    for (int i = 0; i < count; i++) {
        const cudnn_setting *s = &settings[i];
        if (s->count == 0) continue;
        cudnn_status status = b->math->dnn.set(d, s->attribute, s->type, s->count, s->values);
        if (status != DNN_STATUS_SUCCESS) return cudnn_refuse(b->math, what, status, err);
    }
    cudnn_status status = b->math->dnn.finalize(d);
    return status == DNN_STATUS_SUCCESS ? BE_OK : cudnn_refuse(b->math, what, status, err);
}

#define ONE CUDNN_ONE
#define SET_ALL CUDNN_SET_ALL

/* A tensor that an operation may lack. */
#define MAYBE(attribute, pointer)                                                                \
    {                                                                                            \
        DNN_ATTR_##attribute, DNN_TYPE_BACKEND_DESCRIPTOR, *(pointer) != NULL ? 1 : 0, (pointer) \
    }

static const int float_type = DNN_DATA_FLOAT;

static be_status add_tensor(cudnn_builder *b, const cudnn_tensor *t, int64_t id,
                            cudnn_descriptor *out, be_error *err)
{
    /* Rows of bf16 may begin within a tensor: k and v behind q. */
    int64_t align = t->is_number                   ? (int64_t)sizeof(float)
                    : t->type == DNN_DATA_BFLOAT16 ? 16
                                                   : CUDA_MATH_ALIGN;
    TRY(cudnn_make(b, DNN_BACKEND_TENSOR_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "a tensor", ONE(TENSOR_DATA_TYPE, DATA_TYPE, &t->type),
                   {DNN_ATTR_TENSOR_DIMENSIONS, DNN_TYPE_INT64, CUDNN_RANK, t->dims},
                   {DNN_ATTR_TENSOR_STRIDES, DNN_TYPE_INT64, CUDNN_RANK, t->strides},
                   ONE(TENSOR_UNIQUE_ID, INT64, &id), ONE(TENSOR_BYTE_ALIGNMENT, INT64, &align),
                   ONE(TENSOR_IS_VIRTUAL, BOOLEAN, &t->inner),
                   {DNN_ATTR_TENSOR_IS_BY_VALUE, DNN_TYPE_BOOLEAN, t->is_number, &t->is_number});
}

/* ---------------------------------------------------------------- the operations
 *
 * `tensors` are the descriptors by the tensors' numbers. */

static be_status add_convolution(cudnn_builder *b, const cudnn_graph *g, const cudnn_operation *o,
                                 const cudnn_descriptor *tensors, cudnn_descriptor *out,
                                 be_error *err)
{
    static const struct {
        cudnn_kind kind;
        cudnn_attribute first, second, result, how, alpha, beta;
    } names[] = {
        [CUDNN_CONVOLVE_TO_Y] = {DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        [CUDNN_CONVOLVE_TO_DX] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        [CUDNN_CONVOLVE_TO_DW] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
    const int mode = DNN_CROSS_CORRELATION;
    const int64_t dims = 2, ones[2] = {1, 1};
    const float one = 1.0f, zero = 0.0f;
    cudnn_descriptor how;
    TRY(cudnn_make(b, DNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how, err));
    TRY(SET_ALL(b, how, "a convolution", ONE(CONVOLUTION_COMP_TYPE, DATA_TYPE, &float_type),
                ONE(CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, &mode),
                ONE(CONVOLUTION_SPATIAL_DIMS, INT64, &dims),
                {DNN_ATTR_CONVOLUTION_PRE_PADDINGS, DNN_TYPE_INT64, 2, g->padding},
                {DNN_ATTR_CONVOLUTION_POST_PADDINGS, DNN_TYPE_INT64, 2, g->padding},
                {DNN_ATTR_CONVOLUTION_DILATIONS, DNN_TYPE_INT64, 2, ones},
                {DNN_ATTR_CONVOLUTION_FILTER_STRIDES, DNN_TYPE_INT64, 2, g->stride}));
    TRY(cudnn_make(b, names[o->kind].kind, out, err));
    return SET_ALL(b, *out, "the operation of a convolution",
                   {names[o->kind].first, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[o->in[0]]},
                   {names[o->kind].second, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[o->in[1]]},
                   {names[o->kind].result, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[o->out]},
                   {names[o->kind].how, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &how},
                   {names[o->kind].alpha, DNN_TYPE_FLOAT, 1, &one},
                   {names[o->kind].beta, DNN_TYPE_FLOAT, 1, &zero});
}

static be_status add_product(cudnn_builder *b, const cudnn_operation *o,
                             const cudnn_descriptor *tensors, cudnn_descriptor *out, be_error *err)
{
    cudnn_descriptor how;
    TRY(cudnn_make(b, DNN_BACKEND_MATMUL_DESCRIPTOR, &how, err));
    TRY(SET_ALL(b, how, "a product", ONE(MATMUL_COMP_TYPE, DATA_TYPE, &float_type)));
    TRY(cudnn_make(b, DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "the operation of a product",
                   ONE(OPERATION_MATMUL_DESC, BACKEND_DESCRIPTOR, &how),
                   ONE(OPERATION_MATMUL_ADESC, BACKEND_DESCRIPTOR, &tensors[o->in[0]]),
                   ONE(OPERATION_MATMUL_BDESC, BACKEND_DESCRIPTOR, &tensors[o->in[1]]),
                   ONE(OPERATION_MATMUL_CDESC, BACKEND_DESCRIPTOR, &tensors[o->out]),
                   MAYBE(OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, &tensors[o->lengths[0]]),
                   MAYBE(OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, &tensors[o->lengths[1]]),
                   MAYBE(OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, &tensors[o->lengths[2]]));
}

/* In which type a pointwise operation computes. */
static int type_of_mode(int mode)
{
    if (mode == DNN_POINTWISE_GEN_INDEX) return DNN_DATA_INT32;
    bool truth = mode == DNN_POINTWISE_CMP_GE || mode == DNN_POINTWISE_CMP_LT ||
                 mode == DNN_POINTWISE_LOGICAL_AND;
    return truth ? DNN_DATA_BOOLEAN : DNN_DATA_FLOAT;
}

static be_status add_pointwise(cudnn_builder *b, const cudnn_operation *o,
                               const cudnn_descriptor *tensors, cudnn_descriptor *out,
                               be_error *err)
{
    const int type = type_of_mode(o->mode), nan = DNN_PROPAGATE_NAN;
    const int64_t axis = o->axis;
    cudnn_descriptor how;
    TRY(cudnn_make(b, DNN_BACKEND_POINTWISE_DESCRIPTOR, &how, err));
    TRY(SET_ALL(
        b, how, "an elementwise step", ONE(POINTWISE_MODE, POINTWISE_MODE, &o->mode),
        ONE(POINTWISE_MATH_PREC, DATA_TYPE, &type),
        {DNN_ATTR_POINTWISE_NAN_PROPAGATION, DNN_TYPE_NAN_PROPOGATION,
         o->mode == DNN_POINTWISE_RELU_FWD, &nan},
        {DNN_ATTR_POINTWISE_AXIS, DNN_TYPE_INT64, o->mode == DNN_POINTWISE_GEN_INDEX, &axis}));
    TRY(cudnn_make(b, DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "the operation of an elementwise step",
                   ONE(OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, &how),
                   ONE(OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, &tensors[o->in[0]]),
                   MAYBE(OPERATION_POINTWISE_BDESC, &tensors[o->in[1]]),
                   MAYBE(OPERATION_POINTWISE_TDESC, &tensors[o->in[2]]),
                   ONE(OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, &tensors[o->out]));
}

static be_status add_reduction(cudnn_builder *b, const cudnn_operation *o,
                               const cudnn_descriptor *tensors, cudnn_descriptor *out,
                               be_error *err)
{
    cudnn_descriptor how;
    TRY(cudnn_make(b, DNN_BACKEND_REDUCTION_DESCRIPTOR, &how, err));
    TRY(SET_ALL(b, how, "a reduction", ONE(REDUCTION_OPERATOR, REDUCTION_OPERATOR_TYPE, &o->mode),
                ONE(REDUCTION_COMP_TYPE, DATA_TYPE, &float_type)));
    TRY(cudnn_make(b, DNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "the operation of a reduction",
                   ONE(OPERATION_REDUCTION_DESC, BACKEND_DESCRIPTOR, &how),
                   ONE(OPERATION_REDUCTION_XDESC, BACKEND_DESCRIPTOR, &tensors[o->in[0]]),
                   ONE(OPERATION_REDUCTION_YDESC, BACKEND_DESCRIPTOR, &tensors[o->out]));
}

static be_status add_reshape(cudnn_builder *b, const cudnn_operation *o,
                             const cudnn_descriptor *tensors, cudnn_descriptor *out, be_error *err)
{
    TRY(cudnn_make(b, DNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "the operation of a view",
                   ONE(OPERATION_RESHAPE_XDESC, BACKEND_DESCRIPTOR, &tensors[o->in[0]]),
                   ONE(OPERATION_RESHAPE_YDESC, BACKEND_DESCRIPTOR, &tensors[o->out]));
}

static be_status add_operation(cudnn_builder *b, const cudnn_graph *g, const cudnn_operation *o,
                               const cudnn_descriptor *tensors, cudnn_descriptor *out,
                               be_error *err)
{
    switch (o->kind) {
    case CUDNN_CONVOLVE_TO_Y:
    case CUDNN_CONVOLVE_TO_DX:
    case CUDNN_CONVOLVE_TO_DW:
        return add_convolution(b, g, o, tensors, out, err);
    case CUDNN_MULTIPLY:
        return add_product(b, o, tensors, out, err);
    case CUDNN_POINTWISE:
        return add_pointwise(b, o, tensors, out, err);
    case CUDNN_REDUCE:
        return add_reduction(b, o, tensors, out, err);
    case CUDNN_RESHAPE:
        return add_reshape(b, o, tensors, out, err);
    }
    MUST(!"a kind of operation that is known");
    return BE_OK;
}

be_status cudnn_build_graph(cudnn_builder *b, const cudnn_graph *graph, cudnn_handle handle,
                            cudnn_descriptor *out, be_error *err)
{
    cudnn_descriptor tensors[CUDNN_TENSORS_MOST + 1] = {NULL};
    cudnn_descriptor operations[CUDNN_OPERATIONS_MOST];
    for (int t = 1; t <= graph->tensor_count; t++)
        TRY(add_tensor(b, &graph->tensors[t], t, &tensors[t], err));
    for (int o = 0; o < graph->operation_count; o++)
        TRY(add_operation(b, graph, &graph->operations[o], tensors, &operations[o], err));
    TRY(cudnn_make(b, DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out, err));
    return SET_ALL(b, *out, "an operation graph",
                   {DNN_ATTR_OPERATIONGRAPH_OPS, DNN_TYPE_BACKEND_DESCRIPTOR,
                    graph->operation_count, operations},
                   {DNN_ATTR_OPERATIONGRAPH_HANDLE, DNN_TYPE_HANDLE, handle != NULL, &handle});
}
