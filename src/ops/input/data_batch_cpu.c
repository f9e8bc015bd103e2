/* Gathering a batch on the CPU: the places in parallel, each a plain run of bytes a field. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/input/data_batch.h"

#define THREADS_PAY_FROM 32768 /* elements */

/* A field, and its part of the batch. */
typedef struct field_view {
    const data_batch_field *field;
    const char *from;
    char *to;
    int64_t elements, pixels; /* of a sample; of one of its channels */
    size_t from_bytes;        /* from one sample to the next */
    size_t to_bytes;          /* of a sample */
} field_view;

static void normalise(const uint8_t *restrict from, float *restrict x, int64_t pixels, float scale,
                      float shift)
{
#pragma omp simd
    for (int64_t k = 0; k < pixels; k++) x[k] = (float)from[k] * scale + shift;
}

static void fill_absent(const field_view *view, char *to, bool bad)
{
    int32_t value = data_batch_absent(view->field, bad);
    if (value == 0)
        memset(to, 0, view->to_bytes);
    else
        for (int64_t k = 0; k < view->elements; k++) memcpy(to + 4 * k, &value, 4);
}

/* Fill one place; `from` is its sample, or below 0. */
static void fill_place(const field_view *view, int64_t i, int64_t from, bool bad)
{
    const data_batch_field *field = view->field;
    char *to = view->to + (size_t)i * view->to_bytes;
    if (from < 0) {
        fill_absent(view, to, bad);
        return;
    }
    const char *sample = view->from + (size_t)from * view->from_bytes;
    if (!field->normalize) {
        memcpy(to, sample, view->to_bytes);
        return;
    }
    for (int64_t c = 0; c * view->pixels < view->elements; c++)
        normalise((const uint8_t *)sample + c * view->pixels, (float *)to + c * view->pixels,
                  view->pixels, (float)field->scale[c], (float)field->shift[c]);
}

static int view_fields(const cpu_call *call, field_view views[DATA_BATCH_FIELDS], int64_t *elements)
{
    const data_batch_attrs *attrs = call->attrs;
    int count = 0;
    *elements = 0;
    for (; count < DATA_BATCH_FIELDS && call->in[DATA_BATCH_FIELD + count]; count++) {
        const be_shape *in = &call->in_shape[DATA_BATCH_FIELD + count];
        field_view *view = &views[count];
        data_batch_span span = data_batch_samples(&attrs->fields[count], in);
        int64_t each = span.elements;
        *view = (field_view){.field = &attrs->fields[count],
                             .from = call->in[DATA_BATCH_FIELD + count],
                             .to = call->out[count],
                             .elements = each,
                             .pixels = in->rank > 1 ? each / in->dim[1] : 1,
                             .from_bytes = (size_t)span.stride * dtype_bytes(in->dtype),
                             .to_bytes = (size_t)each * dtype_bytes(in->dtype)};
        if (view->field->normalize) view->to_bytes = (size_t)each * sizeof(float);
        *elements += each;
    }
    return count;
}

static be_status data_batch_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const data_batch_attrs *attrs = call->attrs;
    field_view views[DATA_BATCH_FIELDS];
    int64_t elements = 0;
    int fields = view_fields(call, views, &elements);
    const int32_t *order = call->in[DATA_BATCH_ORDER];
    int64_t t = *(const int32_t *)call->in[DATA_BATCH_CLOCK];
    int64_t entries = call->in_shape[DATA_BATCH_ORDER].dim[0];
    int64_t count = data_batch_samples(views[0].field, &call->in_shape[DATA_BATCH_FIELD]).count;
#pragma omp parallel for num_threads(call->threads) \
    schedule(static) if (attrs->batch * elements >= THREADS_PAY_FROM)
    for (int64_t i = 0; i < attrs->batch; i++) {
        int64_t place = data_batch_place(attrs, t, i, entries);
        int64_t from = place < 0 || order[place] >= count ? -1 : order[place];
        for (int f = 0; f < fields; f++) fill_place(&views[f], i, from, place >= 0);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(data_batch) = {.implementation = CPU_NATIVE, .run = data_batch_run};
