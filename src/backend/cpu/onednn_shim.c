/* oneDNN 2.x and 3.x behind one interface.  The majors differ in three things: a memory descriptor
 * is a struct or a handle, a primitive descriptor is made through an operation descriptor or at
 * once, and an eltwise post-op has a scale or none. */
#include "backend/cpu/onednn_shim.h"

#include <omp.h>
#include <string.h>

#include "core/memory.h"

#define SHIM_ARGS 5 /* the most that a primitive has, scratch included */

/* Below this many multiplications one thread is faster than waking others: 100 × 128 -> 10 took 2.9
 * µs alone and 3.2 (spinning) to 6.4 µs (sleeping) with a second thread, 100 × 128 -> 64 took 9.7
 * and 7.1 µs. */
#define SHIM_SERIAL_WORK 2.5e5

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_ref;
#define MD_REF(md) (md)
#else
typedef const dnnl_memory_desc_t *md_ref;
#define MD_REF(md) (&(md))
#endif

struct onednn_primitive {
    dnnl_primitive_desc_t descriptor;
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    int threads;
    int count;
    dnnl_exec_arg_t args[SHIM_ARGS];
    const void *data[SHIM_ARGS]; /* the address that each argument has now */
    size_t scratch_bytes;
};

#define ONEDNN_TRY(what, call)                                                                   \
    do {                                                                                         \
        dnnl_status_t onednn_status_ = (call);                                                   \
        if (onednn_status_ != dnnl_success) return cpu_onednn_fail(err, (what), onednn_status_); \
    } while (0)

/* Memory descriptors that live while a primitive is made. */
typedef struct md_set {
    dnnl_memory_desc_t md[4];
    int count;
} md_set;

static void md_set_free(md_set *set)
{
#if DNNL_VERSION_MAJOR >= 3
    for (int i = 0; i < set->count; i++) dnnl_memory_desc_destroy(set->md[i]);
#endif
    set->count = 0;
}

static dnnl_status_t md_tag(md_set *set, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag,
                            bool bf16)
{
    dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t *md = &set->md[set->count];
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(md, rank, dims, type, tag);
#else
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(md, rank, dims, type, tag);
#endif
    if (status == dnnl_success) set->count++;
    return status;
}

typedef struct matrices {
    int64_t count; /* more than one: one behind the other */
    int64_t rows, columns;
    const int64_t *stride;
    bool bf16;
} matrices;

static dnnl_status_t md_strides(md_set *set, const matrices *m)
{
    dnnl_data_type_t type = m->bf16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t dims = {m->count, m->rows, m->columns};
    const dnnl_dims_t strides = {m->rows * m->columns, m->stride[0], m->stride[1]};
    dnnl_memory_desc_t *md = &set->md[set->count];
    int one = m->count <= 1;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status =
        dnnl_memory_desc_create_with_strides(md, 3 - one, dims + one, type, strides + one);
#else
    dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(md, 3 - one, dims + one, type, strides + one);
#endif
    if (status == dnnl_success) set->count++;
    return status;
}

static bool md_equal(md_ref a, md_ref b)
{
    return dnnl_memory_desc_equal(a, b) != 0;
}

/* The format of an argument, or one without dimensions (2.x) or NULL (3.x) if there is none. */
static md_ref arg_md(const onednn_primitive *p, int arg)
{
    return dnnl_primitive_desc_query_md(p->descriptor, dnnl_query_exec_arg_md, arg);
}

/* The library's ReLU of slope 0 is a maximum, which turns NaN into 0: a training that went wrong
 * would look well again.  With a slope it selects, and NaN stays.  This one is far below what a
 * float next to the other values can tell from 0, and far above what is slow (denormal). */
#define LEAK 1e-20f

/* User scratch, fp32 whatever DNNL_DEFAULT_FPMATH_MODE allows (bf16 would be taken for it), and
 * what the result is added to, or ReLU at the end, if asked. */
