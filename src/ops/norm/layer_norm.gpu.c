/* Layer normalisation (layer_norm.c says what it computes), by words (words.gpu.c).  An item holds
 * TURNS words of a row in registers, so that memory is read once.  The host side says the types of
 * what may be narrow: y (Y_T), the residual (R_T), dy (DY_T); and of how many rows the sums join in
 * one tree (ROUND). */
PARAMETERS(Y_T R_T WIDTH RESIDUAL COPY HAS_DSUM DY_T ROUND PARTS ROWS_PER_PART NEED_DX DX_SUMS)

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

/* Back a group has LANES rows at once, each of SPAN items, which hold BACK_TURNS words of it. */
#define SPAN (GROUP < ROW_WORDS ? GROUP : ROW_WORDS)
#define LANES (GROUP / SPAN)
#define BACK_TURNS ((ROW_WORDS + SPAN - 1) / SPAN)

/* What an item holds of a row: x and then the normalised n, dy and then g = dy · weight, dsum and
 * then dx. */
typedef struct row_part {
    float n[BACK_TURNS][WORD], g[BACK_TURNS][WORD], dx[BACK_TURNS][WORD];
} row_part;

/* … and of the parts of dweight, dbias and, with DX_SUMS, the sums of dx. */
typedef struct weight_part {
    float dweight[BACK_TURNS][WORD], dbias[BACK_TURNS][WORD], dx[BACK_TURNS][WORD];
} weight_part;
#define KINDS (2 + DX_SUMS)

/* The item's place in turn k, in words of a row; of a word that no row has, the first. */
DEVICE int back_word(ITEM_PARAM int k)
{
    int word = k * SPAN + LOCAL_ID % SPAN;
    return word < ROW_WORDS ? word : 0;
}

/* Does the item do anything in turn k? */
DEVICE int is_of_row(ITEM_PARAM int k)
{
    return k * SPAN + LOCAL_ID % SPAN < ROW_WORDS && LOCAL_ID < LANES * SPAN;
}

DEVICE void load_row(ITEM_PARAM GLOBAL const float *x, GLOBAL const DY_T *dy,
                     GLOBAL const float *dsum, i64 at, row_part *row)
{
    UNROLL for (int k = 0; k < BACK_TURNS; k++)
    {
        LOAD_WORD(WIDE, row->n[k], x, at + back_word(ITEM k) * WORD);
        LOAD_WORD(DY, row->g[k], dy, at + back_word(ITEM k) * WORD);
        UNROLL for (int j = 0; j < WORD; j++) row->dx[k][j] = 0.0f;
        if (HAS_DSUM) LOAD_WORD(WIDE, row->dx[k], dsum, at + back_word(ITEM k) * WORD);
    }
}

/* A row of x and dy, into both: what the item adds to the sums of g and of g · n. */
DEVICE void take_row(ITEM_PARAM row_part *row, weight_part *sums, GLOBAL const float *weight,
                     float mean, float rstd, float *sum_g, float *sum_gn)
{
    *sum_g = *sum_gn = 0.0f;
    UNROLL for (int k = 0; k < BACK_TURNS; k++)
    {
        float w[WORD];
        LOAD_WORD(WIDE, w, weight, back_word(ITEM k) * WORD);
        if (!is_of_row(ITEM k)) continue;
        UNROLL for (int j = 0; j < WORD; j++)
        {
            float n = (row->n[k][j] - mean) * rstd, dy = row->g[k][j];
            sums->dweight[k][j] += dy * n;
            sums->dbias[k][j] += dy;
            row->n[k][j] = n;
            row->g[k][j] = dy * w[j];
            *sum_g += row->g[k][j];
            *sum_gn += row->g[k][j] * n;
        }
    }
}

