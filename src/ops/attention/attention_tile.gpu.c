/* What the kernels of attention share: two tiles of a head in local memory, the pairs of their
 * places, and the sums over these pairs.
 *
 * Side m has BM places (queries, or keys) and stays; side n has BN of the other kind and goes round
 * by round.  In local memory a side lies column by column, [SIZE][places + PAD], and pairs lie
 * [BN][BM + PAD].  Of the pairs an item makes RM × RN, of the sums [BM][SIZE] RM × RC; whoever has
 * fewer items than ITEMS in its group does them one after the other. */
PARAMETERS(BM RM BN RN SIZE RC X_T)

#define PAD 4 /* fewer bank conflicts, and whole vectors of four */
#define ITEMS_M (BM / RM)
#define PAIR_ITEMS (ITEMS_M * (BN / RN))
#define PAIR_TURNS ((PAIR_ITEMS + GROUP - 1) / GROUP)
#define SUM_ITEMS (ITEMS_M * ((SIZE + RC - 1) / RC))
#define SUM_TURNS ((SUM_ITEMS + GROUP - 1) / GROUP)
#define SUMS (SUM_TURNS * RM * RC)
#define SIDE_M (SIZE * (BM + PAD))
#define SIDE_N (SIZE * (BN + PAD))
#define PAIR(n, m) ((n) * (BM + PAD) + (m))

/* `places` rows of a head from `first` on, of which `count` are there, as columns. */
DEVICE void load_side(ITEM_PARAM GLOBAL const X_T *head, int row, int first, int count,
                      float factor, int places, LOCAL float *side)
{
    for (int e = LOCAL_ID; e < places * SIZE; e += LOCAL_SIZE) {
        int place = e / SIZE, c = e % SIZE;
        float value = 0.0f;
        if (first + place < count) value = factor * LOAD(X, head, (first + place) * row + c);
        side[c * (places + PAD) + place] = value;
    }
}

/* An item's products of places of side m and of side n. */
DEVICE void multiply_sides(LOCAL const float *m, LOCAL const float *n, int item, float *products)
{
    UNROLL for (int i = 0; i < RM * RN; i++) products[i] = 0.0f;
    UNROLL_4 for (int c = 0; c < SIZE; c++)
    {
        float mv[RM], nv[RN];
        UNROLL for (int i = 0; i < RM; i++) mv[i] = m[c * (BM + PAD) + item % ITEMS_M * RM + i];
        UNROLL for (int j = 0; j < RN; j++) nv[j] = n[c * (BN + PAD) + item / ITEMS_M * RN + j];
        UNROLL for (int i = 0; i < RM; i++)
        {
            UNROLL for (int j = 0; j < RN; j++) products[i * RN + j] += mv[i] * nv[j];
        }
    }
}

/* sums[m][c] += Σ_n pairs[n][m] · x[n][c], where x is at n · x_place + c · x_column. */
DEVICE void add_pairs(ITEM_PARAM LOCAL const float *pairs, LOCAL const float *x, int x_place,
                      int x_column, float *sums)
{
    for (int turn = 0; turn < SUM_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < SUM_ITEMS) {
            for (int n = 0; n < BN; n++) {
                float pv[RM], xv[RC];
                UNROLL for (int i = 0; i < RM; i++) pv[i] = pairs[PAIR(n, item % ITEMS_M * RM + i)];
                UNROLL for (int k = 0; k < RC; k++)
                {
                    int c = item / ITEMS_M * RC + k;
                    xv[k] = x[n * x_place + (c < SIZE ? c : SIZE - 1) * x_column];
                }
                UNROLL for (int i = 0; i < RM; i++)
                {
                    UNROLL for (int k = 0; k < RC; k++) sums[(turn * RM + i) * RC + k] +=
                        pv[i] * xv[k];
                }
            }
        }
    }
}

/* The sums of the first `count` places of side m as rows of a head. */
DEVICE void store_sums(ITEM_PARAM const float *sums, float factor, int count, GLOBAL float *head,
                       int row)
{
    for (int turn = 0; turn < SUM_TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < SUM_ITEMS) {
            UNROLL for (int i = 0; i < RM; i++)
            {
                int m = item % ITEMS_M * RM + i;
                UNROLL for (int k = 0; k < RC; k++)
                {
                    int c = item / ITEMS_M * RC + k;
                    if (m < count && c < SIZE)
                        head[m * row + c] = factor * sums[(turn * RM + i) * RC + k];
                }
            }
        }
    }
}