static dnnl_status_t attr_new(dnnl_primitive_attr_t *out, bool relu, bool add)
{
    dnnl_post_ops_t post = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*out, dnnl_fpmath_mode_strict);
    if (status != dnnl_success || !(relu || add)) return status;
    status = dnnl_post_ops_create(&post);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success && add)
        status = dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
    if (status == dnnl_success && relu)
        status = dnnl_post_ops_append_eltwise(post, dnnl_eltwise_relu, LEAK, 0.0f);
#else
    if (status == dnnl_success && add) status = dnnl_post_ops_append_sum(post, 1.0f);
    if (status == dnnl_success && relu)
        status = dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, LEAK, 0.0f);
#endif
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*out, post);
    if (post) dnnl_post_ops_destroy(post);
    return status;
}

static be_status primitive_new(const cpu_device *device, arena *memory, onednn_primitive **out,
                               be_error *err)
{
    void *block = NULL;
    *out = NULL;
    TRY(arena_alloc(memory, &block, sizeof(onednn_primitive), err));
    *out = block;
    (*out)->stream = device->stream;
    return BE_OK;
}

void onednn_free(onednn_primitive *primitive)
{
    if (!primitive) return;
    for (int i = 0; i < primitive->count; i++) dnnl_memory_destroy(primitive->args[i].memory);
    if (primitive->primitive) dnnl_primitive_destroy(primitive->primitive);
    if (primitive->descriptor) dnnl_primitive_desc_destroy(primitive->descriptor);
    *primitive = (onednn_primitive){0};
}

static dnnl_status_t add_arg(onednn_primitive *p, dnnl_engine_t engine, int arg, md_ref md)
{
    MUST(p->count < SHIM_ARGS);
    dnnl_exec_arg_t *slot = &p->args[p->count];
    dnnl_status_t status = dnnl_memory_create(&slot->memory, md, engine, DNNL_MEMORY_NONE);
    if (status != dnnl_success) return status;
    slot->arg = arg;
    p->count++;
    return dnnl_success;
}

#if DNNL_VERSION_MAJOR >= 3
static size_t md_bytes(md_ref md)
{
    return md ? dnnl_memory_desc_get_size(md) : 0;
}
#else
static size_t md_bytes(md_ref md)
{
    return md && md->ndims ? dnnl_memory_desc_get_size(md) : 0;
}
#endif

/* Make the primitive and the memory objects of those of `args` that it has. */
static be_status primitive_finish(const cpu_device *device, onednn_primitive *p, const int *args,
                                  int count, be_error *err)
{
    ONEDNN_TRY("a primitive could not be made",
               dnnl_primitive_create(&p->primitive, p->descriptor));
    for (int i = 0; i < count; i++) {
        md_ref md = arg_md(p, args[i]);
        if (md_bytes(md))
            ONEDNN_TRY("a memory object could not be made",
                       add_arg(p, device->engine, args[i], md));
    }
    md_ref scratch = dnnl_primitive_desc_query_md(p->descriptor, dnnl_query_scratchpad_md, 0);
    p->scratch_bytes = md_bytes(scratch);
    if (p->scratch_bytes)
        ONEDNN_TRY("a memory object could not be made",
                   add_arg(p, device->engine, DNNL_ARG_SCRATCHPAD, scratch));
    return BE_OK;
}

/* oneDNN divides the work by the number of threads that OpenMP would start: it must be the device's
 * both when a primitive is made and when it runs. */
static int threads_set(int threads)
{
    int before = omp_get_max_threads();
    if (before != threads) omp_set_num_threads(threads);
    return before;
}

static void threads_restore(int before, int threads)
{
    if (before != threads) omp_set_num_threads(before);
}

typedef dnnl_status_t (*describe_function)(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                           const void *spec, md_set *mds,
                                           const_dnnl_primitive_attr_t attr);

typedef struct primitive_recipe {
    const char *what;
    describe_function describe;
    const void *spec;
    bool relu, add;
    int threads;
    const int *args;
    int arg_count;
} primitive_recipe;

