/* The convolution of images with the channels last, x [IMAGES, HEIGHT, WIDTH, CHANNELS] and windows
 * w [OUTPUTS, TAP_ROWS, TAPS, CHANNELS], a result an item: what a library's convolution means, and
 * what computes where it has none.  dw lies plainly.  X, W, Y, D, S and DX are the types of x, w,
 * y, dy, the sum to which dx is added with ADD, and dx. */
PARAMETERS(X_T W_T Y_T OUTPUTS OUT_WIDTH OUT_HEIGHT TAP_ROWS TAPS STRIDE_H PADDING_H STRIDE_W
               PADDING_W HEIGHT WIDTH CHANNELS D_T S_T DX_T ADD IMAGES)

#define PART 64 /* products that are added up before they join the sum, which keeps its digits */

KERNEL conv2d_last(ITEM_ARG ARG_IN(X_T, x), ARG_IN(W_T, w), ARG_OUT(Y_T, y), ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_IN(W_T, w);
    OPEN_OUT(Y_T, y);
    EACH (i, count) {
        int o = i % OUTPUTS, column = i / OUTPUTS % OUT_WIDTH;
        int row = i / (OUTPUTS * OUT_WIDTH) % OUT_HEIGHT;
        int n = i / (OUTPUTS * OUT_WIDTH * OUT_HEIGHT);
        float sum = 0.0f;
        for (int r = 0; r < TAP_ROWS; r++)
            for (int q = 0; q < TAPS; q++) {
                int h = row * STRIDE_H + r - PADDING_H, v = column * STRIDE_W + q - PADDING_W;
                if (h < 0 || v < 0 || h >= HEIGHT || v >= WIDTH) continue;
                GLOBAL const X_T *pixel = x + ((n * HEIGHT + h) * WIDTH + v) * CHANNELS;
                GLOBAL const W_T *tap = w + ((o * TAP_ROWS + r) * TAPS + q) * CHANNELS;
                float part = 0.0f;
                for (int c = 0; c < CHANNELS; c++) part += LOAD(X, pixel, c) * LOAD(W, tap, c);
                sum += part;
            }
        STORE(Y, y, i, sum);
    }
}

/* The output that a pixel took part in by a tap, along a side, or −1. */
DEVICE int output_of(int pixel, int tap, int padding, int stride, int count)
{
    int at = pixel + padding - tap;
    return at < 0 || at % stride || at / stride >= count ? -1 : at / stride;
}

KERNEL conv2d_last_dx(ITEM_ARG ARG_IN(W_T, w), ARG_IN(D_T, dy), ARG_IN(S_T, sum_so_far),
                      ARG_OUT(DX_T, dx), ARG_INT(count))
{
    OPEN_IN(W_T, w);
    OPEN_IN(D_T, dy);
    OPEN_IN(S_T, sum_so_far);
    OPEN_OUT(DX_T, dx);
    EACH (i, count) {
        int c = i % CHANNELS, v = i / CHANNELS % WIDTH, h = i / (CHANNELS * WIDTH) % HEIGHT;
        int n = i / (CHANNELS * WIDTH * HEIGHT);
        float sum = 0.0f;
        for (int r = 0; r < TAP_ROWS; r++)
            for (int q = 0; q < TAPS; q++) {
                int row = output_of(h, r, PADDING_H, STRIDE_H, OUT_HEIGHT);
                int column = output_of(v, q, PADDING_W, STRIDE_W, OUT_WIDTH);
                if (row < 0 || column < 0) continue;
                GLOBAL const D_T *from =
                    dy + ((n * OUT_HEIGHT + row) * OUT_WIDTH + column) * OUTPUTS;
                float part = 0.0f;
                for (int o = 0; o < OUTPUTS; o++)
                    part += LOAD(D, from, o) *
                            LOAD(W, w, ((o * TAP_ROWS + r) * TAPS + q) * CHANNELS + c);
                sum += part;
            }
        if (ADD) sum += LOAD(S, sum_so_far, i);
        STORE(DX, dx, i, sum);
    }
}

KERNEL conv2d_last_dw(ITEM_ARG ARG_IN(X_T, x), ARG_IN(D_T, dy), ARG_OUT(float, dw), ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_IN(D_T, dy);
    OPEN_OUT(float, dw);
    EACH (i, count) {
        int q = i % TAPS, r = i / TAPS % TAP_ROWS, c = i / (TAPS * TAP_ROWS) % CHANNELS;
        int o = i / (TAPS * TAP_ROWS * CHANNELS);
        float sum = 0.0f, part = 0.0f;
        for (int p = 0; p < IMAGES * OUT_HEIGHT * OUT_WIDTH; p++) {
            int column = p % OUT_WIDTH, row = p / OUT_WIDTH % OUT_HEIGHT;
            int n = p / (OUT_WIDTH * OUT_HEIGHT);
            int h = row * STRIDE_H + r - PADDING_H, v = column * STRIDE_W + q - PADDING_W;
            if (h >= 0 && v >= 0 && h < HEIGHT && v < WIDTH)
                part += LOAD(X, x, ((n * HEIGHT + h) * WIDTH + v) * CHANNELS + c) *
                        LOAD(D, dy, p * OUTPUTS + o);
            if (p % PART == PART - 1) {
                sum += part;
                part = 0.0f;
            }
        }
        dw[i] = sum + part;
    }
}
