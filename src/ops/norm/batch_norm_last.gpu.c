/* Batch norm of images with the channels last: x [COUNT, CHANNELS], COUNT pixels of all images.  An
 * item keeps WIDE channels, side by side, of the pixels that it goes through; LANES such items are
 * the width of a group (WANTED, or 1 of a smaller group), and TEAM pixels its height.  The pixels
 * are cut into CHUNKS of CHUNK, each the work of one group for its channels; a second launch puts
 * the chunks together, in their order.  What sums nothing has pieces of PIECE.  X, R, Y, DY, DX and
 * DR are the types of x, residual, y, dy, dx and dresidual.  batch_norm.c says what is computed. */
PARAMETERS(CHANNELS WIDE WANTED CHUNK PIECE COUNT X_T CHUNKS Y_T DY_T FROM_RELU R_T INFER RESIDUAL
               RELU FORMULA KEEP DX_T DR_T NEED_DX NEED_DR EARLY_DR SYNCED)

#define VECTORS (CHANNELS / WIDE)
#define LANES (GROUP < WANTED ? 1 : WANTED)
#define TEAM (GROUP / LANES)
#define BLOCKS ((VECTORS + LANES - 1) / LANES)

#define F32_TYPE F32

/* WIDE elements from i on. */
#if WIDE == 8
#define GET(type, v, p, i) LOAD_8(type, v, p, i)
#define PUT(type, p, i, v) STORE_8(type, p, i, v)
#else
#define GET(type, v, p, i) (v)[0] = LOAD(type, p, i)
#define PUT(type, p, i, v) STORE(type, p, i, (v)[0])
#endif

#define EACH_OF(k) UNROLL for (int k = 0; k < WIDE; k++)

/* Pixels that an item fetches before it computes any: its results may lie where it reads, so that a
 * compiler may not move the loads up.  They are taken from the last on: that there is a first one
 * is known, and its results would be made between the loads. */
#define TURNS 4
#define EACH_TURN(t) UNROLL for (int t = 0; t < TURNS; t++)
#define EACH_TURN_BACK(t) UNROLL for (int t = TURNS - 1; t >= 0; t--)
#define SHARE (1.0f / (float)COUNT) /* a constant: a division branches for each channel */
#define PIECES ((COUNT + PIECE - 1) / PIECE)

/* The pixels of a chunk that this item goes through: p = FIRST_PIXEL; p < END_PIXEL; p += TEAM. */
DEVICE int end_pixel(int chunk)
{
    return (chunk + 1) * CHUNK < COUNT ? (chunk + 1) * CHUNK : COUNT;
}

DEVICE int end_of_piece(int piece)
{
    return (piece + 1) * PIECE < COUNT ? (piece + 1) * PIECE : COUNT;
}

/* The first channel of this item in a job of a group, or −1 where it has none. */
DEVICE int first_channel(ITEM_PARAM int job)
{
    int vector = job % BLOCKS * LANES + LOCAL_ID % LANES;
    return LOCAL_ID / LANES < TEAM && vector < VECTORS ? vector * WIDE : -1;
}

/* sums[k][item] of the items of a column of the group, added up into those of its first one;
 * `lanes` columns of `team` items. */
DEVICE void add_columns(ITEM_PARAM LOCAL float *sums, int values, int lanes, int team)
{
    BARRIER();
    for (int count = team; count > 1;) {
        int upper = (count + 1) / 2;
        if (LOCAL_ID / lanes < count - upper)
            for (int k = 0; k < values; k++)
                sums[k * GROUP + LOCAL_ID] += sums[k * GROUP + LOCAL_ID + upper * lanes];
        BARRIER();
        count = upper;
    }
}

/* parts [CHUNKS][2][CHANNELS]: the mean of the chunk, and the sum of the squares of what its values
 * are off it; counted from the chunk's first pixel on, which keeps the digits. */
