/* See cudnn_plan.h.  The attributes and their meaning: NVIDIA's "cuDNN backend API" reference. */
#include "backend/cuda/cudnn_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RESULTS_MOST 64
#define NOTES_MOST 16

/* Numbers of the tensors; those between two operations of a graph follow the operands. */
enum { ID_FIRST = 1, ID_INNER = 8 };

static be_status refuse(const cuda_math *math, const char *what, cudnn_status status, be_error *err)
{
    char detail[256] = "";
    math->dnn.last_error(detail, sizeof detail);
    detail[sizeof detail - 1] = 0;
    /* What cuDNN cannot do, our own kernels may; a library that is broken is told. */
    bool refused = status / 1000 == DNN_STATUS_NOT_SUPPORTED / 1000;
    FAIL(err, refused ? BE_UNAVAILABLE : BE_DRIVER, "%s: %s: %s (%d)%s%.200s", math->cudnn_title,
         what, math->dnn.error_string(status), (int)status, *detail ? ": " : "", detail);
}

static be_status make(cudnn_plan *p, cudnn_kind kind, cudnn_descriptor *out, be_error *err)
{
    MUST(p->owned_count < CUDNN_DESCRIPTORS_MOST);
    *out = NULL;
    cudnn_status status = p->math->dnn.descriptor_new(kind, out);
    if (status != DNN_STATUS_SUCCESS) return refuse(p->math, "a descriptor", status, err);
    p->owned[p->owned_count++] = *out;
    return BE_OK;
}

/* Give back the last that was made. */
static void drop(cudnn_plan *p)
{
    p->math->dnn.descriptor_free(p->owned[--p->owned_count]);
}

typedef struct setting {
    cudnn_attribute attribute;
    cudnn_type type;
    int64_t count;
    const void *values;
} setting;

static be_status set_all(cudnn_plan *p, cudnn_descriptor d, const setting *settings, int count,
                         const char *what, be_error *err)
{
    for (int i = 0; i < count; i++) {
        const setting *s = &settings[i];
        if (s->count == 0) continue;
        cudnn_status status = p->math->dnn.set(d, s->attribute, s->type, s->count, s->values);
        if (status != DNN_STATUS_SUCCESS) return refuse(p->math, what, status, err);
    }
    cudnn_status status = p->math->dnn.finalize(d);
    return status == DNN_STATUS_SUCCESS ? BE_OK : refuse(p->math, what, status, err);
}

#define SET_ALL(plan, descriptor, what, ...)                      \
    set_all((plan), (descriptor), (const setting[]){__VA_ARGS__}, \
            (int)(sizeof((setting[]){__VA_ARGS__}) / sizeof(setting)), (what), err)

#define ONE(attribute, type, pointer)                       \
    {                                                       \
        DNN_ATTR_##attribute, DNN_TYPE_##type, 1, (pointer) \
    }

static const int float_type = DNN_DATA_FLOAT;

/* ---------------------------------------------------------------- the operation graph */

