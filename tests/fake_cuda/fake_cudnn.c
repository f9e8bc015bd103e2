/* cuDNN without a device, for tests: descriptors are bags of attributes, of which it wants those
 * that the real one wants; see fake_cudnn.h for its engines.  From the environment:
 *
 *   FAKE_CUDNN_VERSION  (91400)     FAKE_CUDNN_CUDART  for which CUDA it was made (13000)
 *   FAKE_CUDNN_CREATE   result of cudnnCreate (0)
 *   FAKE_CUDNN_FINALIZE result of finalising an operation graph (0)
 *   FAKE_CUDNN_EXECUTE  result of every execution (0)
 *   FAKE_CUDNN_NONE     no engine may be taken in true fp32
 *   FAKE_CUDNN_EXACT    its tensor cores multiply fp32 numbers as they are
 *   FAKE_CUDNN_FIRST, FAKE_CUDNN_GOOD  µs of fake_cudnn_ns that a convolution takes by the first
 *                       of its engines, and by the good one (0)
 *   FAKE_CUDNN_RELU     1: its ReLU makes a NaN 0, whatever it is asked for */
#include <stdint.h>
#include <stdio.h>

#include "fake_bag.h"
#include "fake_library.h"

struct cudnn_handle_ {
    cuda_stream stream;
};

size_t cudnnGetVersion(void)
{
    return (size_t)setting_of("FAKE_CUDNN_VERSION", 91400);
}

size_t cudnnGetCudartVersion(void)
{
    return (size_t)setting_of("FAKE_CUDNN_CUDART", 13000);
}

const char *cudnnGetErrorString(cudnn_status status)
{
    return status / 1000 == 3 ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_OF_THE_FAKE";
}

void cudnnGetLastErrorString(char *text, size_t room)
{
    snprintf(text, room, "said by the fake");
}

cudnn_status cudnnCreate(cudnn_handle *handle)
{
    int status = (int)setting_of("FAKE_CUDNN_CREATE", 0);
    if (status) return status;
    if (!driver_symbol("fake_count")) return DNN_STATUS_NOT_INITIALIZED;
    *handle = calloc(1, sizeof **handle);
    count_objects(1);
    return DNN_STATUS_SUCCESS;
}

cudnn_status cudnnDestroy(cudnn_handle handle)
{
    free(handle);
    count_objects(-1);
    return DNN_STATUS_SUCCESS;
}

