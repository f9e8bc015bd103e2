/* What a library's convolution with the channels last needs beside it.  P is the type of all.
 *
 * A few channels (a picture's 3) are no width for tensor cores, and a stride of 2 leaves every
 * second row out.  So FOLD_H × FOLD_W pixels, as many as the strides, are folded into the channels
 * of one, with zeros up to WIDE of them; the windows are folded likewise, and the convolution that
 * is left has a stride of 1 over ROWS × COLUMNS such pixels, the padding among them.  The sums are
 * of the same products.  Tap r stands in row (r − PADDING_H) / FOLD_H of the folded window, from
 * −BEFORE_H on. */
PARAMETERS(P_T WIDE CHANNELS COLUMNS ROWS BEFORE_H FOLD_H FOLD_W BEFORE_W HEIGHT WIDTH FOLDED_TAPS
               FOLDED_ROWS PADDING_H PADDING_W TAP_ROWS TAPS)

/* Eight elements of y an item. */
KERNEL fold_images(ITEM_ARG ARG_IN(P_T, x), ARG_OUT(P_T, y), ARG_INT(count))
{
    OPEN_IN(P_T, x);
    OPEN_OUT(P_T, y);
    EACH (item, count) {
        u32 i = item * 8u, pixel = i / WIDE;
        int row = pixel / COLUMNS % ROWS, column = pixel % COLUMNS, n = pixel / (COLUMNS * ROWS);
        float value[8];
        UNROLL for (int j = 0; j < 8; j++)
        {
            int k = i % WIDE + j, c = k % CHANNELS, part = k / CHANNELS;
            int h = (row - BEFORE_H) * FOLD_H + part / FOLD_W;
            int v = (column - BEFORE_W) * FOLD_W + part % FOLD_W;
            int is_inside =
                k < CHANNELS * FOLD_H * FOLD_W && h >= 0 && v >= 0 && h < HEIGHT && v < WIDTH;
            value[j] = 0.0f;
            if (is_inside) value[j] = LOAD(P, x, ((n * HEIGHT + h) * WIDTH + v) * CHANNELS + c);
        }
        STORE_8(P, y, i, value);
    }
}

KERNEL fold_windows(ITEM_ARG ARG_IN(P_T, w), ARG_OUT(P_T, y), ARG_INT(count))
{
    OPEN_IN(P_T, w);
    OPEN_OUT(P_T, y);
    EACH (i, count) {
        int k = i % WIDE, c = k % CHANNELS, part = k / CHANNELS;
        int row = i / (WIDE * FOLDED_TAPS) % FOLDED_ROWS, column = i / WIDE % FOLDED_TAPS;
        int r = (row - BEFORE_H) * FOLD_H + part / FOLD_W + PADDING_H;
        int q = (column - BEFORE_W) * FOLD_W + part % FOLD_W + PADDING_W;
        int o = i / (WIDE * FOLDED_TAPS * FOLDED_ROWS);
        int is_inside =
            k < CHANNELS * FOLD_H * FOLD_W && r >= 0 && q >= 0 && r < TAP_ROWS && q < TAPS;
        float value = 0.0f;
        if (is_inside) value = LOAD(P, w, ((o * TAP_ROWS + r) * TAPS + q) * CHANNELS + c);
        STORE(P, y, i, value);
    }
}

/* The gradient of folded windows, back as [OUTPUTS, CHANNELS, TAP_ROWS, TAPS] of floats. */
KERNEL unfold_windows(ITEM_ARG ARG_IN(P_T, from), ARG_OUT(float, dw), ARG_INT(count))
{
    OPEN_IN(P_T, from);
    OPEN_OUT(float, dw);
    EACH (i, count) {
        int q = i % TAPS, r = i / TAPS % TAP_ROWS, c = i / (TAPS * TAP_ROWS) % CHANNELS;
        int o = i / (TAPS * TAP_ROWS * CHANNELS);
        int h = r - PADDING_H + BEFORE_H * FOLD_H, v = q - PADDING_W + BEFORE_W * FOLD_W;
        int k = (h % FOLD_H * FOLD_W + v % FOLD_W) * CHANNELS + c;
        dw[i] =
            LOAD(P, from, ((o * FOLDED_ROWS + h / FOLD_H) * FOLDED_TAPS + v / FOLD_W) * WIDE + k);
    }
}
