/* Rows of length 1: a row a group and round.  sum_items is that of group_sum.gpu.c, which stands in
 * front. */
KERNEL l2_normalize(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_OUT(float, norms),
                    ARG_INT(rows), ARG_INT(width))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    OPEN_OUT(float, norms);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        i64 at = (i64)row * width;
        float squares = 0.0f;
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE) squares += x[at + i] * x[at + i];
        float norm = SQRT(sum_items(ITEM sums, squares));
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE) y[at + i] = x[at + i] / norm;
        if (LOCAL_ID == 0) norms[row] = norm;
        BARRIER();
    }
}

KERNEL l2_normalize_backward(ITEM_ARG ARG_IN(float, y), ARG_IN(float, norms), ARG_IN(float, dy),
                             ARG_OUT(float, dx), ARG_INT(rows), ARG_INT(width))
{
    OPEN_IN(float, y);
    OPEN_IN(float, norms);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        i64 at = (i64)row * width;
        float part = 0.0f;
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE) part += dy[at + i] * y[at + i];
        float sum = sum_items(ITEM sums, part);
        for (int i = LOCAL_ID; i < width; i += LOCAL_SIZE)
            dx[at + i] = (dy[at + i] - y[at + i] * sum) / norms[row];
        BARRIER();
    }
}
