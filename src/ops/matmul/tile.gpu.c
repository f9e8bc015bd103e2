/* The product of two tiles in local memory, for all kernels that are sums of products.
 *
 * Side m has BM places, side n has BN, and BK is the depth of one round; m is the side whose places
 * lie side by side in the output.  An item holds RM runs of VM places of side m times RN runs of VN
 * places of side n; KS items share the depth between them.  Whoever has fewer items than that in
 * its group (GROUP) does them one after the other. */
#define STRIDE_M (BM + 4) /* fewer bank conflicts, and still aligned for vectors of four */
#define STRIDE_N (BN + 4)
#define ITEMS_M (BM / (VM * RM))
#define ITEMS_N (BN / (VN * RN))
#define ITEMS_MN (ITEMS_M * ITEMS_N)
#define ITEMS (ITEMS_MN * KS)
#define TURNS ((ITEMS + GROUP - 1) / GROUP)
#define TM (VM * RM)
#define TN (VN * RN)
#define TILE_SUMS (TM * TN)
#define TILE_OPERANDS (BK * (STRIDE_M + STRIDE_N))
#define TILE_MERGED ((KS - 1) * BM * BN)
#define TILE_FLOATS (TILE_OPERANDS > TILE_MERGED ? TILE_OPERANDS : TILE_MERGED)

/* The place on side m, or n, of sum i of an item. */
#define PLACE_M(item, i) ((i) / VM * (ITEMS_M * VM) + (item) % ITEMS_M * VM + (i) % VM)
#define PLACE_N(item, j) ((j) / VN * (ITEMS_N * VN) + (item) / ITEMS_M % ITEMS_N * VN + (j) % VN)

DEVICE void tile_clear(float *sums)
{
    for (int turn = 0; turn < TURNS; turn++) {
        UNROLL for (int i = 0; i < TILE_SUMS; i++) sums[turn * TILE_SUMS + i] = 0.0f;
    }
}

/* m [BK][STRIDE_M], n [BK][STRIDE_N] */
DEVICE void tile_multiply(LOCAL const float *m, LOCAL const float *n, float *sums)
{
    for (int turn = 0; turn < TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < ITEMS) {
            UNROLL_4 for (int k = item / ITEMS_MN; k < BK; k += KS)
            {
                float mv[TM], nv[TN];
                UNROLL for (int i = 0; i < TM; i++) mv[i] = m[k * STRIDE_M + PLACE_M(item, i)];
                UNROLL for (int j = 0; j < TN; j++) nv[j] = n[k * STRIDE_N + PLACE_N(item, j)];
                UNROLL for (int i = 0; i < TM; i++)
                {
                    UNROLL for (int j = 0; j < TN; j++)
                    {
                        sums[turn * TILE_SUMS + i * TN + j] += mv[i] * nv[j];
                    }
                }
            }
        }
    }
}

/* Add up what the items that share the depth have; the result is with the first of them. */
DEVICE void tile_merge(LOCAL float *merged, float *sums)
{
#if KS > 1
    BARRIER();
    for (int turn = 0; turn < TURNS; turn++) {
        int other = LOCAL_ID + turn * GROUP - ITEMS_MN;
        if (other >= 0 && other < ITEMS - ITEMS_MN) {
            UNROLL for (int i = 0; i < TILE_SUMS; i++)
            {
                merged[i * (ITEMS - ITEMS_MN) + other] = sums[turn * TILE_SUMS + i];
            }
        }
    }
    BARRIER();
    for (int turn = 0; turn < TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < ITEMS_MN) {
            UNROLL for (int i = 0; i < TILE_SUMS; i++)
            {
                for (int s = 0; s < KS - 1; s++)
                    sums[turn * TILE_SUMS + i] +=
                        merged[i * (ITEMS - ITEMS_MN) + s * ITEMS_MN + item];
            }
        }
    }
#endif
}
