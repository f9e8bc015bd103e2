/* dq of attention, by groups that keep a block of queries while the keys come by in rounds. */
PARAMETERS(X_T QUERIES HEADS WIDTH SIZE BN BM BLOCKS KEYS ROW CAUSAL K_AT V_AT)

/* d[head][query] = dy · y */
KERNEL attention_dots(ITEM_ARG ARG_IN(float, y), ARG_IN(X_T, dy), ARG_OUT(float, d), ARG_INT(count))
{
    OPEN_IN(float, y);
    OPEN_IN(X_T, dy);
    OPEN_OUT(float, d);
    EACH (e, count) {
        int head = e / QUERIES, at = (head / HEADS * QUERIES + e % QUERIES) * WIDTH;
        float sum = 0.0f;
        at += head % HEADS * SIZE;
        for (int c = 0; c < SIZE; c++) sum += y[at + c] * LOAD(X, dy, at + c);
        d[e] = sum;
    }
}

KERNEL attention_queries(ITEM_ARG ARG_IN(X_T, q), ARG_IN(X_T, k), ARG_IN(X_T, v),
                         ARG_IN(int, lengths), ARG_IN(float, lse), ARG_IN(X_T, dy),
                         ARG_IN(float, d), ARG_OUT(float, dq), ARG_INT(units), ARG_FLOAT(scale))
{
    OPEN_IN(X_T, q);
    OPEN_IN(X_T, k);
    OPEN_IN(X_T, v);
    OPEN_IN(int, lengths);
    OPEN_IN(float, lse);
    OPEN_IN(X_T, dy);
    OPEN_IN(float, d);
    OPEN_OUT(float, dq);
    LOCAL_ARRAY(float, fixed, 2 * SIDE_M);
    LOCAL_ARRAY(float, moving, 2 * SIDE_N);
    LOCAL_ARRAY(float, ds, BN *(BM + PAD));
    float sums[SUMS];
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        int head = unit / BLOCKS, first = unit % BLOCKS * BM, at = head * QUERIES + first;
        int sample = head / HEADS, column = head % HEADS * SIZE;
        int keys = keys_of(lengths, sample), of_keys = sample * KEYS * ROW + column;
        int of_queries = sample * QUERIES * ROW + column;
        int seen = CAUSAL && first + BM < keys ? first + BM : keys;
        int rounds = (seen + BN - 1) / BN;
        load_side(ITEM q + of_queries, ROW, first, QUERIES, scale, BM, fixed);
        load_side(ITEM dy + sample * QUERIES * WIDTH + column, WIDTH, first, QUERIES, 1.0f, BM,
                  fixed + SIDE_M);
        for (int i = 0; i < SUMS; i++) sums[i] = 0.0f;
        for (int r = 0; r < rounds; r++) {
            int from = r * BN;
            BARRIER();
            load_side(ITEM K_HOLDER + of_keys + K_AT, ROW, from, keys, 1.0f, BN, moving);
            load_side(ITEM V_HOLDER + of_keys + V_AT, ROW, from, keys, 1.0f, BN, moving + SIDE_N);
            BARRIER();
            make_pairs(ITEM fixed, moving, first, from, keys, lse + at, d + at, ds, ds);
            BARRIER();
            add_pairs(ITEM ds, moving, 1, BN + PAD, sums);
        }
        store_sums(ITEM sums, scale, QUERIES - first, dq + of_queries + first * ROW, ROW);
    }
}