static be_status primitive_describe(const cpu_device *device, onednn_primitive *p,
                                    const primitive_recipe *recipe, be_error *err)
{
    md_set mds = {.count = 0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = attr_new(&attr, recipe->relu, recipe->add);
    if (status == dnnl_success)
        status = recipe->describe(&p->descriptor, device->engine, recipe->spec, &mds, attr);
    if (attr) dnnl_primitive_attr_destroy(attr);
    md_set_free(&mds);
    ONEDNN_TRY(recipe->what, status);
    return primitive_finish(device, p, recipe->args, recipe->arg_count, err);
}

static be_status primitive_make(const cpu_device *device, const primitive_recipe *recipe,
                                arena *memory, onednn_primitive **out, be_error *err)
{
    TRY(primitive_new(device, memory, out, err));
    (*out)->threads = recipe->threads;
    int before = threads_set(recipe->threads);
    be_status status = primitive_describe(device, *out, recipe, err);
    threads_restore(before, recipe->threads);
    if (status != BE_OK) {
        onednn_free(*out);
        *out = NULL;
    }
    return status;
}

static dnnl_status_t matmul_describe(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                     const void *spec, md_set *mds,
                                     const_dnnl_primitive_attr_t attr)
{
    const onednn_matmul *s = spec;
    const dnnl_dims_t bias_dims = {1, s->n};
    const matrices operands[] = {{s->batch, s->m, s->k, s->x_stride, s->bf16},
                                 {s->batch, s->k, s->n, s->w_stride, s->bf16},
                                 {s->batch, s->m, s->n, s->y_stride, false}};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; status == dnnl_success && i < 3; i++) status = md_strides(mds, &operands[i]);
    if (status == dnnl_success && s->bias) status = md_tag(mds, 2, bias_dims, dnnl_ab, false);
    if (status != dnnl_success) return status;
    md_ref x = MD_REF(mds->md[0]), w = MD_REF(mds->md[1]), y = MD_REF(mds->md[2]);
    md_ref b = s->bias ? MD_REF(mds->md[3]) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, engine, x, w, b, y, attr);
#else
    dnnl_matmul_desc_t op;
    status = dnnl_matmul_desc_init(&op, x, w, b, y);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(out, &op, attr, engine, 0);
#endif
}

be_status onednn_matmul_new(const cpu_device *device, const onednn_matmul *spec, arena *memory,
                            onednn_primitive **out, be_error *err)
{
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
    double work = (double)spec->m * (double)spec->n * (double)spec->k;
    if (spec->batch > 1) work *= (double)spec->batch;
    const primitive_recipe recipe = {.what = "a matrix product could not be described",
                                     .describe = matmul_describe,
                                     .spec = spec,
                                     .relu = spec->relu,
                                     .add = spec->add,
                                     .threads = work < SHIM_SERIAL_WORK ? 1 : device->base.threads,
                                     .args = args,
                                     .arg_count = 4};
    return primitive_make(device, &recipe, memory, out, err);
}

typedef struct convolution_mds {
    md_ref src, weights, bias, dst;
} convolution_mds;

