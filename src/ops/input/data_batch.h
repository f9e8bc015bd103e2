/* The attributes of data_batch, and which image a place of the batch takes. */
#ifndef OPS_INPUT_DATA_BATCH_H
#define OPS_INPUT_DATA_BATCH_H

#include <stdint.h>

#define DATA_BATCH_CHANNELS 4

typedef struct data_batch_attrs {
    int64_t batch;
    int clip;
    /* x = pixel · scale[c] + shift[c] */
    double scale[DATA_BATCH_CHANNELS], shift[DATA_BATCH_CHANNELS];
} data_batch_attrs;

/* The target of a place whose entry in the order is no image: it is no class either, so the loss
 * becomes NaN and the fault is noticed. */
#define DATA_BATCH_BAD_TARGET INT32_MAX

/* Where in the order place i of step t looks, or −1: nowhere (clipped). */
static inline int64_t data_batch_place(const data_batch_attrs *attrs, int64_t t, int64_t i,
                                       int64_t order_count)
{
    int64_t place = t * attrs->batch + i;
    if (attrs->clip) return place < order_count ? place : -1;
    return place % (order_count - order_count % attrs->batch);
}

#endif