/* The sums of each lane, of ROUND rows, by a tree: in the place of its first item. */
DEVICE void sum_lanes(ITEM_PARAM LOCAL float *a, LOCAL float *b)
{
    BARRIER();
    for (int count = SPAN; count > 1;) {
        int upper = (count + 1) / 2;
        if (LOCAL_ID % SPAN < count - upper && LOCAL_ID < LANES * SPAN) {
            for (int at = LOCAL_ID; at < ROUND * GROUP; at += GROUP) {
                a[at] += a[at + upper];
                b[at] += b[at + upper];
            }
        }
        BARRIER();
        count = upper;
    }
}

/* The sums are of g and of g · n; adds to those of dx. */
DEVICE void make_dx(row_part *row, weight_part *sums, float sum_g, float sum_gn, float rstd)
{
    float mean_g = sum_g / (float)WIDTH, mean_gn = sum_gn / (float)WIDTH;
    UNROLL for (int i = 0; i < BACK_TURNS * WORD; i++)
    {
        int k = i / WORD, j = i % WORD;
        row->dx[k][j] += rstd * (row->g[k][j] - mean_g - row->n[k][j] * mean_gn);
        if (DX_SUMS) sums->dx[k][j] += row->dx[k][j];
    }
}

DEVICE void write_row(ITEM_PARAM GLOBAL float *dx, GLOBAL bf16 *copy, i64 at, const row_part *row)
{
    UNROLL for (int k = 0; k < BACK_TURNS; k++)
    {
        if (!is_of_row(ITEM k)) continue;
        STORE_WORD(WIDE, dx, at + back_word(ITEM k) * WORD, row->dx[k]);
        if (COPY) STORE_WORD(BRAIN, copy, at + back_word(ITEM k) * WORD, row->dx[k]);
    }
}

/* A word of each lane's sums, [WORD, GROUP], into one of the part; in the order of the lanes. */
DEVICE void write_part(ITEM_PARAM GLOBAL float *part, LOCAL float *lanes, const float *sums, int k)
{
    UNROLL for (int j = 0; j < WORD; j++) lanes[j * GROUP + LOCAL_ID] = sums[j];
    BARRIER();
    if (LOCAL_ID < SPAN && is_of_row(ITEM k)) {
        float total[WORD];
        UNROLL for (int j = 0; j < WORD; j++)
        {
            total[j] = 0.0f;
            for (int lane = 0; lane < LANES; lane++)
                total[j] += lanes[j * GROUP + lane * SPAN + LOCAL_ID];
        }
        STORE_WORD(WIDE, part, back_word(ITEM k) * WORD, total);
    }
    BARRIER();
}

/* Also the parts of dweight and, behind it, dbias and the sums of dx, of ROWS_PER_PART rows each; a
 * part a group and round.  All that is read of ROUND rows is loaded before the first is used;
 * behind the last row the first of the round is once more. */
