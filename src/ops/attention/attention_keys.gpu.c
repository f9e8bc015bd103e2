/* dk and dv of attention, by groups that keep a block of keys while the queries come by in rounds;
 * so no sum goes across groups.  With PACKED dk holds dv too. */
PARAMETERS(PACKED X_T BN BM BLOCKS HEADS SIZE KEYS ROW CAUSAL QUERIES K_AT V_AT WIDTH)

#if PACKED
#define DV_HOLDER dk
#else
#define DV_HOLDER dv
#endif

KERNEL attention_keys(ITEM_ARG ARG_IN(X_T, q), ARG_IN(X_T, k), ARG_IN(X_T, v), ARG_IN(int, lengths),
                      ARG_IN(float, lse), ARG_IN(X_T, dy), ARG_IN(float, d), ARG_OUT(float, dk),
                      ARG_OUT(float, dv), ARG_INT(units), ARG_FLOAT(scale))
{
    OPEN_IN(X_T, q);
    OPEN_IN(X_T, k);
    OPEN_IN(X_T, v);
    OPEN_IN(int, lengths);
    OPEN_IN(float, lse);
    OPEN_IN(X_T, dy);
    OPEN_IN(float, d);
    OPEN_OUT(float, dk);
    OPEN_OUT(float, dv);
    LOCAL_ARRAY(float, fixed, 2 * SIDE_M);
    LOCAL_ARRAY(float, moving, 2 * SIDE_N);
    LOCAL_ARRAY(float, p, BN *(BM + PAD));
    LOCAL_ARRAY(float, ds, BN *(BM + PAD));
    float k_sums[SUMS], v_sums[SUMS];
    for (int unit = GROUP_ID; unit < units; unit += NUM_GROUPS) {
        int head = unit / BLOCKS, first = unit % BLOCKS * BM;
        int sample = head / HEADS, column = head % HEADS * SIZE;
        int keys = keys_of(lengths, sample), of_keys = sample * KEYS * ROW + column;
        int start = CAUSAL ? first / BN : 0;
        int rounds = first < keys ? (QUERIES + BN - 1) / BN : 0;
        load_side(ITEM K_HOLDER + of_keys + K_AT, ROW, first, keys, 1.0f, BM, fixed);
        load_side(ITEM V_HOLDER + of_keys + V_AT, ROW, first, keys, 1.0f, BM, fixed + SIDE_M);
        for (int i = 0; i < SUMS; i++) k_sums[i] = v_sums[i] = 0.0f;
        for (int r = start; r < rounds; r++) {
            int from = r * BN, at = head * QUERIES + from;
            BARRIER();
            load_side(ITEM q + sample * QUERIES * ROW + column, ROW, from, QUERIES, scale, BN,
                      moving);
            load_side(ITEM dy + sample * QUERIES * WIDTH + column, WIDTH, from, QUERIES, 1.0f, BN,
                      moving + SIDE_N);
            BARRIER();
            make_pairs(ITEM fixed, moving, from, first, keys, lse + at, d + at, p, ds);
            BARRIER();
            add_pairs(ITEM ds, moving, 1, BN + PAD, k_sums);
            add_pairs(ITEM p, moving + SIDE_N, 1, BN + PAD, v_sums);
        }
        of_keys += first * ROW;
        store_sums(ITEM k_sums, 1.0f, KEYS - first, dk + of_keys + K_AT, ROW);
        store_sums(ITEM v_sums, 1.0f, KEYS - first, DV_HOLDER + of_keys + V_AT, ROW);
    }
}
