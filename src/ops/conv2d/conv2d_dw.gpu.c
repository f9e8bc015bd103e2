/* The gradient of a convolution's weights as a product of tiles (tile.gpu.c): side m are the
 * weights of one output channel and, as one more, its bias; side n are the output channels; and the
 * depth runs over the places of all images, split among groups if SPLITS > 1.
 *
 * dw and db, or parts [SPLITS, OUTPUTS, WEIGHTS + 1].  What flows back: see conv2d_dx.gpu.c. */
#define AREA (TAPS * TAPS)
#define WEIGHTS (CHANNELS * AREA)
#define PLANE (FROM_POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) : OUT_HEIGHT * OUT_WIDTH)
#define ROWS_BACK (FROM_POOL ? OUT_HEIGHT / 2 * 2 : OUT_HEIGHT)
#define COLUMNS_BACK (FROM_POOL ? OUT_WIDTH / 2 * 2 : OUT_WIDTH)
#define DEPTH (IMAGES * ROWS_BACK * COLUMNS_BACK)
#define M_TILES ((WEIGHTS + BM) / BM)
#define N_TILES ((OUTPUTS + BN - 1) / BN)
#define BIAS_NEEDS 0xffffffffu

/* As in conv2d.gpu.c. */
DEVICE u32 window_inside(int h, int w)
{
    u32 inside = 0;
    for (int i = 0; i < TAPS; i++) {
        if (h + i >= 0 && h + i < HEIGHT) inside |= 1u << i;
        if (w + i >= 0 && w + i < WIDTH) inside |= 65536u << i;
    }
    return inside;
}

/* The places k0 … k0 + BK − 1: where their windows start in x and which of their rows and columns
 * are inside (none behind `end`), where they are in dy, and with FROM_POOL which of its window. */
DEVICE void describe_places(LOCAL int *k_at, LOCAL u32 *k_inside, LOCAL int *k_from,
                            LOCAL int *k_won, int k0, int end)
{
    for (int k = LOCAL_ID; k < BK; k += GROUP) {
        int place = k0 + k, image = place / (ROWS_BACK * COLUMNS_BACK);
        int row = place / COLUMNS_BACK % ROWS_BACK, column = place % COLUMNS_BACK;
        int h = row * STRIDE - PADDING, v = column * STRIDE - PADDING;
        k_at[k] = (image * CHANNELS * HEIGHT + h) * WIDTH + v;
        k_inside[k] = place < end ? window_inside(h, v) : 0;
        k_from[k] = image * OUTPUTS * PLANE +
                    (FROM_POOL ? row / 2 * (OUT_WIDTH / 2) + column / 2 : row * OUT_WIDTH + column);
        k_won[k] = row % 2 * 2 + column % 2;
    }
}

/* The weights that a tile starts with: their elements from the start of a window on, and their rows
 * and columns. */
DEVICE void describe_weights(LOCAL int *m_at, LOCAL u32 *m_needs, int weight0)
{
    for (int m = LOCAL_ID; m < BM; m += GROUP) {
        int weight = weight0 + m, tap = weight % AREA;
        m_at[m] = (weight / AREA * HEIGHT + tap / TAPS) * WIDTH + tap % TAPS;
        m_needs[m] = weight < WEIGHTS ? 1u << tap / TAPS | 65536u << tap % TAPS : BIAS_NEEDS;
    }
}

/* What flows back at element `at` of dy, if its window was won by `won`. */
DEVICE float flow_back(GLOBAL const float *dy, GLOBAL const float *y, GLOBAL const u8 *index,
                       int at, int won)
{
#if FROM_POOL
    return index[at] == won ? dy[at] : 0.0f;
#else
    return FROM_RELU && y[at] <= 0.0f ? 0.0f : dy[at];
#endif
}

DEVICE void store(GLOBAL float *dw, GLOBAL float *db, int split, int output, int weight,
                  float value)
{
    if (SPLITS > 1)
        dw[(split * OUTPUTS + output) * (WEIGHTS + 1) + weight] = value;
    else if (weight == WEIGHTS)
        db[output] = value;
    else
        dw[output * WEIGHTS + weight] = value;
}

KERNEL conv2d_dw(ARG_IN(float, x), ARG_IN(float, y), ARG_IN(u8, index), ARG_IN(float, dy),
                 ARG_OUT(float, dw), ARG_OUT(float, db))
{
    OPEN_IN(float, x);
    OPEN_IN(float, y);
    OPEN_IN(u8, index);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dw);
    OPEN_OUT(float, db);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL_ARRAY(int, m_at, BM);
    LOCAL_ARRAY(u32, m_needs, BM);
    LOCAL_ARRAY(int, k_at, BK);
    LOCAL_ARRAY(u32, k_inside, BK);
    LOCAL_ARRAY(int, k_from, BK);
    LOCAL_ARRAY(int, k_won, BK);
    LOCAL float *mt = tile, *nt = tile + BK * STRIDE_M;
    float sums[TURNS * TILE_SUMS];
    for (int t = GROUP_ID; t < M_TILES * N_TILES * SPLITS; t += NUM_GROUPS) {
        int weight0 = t % M_TILES * BM, output0 = t / M_TILES % N_TILES * BN;
        int split = t / (M_TILES * N_TILES), k0 = split * SPLIT_DEPTH;
        int end = k0 + SPLIT_DEPTH < DEPTH ? k0 + SPLIT_DEPTH : DEPTH;
        describe_weights(m_at, m_needs, weight0);
        tile_clear(sums);
        for (; k0 < end; k0 += BK) {
            describe_places(k_at, k_inside, k_from, k_won, k0, end);
            BARRIER();
            for (int i = LOCAL_ID; i < BK * BM; i += GROUP) {
                int m = i % BM, k = i / BM;
                u32 needs = m_needs[m], inside = k_inside[k];
                float value = needs == BIAS_NEEDS && inside ? 1.0f : 0.0f;
                if ((inside & needs) == needs) value = x[k_at[k] + m_at[m]];
                mt[k * STRIDE_M + m] = value;
            }
            for (int i = LOCAL_ID; i < BK * BN; i += GROUP) {
                int k = i % BK, n = i / BK;
                float value = 0.0f;
                if (output0 + n < OUTPUTS && k_inside[k])
                    value = flow_back(dy, y, index, k_from[k] + (output0 + n) * PLANE, k_won[k]);
                nt[k * STRIDE_N + n] = value;
            }
            BARRIER();
            tile_multiply(mt, nt, sums);
        }
        tile_merge(tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int i = 0; i < TILE_SUMS; i++)
                {
                    int weight = weight0 + PLACE_M(item, i / TN);
                    int output = output0 + PLACE_N(item, i % TN);
                    if (output < OUTPUTS && weight <= WEIGHTS)
                        store(dw, db, split, output, weight, sums[turn * TILE_SUMS + i]);
                }
            }
        }
    }
}
