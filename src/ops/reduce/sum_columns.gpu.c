/* The sums of a matrix's columns, by tiles (column_tile.gpu.c): x [rows, WIDTH] ->
 * parts [PARTS, WIDTH], each of ROWS_PER_PART rows.  The host side says the type of x (X_T). */
PARAMETERS(X_T ROWS_PER_PART WIDTH LANES STRIP FLIGHT)

KERNEL sum_columns(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(float, parts), ARG_INT(rows))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(float, parts);
    LOCAL_ARRAY(float, sums, TILE_SUMS);
    for (int tile = GROUP_ID; tile < TILES; tile += NUM_GROUPS) {
        int from = TILE_PART(tile) * ROWS_PER_PART;
        int end = from + ROWS_PER_PART < rows ? from + ROWS_PER_PART : rows;
        for (int i = LOCAL_ID; i < TILE_ITEMS; i += GROUP) {
            int word = TILE_WORD(tile) + i % STRIP;
            float sum[WORD];
            UNROLL for (int k = 0; k < WORD; k++) sum[k] = 0.0f;
            for (int row = from + i / STRIP; row < end && word < ROW_WORDS; row += FLIGHT * LANES) {
                float v[FLIGHT][WORD];
                UNROLL for (int f = 0; f < FLIGHT; f++)
                {
                    LOAD_WORD(X, v[f], x, TILE_AT(row, f, end, word));
                }
                UNROLL for (int f = 0; f < FLIGHT; f++)
                {
                    UNROLL for (int k = 0; k < WORD; k++)
                    {
                        if (row + f * LANES < end) sum[k] += v[f][k];
                    }
                }
            }
            UNROLL for (int k = 0; k < WORD; k++) sums[k * TILE_ITEMS + i] = sum[k];
        }
        join_lanes(ITEM sums, parts + (i64)TILE_PART(tile) * WIDTH, TILE_WORD(tile));
    }
}
