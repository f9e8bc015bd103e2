/* Rows of a table of ROWS rows of WIDTH (embedding.c says what is computed). */
KERNEL embedding(ITEM_ARG ARG_IN(int, tokens), ARG_IN(float, table), ARG_OUT(float, y),
                 ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_IN(float, table);
    OPEN_OUT(float, y);
    EACH (i, count) {
        int token = tokens[i / WIDTH];
        y[i] = token >= 0 && token < (int)ROWS ? table[(u32)token * WIDTH + i % WIDTH] : F32_NAN;
    }
}

/* Back, the tokens are sorted first, equal ones in their order: a group finds the place of one by
 * counting those before it.  What has no row comes last, as ROWS. */
KERNEL embedding_sort(ITEM_ARG ARG_IN(int, tokens), ARG_OUT(int, sorted), ARG_OUT(int, order),
                      ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_OUT(int, sorted);
    OPEN_OUT(int, order);
    LOCAL_ARRAY(int, counts, GROUP);
    for (int n = GROUP_ID; n < count; n += NUM_GROUPS) {
        int token = tokens[n] >= 0 && tokens[n] < (int)ROWS ? tokens[n] : (int)ROWS, before = 0;
        UNROLL_4 for (int m = LOCAL_ID; m < count; m += LOCAL_SIZE)
        {
            int other = tokens[m] >= 0 && tokens[m] < (int)ROWS ? tokens[m] : (int)ROWS;
            before += other < token || (other == token && m < n);
        }
        int place = count_items(ITEM counts, before);
        if (LOCAL_ID == 0) {
            sorted[place] = token;
            order[place] = n;
        }
    }
}

/* starts[v] is the first place whose token is v or more. */
KERNEL embedding_starts(ITEM_ARG ARG_IN(int, sorted), ARG_OUT(int, starts), ARG_INT(count))
{
    OPEN_IN(int, sorted);
    OPEN_OUT(int, starts);
    EACH (v, ROWS + 1) {
        int low = 0, high = count;
        while (low < high) {
            int middle = low + (high - low) / 2;
            if (sorted[middle] < (int)v)
                low = middle + 1;
            else
                high = middle;
        }
        starts[v] = low;
    }
}

/* Rows of dy that are fetched before they are added. */
#define BATCH 8

/* By words (words.gpu.c): the gradient of a row of the table, as PARTS sums of every PARTS-th of
 * its tokens, which are joined later. */
KERNEL embedding_backward(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, order), ARG_IN(int, starts),
                          ARG_OUT(float, dtable), ARG_INT(count))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, order);
    OPEN_IN(int, starts);
    OPEN_OUT(float, dtable);
    EACH (i, count) {
        u32 column = i % ROW_WORDS * WORD, row = i / ROW_WORDS;
        int v = (int)(row % ROWS), begin = starts[v];
        int end = v == PADDING ? begin : starts[v + 1];
        float sum[WORD];
        UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
        for (int k = begin + (int)(row / ROWS); k < end; k += BATCH * PARTS) {
            float part[BATCH][WORD];
            UNROLL for (int b = 0; b < BATCH; b++)
            {
                int at = k + b * PARTS;
                UNROLL for (int j = 0; j < WORD; j++) part[b][j] = 0.0f;
                if (at < end) LOAD_WORD(WIDE, part[b], dy, (u32)order[at] * WIDTH + column);
            }
            UNROLL for (int b = 0; b < BATCH; b++)
            {
                UNROLL for (int j = 0; j < WORD; j++) sum[j] += part[b][j];
            }
        }
        STORE_WORD(WIDE, dtable, (i64)row * WIDTH + column, sum);
    }
}
