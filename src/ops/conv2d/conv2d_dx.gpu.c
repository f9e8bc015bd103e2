/* The gradient of a convolution's input as a product of tiles (tile.gpu.c): side m are the pixels
 * of x, side n its channels, and the depth runs over channels of the output and taps.
 *
 * What flows back at a place of the output: dy itself (FROM_PLAIN), dy where y is above 0
 * (FROM_RELU), or the pooled dy at the place that won its window (FROM_POOL). */
#define AREA (TAPS * TAPS)
#define PLANE (FROM_POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) : OUT_HEIGHT * OUT_WIDTH)
#define ROWS_BACK (FROM_POOL ? OUT_HEIGHT / 2 * 2 : OUT_HEIGHT) /* from which anything flows */
#define COLUMNS_BACK (FROM_POOL ? OUT_WIDTH / 2 * 2 : OUT_WIDTH)
#define M_TILES ((IMAGES * HEIGHT * WIDTH + BM - 1) / BM)
#define N_TILES ((CHANNELS + BN - 1) / BN)
#define FAR_AWAY 30000

DEVICE void load_weights(LOCAL float *nt, GLOBAL const float *w, int channel0, int output0)
{
    for (int i = LOCAL_ID; i < BK * BN; i += GROUP) {
        int tap = i % AREA, n = i / AREA % BN, output = i / (AREA * BN);
        float value = 0.0f;
        if (channel0 + n < CHANNELS)
            value = w[((output0 + output) * CHANNELS + channel0 + n) * AREA + tap];
        nt[(output * AREA + tap) * STRIDE_N + n] = value;
    }
}

/* What flows back at a row and a column of the output's image that starts at `at` in dy. */
DEVICE float flow_back(GLOBAL const float *dy, GLOBAL const float *y, GLOBAL const u8 *index,
                       int at, int row, int column)
{
#if FROM_POOL
    at += row / 2 * (OUT_WIDTH / 2) + column / 2;
    return index[at] == row % 2 * 2 + column % 2 ? dy[at] : 0.0f;
#else
    at += row * OUT_WIDTH + column;
    return FROM_RELU && y[at] <= 0.0f ? 0.0f : dy[at];
#endif
}

KERNEL conv2d_dx(ARG_IN(float, w), ARG_IN(float, y), ARG_IN(u8, index), ARG_IN(float, dy),
                 ARG_OUT(float, dx))
{
    OPEN_IN(float, w);
    OPEN_IN(float, y);
    OPEN_IN(u8, index);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL_ARRAY(int, m_at, BM);     /* where in dy the image of a pixel starts */
    LOCAL_ARRAY(int, m_row, BM);    /* the row of dy that its first tap meets, times the stride */
    LOCAL_ARRAY(int, m_column, BM); /* … and the column */
    LOCAL float *mt = tile, *nt = tile + BK * STRIDE_M;
    float sums[TURNS * TILE_SUMS];
    for (int t = GROUP_ID; t < M_TILES * N_TILES; t += NUM_GROUPS) {
        int pixel0 = t / N_TILES * BM, channel0 = t % N_TILES * BN;
        for (int m = LOCAL_ID; m < BM; m += GROUP) {
            int pixel = pixel0 + m, image = pixel / (HEIGHT * WIDTH);
            m_at[m] = image * OUTPUTS * PLANE;
            m_row[m] = image < IMAGES ? pixel / WIDTH % HEIGHT + PADDING : FAR_AWAY;
            m_column[m] = pixel % WIDTH + PADDING;
        }
        tile_clear(sums);
        for (int k0 = 0; k0 < OUTPUTS * AREA; k0 += BK) {
            int output0 = k0 / AREA;
            BARRIER();
            for (int i = LOCAL_ID; i < BK * BM; i += GROUP) {
                int m = i % BM, k = i / BM, tap = k % AREA;
                int row = m_row[m] - tap / TAPS, column = m_column[m] - tap % TAPS;
                float value = 0.0f;
                if (row >= 0 && column >= 0 && row % STRIDE == 0 && column % STRIDE == 0 &&
                    row / STRIDE < ROWS_BACK && column / STRIDE < COLUMNS_BACK) {
                    int at = m_at[m] + (output0 + k / AREA) * PLANE;
                    value = flow_back(dy, y, index, at, row / STRIDE, column / STRIDE);
                }
                mt[k * STRIDE_M + m] = value;
            }
            load_weights(nt, w, channel0, output0);
            BARRIER();
            tile_multiply(mt, nt, sums);
        }
        tile_merge(tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int i = 0; i < TILE_SUMS; i++)
                {
                    int pixel = pixel0 + PLACE_M(item, i / TN);
                    int channel = channel0 + PLACE_N(item, i % TN);
                    int image = pixel / (HEIGHT * WIDTH);
                    if (channel < CHANNELS && image < IMAGES)
                        dx[(image * CHANNELS + channel) * (HEIGHT * WIDTH) +
                           pixel % (HEIGHT * WIDTH)] = sums[turn * TILE_SUMS + i];
                }
            }
        }
    }
}