KERNEL layer_norm_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(DY_T, dy),
                           ARG_IN(float, means), ARG_IN(float, rstds), ARG_IN(float, dsum),
                           ARG_OUT(float, dx), ARG_OUT(float, parts), ARG_OUT(bf16, copy),
                           ARG_INT(rows))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(DY_T, dy);
    OPEN_IN(float, means);
    OPEN_IN(float, rstds);
    OPEN_IN(float, dsum);
    OPEN_OUT(float, dx);
    OPEN_OUT(float, parts);
    OPEN_OUT(bf16, copy);
    LOCAL_ARRAY(float, sums_g, ROUND *GROUP);
    LOCAL_ARRAY(float, sums_gn, ROUND *GROUP);
    LOCAL_ARRAY(float, lanes, WORD *GROUP);
    int lane = LOCAL_ID / SPAN;
    for (int part = GROUP_ID; part < PARTS; part += NUM_GROUPS) {
        int end = (part + 1) * ROWS_PER_PART < rows ? (part + 1) * ROWS_PER_PART : rows;
        weight_part sums = {{{0.0f}}, {{0.0f}}, {{0.0f}}};
        for (int first = part * ROWS_PER_PART; first < end; first += ROUND * LANES) {
            row_part row[ROUND];
            float rstd[ROUND];
            UNROLL for (int r = 0; r < ROUND; r++)
            {
                int own = first + r * LANES + lane;
                load_row(ITEM x, dy, dsum, (i64)(own < end ? own : first) * WIDTH, &row[r]);
            }
            UNROLL for (int r = 0; r < ROUND; r++)
            {
                int own = first + r * LANES + lane;
                float sum_g = 0.0f, sum_gn = 0.0f, mean = means[own < end ? own : first];
                rstd[r] = rstds[own < end ? own : first];
                if (own < end)
                    take_row(ITEM & row[r], &sums, weight, mean, rstd[r], &sum_g, &sum_gn);
                sums_g[r * GROUP + LOCAL_ID] = sum_g;
                sums_gn[r * GROUP + LOCAL_ID] = sum_gn;
            }
            if (!NEED_DX) continue;
            sum_lanes(ITEM sums_g, sums_gn);
            UNROLL for (int r = 0; r < ROUND; r++)
            {
                int own = first + r * LANES + lane, of_lane = r * GROUP + lane * SPAN;
                if (own >= end) continue;
                make_dx(&row[r], &sums, sums_g[of_lane], sums_gn[of_lane], rstd[r]);
                write_row(ITEM dx, copy, (i64)own * WIDTH, &row[r]);
            }
            BARRIER();
        }
        UNROLL for (int k = 0; k < BACK_TURNS; k++)
        {
            GLOBAL float *own = parts + (i64)part * KINDS * WIDTH;
            write_part(ITEM own, lanes, sums.dweight[k], k);
            write_part(ITEM own + WIDTH, lanes, sums.dbias[k], k);
            if (DX_SUMS) write_part(ITEM own + 2 * WIDTH, lanes, sums.dx[k], k);
        }
    }
}

/* Lanes share the parts of a column, of which a group has some. */
#define JOIN_LANES 32
#define JOIN_COLUMNS 8

/* All parts [PARTS, KINDS · WIDTH] are added, and the lanes in their order. */
KERNEL layer_norm_join(ITEM_ARG ARG_IN(float, parts), ARG_OUT(float, dweight),
                       ARG_OUT(float, dbias), ARG_OUT(float, dx_sums))
{
    OPEN_IN(float, parts);
    OPEN_OUT(float, dweight);
    OPEN_OUT(float, dbias);
    OPEN_OUT(float, dx_sums);
    LOCAL_ARRAY(float, lane_sums, JOIN_LANES *JOIN_COLUMNS);
    for (int first = GROUP_ID * JOIN_COLUMNS; first < KINDS * WIDTH;
         first += NUM_GROUPS * JOIN_COLUMNS) {
        for (int i = LOCAL_ID; i < JOIN_LANES * JOIN_COLUMNS; i += GROUP) {
            int at = first + i % JOIN_COLUMNS;
            float sum = 0.0f;
            if (at < KINDS * WIDTH) {
                UNROLL_4 for (int part = i / JOIN_COLUMNS; part < PARTS; part += JOIN_LANES)
                {
                    sum += parts[(i64)part * KINDS * WIDTH + at];
                }
            }
            lane_sums[i] = sum;
        }
        BARRIER();
        for (int i = LOCAL_ID; i < JOIN_COLUMNS && first + i < KINDS * WIDTH; i += GROUP) {
            int kind = (first + i) / WIDTH, column = (first + i) % WIDTH;
            float sum = 0.0f;
            for (int lane = 0; lane < JOIN_LANES; lane++) sum += lane_sums[lane * JOIN_COLUMNS + i];
            if (kind == 0) dweight[column] = sum;
            if (kind == 1) dbias[column] = sum;
            if (kind == 2) dx_sums[column] = sum;
        }
        BARRIER();
    }
}
