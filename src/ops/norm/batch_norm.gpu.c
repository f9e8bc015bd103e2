/* Batch norm: x [images, CHANNELS, PIXELS], COUNT values of a channel.  X, R, Y, DY, DX and DR are
 * the types of x, residual, y, dy, dx and dresidual.  batch_norm.c says what is computed.  Sums go
 * by a tree over the items of one group, a channel a group and round. */
PARAMETERS(PIXELS CHANNELS X_T COUNT R_T Y_T INFER RESIDUAL RELU FORMULA KEEP DY_T FROM_RELU DX_T
               DR_T NEED_DX NEED_DR SYNCED)

#define PART 64 /* values that are added up before they join the sum, which keeps its digits */

/* Where value i of channel c lies. */
DEVICE int place_of(int c, int i)
{
    return (i / PIXELS * CHANNELS + c) * PIXELS + i % PIXELS;
}

/* The sum of all items' values, for every item. */
DEVICE float sum_of_items(ITEM_PARAM LOCAL float *sums, float value)
{
    sums[LOCAL_ID] = value;
    BARRIER();
    for (int count = LOCAL_SIZE; count > 1;) {
        int upper = (count + 1) / 2;
        if (LOCAL_ID < count - upper) sums[LOCAL_ID] += sums[LOCAL_ID + upper];
        BARRIER();
        count = upper;
    }
    float sum = sums[0];
    BARRIER();
    return sum;
}

/* The sum of x − middle, or of its square, over this item's values of channel c. */
DEVICE float sum_of_values(ITEM_PARAM GLOBAL const X_T *x, int c, float middle, int squared)
{
    float sum = 0.0f, part = 0.0f;
    int parts = 0;
    for (int i = LOCAL_ID; i < COUNT; i += LOCAL_SIZE) {
        float apart = LOAD(X, x, place_of(c, i)) - middle;
        part += squared ? apart * apart : apart;
        if (++parts % PART == 0) {
            sum += part;
            part = 0.0f;
        }
    }
    return sum + part;
}

/* With SYNCED `inverse` is the sum of the squares, for batch_norm_group.gpu.c. */
KERNEL batch_norm_statistics(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(float, mean), ARG_OUT(float, inverse),
                             ARG_OUT(float, running_mean), ARG_OUT(float, running_var),
                             ARG_FLOAT(epsilon), ARG_FLOAT(momentum))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(float, mean);
    OPEN_OUT(float, inverse);
    OPEN_OUT(float, running_mean);
    OPEN_OUT(float, running_var);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int c = GROUP_ID; c < CHANNELS; c += NUM_GROUPS) {
        float middle = LOAD(X, x, place_of(c, 0));
        float sum = sum_of_items(ITEM sums, sum_of_values(ITEM x, c, middle, 0));
        float center = middle + sum / (float)COUNT;
        float squares = sum_of_items(ITEM sums, sum_of_values(ITEM x, c, center, 1));
        if (LOCAL_ID == 0) {
            mean[c] = center;
            inverse[c] = SYNCED ? squares : 1.0f / SQRT(squares / (float)COUNT + epsilon);
            if (!SYNCED) {
                running_mean[c] += momentum * (center - running_mean[c]);
                running_var[c] += momentum * (squares / (float)(COUNT - 1) - running_var[c]);
            }
        }
    }
}

/* With INFER `deviation` is the variance, else 1 / the standard deviation.  RELU or F, where
 * FORMULA is, comes last, and with KEEP z gets what F was given. */
KERNEL batch_norm_apply(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, weight), ARG_IN(float, bias),
                        ARG_IN(R_T, residual), ARG_IN(float, mean), ARG_IN(float, deviation),
                        ARG_OUT(Y_T, y), ARG_OUT(float, z), ARG_FLOAT(epsilon), ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_IN(float, weight);
    OPEN_IN(float, bias);
    OPEN_IN(R_T, residual);
    OPEN_IN(float, mean);
    OPEN_IN(float, deviation);
    OPEN_OUT(Y_T, y);
    OPEN_OUT(float, z);
    EACH (i, count) {
        u32 c = i / PIXELS % CHANNELS;
        float inverse = INFER ? 1.0f / SQRT(deviation[c] + epsilon) : deviation[c];
        float value = (LOAD(X, x, i) - mean[c]) * inverse * weight[c] + bias[c];
        if (RESIDUAL) value += LOAD(R, residual, i);
        if (RELU && value < 0.0f) value = 0.0f;
#if FORMULA
        if (KEEP) z[i] = value;
        value = F(value);
#endif
        STORE(Y, y, i, value);
    }
}

KERNEL batch_norm_sums(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, mean), ARG_IN(float, inverse),
                       ARG_IN(Y_T, y), ARG_IN(DY_T, dy), ARG_OUT(float, dweight),
                       ARG_OUT(float, dbias))
{
    OPEN_IN(X_T, x);
    OPEN_IN(float, mean);
    OPEN_IN(float, inverse);
    OPEN_IN(Y_T, y);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(float, dweight);
    OPEN_OUT(float, dbias);
    LOCAL_ARRAY(float, sums, GROUP);
    for (int c = GROUP_ID; c < CHANNELS; c += NUM_GROUPS) {
        float sum = 0.0f, part = 0.0f, product = 0.0f, part_product = 0.0f, center = mean[c];
        int parts = 0;
        for (int i = LOCAL_ID; i < COUNT; i += LOCAL_SIZE) {
            int at = place_of(c, i);
            float dz = FROM_RELU && LOAD(Y, y, at) <= 0.0f ? 0.0f : LOAD(DY, dy, at);
            part += dz;
            part_product += dz * (LOAD(X, x, at) - center);
            if (++parts % PART == 0) {
                sum += part;
                product += part_product;
                part = part_product = 0.0f;
            }
        }
        sum = sum_of_items(ITEM sums, sum + part);
        product = sum_of_items(ITEM sums, product + part_product);
        if (LOCAL_ID == 0) {
            dbias[c] = sum;
            dweight[c] = product * inverse[c];
        }
    }
}

KERNEL batch_norm_gradients(ITEM_ARG ARG_IN(X_T, x), ARG_IN(float, weight), ARG_IN(float, mean),
                            ARG_IN(float, inverse), ARG_IN(Y_T, y), ARG_IN(DY_T, dy),
                            ARG_IN(float, dweight), ARG_IN(float, dbias), ARG_OUT(DX_T, dx),
                            ARG_OUT(DR_T, dresidual), ARG_INT(count))
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
    EACH (i, count) {
        u32 c = i / PIXELS % CHANNELS;
        float dz = FROM_RELU && LOAD(Y, y, i) <= 0.0f ? 0.0f : LOAD(DY, dy, i);
        float normal = (LOAD(X, x, i) - mean[c]) * inverse[c];
        if (NEED_DX)
            STORE(DX, dx, i,
                  weight[c] * inverse[c] * (dz - (dbias[c] + normal * dweight[c]) / (float)COUNT));
        if (NEED_DR) STORE(DR, dresidual, i, dz);
    }
}
