/* A field of a data set's batch: a part of a sample a group and round, since a batch may have fewer
 * samples than a device has room for groups.  What it computes: data_batch.c.
 *
 * `order` has an entry for place modulo `wrap`: see data_batch.gpu.c.  A sample has `elements` in a
 * run, from one to the next it is `stride`. */
PARAMETERS(CLIP BATCH PART)

DEVICE int gather_sample(GLOBAL const int *order, i64 place, int order_count, int wrap, int count)
{
    int inside = !CLIP || place < order_count;
    int from = inside ? order[place % wrap] : 0;
    return !inside ? -2 : from >= 0 && from < count ? from : -1;
}

/* Elements of 4 bytes as they are; a place without a sample has `absent`, or `bad` where its entry
 * in the order is none. */
KERNEL gather_words(ITEM_ARG ARG_IN(u32, field), ARG_IN(int, order), ARG_IN(int, clock),
                    ARG_OUT(u32, y), ARG_INT(order_count), ARG_INT(wrap), ARG_INT(count),
                    ARG_INT(elements), ARG_INT(stride), ARG_INT(absent), ARG_INT(bad))
{
    OPEN_IN(u32, field);
    OPEN_IN(int, order);
    OPEN_IN(int, clock);
    OPEN_OUT(u32, y);
    int parts = (elements + PART - 1) / PART;
    for (int job = GROUP_ID; job < BATCH * parts; job += NUM_GROUPS) {
        int n = job / parts, first = job % parts * PART;
        int last = first + PART < elements ? first + PART : elements;
        int from = gather_sample(order, (i64)clock[0] * BATCH + n, order_count, wrap, count);
        u32 value = (u32)(from == -2 ? absent : bad);
        for (int k = first + LOCAL_ID; k < last; k += LOCAL_SIZE)
            y[(i64)n * elements + k] = from < 0 ? value : field[(i64)from * stride + k];
    }
}

/* Bytes as they are. */
KERNEL gather_bytes(ITEM_ARG ARG_IN(u8, field), ARG_IN(int, order), ARG_IN(int, clock),
                    ARG_OUT(u8, y), ARG_INT(order_count), ARG_INT(wrap), ARG_INT(count),
                    ARG_INT(elements), ARG_INT(stride))
{
    OPEN_IN(u8, field);
    OPEN_IN(int, order);
    OPEN_IN(int, clock);
    OPEN_OUT(u8, y);
    int parts = (elements + PART - 1) / PART;
    for (int job = GROUP_ID; job < BATCH * parts; job += NUM_GROUPS) {
        int n = job / parts, first = job % parts * PART;
        int last = first + PART < elements ? first + PART : elements;
        int from = gather_sample(order, (i64)clock[0] * BATCH + n, order_count, wrap, count);
        for (int k = first + LOCAL_ID; k < last; k += LOCAL_SIZE)
            y[(i64)n * elements + k] = from < 0 ? (u8)0 : field[(i64)from * stride + k];
    }
}

/* Bytes made float and normalised by channel. */
KERNEL gather_normalized(ITEM_ARG ARG_IN(u8, field), ARG_IN(int, order), ARG_IN(int, clock),
                         ARG_OUT(float, y), ARG_INT(order_count), ARG_INT(wrap), ARG_INT(count),
                         ARG_INT(elements), ARG_INT(pixels), ARG_FLOAT(scale0), ARG_FLOAT(scale1),
                         ARG_FLOAT(scale2), ARG_FLOAT(scale3), ARG_FLOAT(shift0), ARG_FLOAT(shift1),
                         ARG_FLOAT(shift2), ARG_FLOAT(shift3))
{
    OPEN_IN(u8, field);
    OPEN_IN(int, order);
    OPEN_IN(int, clock);
    OPEN_OUT(float, y);
    int parts = (elements + PART - 1) / PART;
    for (int job = GROUP_ID; job < BATCH * parts; job += NUM_GROUPS) {
        int n = job / parts, first = job % parts * PART;
        int last = first + PART < elements ? first + PART : elements;
        int from = gather_sample(order, (i64)clock[0] * BATCH + n, order_count, wrap, count);
        for (int k = first + LOCAL_ID; k < last; k += LOCAL_SIZE) {
            int c = k / pixels;
            float scale = c == 0 ? scale0 : c == 1 ? scale1 : c == 2 ? scale2 : scale3;
            float shift = c == 0 ? shift0 : c == 1 ? shift1 : c == 2 ? shift2 : shift3;
            float x = from < 0 ? 0.0f : (float)field[(i64)from * elements + k];
            y[(i64)n * elements + k] = from < 0 ? 0.0f : x * scale + shift;
        }
    }
}
