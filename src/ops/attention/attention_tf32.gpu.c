/* Attention as in attention.gpu.c, with products of tf32 operands on tensor cores: of q, k and v as
 * LOAD_TF32 has them, and of the weights, which are rounded in the same way.  The sum of the
 * weights is of those that are not. */
PARAMETERS(SIZE STEP SETS CAUSAL ROW WIDTH BLOCKS HEADS QUERIES KEYS K_AT V_AT)

/* The scores of a step, not scaled: of pairs that do not see each other, what exp makes 0. */
DEVICE void hide_scores(ITEM_PARAM int query, int key, int keys, float *pairs)
{
    if (key + STEP <= keys && (!CAUSAL || key + STEP - 1 <= query)) return;
    UNROLL for (int i = 0; i < SETS * PAIRS; i++)
    {
        int m = query + PAIR_ROW(i), n = key + PAIR_COLUMN(i);
        if (n >= keys || (CAUSAL && n > m)) pairs[i] = NEVER;
    }
}

/* From scores to weights, by a lane's rows; sums and their sizes shrink as the largest grows. */
DEVICE void make_weights(ITEM_PARAM float scale, float *pairs, float *most, float *sum, float *sums)
{
    float shrink[2 * SETS], zero[2 * SETS], of_sums[4 * SETS];
    UNROLL for (int half = 0; half < 2 * SETS; half++)
    {
        float top = most[half];
        UNROLL for (int n = 0; n < STEP / 8; n++)
        {
            UNROLL for (int i = 0; i < 2; i++) top =
                MAX(top, pairs[half / 2 * PAIRS + 4 * n + half % 2 * 2 + i]);
        }
        top = MAX(top, OF_LANE(top, LANE ^ 1));
        top = MAX(top, OF_LANE(top, LANE ^ 2));
        shrink[half] = EXP2(scale * LOG2_E * (most[half] - top));
        zero[half] = scale * LOG2_E * top;
        most[half] = top;
        sum[half] *= shrink[half];
    }
    UNROLL for (int i = 0; i < SETS * PAIRS; i++)
    {
        pairs[i] = EXP2(scale * LOG2_E * pairs[i] - zero[HALF(i)]);
        sum[HALF(i)] += pairs[i];
    }
    turn_rows(ITEM shrink, of_sums);
    scale_sums(of_sums, sums);
}

KERNEL attention_tf32(ITEM_ARG ARG_IN(float, q), ARG_IN(float, k), ARG_IN(float, v),
                      ARG_IN(int, lengths), ARG_OUT(float, y), ARG_OUT(float, lse), ARG_INT(units),
                      ARG_FLOAT(scale))
{
    OPEN_IN(float, q);
    OPEN_IN(float, k);
    OPEN_IN(float, v);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, y);
    OPEN_OUT(float, lse);
    LOCAL_ARRAY(float, k_tile, TILE_ROWS *SIZE);
    LOCAL_ARRAY(float, v_tile, TILE_ROWS *SIZE);
    int places[PLACES];
    find_places(ITEM places);
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        float of_queries[SETS * OPERAND], sums[SETS * SUMS], pairs[SETS * PAIRS], of_sums[4 * SETS];
        float most[2 * SETS], sum[2 * SETS];
        int head = unit / BLOCKS, first = (BLOCKS - 1 - unit % BLOCKS) * BLOCK;
        int sample = head / HEADS, column = head % HEADS * SIZE, query = first + FIRST_ROW;
        int keys = keys_of(lengths, sample);
        int seen = CAUSAL && first + BLOCK < keys ? first + BLOCK : keys;
        int of_warp = CAUSAL && query + 16 * SETS < keys ? query + 16 * SETS : keys;
        load_rows(ITEM q + sample * QUERIES * ROW + column, ROW, query, QUERIES, of_queries);
        UNROLL for (int i = 0; i < SETS * SUMS; i++) sums[i] = 0.0f;
        UNROLL for (int half = 0; half < 2 * SETS; half++)
        {
            most[half] = F32_LOWEST;
            sum[half] = 0.0f;
        }
        for (int from = 0; from < seen; from += TILE_ROWS) {
            BARRIER();
            load_tile(ITEM K_HOLDER + sample * KEYS * ROW + K_AT + column, ROW, from, keys, k_tile);
            load_tile(ITEM V_HOLDER + sample * KEYS * ROW + V_AT + column, ROW, from, keys, v_tile);
            BARRIER();
            for (int step = 0; step < TILE_ROWS && from + step < of_warp; step += STEP) {
                multiply_rows(ITEM of_queries, k_tile + step * SIZE, places, pairs);
                hide_scores(ITEM query, from + step, keys, pairs);
                make_weights(ITEM scale, pairs, most, sum, sums);
                add_rows(ITEM pairs, v_tile + step * SIZE, places, sums);
            }
        }
        UNROLL for (int half = 0; half < 2 * SETS; half++)
        {
            int m = query + LANE_ROW + 8 * half;
            sum[half] += OF_LANE(sum[half], LANE ^ 1);
            sum[half] += OF_LANE(sum[half], LANE ^ 2);
            if (LANE % 4 == 0 && m < QUERIES)
                lse[head * QUERIES + m] = seen == 0 ? 0.0f : scale * most[half] + LOG(sum[half]);
            sum[half] = seen == 0 ? 0.0f : 1.0f / sum[half];
        }
        turn_rows(ITEM sum, of_sums);
        scale_sums(of_sums, sums);
        store_rows(ITEM sums, QUERIES, QUERIES - first,
                   y + (sample * QUERIES + first) * WIDTH + column, WIDTH);
    }
}