KERNEL batch_norm_last_statistics(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(float, parts))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(float, parts);
    LOCAL_ARRAY(float, sums, 2 * WIDE * GROUP);
    for (int job = GROUP_ID; job < BLOCKS * CHUNKS; job += NUM_GROUPS) {
        int chunk = job / BLOCKS, c = first_channel(ITEM job), end = end_pixel(chunk);
        float middle[WIDE], sum[WIDE], squares[WIDE], v[WIDE];
        float share = 1.0f / (float)(end - chunk * CHUNK);
        EACH_OF(k)
        sum[k] = squares[k] = middle[k] = 0.0f;
        if (c >= 0) {
            GET(X, middle, x, chunk * CHUNK * CHANNELS + c);
            UNROLL_4 for (int p = chunk * CHUNK + LOCAL_ID / LANES; p < end; p += TEAM)
            {
                GET(X, v, x, p * CHANNELS + c);
                EACH_OF(k)
                {
                    float apart = v[k] - middle[k];
                    sum[k] += apart;
                    squares[k] += apart * apart;
                }
            }
        }
        EACH_OF(k)
        {
            sums[k * GROUP + LOCAL_ID] = sum[k];
            sums[(WIDE + k) * GROUP + LOCAL_ID] = squares[k];
        }
        add_columns(ITEM sums, 2 * WIDE, LANES, TEAM);
        if (c >= 0 && LOCAL_ID < LANES) EACH_OF(k)
            {
                float all = sums[k * GROUP + LOCAL_ID], apart = all * share;
                float square = sums[(WIDE + k) * GROUP + LOCAL_ID] - all * apart;
                parts[chunk * 2 * CHANNELS + c + k] = middle[k] + apart;
                parts[(chunk * 2 + 1) * CHANNELS + c + k] = square < 0.0f ? 0.0f : square;
            }
    }
}

/* parts [CHUNKS][2][CHANNELS]: Σ dz and Σ dz (x − mean).  With EARLY_DR dz is written too. */
KERNEL batch_norm_last_sums(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, mean), ARG_IN(Y_T, y),
                            ARG_IN(DY_T, dy), ARG_OUT(float, parts), ARG_OUT(DR_T, dresidual))
{
    OPEN_IN(X_T, x);
    OPEN_IN(float, mean);
    OPEN_IN(Y_T, y);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(float, parts);
    OPEN_OUT(DR_T, dresidual);
    LOCAL_ARRAY(float, sums, 2 * WIDE * GROUP);
    for (int job = GROUP_ID; job < BLOCKS * CHUNKS; job += NUM_GROUPS) {
        int chunk = job / BLOCKS, c = first_channel(ITEM job), end = end_pixel(chunk);
        float center[WIDE], sum[WIDE], product[WIDE], v[WIDE], dz[WIDE], seen[WIDE];
        EACH_OF(k)
        {
            sum[k] = product[k] = 0.0f;
            center[k] = c >= 0 ? mean[c + k] : 0.0f;
        }
        if (c >= 0)
            for (int p = chunk * CHUNK + LOCAL_ID / LANES; p < end; p += TEAM) {
                int at = p * CHANNELS + c;
                GET(X, v, x, at);
                GET(DY, dz, dy, at);
                if (FROM_RELU) {
                    GET(Y, seen, y, at);
                    EACH_OF(k)
                    dz[k] = seen[k] <= 0.0f ? 0.0f : dz[k];
                }
                if (EARLY_DR) PUT(DR, dresidual, at, dz);
                EACH_OF(k)
                {
                    sum[k] += dz[k];
                    product[k] += dz[k] * (v[k] - center[k]);
                }
            }
        EACH_OF(k)
        {
            sums[k * GROUP + LOCAL_ID] = sum[k];
            sums[(WIDE + k) * GROUP + LOCAL_ID] = product[k];
        }
        add_columns(ITEM sums, 2 * WIDE, LANES, TEAM);
        if (c >= 0 && LOCAL_ID < LANES) EACH_OF(k)
            {
                parts[chunk * 2 * CHANNELS + c + k] = sums[k * GROUP + LOCAL_ID];
                parts[(chunk * 2 + 1) * CHANNELS + c + k] = sums[(WIDE + k) * GROUP + LOCAL_ID];
            }
    }
}

/* y of all pixels.  With INFER `deviation` is the variance, else 1 / the standard deviation.  RELU
 * or F, where FORMULA is, comes last, and with KEEP z gets what F was given. */
