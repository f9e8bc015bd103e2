/* What flows back through an activation by formula, and the sums of its columns (the gradient of a
 * bias) on the way, by tiles (column_tile.gpu.c): x, dy [rows, WIDTH] -> dx, and
 * parts [PARTS, WIDTH] of ROWS_PER_PART rows each.  activation_list.gpu.c stands in front, too. */
PARAMETERS(X_T Y_T DY_T ROWS_PER_PART WIDTH LANES STRIP FLIGHT)

KERNEL activation_backward_sums(ITEM_ARG ARG_IN(X_T, x), ARG_IN(DY_T, dy), ARG_OUT(Y_T, dx),
                                ARG_OUT(float, parts), ARG_INT(rows))
{
    OPEN_IN(X_T, x);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(Y_T, dx);
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
                float v[FLIGHT][WORD], g[FLIGHT][WORD];
                UNROLL for (int f = 0; f < FLIGHT; f++)
                {
                    LOAD_WORD(X, v[f], x, TILE_AT(row, f, end, word));
                    LOAD_WORD(DY, g[f], dy, TILE_AT(row, f, end, word));
                }
                UNROLL for (int f = 0; f < FLIGHT; f++)
                {
                    if (row + f * LANES < end) {
                        UNROLL for (int k = 0; k < WORD; k++)
                        {
                            g[f][k] *= DF(v[f][k]);
                            sum[k] += g[f][k];
                        }
                        STORE_WORD(Y, dx, (i64)(row + f * LANES) * WIDTH + word * WORD, g[f]);
                    }
                }
            }
            UNROLL for (int k = 0; k < WORD; k++) sums[k * TILE_ITEMS + i] = sum[k];
        }
        join_lanes(ITEM sums, parts + (i64)TILE_PART(tile) * WIDTH, TILE_WORD(tile));
    }
}
