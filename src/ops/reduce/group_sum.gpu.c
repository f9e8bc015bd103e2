/* Sums and maxima over the items of a group, by a tree: they depend on nothing but the group's
 * size.  Compiled in front of kernels that use them.
 *
 * `places` and the like have GROUP elements.  Element 0 holds the result at the end, and who reads
 * it meets a barrier before anything is written there again. */

/* `step`, by which `own` takes over what `other` has, until all of it is in element 0. */
#define TREE(step)                                        \
    BARRIER();                                            \
    for (int items = LOCAL_SIZE; items > 1;) {            \
        int upper = (items + 1) / 2;                      \
        if (LOCAL_ID < items - upper) {                   \
            int own = LOCAL_ID, other = LOCAL_ID + upper; \
            step                                          \
        }                                                 \
        BARRIER();                                        \
        items = upper;                                    \
    }

/* The sum of all items' values, in element 0 alone. */
DEVICE void add_items(ITEM_PARAM LOCAL float *places, float value)
{
    places[LOCAL_ID] = value;
    TREE(places[own] += places[other];)
}

/* The same, for every item. */
DEVICE float sum_items(ITEM_PARAM LOCAL float *places, float value)
{
    add_items(ITEM places, value);
    return places[0];
}

DEVICE int count_items(ITEM_PARAM LOCAL int *places, int value)
{
    places[LOCAL_ID] = value;
    TREE(places[own] += places[other];)
    return places[0];
}

/* The largest of all items' values in the same way; a NaN loses. */
DEVICE float max_items(ITEM_PARAM LOCAL float *places, float value)
{
    places[LOCAL_ID] = value;
    TREE(places[own] = MAX(places[own], places[other]);)
    return places[0];
}

/* Two sums in one tree, for every item. */
DEVICE void sum_pairs(ITEM_PARAM LOCAL float *a, LOCAL float *b, float *x, float *y)
{
    a[LOCAL_ID] = *x;
    b[LOCAL_ID] = *y;
    TREE(a[own] += a[other]; b[own] += b[other];)
    *x = a[0];
    *y = b[0];
}

/* The same, a sum and a count, in element 0 alone. */
DEVICE void sum_and_count(ITEM_PARAM LOCAL float *sums, LOCAL int *counts, float sum, int count)
{
    sums[LOCAL_ID] = sum;
    counts[LOCAL_ID] = count;
    TREE(sums[own] += sums[other]; counts[own] += counts[other];)
}

/* The largest of all items' values and the first place of it, in element 0. */
DEVICE void find_largest(ITEM_PARAM LOCAL float *tops, LOCAL int *places, float top, int place)
{
    tops[LOCAL_ID] = top;
    places[LOCAL_ID] = place;
    TREE(int equal = tops[other] == tops[own];
         if (tops[other] > tops[own] || (equal && places[other] < places[own])) {
             tops[own] = tops[other];
             places[own] = places[other];
         })
}
