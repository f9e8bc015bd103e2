/* Layer normalisation (layer_norm.c says what it computes), by words (words.gpu.c).  An item holds
 * TURNS words of a row in registers, so that memory is read once.  The host side says the types of
 * what may be narrow: y (Y_T), the residual (R_T), dy (DY_T); and of how many rows the sums join in
 * one tree (ROUND). */
PARAMETERS(Y_T R_T WIDTH RESIDUAL COPY HAS_DSUM DY_T ROUND PARTS ROWS_A_PART NEED_DX)

#define BRAIN_TYPE BF16

#define TURNS ((ROW_WORDS + GROUP - 1) / GROUP)

/* A word of y and its copy, of the normalised n. */
DEVICE void write_word(GLOBAL Y_T *y, GLOBAL bf16 *copy, GLOBAL const float *weight,
                       GLOBAL const float *bias, int word, float *n)
{
    float w[WORD], b[WORD];
    LOAD_WORD(WIDE, w, weight, word * WORD);
    LOAD_WORD(WIDE, b, bias, word * WORD);
    UNROLL for (int j = 0; j < WORD; j++) w[j] = n[j] * w[j] + b[j];
    STORE_WORD(Y, y, word * WORD, w);
    if (COPY) STORE_WORD(BRAIN, copy, word * WORD, w);
}

/* The sums over what the item has of a row, of differences from the mean and of their squares. */
DEVICE void add_differences(ITEM_PARAM float (*v)[WORD], float mean, float *sum, float *squares)
{
    UNROLL for (int i = 0; i < TURNS * WORD; i++)
    {
        int is_there = i / WORD * GROUP + LOCAL_ID < ROW_WORDS;
        float difference = is_there ? v[i / WORD][i % WORD] - mean : 0.0f;
        *sum += difference;
        *squares += difference * difference;
    }
}

/* A row a group and round. */
KERNEL layer_norm(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(float, bias),
                  ARG_IN(R_T, residual), ARG_OUT(Y_T, y), ARG_OUT(float, sum),
                  ARG_OUT(float, means), ARG_OUT(float, rstds), ARG_OUT(bf16, copy), ARG_INT(rows),
                  ARG_FLOAT(epsilon))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, bias);
    OPEN_IN(R_T, residual);
    OPEN_OUT(Y_T, y);
    OPEN_OUT(float, sum);
    OPEN_OUT(float, means);
    OPEN_OUT(float, rstds);
    OPEN_OUT(bf16, copy);
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
        add_differences(ITEM v, mean, &off, &square);
        sum_pairs(ITEM offs, squares, &off, &square);
        off /= (float)WIDTH;
        mean += off;
        float variance = square / (float)WIDTH - off * off;
        float rstd = 1.0f / SQRT((variance < 0.0f ? 0.0f : variance) + epsilon);
        UNROLL for (int k = 0; k < TURNS; k++)
        {
            int word = k * GROUP + LOCAL_ID;
            UNROLL for (int j = 0; j < WORD; j++) v[k][j] = (v[k][j] - mean) * rstd;
            if (word < ROW_WORDS)
                write_word(y + at, COPY ? copy + at : copy, weight, bias, word, v[k]);
        }
        if (LOCAL_ID == 0) {
            means[row] = mean;
            rstds[row] = rstd;
        }
    }
}

/* What an item holds of a row of the backward: the normalised n, and g = dy · weight. */
typedef struct row_part {
    float n[TURNS][WORD], g[TURNS][WORD], sum_g, sum_gn;
} row_part;

/* … and of the parts of dweight and dbias. */
typedef struct weight_part {
    float dweight[TURNS][WORD], dbias[TURNS][WORD];
} weight_part;

/* A word of a row of x and dy, into both. */
DEVICE void take_word(row_part *row, weight_part *sums, int k, float mean, float rstd,
                      const float *w)
{
    UNROLL for (int j = 0; j < WORD; j++)
    {
        float n = (row->n[k][j] - mean) * rstd, dy = row->g[k][j];
        sums->dweight[k][j] += dy * n;
        sums->dbias[k][j] += dy;
        row->n[k][j] = n;
        row->g[k][j] = dy * w[j];
        row->sum_g += row->g[k][j];
        row->sum_gn += row->g[k][j] * n;
    }
}

