/* Softmax over rows (softmax.c says what it computes): a row a group and round.  group_sum.gpu.c
 * stands in front. */
KERNEL softmax(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(rows), ARG_INT(width),
               ARG_FLOAT(scale))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    LOCAL_ARRAY(float, tops, GROUP);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        i64 at = (i64)row * width;
        float top = F32_LOWEST, part = 0.0f;
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE) top = MAX(top, x[at + i]);
        float largest = max_items(ITEM tops, top);
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE)
            part += EXP(scale * (x[at + i] - largest));
        float sum = sum_items(ITEM sums, part);
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE)
            y[at + i] = EXP(scale * (x[at + i] - largest)) / sum;
    }
}

KERNEL softmax_backward(ITEM_ARG ARG_IN(float, y), ARG_IN(float, dy), ARG_OUT(float, dx),
                        ARG_INT(rows), ARG_INT(width), ARG_FLOAT(scale))
{
    OPEN_IN(float, y);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        i64 at = (i64)row * width;
        float part = 0.0f;
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE) part += dy[at + i] * y[at + i];
        float sum = sum_items(ITEM sums, part);
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE)
            dx[at + i] = scale * y[at + i] * (dy[at + i] - sum);
        BARRIER();
    }
}
