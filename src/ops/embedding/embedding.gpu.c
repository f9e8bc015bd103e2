/* Rows of a table of ROWS rows of WIDTH (embedding.c says what is computed). */
KERNEL embedding(ITEM_ARG ARG_IN(int, tokens), ARG_IN(float, table), ARG_OUT(float, y),
                 ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_IN(float, table);
    OPEN_OUT(float, y);
    EACH (i, count) {
        int token = tokens[i / WIDTH];
        y[i] = token >= 0 && token < ROWS ? table[(u32)token * WIDTH + i % WIDTH] : F32_NAN;
    }
}

/* Back, the tokens are sorted first, equal ones in their order: an item finds the place of one by
 * counting those before it.  What has no row comes last, as ROWS. */
KERNEL embedding_sort(ITEM_ARG ARG_IN(int, tokens), ARG_OUT(int, sorted), ARG_OUT(int, order),
                      ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_OUT(int, sorted);
    OPEN_OUT(int, order);
    EACH (n, count) {
        int token = tokens[n] >= 0 && tokens[n] < ROWS ? tokens[n] : ROWS, place = 0;
        for (int m = 0; m < count; m++) {
            int other = tokens[m] >= 0 && tokens[m] < ROWS ? tokens[m] : ROWS;
            place += other < token || (other == token && m < (int)n);
        }
        sorted[place] = token;
        order[place] = (int)n;
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

KERNEL embedding_backward(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, order), ARG_IN(int, starts),
                          ARG_OUT(float, dtable), ARG_INT(count))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, order);
    OPEN_IN(int, starts);
    OPEN_OUT(float, dtable);
    EACH (i, count) {
        int v = (int)(i / WIDTH), end = v == PADDING ? starts[v] : starts[v + 1];
        float sum = 0.0f;
        for (int k = starts[v]; k < end; k++) sum += dy[(u32)order[k] * WIDTH + i % WIDTH];
        dtable[i] = sum;
    }
}
