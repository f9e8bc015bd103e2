/* A batch out of the data set: a part of an image a group and round.  What it computes:
 * data_batch.c.
 *
 * `order` has an entry for place modulo `wrap`: the order of the set, or of a ring of batches that
 * the host keeps filling, then `order_count` is still that of the set. */
PARAMETERS(BATCH CLIP COUNT BAD_TARGET CHANNELS PIXELS PART)

#define ELEMENTS (CHANNELS * PIXELS)
#define PARTS ((ELEMENTS + PART - 1) / PART)

KERNEL data_batch(ITEM_ARG ARG_IN(u8, images), ARG_IN(int, labels), ARG_IN(int, order),
                  ARG_IN(int, clock), ARG_OUT(float, x), ARG_OUT(int, target), ARG_INT(order_count),
                  ARG_INT(wrap), ARG_FLOAT(scale0), ARG_FLOAT(scale1), ARG_FLOAT(scale2),
                  ARG_FLOAT(scale3), ARG_FLOAT(shift0), ARG_FLOAT(shift1), ARG_FLOAT(shift2),
                  ARG_FLOAT(shift3))
{
    OPEN_IN(u8, images);
    OPEN_IN(int, labels);
    OPEN_IN(int, order);
    OPEN_IN(int, clock);
    OPEN_OUT(float, x);
    OPEN_OUT(int, target);
    for (int job = GROUP_ID; job < BATCH * PARTS; job += NUM_GROUPS) {
        int n = job / PARTS, first = job % PARTS * PART;
        int last = first + PART < ELEMENTS ? first + PART : ELEMENTS;
        i64 place = (i64)clock[0] * BATCH + n;
        int from = -1, inside = !CLIP || place < order_count;
        if (inside) from = order[place % wrap];
        int good = from >= 0 && from < COUNT;
        if (first == 0 && LOCAL_ID == 0) target[n] = good ? labels[from] : inside ? BAD_TARGET : -1;
        GLOBAL const u8 *image = images + (i64)(good ? from : 0) * ELEMENTS;
        GLOBAL float *to = x + (i64)n * ELEMENTS;
        for (int k = first + LOCAL_ID; k < last; k += LOCAL_SIZE) {
            int c = k / PIXELS;
            float scale = c == 0 ? scale0 : c == 1 ? scale1 : c == 2 ? scale2 : scale3;
            float shift = c == 0 ? shift0 : c == 1 ? shift1 : c == 2 ? shift2 : shift3;
            to[k] = good ? (float)image[k] * scale + shift : 0.0f;
        }
    }
}
