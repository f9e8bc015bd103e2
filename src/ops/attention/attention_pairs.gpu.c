/* What both kernels of attention's backward make anew of the pairs of a round (attention.c says
 * what p and ds are).  OF_KEYS: side m are keys and side n queries; else it is the other way round.
 */
PARAMETERS(RM RN OF_KEYS QUERIES CAUSAL)

/* Of each pair of side m and side n p and ds; 0 where the query does not see the key.  lse and d
 * are those of the first query at hand. */
DEVICE void make_pairs(ITEM_PARAM LOCAL const float *m_side, LOCAL const float *n_side,
                       int first_query, int first_key, int keys, GLOBAL const float *lse,
                       GLOBAL const float *d, LOCAL float *p, LOCAL float *ds)
{
    for (int turn = 0; turn < PAIR_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < PAIR_ITEMS) {
            float scores[RM * RN], dots[RM * RN];
            multiply_sides(m_side, n_side, item, scores);
            multiply_sides(m_side + SIDE_M, n_side + SIDE_N, item, dots);
            UNROLL for (int i = 0; i < RM; i++)
            {
                UNROLL for (int j = 0; j < RN; j++)
                {
                    int m = item % ITEMS_M * RM + i, n = item / ITEMS_M * RN + j;
                    int query = OF_KEYS ? n : m, key = first_key + (OF_KEYS ? m : n);
                    int is_seen = key < keys && first_query + query < QUERIES &&
                                  (!CAUSAL || key <= first_query + query);
                    float weight = 0.0f, slope = 0.0f;
                    if (is_seen) {
                        weight = EXP(scores[i * RN + j] - lse[query]);
                        slope = weight * (dots[i * RN + j] - d[query]);
                    }
#if OF_KEYS
                    p[PAIR(n, m)] = weight;
#endif
                    ds[PAIR(n, m)] = slope;
                }
            }
        }
    }
}
