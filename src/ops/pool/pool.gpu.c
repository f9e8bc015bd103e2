/* Pooling without a convolution before it.  With LAST the CHANNELS of a pixel lie side by side,
 * STEP elements from those of the next; else a plane of its own is each channel's, and STEP is 1.
 * The maximum takes WIDE channels side by side an item. */
PARAMETERS(
    LAST CHANNELS OUT_WIDTH OUT_HEIGHT STRIDE PADDING HEIGHT WIDTH SIZE STEP PIXELS LEAVES_PADDING)

/* WIDE elements from i on, and of `index` by GET_PLACES the places in their windows. */
#if LAST && CHANNELS % 8 == 0
#define WIDE 8
#define GET(type, v, p, i) LOAD_8(type, v, p, i)
#define PUT(type, p, i, v) STORE_8(type, p, i, v)
#define PLACES_T u64
#else
#define WIDE 1
#define GET(type, v, p, i) (v)[0] = LOAD(type, p, i)
#define PUT(type, p, i, v) STORE(type, p, i, (v)[0])
#define PLACES_T u8
#endif
#define EACH_OF(k) UNROLL for (int k = 0; k < WIDE; k++)

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

/* WIDE elements of y an item; all of its windows are fetched before the first is compared. */
KERNEL max_pool(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_OUT(PLACES_T, index),
                ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    OPEN_OUT(PLACES_T, index);
    EACH (i, count) {
        u32 pixel = pixel_of(i * WIDE, OUT_WIDTH * OUT_HEIGHT);
        u32 plane = plane_of(i * WIDE, OUT_WIDTH * OUT_HEIGHT);
        int top = (int)(pixel / OUT_WIDTH) * STRIDE - PADDING;
        int left = (int)(pixel % OUT_WIDTH) * STRIDE - PADDING;
        GLOBAL const IN0_T *from = x + start_of(plane, HEIGHT * WIDTH);
        float best[WIDE], value[WIDE];
        int won[WIDE];
        PLACES_T places = 0;
        int first = (top < 0 ? -top : 0) * SIZE + (left < 0 ? -left : 0);
        EACH_OF(k)
        {
            best[k] = FLOAT_OF(0xff800000u); /* −infinity */
            won[k] = first;
        }
        UNROLL for (int place = 0; place < SIZE * SIZE; place++)
        {
            int h = top + place / SIZE, v = left + place % SIZE;
            int is_inside = PADDING == 0 || (h >= 0 && h < HEIGHT && v >= 0 && v < WIDTH);
            GET(IN0, value, from, (is_inside ? h * WIDTH + v : 0) * STEP);
            EACH_OF(k)
            {
                int wins = is_inside & ((value[k] > best[k]) | (value[k] != value[k]));
                best[k] = wins ? value[k] : best[k];
                won[k] = wins ? place : won[k];
            }
        }
        PUT(OUT0, y, i * WIDE, best);
        EACH_OF(k)
        places |= (PLACES_T)((PLACES_T)won[k] << 8 * k);
        index[i] = places;
    }
}

/* Blocks of SIDE × SIDE pixels of x and the padding whose last window is the same one, from
 * FIRST_BLOCK on as many as have pixels of x.  Along a side REACH windows hold some of them. */
#define SIDE (STRIDE == 2 ? 2 : 1)
#define REACH ((SIZE + STRIDE - 1) / STRIDE)
#define FIRST_BLOCK (PADDING / SIDE)
#define BLOCK_ROWS ((HEIGHT - 1 + PADDING) / SIDE - FIRST_BLOCK + 1)
#define BLOCK_COLUMNS ((WIDTH - 1 + PADDING) / SIDE - FIRST_BLOCK + 1)

/* Each element of x adds up what comes from the windows that it won.  WIDE channels of a block an
 * item, which reads each window once for all of them, and all windows before it adds. */
KERNEL max_pool_backward(ITEM_ARG ARG_IN(IN0_T, dy), ARG_IN(PLACES_T, index), ARG_OUT(OUT0_T, dx),
                         ARG_INT(count))
{
    OPEN_IN(IN0_T, dy);
    OPEN_IN(PLACES_T, index);
    OPEN_OUT(OUT0_T, dx);
    EACH (i, count) {
        u32 plane = plane_of(i * WIDE, BLOCK_ROWS * BLOCK_COLUMNS);
        int block = (int)pixel_of(i * WIDE, BLOCK_ROWS * BLOCK_COLUMNS);
        int top = (block / BLOCK_COLUMNS + FIRST_BLOCK) * SIDE;
        int left = (block % BLOCK_COLUMNS + FIRST_BLOCK) * SIDE;
        int pooled = (int)start_of(plane, OUT_HEIGHT * OUT_WIDTH);
        int whole = (int)start_of(plane, HEIGHT * WIDTH);
        float sum[SIDE * SIDE][WIDE], dz[WIDE];
        UNROLL for (int j = 0; j < SIDE * SIDE; j++) EACH_OF(k) sum[j][k] = 0.0f;
        UNROLL_4 for (int w = REACH * REACH - 1; w >= 0; w--)
        {
            int h = top / STRIDE - w / REACH, v = left / STRIDE - w % REACH;
            int is_there = h >= 0 && h < OUT_HEIGHT && v >= 0 && v < OUT_WIDTH;
            int at = pooled + (is_there ? h * OUT_WIDTH + v : 0) * STEP;
            PLACES_T places = index[at / WIDE];
            GET(IN0, dz, dy, at);
            UNROLL for (int j = 0; j < SIDE * SIDE; j++)
            {
                int r = top % STRIDE + j / SIDE + w / REACH * STRIDE;
                int q = left % STRIDE + j % SIDE + w % REACH * STRIDE;
                int place = is_there && r < SIZE && q < SIZE ? r * SIZE + q : -1;
                EACH_OF(k)
                if ((int)(places >> 8 * k & 255) == place) sum[j][k] += dz[k];
            }
        }
        UNROLL for (int j = 0; j < SIDE * SIDE; j++)
        {
            int row = top + j / SIDE - PADDING, column = left + j % SIDE - PADDING;
            if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH)
                PUT(OUT0, dx, whole + (row * WIDTH + column) * STEP, sum[j]);
        }
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
