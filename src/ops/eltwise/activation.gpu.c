/* Activations by formula, eight elements an item and round: F and DF name those of
 * activation_list.gpu.c, which stands in front.  The host side says the types of x (X_T), dy (DY_T)
 * and the result (Y_T), which lie at 16 bytes. */
PARAMETERS(X_T Y_T DY_T)

KERNEL activation(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(Y_T, y), ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(Y_T, y);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = 8u * k;
        if (from + 8u <= (u32)count) {
            float v[8];
            LOAD_8(X, v, x, from);
            for (int j = 0; j < 8; j++) v[j] = F(v[j]);
            STORE_8(Y, y, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++) {
                float value = LOAD(X, x, i);
                STORE(Y, y, i, F(value));
            }
        }
    }
}

KERNEL activation_backward(ITEM_ARG ARG_IN(X_T, x), ARG_IN(DY_T, dy), ARG_OUT(Y_T, dx),
                           ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(Y_T, dx);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = 8u * k;
        if (from + 8u <= (u32)count) {
            float v[8], g[8];
            LOAD_8(X, v, x, from);
            LOAD_8(DY, g, dy, from);
            for (int j = 0; j < 8; j++) g[j] *= DF(v[j]);
            STORE_8(Y, dx, from, g);
        } else {
            for (u32 i = from; i < (u32)count; i++) {
                float value = LOAD(X, x, i), slope = LOAD(DY, dy, i) * DF(value);
                STORE(Y, dx, i, slope);
            }
        }
    }
}