static dnnl_status_t convolution_create(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                        const onednn_convolution *s, const convolution_mds *m,
                                        const_dnnl_primitive_attr_t attr)
{
    const dnnl_dims_t stride = {s->stride[0], s->stride[1]};
    const dnnl_dims_t pad = {s->padding[0], s->padding[1]};
    const dnnl_dims_t dilation = {0, 0};
    const_dnnl_primitive_desc_t hint = s->forward ? s->forward->descriptor : NULL;
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    if (s->direction == ONEDNN_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            out, engine, dnnl_forward_training, direct, m->src, m->weights, m->bias, m->dst, stride,
            dilation, pad, pad, attr);
    if (s->direction == ONEDNN_BACKWARD_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(out, engine, direct, m->src,
                                                                    m->weights, m->dst, stride,
                                                                    dilation, pad, pad, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, direct, m->src, m->weights, m->bias, m->dst, stride, dilation, pad, pad, hint,
        attr);
#else
    dnnl_convolution_desc_t op;
    dnnl_status_t status;
    if (s->direction == ONEDNN_FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(&op, dnnl_forward_training, direct,
                                                            m->src, m->weights, m->bias, m->dst,
                                                            stride, dilation, pad, pad);
    else if (s->direction == ONEDNN_BACKWARD_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &op, direct, m->src, m->weights, m->dst, stride, dilation, pad, pad);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &op, direct, m->src, m->weights, m->bias, m->dst, stride, dilation, pad, pad);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(out, &op, attr, engine, hint);
#endif
}

/* Does src (0), weights (1) or dst (2) come out of it? */
static bool is_result(const onednn_convolution *s, int operand)
{
    static const int results[] = {
        [ONEDNN_FORWARD] = 2, [ONEDNN_BACKWARD_DATA] = 0, [ONEDNN_BACKWARD_WEIGHTS] = 1};
    return results[s->direction] == operand;
}

static dnnl_status_t convolution_describe(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                          const void *spec, md_set *mds,
                                          const_dnnl_primitive_attr_t attr)
{
    const onednn_convolution *s = spec;
    int64_t height = (s->in_height + 2 * s->padding[0] - s->kernel[0]) / s->stride[0] + 1;
    int64_t width = (s->in_width + 2 * s->padding[1] - s->kernel[1]) / s->stride[1] + 1;
    const dnnl_dims_t src = {s->images, s->in_channels, s->in_height, s->in_width};
    const dnnl_dims_t weights = {s->out_channels, s->in_channels, s->kernel[0], s->kernel[1]};
    const dnnl_dims_t dst = {s->images, s->out_channels, height, width};
    const dnnl_dims_t bias = {s->out_channels};
    dnnl_status_t status = md_tag(mds, 4, src, s->src, s->bf16 && !is_result(s, 0));
    if (status == dnnl_success)
        status = md_tag(mds, 4, weights, s->weights, s->bf16 && !is_result(s, 1));
    if (status == dnnl_success) status = md_tag(mds, 4, dst, s->dst, s->bf16 && !is_result(s, 2));
    if (status == dnnl_success && s->bias) status = md_tag(mds, 1, bias, dnnl_a, false);
    if (status != dnnl_success) return status;
    const convolution_mds refs = {.src = MD_REF(mds->md[0]),
                                  .weights = MD_REF(mds->md[1]),
                                  .dst = MD_REF(mds->md[2]),
                                  .bias = s->bias ? MD_REF(mds->md[3]) : NULL};
    return convolution_create(out, engine, s, &refs, attr);
}

be_status onednn_convolution_new(const cpu_device *device, const onednn_convolution *spec,
                                 arena *memory, onednn_primitive **out, be_error *err)
{
    static const int args[][4] = {
        [ONEDNN_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
        [ONEDNN_BACKWARD_DATA] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
        [ONEDNN_BACKWARD_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS,
                                     DNNL_ARG_DIFF_BIAS}};
    const primitive_recipe recipe = {.what = "a convolution could not be described",
                                     .describe = convolution_describe,
                                     .spec = spec,
                                     .relu = spec->direction == ONEDNN_FORWARD && spec->relu,
                                     .threads = device->base.threads,
                                     .args = args[spec->direction],
                                     .arg_count = spec->direction == ONEDNN_BACKWARD_DATA ? 3 : 4};
    return primitive_make(device, &recipe, memory, out, err);
}

/* The descriptor of a format; one that is no primitive's is made in the set. */
static dnnl_status_t format_md(const onednn_format *format, md_set *mds, md_ref *out)
{
    if (format->of) {
        *out = arg_md(format->of, format->arg);
        return dnnl_success;
    }
    dnnl_dims_t dims = {0};
    for (int i = 0; i < format->rank; i++) dims[i] = format->dim[i];
    dnnl_status_t status = md_tag(mds, format->rank, dims, format->tag, format->bf16);
    if (status == dnnl_success) *out = MD_REF(mds->md[mds->count - 1]);
    return status;
}

static dnnl_status_t reorder_describe(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                      const void *spec, md_set *mds,
                                      const_dnnl_primitive_attr_t attr)
{
    const onednn_format *formats = spec;
    md_ref from = NULL, to = NULL;
    dnnl_status_t status = format_md(&formats[0], mds, &from);
    if (status == dnnl_success) status = format_md(&formats[1], mds, &to);
    if (status != dnnl_success) return status;
    return dnnl_reorder_primitive_desc_create(out, from, engine, to, engine, attr);
}

be_status onednn_reorder_new(const cpu_device *device, const onednn_format format[2], arena *memory,
                             onednn_primitive **out, be_error *err)
{
    static const int args[] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    const primitive_recipe recipe = {.what = "a reorder could not be described",
                                     .describe = reorder_describe,
                                     .threads = device->base.threads,
                                     .spec = format,
                                     .args = args,
                                     .arg_count = 2};
    return primitive_make(device, &recipe, memory, out, err);
}

dnnl_format_tag_t onednn_tag(value_layout layout)
{
    return layout == LAYOUT_BLOCKED16  ? dnnl_nChw16c
           : layout == LAYOUT_BLOCKED8 ? dnnl_nChw8c
                                       : dnnl_nchw;
}

const char *onednn_implementation(const onednn_primitive *primitive)
{
    const char *text = NULL;
    dnnl_status_t status = dnnl_primitive_desc_query(primitive->descriptor,
                                                     dnnl_query_impl_info_str, 0, (void *)&text);
    return status == dnnl_success && text ? text : "unknown";
}

size_t onednn_scratch_bytes(const onednn_primitive *primitive)
{
    return primitive->scratch_bytes;
}

size_t onednn_arg_bytes(const onednn_primitive *primitive, int arg)
{
    return md_bytes(arg_md(primitive, arg));
}

bool onednn_arg_is(const onednn_primitive *primitive, int arg, const onednn_format *format)
{
    md_set mds = {.count = 0};
    md_ref other = NULL;
    bool same =
        format_md(format, &mds, &other) == dnnl_success && md_equal(arg_md(primitive, arg), other);
    md_set_free(&mds);
    return same;
}

/* Setting an address makes oneDNN 2.x clear the padding of the tensor, so it is done only where the
 * address changed. */
static be_status set_address(onednn_primitive *p, int arg, const void *data, be_error *err)
{
    int i = 0;
    while (i < p->count && p->args[i].arg != arg) i++;
    if (i == p->count || p->data[i] == data) return BE_OK;
    ONEDNN_TRY("an address could not be set",
               dnnl_memory_set_data_handle(p->args[i].memory, (void *)data));
    p->data[i] = data;
    return BE_OK;
}

be_status onednn_run(onednn_primitive *primitive, const onednn_operand *operands, int count,
                     void *scratch, be_error *err)
{
    int before = threads_set(primitive->threads);
    be_status set = BE_OK;
    for (int i = 0; i < count && set == BE_OK; i++)
        set = set_address(primitive, operands[i].arg, operands[i].data, err);
    if (set == BE_OK && primitive->scratch_bytes)
        set = set_address(primitive, DNNL_ARG_SCRATCHPAD, scratch, err);
    dnnl_status_t status = dnnl_success;
    if (set == BE_OK)
        status = dnnl_primitive_execute(primitive->primitive, primitive->stream, primitive->count,
                                        primitive->args);
    if (set == BE_OK && status == dnnl_success) status = dnnl_stream_wait(primitive->stream);
    threads_restore(before, primitive->threads);
    TRY(set);
    ONEDNN_TRY("a primitive failed", status);
    return BE_OK;
}
