/* Layer normalisation (layer_norm.c says what it computes): a row a group and round.  An item holds
 * TURNS elements of the row in registers, so that memory is read once. */
#define TURNS ((WIDTH + GROUP - 1) / GROUP)

KERNEL layer_norm(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(float, bias),
                  ARG_IN(float, residual), ARG_OUT(float, y), ARG_OUT(float, sum),
                  ARG_OUT(float, means), ARG_OUT(float, rstds), ARG_INT(rows), ARG_FLOAT(epsilon))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, bias);
    OPEN_IN(float, residual);
    OPEN_OUT(float, y);
    OPEN_OUT(float, sum);
    OPEN_OUT(float, means);
    OPEN_OUT(float, rstds);
    LOCAL_ARRAY(float, totals, GROUP);
    LOCAL_ARRAY(float, offs, GROUP);
    LOCAL_ARRAY(float, squares, GROUP);
    for (int row = GROUP_ID; row < rows; row += NUM_GROUPS) {
        float v[TURNS], total = 0.0f, off = 0.0f, square = 0.0f;
        i64 at = (i64)row * WIDTH;
        for (int k = 0; k < TURNS; k++) {
            int i = k * GROUP + LOCAL_ID;
            v[k] = 0.0f;
            if (i >= WIDTH) continue;
            v[k] = x[at + i];
            if (RESIDUAL) {
                v[k] += residual[at + i];
                sum[at + i] = v[k];
            }
            total += v[k];
        }
        float mean = sum_items(ITEM totals, total) / (float)WIDTH;
        for (int k = 0; k < TURNS; k++) {
            float difference = k * GROUP + LOCAL_ID < WIDTH ? v[k] - mean : 0.0f;
            off += difference;
            square += difference * difference;
        }
        sum_pairs(ITEM offs, squares, &off, &square);
        off /= (float)WIDTH;
        mean += off;
        float variance = square / (float)WIDTH - off * off;
        float rstd = 1.0f / SQRT((variance < 0.0f ? 0.0f : variance) + epsilon);
        for (int k = 0; k < TURNS; k++) {
            int i = k * GROUP + LOCAL_ID;
            if (i < WIDTH) y[at + i] = (v[k] - mean) * rstd * weight[i] + bias[i];
        }
        if (LOCAL_ID == 0) {
            means[row] = mean;
            rstds[row] = rstd;
        }
    }
}

/* Also the parts of dweight and dbias, of ROWS_A_PART rows each; a part a group and round. */
KERNEL layer_norm_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, weight), ARG_IN(float, dy),
                           ARG_IN(float, means), ARG_IN(float, rstds), ARG_IN(float, dsum),
                           ARG_OUT(float, dx), ARG_OUT(float, dweights), ARG_OUT(float, dbiases),
                           ARG_INT(rows))
{
    OPEN_IN(float, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, dy);
    OPEN_IN(float, means);
    OPEN_IN(float, rstds);
    OPEN_IN(float, dsum);
    OPEN_OUT(float, dx);
    OPEN_OUT(float, dweights);
    OPEN_OUT(float, dbiases);
    LOCAL_ARRAY(float, sums_g, GROUP);
    LOCAL_ARRAY(float, sums_gn, GROUP);
    for (int part = GROUP_ID; part < PARTS; part += NUM_GROUPS) {
        float dweight[TURNS], dbias[TURNS], n[TURNS], g[TURNS];
        for (int k = 0; k < TURNS; k++) dweight[k] = dbias[k] = n[k] = g[k] = 0.0f;
        for (int row = part * ROWS_A_PART; row < (part + 1) * ROWS_A_PART && row < rows; row++) {
            i64 at = (i64)row * WIDTH;
            float rstd = rstds[row], sum_g = 0.0f, sum_gn = 0.0f;
            for (int k = 0; k < TURNS; k++) {
                int i = k * GROUP + LOCAL_ID;
                if (i >= WIDTH) continue;
                n[k] = (x[at + i] - means[row]) * rstd;
                g[k] = dy[at + i] * weight[i];
                dweight[k] += dy[at + i] * n[k];
                dbias[k] += dy[at + i];
                sum_g += g[k];
                sum_gn += g[k] * n[k];
            }
            if (!NEED_DX) continue;
            sum_pairs(ITEM sums_g, sums_gn, &sum_g, &sum_gn);
            for (int k = 0; k < TURNS; k++) {
                int i = k * GROUP + LOCAL_ID;
                if (i >= WIDTH) continue;
                float value = rstd * (g[k] - sum_g / (float)WIDTH - n[k] * (sum_gn / (float)WIDTH));
                dx[at + i] = HAS_DSUM ? value + dsum[at + i] : value;
            }
            BARRIER();
        }
        for (int k = 0; k < TURNS; k++) {
            int i = k * GROUP + LOCAL_ID;
            if (i >= WIDTH) continue;
            dweights[(i64)part * WIDTH + i] = dweight[k];
            dbiases[(i64)part * WIDTH + i] = dbias[k];
        }
    }
}
