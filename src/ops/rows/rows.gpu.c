/* Choosing, joining and averaging rows: an element of the result an item, but for means. */
KERNEL slice(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_INT(at))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = x[(u32)at + i];
}

/* dy has `many` elements, which lie from `at` on in dx. */
KERNEL slice_backward(ITEM_ARG ARG_IN(float, dy), ARG_OUT(float, dx), ARG_INT(count), ARG_INT(at),
                      ARG_INT(many))
{
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        int from = (int)i - at;
        dx[i] = from >= 0 && from < many ? dy[from] : 0.0f;
    }
}

/* A sample has wide_a elements of a and wide_b of b; those of the next lie step_a and step_b
 * further, or are the same (0). */
KERNEL concat(ITEM_ARG ARG_IN(float, a), ARG_IN(float, b), ARG_OUT(float, y), ARG_INT(count),
              ARG_INT(wide_a), ARG_INT(wide_b), ARG_INT(step_a), ARG_INT(step_b))
{
    OPEN_IN(float, a);
    OPEN_IN(float, b);
    OPEN_OUT(float, y);
    EACH (i, count) {
        u32 whole = (u32)wide_a + (u32)wide_b, n = i / whole, r = i % whole;
        y[i] = r < (u32)wide_a ? a[n * (u32)step_a + r] : b[n * (u32)step_b + r - (u32)wide_a];
    }
}

/* The part of dy from `at` on that is `wide`, of samples of `whole`; of all samples (`apart` is 1)
 * the sum, else (`apart` is their number) of each its own. */
KERNEL concat_part(ITEM_ARG ARG_IN(float, dy), ARG_OUT(float, dx), ARG_INT(count), ARG_INT(samples),
                   ARG_INT(wide), ARG_INT(whole), ARG_INT(at), ARG_INT(apart))
{
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        float sum = 0.0f;
        for (u32 n = i / (u32)wide; n < (u32)samples; n += (u32)apart)
            sum += dy[n * (u32)whole + (u32)at + i % (u32)wide];
        dx[i] = sum;
    }
}

KERNEL gather_rows(ITEM_ARG ARG_IN(float, x), ARG_IN(int, index), ARG_OUT(float, y), ARG_INT(count),
                   ARG_INT(length), ARG_INT(width), ARG_INT(position), ARG_INT(has_index))
{
    OPEN_IN(float, x);
    OPEN_IN(int, index);
    OPEN_OUT(float, y);
    EACH (i, count) {
        u32 n = i / (u32)width;
        int t = has_index ? index[n] : position;
        float none = t == -1 ? 0.0f : F32_NAN;
        y[i] = t >= 0 && t < length ? x[(n * (u32)length + (u32)t) * (u32)width + i % (u32)width]
                                    : none;
    }
}

KERNEL gather_rows_backward(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, index), ARG_OUT(float, dx),
                            ARG_INT(count), ARG_INT(length), ARG_INT(width), ARG_INT(position),
                            ARG_INT(has_index))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, index);
    OPEN_OUT(float, dx);
    EACH (i, count) {
        u32 row = i / (u32)width, n = row / (u32)length;
        int t = has_index ? index[n] : position;
        dx[i] = (int)(row % (u32)length) == t ? dy[n * (u32)width + i % (u32)width] : 0.0f;
    }
}

/* A sample an item. */
KERNEL find_token(ITEM_ARG ARG_IN(int, tokens), ARG_OUT(int, places), ARG_INT(samples),
                  ARG_INT(length), ARG_INT(token))
{
    OPEN_IN(int, tokens);
    OPEN_OUT(int, places);
    EACH (n, samples) {
        int t = 0;
        while (t < length && tokens[n * (u32)length + (u32)t] != token) t++;
        places[n] = t < length ? t : -1;
    }
}

/* How many tokens are added, and times what: rows.h. */
DEVICE int mean_count(int own, int length)
{
    return own >= 0 && own <= length ? own : length;
}

DEVICE float mean_scale(int own, int length)
{
    float scale = own > 0 && own <= length ? 1.0f / (float)own : F32_NAN;
    return own == 0 ? 0.0f : scale;
}

#define STRIP 32 /* columns that a group adds at a time: rows of a line of the cache */
#define FLIGHT 8 /* tokens that an item loads before it adds the first */

/* The items of a column share its tokens, and the first of them joins what they have in their
 * order. */
KERNEL mean_tokens(ITEM_ARG ARG_IN(float, x), ARG_IN(int, lengths), ARG_OUT(float, y),
                   ARG_INT(samples), ARG_INT(length), ARG_INT(width))
{
    OPEN_IN(float, x);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, y);
    LOCAL_ARRAY(float, sums, GROUP);
    int columns = LOCAL_SIZE < STRIP ? LOCAL_SIZE : STRIP, lanes = LOCAL_SIZE / columns;
    int lane = LOCAL_ID / columns, strips = (width + columns - 1) / columns;
    for (int job = GROUP_ID; job < samples * strips; job += NUM_GROUPS) {
        int n = job / strips, c = job % strips * columns + LOCAL_ID % columns;
        int many = mean_count(lengths[n], length);
        i64 first = (i64)n * length * width + c;
        float sum = 0.0f;
        if (lane < lanes && c < width) {
            for (int t = lane; t < many; t += FLIGHT * lanes) {
                float v[FLIGHT];
                UNROLL for (int f = 0; f < FLIGHT; f++)
                {
                    int own = t + f * lanes;
                    v[f] = own < many ? x[first + (i64)own * width] : 0.0f;
                }
                UNROLL for (int f = 0; f < FLIGHT; f++) sum += v[f];
            }
        }
        sums[LOCAL_ID] = sum;
        BARRIER();
        if (lane == 0 && c < width) {
            for (int other = 1; other < lanes; other++) sum += sums[other * columns + LOCAL_ID];
            y[n * width + c] = sum * mean_scale(lengths[n], length);
        }
        BARRIER();
    }
}

/* A token a group and round. */
KERNEL mean_tokens_backward(ITEM_ARG ARG_IN(float, dy), ARG_IN(int, lengths), ARG_OUT(float, dx),
                            ARG_INT(samples), ARG_INT(length), ARG_INT(width))
{
    OPEN_IN(float, dy);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, dx);
    for (int row = GROUP_ID; row < samples * length; row += NUM_GROUPS) {
        int n = row / length, is_real = row % length < mean_count(lengths[n], length);
        float scale = mean_scale(lengths[n], length);
        for (int c = LOCAL_ID; c < width; c += LOCAL_SIZE)
            dx[(i64)row * width + c] = is_real ? dy[n * width + c] * scale : 0.0f;
    }
}
