/* x [rows, channels, pixels] -> y [channels]: a channel per group and round.  The host side says
 * the type of x (X_T). */
PARAMETERS(X_T)

#define PART 64 /* elements that are added up before they join the sum, which keeps its digits */

KERNEL sum_rows(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(float, y), ARG_INT(rows), ARG_INT(channels),
                ARG_INT(pixels))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(float, y);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int c = GROUP_ID; c < channels; c += NUM_GROUPS) {
        float sum = 0.0f, part = 0.0f;
        int parts = 0;
        for (int i = LOCAL_ID; i < rows * pixels; i += LOCAL_SIZE) {
            part += LOAD(X, x, ((i64)(i / pixels) * channels + c) * pixels + i % pixels);
            if (++parts % PART == 0) {
                sum += part;
                part = 0.0f;
            }
        }
        sum += part;
        sums[LOCAL_ID] = sum;
        BARRIER();
        for (int count = LOCAL_SIZE; count > 1;) {
            int upper = (count + 1) / 2;
            if (LOCAL_ID < count - upper) sums[LOCAL_ID] += sums[LOCAL_ID + upper];
            BARRIER();
            count = upper;
        }
        if (LOCAL_ID == 0) y[c] = sums[0];
    }
}
