/* Gathering a batch on GPUs: a picture and its label in one launch, other fields in one each. */
#include "ops/input/data_batch.h"

#include <inttypes.h>

#include "backend/gpu/gpu.h"

#define PART 4096 /* elements of a sample that a group gathers at a time */

extern const gpu_source gpu_source_data_batch, gpu_source_gather;

static int64_t parts_of(int64_t elements)
{
    return (elements + PART - 1) / PART;
}

/* A normalised picture and a target: what data_batch.gpu.c is for. */
static bool is_labelled_picture(const gpu_call *call)
{
    const data_batch_attrs *a = call->attrs;
    const be_shape *fields = &call->in_shape[DATA_BATCH_FIELD];
    return data_batch_count(call->node->in) == 2 && a->fields[0].normalize && fields[0].rank == 4 &&
           a->fields[1].target && !a->fields[1].stride && fields[1].rank == 1;
}

static be_status data_batch_prepare(gpu_call *call, be_error *err)
{
    const data_batch_attrs *attrs = call->attrs;
    const be_shape *images = &call->in_shape[DATA_BATCH_FIELD];
    if (!is_labelled_picture(call))
        return gpu_use(call, GPU_SOURCES(&gpu_source_gather), 256, err,
                       "BATCH=%" PRId64 " CLIP=%d PART=%d", attrs->batch, attrs->clip != 0, PART);
    int64_t pixels = images->dim[2] * images->dim[3];
    return gpu_use(call, GPU_SOURCES(&gpu_source_data_batch), 256, err,
                   "BATCH=%" PRId64 " COUNT=%" PRId64 " CHANNELS=%" PRId64 " PIXELS=%" PRId64
                   " CLIP=%d BAD_TARGET=%d PART=%d",
                   attrs->batch, images->dim[0], images->dim[1], pixels, attrs->clip != 0,
                   DATA_BATCH_BAD_TARGET, PART);
}

/* Of the order: how many entries it has, and how many a kernel goes round: all those of a ring. */
typedef struct order_view {
    int64_t count, wrap;
} order_view;

static order_view view_order(const gpu_call *call)
{
    const data_batch_attrs *a = call->attrs;
    int64_t places = call->in_shape[DATA_BATCH_ORDER].dim[0], streamed = call->streamed_order;
    return (order_view){streamed ? streamed : places,
                        a->clip || streamed ? places : data_batch_wrap(a, places)};
}

static be_status record_labelled_picture(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    const data_batch_attrs *a = call->attrs;
    const data_batch_field *f = &a->fields[0];
    const gpu_span *in = call->in;
    order_view order = view_order(call);
    int64_t elements = shape_elements(&call->out_shape[0]) / a->batch;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "data_batch", gpu_groups(call, a->batch * parts_of(elements), 1, 8),
            GPU_ARGUMENTS(gpu_reads(in[DATA_BATCH_FIELD]), gpu_reads(in[DATA_BATCH_FIELD + 1]),
                          gpu_reads(in[DATA_BATCH_ORDER]), gpu_reads(in[DATA_BATCH_CLOCK]),
                          gpu_writes(call->out[0]), gpu_writes(call->out[1]), gpu_int(order.count),
                          gpu_int(order.wrap), gpu_float(f->scale[0]), gpu_float(f->scale[1]),
                          gpu_float(f->scale[2]), gpu_float(f->scale[3]), gpu_float(f->shift[0]),
                          gpu_float(f->shift[1]), gpu_float(f->shift[2]), gpu_float(f->shift[3]))},
        err);
}

static be_status record_field(const gpu_call *call, int index, gpu_recorder *recorder,
                              be_error *err)
{
    const data_batch_attrs *a = call->attrs;
    const data_batch_field *f = &a->fields[index];
    const be_shape *shape = &call->in_shape[DATA_BATCH_FIELD + index];
    data_batch_span span = data_batch_samples(f, shape);
    /* A ring has whole samples, one behind the other. */
    if (call->streamed_order && f->stride)
        span = (data_batch_span){shape->dim[0] / span.elements, span.elements, span.elements};
    int64_t elements = span.elements;
    int64_t pixels = shape->rank > 1 ? elements / shape->dim[1] : 1;
    order_view order = view_order(call);
    gpu_unit_launch launch = {.kernel = f->normalize                     ? "gather_normalized"
                                        : dtype_bytes(shape->dtype) == 4 ? "gather_words"
                                                                         : "gather_bytes",
                              .groups = gpu_groups(call, a->batch * parts_of(elements), 1, 8)};
    gpu_argument arguments[] = {gpu_reads(call->in[DATA_BATCH_FIELD + index]),
                                gpu_reads(call->in[DATA_BATCH_ORDER]),
                                gpu_reads(call->in[DATA_BATCH_CLOCK]),
                                gpu_writes(call->out[index]),
                                gpu_int(order.count),
                                gpu_int(order.wrap),
                                gpu_int(span.count),
                                gpu_int(elements),
                                gpu_int(f->normalize ? pixels : span.stride),
                                gpu_int(data_batch_absent(f, false)),
                                gpu_int(data_batch_absent(f, true)),
                                gpu_float(f->scale[2]),
                                gpu_float(f->scale[3]),
                                gpu_float(f->shift[0]),
                                gpu_float(f->shift[1]),
                                gpu_float(f->shift[2]),
                                gpu_float(f->shift[3])};
    MUST(f->normalize || dtype_bytes(shape->dtype) == 4 || shape->dtype == BE_U8);
    launch.argument_count = f->normalize ? 17 : dtype_bytes(shape->dtype) == 4 ? 11 : 9;
    for (int c = 0; c < 2 && f->normalize; c++) arguments[9 + c] = gpu_float(f->scale[c]);
    launch.arguments = arguments;
    return gpu_record(recorder, call, &launch, err);
}

static be_status data_batch_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (is_labelled_picture(call)) return record_labelled_picture(call, recorder, err);
    for (int f = 0; f < data_batch_count(call->node->in); f++)
        TRY(record_field(call, f, recorder, err));
    return BE_OK;
}

const gpu_kernel GPU_KERNEL(data_batch) = {.implementation = GPU_IMPLEMENTATION,
                                           .prepare = data_batch_prepare,
                                           .record = data_batch_record};
