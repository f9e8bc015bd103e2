/* Rows of a table of ROWS rows of WIDTH (embedding.c says what is computed). */
PARAMETERS(WIDTH ROWS PADDING ADD)

/* Sorted tokens that an item adds. */
#define CHUNK 8

/* A word of a row an item and round. */
KERNEL embedding(ITEM_ARG ARG_IN(int, tokens), ARG_IN(float, table), ARG_OUT(float, y),
                 ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_IN(float, table);
    OPEN_OUT(float, y);
    EACH (i, count) {
        u32 column = i % ROW_WORDS * WORD;
        int token = tokens[i / ROW_WORDS];
        float v[WORD];
        UNROLL for (int j = 0; j < WORD; j++) v[j] = F32_NAN;
        if (token >= 0 && token < (int)ROWS) {
            LOAD_WORD(WIDE, v, table, (i64)token * WIDTH + column);
        }
        STORE_WORD(WIDE, y, (i64)(i / ROW_WORDS) * WIDTH + column, v);
    }
}

/* Back, the tokens are sorted first, equal ones in their order: a group finds the places of RANKS
 * of them by counting those before each.  What has no row comes last, as ROWS. */
#define RANKS 8

KERNEL embedding_sort(ITEM_ARG ARG_IN(int, tokens), ARG_OUT(int, sorted), ARG_OUT(int, order),
                      ARG_INT(count))
{
    OPEN_IN(int, tokens);
    OPEN_OUT(int, sorted);
    OPEN_OUT(int, order);
    LOCAL_ARRAY(int, counts, RANKS *GROUP);
    for (int n = GROUP_ID * RANKS; n < count; n += NUM_GROUPS * RANKS) {
        int token[RANKS], before[RANKS];
        UNROLL for (int r = 0; r < RANKS; r++)
        {
            int id = n + r < count ? tokens[n + r] : -1;
            token[r] = id >= 0 && id < (int)ROWS ? id : (int)ROWS;
            before[r] = 0;
        }
        UNROLL_4 for (int m = LOCAL_ID; m < count; m += LOCAL_SIZE)
        {
            int other = tokens[m] >= 0 && tokens[m] < (int)ROWS ? tokens[m] : (int)ROWS;
            UNROLL for (int r = 0; r < RANKS; r++) before[r] += other < token[r] + (m < n + r);
        }
        UNROLL for (int r = 0; r < RANKS; r++) counts[r * GROUP + LOCAL_ID] = before[r];
        TREE(UNROLL for (int r = 0; r < RANKS; r++) counts[r * GROUP + own] +=
             counts[r * GROUP + other];)
        for (int r = 0; LOCAL_ID == 0 && r < RANKS && n + r < count; r++) {
            sorted[counts[r * GROUP]] = token[r];
            order[counts[r * GROUP]] = n + r;
        }
    }
}

/* All of the table, before rows with tokens are written: most have none. */
KERNEL embedding_clear(ITEM_ARG ARG_OUT(float, dtable), ARG_INT(count))
{
    OPEN_OUT(float, dtable);
    EACH (k, ((u32)count + 3u) / 4u) {
        float none[4] = {0};
        if (4u * k + 4u <= (u32)count) {
            STORE_4(WIDE, dtable, 4u * k, none);
        } else {
            for (u32 i = 4u * k; i < (u32)count; i++) dtable[i] = 0.0f;
        }
    }
}

/* Rows that are fetched before they are added. */
#define BATCH 8

DEVICE int has_row(int token)
{
    return token < (int)ROWS && token != PADDING;
}

/* By words (words.gpu.c): the sums of CHUNK sorted tokens.  A token whose places all lie in the
 * chunk has its row, with ADD added to what is there; of one that goes beyond, the sum here is a
 * part: parts[2c] of the token that came in from before chunk c, parts[2c + 1] of one that begins
 * there and goes on. */
KERNEL embedding_chunks(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, sorted), ARG_IN(int, order),
                        ARG_OUT(float, dtable), ARG_OUT(float, parts), ARG_INT(tokens),
                        ARG_INT(count))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, sorted);
    OPEN_IN(int, order);
    OPEN_OUT(float, dtable);
    OPEN_OUT(float, parts);
    EACH (i, count) {
        u32 column = i % ROW_WORDS * WORD;
        int chunk = (int)(i / ROW_WORDS), low = chunk * CHUNK;
        int high = low + CHUNK < tokens ? low + CHUNK : tokens;
        int begins = low == 0 || sorted[low - 1] != sorted[low];
        float sum[WORD];
        UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
        for (int first = low; first < high; first += BATCH) {
            float part[BATCH][WORD], there[BATCH][WORD];
            int token[BATCH + 1];
            UNROLL for (int b = 0; b <= BATCH; b++)
            {
                token[b] = first + b < tokens ? sorted[first + b] : -1;
            }
            UNROLL for (int b = 0; b < BATCH; b++)
            {
                UNROLL for (int j = 0; j < WORD; j++) part[b][j] = there[b][j] = 0.0f;
                if (first + b < high && has_row(token[b])) {
                    LOAD_WORD(WIDE, part[b], dy, (i64)order[first + b] * WIDTH + column);
                    if (ADD && token[b + 1] != token[b])
                        LOAD_WORD(WIDE, there[b], dtable, (i64)token[b] * WIDTH + column);
                }
            }
            UNROLL for (int b = 0; b < BATCH; b++)
            {
                int ends = token[b + 1] != token[b];
                UNROLL for (int j = 0; j < WORD; j++) sum[j] += part[b][j];
                if (first + b < high && (ends || first + b + 1 == high)) {
                    UNROLL for (int j = 0; j < WORD; j++) there[b][j] += sum[j];
                    if (has_row(token[b]) && begins && ends)
                        STORE_WORD(WIDE, dtable, (i64)token[b] * WIDTH + column, there[b]);
                    else if (has_row(token[b]))
                        STORE_WORD(WIDE, parts, (i64)(2 * chunk + begins) * WIDTH + column, sum);
                    UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
                    begins = 1;
                }
            }
        }
    }
}

