/* Pooling without a convolution before it: an output element an item. */
KERNEL max_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_OUT(u8, index), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    OPEN_OUT(u8, index);
    EACH (i, count) {
        u32 column = i % OUT_WIDTH, row = i / OUT_WIDTH % OUT_HEIGHT;
        u32 image = i / (OUT_WIDTH * OUT_HEIGHT);
        GLOBAL const IN0_T *window = x + (image * HEIGHT + row * SIZE) * WIDTH + column * SIZE;
        float best = LOAD(IN0, window, 0);
        int won = 0;
        for (int k = 1; k < SIZE * SIZE; k++) {
            float value = LOAD(IN0, window, k / SIZE * WIDTH + k % SIZE);
            if (value > best || value != value) {
                best = value;
                won = k;
            }
        }
        STORE(OUT0, y, i, best);
        index[i] = (u8)won;
    }
}

KERNEL max_pool_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_IN(u8, index), ARG_OUT(OUT0_T, dx),
                         ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_IN(u8, index);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) {
        u32 column = i % WIDTH, row = i / WIDTH % HEIGHT, image = i / (WIDTH * HEIGHT);
        float value = 0.0f;
        if (row / SIZE < OUT_HEIGHT && column / SIZE < OUT_WIDTH) {
            u32 at = (image * OUT_HEIGHT + row / SIZE) * OUT_WIDTH + column / SIZE;
            if (index[at] == row % SIZE * SIZE + column % SIZE) value = LOAD(IN0, dy, at);
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
