/* A convolution whose windows lie side by side is one product: each patch of the image is a row.
 * Here is what stands beside the product (conv2d_patches_cublaslt.c), whose other side is turned,
 * [OUTPUTS, PITCH] with the places of all images side by side, so that both ways move whole images.
 * There are PITCH rows; those behind the last place are zeros. X is the type of the operands. */
PARAMETERS(X_T IMAGES CHANNELS HEIGHT WIDTH OUTPUTS TAP_ROWS TAPS OUT_HEIGHT OUT_WIDTH PITCH BIAS)

#define DEPTH (CHANNELS * TAP_ROWS * TAPS)
#define PLACES (OUT_HEIGHT * OUT_WIDTH)

#if TAPS % 8 == 0 && WIDTH % 8 == 0
#define PIECE 8
#define GET_PIECE(p, i) LOAD_8(X, piece, p, i)
#define SET_PIECE(p, i) STORE_8(X, p, i, piece)
#else
#define PIECE 1
#define GET_PIECE(p, i) piece[0] = LOAD(X, p, i)
#define SET_PIECE(p, i) STORE(X, p, i, piece[0])
#endif

/* x [IMAGES, CHANNELS, HEIGHT, WIDTH] -> rows [PITCH, DEPTH] */
KERNEL patch_rows(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(X_T, rows))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(X_T, rows);
    EACH (k, PITCH * DEPTH / PIECE) {
        float piece[PIECE] = {0};
        int at = (int)k * PIECE, row = at / DEPTH, q = at % TAPS, r = at / TAPS % TAP_ROWS;
        int c = at / (TAPS * TAP_ROWS) % CHANNELS, n = row / PLACES;
        int i = row / OUT_WIDTH % OUT_HEIGHT * TAP_ROWS + r, j = row % OUT_WIDTH * TAPS + q;
        int place = ((n * CHANNELS + c) * HEIGHT + i) * WIDTH + j;
        if (n < IMAGES) GET_PIECE(x, place);
        SET_PIECE(rows, at);
    }
}

/* turned [OUTPUTS, PITCH] -> y [IMAGES, OUTPUTS, PLACES], with the bias added */
KERNEL patch_results(ITEM_ARG ARG_IN(float, turned), ARG_IN(float, bias), ARG_OUT(float, y))
{
    OPEN_IN(float, turned);
    OPEN_IN(float, bias);
    OPEN_OUT(float, y);
    EACH (k, IMAGES * OUTPUTS * PLACES) {
        int p = (int)k % PLACES, o = (int)k / PLACES % OUTPUTS, n = (int)k / (PLACES * OUTPUTS);
        y[k] = turned[o * PITCH + n * PLACES + p] + (BIAS ? bias[o] : 0.0f);
    }
}

/* dy [IMAGES, OUTPUTS, PLACES] -> turned [OUTPUTS, PITCH] */
KERNEL patch_upstream(ITEM_ARG ARG_IN(X_T, dy), ARG_OUT(X_T, turned))
{
    OPEN_IN(X_T, dy);
    OPEN_OUT(X_T, turned);
    EACH (k, OUTPUTS * PITCH) {
        int column = (int)k % PITCH, o = (int)k / PITCH, p = column % PLACES, n = column / PLACES;
        float value = 0.0f;
        if (n < IMAGES) value = LOAD(X, dy, (n * OUTPUTS + o) * PLACES + p);
        STORE(X, turned, k, value);
    }
}
