/* The attributes of data_batch, and which sample a place of the batch takes. */
#ifndef OPS_INPUT_DATA_BATCH_H
#define OPS_INPUT_DATA_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/op.h"

#define DATA_BATCH_CHANNELS 4

/* The inputs: which sample each place takes, the steps done, the fields. */
enum { DATA_BATCH_ORDER, DATA_BATCH_CLOCK, DATA_BATCH_FIELD };
#define DATA_BATCH_FIELDS (OP_MAX_IN - DATA_BATCH_FIELD)
_Static_assert(DATA_BATCH_FIELDS <= OP_MAX_OUT, "a field is an output");

typedef struct data_batch_field {
    int normalize; /* u8 -> f32: x = byte · scale[c] + shift[c]; else the elements as they are */
    int target;    /* what no sample is: see data_batch_absent */
    /* Elements from one sample to the next; the field has one dimension then, and `sample` says
     * those of a sample.  0: it is [COUNT, dimensions of a sample]. */
    int64_t stride;
    be_shape sample;
    double scale[DATA_BATCH_CHANNELS], shift[DATA_BATCH_CHANNELS];
} data_batch_field;

typedef struct data_batch_attrs {
    int64_t batch;
    int clip;
    int turns; /* the clock counts turns, so many of which are a step; 0: one */
    data_batch_field fields[DATA_BATCH_FIELDS]; /* as many as there are inputs */
} data_batch_attrs;

/* How the samples of a field of this shape lie. */
typedef struct data_batch_span {
    int64_t count, elements, stride; /* samples; elements of one; from one to the next */
} data_batch_span;

data_batch_span data_batch_samples(const data_batch_field *field, const be_shape *shape);

/* The target of a place whose entry in the order is no sample: it is no class either, so the loss
 * becomes NaN and the fault is noticed. */
#define DATA_BATCH_BAD_TARGET INT32_MAX

/* What each element of a place without a sample is: because the order has ended, or (`bad`) because
 * its entry is none. */
static inline int32_t data_batch_absent(const data_batch_field *field, bool bad)
{
    return !field->target ? 0 : bad ? DATA_BATCH_BAD_TARGET : -1;
}

/* The entries of an order of so many that are looked at: whole steps. */
static inline int64_t data_batch_wrap(const data_batch_attrs *attrs, int64_t order_count)
{
    return order_count - order_count % (attrs->batch * (attrs->turns ? attrs->turns : 1));
}

/* Where in the order place i of step (or turn) t looks, or −1: nowhere (clipped). */
static inline int64_t data_batch_place(const data_batch_attrs *attrs, int64_t t, int64_t i,
                                       int64_t order_count)
{
    int64_t place = t * attrs->batch + i;
    if (attrs->clip) return place < order_count ? place : -1;
    return place % data_batch_wrap(attrs, order_count);
}

/* How many fields a node gathers, of whose inputs these are the values. */
static inline int data_batch_count(const be_value *in)
{
    int fields = 0;
    while (fields < DATA_BATCH_FIELDS && in[DATA_BATCH_FIELD + fields] != BE_NONE) fields++;
    return fields;
}

#endif
