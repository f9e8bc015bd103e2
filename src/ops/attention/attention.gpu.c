/* Attention with an online softmax (attention.c says what it computes): a group takes a block of
 * queries of one head, and the keys come by in rounds. */
PARAMETERS(SIZE BN RM RN CAUSAL X_T ROW BM RC WIDTH BLOCKS HEADS QUERIES KEYS K_AT V_AT)

#define V_PLACE (SIZE + PAD) /* v lies row by row: it is only summed */
#define MOVING (SIDE_N > BN * V_PLACE ? SIDE_N : BN * V_PLACE)

/* The scores of a round; of pairs that do not see each other, what exp makes 0. */
DEVICE void make_scores(ITEM_PARAM LOCAL const float *fixed, LOCAL const float *moving, int first,
                        int from, int keys, LOCAL float *pairs)
{
    for (int turn = 0; turn < PAIR_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < PAIR_ITEMS) {
            float products[RM * RN];
            multiply_sides(fixed, moving, item, products);
            UNROLL for (int i = 0; i < RM; i++)
            {
                UNROLL for (int j = 0; j < RN; j++)
                {
                    int m = item % ITEMS_M * RM + i, n = item / ITEMS_M * RN + j;
                    int is_seen = from + n < keys && (!CAUSAL || from + n <= first + m);
                    pairs[PAIR(n, m)] = is_seen ? products[i * RN + j] : F32_LOWEST;
                }
            }
        }
    }
}

/* A round of v, row by row. */
DEVICE void load_values(ITEM_PARAM GLOBAL const X_T *head, int from, int keys, LOCAL float *moving)
{
    for (int e = LOCAL_ID; e < BN * SIZE; e += LOCAL_SIZE) {
        int n = e / SIZE, c = e % SIZE;
        float value = 0.0f;
        if (from + n < keys) value = LOAD(X, head, (from + n) * ROW + c);
        moving[n * V_PLACE + c] = value;
    }
}

/* The largest score of each query so far, and by how much the sums before it shrink. */
DEVICE void find_most(ITEM_PARAM LOCAL const float *pairs, LOCAL float *most, LOCAL float *shrink)
{
    for (int m = LOCAL_ID; m < BM; m += LOCAL_SIZE) {
        float top = most[m];
        for (int n = 0; n < BN; n++) top = MAX(top, pairs[PAIR(n, m)]);
        shrink[m] = EXP(most[m] - top);
        most[m] = top;
    }
}

DEVICE void shrink_sums(ITEM_PARAM LOCAL const float *shrink, float *sums)
{
    for (int turn = 0; turn < SUM_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < SUM_ITEMS) {
            UNROLL for (int i = 0; i < RM; i++)
            {
                float factor = shrink[item % ITEMS_M * RM + i];
                UNROLL for (int k = 0; k < RC; k++) sums[(turn * RM + i) * RC + k] *= factor;
            }
        }
    }
}

/* y and lse of a block: each item writes the sums that it has, by the factor of their query. */
DEVICE void store_queries(ITEM_PARAM float *sums, LOCAL const float *most, LOCAL const float *sum,
                          int is_empty, int count, GLOBAL float *y, GLOBAL float *lse)
{
    for (int turn = 0; turn < SUM_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < SUM_ITEMS) {
            UNROLL for (int i = 0; i < RM; i++)
            {
                float factor = is_empty ? 0.0f : 1.0f / sum[item % ITEMS_M * RM + i];
                UNROLL for (int k = 0; k < RC; k++) sums[(turn * RM + i) * RC + k] *= factor;
            }
        }
    }
    store_sums(ITEM sums, 1.0f, count, y, WIDTH);
    for (int m = LOCAL_ID; m < BM && m < count; m += LOCAL_SIZE)
        lse[m] = is_empty ? 0.0f : most[m] + LOG(sum[m]);
}

KERNEL attention(ITEM_ARG ARG_IN(X_T, q), ARG_IN(X_T, k), ARG_IN(X_T, v), ARG_IN(int, lengths),
                 ARG_OUT(float, y), ARG_OUT(float, lse), ARG_INT(units), ARG_FLOAT(scale))
{
    OPEN_IN(X_T, q);
    OPEN_IN(X_T, k);
    OPEN_IN(X_T, v);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, y);
    OPEN_OUT(float, lse);
    LOCAL_ARRAY(float, fixed, SIDE_M);
    LOCAL_ARRAY(float, moving, MOVING);
    LOCAL_ARRAY(float, pairs, BN *(BM + PAD));
    LOCAL_ARRAY(float, most, BM);
    LOCAL_ARRAY(float, sum, BM);
    LOCAL_ARRAY(float, shrink, BM);
    float sums[SUMS];
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        int head = unit / BLOCKS, first = unit % BLOCKS * BM;
        int sample = head / HEADS, column = head % HEADS * SIZE;
        int keys = keys_of(lengths, sample);
        int seen = CAUSAL && first + BM < keys ? first + BM : keys;
        int rounds = (seen + BN - 1) / BN;
        BARRIER();
        load_side(ITEM q + sample * QUERIES * ROW + column, ROW, first, QUERIES, scale, BM, fixed);
        for (int m = LOCAL_ID; m < BM; m += LOCAL_SIZE) {
            most[m] = F32_LOWEST;
            sum[m] = 0.0f;
        }
        for (int i = 0; i < SUMS; i++) sums[i] = 0.0f;
        for (int r = 0; r < rounds; r++) {
            int from = r * BN;
            load_side(ITEM K_HOLDER + sample * KEYS * ROW + K_AT + column, ROW, from, keys, 1.0f,
                      BN, moving);
            BARRIER();
            make_scores(ITEM fixed, moving, first, from, keys, pairs);
            BARRIER();
            load_values(ITEM V_HOLDER + sample * KEYS * ROW + V_AT + column, from, keys, moving);
            find_most(ITEM pairs, most, shrink);
            BARRIER();
            for (int e = LOCAL_ID; e < BN * BM; e += LOCAL_SIZE) {
                int at = PAIR(e / BM, e % BM);
                pairs[at] = EXP(pairs[at] - most[e % BM]);
            }
            BARRIER();
            for (int m = LOCAL_ID; m < BM; m += LOCAL_SIZE) {
                float part = 0.0f;
                for (int n = 0; n < BN; n++) part += pairs[PAIR(n, m)];
                sum[m] = sum[m] * shrink[m] + part;
            }
            shrink_sums(ITEM shrink, sums);
            add_pairs(ITEM pairs, moving, V_PLACE, 1, sums);
            BARRIER();
        }
        int left = QUERIES - first;
        store_queries(ITEM sums, most, sum, seen == 0, left,
                      y + (sample * QUERIES + first) * WIDTH + column,
                      lse + head * QUERIES + first);
    }
}
