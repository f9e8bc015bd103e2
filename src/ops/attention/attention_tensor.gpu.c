/* What attention's kernels on tensor cores share: rows of a head as operands, and the sums.
 *
 * A warp keeps SETS times 16 rows of one side of a head (queries, or keys) in registers; the other
 * side comes by in tiles of TILE_ROWS rows, which all warps of the group read, STEP rows at a time.
 * No lane asks another one for an operand, and what it reads it reads by vectors:
 *
 * - Along a product's depth any order is right that is the same for both operands.  Where columns
 *   are the depth (multiply_rows), a lane has four that lie side by side, for two steps of 8. Where
 *   rows of the tile are (add_rows), steps 0 … 3 are the even ones of 8, and 4 … 7 the odd ones: so
 *   lie the products of multiply_rows.
 * - The sums lie with the columns down (add_rows multiplies the tile by the pairs), and rows i and
 *   i + 8 of such a product are columns 2 i and 2 i + 1 of 16.
 * - Columns of a tile's row lie in fours, whose order differs from row to row (PLACE): what lanes
 *   read at once then lies in all 32 banks, in both functions. */
TENSOR_CORES
PARAMETERS(SIZE STEP SETS)

#define BLOCK (16 * SETS * GROUP / 32) /* rows that stay, of all warps */
#define TILE_ROWS 64
#define FOURS (SIZE / 4)
#define PLACE(row, four) ((row)*SIZE + 4 * ((four) ^ (((row) ^ (row) >> 2) & 1) << 2 ^ ((row)&2)))
#define OPERAND (SIZE / 2)           /* floats of a lane, for 16 rows */
#define SUMS (SIZE / 2)              /* … and for the sums of 16 rows */
#define PAIRS (STEP / 2)             /* … and for 16 · STEP products */
#define FIRST_ROW (16 * SETS * WARP) /* of the block */
#define LANE_ROW (LANE / 4) /* of a lane's products: this row and the eighth behind it, … */
#define LANE_COLUMN (LANE % 4 * 2) /* … and this column and the next */
/* Of its i-th product: which of its rows, the row of the warp and the column of the step. */
#define HALF(i) ((i) / PAIRS * 2 + (i) % 4 / 2)
#define PAIR_ROW(i) (LANE_ROW + 8 * HALF(i))
#define PAIR_COLUMN(i) ((i) % PAIRS / 4 * 8 + LANE_COLUMN + (i) % 2)

#define LOG2_E 1.44269504f
#define NEVER FLOAT_OF(0xff800000u) /* −∞, of which EXP2 makes 0 whatever the scale */

/* Where a lane begins to read of a tile: OF_FOURS for multiply_rows, OF_EVEN and OF_ODD rows for
 * add_rows; each for even 16 columns and for odd ones.  From there on it goes by constants. */
enum { OF_FOURS = 0, OF_EVEN = 2, OF_ODD = 4, PLACES = 6 };

DEVICE void find_places(ITEM_PARAM int *places)
{
    int pair = LANE / 4 % 2 * 2;
    UNROLL for (int odd = 0; odd < 2; odd++)
    {
        places[OF_FOURS + odd] = PLACE(LANE / 4, 4 * odd + LANE % 4);
        places[OF_EVEN + odd] = PLACE(LANE % 4 * 2, 4 * odd + LANE / 8) + pair;
        places[OF_ODD + odd] = PLACE(LANE % 4 * 2 + 1, 4 * odd + LANE / 8) + pair;
    }
}

/* Rows of a head from `first` on, of which `count` are there, into a tile. */
DEVICE void load_tile(ITEM_PARAM GLOBAL const float *head, int row, int first, int count,
                      LOCAL float *tile)
{
    int at = PLACE(LOCAL_ID / FOURS, LOCAL_ID % FOURS);
    UNROLL for (int turn = 0; turn < TILE_ROWS * FOURS / GROUP; turn++)
    {
        int place = LOCAL_ID / FOURS + turn * (GROUP / FOURS);
        float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (first + place < count)
            LOAD_4_F32(v, head, (first + place) * row + LOCAL_ID % FOURS * 4);
        UNROLL for (int i = 0; i < 4; i++) v[i] = ROUND_TF32(v[i]);
        STORE_4_F32(tile, at + turn * 4 * GROUP, v);
    }
}

/* The warp's rows of a head, the first of them `first`, of which `count` are there.  Not by
 * vectors, which would lie in other registers than the operands. */
