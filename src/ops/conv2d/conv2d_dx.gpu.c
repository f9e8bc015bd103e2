/* The gradient of a convolution's input as a product of tiles (tile.gpu.c): side m are the pixels
 * of x, side n its channels, and the depth runs over channels of the output and taps.
 *
 * What flows back at a place of the output: dy itself (FROM_PLAIN), dy where y is above 0
 * (FROM_RELU), or the pooled dy at the place that won its window (FROM_POOL).  ADD: to what `sum`
 * holds at each place. */
PARAMETERS(TAP_ROWS TAPS FROM_POOL OUT_HEIGHT OUT_WIDTH IMAGES HEIGHT WIDTH BM CHANNELS BN OUTPUTS
               BK PADDING_H PADDING_W STRIDE_H STRIDE_W FROM_RELU ADD)

#define AREA (TAP_ROWS * TAPS)
#define PLANE (FROM_POOL ? OUT_HEIGHT / 2 * (OUT_WIDTH / 2) : OUT_HEIGHT * OUT_WIDTH)
#define ROWS_BACK (FROM_POOL ? OUT_HEIGHT / 2 * 2 : OUT_HEIGHT) /* from which anything flows */
#define COLUMNS_BACK (FROM_POOL ? OUT_WIDTH / 2 * 2 : OUT_WIDTH)
#define M_TILES ((IMAGES * HEIGHT * WIDTH + BM - 1) / BM)
#define N_TILES ((CHANNELS + BN - 1) / BN)
#define DEPTH (OUTPUTS * AREA)
#define TAP_MAJOR (OUTPUTS % BK == 0)
#define FAR_AWAY (-30000)
#define NOWHERE (-1)
#if FROM_POOL
#define GATE int
#else
#define GATE float
#endif

/* Side m: for each pixel whose elements this item fetches, where its image starts in dy and the row
 * and column of dy that its first tap meets, times the stride. */
DEVICE void find_pixels(ITEM_PARAM int *image_at, int *row, int *column, int pixel0)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int pixel = pixel0 + (LOCAL_ID + j * GROUP) % BM, image = pixel / (HEIGHT * WIDTH);
        image_at[j] = image * (OUTPUTS * PLANE);
        row[j] = image < IMAGES ? pixel / WIDTH % HEIGHT + PADDING_H : FAR_AWAY;
        column[j] = pixel % WIDTH + PADDING_W;
    }
}

/* A round from k0 on: dy, what decides whether it flows, and where in its pool's window the place
 * is.  The decision waits until the elements are there.  The depth: as in conv2d.gpu.c. */
DEVICE void fetch_m(ITEM_PARAM float *next, GATE *gate, int *won, int *from, GLOBAL const IN3_T *dy,
                    GLOBAL const float *y, GLOBAL const u8 *index, const int *image_at,
                    const int *row, const int *column, int k0)
{
    if (TAP_MAJOR ? k0 % OUTPUTS == 0 : k0 == 0 || BK < AREA) {
        UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
        {
            int tap = TAP_MAJOR ? k0 / OUTPUTS : (k0 + (LOCAL_ID + j * GROUP) / BM) % AREA;
            int h = row[j] - tap / TAPS, v = column[j] - tap % TAPS;
            int at = FROM_POOL ? h / 2 * (OUT_WIDTH / 2) + v / 2
                               : h / STRIDE_H * OUT_WIDTH + v / STRIDE_W;
            won[j] = h % 2 * 2 + v % 2;
            from[j] = h >= 0 && v >= 0 && h % STRIDE_H == 0 && v % STRIDE_W == 0 &&
                              h / STRIDE_H < ROWS_BACK && v / STRIDE_W < COLUMNS_BACK
                          ? image_at[j] + at
                          : NOWHERE;
        }
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = i / BM;
        int output = TAP_MAJOR ? k0 % OUTPUTS + k : k0 / AREA + k / AREA;
        next[j] = 0.0f;
        gate[j] = 0;
        if (i < BK * BM && from[j] != NOWHERE) {
            next[j] = FETCH(IN3, dy, from[j] + output * PLANE);
#if FROM_POOL
            gate[j] = index[from[j] + output * PLANE];
#elif FROM_RELU
            gate[j] = y[from[j] + output * PLANE];
#endif
        }
    }
}