cudnn_status cudnnSetStream(cudnn_handle handle, cuda_stream stream)
{
    handle->stream = stream;
    return DNN_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- bags */

cudnn_status cudnnBackendCreateDescriptor(cudnn_kind kind, cudnn_descriptor *descriptor)
{
    bag *made = calloc(1, sizeof *made);
    made->kind = kind;
    *descriptor = made;
    count_objects(1);
    return DNN_STATUS_SUCCESS;
}

cudnn_status cudnnBackendDestroyDescriptor(cudnn_descriptor descriptor)
{
    free(descriptor);
    count_objects(-1);
    return DNN_STATUS_SUCCESS;
}

static size_t size_of(cudnn_type type)
{
    return type == DNN_TYPE_BOOLEAN || type == DNN_TYPE_CHAR ? 1
           : type == DNN_TYPE_INT64 || type == DNN_TYPE_VOID_PTR || type == DNN_TYPE_HANDLE ||
                   type == DNN_TYPE_BACKEND_DESCRIPTOR
               ? 8
               : 4;
}

cudnn_status cudnnBackendSetAttribute(cudnn_descriptor descriptor, cudnn_attribute name,
                                      cudnn_type type, int64_t count, const void *values)
{
    bag *b = descriptor;
    size_t bytes = (size_t)count * size_of(type);
    if (b->final || count < 1 || bytes > BYTES || b->count == ATTRIBUTES)
        return DNN_STATUS_BAD_PARAM;
    bag_attribute *a = &b->attributes[b->count++];
    *a = (bag_attribute){.name = name, .type = type, .count = count};
    memcpy(a->data, values, bytes);
    if (type == DNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < count; i++)
            if (!((bag *const *)values)[i]->final) return DNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    return DNN_STATUS_SUCCESS;
}

const bag_attribute *find(const bag *b, cudnn_attribute name)
{
    for (int i = 0; i < b->count; i++)
        if (b->attributes[i].name == name) return &b->attributes[i];
    return NULL;
}

bool take(const bag *b, cudnn_attribute name, int64_t count, void *out)
{
    const bag_attribute *a = find(b, name);
    if (!a || a->count != count) return false;
    memcpy(out, a->data, (size_t)count * size_of(a->type));
    return true;
}

const bag *take_bag(const bag *b, cudnn_attribute name, cudnn_kind kind)
{
    const bag *found = NULL;
    return take(b, name, 1, &found) && found->kind == kind ? found : NULL;
}

/* ---------------------------------------------------------------- meaning */

typedef struct tensor {
    int64_t id, dims[4];
    bool inner, last, bf16;
} tensor;

static bool read_tensor(const bag *b, tensor *out)
{
    int64_t strides[4], align = 0;
    int type = -1;
    *out = (tensor){0};
    bool is_read = b && take(b, DNN_ATTR_TENSOR_UNIQUE_ID, 1, &out->id) &&
                   take(b, DNN_ATTR_TENSOR_DIMENSIONS, 4, out->dims) &&
                   take(b, DNN_ATTR_TENSOR_STRIDES, 4, strides) &&
                   take(b, DNN_ATTR_TENSOR_IS_VIRTUAL, 1, &out->inner) &&
                   take(b, DNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &align) && align <= 64 &&
                   take(b, DNN_ATTR_TENSOR_DATA_TYPE, 1, &type);
    if (!is_read) return false;
    const int64_t *d = out->dims, plain[4] = {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1};
    const int64_t last[4] = {d[1] * d[2] * d[3], 1, d[1] * d[3], d[1]};
    out->bf16 = type == DNN_DATA_BFLOAT16;
    out->last = memcmp(strides, plain, sizeof strides) != 0;
    return (out->bf16 || type == DNN_DATA_FLOAT) &&
           (!out->last || memcmp(strides, last, sizeof strides) == 0);
}

/* Several layouts, or types, in one convolution the fake does not know; a tensor of 1 × 1 pixels
 * or of one channel lies in both. */
static bool lies_like(const tensor *a, const tensor *b)
{
    bool is_either = a->dims[1] == 1 || a->dims[2] * a->dims[3] == 1;
    return a->bf16 == b->bf16 && (is_either || a->last == b->last);
}

/* The attributes of a convolution's operation, x w y alpha beta and how, by its kind. */
static const cudnn_attribute *names_of(cudnn_kind kind)
{
    static const cudnn_attribute forward[] = {704, 703, 705, 700, 701, 702};
    static const cudnn_attribute data[] = {710, 709, 711, 706, 707, 708};
    static const cudnn_attribute filter[] = {716, 715, 717, 712, 713, 714};
    return kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR           ? forward
           : kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR   ? data
           : kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR ? filter
                                                                                  : NULL;
}

static bool read_how(const bag *how, fake_convolution *c)
{
    int64_t dims = 0, ones[2], after[2];
    int mode = -1, type = -1;
    return how && take(how, DNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &dims) && dims == 2 &&
           take(how, DNN_ATTR_CONVOLUTION_CONV_MODE, 1, &mode) && mode == DNN_CROSS_CORRELATION &&
           take(how, DNN_ATTR_CONVOLUTION_COMP_TYPE, 1, &type) && type == DNN_DATA_FLOAT &&
           take(how, DNN_ATTR_CONVOLUTION_DILATIONS, 2, ones) && ones[0] == 1 && ones[1] == 1 &&
           take(how, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, c->stride) &&
           take(how, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, c->padding) &&
           take(how, DNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, after) &&
           memcmp(after, c->padding, sizeof after) == 0;
}

static bool read_convolution(const bag *op, meaning *out, tensor *last)
{
    const cudnn_attribute *names = names_of(op->kind);
    tensor x, w;
    float alpha = 0, beta = 1;
    if (!names || !read_tensor(take_bag(op, names[0], DNN_BACKEND_TENSOR_DESCRIPTOR), &x) ||
        !read_tensor(take_bag(op, names[1], DNN_BACKEND_TENSOR_DESCRIPTOR), &w) ||
        !read_tensor(take_bag(op, names[2], DNN_BACKEND_TENSOR_DESCRIPTOR), last) ||
        !take(op, names[3], 1, &alpha) || !take(op, names[4], 1, &beta) || alpha != 1.0f ||
        beta != 0.0f || x.inner || w.inner)
        return false;
    out->c.last = x.last || w.last || last->last;
    out->c.bf16 = x.bf16;
    const tensor like = {.last = out->c.last, .bf16 = out->c.bf16};
    if (!lies_like(&x, &like) || !lies_like(&w, &like) || !(last->inner || lies_like(last, &like)))
        return false;
    fake_convolution *c = &out->c;
    c->kind = op->kind;
    memcpy(c->x, x.dims, sizeof c->x);
    memcpy(c->w, w.dims, sizeof c->w);
    memcpy(c->y, last->dims, sizeof c->y);
    out->x = x.id;
    out->w = w.id;
    if (!read_how(take_bag(op, names[5], DNN_BACKEND_CONVOLUTION_DESCRIPTOR), c)) return false;
    for (int d = 2; d < 4; d++)
        if (c->y[d] != (c->x[d] + 2 * c->padding[d - 2] - c->w[d]) / c->stride[d - 2] + 1)
            return false;
    return c->x[0] == c->y[0] && c->x[1] == c->w[1] && c->y[1] == c->w[0];
}

static bool read_pointwise(const bag *op, meaning *out, tensor *last)
{
    const bag *how =
        take_bag(op, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, DNN_BACKEND_POINTWISE_DESCRIPTOR);
    tensor x, b, y;
    int mode = -1, nan = 0;
    if (!how || !take(how, DNN_ATTR_POINTWISE_MODE, 1, &mode) || !last->inner ||
        !read_tensor(
            take_bag(op, DNN_ATTR_OPERATION_POINTWISE_XDESC, DNN_BACKEND_TENSOR_DESCRIPTOR), &x) ||
        !read_tensor(
            take_bag(op, DNN_ATTR_OPERATION_POINTWISE_YDESC, DNN_BACKEND_TENSOR_DESCRIPTOR), &y) ||
        x.id != last->id || memcmp(x.dims, y.dims, sizeof x.dims) != 0)
        return false;
    *last = y;
    if (mode == DNN_POINTWISE_RELU_FWD) {
        take(how, DNN_ATTR_POINTWISE_NAN_PROPAGATION, 1, &nan);
        out->c.relu = true;
        out->c.keeps_nan = nan == DNN_PROPAGATE_NAN && !setting_of("FAKE_CUDNN_RELU", 0);
        return true;
    }
    if (mode != DNN_POINTWISE_ADD || out->c.relu ||
        !read_tensor(
            take_bag(op, DNN_ATTR_OPERATION_POINTWISE_BDESC, DNN_BACKEND_TENSOR_DESCRIPTOR), &b))
        return false;
    out->bias = b.id;
    return b.dims[0] == 1 && b.dims[1] == y.dims[1] && b.dims[2] == 1 && b.dims[3] == 1;
}

/* The first operation says which it is. */
static bool read_convolutions(const bag *graph, meaning *out)
{
    const bag *ops[3] = {NULL};
    const bag_attribute *list = find(graph, DNN_ATTR_OPERATIONGRAPH_OPS);
    tensor last;
    *out = (meaning){0};
    if (!list || list->count > 3) return false;
    memcpy(ops, list->data, (size_t)list->count * sizeof(bag *));
    if (!read_convolution(ops[0], out, &last)) return false;
    for (int i = 1; i < list->count; i++)
        if (!read_pointwise(ops[i], out, &last)) return false;
    out->y = last.id;
    return !last.inner;
}

static bool read_graph(const bag *graph, meaning *out)
{
    const bag_attribute *list = find(graph, DNN_ATTR_OPERATIONGRAPH_OPS);
    const bag *first = NULL;
    *out = (meaning){0};
    if (!list) return false;
    memcpy(&first, list->data, sizeof first);
    if (names_of(first->kind)) return read_convolutions(graph, out);
    out->is_table = fake_table_read(graph, &out->table);
    return out->is_table;
}

/* ---------------------------------------------------------------- finalising and asking */

static const bag *config_of(const bag *plan)
{
    return take_bag(plan, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, DNN_BACKEND_ENGINECFG_DESCRIPTOR);
}

cudnn_status cudnnBackendFinalize(cudnn_descriptor descriptor)
{
    bag *b = descriptor;
    meaning m;
    fake_tensor t;
    if (b->kind == DNN_BACKEND_TENSOR_DESCRIPTOR && !fake_tensor_read(b, &t))
        return DNN_STATUS_BAD_PARAM;
    if (b->kind == DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
        int status = (int)setting_of("FAKE_CUDNN_FINALIZE", 0);
        if (status) return status;
        if (!read_graph(b, &m)) return DNN_STATUS_BAD_PARAM;
    }
    if (b->kind == DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        if (!config_of(b)) return DNN_STATUS_BAD_PARAM;
        if (config_of(b)->engine == ENGINE_BROKEN) return DNN_STATUS_NOT_SUPPORTED;
        b->meaning = config_of(b)->meaning;
        b->meaning.c.engine = config_of(b)->engine;
    }
    b->final = true;
    return DNN_STATUS_SUCCESS;
}

/* The gradient of w has its good engine only as a fallback. */
static cudnn_status give_configs(const bag *heuristics, int64_t wanted, int64_t *count,
                                 cudnn_descriptor *out)
{
    const bag *graph = take_bag(heuristics, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    meaning m;
    int mode = -1, first = 0, end = ENGINE_COUNT;
    if (!graph || !read_graph(graph, &m) || !take(heuristics, DNN_ATTR_ENGINEHEUR_MODE, 1, &mode))
        return DNN_STATUS_BAD_PARAM;
    if (setting_of("FAKE_CUDNN_NONE", 0)) end = ENGINE_BROKEN;
    if (m.is_table) first = ENGINE_NONDETERMINISTIC; /* of bf16 data tensor cores are right */
    if (m.c.kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) {
        if (mode == DNN_HEUR_MODE_FALLBACK && end == ENGINE_COUNT) first = ENGINE_GOOD;
        if (mode == DNN_HEUR_MODE_A) end = end < ENGINE_GOOD ? end : ENGINE_GOOD;
    }
    *count = 0;
    for (int e = first; e < end && *count < wanted; e++) {
        bag *config = out[(*count)++];
        config->engine = (fake_engine)e;
        config->meaning = m;
        config->final = true;
    }
    return DNN_STATUS_SUCCESS;
}

cudnn_status cudnnBackendGetAttribute(cudnn_descriptor descriptor, cudnn_attribute name,
                                      cudnn_type type, int64_t wanted, int64_t *count, void *out)
{
    static const int notes[ENGINE_COUNT] = {
        [ENGINE_TENSOR_CORE] = DNN_NUMERICAL_NOTE_TENSOR_CORE,
        [ENGINE_NONDETERMINISTIC] = DNN_NUMERICAL_NOTE_NONDETERMINISTIC,
        [ENGINE_WINOGRAD] = DNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6};
    const bag *b = descriptor;
    (void)type;
    if (!b->final || wanted < 1) return DNN_STATUS_BAD_PARAM;
    *count = 1;
    if (name == DNN_ATTR_ENGINEHEUR_RESULTS) return give_configs(b, wanted, count, out);
    if (name == DNN_ATTR_ENGINECFG_ENGINE) {
        bag *engine = *(bag **)out;
        engine->engine = b->engine;
        engine->final = true;
        return DNN_STATUS_SUCCESS;
    }
    if (name == DNN_ATTR_ENGINE_GLOBAL_INDEX) {
        *(int64_t *)out = b->engine;
        return DNN_STATUS_SUCCESS;
    }
    if (name == DNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        *count = b->engine <= ENGINE_WINOGRAD;
        if (*count) *(int *)out = notes[b->engine];
        return DNN_STATUS_SUCCESS;
    }
    if (name != DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) return DNN_STATUS_BAD_PARAM;
    *(int64_t *)out = b->meaning.c.engine == ENGINE_LARGE ? (int64_t)1 << 40 : FAKE_WORKSPACE;
    return DNN_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- executing */

/* Where a tensor is; NULL if it was not said or is not aligned as was promised. */
static void *address_of(const bag *pack, int64_t id, size_t align)
{
    const bag_attribute *list = find(pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    int64_t ids[FAKE_TENSORS];
    void *pointers[FAKE_TENSORS];
    if (!list || list->count > FAKE_TENSORS ||
        !take(pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS, list->count, ids) ||
        !take(pack, DNN_ATTR_VARIANT_PACK_DATA_POINTERS, list->count, pointers))
        return NULL;
    for (int64_t i = 0; i < list->count; i++)
        if (ids[i] == id) return (uintptr_t)pointers[i] % align == 0 ? pointers[i] : NULL;
    return NULL;
}

static cudnn_status given(int result)
{
    return result == CUDA_OK ? DNN_STATUS_SUCCESS : DNN_STATUS_EXECUTION_FAILED;
}

static cudnn_status execute_table(cudnn_handle handle, const bag *plan, const bag *addresses)
{
    const fake_table *t = &plan->meaning.table;
    fake_table_work work = {.table = t, .engine = plan->meaning.c.engine};
    for (int i = 0; i < t->tensor_count; i++) {
        const fake_tensor *tensor = &t->tensors[i];
        if (tensor->inner) continue;
        work.at[i] = address_of(addresses, tensor->id, tensor->is_number ? sizeof(float) : 16);
        if (!work.at[i]) return DNN_STATUS_BAD_PARAM;
    }
    if (!take(addresses, DNN_ATTR_VARIANT_PACK_WORKSPACE, 1, &work.work) || !work.work)
        return DNN_STATUS_BAD_PARAM;
    return given(give_work(handle->stream, fake_table_run, &work, sizeof work));
}

cudnn_status cudnnBackendExecute(cudnn_handle handle, cudnn_descriptor plan, cudnn_descriptor pack)
{
    const bag *p = plan, *addresses = pack;
    int status = (int)setting_of("FAKE_CUDNN_EXECUTE", 0);
    if (status) return status;
    if (!p->final || !addresses->final) return DNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    if (p->meaning.is_table) return execute_table(handle, p, addresses);
    fake_convolution c = p->meaning.c;
    size_t align = c.bf16 ? 16 : 64;
    c.at_x = address_of(addresses, p->meaning.x, align);
    c.at_w = address_of(addresses, p->meaning.w, align);
    c.at_y = address_of(addresses, p->meaning.y, align);
    if (p->meaning.bias) c.bias = address_of(addresses, p->meaning.bias, 64);
    if (!c.at_x || !c.at_w || !c.at_y || (p->meaning.bias && !c.bias) ||
        !take(addresses, DNN_ATTR_VARIANT_PACK_WORKSPACE, 1, &c.work) || !c.work)
        return DNN_STATUS_BAD_PARAM;
    return given(give_work(handle->stream, fake_convolve, &c, sizeof c));
}
