/* y [ROWS, COLUMNS] = the sum over k < DEPTH of q(row, k) · p(k, column), after tile.gpu.c.
 *
 *   p(k, column) = p[column · P_COLUMN + k · P_K]
 *   q(row, k)    = q[row · Q_ROW + k · Q_K], and with MASK only where mask is above 0 at the same
 *                  place
 *
 * BIAS adds b[column], RELU comes last.  ONES: one more column, of which p is 1, goes to `extra`.
 * SPLITS > 1: the depth is split among groups, and y is [SPLITS, ROWS, WIDTH] without bias and
 * ReLU, the further column included. */
#define WIDTH (COLUMNS + ONES)
#define M_TILES ((WIDTH + BM - 1) / BM)
#define N_TILES ((ROWS + BN - 1) / BN)

/* A round of side m: places k0 … of the depth, not beyond `end`. */
DEVICE void load_m(LOCAL float *mt, GLOBAL const float *p, int column0, int k0, int end)
{
    for (int i = LOCAL_ID; i < BK * BM; i += GROUP) {
        int k = P_K == 1 ? i % BK : i / BM, m = P_K == 1 ? i / BK : i % BM;
        float value = 0.0f;
        if (k0 + k < end && column0 + m < COLUMNS)
            value = p[(column0 + m) * P_COLUMN + (k0 + k) * P_K];
        else if (ONES && k0 + k < end && column0 + m == COLUMNS)
            value = 1.0f;
        mt[k * STRIDE_M + m] = value;
    }
}

DEVICE void load_n(LOCAL float *nt, GLOBAL const float *q, GLOBAL const float *mask, int row0,
                   int k0, int end)
{
    for (int i = LOCAL_ID; i < BK * BN; i += GROUP) {
        int k = Q_K == 1 ? i % BK : i / BN, n = Q_K == 1 ? i / BK : i % BN;
        float value = 0.0f;
        if (k0 + k < end && row0 + n < ROWS) {
            int at = (row0 + n) * Q_ROW + (k0 + k) * Q_K;
            value = q[at];
            if (MASK && !(mask[at] > 0.0f)) value = 0.0f;
        }
        nt[k * STRIDE_N + n] = value;
    }
}

DEVICE void store(GLOBAL float *y, GLOBAL float *extra, GLOBAL const float *b, int row, int column,
                  float value)
{
    if (column == COLUMNS) {
        extra[row] = value;
    } else {
        if (BIAS) value += b[column];
        if (RELU && value < 0.0f) value = 0.0f;
        y[row * COLUMNS + column] = value;
    }
}

KERNEL product(ARG_IN(float, p), ARG_IN(float, q), ARG_IN(float, mask), ARG_IN(float, b),
               ARG_OUT(float, y), ARG_OUT(float, extra))
{
    OPEN_IN(float, p);
    OPEN_IN(float, q);
    OPEN_IN(float, mask);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    OPEN_OUT(float, extra);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL float *mt = tile, *nt = tile + BK * STRIDE_M;
    float sums[TURNS * TILE_SUMS];
    for (int t = GROUP_ID; t < M_TILES * N_TILES * SPLITS; t += NUM_GROUPS) {
        int column0 = t % M_TILES * BM, row0 = t / M_TILES % N_TILES * BN;
        int split = t / (M_TILES * N_TILES), k0 = split * SPLIT_DEPTH;
        int end = k0 + SPLIT_DEPTH < DEPTH ? k0 + SPLIT_DEPTH : DEPTH;
        tile_clear(sums);
        for (; k0 < end; k0 += BK) {
            BARRIER();
            load_m(mt, p, column0, k0, end);
            load_n(nt, q, mask, row0, k0, end);
            BARRIER();
            tile_multiply(mt, nt, sums);
        }
        tile_merge(tile, sums);
        for (int turn = 0; turn < TURNS; turn++) {
            int item = LOCAL_ID + turn * GROUP;
            if (item < ITEMS_MN) {
                UNROLL for (int i = 0; i < TILE_SUMS; i++)
                {
                    int column = column0 + PLACE_M(item, i / TN);
                    int row = row0 + PLACE_N(item, i % TN);
                    float value = sums[turn * TILE_SUMS + i];
                    if (row >= ROWS || column >= WIDTH) continue;
                    if (SPLITS > 1)
                        y[(split * ROWS + row) * WIDTH + column] = value;
                    else
                        store(y, extra, b, row, column, value);
                }
            }
        }
    }
}
