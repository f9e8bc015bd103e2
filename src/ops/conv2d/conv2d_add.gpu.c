/* dx = sum + x, for a library whose convolutions add to nothing.  S, X and Y are the types of sum,
 * x and dx, which lie alike and at 16 bytes; the last few elements go one by one. */
PARAMETERS(S_T X_T Y_T)

KERNEL conv2d_add(ITEM_ARG ARG_IN(S_T, sum), ARG_IN(X_T, x), ARG_OUT(Y_T, dx), ARG_INT(count))
{
    OPEN_IN(S_T, sum);
    OPEN_IN(X_T, x);
    OPEN_OUT(Y_T, dx);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = k * 8u;
        if (from + 8u <= (u32)count) {
            float v[8], w[8];
            LOAD_8(S, v, sum, from);
            LOAD_8(X, w, x, from);
            UNROLL for (int j = 0; j < 8; j++) v[j] += w[j];
            STORE_8(Y, dx, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++)
                STORE(Y, dx, i, LOAD(S, sum, i) + LOAD(X, x, i));
        }
    }
}
