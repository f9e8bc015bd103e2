/* Pictures as a training sees them: a pixel an item. */
PARAMETERS(CHANNELS HEIGHT WIDTH PADDED NORMALISED)

/* How far a draw in ±1 moves a picture, −PADDED … PADDED. */
DEVICE int offset_of(float draw)
{
    int place = (int)((draw + 1.0f) * (0.5f * (float)(2 * PADDED + 1)));
    return (place < 0 ? 0 : place > 2 * PADDED ? 2 * PADDED : place) - PADDED;
}

KERNEL augment(ITEM_ARG ARG_IN(float, x), ARG_IN(float, draws), ARG_OUT(float, y), ARG_INT(count),
               ARG_FLOAT(mean0), ARG_FLOAT(mean1), ARG_FLOAT(mean2), ARG_FLOAT(mean3),
               ARG_FLOAT(std0), ARG_FLOAT(std1), ARG_FLOAT(std2), ARG_FLOAT(std3))
{
    OPEN_IN(float, x);
    OPEN_IN(float, draws);
    OPEN_OUT(float, y);
    EACH (i, count) {
        int plane = (int)i / (HEIGHT * WIDTH), channel = plane % CHANNELS;
        GLOBAL const float *draw = draws + plane / CHANNELS * 3;
        int column = (int)i % WIDTH, row = (int)i / WIDTH % HEIGHT + offset_of(draw[0]);
        column = (draw[2] < 0.0f ? WIDTH - 1 - column : column) + offset_of(draw[1]);
        float value = 0.0f;
        if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH)
            value = x[(plane * HEIGHT + row) * WIDTH + column];
        float mean = channel == 0 ? mean0 : channel == 1 ? mean1 : channel == 2 ? mean2 : mean3;
        float std = channel == 0 ? std0 : channel == 1 ? std1 : channel == 2 ? std2 : std3;
        y[i] = NORMALISED ? (value - mean) / std : value;
    }
}

/* Each pixel of x gets back what came of it, where it was shown. */
KERNEL augment_backward(ITEM_ARG ARG_IN(float, dy), ARG_IN(float, draws), ARG_OUT(float, dx),
                        ARG_INT(count), ARG_FLOAT(std0), ARG_FLOAT(std1), ARG_FLOAT(std2),
                        ARG_FLOAT(std3))
{
    OPEN_IN(float, dy);
    OPEN_IN(float, draws);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        int plane = (int)i / (HEIGHT * WIDTH), channel = plane % CHANNELS;
        GLOBAL const float *draw = draws + plane / CHANNELS * 3;
        int column = (int)i % WIDTH - offset_of(draw[1]);
        int row = (int)i / WIDTH % HEIGHT - offset_of(draw[0]);
        if (draw[2] < 0.0f) column = WIDTH - 1 - column;
        float value = 0.0f;
        if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH)
            value = dy[(plane * HEIGHT + row) * WIDTH + column];
        float std = channel == 0 ? std0 : channel == 1 ? std1 : channel == 2 ? std2 : std3;
        dx[i] = NORMALISED ? value / std : value;
    }
}
