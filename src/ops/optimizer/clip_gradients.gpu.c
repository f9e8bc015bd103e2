/* Clipping by the norm (clip_gradients.c says what it computes): squares of chunks, by a tree over
 * the items of one group; the sum of those by one group; and all gradients once more. */
PARAMETERS(CHUNK)

#define SUM_PART 64 /* numbers that an item adds up before it adds that to what it has */

KERNEL square_chunks(ITEM_ARG ARG_IN(float, gradients), ARG_OUT(float, parts), ARG_INT(count),
                     ARG_INT(chunks))
{
    OPEN_IN(float, gradients);
    OPEN_OUT(float, parts);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int k = GROUP_ID; k < chunks; k += NUM_GROUPS) {
        GLOBAL const float *g = gradients + (i64)k * CHUNK;
        int rest = count - k * CHUNK, here = rest < CHUNK ? rest : CHUNK;
        float sum = 0.0f;
        for (int i = LOCAL_ID; i < here;) {
            float part = 0.0f;
            for (int n = 0; n < SUM_PART && i < here; n++, i += LOCAL_SIZE) part += g[i] * g[i];
            sum += part;
        }
        add_items(ITEM sums, sum);
        if (LOCAL_ID == 0) parts[k] = sums[0];
    }
}

/* One group. */
KERNEL find_factor(ITEM_ARG ARG_IN(float, parts), ARG_IN(int, clock), ARG_OUT(float, norm_log),
                   ARG_OUT(float, factor), ARG_INT(chunks), ARG_INT(log_length), ARG_FLOAT(most))
{
    OPEN_IN(float, parts);
    OPEN_IN(int, clock);
    OPEN_OUT(float, norm_log);
    OPEN_OUT(float, factor);
    LOCAL_ARRAY(float, sums, GROUP);
    float sum = 0.0f;
    for (int k = LOCAL_ID; k < chunks;) {
        float part = 0.0f;
        for (int n = 0; n < SUM_PART && k < chunks; n++, k += LOCAL_SIZE) part += parts[k];
        sum += part;
    }
    add_items(ITEM sums, sum);
    if (LOCAL_ID == 0) {
        float norm = SQRT(sums[0]);
        norm_log[(u32)clock[0] % (u32)log_length] = norm;
        factor[0] = most / (norm + 1e-6f);
    }
}

KERNEL scale_gradients(ITEM_ARG ARG_IN(float, factor), ARG_OUT(float, gradients), ARG_INT(count))
{
    OPEN_IN(float, factor);
    OPEN_OUT(float, gradients);
    float scale = factor[0];
    if (scale >= 1.0f) return;
    EACH (i, count) gradients[i] *= scale;
}
