/* d and dq of attention's backward as in attention_backward.gpu.c, with products of tf32 operands
 * on tensor cores; ds is rounded for its product.  d is dy · y in fp32. */
PARAMETERS(SIZE STEP SETS CAUSAL ROW WIDTH BLOCKS HEADS QUERIES KEYS K_AT V_AT)

/* Of a lane's two rows. */
DEVICE void make_dots(ITEM_PARAM GLOBAL const float *y, GLOBAL const float *dy, int first,
                      float *dots)
{
    UNROLL for (int half = 0; half < 2 * SETS; half++)
    {
        int at = first + LANE_ROW + 8 * half;
        float sum = 0.0f;
        UNROLL for (int k = 0; k < SIZE / 16; k++)
        {
            float a[4] = {0.0f, 0.0f, 0.0f, 0.0f}, b[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            if (at < QUERIES) {
                LOAD_4_F32(a, y, at * WIDTH + 16 * k + LANE % 4 * 4);
                LOAD_4_F32(b, dy, at * WIDTH + 16 * k + LANE % 4 * 4);
            }
            UNROLL for (int i = 0; i < 4; i++) sum += a[i] * b[i];
        }
        sum += OF_LANE(sum, LANE ^ 1);
        dots[half] = sum + OF_LANE(sum, LANE ^ 2);
    }
}

/* ds of a step's pairs, without its scale, in the place of the scores. */
DEVICE void make_slopes(ITEM_PARAM int query, int key, int keys, float scale, const float *lse,
                        const float *d, float *pairs, const float *dots)
{
    UNROLL for (int i = 0; i < SETS * PAIRS; i++) pairs[i] =
        EXP2(scale * LOG2_E * pairs[i] - LOG2_E * lse[HALF(i)]) * (dots[i] - d[HALF(i)]);
    if (key + STEP <= keys && (!CAUSAL || key + STEP - 1 <= query)) return;
    UNROLL for (int i = 0; i < SETS * PAIRS; i++)
    {
        int m = query + PAIR_ROW(i), n = key + PAIR_COLUMN(i);
        if (n >= keys || (CAUSAL && n > m)) pairs[i] = 0.0f;
    }
}

KERNEL attention_tf32_queries(ITEM_ARG ARG_IN(float, q), ARG_IN(float, k), ARG_IN(float, v),
                              ARG_IN(int, lengths), ARG_IN(float, y), ARG_IN(float, lse),
                              ARG_IN(float, dy), ARG_OUT(float, d), ARG_OUT(float, dq),
                              ARG_INT(units), ARG_FLOAT(scale))
{
    OPEN_IN(float, q);
    OPEN_IN(float, k);
    OPEN_IN(float, v);
    OPEN_IN(int, lengths);
    OPEN_IN(float, y);
    OPEN_IN(float, lse);
    OPEN_IN(float, dy);
    OPEN_OUT(float, d);
    OPEN_OUT(float, dq);
    LOCAL_ARRAY(float, k_tile, TILE_ROWS *SIZE);
    LOCAL_ARRAY(float, v_tile, TILE_ROWS *SIZE);
    int places[PLACES];
    find_places(ITEM places);
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        float of_queries[SETS * OPERAND], of_dy[SETS * OPERAND], sums[SETS * SUMS],
            pairs[SETS * PAIRS], dots[SETS * PAIRS];
        float of_lse[2 * SETS], of_d[2 * SETS];
        int head = unit / BLOCKS, first = (BLOCKS - 1 - unit % BLOCKS) * BLOCK;
        int sample = head / HEADS, column = head % HEADS * SIZE, query = first + FIRST_ROW;
        int keys = keys_of(lengths, sample), of_keys = sample * KEYS * ROW + column;
        int of_y = sample * QUERIES * WIDTH + column;
        int seen = CAUSAL && first + BLOCK < keys ? first + BLOCK : keys;
        int of_warp = CAUSAL && query + 16 * SETS < keys ? query + 16 * SETS : keys;
        load_rows(ITEM q + sample * QUERIES * ROW + column, ROW, query, QUERIES, of_queries);
        load_rows(ITEM dy + of_y, WIDTH, query, QUERIES, of_dy);
        make_dots(ITEM y + of_y, dy + of_y, query, of_d);
        UNROLL for (int half = 0; half < 2 * SETS; half++)
        {
            int m = query + LANE_ROW + 8 * half;
            of_lse[half] = m < QUERIES ? lse[head * QUERIES + m] : 0.0f;
            if (LANE % 4 == 0 && m < QUERIES) d[head * QUERIES + m] = of_d[half];
        }
        UNROLL for (int i = 0; i < SETS * SUMS; i++) sums[i] = 0.0f;
        for (int from = 0; from < seen; from += TILE_ROWS) {
            BARRIER();
            load_tile(ITEM K_HOLDER + of_keys + K_AT, ROW, from, keys, k_tile);
            load_tile(ITEM V_HOLDER + of_keys + V_AT, ROW, from, keys, v_tile);
            BARRIER();
            for (int step = 0; step < TILE_ROWS && from + step < of_warp; step += STEP) {
                multiply_rows(ITEM of_queries, k_tile + step * SIZE, places, pairs);
                multiply_rows(ITEM of_dy, v_tile + step * SIZE, places, dots);
                make_slopes(ITEM query, from + step, keys, scale, of_lse, of_d, pairs, dots);
                add_rows(ITEM pairs, k_tile + step * SIZE, places, sums);
            }
        }
        UNROLL for (int i = 0; i < SETS * SUMS; i++) sums[i] *= scale;
        store_rows(ITEM sums, QUERIES, QUERIES - first,
                   dq + sample * QUERIES * ROW + column + first * ROW, ROW);
    }
}
