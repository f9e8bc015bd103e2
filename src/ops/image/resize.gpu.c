/* Pictures at another size: a pixel an item, from FROM_HEIGHT × FROM_WIDTH to TO_HEIGHT × TO_WIDTH.
 * Places are whole numbers over 2 · TO, so that all devices find the same ones. */
PARAMETERS(FROM_HEIGHT FROM_WIDTH TO_HEIGHT TO_WIDTH)

/* Of the pixel `to` along a side: the first pixel that it takes from. */
DEVICE int first_of(int to, int out, int in)
{
    i64 at = (i64)(2 * to + 1) * in - out;
    int first = at <= 0 ? 0 : (int)(at / (2 * (i64)out));
    return first < in - 1 ? first : in - 1;
}

/* … and the part that the next one has in it. */
DEVICE float second_of(int to, int out, int in)
{
    i64 at = (i64)(2 * to + 1) * in - out;
    if (at <= 0 || at / (2 * (i64)out) >= in - 1) return 0.0f;
    return (float)(at % (2 * (i64)out)) / (float)(2 * out);
}

KERNEL resize(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) {
        int column = (int)i % TO_WIDTH, row = (int)i / TO_WIDTH % TO_HEIGHT;
        int h = first_of(row, TO_HEIGHT, FROM_HEIGHT);
        int v = first_of(column, TO_WIDTH, FROM_WIDTH);
        float below = second_of(row, TO_HEIGHT, FROM_HEIGHT);
        float right = second_of(column, TO_WIDTH, FROM_WIDTH);
        int at = (int)i / (TO_WIDTH * TO_HEIGHT) * FROM_HEIGHT * FROM_WIDTH + h * FROM_WIDTH + v;
        int next = right > 0.0f ? 1 : 0, under = below > 0.0f ? FROM_WIDTH : 0;
        float high = x[at] + right * (x[at + next] - x[at]);
        float low = x[at + under] + right * (x[at + under + next] - x[at + under]);
        y[i] = high + below * (low - high);
    }
}

/* The part that pixel `from` has in pixel `to` along a side. */
DEVICE float part_of(int from, int to, int out, int in)
{
    int first = first_of(to, out, in);
    float second = second_of(to, out, in);
    if (from == first) return 1.0f - second;
    return from == first + 1 ? second : 0.0f;
}

/* The pixels of the result that may have taken from `from` along a side: from … on, and the last.
 */
DEVICE int first_taker(int from, int out, int in)
{
    i64 at = ((i64)(2 * from - 1) * out - in) / (2 * (i64)in) - 1;
    return at > 0 ? (int)at : 0;
}

DEVICE int last_taker(int from, int out, int in)
{
    i64 at = ((i64)(2 * from + 3) * out - in) / (2 * (i64)in) + 1;
    return from == in - 1 || at > out - 1 ? out - 1 : (int)at;
}

/* Each pixel of x adds up what comes back from those that took from it. */
KERNEL resize_backward(ITEM_ARG ARG_IN(float, dy), ARG_OUT(float, dx), ARG_INT(count))
{
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        int column = (int)i % FROM_WIDTH, row = (int)i / FROM_WIDTH % FROM_HEIGHT;
        int image = (int)i / (FROM_WIDTH * FROM_HEIGHT) * TO_HEIGHT * TO_WIDTH;
        int last_row = last_taker(row, TO_HEIGHT, FROM_HEIGHT);
        int last_column = last_taker(column, TO_WIDTH, FROM_WIDTH);
        float sum = 0.0f;
        for (int h = first_taker(row, TO_HEIGHT, FROM_HEIGHT); h <= last_row; h++) {
            float of_row = part_of(row, h, TO_HEIGHT, FROM_HEIGHT);
            for (int v = first_taker(column, TO_WIDTH, FROM_WIDTH);
                 of_row > 0.0f && v <= last_column; v++)
                sum += of_row * part_of(column, v, TO_WIDTH, FROM_WIDTH) *
                       dy[image + h * TO_WIDTH + v];
        }
        dx[i] = sum;
    }
}
