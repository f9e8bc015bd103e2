/* Convolution, and convolution with a 2 × 2 max-pool behind it (conv2d.c says what they compute),
 * as a product of tiles (tile.gpu.c): side m are the places of the output, side n its channels, and
 * the depth runs over channels of the input and taps of the window.
 *
 * With POOL, four places that follow each other are one window of the pool, so one item has all. */
PARAMETERS(TAP_ROWS TAPS PADDING_H PADDING_W POOL OUT_HEIGHT OUT_WIDTH CHANNELS BK IMAGES BM OUTPUTS
               BN HEIGHT WIDTH STRIDE_H STRIDE_W VM RELU NO_INDEX FORMULA KEEP BIAS)

#define AREA (TAP_ROWS * TAPS)
#define PADDED (PADDING_H > 0 || PADDING_W > 0)
#define PLACES (POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) * 4 : OUT_HEIGHT * OUT_WIDTH)
#define RESULTS (POOL ? PLACES / 4 : PLACES)
#define ACROSS (POOL ? OUT_WIDTH / 2 : OUT_WIDTH)
#define DEPTH (CHANNELS * AREA)
#define TAP_MAJOR (CHANNELS % BK == 0)
#define FAR_AWAY (-30000)
#define NOWHERE (-1)
#define M_TILES ((IMAGES * PLACES + BM - 1) / BM)
#define N_TILES ((OUTPUTS + BN - 1) / BN)

/* Side m: for each place whose elements this item fetches, where its image starts in x and the row
 * and column that its window starts at. */
DEVICE void find_places(ITEM_PARAM int *image_at, int *row, int *column, int place0)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int place = place0 + (LOCAL_ID + j * GROUP) % BM, image = place / PLACES;
        int at = place % PLACES;
        int h = POOL ? at / 4 / ACROSS * 2 + at % 4 / 2 : at / ACROSS;
        int v = POOL ? at / 4 % ACROSS * 2 + at % 2 : at % ACROSS;
        image_at[j] = image * (CHANNELS * HEIGHT * WIDTH);
        row[j] = image < IMAGES ? h * STRIDE_H - PADDING_H : FAR_AWAY;
        column[j] = v * STRIDE_W - PADDING_W;
    }
}

/* A round from k0 on.  The depth runs over channels within taps if they divide into rounds
 * (TAP_MAJOR): then an item's places move in x only where a new tap begins.  Otherwise a round has
 * the whole windows of some channels, and they never move, or a part of one channel's window. */
DEVICE void fetch_m(ITEM_PARAM float *next, int *from, GLOBAL const IN0_T *x, const int *image_at,
                    const int *row, const int *column, int k0)
{
    if (TAP_MAJOR ? k0 % CHANNELS == 0 : k0 == 0 || BK < AREA) {
        UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
        {
            int tap = TAP_MAJOR ? k0 / CHANNELS : (k0 + (LOCAL_ID + j * GROUP) / BM) % AREA;
            int h = row[j] + tap / TAPS, v = column[j] + tap % TAPS;
            int inside = !PADDED || (h >= 0 && h < HEIGHT && v >= 0 && v < WIDTH);
            from[j] = h > FAR_AWAY / 2 && inside ? image_at[j] + h * WIDTH + v : NOWHERE;
        }
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = i / BM;
        int channel = TAP_MAJOR ? k0 % CHANNELS + k : k0 / AREA + k / AREA;
        next[j] = 0.0f;
        if (i < BK * BM && from[j] != NOWHERE)
            next[j] = FETCH(IN0, x, from[j] + channel * (HEIGHT * WIDTH));
    }
}

DEVICE void fetch_n(ITEM_PARAM float *next, GLOBAL const IN1_T *w, int output0, int k0)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = i % BK, output = output0 + i / BK;
        int at = TAP_MAJOR ? (k0 % CHANNELS + k) * AREA + k0 / CHANNELS : k0 + k;
        next[j] = 0.0f;
        if (i < BK * BN && output < OUTPUTS)
            next[j] = FETCH(IN1, w, output * (CHANNELS * AREA) + at);
    }
}

DEVICE void put(ITEM_PARAM LOCAL float *mt, LOCAL float *nt, const float *next_m,
                const float *next_n)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        if (i < BK * BM) mt[AT_M(i / BM, i % BM)] = FETCHED(IN0, next_m[j]);
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        if (i < BK * BN) nt[AT_N(i % BK, i / BK)] = FETCHED(IN1, next_n[j]);
    }
}

/* The results of one item for one output channel: `sums` has them TN apart.  RELU or F, where
 * FORMULA is, comes last, and with KEEP z gets what F was given. */
DEVICE void store(GLOBAL float *y, GLOBAL float *z, GLOBAL u8 *index, const float *sums, int first,
                  int output, float bias)
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
        if (RELU && best < 0.0f) best = 0.0f;
#if FORMULA
        if (KEEP) z[at] = best;
        best = F(best);
#endif
        y[at] = best;
    }
}

KERNEL conv2d(ITEM_ARG ARG_IN(IN0_T, x), ARG_IN(IN1_T, w), ARG_IN(float, b), ARG_OUT(float, y),
              ARG_OUT(float, z), ARG_OUT(u8, index))
{
    OPEN_IN(IN0_T, x);
    OPEN_IN(IN1_T, w);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    OPEN_OUT(float, z);
    OPEN_OUT(u8, index);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL float *mt = tile, *nt = tile + OPERAND_M;
    float sums[TURNS * TILE_SUMS], next_m[LOADS_M], next_n[LOADS_N];
    int image_at[LOADS_M], row[LOADS_M], column[LOADS_M], from[LOADS_M];
    for (int t = GROUP_ID; t < M_TILES * N_TILES; t += NUM_GROUPS) {
        int place0 = t / N_TILES * BM, output0 = t % N_TILES * BN;
        find_places(ITEM image_at, row, column, place0);
        tile_clear(sums);
        fetch_m(ITEM next_m, from, x, image_at, row, column, 0);
        fetch_n(ITEM next_n, w, output0, 0);
        for (int k0 = BK; k0 <= DEPTH; k0 += BK) {
            BARRIER();
            put(ITEM mt, nt, next_m, next_n);
            BARRIER();
            if (k0 < DEPTH) {
                fetch_m(ITEM next_m, from, x, image_at, row, column, k0);
                fetch_n(ITEM next_n, w, output0, k0);
            }
            tile_multiply(ITEM mt, nt, sums);
        }
        tile_merge(ITEM tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int j = 0; j < TN; j++)
                {
                    int output = output0 + PLACE_N(item, j);
                    if (output < OUTPUTS)
                        store(y, z, index, sums + turn * TILE_SUMS + j, place0 + PLACE_M(item, 0),
                              output, BIAS ? b[output] : 0.0f);
                }
            }
        }
    }
}
