/* Symmetric cross-entropy (symmetric_cross_entropy.c says what it computes): a group for each line,
 * the rows first and then the columns; the sums of the lines by one group; and the gradient. */

/* Of each line its largest logit, the sum of exp(logit − that), and whether the largest is right.
 */
KERNEL symmetric_lines(ITEM_ARG ARG_IN(float, logits), ARG_OUT(float, line_max),
                       ARG_OUT(float, line_sum), ARG_OUT(int, line_right), ARG_INT(count))
{
    OPEN_IN(float, logits);
    OPEN_OUT(float, line_max);
    OPEN_OUT(float, line_sum);
    OPEN_OUT(int, line_right);
    LOCAL_ARRAY(float, tops, GROUP);
    LOCAL_ARRAY(int, places, GROUP);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int k = GROUP_ID; k < 2 * count; k += NUM_GROUPS) {
        int at = k < count ? k : k - count, step = k < count ? 1 : count;
        GLOBAL const float *x = logits + (k < count ? at * count : at);
        float top = x[0], sum = 0.0f;
        int place = 0;
        for (int i = LOCAL_ID; i < count; i += LOCAL_SIZE)
            if (x[i * step] > top) {
                top = x[i * step];
                place = i;
            }
        find_largest(ITEM tops, places, top, place);
        float max = tops[0];
        for (int i = LOCAL_ID; i < count; i += LOCAL_SIZE) sum += EXP(x[i * step] - max);
        sum = sum_items(ITEM sums, sum);
        if (LOCAL_ID == 0) {
            line_max[k] = max;
            line_sum[k] = sum;
            line_right[k] = places[0] == at;
        }
    }
}

/* One group: the loss, and the right ones of rows (`first`) and of columns. */
KERNEL symmetric_sum(ITEM_ARG ARG_IN(float, logits), ARG_IN(float, line_max),
                     ARG_IN(float, line_sum), ARG_IN(int, line_right), ARG_OUT(float, loss),
                     ARG_OUT(int, first), ARG_OUT(int, second), ARG_INT(count))
{
    OPEN_IN(float, logits);
    OPEN_IN(float, line_max);
    OPEN_IN(float, line_sum);
    OPEN_IN(int, line_right);
    OPEN_OUT(float, loss);
    OPEN_OUT(int, first);
    OPEN_OUT(int, second);
    LOCAL_ARRAY(float, sums, GROUP);
    LOCAL_ARRAY(int, counts, GROUP);
    for (int side = 0; side < 2; side++) {
        float sum = 0.0f;
        int right = 0;
        for (int i = LOCAL_ID; i < count; i += LOCAL_SIZE) {
            int k = side * count + i;
            sum += LOG(line_sum[k]) - (logits[i * count + i] - line_max[k]);
            right += line_right[k];
        }
        sum_and_count(ITEM sums, counts, sum, right);
        if (LOCAL_ID == 0) {
            float share = 0.5f / (float)count;
            if (side == 0) {
                loss[0] = sums[0] * share;
                first[0] = counts[0];
            } else {
                loss[0] += sums[0] * share;
                second[0] = counts[0];
            }
        }
    }
}

KERNEL symmetric_gradient(ITEM_ARG ARG_IN(float, logits), ARG_IN(float, line_max),
                          ARG_IN(float, line_sum), ARG_OUT(float, dlogits), ARG_INT(count))
{
    OPEN_IN(float, logits);
    OPEN_IN(float, line_max);
    OPEN_IN(float, line_sum);
    OPEN_OUT(float, dlogits);
    float share = 0.5f / (float)count;
    EACH (e, count * count) {
        int i = (int)(e / (u32)count), j = (int)(e % (u32)count), column = count + j;
        float x = logits[e];
        float both =
            EXP(x - line_max[i]) / line_sum[i] + EXP(x - line_max[column]) / line_sum[column];
        dlogits[e] = (both - (i == j ? 2.0f : 0.0f)) * share;
    }
}