KERNEL batch_norm_last_apply(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, weight), ARG_IN(float, bias),
                             ARG_IN(R_T, residual), ARG_IN(float, mean), ARG_IN(float, deviation),
                             ARG_OUT(Y_T, y), ARG_OUT(float, z), ARG_FLOAT(epsilon))
{
    OPEN_IN(X_T, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, bias);
    OPEN_IN(R_T, residual);
    OPEN_IN(float, mean);
    OPEN_IN(float, deviation);
    OPEN_OUT(Y_T, y);
    OPEN_OUT(float, z);
    for (int job = GROUP_ID; job < BLOCKS * PIECES; job += NUM_GROUPS) {
        int piece = job / BLOCKS, c = first_channel(ITEM job), end = end_of_piece(piece);
        float center[WIDE], factor[WIDE], above[WIDE], v[TURNS][WIDE], more[TURNS][WIDE];
        if (c < 0) continue;
        EACH_OF(k)
        {
            float spread = deviation[c + k];
            float inverse = INFER ? 1.0f / SQRT(spread + epsilon) : spread;
            center[k] = mean[c + k];
            factor[k] = inverse * weight[c + k];
            above[k] = bias[c + k];
        }
        for (int p = piece * PIECE + LOCAL_ID / LANES; p < end; p += TURNS * TEAM) {
            EACH_TURN(t)
            {
                int at = (p + t * TEAM < end ? p + t * TEAM : p) * CHANNELS + c;
                GET(X, v[t], x, at);
                if (RESIDUAL) GET(R, more[t], residual, at);
            }
            EACH_TURN_BACK(t)
            {
                int at = (p + t * TEAM) * CHANNELS + c;
                if (p + t * TEAM >= end) continue;
                EACH_OF(k)
                {
                    v[t][k] = (v[t][k] - center[k]) * factor[k] + above[k];
                    if (RESIDUAL) v[t][k] += more[t][k];
                    v[t][k] = RELU && v[t][k] < 0.0f ? 0.0f : v[t][k];
                }
#if FORMULA
                if (KEEP) PUT(F32, z, at, v[t]);
                EACH_OF(k)
                v[t][k] = F(v[t][k]);
#endif
                PUT(Y, y, at, v[t]);
            }
        }
    }
}

/* With EARLY_DR `dy` is dz, and y and dresidual are not looked at. */
#define FROM_Y (FROM_RELU > EARLY_DR)

KERNEL batch_norm_last_gradients(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, weight),
                                 ARG_IN(float, mean), ARG_IN(float, inverse), ARG_IN(Y_T, y),
                                 ARG_IN(DY_T, dy), ARG_IN(float, dweight), ARG_IN(float, dbias),
                                 ARG_OUT(DX_T, dx), ARG_OUT(DR_T, dresidual))
{
    OPEN_IN(X_T, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, mean);
    OPEN_IN(float, inverse);
    OPEN_IN(Y_T, y);
    OPEN_IN(DY_T, dy);
    OPEN_IN(float, dweight);
    OPEN_IN(float, dbias);
    OPEN_OUT(DX_T, dx);
    OPEN_OUT(DR_T, dresidual);
    for (int job = GROUP_ID; job < BLOCKS * PIECES; job += NUM_GROUPS) {
        int piece = job / BLOCKS, c = first_channel(ITEM job), end = end_of_piece(piece);
        float center[WIDE], factor[WIDE], slope[WIDE], level[WIDE];
        float v[TURNS][WIDE], dz[TURNS][WIDE], seen[TURNS][WIDE];
        if (c < 0) continue;
        EACH_OF(k)
        {
            center[k] = mean[c + k];
            factor[k] = weight[c + k] * inverse[c + k];
            slope[k] = inverse[c + k] * dweight[c + k] * SHARE;
            level[k] = dbias[c + k] * SHARE;
        }
        for (int p = piece * PIECE + LOCAL_ID / LANES; p < end; p += TURNS * TEAM) {
            EACH_TURN(t)
            {
                int at = (p + t * TEAM < end ? p + t * TEAM : p) * CHANNELS + c;
                GET(DY, dz[t], dy, at);
                if (FROM_Y) GET(Y, seen[t], y, at);
                if (NEED_DX) GET(X, v[t], x, at);
            }
            EACH_TURN_BACK(t)
            {
                int at = (p + t * TEAM) * CHANNELS + c;
                if (p + t * TEAM >= end) continue;
                EACH_OF(k)
                {
                    dz[t][k] = FROM_Y && seen[t][k] <= 0.0f ? 0.0f : dz[t][k];
                    if (NEED_DX)
                        v[t][k] =
                            factor[k] * (dz[t][k] - level[k] - (v[t][k] - center[k]) * slope[k]);
                }
                if (NEED_DX) PUT(DX, dx, at, v[t]);
                if (NEED_DR > EARLY_DR) PUT(DR, dresidual, at, dz[t]);
            }
        }
    }
}

