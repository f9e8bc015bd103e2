/* Activations by formula, two words of eight elements an item and round, both loaded before the
 * first is used, so that memory is busy: F and DF name those of activation_list.gpu.c, which stands
 * in front.  The host side says the types of x (X_T), dy (DY_T) and the result (Y_T), which lie at
 * 16 bytes. */
PARAMETERS(X_T Y_T DY_T)

KERNEL activation(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(Y_T, y), ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(Y_T, y);
    u32 words = (u32)count / 8u, pairs = (words + 1u) / 2u;
    EACH (k, pairs) {
        u32 other = k + pairs < words ? k + pairs : k;
        float v[8], w[8];
        LOAD_8(X, v, x, 8u * k);
        LOAD_8(X, w, x, 8u * other);
        for (int j = 0; j < 8; j++) {
            v[j] = F(v[j]);
            w[j] = F(w[j]);
        }
        STORE_8(Y, y, 8u * k, v);
        STORE_8(Y, y, 8u * other, w);
    }
    EACH (i, (u32)count % 8u) {
        float value = LOAD(X, x, 8u * words + i);
        STORE(Y, y, 8u * words + i, F(value));
    }
}

KERNEL activation_backward(ITEM_ARG ARG_IN(X_T, x), ARG_IN(DY_T, dy), ARG_OUT(Y_T, dx),
                           ARG_INT(count))
{
    OPEN_IN(X_T, x);
    OPEN_IN(DY_T, dy);
    OPEN_OUT(Y_T, dx);
    u32 words = (u32)count / 8u, pairs = (words + 1u) / 2u;
    EACH (k, pairs) {
        u32 other = k + pairs < words ? k + pairs : k;
        float v[8], w[8], g[8], h[8];
        LOAD_8(X, v, x, 8u * k);
        LOAD_8(DY, g, dy, 8u * k);
        LOAD_8(X, w, x, 8u * other);
        LOAD_8(DY, h, dy, 8u * other);
        for (int j = 0; j < 8; j++) {
            g[j] *= DF(v[j]);
            h[j] *= DF(w[j]);
        }
        STORE_8(Y, dx, 8u * k, g);
        STORE_8(Y, dx, 8u * other, h);
    }
    EACH (i, (u32)count % 8u) {
        float value = LOAD(X, x, 8u * words + i);
        float slope = LOAD(DY, dy, 8u * words + i) * DF(value);
        STORE(Y, dx, 8u * words + i, slope);
    }
}
