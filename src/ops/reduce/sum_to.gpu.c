/* Sums over any dimensions.  Of an element of y the parts are summed first, PARTS of them, each by
 * an item of its own; then they join.  x's dimensions are WIDE0 … WIDE3; y keeps KEPT0 … KEPT3 of
 * them (else 1) and sums over MANY0 … MANY3 (else 1). */
PARAMETERS(PARTS KEPT3 KEPT2 KEPT1 WIDE1 WIDE2 WIDE3 MANY0 MANY1 MANY2 MANY3 KEPT0)

KERNEL sum_to_parts(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, parts), ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, parts);
    EACH (i, count) {
        u32 o = i / PARTS, l = o % KEPT3, k = o / KEPT3 % KEPT2, j = o / (KEPT3 * KEPT2) % KEPT1;
        u32 from = ((o / (KEPT3 * KEPT2 * KEPT1) * WIDE1 + j) * WIDE2 + k) * WIDE3 + l;
        float sum = 0.0f;
        for (u32 r = i % PARTS; r < MANY0 * MANY1 * MANY2 * MANY3; r += PARTS) {
            u32 rl = r % MANY3, rk = r / MANY3 % MANY2, rj = r / (MANY3 * MANY2) % MANY1;
            u32 ri = r / (MANY3 * MANY2 * MANY1);
            sum += x[from + ((ri * WIDE1 + rj) * WIDE2 + rk) * WIDE3 + rl];
        }
        parts[i] = sum;
    }
}

KERNEL sum_to_join(ITEM_ARG ARG_IN(float, parts), ARG_OUT(float, y), ARG_INT(count),
                   ARG_FLOAT(scale))
{
    OPEN_IN(float, parts);
    OPEN_OUT(float, y);
    EACH (o, count) {
        float sum = 0.0f;
        for (u32 p = 0; p < PARTS; p++) sum += parts[o * PARTS + p];
        y[o] = scale * sum;
    }
}

/* y's dimensions are WIDE0 … WIDE3, of which x has KEPT0 … KEPT3. */
KERNEL expand(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_FLOAT(scale))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) {
        u32 l = i % WIDE3 % KEPT3, k = i / WIDE3 % WIDE2 % KEPT2;
        u32 j = i / (WIDE3 * WIDE2) % WIDE1 % KEPT1, n = i / (WIDE3 * WIDE2 * WIDE1) % KEPT0;
        y[i] = scale * x[((n * KEPT1 + j) * KEPT2 + k) * KEPT3 + l];
    }
}
