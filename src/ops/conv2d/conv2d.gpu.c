/* Convolution, and convolution with a 2 × 2 max-pool behind it (conv2d.c says what they compute),
 * as a product of tiles (tile.gpu.c): side m are the places of the output, side n its channels, and
 * the depth runs over channels of the input and taps of the window.
 *
 * With POOL, four places that follow each other are one window of the pool, so one item has all. */
#define AREA (TAPS * TAPS)
#define PLACES (POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) * 4 : OUT_HEIGHT * OUT_WIDTH)
#define RESULTS (POOL ? PLACES / 4 : PLACES)
#define ACROSS (POOL ? OUT_WIDTH / 2 : OUT_WIDTH)
#define M_TILES ((IMAGES * PLACES + BM - 1) / BM)
#define N_TILES ((OUTPUTS + BN - 1) / BN)

/* Of the window that starts at row h and column w: bit i is set if row i lies in the image, bit
 * 16 + i if column i does. */
DEVICE u32 window_inside(int h, int w)
{
    u32 inside = 0;
    for (int i = 0; i < TAPS; i++) {
        if (h + i >= 0 && h + i < HEIGHT) inside |= 1u << i;
        if (w + i >= 0 && w + i < WIDTH) inside |= 65536u << i;
    }
    return inside;
}

DEVICE float finish(float value)
{
    return RELU && value < 0.0f ? 0.0f : value;
}

/* Where in x the window of each place starts, and which of its rows and columns are inside. */
DEVICE void describe_places(LOCAL int *m_at, LOCAL u32 *m_inside, int place0)
{
    for (int m = LOCAL_ID; m < BM; m += GROUP) {
        int place = place0 + m, image = place / PLACES, at = place % PLACES;
        int row = POOL ? at / 4 / ACROSS * 2 + at % 4 / 2 : at / ACROSS;
        int column = POOL ? at / 4 % ACROSS * 2 + at % 2 : at % ACROSS;
        int h = row * STRIDE - PADDING, v = column * STRIDE - PADDING;
        m_at[m] = (image * CHANNELS * HEIGHT + h) * WIDTH + v;
        m_inside[m] = image < IMAGES ? window_inside(h, v) : 0;
    }
}

/* Each tap's element from the start of a window on, and its row and column. */
DEVICE void describe_taps(LOCAL int *k_at, LOCAL u32 *k_needs)
{
    for (int k = LOCAL_ID; k < BK; k += GROUP) {
        int tap = k % AREA;
        k_at[k] = (k / AREA * HEIGHT + tap / TAPS) * WIDTH + tap % TAPS;
        k_needs[k] = 1u << tap / TAPS | 65536u << tap % TAPS;
    }
}

DEVICE void load_weights(LOCAL float *nt, GLOBAL const float *w, int output0, int k0)
{
    for (int i = LOCAL_ID; i < BK * BN; i += GROUP) {
        int k = i % BK, n = i / BK;
        float value = 0.0f;
        if (output0 + n < OUTPUTS) value = w[(output0 + n) * (CHANNELS * AREA) + k0 + k];
        nt[k * STRIDE_N + n] = value;
    }
}

/* The results of one item for one output channel: `sums` has them TN apart. */
DEVICE void store(GLOBAL float *y, GLOBAL u8 *index, const float *sums, int first, int output,
                  float bias)
{
    UNROLL for (int i = 0; i < TM; i += POOL ? 4 : 1)
    {
        int place = first + i / VM * (ITEMS_M * VM) + i % VM;
        int at = (place / PLACES * OUTPUTS + output) * RESULTS + place % PLACES / (POOL ? 4 : 1);
        float best = sums[i * TN] + bias;
        int won = 0;
        if (place >= IMAGES * PLACES) continue;
#if POOL
        UNROLL for (int q = 1; q < 4; q++)
        {
            float value = sums[(i + q) * TN] + bias;
            if (value > best || value != value) {
                best = value;
                won = q;
            }
        }
        index[at] = (u8)(RELU && best <= 0.0f ? NO_INDEX : won);
#endif
        y[at] = finish(best);
    }
}

KERNEL conv2d(ARG_IN(float, x), ARG_IN(float, w), ARG_IN(float, b), ARG_OUT(float, y),
              ARG_OUT(u8, index))
{
    OPEN_IN(float, x);
    OPEN_IN(float, w);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    OPEN_OUT(u8, index);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL_ARRAY(int, m_at, BM);     /* where in x the window of a place starts */
    LOCAL_ARRAY(u32, m_inside, BM); /* which of its rows and columns lie in the image */
    LOCAL_ARRAY(int, k_at, BK);     /* a tap's element, from there */
    LOCAL_ARRAY(u32, k_needs, BK);  /* its row and column */
    LOCAL float *mt = tile, *nt = tile + BK * STRIDE_M;
    float sums[TURNS * TILE_SUMS];
    describe_taps(k_at, k_needs);
    for (int t = GROUP_ID; t < M_TILES * N_TILES; t += NUM_GROUPS) {
        int place0 = t / N_TILES * BM, output0 = t % N_TILES * BN;
        describe_places(m_at, m_inside, place0);
        tile_clear(sums);
        for (int k0 = 0; k0 < CHANNELS * AREA; k0 += BK) {
            int channel_at = k0 / AREA * HEIGHT * WIDTH;
            BARRIER();
            for (int i = LOCAL_ID; i < BK * BM; i += GROUP) {
                int m = i % BM, k = i / BM;
                u32 needs = k_needs[k];
                float value = 0.0f;
                if ((m_inside[m] & needs) == needs) value = x[m_at[m] + k_at[k] + channel_at];
                mt[k * STRIDE_M + m] = value;
            }
            load_weights(nt, w, output0, k0);
            BARRIER();
            tile_multiply(mt, nt, sums);
        }
        tile_merge(tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int j = 0; j < TN; j++)
                {
                    int output = output0 + PLACE_N(item, j);
                    if (output < OUTPUTS)
                        store(y, index, sums + turn * TILE_SUMS + j, place0 + PLACE_M(item, 0),
                              output, BIAS ? b[output] : 0.0f);
                }
            }
        }
    }
}
