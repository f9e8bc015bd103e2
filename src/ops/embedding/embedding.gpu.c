/* Rows of a table of ROWS rows of WIDTH (embedding.c says what is computed). */
PARAMETERS(WIDTH ROWS CHUNK PADDING ADD)

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

/* Rows that are fetched before they are added. */
#define BATCH 8

/* sum += rows [from, to) of `rows`, in their order, at a word that begins at `column`; the number
 * of the row at place `at` is ROW. */
#define ADD_ROWS(sum, rows, from, to, column, ROW)                                       \
    for (int first_ = (from); first_ < (to); first_ += BATCH) {                          \
        float part_[BATCH][WORD];                                                        \
        UNROLL for (int b = 0; b < BATCH; b++)                                           \
        {                                                                                \
            int at = first_ + b;                                                         \
            UNROLL for (int j = 0; j < WORD; j++) part_[b][j] = 0.0f;                    \
            if (at < (to)) LOAD_WORD(WIDE, part_[b], rows, (i64)(ROW)*WIDTH + (column)); \
        }                                                                                \
        UNROLL for (int b = 0; b < BATCH; b++)                                           \
        {                                                                                \
            UNROLL for (int j = 0; j < WORD; j++)(sum)[j] += part_[b][j];                \
        }                                                                                \
    }

/* By words (words.gpu.c): the sums of CHUNK sorted tokens.  A token whose places all lie in the
 * chunk has its row, with ADD added to what is there; of one that goes beyond, the sum here is a
 * part: parts[2c] of the token that came in from before chunk c, parts[2c + 1] of one that begins
 * there and goes on. */
KERNEL embedding_chunks(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, sorted), ARG_IN(int, order),
                        ARG_IN(int, starts), ARG_OUT(float, dtable), ARG_OUT(float, parts),
                        ARG_INT(tokens), ARG_INT(count))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, sorted);
    OPEN_IN(int, order);
    OPEN_IN(int, starts);
    OPEN_OUT(float, dtable);
    OPEN_OUT(float, parts);
    EACH (i, count) {
        u32 column = i % ROW_WORDS * WORD;
        int chunk = (int)(i / ROW_WORDS), low = chunk * CHUNK;
        int high = low + CHUNK < tokens ? low + CHUNK : tokens;
        for (int k = low; k < high;) {
            int v = sorted[k], begin = v < (int)ROWS ? starts[v] : k;
            int end = v < (int)ROWS ? starts[v + 1] : high, to = end < high ? end : high;
            if (v < (int)ROWS && v != PADDING) {
                float sum[WORD];
                UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
                if (ADD && begin >= low && end <= high)
                    LOAD_WORD(WIDE, sum, dtable, (i64)v * WIDTH + column);
                ADD_ROWS(sum, dy, k, to, column, order[at])
                if (begin >= low && end <= high)
                    STORE_WORD(WIDE, dtable, (i64)v * WIDTH + column, sum);
                else
                    STORE_WORD(WIDE, parts, (i64)(2 * chunk + (begin >= low)) * WIDTH + column,
                               sum);
            }
            k = to;
        }
    }
}

/* What is left of the table: rows without a token, with ADD as they are, and those whose tokens lie
 * in several chunks. */
KERNEL embedding_rows(ITEM_ARG ARG_IN(int, starts), ARG_IN(float, parts), ARG_OUT(float, dtable),
                      ARG_INT(count))
{
    OPEN_IN(int, starts);
    OPEN_IN(float, parts);
    OPEN_OUT(float, dtable);
    EACH (i, count) {
        u32 column = i % ROW_WORDS * WORD, v = i / ROW_WORDS;
        int begin = starts[v], end = starts[v + 1];
        int first = begin / CHUNK, last = (end - 1) / CHUNK;
        int is_empty = begin == end || (int)v == PADDING;
        if (is_empty ? !ADD : first < last) {
            float sum[WORD];
            UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
            if (!is_empty) {
                LOAD_WORD(WIDE, sum, parts, (i64)(2 * first + 1) * WIDTH + column);
                ADD_ROWS(sum, parts, first + 1, last + 1, column, 2 * at)
            }
            if (ADD) {
                float there[WORD];
                LOAD_WORD(WIDE, there, dtable, (i64)v * WIDTH + column);
                UNROLL for (int j = 0; j < WORD; j++) sum[j] += there[j];
            }
            STORE_WORD(WIDE, dtable, (i64)v * WIDTH + column, sum);
        }
    }
}
