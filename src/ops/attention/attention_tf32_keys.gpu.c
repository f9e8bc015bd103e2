/* dk and dv of attention's backward as in attention_keys.gpu.c, with products of tf32 operands on
 * tensor cores; p and ds are rounded for their products. */
PARAMETERS(SIZE STEP SETS PACKED CAUSAL ROW WIDTH BLOCKS HEADS QUERIES KEYS K_AT V_AT)

#if PACKED
#define DV_HOLDER dk
#else
#define DV_HOLDER dv
#endif

/* p and ds, without its scale, of a step's pairs of a key and a query, in the places of scores and
 * of products of dy and v.  Keys that the sample has not are left out of what is stored, and
 * queries that are not there have no dy. */
DEVICE void make_weights(ITEM_PARAM int key, int query, float scale, LOCAL const float *lse,
                         LOCAL const float *d, float *pairs, float *dots)
{
    UNROLL for (int i = 0; i < SETS * PAIRS; i++)
    {
        int n = PAIR_COLUMN(i);
        pairs[i] = EXP2(scale * LOG2_E * pairs[i] - lse[n]);
        if (CAUSAL && query < key + 16 * SETS - 1 && query + n < key + PAIR_ROW(i)) pairs[i] = 0.0f;
        dots[i] = pairs[i] * (dots[i] - d[n]);
    }
}

KERNEL attention_tf32_keys(ITEM_ARG ARG_IN(float, q), ARG_IN(float, k), ARG_IN(float, v),
                           ARG_IN(int, lengths), ARG_IN(float, lse), ARG_IN(float, dy),
                           ARG_IN(float, d), ARG_OUT(float, dk), ARG_OUT(float, dv), ARG_INT(units),
                           ARG_FLOAT(scale))
{
    OPEN_IN(float, q);
    OPEN_IN(float, k);
    OPEN_IN(float, v);
    OPEN_IN(int, lengths);
    OPEN_IN(float, lse);
    OPEN_IN(float, dy);
    OPEN_IN(float, d);
    OPEN_OUT(float, dk);
    OPEN_OUT(float, dv);
    LOCAL_ARRAY(float, q_tile, TILE_ROWS *SIZE);
    LOCAL_ARRAY(float, dy_tile, TILE_ROWS *SIZE);
    LOCAL_ARRAY(float, of_lse, TILE_ROWS); /* times LOG2_E */
    LOCAL_ARRAY(float, of_d, TILE_ROWS);
    int places[PLACES];
    find_places(ITEM places);
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        float of_k[SETS * OPERAND], of_v[SETS * OPERAND], k_sums[SETS * SUMS], v_sums[SETS * SUMS],
            pairs[SETS * PAIRS], dots[SETS * PAIRS];
        int head = unit / BLOCKS, first = unit % BLOCKS * BLOCK;
        int sample = head / HEADS, column = head % HEADS * SIZE, key = first + FIRST_ROW;
        int keys = keys_of(lengths, sample), of_keys = sample * KEYS * ROW + column;
        int queries = first < keys ? QUERIES : 0;
        load_rows(ITEM K_HOLDER + of_keys + K_AT, ROW, key, keys, of_k);
        load_rows(ITEM V_HOLDER + of_keys + V_AT, ROW, key, keys, of_v);
        UNROLL for (int i = 0; i < SETS * SUMS; i++) k_sums[i] = v_sums[i] = 0.0f;
        for (int from = CAUSAL ? first / TILE_ROWS * TILE_ROWS : 0; from < queries;
             from += TILE_ROWS) {
            BARRIER();
            load_tile(ITEM q + sample * QUERIES * ROW + column, ROW, from, QUERIES, q_tile);
            load_tile(ITEM dy + sample * QUERIES * WIDTH + column, WIDTH, from, QUERIES, dy_tile);
            for (int i = LOCAL_ID; i < TILE_ROWS; i += GROUP) {
                int is_there = from + i < QUERIES, at = head * QUERIES + from + i;
                of_lse[i] = is_there ? LOG2_E * lse[at] : 0.0f;
                of_d[i] = is_there ? d[at] : 0.0f;
            }
            BARRIER();
            for (int step = 0; step < TILE_ROWS; step += STEP) {
                if (from + step >= QUERIES || (CAUSAL && from + step + STEP <= key)) continue;
                multiply_rows(ITEM of_k, q_tile + step * SIZE, places, pairs);
                multiply_rows(ITEM of_v, dy_tile + step * SIZE, places, dots);
                make_weights(ITEM key, from + step, scale, of_lse + step, of_d + step, pairs, dots);
                add_rows(ITEM pairs, dy_tile + step * SIZE, places, v_sums);
                add_rows(ITEM dots, q_tile + step * SIZE, places, k_sums);
            }
        }
        of_keys += first * ROW;
        UNROLL for (int i = 0; i < SETS * SUMS; i++) k_sums[i] *= scale;
        store_rows(ITEM k_sums, keys - first, KEYS - first, dk + of_keys + K_AT, ROW);
        store_rows(ITEM v_sums, keys - first, KEYS - first, DV_HOLDER + of_keys + V_AT, ROW);
    }
}
