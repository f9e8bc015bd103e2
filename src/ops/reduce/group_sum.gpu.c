/* Sums and maxima over the items of a group, by a tree: they depend on nothing but the group's
 * size.  Compiled in front of kernels that use them. */

/* The sum of all items' values, for every item; `places` has GROUP of them, and who reads the sum
 * meets a barrier before anything is written there again. */
DEVICE float sum_items(ITEM_PARAM LOCAL float *places, float value)
{
    places[LOCAL_ID] = value;
    BARRIER();
    for (int left = LOCAL_SIZE; left > 1;) {
        int upper = (left + 1) / 2;
        if (LOCAL_ID < left - upper) places[LOCAL_ID] += places[LOCAL_ID + upper];
        BARRIER();
        left = upper;
    }
    return places[0];
}

/* The largest of all items' values in the same way; a NaN loses. */
DEVICE float max_items(ITEM_PARAM LOCAL float *places, float value)
{
    places[LOCAL_ID] = value;
    BARRIER();
    for (int left = LOCAL_SIZE; left > 1;) {
        int upper = (left + 1) / 2;
        if (LOCAL_ID < left - upper)
            places[LOCAL_ID] = MAX(places[LOCAL_ID], places[LOCAL_ID + upper]);
        BARRIER();
        left = upper;
    }
    return places[0];
}
