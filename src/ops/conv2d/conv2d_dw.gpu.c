/* The gradient of a convolution's weights as a product of tiles (tile.gpu.c): side m are the
 * weights of one output channel and, as one more with ONES, its bias; side n are the output
 * channels; and the depth runs over the places of all images, split among groups if SPLITS > 1.
 *
 * dw and db, or parts [SPLITS, OUTPUTS, WEIGHTS + ONES].  What flows back: see conv2d_dx.gpu.c. */
PARAMETERS(TAP_ROWS TAPS PADDING_H PADDING_W CHANNELS FROM_POOL OUT_HEIGHT OUT_WIDTH IMAGES ONES BM
               SPLIT_DEPTH BK OUTPUTS BN HEIGHT WIDTH STRIDE_H STRIDE_W FROM_RELU SPLITS)

#define AREA (TAP_ROWS * TAPS)
#define PADDED (PADDING_H > 0 || PADDING_W > 0)
#define WEIGHTS (CHANNELS * AREA)
#define PLANE (FROM_POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) : OUT_HEIGHT * OUT_WIDTH)
#define ROWS_BACK (FROM_POOL ? OUT_HEIGHT / 2 * 2 : OUT_HEIGHT)
#define COLUMNS_BACK (FROM_POOL ? OUT_WIDTH / 2 * 2 : OUT_WIDTH)
#define DEPTH (IMAGES * ROWS_BACK * COLUMNS_BACK)
#define M_TILES ((WEIGHTS + ONES + BM - 1) / BM)
#define ROUNDS (SPLIT_DEPTH / BK)
#define N_TILES ((OUTPUTS + BN - 1) / BN)
#if FROM_POOL
#define GATE int
#else
#define GATE float
#endif
#define BIAS_ROW 30000 /* behind the last row of any image */
#define NO_ROW 30001

/* Side m: for each weight that this item fetches for, its row and column in the window, and its
 * element from the window's start on.  The bias is behind all images. */
DEVICE void find_weights(ITEM_PARAM int *weight_at, int *row, int *column, int weight0)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int weight = weight0 + (LOCAL_ID + j * GROUP) / BK;
        row[j] = weight < WEIGHTS            ? weight % AREA / TAPS
                 : ONES && weight == WEIGHTS ? BIAS_ROW
                                             : NO_ROW;
        column[j] = weight % TAPS;
        weight_at[j] = (weight / AREA * HEIGHT + weight % AREA / TAPS) * WIDTH + weight % TAPS;
    }
}

/* A round from k0 on: the input of the places, behind `end` zero. */
DEVICE void fetch_m(ITEM_PARAM float *next, GLOBAL const IN0_T *x, const int *weight_at,
                    const int *row, const int *column, int k0, int end)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP, place = k0 + i % BK;
        int image = place / (ROWS_BACK * COLUMNS_BACK);
        int h = place / COLUMNS_BACK % ROWS_BACK * STRIDE_H - PADDING_H;
        int v = place % COLUMNS_BACK * STRIDE_W - PADDING_W;
        int at = (image * CHANNELS * HEIGHT + h) * WIDTH + v;
        int inside = !PADDED ? row[j] < BIAS_ROW
                             : h + row[j] >= 0 && h + row[j] < HEIGHT && v + column[j] >= 0 &&
                                   v + column[j] < WIDTH;
        next[j] = row[j] == BIAS_ROW && place < end ? 1.0f : 0.0f;
        if (i < BK * BM && place < end && inside) next[j] = FETCH(IN0, x, at + weight_at[j]);
    }
}

