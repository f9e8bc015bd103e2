/* Layer normalisation (layer_norm.c says what it computes), by words (words.gpu.c).  An item holds
 * TURNS words of a row in registers, so that memory is read once.  The host side says the types of
 * what may be narrow: y (Y_T), the residual (R_T), dy (DY_T); and of how many rows the sums join in
 * one tree (ROUND). */
#define TURNS ((ROW_WORDS + GROUP - 1) / GROUP)

/* A row a group and round. */
KERNEL layer_norm(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(float, bias),
                  ARG_IN(R_T, residual), ARG_OUT(Y_T, y), ARG_OUT(float, sum),
                  ARG_OUT(float, means), ARG_OUT(float, rstds), ARG_INT(rows), ARG_FLOAT(epsilon))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, bias);
    OPEN_IN(R_T, residual);
    OPEN_OUT(Y_T, y);
    OPEN_OUT(float, sum);
    OPEN_OUT(float, means);
    OPEN_OUT(float, rstds);
    LOCAL_ARRAY(float, totals, GROUP);
    LOCAL_ARRAY(float, offs, GROUP);
    LOCAL_ARRAY(float, squares, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        float v[TURNS][WORD], total = 0.0f, off = 0.0f, square = 0.0f;
        i64 at = (i64)row * WIDTH;
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            int word = k * GROUP + LOCAL_ID;
            UNROLL for (int j = 0; j < WORD; j++) v[k][j] = 0.0f;
            if (word >= ROW_WORDS) continue;
            LOAD_WORD(WIDE, v[k], x, at + word * WORD);
            if (RESIDUAL) {
                float r[WORD];
                LOAD_WORD(R, r, residual, at + word * WORD);
                UNROLL for (int j = 0; j < WORD; j++) v[k][j] += r[j];
                STORE_WORD(WIDE, sum, at + word * WORD, v[k]);
            }
            UNROLL for (int j = 0; j < WORD; j++) total += v[k][j];
        }
        float mean = sum_items(ITEM totals, total) / (float)WIDTH;
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            int is_there = k * GROUP + LOCAL_ID < ROW_WORDS;
            UNROLL for (int j = 0; j < WORD; j++)
            {
                float difference = is_there ? v[k][j] - mean : 0.0f;
                off += difference;
                square += difference * difference;
            }
        }
        sum_pairs(ITEM offs, squares, &off, &square);
        off /= (float)WIDTH;
        mean += off;
        float variance = square / (float)WIDTH - off * off;
        float rstd = 1.0f / SQRT((variance < 0.0f ? 0.0f : variance) + epsilon);
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            int word = k * GROUP + LOCAL_ID;
            float w[WORD], b[WORD];
            if (word >= ROW_WORDS) continue;
            LOAD_WORD(WIDE, w, weight, word * WORD);
            LOAD_WORD(WIDE, b, bias, word * WORD);
            UNROLL for (int j = 0; j < WORD; j++) w[j] = (v[k][j] - mean) * rstd * w[j] + b[j];
            STORE_WORD(Y, y, at + word * WORD, w);
        }
        if (LOCAL_ID == 0) {
            means[row] = mean;
            rstds[row] = rstd;
        }
    }
}

/* Also the parts of dweight and dbias, of ROWS_A_PART rows each; a part a group and round. */
KERNEL layer_norm_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(DY_T, dy),
                           ARG_IN(float, means), ARG_IN(float, rstds), ARG_IN(float, dsum),
                           ARG_OUT(float, dx), ARG_OUT(float, dweights), ARG_OUT(float, dbiases),
                           ARG_INT(rows))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(DY_T, dy);
    OPEN_IN(float, means);
    OPEN_IN(float, rstds);
    OPEN_IN(float, dsum);
    OPEN_OUT(float, dx);
    OPEN_OUT(float, dweights);
    OPEN_OUT(float, dbiases);
    LOCAL_ARRAY(float, sums_g, ROUND *GROUP);
    LOCAL_ARRAY(float, sums_gn, ROUND *GROUP);
    for (int part = GROUP_ID; part < PARTS; part += NUM_GROUPS) {
        int end = (part + 1) * ROWS_A_PART < rows ? (part + 1) * ROWS_A_PART : rows;
        float dweight[TURNS][WORD], dbias[TURNS][WORD];
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            UNROLL for (int j = 0; j < WORD; j++) dweight[k][j] = dbias[k][j] = 0.0f;
        }
        for (int first = part * ROWS_A_PART; first < end; first += ROUND) {
            float n[ROUND][TURNS][WORD], g[ROUND][TURNS][WORD];
            UNROLL for (int r = 0; r < ROUND; r++)
            {
                float sum_g = 0.0f, sum_gn = 0.0f;
                UNROLL for (int k = 0; k < TURNS; k++)
                {
                    int word = k * GROUP + LOCAL_ID;
                    float w[WORD];
                    if (first + r >= end || word >= ROW_WORDS) continue;
                    i64 at = (i64)(first + r) * WIDTH + word * WORD;
                    LOAD_WORD(WIDE, w, weight, word * WORD);
                    LOAD_WORD(WIDE, n[r][k], x, at);
                    LOAD_WORD(DY, g[r][k], dy, at);
                    UNROLL for (int j = 0; j < WORD; j++)
                    {
                        n[r][k][j] = (n[r][k][j] - means[first + r]) * rstds[first + r];
                        dweight[k][j] += g[r][k][j] * n[r][k][j];
                        dbias[k][j] += g[r][k][j];
                        g[r][k][j] *= w[j];
                        sum_g += g[r][k][j];
                        sum_gn += g[r][k][j] * n[r][k][j];
                    }
                }
                sums_g[r * GROUP + LOCAL_ID] = sum_g;
                sums_gn[r * GROUP + LOCAL_ID] = sum_gn;
            }
            if (!NEED_DX) continue;
            TREE(for (int at = 0; at < ROUND * GROUP; at += GROUP) {
                sums_g[at + own] += sums_g[at + other];
                sums_gn[at + own] += sums_gn[at + other];
            })
            UNROLL for (int r = 0; r < ROUND; r++)
            {
                float mean_g = sums_g[r * GROUP] / (float)WIDTH;
                float mean_gn = sums_gn[r * GROUP] / (float)WIDTH;
                UNROLL for (int k = 0; k < TURNS; k++)
                {
                    int word = k * GROUP + LOCAL_ID;
                    float more[WORD];
                    if (first + r >= end || word >= ROW_WORDS) continue;
                    i64 at = (i64)(first + r) * WIDTH + word * WORD;
                    if (HAS_DSUM) LOAD_WORD(WIDE, more, dsum, at);
                    UNROLL for (int j = 0; j < WORD; j++)
                    {
                        float value = g[r][k][j] - mean_g - n[r][k][j] * mean_gn;
                        more[j] = rstds[first + r] * value + (HAS_DSUM ? more[j] : 0.0f);
                    }
                    STORE_WORD(WIDE, dx, at, more);
                }
            }
            BARRIER();
        }
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            int word = k * GROUP + LOCAL_ID;
            if (word >= ROW_WORDS) continue;
            STORE_WORD(WIDE, dweights, (i64)part * WIDTH + word * WORD, dweight[k]);
            STORE_WORD(WIDE, dbiases, (i64)part * WIDTH + word * WORD, dbias[k]);
        }
    }
}
