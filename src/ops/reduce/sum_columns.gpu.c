/* Parts of the sums of a matrix's columns, by words (words.gpu.c): x [rows, WIDTH] ->
 * parts [PARTS, WIDTH], each of ROWS_A_PART rows.  The host side says the type of x (X_T). */
PARAMETERS(X_T PARTS ROWS_A_PART WIDTH)

KERNEL sum_columns(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(float, parts), ARG_INT(rows))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(float, parts);
    EACH (i, PARTS * ROW_WORDS) {
        int part = (int)(i / ROW_WORDS), column = (int)(i % ROW_WORDS) * WORD;
        int end = (part + 1) * ROWS_A_PART < rows ? (part + 1) * ROWS_A_PART : rows;
        float sum[WORD];
        for (int k = 0; k < WORD; k++) sum[k] = 0.0f;
        UNROLL_4 for (int row = part * ROWS_A_PART; row < end; row++)
        {
            float v[WORD];
            LOAD_WORD(X, v, x, (i64)row * WIDTH + column);
            for (int k = 0; k < WORD; k++) sum[k] += v[k];
        }
        STORE_WORD(WIDE, parts, (i64)part * WIDTH + column, sum);
    }
}
