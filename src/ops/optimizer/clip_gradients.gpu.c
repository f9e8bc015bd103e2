/* Clipping by the norm (clip_gradients.c says what it computes): squares of chunks, by a tree over
 * the items of one group, and the sum of those by one group. */
PARAMETERS(SUM_PART)

#define SQUARES(v)                                               \
    ((v[0] * v[0] + v[1] * v[1] + (v[2] * v[2] + v[3] * v[3])) + \
     (v[4] * v[4] + v[5] * v[5] + (v[6] * v[6] + v[7] * v[7])))

#define WIDE_TYPE F32

/* An item adds up SUM_PART squares before it adds that to what it has.  The block lies at 16 bytes,
 * and `chunk` divides by 8. */
KERNEL square_chunks(ITEM_ARG ARG_IN(float, gradients), ARG_OUT(float, parts), ARG_INT(count),
                     ARG_INT(chunk), ARG_INT(chunks))
{
    OPEN_IN(float, gradients);
    OPEN_OUT(float, parts);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int k = GROUP_ID; k < chunks; k += NUM_GROUPS) {
        GLOBAL const float *g = gradients + (i64)k * chunk;
        int rest = count - k * chunk, here = rest < chunk ? rest : chunk;
        float sum = 0.0f;
        for (int i = 8 * LOCAL_ID; i < here;) {
            float part = 0.0f;
            for (int n = 0; n < SUM_PART && i < here; n += 8, i += 8 * LOCAL_SIZE) {
                float v[8] = {0};
                if (i + 8 <= here) {
                    LOAD_8(WIDE, v, g, i);
                } else {
                    for (int j = 0; i + j < here; j++) v[j] = g[i + j];
                }
                part += SQUARES(v);
            }
            sum += part;
        }
        add_items(ITEM sums, sum);
        if (LOCAL_ID == 0) parts[k] = sums[0];
    }
}

/* One group. */
KERNEL find_factor(ITEM_ARG ARG_IN(float, parts), ARG_IN(int, clock), ARG_OUT(float, norm_log),
                   ARG_OUT(float, factor), ARG_INT(chunks), ARG_INT(log_length), ARG_FLOAT(limit))
{
    OPEN_IN(float, parts);
    OPEN_IN(int, clock);
    OPEN_OUT(float, norm_log);
    OPEN_OUT(float, factor);
    LOCAL_ARRAY(float, sums, GROUP);
    float sum = 0.0f;
    for (int k = LOCAL_ID; k < chunks; k += LOCAL_SIZE) sum += parts[k];
    add_items(ITEM sums, sum);
    if (LOCAL_ID == 0) {
        float norm = SQRT(sums[0]), ratio = limit / (norm + 1e-6f);
        norm_log[(u32)clock[0] % (u32)log_length] = norm;
        factor[0] = ratio >= 1.0f ? 1.0f : ratio;
    }
}
