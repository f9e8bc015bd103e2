/* y [ROWS, COLUMNS] = the sum over k < DEPTH of q(row, k) · p(k, column), after tile.gpu.c.
 *
 *   p(k, column) = p[column · P_COLUMN + k · P_K]
 *   q(row, k)    = q[row · Q_ROW + k · Q_K], and with MASK only where mask is above 0 at the same
 *                  place
 *
 * The host side says the types of p and q (P_T, Q_T); sums and all else are float.
 *
 * BIAS adds b[column], ADD what y holds; RELU or F, where FORMULA is, comes last, and with KEEP
 * `extra` gets what F was given.  With ACROSS y lies as [COLUMNS, ROWS].  ONES: one more
 * column, of which p is 1, goes to `extra`. SPLITS > 1: the depth is split among groups, and y is
 * [SPLITS, ROWS, WIDTH] without bias and ReLU, the further column included.  BATCH > 1: as many
 * products, whose matrices lie one behind the other; nothing ends them, and none is split. */
PARAMETERS(BATCH COLUMNS ONES BM SPLIT_DEPTH BK ROWS BN P_K Q_K P_T P_COLUMN Q_T Q_ROW MASK ACROSS
               BIAS ADD RELU FORMULA KEEP SPLITS DEPTH)

#define WIDTH (COLUMNS + ONES)
#define M_TILES ((WIDTH + BM - 1) / BM)
#define ROUNDS (SPLIT_DEPTH / BK)
#define N_TILES ((ROWS + BN - 1) / BN)

/* A round of side m: places k0 … of the depth, not beyond `end`.  Neighbours in a group fetch
 * neighbours in memory. */
#define K_OF_M(i) (P_K == 1 ? (i) % BK : (i) / BM)
#define M_OF_M(i) (P_K == 1 ? (i) / BK : (i) % BM)
#define K_OF_N(i) (Q_K == 1 ? (i) % BK : (i) / BN)
#define N_OF_N(i) (Q_K == 1 ? (i) / BK : (i) % BN)

DEVICE void fetch_m(ITEM_PARAM float *next, GLOBAL const P_T *p, int column0, int k0, int end)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = k0 + K_OF_M(i), column = column0 + M_OF_M(i);
        next[j] = ONES && k < end && column == COLUMNS ? 1.0f : 0.0f;
        if (i < BK * BM && k < end && column < COLUMNS)
            next[j] = FETCH(P, p, column * P_COLUMN + k * P_K);
    }
}

/* Side n, and the mask beside it. */
DEVICE void fetch_n(ITEM_PARAM float *next, float *gate, GLOBAL const Q_T *q,
                    GLOBAL const float *mask, int row0, int k0, int end)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP, k = k0 + K_OF_N(i), row = row0 + N_OF_N(i);
        next[j] = gate[j] = 0.0f;
        if (i < BK * BN && k < end && row < ROWS) {
            next[j] = FETCH(Q, q, row * Q_ROW + k * Q_K);
            if (MASK) gate[j] = mask[row * Q_ROW + k * Q_K];
        }
    }
}

DEVICE void put(ITEM_PARAM LOCAL float *mt, LOCAL float *nt, const float *next_m,
                const float *next_n, const float *gate)
{
    UNROLL_LOADS for (int j = 0; j < LOADS_M; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        if (i < BK * BM) mt[AT_M(K_OF_M(i), M_OF_M(i))] = FETCHED(P, next_m[j]);
    }
    UNROLL_LOADS for (int j = 0; j < LOADS_N; j++)
    {
        int i = LOCAL_ID + j * GROUP;
        float value = MASK && !(gate[j] > 0.0f) ? 0.0f : next_n[j];
        if (i < BK * BN) nt[AT_N(K_OF_N(i), N_OF_N(i))] = FETCHED(Q, value);
    }
}

DEVICE void store(GLOBAL float *y, GLOBAL float *extra, GLOBAL const float *b, int row, int column,
                  float value)
{
    if (column == COLUMNS) {
        extra[row] = value;
    } else {
        int at = ACROSS ? column * ROWS + row : row * COLUMNS + column;
        if (BIAS) value += b[column];
        if (ADD) value += y[at];
        if (RELU && value < 0.0f) value = 0.0f;
#if FORMULA
        if (KEEP) extra[at] = value;
        value = F(value);
#endif
        y[at] = value;
    }
}

KERNEL product(ITEM_ARG ARG_IN(P_T, p), ARG_IN(Q_T, q), ARG_IN(float, mask), ARG_IN(float, b),
               ARG_OUT(float, y), ARG_OUT(float, extra))
{
    OPEN_IN(P_T, p);
    OPEN_IN(Q_T, q);
    OPEN_IN(float, mask);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    OPEN_OUT(float, extra);
    LOCAL_ARRAY(float, tile, TILE_FLOATS);
    LOCAL float *mt = tile, *nt = tile + OPERAND_M;
    float sums[TURNS * TILE_SUMS], next_m[LOADS_M], next_n[LOADS_N], gate[LOADS_N];
    for (int t = GROUP_ID; t < M_TILES * N_TILES * SPLITS * BATCH; t += NUM_GROUPS) {
        int column0 = t % M_TILES * BM, row0 = t / M_TILES % N_TILES * BN;
        int part = t / (M_TILES * N_TILES);
        int each = BATCH > 1 ? part : 0, split = BATCH > 1 ? 0 : part, k0 = split * SPLIT_DEPTH;
        GLOBAL const P_T *p_each = p + each * COLUMNS * DEPTH;
        GLOBAL const Q_T *q_each = q + each * ROWS * DEPTH;
        int end = k0 + SPLIT_DEPTH < DEPTH ? k0 + SPLIT_DEPTH : DEPTH;
        tile_clear(sums);
        fetch_m(ITEM next_m, p_each, column0, k0, end);
        fetch_n(ITEM next_n, gate, q_each, mask, row0, k0, end);
        for (int round = 1; round <= ROUNDS; round++) {
            BARRIER();
            put(ITEM mt, nt, next_m, next_n, gate);
            BARRIER();
            if (round < ROUNDS) {
                k0 += BK;
                fetch_m(ITEM next_m, p_each, column0, k0, end);
                fetch_n(ITEM next_n, gate, q_each, mask, row0, k0, end);
            }
            tile_multiply(ITEM mt, nt, sums);
        }
        tile_merge(ITEM tile, sums);
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
                        store(y + each * ROWS * COLUMNS, extra, b, row, column, value);
                }
            }
        }
    }
}
