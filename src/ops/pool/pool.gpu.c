/* Pooling without a convolution before it: an output element an item. */
KERNEL max_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_OUT(u8, index), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    OPEN_OUT(u8, index);
    EACH (i, count) {
        u32 column = i % OUT_WIDTH, row = i / OUT_WIDTH % OUT_HEIGHT;
        u32 image = i / (OUT_WIDTH * OUT_HEIGHT);
        int top = (int)row * STRIDE - PADDING, left = (int)column * STRIDE - PADDING;
        GLOBAL const IN0_T *plane = x + image * (HEIGHT * WIDTH);
        float best = 0.0f;
        int won = -1;
        for (int k = 0; k < SIZE * SIZE; k++) {
            int h = top + k / SIZE, v = left + k % SIZE;
            if (PADDING > 0 && (h < 0 || h >= HEIGHT || v < 0 || v >= WIDTH)) continue;
            float value = LOAD(IN0, plane, h * WIDTH + v);
            if (won < 0 || value > best || value != value) {
                best = value;
                won = k;
            }
        }
        STORE(OUT0, y, i, best);
        index[i] = (u8)won;
    }
}

/* The first window that has a pixel, along a side. */
DEVICE int first_window(int pixel)
{
    int at = pixel + PADDING - SIZE + STRIDE;
    return at > 0 ? at / STRIDE : 0;
}

/* … and the last, of `count`. */
DEVICE int last_window(int pixel, int count)
{
    int at = (pixel + PADDING) / STRIDE;
    return at < count ? at : count - 1;
}

/* Each element of x adds up what comes from the windows that it won. */
KERNEL max_pool_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_IN(u8, index), ARG_OUT(OUT0_T, dx),
                         ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_IN(u8, index);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) {
        int column = i % WIDTH, row = i / WIDTH % HEIGHT;
        int plane = (int)(i / (WIDTH * HEIGHT)) * (OUT_HEIGHT * OUT_WIDTH);
        float value = 0.0f;
        for (int h = first_window(row); h <= last_window(row, OUT_HEIGHT); h++)
            for (int v = first_window(column); v <= last_window(column, OUT_WIDTH); v++) {
                int at = plane + h * OUT_WIDTH + v;
                int place = (row - h * STRIDE + PADDING) * SIZE + column - v * STRIDE + PADDING;
                if (index[at] == place) value += LOAD(IN0, dy, at);
            }
        STORE(OUT0, dx, i, value);
    }
}

/* x [count, pixels] -> y [count] */
KERNEL average_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) {
        GLOBAL const IN0_T *image = x + (i64)i * PIXELS;
        float sum = 0.0f;
        for (int k = 0; k < PIXELS; k++) sum += LOAD(IN0, image, k);
        STORE(OUT0, y, i, sum / (float)PIXELS);
    }
}

KERNEL average_pool_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_OUT(OUT0_T, dx), ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) STORE(OUT0, dx, i, LOAD(IN0, dy, i / PIXELS) / (float)PIXELS);
}
