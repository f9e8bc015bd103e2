/* Pooling without a convolution before it: an output element an item.  With LAST the CHANNELS of a
 * pixel lie side by side, STEP elements from those of the next; else a plane of its own is each
 * channel's, and STEP is 1. */
PARAMETERS(
    LAST CHANNELS OUT_WIDTH OUT_HEIGHT STRIDE PADDING HEIGHT WIDTH SIZE STEP PIXELS LEAVES_PADDING)

/* Which plane element i lies in, of planes of `pixels` each, and which pixel it is there. */
DEVICE u32 plane_of(u32 i, u32 pixels)
{
    return LAST ? i / (pixels * CHANNELS) * CHANNELS + i % CHANNELS : i / pixels;
}

DEVICE u32 pixel_of(u32 i, u32 pixels)
{
    return LAST ? i / CHANNELS % pixels : i % pixels;
}

/* Where a plane of that many pixels begins. */
DEVICE u32 start_of(u32 plane, u32 pixels)
{
    return LAST ? plane / CHANNELS * CHANNELS * pixels + plane % CHANNELS : plane * pixels;
}

KERNEL max_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_OUT(u8, index), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    OPEN_OUT(u8, index);
    EACH (i, count) {
        u32 pixel = pixel_of(i, OUT_WIDTH * OUT_HEIGHT);
        u32 column = pixel % OUT_WIDTH, row = pixel / OUT_WIDTH;
        int top = (int)row * STRIDE - PADDING, left = (int)column * STRIDE - PADDING;
        GLOBAL const IN0_T *plane =
            x + start_of(plane_of(i, OUT_WIDTH * OUT_HEIGHT), HEIGHT * WIDTH);
        float best = 0.0f;
        int won = -1;
        for (int k = 0; k < SIZE * SIZE; k++) {
            int h = top + k / SIZE, v = left + k % SIZE;
            if (PADDING > 0 && (h < 0 || h >= HEIGHT || v < 0 || v >= WIDTH)) continue;
            float value = LOAD(IN0, plane, (h * WIDTH + v) * STEP);
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
        int pixel = (int)pixel_of(i, WIDTH * HEIGHT), column = pixel % WIDTH, row = pixel / WIDTH;
        int plane = (int)start_of(plane_of(i, WIDTH * HEIGHT), OUT_HEIGHT * OUT_WIDTH);
        float value = 0.0f;
        for (int h = first_window(row); h <= last_window(row, OUT_HEIGHT); h++)
            for (int v = first_window(column); v <= last_window(column, OUT_WIDTH); v++) {
                int at = plane + (h * OUT_WIDTH + v) * STEP;
                int place = (row - h * STRIDE + PADDING) * SIZE + column - v * STRIDE + PADDING;
                if (index[at] == place) value += LOAD(IN0, dy, at);
            }
        STORE(OUT0, dx, i, value);
    }
}

/* How many pixels of window `at` lie in an image, along a side of that many. */
DEVICE int inside_of(int at, int pixels)
{
    int first = at * STRIDE - PADDING, end = first + SIZE;
    return (end < pixels ? end : pixels) - (first > 0 ? first : 0);
}

/* What the sum of a window is divided by. */
DEVICE float divisor_of(int row, int column)
{
    return LEAVES_PADDING ? (float)(inside_of(row, HEIGHT) * inside_of(column, WIDTH))
                          : (float)(SIZE * SIZE);
}

KERNEL average_windows(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) {
        int pixel = (int)pixel_of(i, OUT_WIDTH * OUT_HEIGHT);
        int column = pixel % OUT_WIDTH, row = pixel / OUT_WIDTH;
        GLOBAL const IN0_T *plane =
            x + start_of(plane_of(i, OUT_WIDTH * OUT_HEIGHT), HEIGHT * WIDTH);
        float sum = 0.0f;
        for (int k = 0; k < SIZE * SIZE; k++) {
            int h = row * STRIDE - PADDING + k / SIZE, v = column * STRIDE - PADDING + k % SIZE;
            if (PADDING > 0 && (h < 0 || h >= HEIGHT || v < 0 || v >= WIDTH)) continue;
            sum += LOAD(IN0, plane, (h * WIDTH + v) * STEP);
        }
        STORE(OUT0, y, i, sum / divisor_of(row, column));
    }
}

/* Each element of x adds up its share of the windows that it is in. */
KERNEL average_windows_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_OUT(OUT0_T, dx), ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) {
        int pixel = (int)pixel_of(i, WIDTH * HEIGHT), column = pixel % WIDTH, row = pixel / WIDTH;
        int plane = (int)start_of(plane_of(i, WIDTH * HEIGHT), OUT_HEIGHT * OUT_WIDTH);
        float value = 0.0f;
        for (int h = first_window(row); h <= last_window(row, OUT_HEIGHT); h++)
            for (int v = first_window(column); v <= last_window(column, OUT_WIDTH); v++)
                value += LOAD(IN0, dy, plane + (h * OUT_WIDTH + v) * STEP) / divisor_of(h, v);
        STORE(OUT0, dx, i, value);
    }
}

/* x [count, pixels] -> y [count] */
KERNEL average_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) {
        GLOBAL const IN0_T *image = x + start_of(i, PIXELS);
        float sum = 0.0f;
        for (int k = 0; k < PIXELS; k++) sum += LOAD(IN0, image, k * STEP);
        STORE(OUT0, y, i, sum / (float)PIXELS);
    }
}

KERNEL average_pool_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_OUT(OUT0_T, dx), ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) STORE(OUT0, dx, i, LOAD(IN0, dy, plane_of(i, PIXELS)) / (float)PIXELS);
}