/* A group of the join has a strip of words, and several lanes that share the parts of a row. */
#define JOIN_STRIP 16
#define JOIN_LANES 16
#define JOIN_ITEMS (JOIN_STRIP * JOIN_LANES)
#define STRIPS ((ROW_WORDS + JOIN_STRIP - 1) / JOIN_STRIP)

/* The sum of a word of the parts that a lane has of the token which begins in this chunk and goes
 * on: of all, from the first on, each JOIN_LANES-th. */
DEVICE void sum_lane(GLOBAL const int *sorted, GLOBAL const float *parts, int chunk, int chunks,
                     int lane, u32 column, float *sum)
{
    int token = sorted[(chunk + 1) * CHUNK];
    UNROLL for (int j = 0; j < WORD; j++) sum[j] = 0.0f;
    for (int first = lane, goes_on = 1; goes_on; first += BATCH * JOIN_LANES) {
        float part[BATCH][WORD];
        UNROLL for (int b = 0; b < BATCH; b++)
        {
            int k = first + b * JOIN_LANES, c = chunk + k;
            goes_on = k == 0 || (c < chunks && sorted[c * CHUNK] == token);
            UNROLL for (int j = 0; j < WORD; j++) part[b][j] = 0.0f;
            if (goes_on) LOAD_WORD(WIDE, part[b], parts, (i64)(2 * c + (k == 0)) * WIDTH + column);
        }
        UNROLL for (int b = 0; b < BATCH; b++)
        {
            UNROLL for (int j = 0; j < WORD; j++) sum[j] += part[b][j];
        }
    }
}

/* The rows of tokens that lie in several chunks, each by the groups of the chunk where it begins.
 * The lanes are added in their order.  Two places for their sums take turns, so that no item
 * overwrites what another one of the group still reads. */
KERNEL embedding_join(ITEM_ARG ARG_IN(int, sorted), ARG_IN(float, parts), ARG_OUT(float, dtable),
                      ARG_INT(tokens), ARG_INT(chunks))
{
    OPEN_IN(int, sorted);
    OPEN_IN(float, parts);
    OPEN_OUT(float, dtable);
    LOCAL_ARRAY(float, places, 2 * JOIN_ITEMS * WORD);
    for (int tile = GROUP_ID, turn = 0; tile < chunks * (int)STRIPS;
         tile += NUM_GROUPS, turn = 1 - turn) {
        int chunk = tile / (int)STRIPS, first_word = tile % (int)STRIPS * JOIN_STRIP;
        int low = chunk * CHUNK, high = low + CHUNK, place = turn * (JOIN_ITEMS * WORD);
        int token = high < tokens ? sorted[high] : (int)ROWS;
        int begins = low == 0 || sorted[low - 1] != token;
        int joins = has_row(token) && begins && sorted[high - 1] == token;
        for (int i = LOCAL_ID; joins && i < JOIN_ITEMS; i += GROUP) {
            int word = first_word + i % JOIN_STRIP;
            float sum[WORD];
            if (word < (int)ROW_WORDS) {
                sum_lane(sorted, parts, chunk, chunks, i / JOIN_STRIP, (u32)word * WORD, sum);
                UNROLL for (int j = 0; j < WORD; j++) places[place + j * JOIN_ITEMS + i] = sum[j];
            }
        }
        BARRIER();
        for (int i = LOCAL_ID; joins && i < JOIN_STRIP * WORD; i += GROUP) {
            i64 at = (i64)token * WIDTH + first_word * WORD + i;
            int from = place + i % WORD * JOIN_ITEMS + i / WORD;
            float sum = 0.0f;
            if (first_word + i / WORD < (int)ROW_WORDS) {
                for (int lane = 0; lane < JOIN_LANES; lane++)
                    sum += places[from + lane * JOIN_STRIP];
                dtable[at] = ADD ? dtable[at] + sum : sum;
            }
        }
    }
}