static be_status add_tensor(cudnn_plan *p, int64_t id, const int64_t dims[4], bool inner,
                            cudnn_descriptor *out, be_error *err)
{
    int64_t align = CUDA_MATH_ALIGN;
    int64_t strides[4] = {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
    TRY(make(p, DNN_BACKEND_TENSOR_DESCRIPTOR, out, err));
    return SET_ALL(p, *out, "a tensor", ONE(TENSOR_DATA_TYPE, DATA_TYPE, &float_type),
                   {DNN_ATTR_TENSOR_DIMENSIONS, DNN_TYPE_INT64, 4, dims},
                   {DNN_ATTR_TENSOR_STRIDES, DNN_TYPE_INT64, 4, strides},
                   ONE(TENSOR_UNIQUE_ID, INT64, &id), ONE(TENSOR_BYTE_ALIGNMENT, INT64, &align),
                   ONE(TENSOR_IS_VIRTUAL, BOOLEAN, &inner));
}

static be_status add_convolution(cudnn_plan *p, cudnn_descriptor tensors[3], cudnn_descriptor *out,
                                 be_error *err)
{
    static const struct {
        cudnn_kind kind;
        cudnn_attribute x, w, y, how, alpha, beta;
    } names[] = {[CUDNN_TO_Y] = {DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                 DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
                 [CUDNN_TO_DX] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
                 [CUDNN_TO_DW] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
    const cudnn_convolution *c = &p->what;
    const int mode = DNN_CROSS_CORRELATION;
    const int64_t dims = 2, ones[2] = {1, 1};
    const float one = 1.0f, zero = 0.0f;
    cudnn_descriptor how;
    TRY(make(p, DNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how, err));
    TRY(SET_ALL(p, how, "a convolution", ONE(CONVOLUTION_COMP_TYPE, DATA_TYPE, &float_type),
                ONE(CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, &mode),
                ONE(CONVOLUTION_SPATIAL_DIMS, INT64, &dims),
                {DNN_ATTR_CONVOLUTION_PRE_PADDINGS, DNN_TYPE_INT64, 2, c->padding},
                {DNN_ATTR_CONVOLUTION_POST_PADDINGS, DNN_TYPE_INT64, 2, c->padding},
                {DNN_ATTR_CONVOLUTION_DILATIONS, DNN_TYPE_INT64, 2, ones},
                {DNN_ATTR_CONVOLUTION_FILTER_STRIDES, DNN_TYPE_INT64, 2, c->stride}));
    TRY(make(p, names[c->direction].kind, out, err));
    return SET_ALL(p, *out, "the operation of a convolution",
                   {names[c->direction].x, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[CUDNN_X]},
                   {names[c->direction].w, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[CUDNN_W]},
                   {names[c->direction].y, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensors[CUDNN_Y]},
                   {names[c->direction].how, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &how},
                   {names[c->direction].alpha, DNN_TYPE_FLOAT, 1, &one},
                   {names[c->direction].beta, DNN_TYPE_FLOAT, 1, &zero});
}

/* y = x + b (b NULL: the maximum of x and 0). */
static be_status add_pointwise(cudnn_plan *p, cudnn_descriptor x, cudnn_descriptor b,
                               cudnn_descriptor y, cudnn_descriptor *out, be_error *err)
{
    const int mode = b ? DNN_POINTWISE_ADD : DNN_POINTWISE_RELU_FWD, nan = DNN_PROPAGATE_NAN;
    cudnn_descriptor how;
    TRY(make(p, DNN_BACKEND_POINTWISE_DESCRIPTOR, &how, err));
    TRY(SET_ALL(p, how, "an elementwise step", ONE(POINTWISE_MODE, POINTWISE_MODE, &mode),
                ONE(POINTWISE_MATH_PREC, DATA_TYPE, &float_type),
                {DNN_ATTR_POINTWISE_NAN_PROPAGATION, DNN_TYPE_NAN_PROPOGATION, !b, &nan}));
    TRY(make(p, DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out, err));
    return SET_ALL(p, *out, "the operation of an elementwise step",
                   ONE(OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, &how),
                   ONE(OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, &x),
                   {DNN_ATTR_OPERATION_POINTWISE_BDESC, DNN_TYPE_BACKEND_DESCRIPTOR, b != NULL, &b},
                   ONE(OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, &y));
}

/* The convolution, the bias, ReLU: whatever stands between two of them is never in memory. */
static be_status add_operations(cudnn_plan *p, cudnn_descriptor operations[3], int *count,
                                be_error *err)
{
    const cudnn_convolution *c = &p->what;
    const int64_t x[4] = {c->n, c->c, c->h, c->w}, w[4] = {c->o, c->c, c->k[0], c->k[1]};
    const int64_t y[4] = {c->n, c->o, c->oh, c->ow}, b[4] = {1, c->o, 1, 1};
    cudnn_descriptor tensors[3], bias = NULL, next = NULL;
    *count = 0;
    TRY(add_tensor(p, ID_FIRST + CUDNN_X, x, false, &tensors[CUDNN_X], err));
    TRY(add_tensor(p, ID_FIRST + CUDNN_W, w, false, &tensors[CUDNN_W], err));
    int left = c->bias + c->relu;
    TRY(add_tensor(p, left ? ID_INNER : ID_FIRST + CUDNN_Y, y, left > 0, &tensors[CUDNN_Y], err));
    TRY(add_convolution(p, tensors, &operations[(*count)++], err));
    if (c->bias) TRY(add_tensor(p, ID_FIRST + CUDNN_B, b, false, &bias, err));
    for (cudnn_descriptor last = tensors[CUDNN_Y]; left > 0; last = next, bias = NULL) {
        left--;
        TRY(add_tensor(p, left ? ID_INNER + 1 : ID_FIRST + CUDNN_Y, y, left > 0, &next, err));
        TRY(add_pointwise(p, last, bias, next, &operations[(*count)++], err));
    }
    return BE_OK;
}

static be_status add_graph(cudnn_plan *p, cudnn_descriptor *out, be_error *err)
{
    cudnn_descriptor operations[3];
    int count = 0;
    TRY(add_operations(p, operations, &count, err));
    TRY(make(p, DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out, err));
    return SET_ALL(
        p, *out, "an operation graph",
        {DNN_ATTR_OPERATIONGRAPH_OPS, DNN_TYPE_BACKEND_DESCRIPTOR, count, operations},
        {DNN_ATTR_OPERATIONGRAPH_HANDLE, DNN_TYPE_HANDLE, p->handle != NULL, &p->handle});
}

/* ---------------------------------------------------------------- the choice of an engine */

static bool may_be_taken(bool tf32, const int *notes, int64_t count)
{
    bool tensor_core = false;
    for (int64_t i = 0; i < count; i++) switch (notes[i]) {
        case DNN_NUMERICAL_NOTE_TENSOR_CORE:
            tensor_core = true;
            break;
        case DNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
            if (!tf32) return false;
            break;
        case DNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case DNN_NUMERICAL_NOTE_FFT:
        case DNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
            return false;
        default:
            break;
        }
    return tensor_core == tf32;
}

/* The engine of a configuration, and whether it may be taken. */
static be_status look_at_engine(cudnn_plan *p, cudnn_descriptor config, bool *fits, be_error *err)
{
    int notes[NOTES_MOST];
    int64_t count = 0;
    cudnn_descriptor engine;
    TRY(make(p, DNN_BACKEND_ENGINE_DESCRIPTOR, &engine, err));
    cudnn_status status = p->math->dnn.get(config, DNN_ATTR_ENGINECFG_ENGINE,
                                           DNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine);
    if (status == DNN_STATUS_SUCCESS)
        status = p->math->dnn.get(engine, DNN_ATTR_ENGINE_GLOBAL_INDEX, DNN_TYPE_INT64, 1, &count,
                                  &p->engine);
    count = 0;
    if (status == DNN_STATUS_SUCCESS)
        status = p->math->dnn.get(engine, DNN_ATTR_ENGINE_NUMERICAL_NOTE, DNN_TYPE_NUMERICAL_NOTE,
                                  NOTES_MOST, &count, notes);
    drop(p);
    if (status != DNN_STATUS_SUCCESS) return refuse(p->math, "an engine", status, err);
    *fits = may_be_taken(p->what.tf32, notes, count);
    return BE_OK;
}

/* The plan of a configuration; true if it can be made and is small enough. */
static bool make_plan(cudnn_plan *p, cudnn_descriptor config, cudnn_descriptor device)
{
    int64_t bytes = 0, count = 0;
    be_error *err = NULL;
    if (make(p, DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan, err) != BE_OK) return false;
    be_status status = SET_ALL(
        p, p->plan, "a plan", ONE(EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, &config),
        {DNN_ATTR_EXECUTION_PLAN_HANDLE, DNN_TYPE_HANDLE, p->handle != NULL, &p->handle},
        {DNN_ATTR_EXECUTION_PLAN_DEVICEPROP, DNN_TYPE_BACKEND_DESCRIPTOR, device != NULL, &device});
    if (status == BE_OK &&
        p->math->dnn.get(p->plan, DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, DNN_TYPE_INT64, 1, &count,
                         &bytes) == DNN_STATUS_SUCCESS &&
        bytes >= 0 && (size_t)bytes <= CUDA_MATH_WORKSPACE_MOST) {
        p->workspace_bytes = (size_t)bytes;
        return true;
    }
    drop(p);
    p->plan = NULL;
    return false;
}

/* The first of the configurations, best first, that is allowed and works. */
static be_status take_first(cudnn_plan *p, cudnn_descriptor *configs, int64_t count,
                            cudnn_descriptor device, be_error *err)
{
    for (int64_t i = 0; i < count && !p->plan; i++) {
        bool fits = false;
        p->tried++;
        TRY(look_at_engine(p, configs[i], &fits, err));
        if (!fits || !make_plan(p, configs[i], device)) continue;
        /* It lives as long as its plan. */
        MUST(p->owned_count < CUDNN_DESCRIPTORS_MOST);
        p->owned[p->owned_count++] = configs[i];
        configs[i] = NULL;
    }
    return BE_OK;
}

static be_status ask(cudnn_plan *p, cudnn_descriptor graph, cudnn_descriptor device, int mode,
                     be_error *err)
{
    cudnn_descriptor heuristics, configs[RESULTS_MOST] = {NULL};
    int64_t found = 0;
    int made = 0;
    TRY(make(p, DNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics, err));
    TRY(SET_ALL(
        p, heuristics, "the heuristics",
        ONE(ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, &graph),
        ONE(ENGINEHEUR_MODE, HEUR_MODE, &mode),
        {DNN_ATTR_ENGINEHEUR_DEVICEPROP, DNN_TYPE_BACKEND_DESCRIPTOR, device != NULL, &device}));
    cudnn_status status = DNN_STATUS_SUCCESS;
    while (made < RESULTS_MOST && status == DNN_STATUS_SUCCESS) {
        status = p->math->dnn.descriptor_new(DNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]);
        made += status == DNN_STATUS_SUCCESS;
    }
    if (status == DNN_STATUS_SUCCESS)
        status = p->math->dnn.get(heuristics, DNN_ATTR_ENGINEHEUR_RESULTS,
                                  DNN_TYPE_BACKEND_DESCRIPTOR, RESULTS_MOST, &found, configs);
    be_status mine = status == DNN_STATUS_SUCCESS ? take_first(p, configs, found, device, err)
                                                  : refuse(p->math, "its engines", status, err);
    for (int i = 0; i < made; i++)
        if (configs[i]) p->math->dnn.descriptor_free(configs[i]);
    return mine;
}

static be_status add_device(cudnn_plan *p, const char *text, cudnn_descriptor *out, be_error *err)
{
    *out = NULL;
    if (!text) return BE_OK;
    TRY(make(p, DNN_BACKEND_DEVICEPROP_DESCRIPTOR, out, err));
    return SET_ALL(
        p, *out, "the description of a device",
        {DNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, DNN_TYPE_CHAR, (int64_t)strlen(text), text});
}

static be_status choose(cudnn_plan *p, const char *device_text, be_error *err)
{
    static const int modes[] = {DNN_HEUR_MODE_A, DNN_HEUR_MODE_FALLBACK};
    const cudnn_convolution *c = &p->what;
    cudnn_descriptor graph, device;
    TRY(add_graph(p, &graph, err));
    TRY(add_device(p, device_text, &device, err));
    for (size_t m = 0; m < sizeof modes / sizeof *modes && !p->plan; m++)
        TRY(ask(p, graph, device, modes[m], err));
    if (!p->plan)
        FAIL(err, BE_UNAVAILABLE,
             "%s: none of the %d configurations for images [%" PRId64 ", %" PRId64 ", %" PRId64
             ", %" PRId64 "] and %" PRId64 " windows of %" PRId64 " × %" PRId64
             " computes in %s and in a fixed order, and works",
             p->math->cudnn_title, p->tried, c->n, c->c, c->h, c->w, c->o, c->k[0], c->k[1],
             c->tf32 ? "tf32" : "true fp32");
    return BE_OK;
}

/* ---------------------------------------------------------------- the plan */

be_status cudnn_plan_new(const cuda_math *math, const cudnn_place *place,
                         const cudnn_convolution *what, cudnn_plan *out, be_error *err)
{
    *out = (cudnn_plan){.math = math, .what = *what, .handle = place->handle};
    be_status status = choose(out, place->device_text, err);
    if (status != BE_OK) cudnn_plan_free(out);
    return status;
}

void cudnn_plan_free(cudnn_plan *plan)
{
    while (plan->owned_count > 0) drop(plan);
    plan->plan = plan->pack = NULL;
}

be_status cudnn_graph_check(const cuda_math *math, const cudnn_convolution *what, be_error *err)
{
    cudnn_plan p = {.math = math, .what = *what};
    cudnn_descriptor graph;
    be_status status = add_graph(&p, &graph, err);
    cudnn_plan_free(&p);
    return status;
}

be_status cudnn_plan_bind(cudnn_plan *plan, const cuda_address operands[CUDNN_OPERANDS],
                          cuda_address workspace, be_error *err)
{
    int64_t ids[CUDNN_OPERANDS];
    void *pointers[CUDNN_OPERANDS], *work = (void *)(uintptr_t)workspace;
    int64_t count = plan->what.bias ? CUDNN_OPERANDS : CUDNN_B;
    for (int i = 0; i < CUDNN_OPERANDS; i++) {
        ids[i] = ID_FIRST + i;
        pointers[i] = (void *)(uintptr_t)operands[i];
    }
    MUST(!plan->pack);
    TRY(make(plan, DNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &plan->pack, err));
    return SET_ALL(plan, plan->pack, "the addresses of a plan",
                   {DNN_ATTR_VARIANT_PACK_UNIQUE_IDS, DNN_TYPE_INT64, count, ids},
                   {DNN_ATTR_VARIANT_PACK_DATA_POINTERS, DNN_TYPE_VOID_PTR, count, pointers},
                   ONE(VARIANT_PACK_WORKSPACE, VOID_PTR, &work));
}

be_status cudnn_plan_start(const cudnn_plan *plan, be_error *err)
{
    cudnn_status status = plan->math->dnn.execute(plan->handle, plan->plan, plan->pack);
    return status == DNN_STATUS_SUCCESS ? BE_OK : refuse(plan->math, "a convolution", status, err);
}
