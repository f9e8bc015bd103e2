/* What flows back through an activation by formula, and the sums of its columns (the gradient of a
 * bias) on the way: x, dy [rows, WIDTH] -> dx, and parts [PARTS, WIDTH] of ROWS_A_PART rows each.
 * activation_list.gpu.c and words.gpu.c stand in front. */
PARAMETERS(X_T Y_T DY_T PARTS ROWS_A_PART WIDTH)

KERNEL activation_backward_sums(ITEM_ARG ARG_IN(X_T, x), ARG_IN(DY_T, dy), ARG_OUT(Y_T, dx),
                                ARG_OUT(float, parts), ARG_INT(rows))
{
    OPEN_IN(X_T, x);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(Y_T, dx);
    OPEN_OUT(float, parts);
    EACH (i, PARTS * ROW_WORDS) {
        int part = (int)(i / ROW_WORDS), column = (int)(i % ROW_WORDS) * WORD;
        int end = (part + 1) * ROWS_A_PART < rows ? (part + 1) * ROWS_A_PART : rows;
        float sum[WORD];
        for (int k = 0; k < WORD; k++) sum[k] = 0.0f;
        for (int row = part * ROWS_A_PART; row < end; row++) {
            float v[WORD], g[WORD];
            i64 at = (i64)row * WIDTH + column;
            LOAD_WORD(X, v, x, at);
            LOAD_WORD(DY, g, dy, at);
            for (int k = 0; k < WORD; k++) {
                g[k] *= DF(v[k]);
                sum[k] += g[k];
            }
            STORE_WORD(Y, dx, at, g);
        }
        STORE_WORD(WIDE, parts, (i64)part * WIDTH + column, sum);
    }
}
