/* Work of known amounts, by which a device's limits are measured: multiply-adds, reading and
 * writing, reading what stays in the cache, and next to nothing.  CHAINS: sums of an item that do
 * not wait for each other; WIDTH: elements that an item has under way. */
PARAMETERS(CHAINS WIDTH)

#define STEPS 16

KERNEL probe_arithmetic(ITEM_ARG ARG_OUT(float, y), ARG_INT(rounds), ARG_FLOAT(factor),
                        ARG_FLOAT(add))
{
    OPEN_OUT(float, y);
    float a[CHAINS], sum = 0.0f;
    UNROLL for (int c = 0; c < CHAINS; c++) a[c] = (float)(LOCAL_ID + c);
    for (int r = 0; r < rounds; r++) {
        UNROLL for (int s = 0; s < STEPS; s++)
        {
            UNROLL for (int c = 0; c < CHAINS; c++) a[c] = a[c] * factor + add;
        }
    }
    UNROLL for (int c = 0; c < CHAINS; c++) sum += a[c];
    y[GROUP_ID * GROUP + LOCAL_ID] = sum;
}

/* x [chunks, WIDTH, GROUP] in place; each group has chunks that lie side by side. */
KERNEL probe_scale(ITEM_ARG ARG_OUT(float, x), ARG_INT(chunks), ARG_FLOAT(factor))
{
    OPEN_OUT(float, x);
    int end = (int)((i64)chunks * (GROUP_ID + 1) / NUM_GROUPS);
    for (int chunk = (int)((i64)chunks * GROUP_ID / NUM_GROUPS); chunk < end; chunk++) {
        float v[WIDTH];
        int at = chunk * (WIDTH * GROUP) + LOCAL_ID;
        UNROLL for (int w = 0; w < WIDTH; w++) v[w] = x[at + w * GROUP];
        UNROLL for (int w = 0; w < WIDTH; w++) x[at + w * GROUP] = v[w] * factor;
    }
}

/* x [chunks, WIDTH, GROUP]: each group reads `rounds` chunks, from its own on, and around the end;
 * no two groups read the same at a time. */
KERNEL probe_read(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(chunks), ARG_INT(rounds))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    float v[WIDTH], sum = 0.0f;
    int chunk = (int)((i64)chunks * GROUP_ID / NUM_GROUPS);
    UNROLL for (int w = 0; w < WIDTH; w++) v[w] = 0.0f;
    for (int r = 0; r < rounds; r++) {
        int at = chunk * (WIDTH * GROUP) + LOCAL_ID;
        UNROLL for (int w = 0; w < WIDTH; w++) v[w] += x[at + w * GROUP];
        chunk = chunk + 1 == chunks ? 0 : chunk + 1;
    }
    UNROLL for (int w = 0; w < WIDTH; w++) sum += v[w];
    y[GROUP_ID * GROUP + LOCAL_ID] = sum;
}

KERNEL probe_tiny(ITEM_ARG ARG_OUT(float, y))
{
    OPEN_OUT(float, y);
    if (GROUP_ID == 0 && LOCAL_ID == 0) y[0] += 1.0f;
}