/* The sums are of g and of g · n. */
DEVICE void write_dx(GLOBAL float *dx, GLOBAL bf16 *copy, GLOBAL const float *dsum,
                     const row_part *row, int k, LOCAL const float *sum_g,
                     LOCAL const float *sum_gn, float rstd)
{
    float v[WORD], mean_g = *sum_g / (float)WIDTH, mean_gn = *sum_gn / (float)WIDTH;
    UNROLL for (int j = 0; j < WORD; j++) v[j] = 0.0f;
    if (HAS_DSUM) LOAD_WORD(WIDE, v, dsum, 0);
    UNROLL for (int j = 0; j < WORD; j++)
    {
        v[j] += rstd * (row->g[k][j] - mean_g - row->n[k][j] * mean_gn);
    }
    STORE_WORD(WIDE, dx, 0, v);
    if (COPY) STORE_WORD(BRAIN, copy, 0, v);
}

DEVICE void write_part(ITEM_PARAM GLOBAL float *parts, int part, float (*sums)[WORD])
{
    UNROLL for (int k = 0; k < TURNS; k++)
    {
        int word = k * GROUP + LOCAL_ID;
        if (word < ROW_WORDS) STORE_WORD(WIDE, parts, (i64)part * WIDTH + word * WORD, sums[k]);
    }
}

/* Also the parts of dweight and dbias, of ROWS_A_PART rows each; a part a group and round. */
KERNEL layer_norm_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(DY_T, dy),
                           ARG_IN(float, means), ARG_IN(float, rstds), ARG_IN(float, dsum),
                           ARG_OUT(float, dx), ARG_OUT(float, dweights), ARG_OUT(float, dbiases),
                           ARG_OUT(bf16, copy), ARG_INT(rows))
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
    OPEN_OUT(bf16, copy);
    LOCAL_ARRAY(float, sums_g, ROUND *GROUP);
    LOCAL_ARRAY(float, sums_gn, ROUND *GROUP);
    for (int part = GROUP_ID; part < PARTS; part += NUM_GROUPS) {
        int end = (part + 1) * ROWS_A_PART < rows ? (part + 1) * ROWS_A_PART : rows;
        weight_part sums;
        UNROLL for (int i = 0; i < TURNS * WORD; i++)
        {
            sums.dweight[i / WORD][i % WORD] = sums.dbias[i / WORD][i % WORD] = 0.0f;
        }
        for (int first = part * ROWS_A_PART; first < end; first += ROUND) {
            row_part row[ROUND];
            UNROLL for (int i = 0; i < ROUND * TURNS; i++)
            {
                int r = i / TURNS, k = i % TURNS, word = k * GROUP + LOCAL_ID;
                i64 at = (i64)(first + r) * WIDTH + word * WORD;
                if (k == 0) row[r].sum_g = row[r].sum_gn = 0.0f;
                if (first + r < end && word < ROW_WORDS) {
                    float w[WORD];
                    LOAD_WORD(WIDE, w, weight, word * WORD);
                    LOAD_WORD(WIDE, row[r].n[k], x, at);
                    LOAD_WORD(DY, row[r].g[k], dy, at);
                    take_word(&row[r], &sums, k, means[first + r], rstds[first + r], w);
                }
                sums_g[r * GROUP + LOCAL_ID] = row[r].sum_g;
                sums_gn[r * GROUP + LOCAL_ID] = row[r].sum_gn;
            }
            if (!NEED_DX) continue;
            TREE(for (int at = 0; at < ROUND * GROUP; at += GROUP) {
                sums_g[at + own] += sums_g[at + other];
                sums_gn[at + own] += sums_gn[at + other];
            })
            UNROLL for (int i = 0; i < ROUND * TURNS; i++)
            {
                int r = i / TURNS, k = i % TURNS, word = k * GROUP + LOCAL_ID;
                i64 at = (i64)(first + r) * WIDTH + word * WORD;
                if (first + r < end && word < ROW_WORDS)
                    write_dx(dx + at, COPY ? copy + at : copy, HAS_DSUM ? dsum + at : dsum, &row[r],
                             k, sums_g + r * GROUP, sums_gn + r * GROUP, rstds[first + r]);
            }
            BARRIER();
        }
        write_part(ITEM dweights, part, sums.dweight);
        write_part(ITEM dbiases, part, sums.dbias);
    }
}