DEVICE void fetch_n(ITEM_PARAM float *next, GLOBAL const IN1_T *w, int channel0, int k0)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = i / BN, channel = channel0 + i % BN;
        int tap = TAP_MAJOR ? k0 / OUTPUTS : (k0 + k) % AREA;
        int output = TAP_MAJOR ? k0 % OUTPUTS + k : k0 / AREA + k / AREA;
        next[j] = 0.0f;
        if (i < BK * BN && channel < CHANNELS)
            next[j] = FETCH(IN1, w, (output * CHANNELS + channel) * AREA + tap);
    }
}

DEVICE void put(ITEM_PARAM LOCAL float *mt, LOCAL float *nt, const float *next_m, const GATE *gate,
                const int *won, const float *next_n)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        float value = next_m[j];
        if (FROM_POOL && gate[j] != won[j]) value = 0.0f;
        if (FROM_RELU && gate[j] <= 0.0f) value = 0.0f;
        if (i < BK * BM) mt[AT_M(i / BM, i % BM)] = FETCHED(IN3, value);
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        if (i < BK * BN) nt[AT_N(i / BN, i % BN)] = FETCHED(IN1, next_n[j]);
    }
}

KERNEL conv2d_dx(ITEM_ARG ARG_IN(IN1_T, w), ARG_IN(float, y), ARG_IN(u8, index), ARG_IN(IN3_T, dy),
                 ARG_IN(float, sum), ARG_OUT(float, dx))
{
    OPEN_IN(IN1_T, w);
    OPEN_IN(float, y);
    OPEN_IN(u8, index);
    OPEN_IN(IN3_T, dy);
    OPEN_IN(float, sum);
    OPEN_OUT(float, dx);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL float *mt = tile, *nt = tile + OPERAND_M;
    float sums[TURNS * TILE_SUMS], next_m[LOADS_M], next_n[LOADS_N];
    int image_at[LOADS_M], row[LOADS_M], column[LOADS_M], won[LOADS_M], from[LOADS_M];
    GATE gate[LOADS_M];
    for (int t = GROUP_ID; t < M_TILES * N_TILES; t += NUM_GROUPS) {
        int pixel0 = t / N_TILES * BM, channel0 = t % N_TILES * BN;
        find_pixels(ITEM image_at, row, column, pixel0);
        tile_clear(sums);
        fetch_m(ITEM next_m, gate, won, from, dy, y, index, image_at, row, column, 0);
        fetch_n(ITEM next_n, w, channel0, 0);
        for (int k0 = BK; k0 <= DEPTH; k0 += BK) {
            BARRIER();
            put(ITEM mt, nt, next_m, gate, won, next_n);
            BARRIER();
            if (k0 < DEPTH) {
                fetch_m(ITEM next_m, gate, won, from, dy, y, index, image_at, row, column, k0);
                fetch_n(ITEM next_n, w, channel0, k0);
            }
            tile_multiply(ITEM mt, nt, sums);
        }
        tile_merge(ITEM tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int i = 0; i < TILE_SUMS; i++)
                {
                    int pixel = pixel0 + PLACE_M(item, i / TN);
                    int channel = channel0 + PLACE_N(item, i % TN);
                    int image = pixel / (HEIGHT * WIDTH);
                    if (channel < CHANNELS && image < IMAGES) {
                        int at = (image * CHANNELS + channel) * (HEIGHT * WIDTH) +
                                 pixel % (HEIGHT * WIDTH);
                        float value = sums[turn * TILE_SUMS + i];
                        if (ADD) value += sum[at];
                        dx[at] = value;
                    }
                }
            }
        }
    }
}
