/* Sums of a matrix's columns by tiles: a group takes STRIP words of each of ROWS_PER_PART rows,
 * lane l of LANES the rows l, l + LANES … FLIGHT rows of a lane are loaded before the first is
 * used, so that memory is busy.  Behind words.gpu.c, in front of kernels that use it; both counts
 * are powers of two.
 *
 * An item of a tile keeps the sums of a word in registers until it puts them into `sums`, which has
 * TILE_SUMS elements: [WORD, LANES, STRIP], so that the items of a warp meet no bank twice. */
PARAMETERS(STRIP LANES PARTS WIDTH)

#define STRIPS ((ROW_WORDS + STRIP - 1) / STRIP)
#define TILES (PARTS * STRIPS)
#define TILE_ITEMS (LANES * STRIP)
#define TILE_SUMS (TILE_ITEMS * WORD)
#define TILE_PART(tile) ((tile) / STRIPS)
#define TILE_WORD(tile) ((tile) % STRIPS * STRIP)
/* Where the f-th row in flight behind `row` is loaded: past the end `row` itself once more, because
 * compilers put the use of a load with a condition right behind it. */
#define TILE_AT(row, f, end, word) \
    ((i64)((row) + (f)*LANES < (end) ? (row) + (f)*LANES : (row)) * WIDTH + (word)*WORD)

/* The sums of all lanes, by a tree of them: the same for every size of group.  `part` are the sums
 * of the tile's part of rows, of all columns. */
DEVICE void join_lanes(ITEM_PARAM LOCAL float *sums, GLOBAL float *part, int first_word)
{
    BARRIER();
    UNROLL for (int upper = LANES / 2; upper > 0; upper /= 2)
    {
        for (int i = LOCAL_ID; i < upper * STRIP; i += GROUP) {
            UNROLL for (int k = 0; k < WORD; k++)
            {
                sums[k * TILE_ITEMS + i] += sums[k * TILE_ITEMS + upper * STRIP + i];
            }
        }
        BARRIER();
    }
    for (int i = LOCAL_ID; i < STRIP * WORD && first_word * WORD + i < WIDTH; i += GROUP) {
        part[first_word * WORD + i] = sums[i % WORD * TILE_ITEMS + i / WORD];
    }
    BARRIER();
}