/* Side n: what flows back there, as in conv2d_dx.gpu.c. */
DEVICE void fetch_n(ITEM_PARAM float *next, GATE *gate, int *won, GLOBAL const IN3_T *dy,
                    GLOBAL const float *y, GLOBAL const u8 *index, int output0, int k0, int end)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP, place = k0 + i % BK, output = output0 + i / BK;
        int image = place / (ROWS_BACK * COLUMNS_BACK);
        int h = place / COLUMNS_BACK % ROWS_BACK, v = place % COLUMNS_BACK;
        next[j] = 0.0f;
        gate[j] = 0;
        won[j] = h % 2 * 2 + v % 2;
        if (i < BK * BN && output < OUTPUTS && place < end) {
            int at = (image * OUTPUTS + output) * PLANE;
            at += FROM_POOL ? h / 2 * (OUT_WIDTH / 2) + v / 2 : h * OUT_WIDTH + v;
            next[j] = FETCH(IN3, dy, at);
#if FROM_POOL
            gate[j] = index[at];
#elif FROM_RELU
            gate[j] = y[at];
#endif
        }
    }
}

DEVICE void put(ITEM_PARAM LOCAL float *mt, LOCAL float *nt, const float *next_m,
                const float *next_n, const GATE *gate, const int *won)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        if (i < BK * BM) mt[AT_M(i % BK, i / BK)] = FETCHED(IN0, next_m[j]);
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        float value = next_n[j];
        if (FROM_POOL && gate[j] != won[j]) value = 0.0f;
        if (FROM_RELU && gate[j] <= 0.0f) value = 0.0f;
        if (i < BK * BN) nt[AT_N(i % BK, i / BK)] = FETCHED(IN3, value);
    }
}

DEVICE void store(GLOBAL float *dw, GLOBAL float *db, int split, int output, int weight,
                  float value)
{
    if (SPLITS > 1)
        dw[(split * OUTPUTS + output) * (WEIGHTS + ONES) + weight] = value;
    else if (weight == WEIGHTS)
        db[output] = value;
    else
        dw[output * WEIGHTS + weight] = value;
}

KERNEL conv2d_dw(ITEM_ARG ARG_IN(IN0_T, x), ARG_IN(float, y), ARG_IN(u8, index), ARG_IN(IN3_T, dy),
                 ARG_OUT(float, dw), ARG_OUT(float, db))
{
    OPEN_IN(IN0_T, x);
    OPEN_IN(float, y);
    OPEN_IN(u8, index);
    OPEN_IN(IN3_T, dy);
    OPEN_OUT(float, dw);
    OPEN_OUT(float, db);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL float *mt = tile, *nt = tile + OPERAND_M;
    float sums[TURNS * TILE_SUMS], next_m[LOADS_M], next_n[LOADS_N];
    int weight_at[LOADS_M], row[LOADS_M], column[LOADS_M], won[LOADS_N];
    GATE gate[LOADS_N];
    for (int t = GROUP_ID; t < M_TILES * N_TILES * SPLITS; t += NUM_GROUPS) {
        int weight0 = t % M_TILES * BM, output0 = t / M_TILES % N_TILES * BN;
        int split = t / (M_TILES * N_TILES), k0 = split * SPLIT_DEPTH;
        int end = k0 + SPLIT_DEPTH < DEPTH ? k0 + SPLIT_DEPTH : DEPTH;
        find_weights(ITEM weight_at, row, column, weight0);
        tile_clear(sums);
        fetch_m(ITEM next_m, x, weight_at, row, column, k0, end);
        fetch_n(ITEM next_n, gate, won, dy, y, index, output0, k0, end);
        for (int round = 1; round <= ROUNDS; round++) {
            BARRIER();
            put(ITEM mt, nt, next_m, next_n, gate, won);
            BARRIER();
            if (round < ROUNDS) {
                k0 += BK;
                fetch_m(ITEM next_m, x, weight_at, row, column, k0, end);
                fetch_n(ITEM next_n, gate, won, dy, y, index, output0, k0, end);
            }
            tile_multiply(ITEM mt, nt, sums);
        }
        tile_merge(ITEM tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int i = 0; i < TILE_SUMS; i++)
                {
                    int weight = weight0 + PLACE_M(item, i / TN);
                    int output = output0 + PLACE_N(item, i % TN);
                    if (output < OUTPUTS && weight < WEIGHTS + ONES)
                        store(dw, db, split, output, weight, sums[turn * TILE_SUMS + i]);
                }
            }
        }
    }
}