/* ---------------------------------------------------------------- the chunks together
 *
 * A column of the group is a channel, its items share the chunks: NARROW columns, so that an item
 * has few of them. */
#define NARROW (GROUP < 4 ? 1 : 4)

DEVICE int channel_of(ITEM_PARAM int job)
{
    int c = job * NARROW + LOCAL_ID % NARROW;
    return LOCAL_ID / NARROW < GROUP / NARROW && c < CHANNELS ? c : -1;
}

DEVICE float pixels_of(int chunk)
{
    return (float)(end_pixel(chunk) - chunk * CHUNK);
}

#define JOBS ((CHANNELS + NARROW - 1) / NARROW)

/* With SYNCED `inverse` is the sum of the squares, for batch_norm_group.gpu.c. */
KERNEL batch_norm_last_finish(ITEM_ARG ARG_IN(float, parts), ARG_OUT(float, mean),
                              ARG_OUT(float, inverse), ARG_OUT(float, running_mean),
                              ARG_OUT(float, running_var), ARG_FLOAT(epsilon), ARG_FLOAT(momentum))
{
    OPEN_IN(float, parts);
    OPEN_OUT(float, mean);
    OPEN_OUT(float, inverse);
    OPEN_OUT(float, running_mean);
    OPEN_OUT(float, running_var);
    LOCAL_ARRAY(float, sums, 2 * GROUP);
    for (int job = GROUP_ID; job < JOBS; job += NUM_GROUPS) {
        int c = channel_of(ITEM job);
        float first = c >= 0 ? parts[c] : 0.0f, sum = 0.0f, squares = 0.0f;
        UNROLL_4 for (int k = c >= 0 ? LOCAL_ID / NARROW : CHUNKS; k < CHUNKS; k += GROUP / NARROW)
        {
            float apart = parts[k * 2 * CHANNELS + c] - first;
            sum += pixels_of(k) * apart;
            squares += parts[(k * 2 + 1) * CHANNELS + c] + pixels_of(k) * apart * apart;
        }
        sums[LOCAL_ID] = sum;
        sums[GROUP + LOCAL_ID] = squares;
        add_columns(ITEM sums, 2, NARROW, GROUP / NARROW);
        if (c >= 0 && LOCAL_ID < NARROW) {
            float apart = sums[LOCAL_ID] / (float)COUNT, center = first + apart;
            float rest = sums[GROUP + LOCAL_ID] - sums[LOCAL_ID] * apart;
            squares = rest < 0.0f ? 0.0f : rest;
            mean[c] = center;
            inverse[c] = SYNCED ? squares : 1.0f / SQRT(squares / (float)COUNT + epsilon);
            if (!SYNCED) {
                running_mean[c] += momentum * (center - running_mean[c]);
                running_var[c] += momentum * (squares / (float)(COUNT - 1) - running_var[c]);
            }
        }
    }
}

KERNEL batch_norm_last_finish_sums(ITEM_ARG ARG_IN(float, parts), ARG_IN(float, inverse),
                                   ARG_OUT(float, dweight), ARG_OUT(float, dbias))
{
    OPEN_IN(float, parts);
    OPEN_IN(float, inverse);
    OPEN_OUT(float, dweight);
    OPEN_OUT(float, dbias);
    LOCAL_ARRAY(float, sums, 2 * GROUP);
    for (int job = GROUP_ID; job < JOBS; job += NUM_GROUPS) {
        int c = channel_of(ITEM job);
        float sum = 0.0f, product = 0.0f;
        UNROLL_4 for (int k = c >= 0 ? LOCAL_ID / NARROW : CHUNKS; k < CHUNKS; k += GROUP / NARROW)
        {
            sum += parts[k * 2 * CHANNELS + c];
            product += parts[(k * 2 + 1) * CHANNELS + c];
        }
        sums[LOCAL_ID] = sum;
        sums[GROUP + LOCAL_ID] = product;
        add_columns(ITEM sums, 2, NARROW, GROUP / NARROW);
        if (c >= 0 && LOCAL_ID < NARROW) {
            dbias[c] = sums[LOCAL_ID];
            dweight[c] = sums[GROUP + LOCAL_ID] * inverse[c];
        }
    }
}
