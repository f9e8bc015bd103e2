/* The product of two tiles in local memory, for all kernels that are sums of products.
 *
 * Side m has BM places, side n has BN, and BK is the depth of one round; m is the side whose places
 * lie side by side in the output.  An item holds RM runs of VM places of side m times RN runs of VN
 * places of side n; KS items share the depth between them.  Whoever has fewer items than that in
 * its group (GROUP) does them one after the other.
 *
 * While the items multiply one round they already wait for the next one's elements: LOADS_M and
 * LOADS_N of them each, in registers.  In local memory a side's places lie side by side, or with
 * DEEP each place's depth does, for operands that memory holds that way; a row is longer than it
 * need be by four, which means fewer bank conflicts and still whole vectors of four. */
PARAMETERS(DEEP BK BM BN ON_CPU VM RM VN RN KS)

#if DEEP
#define AT_M(k, m) ((m) * (BK + 4) + (k))
#define AT_N(k, n) ((n) * (BK + 4) + (k))
#define OPERAND_M (BM * (BK + 4))
#define OPERAND_N (BN * (BK + 4))
#else
#define AT_M(k, m) ((k) * (BM + 4) + (m))
#define AT_N(k, n) ((k) * (BN + 4) + (n))
#define OPERAND_M (BK * (BM + 4))
#define OPERAND_N (BK * (BN + 4))
#endif
#define LOADS_M ((BK * BM + GROUP - 1) / GROUP)
#define LOADS_N ((BK * BN + GROUP - 1) / GROUP)
#if ON_CPU || LOADS_M + LOADS_N > 96
#define UNROLL_LOADS
#else
#define UNROLL_LOADS UNROLL
#endif
#define ITEMS_M (BM / (VM * RM))
#define ITEMS_N (BN / (VN * RN))
#define ITEMS_MN (ITEMS_M * ITEMS_N)
#define ITEMS (ITEMS_MN * KS)
#define TURNS ((ITEMS + GROUP - 1) / GROUP)
#define TM (VM * RM)
#define TN (VN * RN)
#define TILE_SUMS (TM * TN)
#define TILE_OPERANDS (OPERAND_M + OPERAND_N)
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

DEVICE void tile_multiply(ITEM_PARAM LOCAL const float *m, LOCAL const float *n, float *sums)
{
    for (int turn = 0; turn < TURNS; turn++) {
        int item = LOCAL_ID + turn * GROUP;
        if (item < ITEMS) {
#if DEEP
            for (int k4 = item / ITEMS_MN; k4 < BK / 4; k4 += KS) {
                float nv[TN * 4];
                UNROLL for (int j = 0; j < TN; j++)
                {
                    UNROLL for (int q = 0; q < 4; q++)
                    {
                        nv[j * 4 + q] = n[AT_N(k4 * 4 + q, PLACE_N(item, j))];
                    }
                }
                UNROLL for (int i = 0; i < TM; i++)
                {
                    float mv[4];
                    UNROLL for (int q = 0; q < 4; q++)
                    {
                        mv[q] = m[AT_M(k4 * 4 + q, PLACE_M(item, i))];
                    }
                    UNROLL for (int j = 0; j < TN; j++)
                    {
                        UNROLL for (int q = 0; q < 4; q++)
                        {
                            sums[turn * TILE_SUMS + i * TN + j] += mv[q] * nv[j * 4 + q];
                        }
                    }
                }
            }
#else
            UNROLL_4 for (int k = item / ITEMS_MN; k < BK; k += KS)
            {
                float mv[TM], nv[TN];
                UNROLL for (int i = 0; i < TM; i++) mv[i] = m[AT_M(k, PLACE_M(item, i))];
                UNROLL for (int j = 0; j < TN; j++) nv[j] = n[AT_N(k, PLACE_N(item, j))];
                UNROLL for (int i = 0; i < TM; i++)
                {
                    UNROLL for (int j = 0; j < TN; j++)
                    {
                        sums[turn * TILE_SUMS + i * TN + j] += mv[i] * nv[j];
                    }
                }
            }
#endif
        }
    }
}

/* Add up what the items that share the depth have; the result is with the first of them.  (Where
 * none share it the barrier is for PoCL 3.1, which mistakes what follows a loop with barriers for a
 * part of it.) */
DEVICE void tile_merge(ITEM_PARAM LOCAL float *merged, float *sums)
{
    BARRIER();
#if KS > 1
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
