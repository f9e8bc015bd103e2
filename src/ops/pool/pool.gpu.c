/* Pooling without a convolution before it: an output element an item. */
KERNEL max_pool(ARG_IN(float, x), ARG_OUT(float, y), ARG_OUT(u8, index), int count)
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    OPEN_OUT(u8, index);
    EACH (i, count) {
        u32 column = i % OUT_WIDTH, row = i / OUT_WIDTH % OUT_HEIGHT;
        u32 image = i / (OUT_WIDTH * OUT_HEIGHT);
        GLOBAL const float *window = x + (image * HEIGHT + row * SIZE) * WIDTH + column * SIZE;
        float best = window[0];
        int won = 0;
        for (int k = 1; k < SIZE * SIZE; k++) {
            float value = window[k / SIZE * WIDTH + k % SIZE];
            if (value > best || value != value) {
                best = value;
                won = k;
            }
        }
        y[i] = best;
        index[i] = (u8)won;
    }
}

KERNEL max_pool_backward(ARG_IN(float, dy), ARG_IN(u8, index), ARG_OUT(float, dx), int count)
{
    OPEN_IN(float, dy);
    OPEN_IN(u8, index);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        u32 column = i % WIDTH, row = i / WIDTH % HEIGHT, image = i / (WIDTH * HEIGHT);
        float value = 0.0f;
        if (row / SIZE < OUT_HEIGHT && column / SIZE < OUT_WIDTH) {
            u32 at = (image * OUT_HEIGHT + row / SIZE) * OUT_WIDTH + column / SIZE;
            if (index[at] == row % SIZE * SIZE + column % SIZE) value = dy[at];
        }
        dx[i] = value;
    }
}

/* x [count, pixels] -> y [count] */
KERNEL average_pool(ARG_IN(float, x), ARG_OUT(float, y), int count)
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) {
        GLOBAL const float *image = x + (i64)i * PIXELS;
        float sum = 0.0f;
        for (int k = 0; k < PIXELS; k++) sum += image[k];
        y[i] = sum / (float)PIXELS;
    }
}

KERNEL average_pool_backward(ARG_IN(float, dy), ARG_OUT(float, dx), int count)
{
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) dx[i] = dy[i / PIXELS] / (float)PIXELS;
}