DEVICE void load_rows(ITEM_PARAM GLOBAL const float *head, int row, int first, int count, float *a)
{
    UNROLL for (int h = 0; h < 2 * SETS; h++)
    {
        int at = first + LANE_ROW + 8 * h;
        UNROLL for (int k = 0; k < SIZE / 16; k++)
        {
            UNROLL for (int i = 0; i < 4; i++)
            {
                float v = 0.0f;
                if (at < count) v = head[at * row + 16 * k + LANE % 4 * 4 + i];
                a[h / 2 * OPERAND + 8 * k + 2 * i + h % 2] = ROUND_TF32(v);
            }
        }
    }
}

/* The products of the warp's rows and of STEP rows of a tile. */
DEVICE void multiply_rows(ITEM_PARAM const float *a, LOCAL const float *tile, const int *places,
                          float *pairs)
{
    UNROLL for (int i = 0; i < SETS * PAIRS; i++) pairs[i] = 0.0f;
    UNROLL for (int k = 0; k < SIZE / 16; k++)
    {
        LOCAL const float *from = tile + places[OF_FOURS + k % 2];
        UNROLL for (int n = 0; n < STEP / 8; n++)
        {
            float b[4];
            LOAD_4_F32(b, from, 8 * n * SIZE + k / 2 * 32);
            UNROLL for (int s = 0; s < SETS; s++)
            {
                MMA_TF32(pairs + s * PAIRS + 4 * n, a + s * OPERAND + 8 * k, b);
                MMA_TF32(pairs + s * PAIRS + 4 * n, a + s * OPERAND + 8 * k + 4, b + 2);
            }
        }
    }
}

/* To the warp's sums those of its pairs with STEP rows of a tile times these rows. */
DEVICE void add_rows(ITEM_PARAM const float *pairs, LOCAL const float *tile, const int *places,
                     float *sums)
{
    UNROLL for (int n = 0; n < STEP / 8; n++)
    {
        float b[4 * SETS];
        UNROLL for (int i = 0; i < 4 * SETS; i++) b[i] =
            ROUND_TF32(pairs[i / 4 * PAIRS + 4 * n + i % 4]);
        UNROLL for (int c = 0; c < SIZE / 16; c++)
        {
            float a[4];
            LOAD_2_F32(a, tile + places[OF_EVEN + c % 2], 8 * n * SIZE + c / 2 * 32);
            LOAD_2_F32(a + 2, tile + places[OF_ODD + c % 2], 8 * n * SIZE + c / 2 * 32);
            UNROLL for (int h = 0; h < 2 * SETS; h++)
                MMA_TF32(sums + h / 2 * SUMS + 8 * c + h % 2 * 4, a, b + 2 * h);
        }
    }
}

/* From a number for each of a lane's rows one for each row of its sums: what the lanes of rows 2 i
 * and 2 i + 1 have, and of those 8 behind them, where i is the place of the lane. */
DEVICE void turn_rows(ITEM_PARAM const float *of_rows, float *of_sums)
{
    UNROLL for (int i = 0; i < 4 * SETS; i++) of_sums[i] =
        OF_LANE(of_rows[i / 2], LANE % 4 * 8 + i % 2 * 4);
}

/* The warp's sums times a number for each row of theirs. */
DEVICE void scale_sums(const float *of_sums, float *sums)
{
    UNROLL for (int i = 0; i < SETS * SUMS; i++) sums[i] *=
        of_sums[i / SUMS * 4 + i / 4 % 2 * 2 + i % 2];
}

/* The warp's sums as rows of a head from the block's first on.  The block's first `count` rows are
 * there; of those from `known` on zeros are stored. */
DEVICE void store_rows(ITEM_PARAM const float *sums, int known, int count, GLOBAL float *head,
                       int row)
{
    UNROLL for (int i = 0; i < 4 * SETS; i++)
    {
        int at = FIRST_ROW + LANE % 4 * 2 + i / 2 * 8 + i % 2;
        UNROLL for (int c = 0; c < SIZE / 16; c++)
        {
            float v[2];
            UNROLL for (int t = 0; t < 2; t++) v[t] =
                at < known ? sums[i / 4 * SUMS + 8 * c + i % 4 / 2 * 4 + 2 * t + i % 2] : 0.0f;
            if (at < count) STORE_2_F32(head, at * row + 16 * c + LANE / 4 * 2, v);
        }
    }
}
